//! Regions for request bodies: those that lie ready, and the memory that all of them have together.
//!
//! Owns the regions that no body is in at present. To make one costs more than to fill it, so they are used again, the last one first, which is the
//! likeliest to be in the CPU's cache. Called by `spool`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use crate::base::bounds::{BODY_REGIONS_KEPT_MAX, MEMORY_BODIES_BYTES_MAX, MEMORY_BODY_BYTES_MAX};
use crate::base::budget::{Budget, Claim};
use crate::sys::region::Region;

/// The regions of one shard.
pub(super) struct RegionPool {
    memory: Budget,
    kept: Rc<Kept>,
}

#[derive(Debug)]
struct Kept {
    regions: RefCell<Vec<(Region, Claim)>>,
    /// The fewest that were kept at a time since the last look: as many were of no use.
    fewest: Cell<usize>,
}

/// A region with a body in it, and its part of the shard's memory as long as it is held.
#[derive(Debug)]
pub struct Lease {
    region: Rc<Region>,
    claim: Claim,
    kept: Weak<Kept>,
}

impl RegionPool {
    pub fn new() -> RegionPool {
        let kept = Kept { regions: RefCell::default(), fewest: Cell::new(0) };
        RegionPool { memory: Budget::new(MEMORY_BODIES_BYTES_MAX), kept: Rc::new(kept) }
    }

    /// A region for a body of so many `bytes`, which it may turn out to be longer than. `None`: all bodies together have as much memory as they may.
    ///
    /// # Errors
    /// As [`Region::new`] and [`Region::make_ready`].
    pub fn lease(&self, bytes: usize) -> io::Result<Option<Lease>> {
        let mut kept = self.kept.regions.borrow_mut();
        let (region, claim) = match kept.pop() {
            Some(one) => one,
            None => (Region::new("maitred-body", MEMORY_BODY_BYTES_MAX)?, self.memory.claim()),
        };
        self.kept.fewest.set(self.kept.fewest.get().min(kept.len()));
        let mut lease = Lease { region: Rc::new(region), claim, kept: Rc::downgrade(&self.kept) };
        if lease.make_ready(bytes)? {
            return Ok(Some(lease));
        }
        // Those that lie idle have memory, too.
        kept.clear();
        self.kept.fewest.set(0);
        Ok(lease.make_ready(bytes)?.then_some(lease))
    }

    /// A part of that memory for a body of so many `bytes` that lies in none of the regions. `None`: all bodies together have as much as they may.
    pub fn claim(&self, bytes: usize) -> Option<Claim> {
        let mut claim = self.memory.claim();
        claim.grow(bytes).then_some(claim)
    }

    /// Regions that no body is in.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.kept.regions.borrow().len()
    }

    /// Lets go of those that have not been needed since the last time.
    pub fn trim(&self) {
        let mut kept = self.kept.regions.borrow_mut();
        // The ones at the front are the last to be used.
        kept.drain(..self.kept.fewest.get());
        self.kept.fewest.set(kept.len());
    }
}

impl Lease {
    /// The memory.
    pub fn region(&self) -> &Rc<Region> {
        &self.region
    }

    /// Sees to it that the first `bytes` bytes have memory. `false`: all bodies together have as much as they may.
    ///
    /// # Errors
    /// As [`Region::make_ready`].
    pub fn make_ready(&mut self, bytes: usize) -> io::Result<bool> {
        if !self.claim.grow(bytes.saturating_sub(self.claim.bytes())) {
            return Ok(false);
        }
        let ready = self.region.make_ready(bytes)?;
        // It gives memory in larger steps.
        self.claim.grow_beyond(ready.saturating_sub(self.claim.bytes()));
        Ok(true)
    }

    /// Whoever read from the region has done with it: another body may lie in it.
    pub fn end(self) {
        let Lease { region, claim, kept } = self;
        if let (Ok(region), Some(kept)) = (Rc::try_unwrap(region), kept.upgrade()) {
            let mut regions = kept.regions.borrow_mut();
            if regions.len() < BODY_REGIONS_KEPT_MAX {
                regions.push((region, claim));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(pool: &RegionPool, bytes: usize) -> Lease {
        pool.lease(bytes).expect("memory").expect("room")
    }

    #[test]
    fn a_region_is_used_again_and_given_up_when_nobody_needs_it() {
        let pool = RegionPool::new();
        let first = lease(&pool, 100_000);
        first.region().write(0, b"first");
        let used = pool.memory.used();
        assert!((100_000..200_000).contains(&used));
        first.end();
        assert_eq!(pool.memory.used(), used);
        pool.trim();
        // It was in use at some time since the trim before.
        let second = lease(&pool, 10);
        assert_eq!(second.region().read(0..5), b"first");
        second.end();
        pool.trim();
        pool.trim();
        assert_eq!((pool.memory.used(), pool.kept()), (0, 0));
    }

    #[test]
    fn all_together_have_a_bound_and_so_have_those_that_are_kept() {
        let pool = RegionPool::new();
        let most = MEMORY_BODIES_BYTES_MAX / MEMORY_BODY_BYTES_MAX;
        let mut all: Vec<Lease> = (0..most).map(|_| lease(&pool, MEMORY_BODY_BYTES_MAX)).collect();
        assert!(pool.lease(MEMORY_BODY_BYTES_MAX).expect("no error").is_none());
        all.drain(..).for_each(Lease::end);
        assert_eq!(pool.kept(), BODY_REGIONS_KEPT_MAX);
    }

    #[test]
    fn memory_that_lies_idle_is_there_for_who_needs_it() {
        let pool = RegionPool::new();
        let most = MEMORY_BODIES_BYTES_MAX / MEMORY_BODY_BYTES_MAX;
        let small = [lease(&pool, 1), lease(&pool, 1)];
        let mut large: Vec<Lease> = (1..most).map(|_| lease(&pool, MEMORY_BODY_BYTES_MAX)).collect();
        let [first, second] = small;
        large.drain(..10).for_each(Lease::end);
        first.end();
        let grown = lease(&pool, MEMORY_BODY_BYTES_MAX);
        let used = (large.len() + 1) * MEMORY_BODY_BYTES_MAX + second.region().ready();
        assert_eq!((pool.memory.used(), pool.kept()), (used, 0));
        drop(grown);
    }

    #[test]
    fn a_region_that_the_kernel_may_still_write_to_is_not_used_again() {
        let pool = RegionPool::new();
        let lease = lease(&pool, 1);
        let kernel = lease.region().clone();
        lease.end();
        assert_eq!((pool.kept(), pool.memory.used()), (0, 0));
        drop(kernel);
    }
}
