//! Reloads where memory does not allow two sets of workers: one comes, one goes.
//!
//! Owns the bound on workers that live at a time, and whom of the old ones asks to leave before the new generation takes over. That one boots and
//! proves itself with its first worker; then old ones leave for further new ones, until no more of them take requests than there are new ones; then
//! it takes over, and the other old ones leave as they have finished what they have in hand, each for a new one.

use super::Machine;
use super::event::{Action, KillReason};
use super::generation::{Generation, Phase};
use super::slots::Seat;
use crate::base::clock::Monotonic;
use std::time::Duration;

/// An old worker that is asked to leave may be busy for long: after so much time the next one is asked too.
const ASK_NEXT_AFTER: Duration = Duration::from_secs(1);

impl Machine {
    /// How many workers more may be forked now: any number, unless the newest generation is to replace the old one worker by worker.
    pub(super) fn room(&self) -> usize {
        if !self.generations.last().is_some_and(|newest| newest.settings.rolling) {
            return usize::MAX;
        }
        let most = self.generations.iter().map(|generation| generation.settings.workers as usize).max().unwrap_or(0);
        let there: usize = self.generations.iter().map(Generation::workers_in_all).sum();
        (most + 1).saturating_sub(there)
    }

    /// Has an old worker leave for the next new one, and the new generation take over when half of the workers are its own.
    pub(super) fn roll(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let has_room = self.room() > 0;
        let Some((newest, older)) = self.generations.split_last_mut() else { return };
        let Phase::Gathering { until, ask_at } = newest.phase else { return };
        let mut old: Vec<_> = older.iter_mut().filter(|generation| generation.is_serving()).collect();
        let there: usize = old.iter().map(|generation| generation.workers_staying()).sum();
        let new = newest.workers_alive();
        let is_full = new >= newest.settings.workers as usize;
        if new > 0 && (new >= there || is_full || now >= until) {
            newest.take_over(now, actions);
        } else if new > 0
            && !has_room
            && new == newest.workers_in_all()
            && (now >= ask_at || !old.iter().any(|generation| generation.is_one_retiring()))
            && let Some(oldest) = old.iter_mut().find(|generation| generation.workers_staying() > 0)
        {
            newest.phase = Phase::Gathering { until, ask_at: now + ASK_NEXT_AFTER };
            oldest.retire_one(now, actions);
        }
    }

    /// The generation that was to replace the others has come to nothing: they get back those who have left for it.
    pub(super) fn roll_back(&mut self) {
        for generation in self.generations.iter_mut().filter(|generation| generation.is_serving()) {
            generation.slots.iter_mut().for_each(|slot| slot.is_retired = false);
        }
    }
}

impl Generation {
    /// Workers that live or are being forked.
    fn workers_in_all(&self) -> usize {
        self.seats().filter(|seat| matches!(seat, Seat::Live(_) | Seat::Forking { .. })).count()
    }

    /// Workers that take requests and were not told to leave.
    fn workers_staying(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| matches!(&slot.seat, Seat::Live(worker) if worker.is_up && !worker.is_leaving()))
            .count()
    }

    fn is_one_retiring(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_retired && matches!(slot.seat, Seat::Live(_)))
    }

    /// Asks the worker that has lived longest to leave for good.
    fn retire_one(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let limit = self.settings.graceful_timeout;
        let up = self.slots.iter_mut().filter_map(|slot| match &mut slot.seat {
            Seat::Live(worker) if worker.is_up && !worker.is_leaving() => Some((worker, &mut slot.is_retired)),
            _ => None,
        });
        if let Some((worker, is_retired)) = up.min_by_key(|(worker, _)| worker.id) {
            *is_retired = true;
            worker.ask_to_end(limit, KillReason::Rolled, now, actions);
        }
    }
}
