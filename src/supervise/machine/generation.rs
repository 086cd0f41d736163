//! One generation of the pool as the machine sees it: its phase, its zygote, its worker slots.

use super::event::{
    Action, GenerationId, Held, KillReason, PoolSettings, Reading, Report, WorkerId,
};
use super::worker::Worker;
use super::{EXIT_FAILED, EXIT_IMPORT_FAILED};
use crate::base::bounds::BOOT_DEATHS_MAX;
use crate::base::clock::Monotonic;
use crate::supervise::backoff::Backoff;
use crate::sys::memory::SlotState;
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
    /// Set when the boot has failed; taken by the machine.
    pub failure: Option<Failure>,
    boot_deaths: u32,
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

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub seat: Seat,
    backoff: Backoff,
    /// When a fork was last asked for.
    forked_at: Option<Monotonic>,
}

#[derive(Debug)]
pub(super) enum Seat {
    /// To be filled at that time.
    Vacant {
        due: Monotonic,
    },
    /// The zygote was asked.
    Forking {
        worker: WorkerId,
        since: Monotonic,
    },
    Live(Worker),
    /// Never to be filled again.
    Done,
}

impl Default for Seat {
    fn default() -> Self {
        Seat::Vacant {
            due: Monotonic::ZERO,
        }
    }
}

impl Generation {
    pub fn new(id: GenerationId, settings: PoolSettings, now: Monotonic) -> Generation {
        Generation {
            id,
            settings,
            phase: Phase::Importing { since: now },
            zygote: Zygote::Spawning,
            slots: (0..settings.workers.max(1))
                .map(|_| Slot::default())
                .collect(),
            failure: None,
            boot_deaths: 0,
        }
    }

    pub fn is_booting(&self) -> bool {
        matches!(self.phase, Phase::Importing { .. } | Phase::Warming)
    }

