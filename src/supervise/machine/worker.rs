//! One worker process as the machine sees it: from the report of its fork to its reaping.

use super::event::{Action, GenerationId, Held, KillReason, PoolSettings, Reading, Report, WorkerId};
use super::recycling::{Seen, Wear};
use crate::base::clock::Monotonic;
use crate::sys::memory::{SlotState, SlotView};
use crate::sys::process::{Pid, Signal};
use std::time::Duration;

/// A request over its time is looked at again after this long before its worker is signalled: one reading may be torn.
const CONFIRM_AFTER: Duration = Duration::from_millis(20);
/// A worker that was asked to end is asked again after this long: one with a single thread does not hear a signal that comes exactly
/// between its last look for one and its wait (`worker.py`).
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A worker that is starting is looked at after a quarter of its age, between these bounds.
const BOOT_LOOK_MIN: Duration = Duration::from_millis(2);
const BOOT_LOOK_MAX: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub id: WorkerId,
    pub pid: Pid,
    /// When its fork was asked for.
    pub since: Monotonic,
    /// Whether its scoreboard slot was seen in use.
    pub is_up: bool,
    ending: Ending,
    /// The request that took too long, so that the worker is ended.
    pub overdue: Option<Held>,
    /// A request that was over its time at the last look.
    suspect: Option<(Held, Monotonic)>,
    /// A request that was seen in hand before its thread had noted the time, and since when.
    untimed: Option<(u64, Monotonic)>,
    /// Why it is to be replaced.
    pub worn: Option<Wear>,
    /// What it had finished when it was first seen to have too much memory.
    large_at: Option<u64>,
    /// When to read its scoreboard slots next; None: never.
    look_at: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    No,
    /// By a person: it finishes what it has in hand.
    Asked {
        again_at: Monotonic,
        kill_at: Monotonic,
    },
    Aborted {
        kill_at: Monotonic,
    },
    Killed,
}

impl Worker {
    pub fn new(id: WorkerId, pid: Pid, since: Monotonic, now: Monotonic) -> Worker {
        Worker {
            id,
            pid,
            since,
            is_up: false,
            ending: Ending::No,
            overdue: None,
            suspect: None,
            untimed: None,
            worn: None,
            large_at: None,
            look_at: Some(now + BOOT_LOOK_MIN),
        }
    }

    /// Looks at its slots: is it up, is a request over its time, is it worn?
    pub fn look(
        &mut self,
        readings: &[Reading],
        generation: GenerationId,
        settings: &PoolSettings,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        let number = self.pid.as_raw_nonzero().get() as u32;
        let own = || readings.iter().filter(|reading| reading.generation == generation && reading.view.pid == number);
        self.is_up |= own().any(|reading| reading.view.state != SlotState::Empty);
        if !self.is_up {
            self.look_at = Some(now + (now.since(self.since) / 4).clamp(BOOT_LOOK_MIN, BOOT_LOOK_MAX));
            return;
        }
        let views: Vec<SlotView> = own().map(|reading| reading.view).collect();
        if self.worn.is_none() {
            let seen = Seen {
                done: views.iter().map(|view| view.done).sum(),
                is_idle: views.iter().all(|view| view.state != SlotState::Busy),
                rss_bytes: own().find_map(|reading| reading.rss_bytes),
            };
            self.worn = settings.recycle.judge(self.id, self.since, seen, &mut self.large_at, now);
        }
        let overdue_at = settings.timeout.map(|timeout| self.look_for_overdue(&views, timeout, settings, now, actions));
        let worn_at = settings.recycle.look_at(self.id, self.since, now).filter(|_| self.worn.is_none());
        self.look_at = overdue_at.into_iter().chain(worn_at).min();
    }

