//! The bus: whoever knows of something tells it here, and the pools of listeners that want to know get it.
//!
//! Owns the pools, the numbers of events and the periods of ticks. What nobody wants is not even written down. Nothing here waits: an event is
//! sent at once to a listener that is ready, or kept by its pool. Shared by the supervisor's loop and the tasks that read streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::payload::{self, Details, Subject};
use super::pool::{Event, Heard, Pool};
use super::ticks::Ticks;
use crate::base::bounds::EVENTS_DROPPED_LINES_PER_SECOND_MAX;
use crate::base::clock::{self, Monotonic};
use crate::config::{EventSet, EventType, GroupConfig, ProcessConfig};
use crate::supervise::programs::machine::{ProcessId, State};
use std::time::Duration;

/// Writes to a listener's standard input; whether that could be done.
pub(in crate::supervise) type Sender = Box<dyn Fn(ProcessId, &str) -> bool>;

/// Where events are told and heard.
pub(in crate::supervise) struct Bus {
    send: Sender,
    /// What some pool wants.
    wanted: Cell<EventSet>,
    next_serial: Cell<u64>,
    pools: RefCell<Vec<Pool>>,
    ticks: RefCell<Ticks>,
    is_stopping: Cell<bool>,
    complaints: RefCell<Complaints>,
}

/// How many dropped events were written of in the present second, and how many were not.
#[derive(Debug, Default)]
struct Complaints {
    since: Monotonic,
    lines: u32,
    unsaid: u64,
}

impl Bus {
    /// A bus without pools.
    pub fn new(send: Sender) -> Bus {
        Bus {
            send,
            wanted: Cell::default(),
            next_serial: Cell::new(0),
            pools: RefCell::default(),
            ticks: RefCell::default(),
            is_stopping: Cell::new(false),
            complaints: RefCell::default(),
        }
    }

    /// Whether anybody wants events of that type.
    pub fn wants(&self, kind: EventType) -> bool {
        self.wanted.get().has(kind)
    }

    /// Whether anybody wants to know of any state of processes.
    pub fn wants_states(&self) -> bool {
        self.wanted.get().meets(EventSet::STATES)
    }

    /// Something has happened. `payload` is made only if somebody wants it.
    pub fn tell(&self, kind: EventType, payload: impl FnOnce() -> String) {
        if !self.wants(kind) {
            return;
        }
        let event = Rc::new(Event { kind, serial: self.next_serial.get(), payload: payload() });
        self.next_serial.set(event.serial + 1);
        for pool in self.pools.borrow_mut().iter_mut().filter(|pool| pool.config.events.has(kind)) {
            let dropped = pool.accept(event.clone());
            self.complain(&pool.name, &dropped);
            pool.dispatch(&self.send);
        }
    }

    /// A group is looked after from now on. If it listens, it hears of that itself.
    pub fn group_came(&self, group: &GroupConfig) {
        if let Some(config) = group.listens {
            self.pools.borrow_mut().push(Pool::new(&group.name, config));
            self.count_wanted();
        }
        self.tell_of_group(&group.name);
    }

    /// A group that is no program's is there from now on.
    pub fn tell_of_group(&self, name: &str) {
        self.tell(EventType::ProcessGroupAdded, || payload::group(name));
    }

    /// A group's configuration may have changed.
    pub fn adjust(&self, group: &GroupConfig) {
        let mut pools = self.pools.borrow_mut();
        let place = pools.iter().position(|pool| pool.name == group.name);
        match (place, group.listens) {
            (Some(place), Some(config)) => pools[place].config = config,
            (Some(place), None) => drop(pools.remove(place)),
            (None, Some(config)) => pools.push(Pool::new(&group.name, config)),
            (None, None) => return,
        }
        drop(pools);
        self.count_wanted();
    }

    /// A group is no longer looked after, and nothing of it is left.
    pub fn group_went(&self, name: &str) {
        self.pools.borrow_mut().retain(|pool| pool.name != name);
        self.count_wanted();
        self.tell(EventType::ProcessGroupRemoved, || payload::group(name));
    }

    /// maitred has started.
    pub fn running(&self) {
        self.tell(EventType::SupervisorStateChangeRunning, String::new);
    }

    /// maitred is on its way to its end; told once.
    pub fn stopping(&self) {
        if !self.is_stopping.replace(true) {
            self.tell(EventType::SupervisorStateChangeStopping, String::new);
        }
    }

