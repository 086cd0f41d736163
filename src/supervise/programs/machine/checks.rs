//! Whether a process is ready and alive, and how large and old it is: when to look, and what follows.
//!
//! Pure, like all of the machine. Looks at one process; stopping and starting it anew is `process`'s.

use super::event::Renewal;
use super::process::{Process, Step};
use crate::base::bounds::RSS_LOOK_SECONDS;
use crate::base::clock::Monotonic;
use crate::config::{CareConfig, CheckConfig, Probe};
use crate::sys::process::Pid;
use std::time::Duration;

const RSS_LOOK: Duration = Duration::from_secs(RSS_LOOK_SECONDS);
/// The part of `max_lifetime` that chance takes off, so that the processes of a program do not all go at once.
const LIFETIME_SPREAD: f64 = 0.1;

/// What is known of a process that runs, and when to look next.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// It was seen to be ready, or has said so.
    pub is_ready: bool,
    /// When to try next; None: a try is under way, or there is nothing to try.
    check_at: Option<Monotonic>,
    is_checking: bool,
    /// Failed tries in a row.
    misses: u32,
    /// What was wrong at the last one.
    wrong: Option<String>,
    measure_at: Option<Monotonic>,
    /// When it is too old.
    retire_at: Option<Monotonic>,
    came_up: Option<(Monotonic, f64)>,
}

impl Watch {
    /// That of a process that was just begun.
    pub fn of_start(care: &CareConfig, now: Monotonic) -> Watch {
        let is_tried = care.ready.as_ref().is_some_and(|check| check.probe != Probe::Notify);
        Watch { check_at: is_tried.then_some(now), ..Watch::default() }
    }

    /// It is ready, as far as is asked.
    pub fn is_ready(&self, care: &CareConfig) -> bool {
        self.is_ready || care.ready.is_none()
    }

    /// While it starts: when there is something to do.
    pub fn start_at(&self, since: Monotonic, care: &CareConfig) -> Option<Monotonic> {
        match &care.ready {
            Some(ready) if !self.is_ready => self.check_at.into_iter().chain([since + ready.within]).min(),
            _ => Some(since + care.startsecs),
        }
    }

    /// While it runs: when there is something to do.
    pub fn next_at(&self) -> Option<Monotonic> {
        self.check_at.into_iter().chain(self.measure_at).chain(self.retire_at).min()
    }

    /// From now on it is to stay alive. `fraction` is chance, from 0 to 1.
    pub fn came_up(&mut self, care: &CareConfig, now: Monotonic, fraction: f64) {
        *self = Watch { is_ready: true, came_up: Some((now, fraction)), ..Watch::default() };
        self.plan(care, now);
    }

    /// It has said that it is alive.
    pub fn beat(&mut self, care: &CareConfig, now: Monotonic) {
        if let (Some(check), true) = (notified(care), self.came_up.is_some()) {
            self.misses = 0;
            self.check_at = Some(now + check.interval);
        }
    }

    /// Sets what is to be looked at by a configuration that may have changed.
    fn plan(&mut self, care: &CareConfig, now: Monotonic) {
        match &care.liveness {
            Some(check) if self.check_at.is_none() && !self.is_checking => self.check_at = Some(now + check.interval),
            Some(_) => {}
            None => (self.check_at, self.misses) = (None, 0),
        }
        match care.max_rss {
            Some(_) => self.measure_at = self.measure_at.or(Some(now + RSS_LOOK)),
            None => self.measure_at = None,
        }
        self.retire_at = care.max_lifetime.zip(self.came_up).map(|(lifetime, (since, fraction))| {
            since + (lifetime - lifetime.mul_f64(fraction * LIFETIME_SPREAD)).max(Duration::from_millis(1))
        });
    }
}

/// The liveness check that only listens.
fn notified(care: &CareConfig) -> Option<&CheckConfig> {
    care.liveness.as_ref().filter(|check| check.probe == Probe::Notify)
}

impl Process {
    /// While it starts and is not ready: tries, and gives it up in the end.
    pub(super) fn watch_start(
        &mut self,
        pid: Pid,
        since: Monotonic,
        care: &CareConfig,
        now: Monotonic,
        steps: &mut Vec<Step>,
    ) {
        let Some(ready) = care.ready.as_ref().filter(|_| !self.watch.is_ready) else { return };
        if now >= since + ready.within {
            let silent = || "it has not said that it is ready".to_owned();
            let wrong = self.watch.wrong.take().unwrap_or_else(silent);
            self.miss_start(wrong, care, now, steps);
        } else if self.watch.check_at.is_some_and(|at| now >= at) {
            (self.watch.check_at, self.watch.is_checking) = (None, true);
            steps.push(Step::Check(pid, ready.clone()));
        }
    }

    /// While it runs.
    pub(super) fn watch_life(&mut self, pid: Pid, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        self.watch.plan(care, now);
        let is_due = |at: Option<Monotonic>| at.is_some_and(|at| now >= at);
        if is_due(self.watch.retire_at) {
            return self.renew(Renewal::TooOld, care, now, steps);
        }
        if is_due(self.watch.measure_at) {
            self.watch.measure_at = Some(now + RSS_LOOK);
            steps.push(Step::Measure);
        }
        if is_due(self.watch.check_at)
            && let Some(check) = &care.liveness
        {
            if check.probe == Probe::Notify {
                self.watch.check_at = Some(now + check.interval);
                return self.missed("it has not said that it is alive".to_owned(), care, now, steps);
            }
            (self.watch.check_at, self.watch.is_checking) = (None, true);
            steps.push(Step::Check(pid, check.clone()));
        }
    }

    /// A try has come to its end.
    pub(super) fn checked(&mut self, wrong: Option<String>, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        if !std::mem::take(&mut self.watch.is_checking) {
            return;
        }
        let is_up = self.watch.came_up.is_some();
        let check = if is_up { &care.liveness } else { &care.ready };
        let Some(check) = check else { return };
        match (wrong, is_up) {
            (None, true) => {
                (self.watch.misses, self.watch.check_at) = (0, Some(now + check.interval));
            }
            (None, false) => self.watch.is_ready = true,
            (Some(wrong), true) => {
                self.watch.check_at = Some(now + check.interval);
                self.missed(wrong, care, now, steps);
            }
            (Some(wrong), false) => {
                (self.watch.wrong, self.watch.check_at) = (Some(wrong), Some(now + check.interval));
            }
        }
    }

    fn missed(&mut self, wrong: String, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        self.watch.misses = self.watch.misses.saturating_add(1);
        if care.liveness.as_ref().is_some_and(|check| self.watch.misses >= check.failures) {
            self.renew(Renewal::NotAlive(wrong), care, now, steps);
        }
    }

    /// How much memory it and what it has started have.
    pub(super) fn measured(&mut self, bytes: u64, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        if care.max_rss.is_some_and(|max| bytes > max) {
            self.renew(Renewal::TooLarge(bytes), care, now, steps);
        }
    }
}
