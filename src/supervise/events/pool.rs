//! One `[eventlistener.NAME]`: the events that wait for it, and its processes, each of which has one event at a time.
//!
//! Pure but for the sending, which the caller passes in. Owns the bounds: so many events and bytes wait, then the oldest are dropped; and the
//! numbers by which a listener sees that some were.

use std::collections::VecDeque;
use std::rc::Rc;

use super::payload::envelope;
use super::talk::{Mode, Said, Talk};
use crate::base::bounds::EVENTS_WAITING_BYTES_MAX;
use crate::config::{EventType, ListenConfig};
use crate::supervise::programs::machine::ProcessId;

/// An event, the same for all pools.
#[derive(Debug)]
pub(super) struct Event {
    pub kind: EventType,
    /// Its number among all events that some pool has heard.
    pub serial: u64,
    pub payload: String,
}

/// An event in one pool.
#[derive(Clone, Debug)]
struct Waiting {
    event: Rc<Event>,
    /// Its number among those of the pool.
    pool_serial: u64,
}

/// The pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// Its group's name.
    pub name: String,
    pub config: ListenConfig,
    waiting: VecDeque<Waiting>,
    /// Bytes of the payloads that wait.
    bytes: usize,
    next_serial: u64,
    /// In the order of their ids.
    listeners: Vec<Listener>,
}

/// One process of the pool.
#[derive(Debug)]
struct Listener {
    id: ProcessId,
    /// Its present incarnation; what an earlier one says late is nobody's.
    pid: i32,
    is_running: bool,
    talk: Talk,
    event: Option<Waiting>,
}

/// What came of what a listener has said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The event that it has refused.
    pub rejected: Option<u64>,
    /// It has broken the protocol.
    pub is_broken: bool,
    /// Events that were dropped, because others came back.
    pub dropped: Vec<u64>,
}

impl Pool {
    pub fn new(name: &str, config: ListenConfig) -> Pool {
        let name = name.to_owned();
        Pool { name, config, waiting: VecDeque::new(), bytes: 0, next_serial: 0, listeners: Vec::new() }
    }

    /// Takes an event. The numbers of those that had to be dropped for it.
    pub fn accept(&mut self, event: Rc<Event>) -> Vec<u64> {
        let waiting = Waiting { event, pool_serial: self.next_serial };
        self.next_serial += 1;
        let dropped = self.make_room(&waiting);
        self.bytes += waiting.event.payload.len();
        self.waiting.push_back(waiting);
        dropped
    }

    /// A process of it is or is not RUNNING now.
    pub fn runs(&mut self, id: ProcessId, is_running: bool) {
        self.listener(id).is_running = is_running;
    }

    /// A new incarnation of a process has begun. What its predecessor had not done with comes again.
    pub fn begun(&mut self, id: ProcessId, pid: i32) -> Vec<u64> {
        let listener = self.listener(id);
        (listener.pid, listener.talk) = (pid, Talk::default());
        let event = listener.event.take();
        self.take_back(event)
    }

    /// Nothing more comes from an incarnation.
    pub fn ended(&mut self, id: ProcessId, pid: i32) -> Vec<u64> {
        let listener = self.listener(id);
        let event = if listener.pid == pid { listener.event.take() } else { None };
        self.take_back(event)
    }

    /// A process is no longer looked after.
    pub fn forget(&mut self, id: ProcessId) {
        self.listeners.retain(|listener| listener.id != id);
    }

    /// An incarnation has said something.
    pub fn hear(&mut self, id: ProcessId, pid: i32, bytes: &[u8]) -> Heard {
        let listener = self.listener(id);
        let mut heard = Heard::default();
        if listener.pid != pid {
            return heard;
        }
        let mut returned = None;
        let event = &mut listener.event;
        listener.talk.hear(bytes, |said| match said {
            Said::Ready => {}
            Said::Done => *event = None,
            Said::Rejected => {
                heard.rejected = event.as_ref().map(|waiting| waiting.event.serial);
                returned = event.take();
            }
            Said::Nonsense => {
                heard.is_broken = true;
                returned = event.take().or(returned.take());
            }
        });
        heard.dropped = self.take_back(returned);
        heard
    }

