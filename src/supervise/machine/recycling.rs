//! Workers that are replaced although they serve: after so many requests, at an age, when they have grown too large, or when one of their threads is
//! stuck.
//!
//! Owns what makes a worker worn, and the succession: the replacement is forked into the generation's spare place of the scoreboard, and only
//! once it is up is the old worker asked to end; then the old one's place is the spare. One at a time in a generation.

use super::clock::GRACE;
use super::event::{Action, KillReason, Place, PlaceState, PoolSettings, Report, WorkerId};
use super::generation::{Generation, Phase, Zygote};
use super::slots::Seat;
use super::worker::Worker;
use crate::base::bounds::WEAR_LOOK_SECONDS;
use crate::base::clock::Monotonic;
use crate::supervise::backoff::Backoff;
use std::fmt;
use std::time::Duration;

/// Of a lifetime a random part of up to this is taken off.
const LIFETIME_SPREAD: f64 = 0.1;
/// Requests and memory are looked at so often.
const LOOK: Duration = Duration::from_secs(WEAR_LOOK_SECONDS);

/// What makes a worker worn. Nothing does by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recycle {
    /// So many requests, all threads together.
    pub requests: Option<u64>,
    /// … and a random number of up to so many more, another one for each worker.
    pub requests_jitter: u64,
    /// So long since its start, less a random part of up to a tenth.
    pub lifetime: Option<Duration>,
    /// So much resident memory, bytes; what it shares with others counts.
    pub rss_bytes: Option<u64>,
    /// Of the random parts.
    pub seed: u64,
}

/// Why a worker is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wear {
    /// It has answered so many requests.
    Requests {
        /// So many.
        done: u64,
        /// So many it was to answer.
        max: u64,
    },
    /// It is old.
    Lifetime {
        /// So old.
        age: Duration,
        /// So old it was to become.
        max: Duration,
    },
    /// It is large.
    Memory {
        /// So much it has resident, bytes.
        bytes: u64,
        /// So much it was to have.
        max: u64,
    },
    /// One of its threads does not let go of a request that has taken too long.
    Stuck,
}

impl fmt::Display for Wear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wear::Requests { done, max } => write!(f, "{done} requests answered, max_requests is {max} for it"),
            Wear::Lifetime { age, max } => write!(f, "started {age:.1?} ago, max_lifetime is {max:.1?} for it"),
            Wear::Memory { bytes, max } => write!(f, "{bytes} bytes of memory, max_rss is {max}"),
            Wear::Stuck => f.write_str("a thread does not let go of a request that has taken too long"),
        }
    }
}

/// What was seen of a worker at one look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Requests that it has finished.
    pub done: u64,
    /// It has no request in hand.
    pub is_idle: bool,
    /// Its resident memory, if that was looked at.
    pub rss_bytes: Option<u64>,
}

impl Recycle {
    fn requests_of(&self, worker: WorkerId) -> Option<u64> {
        let more = self.chance(worker) % self.requests_jitter.saturating_add(1);
        Some(self.requests?.saturating_add(more))
    }

    fn lifetime_of(&self, worker: WorkerId) -> Option<Duration> {
        let fraction = (self.chance(worker) >> 11) as f64 / (1_u64 << 53) as f64;
        self.lifetime.map(|lifetime| lifetime - lifetime.mul_f64(fraction * LIFETIME_SPREAD))
    }

    /// The worker's own random number: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn chance(&self, worker: WorkerId) -> u64 {
        let mut mixed = self.seed.wrapping_add(u64::from(worker.0).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// When a worker that was looked at now is to be looked at again, if ever.
    pub(super) fn look_at(&self, worker: WorkerId, since: Monotonic, now: Monotonic) -> Option<Monotonic> {
        let counts = self.requests.is_some() || self.rss_bytes.is_some();
        let end = self.lifetime_of(worker).map(|lifetime| since + lifetime).filter(|end| *end > now);
        end.into_iter().chain(counts.then(|| now + LOOK)).min()
    }

    /// Whether a worker is worn. `large_at`: what it had finished when it was first seen to be large with a request in hand, whose memory may
    /// be given back when it ends.
    pub(super) fn judge(
        &self,
        worker: WorkerId,
        since: Monotonic,
        seen: Seen,
        large_at: &mut Option<u64>,
        now: Monotonic,
    ) -> Option<Wear> {
        let (done, age) = (seen.done, now.since(since));
        if let Some(max) = self.requests_of(worker).filter(|max| done >= *max) {
            return Some(Wear::Requests { done, max });
        }
        if let Some(max) = self.lifetime_of(worker).filter(|max| age >= *max) {
            return Some(Wear::Lifetime { age, max });
        }
        let (bytes, max) = (seen.rss_bytes?, self.rss_bytes?);
        if bytes <= max {
            *large_at = None;
            return None;
        }
        let is_large_between = seen.is_idle || large_at.is_some_and(|before| done > before);
        large_at.get_or_insert(done);
        is_large_between.then_some(Wear::Memory { bytes, max })
    }
}

/// A worn worker's replacement on its way.
#[derive(Debug)]
pub(super) struct Succession {
    /// Whose: the index of the slot.
    pub slot: usize,
    pub seat: Seat,
    wear: Option<Wear>,
    backoff: Backoff,
    /// When a fork was last asked for.
    pub forked_at: Option<Monotonic>,
}

impl Succession {
    /// A successor that is there already.
    pub fn adopted(slot: usize, worker: Box<Worker>) -> Succession {
        Succession { slot, seat: Seat::Live(worker), wear: None, backoff: Backoff::default(), forked_at: None }
    }

