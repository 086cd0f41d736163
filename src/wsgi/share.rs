//! A shard's share of the pool's capacity: how many requests it may have in the inbox and in workers' hands at once.
//!
//! Pure. Workers that answer in microseconds want several requests at hand, or they sleep and wake for each; a request that would
//! wait there for milliseconds had better wait in the shard's own queue, where it can still be withdrawn. So the share follows
//! what requests wait: a little more while they come back fast, a little less when they do not. At the least, it is no bound of its own: then
//! all shards share what workers may have before them, and take turns (`turns`).

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::bounds::{PIPELINE_DEPTH_MAX, PIPELINE_DEPTH_MIN};

/// A request that comes back sooner than this may have one more beside it.
const FAST: Duration = Duration::from_micros(1000);
/// One that takes longer than this has one too many beside it.
const SLOW: Duration = Duration::from_micros(2000);

/// The share, between its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What all shards together may have while answers take long.
    capacity: usize,
    /// What is each shard's of that, rounded down.
    part: usize,
    bounds: RangeInclusive<usize>,
    now: usize,
}

impl Share {
    /// One shard of `shards`, for `threads` worker threads in all. At least one request is always allowed.
    pub fn new(threads: usize, shards: usize) -> Share {
        let of = |depth: usize| (threads * depth).div_ceil(shards.max(1)).max(1);
        let bounds = of(PIPELINE_DEPTH_MIN)..=of(PIPELINE_DEPTH_MAX);
        let capacity = (threads * PIPELINE_DEPTH_MIN).max(1);
        Share { capacity, part: capacity / shards.max(1), now: *bounds.start(), bounds }
    }

    /// Whether requests come back so fast that the shard may have more than its equal part, without a look at the others.
    pub fn is_fast(&self) -> bool {
        self.now > *self.bounds.start()
    }

    /// The shard's equal part of the capacity.
    pub fn equal(&self) -> usize {
        *self.bounds.start()
    }

    /// What counts of a shard that does not look at the others, at most. Rounded down, so that something is left for those that do, however few threads there are.
    pub fn part(&self) -> usize {
        self.part
    }

    /// What all shards together may have before the workers while answers take long; they take turns (`turns`).
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether one more may be sent beside `taken`.
    pub fn has_room(&self, taken: usize) -> bool {
        taken < self.now
    }

    /// A request was answered `took` after it had been sent, with `taken` of them under way.
    pub fn learn(&mut self, took: Duration, taken: usize) {
        if took < FAST && taken >= self.now {
            self.now = (self.now + 1).min(*self.bounds.end());
        } else if took > SLOW {
            self.now = (self.now - 1).max(*self.bounds.start());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_follows_what_requests_wait() {
        let mut share = Share::new(2, 1);
        assert!(share.has_room(2 * PIPELINE_DEPTH_MIN - 1) && !share.has_room(2 * PIPELINE_DEPTH_MIN));
        for _ in 0..1_000 {
            share.learn(Duration::from_micros(200), usize::MAX);
        }
        assert!(share.has_room(2 * PIPELINE_DEPTH_MAX - 1) && !share.has_room(2 * PIPELINE_DEPTH_MAX));
        for _ in 0..1_000 {
            share.learn(Duration::from_millis(20), usize::MAX);
        }
        assert!(!share.has_room(2 * PIPELINE_DEPTH_MIN));
    }

    #[test]
    fn a_share_that_is_not_used_up_does_not_grow() {
        let mut share = Share::new(1, 1);
        let before = share.clone();
        share.learn(Duration::from_micros(50), 1);
        assert_eq!(share, before);
    }

    #[test]
    fn many_shards_have_at_least_one_each() {
        let share = Share::new(1, 64);
        assert!(share.has_room(0) && !share.has_room(1));
    }
}