    /// Gives events to those that are ready. `send` says whether it could be done.
    pub fn dispatch(&mut self, send: &dyn Fn(ProcessId, &str) -> bool) {
        while let Some(Waiting { event, pool_serial }) = self.waiting.front() {
            let ready = |listener: &&mut Listener| listener.is_running && listener.talk.mode() == Mode::Ready;
            let mut text = None;
            let taker = self.listeners.iter_mut().filter(ready).find(|listener| {
                let write = || envelope(event.kind, event.serial, &self.name, *pool_serial, &event.payload);
                send(listener.id, text.get_or_insert_with(write))
            });
            let Some(taker) = taker else { return };
            taker.talk.sent();
            self.bytes -= event.payload.len();
            taker.event = self.waiting.pop_front();
        }
    }

    /// Puts an event back to the front.
    fn take_back(&mut self, event: Option<Waiting>) -> Vec<u64> {
        let Some(waiting) = event else { return Vec::new() };
        let dropped = self.make_room(&waiting);
        self.bytes += waiting.event.payload.len();
        self.waiting.push_front(waiting);
        dropped
    }

    /// Drops the oldest until there is room for one more.
    fn make_room(&mut self, next: &Waiting) -> Vec<u64> {
        let mut dropped = Vec::new();
        let bytes = next.event.payload.len();
        while self.waiting.len() >= self.config.buffer_size || self.bytes + bytes > EVENTS_WAITING_BYTES_MAX {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.event.payload.len();
            dropped.push(oldest.event.serial);
        }
        dropped
    }

