//! The worker slots of a generation: filled by forks, emptied by deaths, filled again at the pace of the backoff.

use super::event::{Action, Held, KillReason, Place, PlaceState, Reading, Report, WorkerId};
use super::generation::{Generation, Phase, Zygote};
use super::recycling::Succession;
use super::worker::Worker;
use super::{EXIT_IMPORT_FAILED, EXIT_NO_APPLICATION};
use crate::base::bounds::BOOT_DEATHS_MAX;
use crate::base::clock::Monotonic;
use crate::supervise::backoff::Backoff;
use crate::sys::memory::SlotState;
use crate::sys::process::{Exit, Pid, Signal};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub seat: Seat,
    /// Its place in the scoreboard, now.
    pub place: u32,
    backoff: Backoff,
    /// When a fork was last asked for.
    pub forked_at: Option<Monotonic>,
    /// When the last worker ended.
    pub left_at: Option<Monotonic>,
    /// Nobody is to sit here.
    pub is_vacated: bool,
    /// … because there are to be fewer workers.
    pub is_unwanted: bool,
    /// Its worker has made, or makes, room for one of the next generation.
    pub is_retired: bool,
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
    Live(Box<Worker>),
    /// Never to be filled again.
    Done,
}

impl Slot {
    /// An empty one with this place in the scoreboard.
    pub fn at(place: u32) -> Slot {
        Slot { place, ..Slot::default() }
    }

    /// No worker is to come here.
    pub fn is_unwanted(&self) -> bool {
        self.is_vacated || self.is_retired
    }
}

impl Default for Seat {
    fn default() -> Self {
        Seat::Vacant { due: Monotonic::ZERO }
    }
}

impl Generation {
    /// The zygote has answered. Returns whether the worker was awaited.
    pub fn worker_forked(&mut self, id: WorkerId, pid: Pid, now: Monotonic) -> bool {
        let slots = self.slots.iter_mut().map(|slot| &mut slot.seat);
        for seat in slots.chain(self.succession.iter_mut().map(|succession| &mut succession.seat)) {
            if let Seat::Forking { worker, since } = *seat
                && worker == id
            {
                *seat = Seat::Live(Box::new(Worker::new(id, pid, since, now)));
                return true;
            }
        }
        false
    }

    pub fn fork_failed(&mut self, id: WorkerId, now: Monotonic) {
        let settings = self.settings;
        let is_its = |seat: &Seat| matches!(seat, Seat::Forking { worker, .. } if *worker == id);
        if self.succession.as_ref().is_some_and(|succession| is_its(&succession.seat)) {
            return self.successor_fork_failed(now);
        }
        for slot in &mut self.slots {
            if is_its(&slot.seat) {
                let wait = slot.backoff.died(&settings.backoff, Duration::ZERO).max(settings.backoff.between_starts);
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
        let Some((index, worker)) = self.unseat(pid) else { return false };
        let is_clean = exit.is_success() && held.is_empty();
        let has_worked = served > 0 || !held.is_empty();
        let restart_in = match index {
            None => self.successor_ended(&worker, has_worked, now),
            Some(index) => {
                self.slots[index].left_at = Some(now);
                let is_succeeded = self.is_succeeded(index);
                let restart_in =
                    if is_succeeded { None } else { self.reseat(index, &worker, is_clean, has_worked, now) };
                restart_in.filter(|_| !self.slots[index].is_unwanted())
            }
        };
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
            actions.push(Action::ReportLost { generation, held: held.to_vec(), exit, overdue: worker.overdue() });
        }
        if matches!(self.phase, Phase::Warming | Phase::Proving { is_late: false, .. }) {
            self.boot_deaths += 1;
            if self.boot_deaths >= BOOT_DEATHS_MAX {
                let code = match exit {
                    Exit::Code(EXIT_NO_APPLICATION) => EXIT_NO_APPLICATION,
                    _ => EXIT_IMPORT_FAILED,
                };
                self.fail_with(
                    code,
                    format!("{BOOT_DEATHS_MAX} workers ended before the generation served, the last one with {exit}"),
                );
            }
        }
        true
    }

    /// Takes a worker out of its slot, whose index is returned with it; None: it is the successor of one.
    fn unseat(&mut self, pid: Pid) -> Option<(Option<usize>, Worker)> {
        let slots = self.slots.iter_mut().enumerate().map(|(index, slot)| (Some(index), &mut slot.seat));
        let successor = self.succession.iter_mut().map(|succession| (None, &mut succession.seat));
        let (index, seat) =
            slots.chain(successor).find(|(_, seat)| matches!(seat, Seat::Live(worker) if worker.pid == pid))?;
        match std::mem::replace(seat, Seat::Done) {
            Seat::Live(worker) => Some((index, *worker)),
            _ => unreachable!("the seat was just seen to be live"),
        }
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
            Phase::Importing { .. } | Phase::Warming | Phase::Proving { .. } | Phase::Gathering { .. } => true,
            Phase::Switching { .. } | Phase::Serving { .. } => true,
            // Its death may have left requests in the inbox that nobody else reads.
            Phase::Draining { .. } => {
                has_worked && !is_clean && self.zygote != Zygote::Gone && !self.slots[index].is_unwanted()
            }
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

    /// Nobody is to sit in `slot`: its worker is asked to end.
    pub(super) fn vacate(&mut self, slot: u32, now: Monotonic, actions: &mut Vec<Action>) {
        let limit = self.settings.graceful_timeout;
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        slot.is_vacated = true;
        if let Seat::Live(worker) = &mut slot.seat {
            worker.ask_to_end(limit, KillReason::Asked, now, actions);
        }
    }

    /// A worker is to sit in `slot` again.
    pub(super) fn fill(&mut self, slot: u32, now: Monotonic) {
        let between = self.settings.backoff.between_starts;
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        slot.is_vacated = false;
        if let Seat::Vacant { due } = &mut slot.seat {
            *due = (*due).min(slot.forked_at.map_or(now, |last| now.max(last + between)));
        }
    }

    /// Every place as people see it; those that are empty for want of work they do not.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |(number, slot): (usize, &Slot)| {
            if let Some(place) = self.succeeding(number) {
                return place;
            }
            let (state, pid) = match &slot.seat {
                Seat::Live(worker) if worker.is_leaving() => (PlaceState::Leaving, Some(worker.pid)),
                Seat::Live(worker) if worker.is_up => (PlaceState::Serving, Some(worker.pid)),
                Seat::Live(worker) => (PlaceState::Starting, Some(worker.pid)),
                Seat::Forking { .. } => (PlaceState::Starting, None),
                Seat::Vacant { .. } if slot.is_unwanted() => (PlaceState::Vacated, None),
                Seat::Vacant { .. } => (PlaceState::Waiting, None),
                Seat::Done => (PlaceState::Done, None),
            };
            Place { slot: number as u32, state, pid, since: slot.forked_at, left: slot.left_at }
        };
        let is_shown = |(_, slot): &(usize, &Slot)| !(slot.is_unwanted && matches!(slot.seat, Seat::Vacant { .. }));
        self.slots.iter().enumerate().filter(is_shown).map(place).collect()
    }

