//! The reply rings of all generations that have workers, as one shard reads them.
//!
//! Owns which there are. What is read goes to the pool, in the order in which it was written by each thread. Called by `pool`, and by the shard's ring
//! before it sleeps.

use std::cell::RefCell;

use crate::ring::Watched;
use crate::sys::reply_rings::ReplyRings;

/// The rings by generation.
#[derive(Debug, Default)]
pub(super) struct Rings(RefCell<Vec<(u32, ReplyRings)>>);

impl Rings {
    /// Reads those of one more generation.
    pub fn add(&self, generation: u32, rings: ReplyRings) {
        // Whether the thread sleeps at this moment is not known here: at worst it is woken for nothing.
        rings.sleep();
        self.0.borrow_mut().push((generation, rings));
    }

    /// No worker of `generation` is left, and what its workers have written was read.
    pub fn remove(&self, generation: u32) {
        self.0.borrow_mut().retain(|(of, _)| *of != generation);
    }

    /// Looks at all threads next: one may have been killed between its word and its saying that there is one.
    pub fn look_everywhere(&self) {
        self.0.borrow().iter().for_each(|(_, rings)| rings.look_everywhere());
    }

    /// The next message.
    pub fn pop(&self) -> Option<Vec<u8>> {
        self.0.borrow().iter().find_map(|(_, rings)| rings.pop())
    }
}

impl Watched for Rings {
    fn sleep(&self) {
        self.0.borrow().iter().for_each(|(_, rings)| rings.sleep());
    }

    fn wake(&self) {
        self.0.borrow().iter().for_each(|(_, rings)| rings.wake());
    }

    fn has_news(&self) -> bool {
        self.0.borrow().iter().any(|(_, rings)| rings.has_news())
    }
}