    fn listener(&mut self, id: ProcessId) -> &mut Listener {
        let place = self.listeners.partition_point(|listener| listener.id < id);
        if self.listeners.get(place).is_none_or(|listener| listener.id != id) {
            let listener = Listener { id, pid: 0, is_running: false, talk: Talk::default(), event: None };
            self.listeners.insert(place, listener);
        }
        &mut self.listeners[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EventSet;
    use std::cell::RefCell;

    const ONE: ProcessId = ProcessId(1);
    const TWO: ProcessId = ProcessId(2);

    fn pool(buffer_size: usize) -> Pool {
        let events = EventSet::named("EVENT").expect("a name");
        Pool::new("pool", ListenConfig { events, buffer_size })
    }

    fn event(serial: u64) -> Rc<Event> {
        Rc::new(Event { kind: EventType::Tick5, serial, payload: format!("when:{serial}") })
    }

    /// Who got which event: its number and that of the pool.
    fn dispatched(pool: &mut Pool) -> Vec<(u32, u64, u64)> {
        let sent = RefCell::new(Vec::new());
        pool.dispatch(&|id, text| {
            let number = |name: &str| {
                let word = text.split(' ').find_map(|word| word.strip_prefix(name)).expect("it is in the header");
                word.parse().expect("a number")
            };
            sent.borrow_mut().push((id.0, number("serial:"), number("poolserial:")));
            true
        });
        sent.into_inner()
    }

    fn ready(pool: &mut Pool, id: ProcessId, pid: i32) {
        pool.begun(id, pid);
        pool.runs(id, true);
        pool.hear(id, pid, b"READY\n");
    }

    #[test]
    fn each_that_is_ready_gets_one_event_and_the_rest_waits() {
        let mut pool = pool(10);
        ready(&mut pool, TWO, 22);
        ready(&mut pool, ONE, 11);
        for serial in 5..8 {
            assert!(pool.accept(event(serial)).is_empty());
        }
        assert_eq!(dispatched(&mut pool), [(1, 5, 0), (2, 6, 1)]);
        assert_eq!(pool.hear(TWO, 22, b"RESULT 2\nOKREADY\n"), Heard::default());
        assert_eq!(dispatched(&mut pool), [(2, 7, 2)]);
    }

    #[test]
    fn nobody_gets_an_event_before_it_is_running_and_ready() {
        let mut pool = pool(10);
        pool.accept(event(0));
        pool.begun(ONE, 11);
        pool.hear(ONE, 11, b"READY\n");
        assert_eq!(dispatched(&mut pool), []);
        pool.runs(ONE, true);
        assert_eq!(dispatched(&mut pool), [(1, 0, 0)]);
    }

    #[test]
    fn what_is_refused_or_was_not_done_comes_again_first_and_with_its_numbers() {
        let mut pool = pool(10);
        ready(&mut pool, ONE, 11);
        pool.accept(event(3));
        pool.accept(event(4));
        assert_eq!(dispatched(&mut pool), [(1, 3, 0)]);
        assert_eq!(pool.hear(ONE, 11, b"RESULT 4\nFAILREADY\n").rejected, Some(3));
        assert_eq!(dispatched(&mut pool), [(1, 3, 0)]);
        // Its death is known before all of its words, and the last of them is its word.
        pool.runs(ONE, false);
        pool.hear(ONE, 11, b"RESULT 2\nOK");
        pool.ended(ONE, 11);
        ready(&mut pool, ONE, 12);
        assert_eq!(dispatched(&mut pool), [(1, 4, 1)]);
        pool.ended(ONE, 12);
        ready(&mut pool, ONE, 13);
        assert_eq!(dispatched(&mut pool), [(1, 4, 1)]);
    }

    #[test]
    fn what_an_earlier_incarnation_says_is_nobodys() {
        let mut pool = pool(10);
        ready(&mut pool, ONE, 11);
        pool.begun(ONE, 12);
        assert_eq!(pool.hear(ONE, 11, b"nonsense"), Heard::default());
        assert!(pool.ended(ONE, 11).is_empty());
        pool.accept(event(0));
        assert_eq!(dispatched(&mut pool), []);
        pool.hear(ONE, 12, b"READY\n");
        assert_eq!(dispatched(&mut pool), [(1, 0, 0)]);
    }

    #[test]
    fn who_breaks_the_protocol_loses_its_event_to_others() {
        let mut pool = pool(10);
        ready(&mut pool, ONE, 11);
        pool.accept(event(0));
        dispatched(&mut pool);
        assert!(pool.hear(ONE, 11, b"what?\nREADY\n").is_broken);
        assert_eq!(dispatched(&mut pool), []);
        ready(&mut pool, TWO, 22);
        assert_eq!(dispatched(&mut pool), [(2, 0, 0)]);
    }

    #[test]
    fn who_can_not_be_written_to_stays_ready() {
        let mut pool = pool(10);
        ready(&mut pool, ONE, 11);
        pool.accept(event(0));
        pool.dispatch(&|_, _| false);
        assert_eq!(dispatched(&mut pool), [(1, 0, 0)]);
    }

    #[test]
    fn beyond_the_bound_the_oldest_are_dropped() {
        let mut pool = pool(2);
        ready(&mut pool, ONE, 11);
        pool.accept(event(0));
        dispatched(&mut pool);
        assert!(pool.accept(event(1)).is_empty() && pool.accept(event(2)).is_empty());
        assert_eq!(pool.accept(event(3)), [1]);
        // What comes back has the place of the oldest of those that waited.
        assert_eq!(pool.hear(ONE, 11, b"RESULT 4\nFAILREADY\n").dropped, [2]);
        assert_eq!(dispatched(&mut pool), [(1, 0, 0)]);
        pool.hear(ONE, 11, b"RESULT 2\nOKREADY\n");
        assert_eq!(dispatched(&mut pool), [(1, 3, 3)]);
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn bytes_are_bounded_too_but_one_event_always_waits() {
        let mut pool = pool(10);
        let large =
            |serial| Rc::new(Event { payload: "x".repeat(EVENTS_WAITING_BYTES_MAX / 2), ..taken(event(serial)) });
        assert!(pool.accept(large(0)).is_empty() && pool.accept(large(1)).is_empty());
        assert_eq!(pool.accept(event(2)), [0]);
        let huge = Event { payload: "x".repeat(EVENTS_WAITING_BYTES_MAX + 1), ..taken(event(3)) };
        assert_eq!(pool.accept(Rc::new(huge)), [1, 2]);
        assert_eq!(pool.waiting.len(), 1);
    }

    fn taken(event: Rc<Event>) -> Event {
        Rc::into_inner(event).expect("nobody else has it")
    }
}