    /// A client of the control interface has sent something.
    pub fn remote(&self, kind: &str, data: &str) {
        self.tell(EventType::RemoteCommunication, || payload::remote(kind, data));
    }

    /// A program's process is in another state.
    pub fn became(&self, id: ProcessId, config: &ProcessConfig, (from, to): (State, State), details: Details) {
        self.with_pool(config, |pool| {
            pool.runs(id, to == State::Running);
            pool.dispatch(&self.send);
        });
        self.tell_of_state(Subject { process: &config.name, group: &config.group }, (from, to), details);
    }

    /// A process, of a program or not, is in another state.
    pub fn tell_of_state(&self, subject: Subject<'_>, (from, to): (State, State), details: Details) {
        self.tell(payload::state_event(to), || payload::state(subject, from, to, details));
    }

    /// A new incarnation of a process has begun.
    pub fn begun(&self, id: ProcessId, config: &ProcessConfig, pid: i32) {
        self.with_pool(config, |pool| {
            let dropped = pool.begun(id, pid);
            self.complain(&pool.name, &dropped);
        });
    }

    /// A process is no longer looked after.
    pub fn forget(&self, id: ProcessId) {
        self.pools.borrow_mut().iter_mut().for_each(|pool| pool.forget(id));
    }

    /// A listener has said something.
    pub(super) fn hear(&self, group: &str, id: ProcessId, pid: i32, bytes: &[u8]) {
        let mut pools = self.pools.borrow_mut();
        let Some(pool) = pools.iter_mut().find(|pool| pool.name == group) else { return };
        let Heard { rejected, is_broken, dropped } = pool.hear(id, pid, bytes);
        if let Some(event) = rejected {
            tracing::warn!(pool = pool.name, pid, event, "event was rejected: it will be sent again");
        }
        if is_broken {
            tracing::warn!(
                pool = pool.name,
                pid,
                "event listener has broken the protocol, and will not receive events before it is started anew"
            );
        }
        self.complain(&pool.name, &dropped);
        pool.dispatch(&self.send);
    }

    /// Nothing more comes from an incarnation of a listener.
    pub(super) fn silent(&self, group: &str, id: ProcessId, pid: i32) {
        let mut pools = self.pools.borrow_mut();
        let Some(pool) = pools.iter_mut().find(|pool| pool.name == group) else { return };
        let dropped = pool.ended(id, pid);
        self.complain(&pool.name, &dropped);
        pool.dispatch(&self.send);
    }

    /// When `tick` is due; `None`: never.
    pub fn wake_at(&self) -> Option<Monotonic> {
        self.ticks.borrow().wait(clock::wall_milliseconds()).map(|wait| Monotonic::now() + wait)
    }

    /// Tells of the periods that have begun.
    pub fn tick(&self) {
        let begun = self.ticks.borrow_mut().take(clock::wall_milliseconds());
        for (kind, when) in begun {
            self.tell(kind, || payload::tick(when));
        }
    }

    fn with_pool(&self, config: &ProcessConfig, work: impl FnOnce(&mut Pool)) {
        if config.stdout.is_listener
            && let Some(pool) = self.pools.borrow_mut().iter_mut().find(|pool| pool.name == config.group)
        {
            work(pool);
        }
    }

    fn count_wanted(&self) {
        let pools = self.pools.borrow();
        let wanted = pools.iter().fold(EventSet::default(), |wanted, pool| wanted.or(pool.config.events));
        self.wanted.set(wanted);
        self.ticks.borrow_mut().follow(wanted, clock::wall_milliseconds());
    }

