//! The order of starts and stops: lower priorities start first and stop last, those of one priority together.

use super::event::{Action, Happened, Report};
use super::{Fate, Machine, ProcessId, State, Unit};
use crate::base::bounds::START_FAILURES_AWAITED;
use crate::base::clock::Monotonic;
use std::collections::HashSet;
use std::time::Duration;

/// The worker pool's place in the order of stops: the priority that programs have by default. What starts before it stops after it.
const POOL_PRIORITY: i32 = 999;

/// A place in the order: the group's priority counts first, then the process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level {
    pub group: i32,
    pub process: i32,
}

/// Where a process is in the course of ordered starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wave {
    /// Not concerned.
    None,
    /// To be started when its turn has come.
    Waiting,
    /// Started; later ones wait until it is up or was given up.
    Begun,
}

/// The end of everything.
#[derive(Debug)]
pub(super) struct End {
    /// Nobody is given longer than that any more.
    haste: Option<Duration>,
}

impl Machine {
    pub(super) fn begin(&mut self) {
        for unit in &mut self.units {
            if unit.config.care.autostart {
                unit.wave = Wave::Waiting;
            }
        }
        self.want_dependencies();
    }

    /// Starts a process: at once, or after what it depends on, which is started first.
    pub(super) fn request(&mut self, id: ProcessId, now: Monotonic, actions: &mut Vec<Action>) {
        let Some(index) = self.units.iter().position(|unit| unit.id == id) else { return };
        if self.blocker(index).is_none() {
            return self.tell_at(index, Happened::Start, now, actions);
        }
        let unit = &mut self.units[index];
        if !unit.process.state().is_up() {
            (unit.wave, unit.has_complained) = (Wave::Waiting, false);
            self.want_dependencies();
        }
    }

    /// What somebody who is to start depends on is to start as well, whether it starts by itself or not.
    pub(super) fn want_dependencies(&mut self) {
        loop {
            let waiting = self.units.iter().filter(|unit| unit.wave == Wave::Waiting);
            let names: HashSet<String> = waiting.flat_map(|unit| &unit.config.care.depends_on).cloned().collect();
            let mut has_added = false;
            for unit in &mut self.units {
                let is_wanted = names.contains(&unit.config.program) || names.contains(&unit.config.group);
                let is_at_rest = matches!(unit.process.state(), State::Stopped) && matches!(unit.fate, Fate::Stays);
                if is_wanted && is_at_rest && unit.wave == Wave::None {
                    unit.wave = Wave::Waiting;
                    has_added = true;
                }
            }
            if !has_added {
                return;
            }
        }
    }

    /// The first name of what a process depends on that is not up.
    fn blocker(&self, index: usize) -> Option<&str> {
        let is_of = |unit: &Unit, name: &str| unit.config.program == name || unit.config.group == name;
        let is_missing = |name: &&String| {
            self.units
                .iter()
                .any(|unit| is_of(unit, name) && !unit.process.is_satisfied() && !matches!(unit.fate, Fate::Goes))
        };
        self.units[index].config.care.depends_on.iter().find(is_missing).map(String::as_str)
    }

    /// Tells once of each process that waits for what will not come by itself.
    fn complain(&mut self, actions: &mut Vec<Action>) {
        for index in 0..self.units.len() {
            if self.units[index].wave != Wave::Waiting || self.units[index].has_complained {
                continue;
            }
            let Some(name) = self.blocker(index).map(str::to_owned) else { continue };
            let is_hopeless = self.units.iter().any(|unit| {
                let is_it = unit.config.program == name || unit.config.group == name;
                is_it && unit.wave == Wave::None && unit.process.state().is_stopped() && !unit.process.is_satisfied()
            });
            if is_hopeless {
                let unit = &mut self.units[index];
                unit.has_complained = true;
                actions.push(Action::Report(unit.id, unit.config.clone(), Report::Waits(name)));
            }
        }
    }