    /// It has a worker and an open inbox.
    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Switching { .. } | Phase::Serving { .. })
    }

    pub fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Closing { .. })
    }

    /// Its processes are reaped and none is on its way.
    pub fn is_gone(&self) -> bool {
        let is_over = matches!(self.phase, Phase::Closing { .. } | Phase::Ending);
        is_over
            && self.zygote == Zygote::Gone
            && !self
                .slots
                .iter()
                .any(|slot| matches!(slot.seat, Seat::Live(_)))
    }

    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.slots.iter().filter_map(|slot| match &slot.seat {
            Seat::Live(worker) => Some(worker),
            _ => None,
        })
    }

    pub fn has_pending_fork(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| matches!(slot.seat, Seat::Forking { .. }))
    }

    /// Closes the inbox of a serving generation, or brings the end of a draining one forward.
    pub fn drain(&mut self, deadline: Monotonic, actions: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Switching { .. } | Phase::Serving { .. } => {
                self.phase = Phase::Draining { deadline };
                actions.push(Action::CloseInbox {
                    generation: self.id,
                });
                for slot in &mut self.slots {
                    if matches!(slot.seat, Seat::Vacant { .. }) && self.zygote == Zygote::Gone {
                        slot.seat = Seat::Done;
                    }
                }
            }
            Phase::Draining { deadline: own } | Phase::Closing { deadline: own } => {
                *own = (*own).min(deadline)
            }
            Phase::Importing { .. } | Phase::Warming | Phase::Ending => {}
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

    fn fail_with(&mut self, code: i32, reason: String) {
        if self.is_booting() {
            self.failure = Some(Failure { reason, code });
            self.phase = Phase::Ending;
        }
    }

    pub fn zygote_spawned(&mut self, pid: Pid) {
        self.zygote = Zygote::Alive {
            pid,
            is_killed: false,
        };
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
        self.fail(match self.phase {
            Phase::Importing { .. } => {
                format!("the interpreter ended while it imported the application: {exit}")
            }
            _ => format!("the interpreter ended before a worker was up: {exit}"),
        });
    }

    /// The zygote has answered. Returns whether the worker was awaited.
    pub fn worker_forked(&mut self, id: WorkerId, pid: Pid, now: Monotonic) -> bool {
        for slot in &mut self.slots {
            if let Seat::Forking { worker, since } = slot.seat
                && worker == id
            {
                slot.seat = Seat::Live(Worker::new(id, pid, since, now));
                return true;
            }
        }
        false
    }

    pub fn fork_failed(&mut self, id: WorkerId, now: Monotonic) {
        let settings = self.settings;
        for slot in &mut self.slots {
            if matches!(slot.seat, Seat::Forking { worker, .. } if worker == id) {
                let wait = slot
                    .backoff
                    .died(&settings.backoff, Duration::ZERO)
                    .max(settings.backoff.between_starts);
                slot.seat = Seat::Vacant { due: now + wait };
            }
        }
    }

    /// A worker was reaped. Returns false when `pid` is none of them.
    pub fn worker_exited(
        &mut self,
        pid: Pid,
        exit: Exit,
        held: &[Held],
        served: u64,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(index) = self
            .slots
            .iter()
            .position(|slot| matches!(&slot.seat, Seat::Live(worker) if worker.pid == pid))
        else {
            return false;
        };
        let Seat::Live(worker) = std::mem::replace(&mut self.slots[index].seat, Seat::Done) else {
            unreachable!("the seat was just seen to be live");
        };
        let is_clean = exit.is_success() && held.is_empty();
        let has_worked = served > 0 || !held.is_empty();
        let restart_in = self.reseat(index, &worker, is_clean, has_worked, now);
        let (generation, lost) = (self.id, held.len());
        actions.push(Action::Report(Report::WorkerExited {
            worker: worker.id,
            pid,
            generation,
            exit,
            lost,
            restart_in,
        }));
        if !held.is_empty() {
            actions.push(Action::ReportLost {
                generation,
                held: held.to_vec(),
            });
        }
        if self.is_serving() && !is_clean && held.len() < self.settings.threads as usize {
            actions.push(Action::Probe { generation });
        }
        if self.phase == Phase::Warming {
            self.boot_deaths += 1;
            if self.boot_deaths >= BOOT_DEATHS_MAX {
                self.fail(format!(
                    "{BOOT_DEATHS_MAX} workers ended before any was up, the last one with {exit}"
                ));
            }
        }
        true
    }

    /// Decides whether and when an emptied slot is filled again, and returns the wait.
    fn reseat(
        &mut self,
        index: usize,
        worker: &Worker,
        is_clean: bool,
        has_worked: bool,
        now: Monotonic,
    ) -> Option<Duration> {
        let policy = self.settings.backoff;
        let is_refilled = match self.phase {
            Phase::Importing { .. }
            | Phase::Warming
            | Phase::Switching { .. }
            | Phase::Serving { .. } => true,
            // Its death may have left requests in the inbox that nobody else reads.
            Phase::Draining { .. } => has_worked && !is_clean && self.zygote != Zygote::Gone,
            Phase::Closing { .. } | Phase::Ending => false,
        };
        if !is_refilled {
            return None;
        }
        let slot = &mut self.slots[index];
        // Only a worker that never did any work counts as a failed start; one that a request killed must not
        // let whoever sends such requests put the slot out of service for long.
        let wait = if has_worked {
            slot.backoff.reset();
            Duration::ZERO
        } else {
            slot.backoff.died(&policy, now.since(worker.since))
        };
        let due = (now + wait).max(worker.since + policy.between_starts);
        slot.seat = Seat::Vacant { due };
        Some(due.since(now))
    }

    /// Takes every step whose time has come. `next_worker` counts worker ids.
    pub fn settle(&mut self, next_worker: &mut u32, now: Monotonic, actions: &mut Vec<Action>) {
        for slot in &mut self.slots {
            if let Seat::Live(worker) = &mut slot.seat {
                worker.settle(&self.settings, now, actions);
            }
        }
        match self.phase {
            Phase::Importing { since } => {
                if now >= since + self.settings.boot_timeout {
                    self.fail(format!(
                        "the application was not imported within {:?}",
                        self.settings.boot_timeout
                    ));
                }
            }
            Phase::Warming if self.workers().any(|worker| worker.is_up) => {
                self.phase = Phase::Switching { since: now };
                actions.push(Action::Report(Report::TakesOver {
                    generation: self.id,
                }));
                actions.push(Action::SwitchShards {
                    generation: self.id,
                });
            }
            Phase::Warming | Phase::Switching { .. } | Phase::Serving { .. } => {}
            Phase::Draining { deadline } => {
                if now >= deadline {
                    self.phase = Phase::Ending;
                } else if self
                    .slots
                    .iter()
                    .all(|slot| matches!(slot.seat, Seat::Done) || never_filled(slot))
                {
                    self.phase = Phase::Closing {
                        deadline: deadline.min(now + CLOSING_MAX),
                    };
                    actions.push(Action::CloseControl {
                        generation: self.id,
                    });
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
            Phase::Importing { .. } | Phase::Closing { .. } => {}
            Phase::Warming
            | Phase::Switching { .. }
            | Phase::Serving { .. }
            | Phase::Draining { .. } => {
                self.fork_due(next_worker, now, actions);
            }
        }
    }

    /// Reads the scoreboard.
    pub fn look(
        &mut self,
        readings: &[Reading],
        next_worker: &mut u32,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        if self.zygote == Zygote::Gone {
            self.adopt(readings, next_worker, now, actions);
        }
        for slot in &mut self.slots {
            if let Seat::Live(worker) = &mut slot.seat {
                worker.look(readings, self.id, &self.settings, now, actions);
            }
        }
    }

    /// A zygote that died between a fork and its report leaves a worker that only the scoreboard tells of.
    fn adopt(
        &mut self,
        readings: &[Reading],
        next_worker: &mut u32,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        for reading in readings
            .iter()
            .filter(|reading| reading.generation == self.id)
        {
            let pid = i32::try_from(reading.view.pid).ok().and_then(Pid::from_raw);
            let (Some(pid), Some(slot)) = (pid, self.slots.get_mut(reading.slot as usize)) else {
                continue;
            };
            if matches!(slot.seat, Seat::Live(_)) || reading.view.state == SlotState::Empty {
                continue;
            }
            let worker = take_id(next_worker);
            actions.push(Action::Report(Report::WorkerStarted {
                worker,
                pid,
                generation: self.id,
            }));
            slot.seat = Seat::Live(Worker::new(worker, pid, now, now));
        }
    }

    fn fork_due(&mut self, next_worker: &mut u32, now: Monotonic, actions: &mut Vec<Action>) {
        let Zygote::Alive {
            pid,
            is_killed: false,
        } = self.zygote
        else {
            return;
        };
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match slot.seat {
                Seat::Vacant { due }
                    if due <= now
                        && !(never_filled(slot)
                            && matches!(self.phase, Phase::Draining { .. })) =>
                {
                    let worker = take_id(next_worker);
                    slot.seat = Seat::Forking { worker, since: now };
                    slot.forked_at = Some(now);
                    actions.push(Action::ForkWorker {
                        generation: self.id,
                        worker,
                        slot: index as u32,
                    });
                }
                Seat::Forking { since, .. } if now >= since + self.settings.boot_timeout => {
                    self.zygote = Zygote::Alive {
                        pid,
                        is_killed: true,
                    };
                    actions.push(Action::Kill {
                        pid,
                        signal: Signal::KILL,
                    });
                    return;
                }
                _ => {}
            }
        }
    }

    fn kill_all(&mut self, actions: &mut Vec<Action>) {
        if let Zygote::Alive {
            pid,
            is_killed: false,
        } = self.zygote
        {
            self.zygote = Zygote::Alive {
                pid,
                is_killed: true,
            };
            actions.push(Action::Kill {
                pid,
                signal: Signal::KILL,
            });
        }
        for slot in &mut self.slots {
            if let Seat::Live(worker) = &mut slot.seat {
                worker.kill(KillReason::GenerationEnded, actions);
            }
        }
    }

    /// When a tick is due for this generation's sake.
    pub fn wake_at(&self) -> Option<Monotonic> {
        let phase = match self.phase {
            Phase::Importing { since } => Some(since + self.settings.boot_timeout),
            Phase::Draining { deadline } | Phase::Closing { deadline } => Some(deadline),
            Phase::Warming | Phase::Switching { .. } | Phase::Serving { .. } | Phase::Ending => {
                None
            }
        };
        let is_draining = matches!(self.phase, Phase::Draining { .. });
        let can_fork = matches!(
            self.zygote,
            Zygote::Alive {
                is_killed: false,
                ..
            }
        ) && (is_draining || self.phase == Phase::Warming || self.is_serving());
        let slots = self.slots.iter().filter_map(|slot| match &slot.seat {
            Seat::Vacant { due } if can_fork && !(is_draining && never_filled(slot)) => Some(*due),
            Seat::Forking { since, .. } if can_fork => Some(*since + self.settings.boot_timeout),
            Seat::Live(worker) => worker.wake_at(&self.settings),
            _ => None,
        });
        slots.chain(phase).min()
    }
}

/// A slot that had no worker yet has left nothing undone.
fn never_filled(slot: &Slot) -> bool {
    matches!(slot.seat, Seat::Vacant { .. }) && slot.forked_at.is_none()
}

pub(super) fn take_id(next_worker: &mut u32) -> WorkerId {
    *next_worker += 1;
    WorkerId(*next_worker)
}
