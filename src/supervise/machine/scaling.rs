//! More and fewer workers within a generation.
//!
//! Owns which of its places are to be filled: the first ones. How many that is is decided elsewhere (`autoscale`).

use super::Machine;
use super::event::Action;
use super::generation::Generation;
use crate::base::clock::Monotonic;

impl Machine {
    /// So many workers there are to be, in the generations that serve or will, and in those that are made from now on.
    pub(super) fn scale(&mut self, workers: u32, now: Monotonic, actions: &mut Vec<Action>) {
        if let Some(pool) = &mut self.pool {
            pool.filled = workers.clamp(1, pool.workers.max(1));
        }
        let generations = self.generations.iter_mut();
        for generation in generations.filter(|generation| generation.is_serving() || generation.is_booting()) {
            generation.scale(workers, now, actions);
        }
    }
}

impl Generation {
    /// The first `workers` places are to be filled, but for those that a person has emptied, and no others.
    pub fn scale(&mut self, workers: u32, now: Monotonic, actions: &mut Vec<Action>) {
        for place in 0..self.slots.len() {
            let slot = &mut self.slots[place];
            let is_wanted = place < workers.max(1) as usize;
            let was_wanted = !std::mem::replace(&mut slot.is_unwanted, !is_wanted);
            let is_vacated = slot.is_vacated;
            match (was_wanted, is_wanted) {
                (false, true) => self.fill(place as u32, now),
                (_, false) if !is_vacated => self.vacate(place as u32, now, actions),
                _ => {}
            }
        }
    }
}
