//! One generation of the pool as the machine sees it: its phase, its zygote, its worker slots.

use super::event::{Action, GenerationId, KillReason, PoolSettings, Reading, Report};
use super::recycling::Succession;
use super::reserve::Reserve;
use super::slots::{Seat, Slot, never_filled};
use super::worker::Worker;
use super::{EXIT_FAILED, EXIT_IMPORT_FAILED};
use crate::base::clock::Monotonic;
use crate::sys::process::{Exit, Pid, Signal};
use std::time::Duration;

/// Between the close of the control socket and the zygote's end by itself.
const CLOSING_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Generation {
    pub id: GenerationId,
    pub settings: PoolSettings,
    pub phase: Phase,
    pub zygote: Zygote,
    pub slots: Vec<Slot>,
    /// The worker that waits for a place.
    pub reserve: Option<Reserve>,
    /// The place in the scoreboard that no slot has.
    pub spare: u32,
    /// The replacement of a worker that is to end, in the spare place.
    pub succession: Option<Succession>,
    /// When the last succession was due, or a fork for it was asked for.
    pub succeeded_at: Option<Monotonic>,
    /// Set when the boot has failed; taken by the machine.
    pub failure: Option<Failure>,
    pub boot_deaths: u32,
}

/// Why a boot came to nothing.
#[derive(Debug)]
pub(super) struct Failure {
    pub reason: String,
    /// What the program exits with if this was its first boot.
    pub code: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The zygote imports the application.
    Importing { since: Monotonic },
    /// Workers are being forked; none is up.
    Warming,
    /// It has a worker, and a warm-up request to answer.
    Proving { until: Monotonic, is_late: bool },
    /// It has proven itself, and gets more workers for those of the generation before, one by one.
    Gathering { until: Monotonic, ask_at: Monotonic },
    /// It has a worker; the shards are being told.
    Switching { since: Monotonic },
    /// The shards send it requests.
    Serving { since: Monotonic },
    /// Its inbox is closed; workers finish what is queued.
    Draining { deadline: Monotonic },
    /// No worker is left; the zygote is to exit.
    Closing { deadline: Monotonic },
    /// What is left is killed.
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zygote {
    /// Asked for, not yet answered.
    Spawning,
    Alive {
        pid: Pid,
        is_killed: bool,
    },
    Gone,
}

impl Generation {
    pub fn new(id: GenerationId, settings: PoolSettings, now: Monotonic) -> Generation {
        let workers = settings.workers.max(1);
        Generation {
            id,
            settings,
            phase: Phase::Importing { since: now },
            zygote: Zygote::Spawning,
            slots: (0..workers).map(Slot::at).collect(),
            reserve: None,
            spare: workers,
            succession: None,
            succeeded_at: None,
            failure: None,
            boot_deaths: 0,
        }
    }

    pub fn is_booting(&self) -> bool {
        matches!(self.phase, Phase::Importing { .. } | Phase::Warming | Phase::Proving { .. } | Phase::Gathering { .. })
    }

