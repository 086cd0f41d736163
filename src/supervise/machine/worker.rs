//! One worker process as the machine sees it: from the report of its fork to its reaping.

use super::clock::{Clock, GRACE};
use super::event::{Action, GenerationId, Held, KillReason, PoolSettings, Reading, Report, WorkerId};
use super::liveness::{Liveness, Sight, Verdict};
use super::recycling::{Seen, Wear};
use crate::base::clock::Monotonic;
use crate::sys::memory::{SlotState, SlotView};
use crate::sys::process::{Pid, Signal};
use std::time::Duration;

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
    clock: Clock,
    liveness: Liveness,
    /// Requests wait in its inbox, as of the last word on it.
    is_work_waiting: bool,
    /// It was asked whether it lives, and has not answered.
    is_silent: bool,
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
            clock: Clock::default(),
            liveness: Liveness::default(),
            is_work_waiting: false,
            is_silent: false,
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
        let overdue_at =
            settings.timeout.map(|timeout| self.look_at_requests(&views, generation, timeout, now, actions));
        let all = readings.iter().filter(|reading| reading.generation == generation);
        let done_by_all = all.map(|reading| reading.view.done).sum();
        let life_at = settings
            .liveness_timeout
            .map(|limit| self.look_for_life(&views, done_by_all, generation, (settings, limit), now, actions));
        let worn_at = settings.recycle.look_at(self.id, self.since, now).filter(|_| self.worn.is_none());
        self.look_at = overdue_at.into_iter().chain(life_at).chain(worn_at).min();
    }

    /// Has threads let go of requests that take too long. Returns when to look again.
    fn look_at_requests(
        &mut self,
        views: &[SlotView],
        generation: GenerationId,
        timeout: Duration,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) -> Monotonic {
        let found = self.clock.look(views, timeout, now);
        let is_first = !found.fresh.is_empty();
        for (request, age) in found.fresh {
            actions.push(Action::Report(Report::RequestOverdue { worker: self.id, pid: self.pid, request, age }));
        }
        if matches!(self.ending, Ending::No | Ending::Asked { .. }) {
            // A thread that does not let go may be all that is wrong, or hold up all of its process.
            if is_first && self.clock.has_others {
                actions.push(Action::AskForLife { generation, pid: self.pid });
            }
            let interrupt = |request| Action::Interrupt { generation, pid: self.pid, request };
            actions.extend(self.clock.overdue().map(interrupt));
        }
        found.look_at
    }

    /// Ends it if it takes no work. Returns when to look again.
    fn look_for_life(
        &mut self,
        views: &[SlotView],
        done_by_all: u64,
        generation: GenerationId,
        (settings, limit): (&PoolSettings, Duration),
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) -> Monotonic {
        let sight = Sight {
            is_idle: views.iter().all(|view| view.state == SlotState::Idle),
            is_work_waiting: self.is_work_waiting,
            done: views.iter().map(|view| view.done).sum(),
            done_by_all,
            is_silent: self.is_silent,
        };
        match self.liveness.look(sight, limit, now) {
            Verdict::Alive => {}
            Verdict::Wake => actions.push(Action::AskForLife { generation, pid: self.pid }),
            Verdict::NotAlive => self.abort(KillReason::NotAlive, settings, now, actions),
        }
        self.liveness.look_at(limit, now)
    }

    /// A thread does not let go of its request. Its process ends at once if no other of its threads can do any work, and else when
    /// they are done, once there is another one in its place.
    fn settle_stuck(
        &mut self,
        generation: GenerationId,
        settings: &PoolSettings,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        let Some((held, since)) = self.clock.stuck(now) else { return };
        if !matches!(self.ending, Ending::No | Ending::Asked { .. }) {
            return;
        }
        let told = self.clock.give_up(now);
        if !self.clock.has_others || (self.is_silent && since >= GRACE) {
            self.abort(KillReason::RequestTimeout(held), settings, now, actions);
        } else {
            actions.extend(told.into_iter().map(|request| Action::GiveUp { generation, request }));
            self.worn.get_or_insert(Wear::Stuck);
        }
    }

    /// What the loop has seen of it beside its readings.
    pub fn note_life(&mut self, is_work_waiting: bool, is_silent: bool) {
        self.is_work_waiting = is_work_waiting;
        self.is_silent = is_silent;
    }

    /// The requests for whose sake it is ended.
    pub fn overdue(&self) -> Vec<Held> {
        self.clock.overdue().collect()
    }

    /// Takes the steps whose time has come.
    pub fn settle(
        &mut self,
        generation: GenerationId,
        settings: &PoolSettings,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        self.settle_stuck(generation, settings, now, actions);
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
            Ending::Asked { again_at, kill_at } => self.look_at.into_iter().chain([again_at, kill_at]).min(),
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