    /// Ends it if a request takes too long. Returns when to look again.
    fn look_for_overdue(
        &mut self,
        views: &[SlotView],
        timeout: Duration,
        settings: &PoolSettings,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) -> Monotonic {
        let mut look_at = now + timeout;
        let mut overdue = Vec::new();
        for view in views.iter().filter(|view| view.state == SlotState::Busy) {
            // Just taken, and the thread has not had its turn since: its time begins when it was first seen so.
            let started = if view.started == Monotonic::ZERO { self.seen(view.token, now) } else { view.started };
            let deadline = started + timeout;
            if deadline > now {
                look_at = look_at.min(deadline);
            } else {
                overdue.push((Held { shard: view.shard, token: view.token }, started));
            }
        }
        let confirmed = self.suspect.filter(|suspect| overdue.contains(suspect));
        self.suspect = confirmed.or(overdue.first().copied());
        match confirmed {
            Some((held, _)) => {
                self.overdue = Some(held);
                self.abort(KillReason::RequestTimeout(held), settings, now, actions);
            }
            None if self.suspect.is_some() => look_at = now + CONFIRM_AFTER,
            None => {}
        }
        look_at
    }

    /// When `token` was first seen in hand without a time of its own.
    fn seen(&mut self, token: u64, now: Monotonic) -> Monotonic {
        match self.untimed {
            Some((known, since)) if known == token => since,
            _ => {
                self.untimed = Some((token, now));
                now
            }
        }
    }

    /// Takes the steps whose time has come.
    pub fn settle(&mut self, settings: &PoolSettings, now: Monotonic, actions: &mut Vec<Action>) {
        match self.ending {
            Ending::No if !self.is_up && now >= self.since + settings.boot_timeout => {
                self.abort(KillReason::BootTimeout, settings, now, actions);
            }
            Ending::Asked { kill_at, .. } if now >= kill_at => self.kill(KillReason::AskIgnored, actions),
            Ending::Asked { again_at, kill_at } if now >= again_at => {
                self.ending = Ending::Asked { again_at: now + ASK_AGAIN_AFTER, kill_at };
                actions.push(Action::Kill { pid: self.pid, signal: Signal::TERM });
            }
            Ending::Aborted { kill_at } if now >= kill_at => self.kill(KillReason::AbortIgnored, actions),
            _ => {}
        }
    }

    /// Asks it to end when it has finished what it has in hand, within `limit`; once, and only when it is up.
    pub fn ask_to_end(&mut self, limit: Duration, reason: KillReason, now: Monotonic, actions: &mut Vec<Action>) {
        if self.is_up && matches!(self.ending, Ending::No) {
            self.ending = Ending::Asked { again_at: now + ASK_AGAIN_AFTER, kill_at: now + limit };
            self.signal(Signal::TERM, reason, actions);
        }
    }

    /// It was told to end.
    pub fn is_leaving(&self) -> bool {
        !matches!(self.ending, Ending::No)
    }

    /// Ends it at once, unless that was done before.
    pub fn kill(&mut self, reason: KillReason, actions: &mut Vec<Action>) {
        if !matches!(self.ending, Ending::Killed) {
            self.ending = Ending::Killed;
            self.signal(Signal::KILL, reason, actions);
        }
    }

    /// When a tick is due for this worker's sake.
    pub fn wake_at(&self, settings: &PoolSettings) -> Option<Monotonic> {
        match self.ending {
            Ending::No if !self.is_up => {
                let boot_end = self.since + settings.boot_timeout;
                Some(self.look_at.map_or(boot_end, |look_at| look_at.min(boot_end)))
            }
            Ending::No => self.look_at,
            Ending::Asked { again_at, kill_at } => Some(again_at.min(kill_at)),
            Ending::Aborted { kill_at } => Some(kill_at),
            Ending::Killed => None,
        }
    }

    /// Ends it, with the stacks of its threads in the log, unless that was done before.
    pub fn abort(&mut self, reason: KillReason, settings: &PoolSettings, now: Monotonic, actions: &mut Vec<Action>) {
        if matches!(self.ending, Ending::No | Ending::Asked { .. }) {
            self.ending = Ending::Aborted { kill_at: now + settings.abort_grace };
            self.signal(Signal::ABORT, reason, actions);
        }
    }

    fn signal(&self, signal: Signal, reason: KillReason, actions: &mut Vec<Action>) {
        actions.push(Action::Report(Report::WorkerSignalled { worker: self.id, pid: self.pid, signal, reason }));
        actions.push(Action::Kill { pid: self.pid, signal });
    }
}