    /// It has a worker and an open inbox.
    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Switching { .. } | Phase::Serving { .. })
    }

    /// Workers that have reached the application.
    pub fn workers_alive(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(&slot.seat, Seat::Live(worker) if worker.is_up)).count()
    }

    pub fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Closing { .. })
    }

    /// Its processes are reaped and none is on its way.
    pub fn is_gone(&self) -> bool {
        let is_over = matches!(self.phase, Phase::Closing { .. } | Phase::Ending);
        is_over && self.zygote == Zygote::Gone && self.reserve.is_none() && self.workers().next().is_none()
    }

    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.seats().filter_map(|seat| match seat {
            Seat::Live(worker) => Some(&**worker),
            _ => None,
        })
    }

    /// Those of the slots, and the successor's.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.slots.iter().map(|slot| &slot.seat).chain(self.succession.iter().map(|succession| &succession.seat))
    }

    fn workers_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        let slots = self.slots.iter_mut().map(|slot| &mut slot.seat);
        slots.chain(self.succession.iter_mut().map(|succession| &mut succession.seat)).filter_map(|seat| match seat {
            Seat::Live(worker) => Some(&mut **worker),
            _ => None,
        })
    }

    pub fn has_pending_fork(&self) -> bool {
        self.seats().any(|seat| matches!(seat, Seat::Forking { .. }))
    }

    /// Closes the inbox of a serving generation, or brings the end of a draining one forward.
    pub fn drain(&mut self, deadline: Monotonic, actions: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Switching { .. } | Phase::Serving { .. } => {
                self.phase = Phase::Draining { deadline };
                actions.push(Action::CloseInbox { generation: self.id });
                for slot in &mut self.slots {
                    let is_left = self.zygote == Zygote::Gone || slot.is_unwanted();
                    if matches!(slot.seat, Seat::Vacant { .. }) && is_left {
                        slot.seat = Seat::Done;
                    }
                }
            }
            Phase::Draining { deadline: own } | Phase::Closing { deadline: own } => *own = (*own).min(deadline),
            Phase::Importing { .. }
            | Phase::Warming
            | Phase::Proving { .. }
            | Phase::Gathering { .. }
            | Phase::Ending => {}
        }
    }

    /// The boot has come to nothing.
    pub fn fail(&mut self, reason: String) {
        self.fail_with(EXIT_IMPORT_FAILED, reason);
    }

    /// There is no zygote.
    pub fn spawn_failed(&mut self, error: String) {
        self.zygote = Zygote::Gone;
        self.fail_with(EXIT_FAILED, error);
    }

    pub fn fail_with(&mut self, code: i32, reason: String) {
        if self.is_booting() {
            self.failure = Some(Failure { reason, code });
            self.phase = Phase::Ending;
        }
    }

    pub fn zygote_spawned(&mut self, pid: Pid) {
        self.zygote = Zygote::Alive { pid, is_killed: false };
    }

    /// The zygote was reaped. What it had reported was handled before, so a fork without an answer has not happened, or
    /// shows itself in the scoreboard.
    pub fn zygote_exited(&mut self, exit: Exit, now: Monotonic) {
        self.zygote = Zygote::Gone;
        let refills = self.is_serving() || self.is_booting();
        for slot in &mut self.slots {
            match slot.seat {
                Seat::Forking { .. } if refills => slot.seat = Seat::Vacant { due: now },
                Seat::Forking { .. } | Seat::Vacant { .. } if !refills => slot.seat = Seat::Done,
                _ => {}
            }
        }
        if let Some(succession) = &mut self.succession
            && matches!(succession.seat, Seat::Forking { .. })
        {
            // Should it be there all the same, the scoreboard will tell.
            succession.seat = Seat::Vacant { due: now };
        }
        self.fail(match self.phase {
            Phase::Importing { .. } => {
                format!("the interpreter ended while it imported the application: {exit}")
            }
            _ => format!("the interpreter ended before a worker was up: {exit}"),
        });
    }

    /// Takes every step whose time has come. `next_worker` counts worker ids; so many workers as there is `room` for may be forked.
    pub fn settle(&mut self, next_worker: &mut u32, room: usize, now: Monotonic, actions: &mut Vec<Action>) {
        let generation = self.id;
        for slot in &mut self.slots {
            if let Seat::Live(worker) = &mut slot.seat {
                if slot.is_vacated {
                    worker.ask_to_end(self.settings.graceful_timeout, KillReason::Asked, now, actions);
                }
                worker.settle(generation, &self.settings, now, actions);
            }
        }
        self.settle_succession(now, actions);
        match self.phase {
            Phase::Importing { since } => {
                if now >= since + self.settings.boot_timeout {
                    self.fail(format!("the application was not imported within {:?}", self.settings.boot_timeout));
                }
            }
            Phase::Warming if self.workers().any(|worker| worker.is_up) => match self.settings.warmup {
                Some(limit) => {
                    self.phase = Phase::Proving { until: now + limit, is_late: false };
                    actions.push(Action::WarmUp { generation: self.id });
                }
                None => self.proven(now, actions),
            },
            Phase::Proving { until, is_late: false } if now >= until => {
                // The log gets their stacks, which say where they are.
                let settings = self.settings;
                self.phase = Phase::Proving { until: now + settings.abort_grace, is_late: true };
                let up = self.workers_mut().filter(|worker| worker.is_up);
                up.for_each(|worker| worker.abort(KillReason::WarmupTimeout, &settings, now, actions));
            }
            Phase::Proving { until, is_late: true } if now >= until || self.workers().next().is_none() => {
                let limit = self.settings.warmup.unwrap_or_default();
                self.fail(format!("the warm-up request was not answered within {limit:?}"));
            }
            Phase::Warming
            | Phase::Proving { .. }
            | Phase::Gathering { .. }
            | Phase::Switching { .. }
            | Phase::Serving { .. } => {}
            Phase::Draining { deadline } => {
                if now >= deadline {
                    self.phase = Phase::Ending;
                } else if self.succession.is_none()
                    && self.slots.iter().all(|slot| matches!(slot.seat, Seat::Done) || never_filled(slot))
                {
                    self.phase = Phase::Closing { deadline: deadline.min(now + CLOSING_MAX) };
                    actions.push(Action::CloseControl { generation: self.id });
                }
            }
            Phase::Closing { deadline } => {
                if now >= deadline {
                    self.phase = Phase::Ending;
                }
            }
            Phase::Ending => {}
        }
        match self.phase {
            Phase::Ending => self.kill_all(actions),
            Phase::Importing { .. } | Phase::Proving { is_late: true, .. } | Phase::Closing { .. } => {}
            Phase::Warming
            | Phase::Proving { .. }
            | Phase::Gathering { .. }
            | Phase::Switching { .. }
            | Phase::Serving { .. }
            | Phase::Draining { .. } => {
                self.fork_due(next_worker, room, now, actions);
            }
        }
    }

    fn proven(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        if self.settings.rolling {
            self.phase = Phase::Gathering { until: now + self.settings.boot_timeout, ask_at: now };
        } else {
            self.take_over(now, actions);
        }
    }

    pub fn take_over(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        self.phase = Phase::Switching { since: now };
        actions.push(Action::Report(Report::TakesOver { generation: self.id }));
        actions.push(Action::SwitchShards { generation: self.id });
    }

    /// Its warm-up request has come to an end, which is good or, for this reason, not.
    pub fn warmed_up(&mut self, failure: Option<String>, now: Monotonic, actions: &mut Vec<Action>) {
        match (self.phase, failure) {
            // Who has answered may have died since; another one comes.
            (Phase::Proving { is_late: false, .. }, None) if self.workers_alive() == 0 => self.phase = Phase::Warming,
            (Phase::Proving { is_late: false, .. }, None) => self.proven(now, actions),
            (Phase::Proving { is_late: false, .. }, Some(reason)) => self.fail(reason),
            // It is too late, or was over before.
            _ => {}
        }
    }

    /// Reads the scoreboard.
    pub fn look(&mut self, readings: &[Reading], next_worker: &mut u32, now: Monotonic, actions: &mut Vec<Action>) {
        if self.zygote == Zygote::Gone {
            self.adopt(readings, next_worker, now, actions);
        }
        let (id, settings) = (self.id, self.settings);
        self.workers_mut().for_each(|worker| worker.look(readings, id, &settings, now, actions));
    }

    /// What the loop has seen of its inbox and of its workers.
    pub fn note_life(&mut self, is_work_waiting: bool, silent: &[Pid]) {
        for worker in self.workers_mut() {
            worker.note_life(is_work_waiting, silent.contains(&worker.pid));
        }
    }

    fn kill_all(&mut self, actions: &mut Vec<Action>) {
        if let Zygote::Alive { pid, is_killed: false } = self.zygote {
            self.zygote = Zygote::Alive { pid, is_killed: true };
            actions.push(Action::Kill { pid, signal: Signal::KILL });
        }
        self.kill_reserve(actions);
        self.workers_mut().for_each(|worker| worker.kill(KillReason::GenerationEnded, actions));
    }

    /// When a tick is due for this generation's sake.
    pub fn wake_at(&self, has_room: bool, now: Monotonic) -> Option<Monotonic> {
        let phase = match self.phase {
            Phase::Importing { since } => Some(since + self.settings.boot_timeout),
            Phase::Proving { until, .. } => Some(until),
            Phase::Gathering { until, ask_at } => [ask_at, until].into_iter().filter(|at| *at > now).min(),
            Phase::Draining { deadline } | Phase::Closing { deadline } => Some(deadline),
            Phase::Warming | Phase::Switching { .. } | Phase::Serving { .. } | Phase::Ending => None,
        };
        let is_draining = matches!(self.phase, Phase::Draining { .. });
        let can_fork = matches!(self.zygote, Zygote::Alive { is_killed: false, .. })
            && (is_draining
                || matches!(
                    self.phase,
                    Phase::Warming | Phase::Proving { is_late: false, .. } | Phase::Gathering { .. }
                )
                || self.is_serving());
        let slots = self.slots.iter().filter_map(|slot| match &slot.seat {
            Seat::Vacant { due }
                if can_fork && has_room && !slot.is_unwanted() && !(is_draining && never_filled(slot)) =>
            {
                Some(*due)
            }
            Seat::Forking { since, .. } if can_fork => Some(*since + self.settings.boot_timeout),
            Seat::Live(worker) => worker.wake_at(&self.settings),
            _ => None,
        });
        let successor = self.succession.iter().filter_map(|succession| match &succession.seat {
            Seat::Vacant { due } if can_fork && has_room && self.is_serving() => Some(*due),
            Seat::Forking { since, .. } if can_fork => Some(*since + self.settings.boot_timeout),
            Seat::Live(worker) => worker.wake_at(&self.settings),
            _ => None,
        });
        slots.chain(successor).chain(phase).min()
    }
}
