//! The machine of the programs: a pure function of (state, event, now) to actions.
//!
//! Owns every decision about them: order of starts and stops, restarts, reloads, the end. Never makes a system call and never reads a
//! clock. One [`process::Process`] holds the states of one process; this goes over all of them.

mod checks;
mod event;
mod order;
mod process;
#[cfg(test)]
mod simulation;
mod state;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod watch_tests;

pub use event::{Action, Event, Happened, ProcessId, Renewal, Report, Target};
pub use state::State;

use crate::base::clock::Monotonic;
use crate::config::{GroupConfig, OnFatal, ProcessConfig};
use crate::sys::process::Pid;
use order::{End, Level, Wave};
use process::{Process, Step};
use std::collections::HashMap;
use std::rc::Rc;

/// The state. See the module.
#[derive(Debug)]
pub struct Machine {
    units: Vec<Unit>,
    next_id: u32,
    end: Option<End>,
    /// The worker pool has ended.
    pool_is_gone: bool,
    is_done: bool,
    seed: u64,
}

/// One process with what is known of it beside its state.
#[derive(Debug)]
struct Unit {
    id: ProcessId,
    config: Rc<ProcessConfig>,
    level: Level,
    process: Process,
    wave: Wave,
    fate: Fate,
    /// It was told to stop because of its level, in the course of the end.
    was_ended: bool,
    /// It was said what it waits for.
    has_complained: bool,
}

/// What becomes of a unit once it has stopped.
#[derive(Debug)]
enum Fate {
    Stays,
    /// It is no longer in the configuration.
    Goes,
    /// Its configuration has changed; whether it is started then.
    Becomes(Rc<ProcessConfig>, Level, bool),
}

/// What can be said of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which.
    pub id: ProcessId,
    /// Its configuration.
    pub config: Rc<ProcessConfig>,
    /// What it is doing.
    pub state: State,
    /// Its main process, if it is there.
    pub pid: Option<Pid>,
    /// Though it is stopped, it will be started by itself.
    pub is_to_start: bool,
}

impl Status {
    /// A stop has something to do: what would come back by itself is as good as up.
    pub fn is_stoppable(&self) -> bool {
        self.state.is_up() || (self.is_to_start && self.state.is_stopped())
    }
}

impl Machine {
    /// A machine to which nothing has happened. `seed` makes waits differ from those of other hosts.
    pub fn new(groups: &[GroupConfig], seed: u64) -> Machine {
        let mut machine =
            Machine { units: Vec::new(), next_id: 0, end: None, pool_is_gone: false, is_done: false, seed };
        for (level, config) in flatten(groups) {
            machine.add(config, level);
        }
        machine
    }