    /// A zygote that died between a fork and its report leaves a worker that only the scoreboard tells of.
    pub(super) fn adopt(
        &mut self,
        readings: &[Reading],
        next_worker: &mut u32,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        for reading in readings.iter().filter(|reading| reading.generation == self.id) {
            let pid = i32::try_from(reading.view.pid).ok().and_then(Pid::from_raw);
            let Some(pid) = pid.filter(|_| reading.view.state != SlotState::Empty) else { continue };
            let slot = self.slots.iter_mut().find(|slot| slot.place == reading.place);
            let successor = self.succession.as_ref();
            let is_known = match (&slot, successor) {
                (Some(slot), _) => matches!(slot.seat, Seat::Live(_)),
                (None, Some(succession)) => matches!(succession.seat, Seat::Live(_)),
                (None, None) => reading.place != self.spare,
            };
            if is_known {
                continue;
            }
            // It may have been the one that waited.
            self.reserve = self.reserve.filter(|reserve| reserve.pid != pid);
            let id = take_id(next_worker);
            actions.push(Action::Report(Report::WorkerStarted { worker: id, pid, generation: self.id }));
            let worker = Box::new(Worker::new(id, pid, now, now));
            match slot {
                Some(slot) => slot.seat = Seat::Live(worker),
                None => {
                    let index = successor.map_or(0, |succession| succession.slot);
                    self.succession = Some(Succession::adopted(index, worker));
                }
            }
        }
    }

    pub(super) fn fork_due(
        &mut self,
        next_worker: &mut u32,
        mut room: usize,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        let Zygote::Alive { pid, is_killed: false } = self.zygote else {
            return;
        };
        let (generation, boot_timeout, is_serving) = (self.id, self.settings.boot_timeout, self.is_serving());
        let mut fork = |seat: &mut Seat, forked_at: &mut Option<Monotonic>, place| {
            let worker = take_id(next_worker);
            *seat = Seat::Forking { worker, since: now };
            *forked_at = Some(now);
            actions.push(Action::ForkWorker { generation, worker, place });
        };
        let mut is_overdue = false;
        for slot in &mut self.slots {
            match slot.seat {
                Seat::Vacant { due }
                    if due <= now
                        && room > 0
                        && !slot.is_unwanted()
                        && !(never_filled(slot) && matches!(self.phase, Phase::Draining { .. })) =>
                {
                    room -= 1;
                    fork(&mut slot.seat, &mut slot.forked_at, slot.place);
                }
                Seat::Forking { since, .. } => is_overdue |= now >= since + boot_timeout,
                _ => {}
            }
        }
        if let Some(succession) = &mut self.succession {
            match succession.seat {
                Seat::Vacant { due } if due <= now && room > 0 && is_serving => {
                    fork(&mut succession.seat, &mut succession.forked_at, self.spare);
                    // Should it come to nothing, the next one in the spare place keeps its distance from this one.
                    self.succeeded_at = Some(now);
                }
                Seat::Forking { since, .. } => is_overdue |= now >= since + boot_timeout,
                _ => {}
            }
        }
        if is_overdue {
            self.zygote = Zygote::Alive { pid, is_killed: true };
            actions.push(Action::Kill { pid, signal: Signal::KILL });
        }
    }
}

/// A slot that had no worker yet has left nothing undone.
pub(super) fn never_filled(slot: &Slot) -> bool {
    matches!(slot.seat, Seat::Vacant { .. }) && slot.forked_at.is_none()
}

fn take_id(next_worker: &mut u32) -> WorkerId {
    *next_worker += 1;
    WorkerId(*next_worker)
}