    pub(super) fn settle_starts(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        for unit in self.units.iter_mut().filter(|unit| unit.wave == Wave::Begun) {
            let is_settled = match unit.process.state() {
                State::Starting | State::Stopping => false,
                State::Backoff => unit.process.failures() > START_FAILURES_AWAITED,
                State::Stopped | State::Running | State::Exited | State::Fatal | State::Unknown => true,
            };
            if is_settled {
                unit.wave = Wave::None;
            }
        }
        // Who waits for others holds up nobody.
        let is_blocked: Vec<bool> = (0..self.units.len())
            .map(|index| self.units[index].wave == Wave::Waiting && self.blocker(index).is_some())
            .collect();
        let concerned =
            self.units.iter().zip(&is_blocked).filter(|(unit, blocked)| unit.wave != Wave::None && !**blocked);
        let turn = concerned.map(|(unit, _)| unit.level).min();
        let mut has_begun = false;
        for (index, is_blocked) in is_blocked.iter().enumerate() {
            let unit = &mut self.units[index];
            if Some(unit.level) == turn && unit.wave == Wave::Waiting && !is_blocked {
                (unit.wave, unit.has_complained) = (Wave::Begun, false);
                has_begun = true;
                self.tell_at(index, Happened::Start, now, actions);
            }
        }
        // What needs no time to be up, or was up already, makes way for the next at once.
        if has_begun {
            self.settle_starts(now, actions);
        } else if is_blocked.contains(&true) {
            self.complain(actions);
        }
    }

    pub(super) fn end(&mut self) {
        if self.end.is_none() {
            self.end = Some(End { haste: None });
            for unit in &mut self.units {
                unit.wave = Wave::None;
                unit.process.freeze();
            }
        }
    }

    pub(super) fn hasten(&mut self, rest: Duration, now: Monotonic) {
        self.end();
        let end = self.end.as_mut().expect("it has just begun");
        let rest = end.haste.map_or(rest, |before| before.min(rest));
        end.haste = Some(rest);
        for unit in &mut self.units {
            unit.process.hasten(rest, now);
        }
    }

    /// Stops level after level, the last one first; in haste all of them at once.
    pub(super) fn settle_end(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let haste = self.end.as_ref().and_then(|end| end.haste);
        loop {
            let is_over = |unit: &Unit| unit.process.is_quiet() || unit.process.is_stuck(now);
            // What others depend on goes after them.
            let needed: HashSet<&String> =
                self.units.iter().filter(|unit| !is_over(unit)).flat_map(|unit| &unit.config.care.depends_on).collect();
            let is_needed: Vec<bool> = self
                .units
                .iter()
                .map(|unit| needed.contains(&unit.config.program) || needed.contains(&unit.config.group))
                .collect();
            let left = self.units.iter().zip(&is_needed).filter(|(unit, needed)| !is_over(unit) && !**needed);
            let turn = left.map(|(unit, _)| unit.level).max();
            let Some(turn) = turn else { break };
            let mut has_told = false;
            for (index, is_needed) in is_needed.into_iter().enumerate() {
                let unit = &mut self.units[index];
                let is_its_turn = unit.level >= turn && !is_needed;
                let may_stop =
                    haste.is_some() || (is_its_turn && (self.pool_is_gone || unit.level.group >= POOL_PRIORITY));
                if may_stop && !unit.was_ended {
                    unit.was_ended = true;
                    has_told = true;
                    self.tell_at(index, Happened::Stop, now, actions);
                    if let Some(rest) = haste {
                        self.units[index].process.hasten(rest, now);
                        self.tell_at(index, Happened::Tick, now, actions);
                    }
                }
            }
            if !has_told {
                break;
            }
        }
        let left: Vec<usize> = (0..self.units.len()).filter(|&index| !self.units[index].process.is_quiet()).collect();
        let all_stuck = left.iter().all(|&index| self.units[index].process.is_stuck(now));
        if all_stuck && self.pool_is_gone {
            for index in left {
                let unit = &self.units[index];
                actions.push(Action::Report(unit.id, unit.config.clone(), Report::LeftBehind));
            }
            self.is_done = true;
            actions.push(Action::Done);
        }
    }
}