    /// Takes note of `event`, which happened at `now`, and returns what to do, in order. `now` never goes back. After `Done`
    /// everything is ignored.
    pub fn handle(&mut self, event: Event, now: Monotonic) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_done {
            return actions;
        }
        match event {
            Event::Begin => self.begin(),
            Event::Process(id, Happened::Start) if self.end.is_none() => self.request(id, now, &mut actions),
            Event::Process(id, happened) => self.tell(id, happened, now, &mut actions),
            Event::Tick => {
                for index in 0..self.units.len() {
                    self.tell_at(index, Happened::Tick, now, &mut actions);
                }
            }
            Event::Reload(groups) => self.reload(&groups, now, &mut actions),
            Event::End => self.end(),
            Event::Hasten(rest) => self.hasten(rest, now),
            Event::PoolGone => {
                self.pool_is_gone = true;
                // Whatever ended it ends the program.
                self.end();
            }
        }
        self.settle(now, &mut actions);
        if cfg!(debug_assertions) {
            self.check();
        }
        actions
    }

    /// When the next `Tick` is due, if nothing else happens before; None: never. Ask again after each `handle`.
    pub fn wake_at(&self) -> Option<Monotonic> {
        if self.is_done {
            return None;
        }
        let processes = self.units.iter().filter_map(|unit| unit.process.wake_at(&unit.config.care));
        processes.min()
    }

    /// Every process, in supervisord's order: groups by priority, those of one group together.
    pub fn statuses(&self) -> Vec<Status> {
        let status = |unit: &Unit| Status {
            id: unit.id,
            config: unit.config.clone(),
            state: unit.process.state(),
            pid: unit.process.pid(),
            is_to_start: unit.process.is_to_start() || unit.wave == Wave::Waiting,
        };
        let mut places = HashMap::new();
        for (place, unit) in self.units.iter().enumerate() {
            places.entry(&unit.config.group).or_insert(place);
        }
        let mut units: Vec<&Unit> = self.units.iter().collect();
        units.sort_by_key(|unit| (unit.level.group, places[&unit.config.group], unit.level.process));
        units.into_iter().map(status).collect()
    }

    fn add(&mut self, config: Rc<ProcessConfig>, level: Level) {
        self.next_id += 1;
        let id = ProcessId(self.next_id);
        let process = self.fresh(id);
        self.units.push(Unit {
            id,
            config,
            level,
            process,
            wave: Wave::None,
            fate: Fate::Stays,
            was_ended: false,
            has_complained: false,
        });
    }

    fn fresh(&self, id: ProcessId) -> Process {
        Process::new(self.seed ^ u64::from(id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn tell(&mut self, id: ProcessId, happened: Happened, now: Monotonic, actions: &mut Vec<Action>) {
        if let Some(index) = self.units.iter().position(|unit| unit.id == id) {
            self.tell_at(index, happened, now, actions);
        }
    }

    fn tell_at(&mut self, index: usize, happened: Happened, now: Monotonic, actions: &mut Vec<Action>) {
        let unit = &mut self.units[index];
        if happened == Happened::Stop {
            unit.wave = Wave::None;
        }
        let before = unit.process.state();
        let mut steps = Vec::new();
        unit.process.handle(happened, &unit.config.care, now, &mut steps);
        actions.extend(steps.into_iter().map(|step| match step {
            Step::Spawn => Action::Spawn(unit.id, unit.config.clone()),
            Step::Signal(target, signal) => Action::Signal(unit.id, target, signal),
            Step::Check(pid, check) => Action::Check(unit.id, unit.config.clone(), pid, check),
            Step::Measure => Action::Measure(unit.id),
            Step::Report(report) => Action::Report(unit.id, unit.config.clone(), report),
        }));
        let is_fatal = before != State::Fatal && unit.process.state() == State::Fatal;
        if is_fatal && unit.config.care.on_fatal == OnFatal::Exit && self.end.is_none() {
            actions.push(Action::GiveUp);
        }
    }

    fn reload(&mut self, groups: &[GroupConfig], now: Monotonic, actions: &mut Vec<Action>) {
        if self.end.is_some() {
            return;
        }
        let key = |config: &ProcessConfig| (config.group.clone(), config.name.clone());
        let mut wanted: HashMap<_, _> =
            flatten(groups).enumerate().map(|(order, found)| (key(&found.1), (order, found))).collect();
        for index in 0..self.units.len() {
            let unit = &mut self.units[index];
            let Some((_, (level, config))) = wanted.remove(&key(&unit.config)) else {
                unit.fate = Fate::Goes;
                self.tell_at(index, Happened::Stop, now, actions);
                continue;
            };
            let is_leaving = !matches!(unit.fate, Fate::Stays);
            let was_up = match unit.fate {
                Fate::Stays => unit.process.state().is_up(),
                Fate::Goes => false,
                Fate::Becomes(.., starts) => starts,
            };
            if is_leaving || unit.config.launch != config.launch || is_piped_otherwise(&unit.config, &config) {
                let starts = config.care.autostart || was_up;
                unit.fate = Fate::Becomes(config, level, starts);
                self.tell_at(index, Happened::Stop, now, actions);
            } else if *unit.config != *config || unit.level != level {
                (unit.config, unit.level) = (config, level);
                actions.push(Action::Adjust(unit.id, unit.config.clone()));
            }
            let unit = &self.units[index];
            if let (Fate::Stays, Some(signal), Some(_)) =
                (&unit.fate, unit.config.care.reload_signal, unit.process.pid())
                && unit.process.state() != State::Stopping
            {
                actions.push(Action::Signal(unit.id, Target::Main, signal));
            }
        }
        let mut added: Vec<_> = wanted.into_values().collect();
        added.sort_by_key(|(order, _)| *order);
        for (_, (level, config)) in added {
            let starts = config.care.autostart;
            self.add(config, level);
            if starts {
                self.units.last_mut().expect("it was just added").wave = Wave::Waiting;
            }
        }
        self.want_dependencies();
    }

    /// Takes every step that follows from the state and the time.
    fn settle(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        self.settle_fates(actions);
        if self.end.is_some() {
            self.settle_end(now, actions);
        } else {
            self.settle_starts(now, actions);
        }
    }

    fn settle_fates(&mut self, actions: &mut Vec<Action>) {
        let seed = self.seed;
        self.units.retain_mut(|unit| {
            if !unit.process.is_quiet() {
                return true;
            }
            match std::mem::replace(&mut unit.fate, Fate::Stays) {
                Fate::Stays => true,
                Fate::Goes => {
                    actions.push(Action::Forget(unit.id));
                    false
                }
                Fate::Becomes(config, level, starts) => {
                    (unit.config, unit.level) = (config, level);
                    unit.process = Process::new(seed ^ u64::from(unit.id.0));
                    unit.wave = if starts { Wave::Waiting } else { Wave::None };
                    actions.push(Action::Adjust(unit.id, unit.config.clone()));
                    true
                }
            }
        });
    }

    /// What must hold after every transition; a failure is a bug of the machine, never of the world.
    fn check(&self) {
        let mut pids: Vec<i32> =
            self.units.iter().filter_map(|unit| unit.process.pid()).map(|pid| pid.as_raw_nonzero().get()).collect();
        pids.sort_unstable();
        assert!(pids.windows(2).all(|pair| pair[0] != pair[1]), "a process has one role");
        if self.is_done {
            assert!(self.end.is_some(), "only what was told to end is done");
        }
        for unit in &self.units {
            let waits = matches!(unit.process.state(), State::Starting | State::Backoff | State::Stopping);
            let has_end = unit.process.wake_at(&unit.config.care).is_some();
            let is_held = self.end.is_some() || unit.process.pid().is_none();
            assert!(!waits || has_end || is_held, "every wait has an end: {unit:?}");
        }
    }
}

/// Whether the pipes that a process was started with would be others.
fn is_piped_otherwise(old: &ProcessConfig, new: &ProcessConfig) -> bool {
    let is_wanted_otherwise =
        old.stdout.is_wanted() != new.stdout.is_wanted() || old.stderr.is_wanted() != new.stderr.is_wanted();
    // A listener speaks from its beginning on.
    is_wanted_otherwise || old.stdout.is_listener != new.stdout.is_listener
}

fn flatten(groups: &[GroupConfig]) -> impl Iterator<Item = (Level, Rc<ProcessConfig>)> {
    groups.iter().flat_map(|group| {
        let level = |process: &ProcessConfig| Level { group: group.priority, process: process.care.priority };
        group.processes.iter().map(move |process| (level(process), Rc::new(process.clone())))
    })
}