    /// Writes of dropped events, so many lines a second at most: the log's queue is everybody's.
    fn complain(&self, pool: &str, dropped: &[u64]) {
        let mut complaints = self.complaints.borrow_mut();
        for event in dropped {
            let now = Monotonic::now();
            if now.since(complaints.since) >= Duration::from_secs(1) {
                let unsaid = std::mem::take(&mut *complaints).unsaid;
                complaints.since = now;
                if unsaid > 0 {
                    tracing::error!(events = unsaid, "event buffers overflowed, discarding more events than are named");
                }
            }
            complaints.lines += 1;
            if complaints.lines > EVENTS_DROPPED_LINES_PER_SECOND_MAX {
                complaints.unsaid += 1;
            } else {
                tracing::error!(pool, event, "event buffer overflowed, discarding the oldest event");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ListenConfig;

    type Sent = Rc<RefCell<Vec<String>>>;

    fn bus() -> (Bus, Sent) {
        let sent = Sent::default();
        let kept = sent.clone();
        let bus = Bus::new(Box::new(move |_, text| {
            kept.borrow_mut().push(text.to_owned());
            true
        }));
        (bus, sent)
    }

    fn listening(name: &str, events: &str) -> GroupConfig {
        let events = EventSet::named(events).expect("a name");
        GroupConfig {
            name: name.to_owned(),
            priority: -1,
            processes: Vec::new(),
            listens: Some(ListenConfig { events, buffer_size: 10 }),
        }
    }

    /// Lets the only process of a pool do with all of its events.
    fn drain(bus: &Bus, pool: &str) {
        if let Some(pool) = bus.pools.borrow_mut().iter_mut().find(|known| known.name == pool) {
            pool.begun(ProcessId(1), 1);
            pool.runs(ProcessId(1), true);
        }
        bus.hear(pool, ProcessId(1), 1, b"READY\n");
        for _ in 0..20 {
            bus.hear(pool, ProcessId(1), 1, b"RESULT 2\nOKREADY\n");
        }
    }

    fn headers(sent: &Sent) -> Vec<String> {
        let names = |text: &String| {
            let line = text.lines().next().unwrap_or_default().to_owned();
            let words: Vec<&str> =
                line.split(' ').filter(|word| !word.starts_with("ver:") && !word.starts_with("server:")).collect();
            words.join(" ")
        };
        sent.borrow().iter().map(names).collect()
    }

    #[test]
    fn what_nobody_wants_has_no_number_and_is_not_written_down() {
        let (bus, sent) = bus();
        bus.tell(EventType::RemoteCommunication, || panic!("nobody wants it"));
        bus.group_came(&listening("pool", "REMOTE_COMMUNICATION"));
        bus.tell_of_group("other");
        bus.remote("type", "data");
        drain(&bus, "pool");
        assert_eq!(headers(&sent), ["serial:0 pool:pool poolserial:0 eventname:REMOTE_COMMUNICATION len:14"]);
    }

    #[test]
    fn pools_have_events_in_common_and_numbers_of_their_own() {
        let (bus, sent) = bus();
        bus.group_came(&listening("all", "EVENT"));
        bus.group_came(&listening("remote", "REMOTE_COMMUNICATION"));
        bus.remote("a", "");
        drain(&bus, "remote");
        assert_eq!(headers(&sent), ["serial:2 pool:remote poolserial:0 eventname:REMOTE_COMMUNICATION len:7"]);
        sent.borrow_mut().clear();
        drain(&bus, "all");
        assert_eq!(
            headers(&sent),
            [
                "serial:0 pool:all poolserial:0 eventname:PROCESS_GROUP_ADDED len:14",
                "serial:1 pool:all poolserial:1 eventname:PROCESS_GROUP_ADDED len:17",
                "serial:2 pool:all poolserial:2 eventname:REMOTE_COMMUNICATION len:7",
            ]
        );
    }

    #[test]
    fn a_group_that_goes_does_not_hear_of_it_but_others_do() {
        let (bus, sent) = bus();
        bus.group_came(&listening("one", "PROCESS_GROUP_REMOVED"));
        bus.group_came(&listening("two", "PROCESS_GROUP_REMOVED"));
        bus.group_went("one");
        assert!(bus.wants(EventType::ProcessGroupRemoved));
        drain(&bus, "two");
        assert_eq!(sent.borrow().iter().map(|text| text.lines().last()).collect::<Vec<_>>(), [Some("groupname:one")]);
        bus.group_went("two");
        assert!(!bus.wants(EventType::ProcessGroupRemoved));
    }

    #[test]
    fn an_end_is_told_once() {
        let (bus, sent) = bus();
        bus.group_came(&listening("pool", "SUPERVISOR_STATE_CHANGE"));
        bus.running();
        bus.stopping();
        bus.stopping();
        drain(&bus, "pool");
        assert_eq!(sent.borrow().len(), 2);
    }

    #[test]
    fn ticks_are_awaited_as_long_as_somebody_wants_them() {
        let (bus, _) = bus();
        assert_eq!(bus.wake_at(), None);
        bus.group_came(&listening("pool", "TICK_5"));
        assert!(bus.wake_at().is_some_and(|at| at.since(Monotonic::now()) <= Duration::from_secs(5)));
        bus.adjust(&listening("pool", "TICK_3600"));
        assert!(bus.wants(EventType::Tick3600) && !bus.wants(EventType::Tick5));
        bus.group_went("pool");
        assert_eq!(bus.wake_at(), None);
    }
}
