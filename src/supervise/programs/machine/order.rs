//! The order of starts and stops: lower priorities start first and stop last, those of one priority together.

use super::event::{Action, Happened, Report};
use super::{Machine, State};
use crate::base::bounds::START_FAILURES_AWAITED;
use crate::base::clock::Monotonic;
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
        let Some(turn) = self.units.iter().filter(|unit| unit.wave != Wave::None).map(|unit| unit.level).min() else {
            return;
        };
        let mut has_begun = false;
        for index in 0..self.units.len() {
            let unit = &mut self.units[index];
            if unit.level == turn && unit.wave == Wave::Waiting {
                unit.wave = Wave::Begun;
                has_begun = true;
                self.tell_at(index, Happened::Start, now, actions);
            }
        }
        // What needs no time to be up, or was up already, makes way for the next at once.
        if has_begun {
            self.settle_starts(now, actions);
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
            let is_over = |unit: &super::Unit| unit.process.is_quiet() || unit.process.is_stuck(now);
            let turn = self.units.iter().filter(|unit| !is_over(unit)).map(|unit| unit.level).max();
            let Some(turn) = turn else { break };
            let mut has_told = false;
            for index in 0..self.units.len() {
                let unit = &mut self.units[index];
                let may_stop =
                    haste.is_some() || (unit.level >= turn && (self.pool_is_gone || unit.level.group >= POOL_PRIORITY));
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