    fn has_begun(&self) -> bool {
        matches!(self.seat, Seat::Live(_) | Seat::Forking { .. })
    }
}

/// How long a worn worker may take for what it has in hand: no request is to be ended by this before it has had its time, and its thread
/// the chance to let go of it.
fn leaving_limit(settings: &PoolSettings) -> Duration {
    settings.timeout.map_or(settings.graceful_timeout, |timeout| settings.graceful_timeout.max(timeout + 2 * GRACE))
}

impl Generation {
    /// Begins to replace the oldest worn worker, unless one is being replaced.
    pub fn begin_succession(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let can_fork = matches!(self.zygote, Zygote::Alive { is_killed: false, .. });
        // One that somebody has stopped by hand meanwhile may still be on its way.
        let is_one_leaving = self.workers().any(|worker| worker.worn.is_some() && worker.is_leaving());
        if self.succession.is_some() || is_one_leaving || !can_fork || !matches!(self.phase, Phase::Serving { .. }) {
            return;
        }
        let worn = self.slots.iter().enumerate().filter(|(_, slot)| !slot.is_vacated);
        let worn = worn.filter_map(|(index, slot)| match &slot.seat {
            Seat::Live(worker) if !worker.is_leaving() => Some((worker.id, worker.pid, index, worker.worn?)),
            _ => None,
        });
        let Some((worker, pid, slot, wear)) = worn.min_by_key(|(worker, ..)| *worker) else { return };
        let due = self.succeeded_at.map_or(now, |last| now.max(last + self.settings.backoff.between_starts));
        self.succeeded_at = Some(due);
        self.succession = Some(Succession {
            slot,
            seat: Seat::Vacant { due },
            wear: Some(wear),
            backoff: Backoff::default(),
            forked_at: None,
        });
        actions.push(Action::Report(Report::WorkerWorn { worker, pid, generation: self.id, wear }));
    }

    /// Takes every step of the succession whose time has come, but the fork.
    pub(super) fn settle_succession(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let is_serving = self.is_serving();
        let Some(succession) = &mut self.succession else { return };
        let slot = &mut self.slots[succession.slot];
        if !succession.has_begun() && (!is_serving || slot.is_vacated) {
            self.succession = None;
            return;
        }
        let Seat::Live(successor) = &mut succession.seat else { return };
        if slot.is_vacated {
            successor.ask_to_end(self.settings.graceful_timeout, KillReason::Asked, now, actions);
        }
        successor.settle(self.id, &self.settings, now, actions);
        match &mut slot.seat {
            Seat::Live(old) if is_serving && successor.is_up && !successor.is_leaving() => {
                let reason = succession.wear.map_or(KillReason::Asked, KillReason::Worn);
                old.ask_to_end(leaving_limit(&self.settings), reason, now, actions);
            }
            Seat::Live(_) | Seat::Forking { .. } => {}
            Seat::Vacant { .. } | Seat::Done => {
                self.succeed();
            }
        }
    }

    /// Seats the successor in its slot, if there is one. Returns whether there was.
    fn succeed(&mut self) -> bool {
        let Some(succession) = self.succession.take_if(|succession| succession.has_begun()) else { return false };
        let slot = &mut self.slots[succession.slot];
        slot.seat = succession.seat;
        slot.forked_at = succession.forked_at;
        std::mem::swap(&mut slot.place, &mut self.spare);
        true
    }

    /// The worker of a slot has ended: its successor takes it over. Returns whether there is one.
    pub(super) fn is_succeeded(&mut self, slot: usize) -> bool {
        if self.succession.as_ref().is_none_or(|succession| succession.slot != slot) {
            return false;
        }
        let is_succeeded = self.succeed();
        self.succession = None;
        is_succeeded
    }

    /// A successor has ended before it had a slot. Returns the wait before the next one, if one is wanted.
    pub(super) fn successor_ended(&mut self, worker: &Worker, has_worked: bool, now: Monotonic) -> Option<Duration> {
        let is_serving = self.is_serving();
        let slots = &self.slots;
        let policy = self.settings.backoff;
        let succession = self.succession.as_mut().filter(|found| is_serving && !slots[found.slot].is_vacated);
        let Some(succession) = succession else {
            self.succession = None;
            return None;
        };
        let wait = if has_worked { Duration::ZERO } else { succession.backoff.died(&policy, now.since(worker.since)) };
        let due = (now + wait).max(worker.since + policy.between_starts);
        succession.seat = Seat::Vacant { due };
        Some(due.since(now))
    }

    /// A successor could not be forked.
    pub(super) fn successor_fork_failed(&mut self, now: Monotonic) {
        let policy = self.settings.backoff;
        if let Some(succession) = &mut self.succession {
            let wait = succession.backoff.died(&policy, Duration::ZERO).max(policy.between_starts);
            succession.seat = Seat::Vacant { due: now + wait };
        }
    }

    /// The successor of the worker in a slot, as people see it, once it serves in that one's stead.
    pub(super) fn succeeding(&self, slot: usize) -> Option<Place> {
        let succession = self.succession.as_ref().filter(|succession| succession.slot == slot)?;
        let is_leaving = matches!(&self.slots[slot].seat, Seat::Live(old) if old.is_leaving());
        match &succession.seat {
            Seat::Live(worker) if is_leaving && worker.is_up && !worker.is_leaving() => Some(Place {
                slot: slot as u32,
                state: PlaceState::Serving,
                pid: Some(worker.pid),
                since: succession.forked_at,
                left: self.slots[slot].left_at,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seen(done: u64, is_idle: bool, rss_bytes: u64) -> Seen {
        Seen { done, is_idle, rss_bytes: Some(rss_bytes) }
    }

    #[test]
    fn each_worker_s_number_of_requests_is_its_own_and_within_the_jitter() {
        let recycle = Recycle { requests: Some(100), requests_jitter: 50, seed: 7, ..Recycle::default() };
        let numbers: Vec<u64> = (1..2000).filter_map(|worker| recycle.requests_of(WorkerId(worker))).collect();
        assert_eq!((numbers.iter().min(), numbers.iter().max()), (Some(&100), Some(&150)));
        assert_eq!(recycle.requests_of(WorkerId(3)), recycle.requests_of(WorkerId(3)));
        let huge = Recycle { requests: Some(u64::MAX), requests_jitter: u64::MAX, ..recycle };
        assert_eq!(huge.requests_of(WorkerId(1)), Some(u64::MAX));
        assert_eq!(Recycle { requests: None, ..recycle }.requests_of(WorkerId(1)), None);
    }

    #[test]
    fn lifetimes_are_spread_over_a_tenth() {
        let recycle = Recycle { lifetime: Some(100 * SECOND), seed: 7, ..Recycle::default() };
        let lifetimes: Vec<Duration> = (1..2000).filter_map(|worker| recycle.lifetime_of(WorkerId(worker))).collect();
        let (least, most) = (lifetimes.iter().min().expect("some"), lifetimes.iter().max().expect("some"));
        assert!((90 * SECOND..91 * SECOND).contains(least) && (99 * SECOND..=100 * SECOND).contains(most));
    }

    #[test]
    fn memory_that_a_request_may_give_back_counts_only_when_it_has_ended() {
        let recycle = Recycle { rss_bytes: Some(1000), ..Recycle::default() };
        let (start, mut large_at) = (Monotonic::from_nanos(1), None);
        let mut judge = |seen| recycle.judge(WorkerId(1), start, seen, &mut large_at, start + SECOND);
        assert_eq!(judge(seen(5, true, 1000)), None);
        assert_eq!(judge(seen(5, false, 2000)), None);
        assert_eq!(judge(seen(5, false, 2000)), None, "the same request");
        assert_eq!(judge(seen(6, false, 900)), None, "it was given back");
        assert_eq!(judge(seen(6, false, 2000)), None);
        assert_eq!(judge(seen(7, false, 2000)), Some(Wear::Memory { bytes: 2000, max: 1000 }));
        assert_eq!(judge(seen(7, true, 1001)), Some(Wear::Memory { bytes: 1001, max: 1000 }));
    }

    #[test]
    fn a_worker_is_looked_at_for_what_wears_it_and_for_nothing_else() {
        let (start, worker) = (Monotonic::from_nanos(1), WorkerId(1));
        let look = |recycle: Recycle, now| recycle.look_at(worker, start, now);
        assert_eq!(look(Recycle::default(), start), None);
        let old = Recycle { lifetime: Some(100 * SECOND), ..Recycle::default() };
        assert!(look(old, start).is_some_and(|at| at > start + 80 * SECOND));
        assert_eq!(look(old, start + 100 * SECOND), None);
        let counted = Recycle { requests: Some(5), ..old };
        assert_eq!(look(counted, start), Some(start + LOOK));
        assert_eq!(look(counted, start + 100 * SECOND), Some(start + 100 * SECOND + LOOK));
    }
}
