//! Whose turn it is when the shards of a server want more from a generation's workers than these may have before them.
//!
//! Owns what the shards of one generation tell each other, in atomics: how many requests each has in the inbox and in workers' hands, and since
//! when its next one waits. Decides who sends next, as if all waited in one queue; never sends and never wakes anybody itself. Called by `pool`.
//!
//! Connections fall unevenly on shards. With an equal part of the workers for each, the clients of the fuller one would wait longer, and
//! what a quiet one leaves would lie idle. So a place belongs to whoever has waited longest, whatever the shard; the more urgent go first. A shard that
//! finds a place free and another's request before its own leaves it, and that one is woken. As long as answers come back fast (see `share`), where
//! a wait is over in no time, shards look at their own share alone and tell only how many they have under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

use super::share::Share;
use crate::base::clock::Monotonic;
use crate::base::mail::Ringer;
use crate::config::Priority;

/// One that has waited longer by less than this part of its wait is no reason to wake its shard.
const ALIKE: u32 = 16;
/// A place that was left for another shard's request, and was not taken within this time, is left no longer.
const GRACE: Duration = Duration::from_millis(10);

/// Nobody waits.
const NOBODY: u64 = u64::MAX;
/// Where a claim's level is; below it are the nanoseconds, enough for 146 years.
const LEVEL_SHIFT: u32 = 62;

/// A shard's next request: how urgent it is, and since when it waits. The smaller claim goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim(u64);

impl Claim {
    /// A request of this priority that waits since then.
    pub fn new(priority: Priority, since: Monotonic) -> Claim {
        Claim((priority as u64) << LEVEL_SHIFT | since.as_nanos().min((1 << LEVEL_SHIFT) - 1))
    }

    fn level(self) -> u64 {
        self.0 >> LEVEL_SHIFT
    }

    fn since(self) -> Monotonic {
        Monotonic::from_nanos(self.0 & ((1 << LEVEL_SHIFT) - 1))
    }

    /// Whether `other` should go first, and by so much that it is worth a wake-up.
    fn gives_way_to(self, other: Claim, now: Monotonic) -> bool {
        match other.level().cmp(&self.level()) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => self.since().since(other.since()) > now.since(other.since()) / ALIKE,
        }
    }
}

/// What a shard tells the others. A cache line of its own, and the one that the processor fetches with it.
#[derive(Debug)]
#[repr(align(128))]
struct Line {
    /// Requests in the inbox or in workers' hands, as far as they count.
    taken: AtomicUsize,
    /// A [`Claim`], or [`NOBODY`].
    claim: AtomicU64,
    bell: Option<Ringer>,
}

/// What the shards of a server tell each other about one generation.
#[derive(Debug)]
pub struct Turns {
    lines: Box<[Line]>,
    /// Shards with a claim.
    waiting: AtomicUsize,
}

impl Turns {
    /// One place for each shard; its bell makes it look whether it is its turn.
    pub fn new(bells: impl IntoIterator<Item = Option<Ringer>>) -> Turns {
        let line = |bell| Line { taken: AtomicUsize::new(0), claim: AtomicU64::new(NOBODY), bell };
        Turns { lines: bells.into_iter().map(line).collect(), waiting: AtomicUsize::new(0) }
    }
}

/// What a shard is to do about its next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send it.
    Ours,
    /// Wait: for an answer, or to be woken.
    Wait,
    /// Wait too, and wake this shard: there is a place, and its request goes first.
    Theirs(usize),
    /// Nobody waits here, or only until the next answer, which comes soon.
    Nothing,
}

/// One shard's part in it. Dropping it lets the others have its places.
#[derive(Debug)]
pub struct Seat {
    turns: Arc<Turns>,
    shard: usize,
    /// As it stands in the shard's line.
    claim: Option<Claim>,
    /// For whom a place was left, and when first.
    left: Option<(Claim, Monotonic)>,
}

impl Seat {
    /// That of a shard, which is one of those for whom there is a place.
    pub fn new(turns: Arc<Turns>, shard: usize) -> Seat {
        assert!(shard < turns.lines.len(), "each shard has a line");
        Seat { turns, shard, claim: None, left: None }
    }

    /// So many requests are under way. While they come back fast, no more of them count than the shard's part, so that all others together leave some for one
    /// whose do not.
    pub fn tell(&self, taken: usize, share: &Share) {
        let counts = if share.is_fast() { taken.min(share.part()) } else { taken };
        self.turns.lines[self.shard].taken.store(counts, Ordering::Release);
    }

    /// What to do with the next request, if there is one, beside `taken` that are under way.
    pub fn ask(&mut self, next: Option<Claim>, taken: usize, share: &Share, now: Monotonic) -> Turn {
        let Some(own) = next else {
            self.claim(None);
            return self.hand_on(share);
        };
        if share.is_fast() {
            self.claim(None);
            return if share.has_room(taken) { Turn::Ours } else { Turn::Nothing };
        }
        if taken < share.equal() && self.is_alone() {
            return Turn::Ours;
        }
        match self.decide(own, taken, share, now) {
            // A place that somebody gave back before they could see this claim is seen now.
            Turn::Wait if self.claim(next) => self.decide(own, taken, share, now),
            turn => {
                if turn != Turn::Ours {
                    self.claim(next);
                }
                turn
            }
        }
    }

    /// Wakes another shard.
    pub fn wake(&self, shard: usize) {
        if let Some(bell) = &self.turns.lines[shard].bell {
            bell.ring();
        }
    }

    /// Whether no other shard's request waits.
    fn is_alone(&self) -> bool {
        self.turns.waiting.load(Ordering::Acquire) == usize::from(self.claim.is_some())
    }

    /// Says who is next here. Returns whether that is news.
    fn claim(&mut self, claim: Option<Claim>) -> bool {
        if self.claim == claim {
            return false;
        }
        self.turns.lines[self.shard].claim.store(claim.map_or(NOBODY, |claim| claim.0), Ordering::Release);
        match (self.claim, claim) {
            (None, Some(_)) => drop(self.turns.waiting.fetch_add(1, Ordering::AcqRel)),
            (Some(_), None) => drop(self.turns.waiting.fetch_sub(1, Ordering::AcqRel)),
            _ => {}
        }
        self.claim = claim;
        true
    }

    fn decide(&mut self, own: Claim, taken: usize, share: &Share, now: Monotonic) -> Turn {
        // What this shard has told is seen by whoever asks later; what they told before is seen below.
        fence(Ordering::SeqCst);
        let first = self.first_of_others();
        let goes_first = first.filter(|(claim, _)| own.gives_way_to(*claim, now));
        let is_less_urgent = first.is_some_and(|(claim, _)| claim.level() < own.level());
        if taken == 0 && is_less_urgent {
            // However many more urgent ones come, one of each shard's is always under way.
            return Turn::Ours;
        }
        if taken + self.taken_by_others() >= share.capacity() {
            return Turn::Wait;
        }
        let Some((claim, shard)) = goes_first else {
            self.left = None;
            return Turn::Ours;
        };
        match self.left {
            Some((left, since)) if left == claim && now.since(since) > GRACE => {
                self.left = None;
                Turn::Ours
            }
            Some((left, _)) if left == claim => Turn::Theirs(shard),
            _ => {
                self.left = Some((claim, now));
                Turn::Theirs(shard)
            }
        }
    }

    /// Nobody waits here: a place that is free is another's.
    fn hand_on(&self, share: &Share) -> Turn {
        if !share.is_fast() {
            fence(Ordering::SeqCst);
        }
        if self.turns.waiting.load(Ordering::Acquire) == 0 {
            return Turn::Nothing;
        }
        let own = self.turns.lines[self.shard].taken.load(Ordering::Relaxed);
        match self.first_of_others() {
            Some((_, shard)) if own + self.taken_by_others() < share.capacity() => Turn::Theirs(shard),
            _ => Turn::Nothing,
        }
    }

    fn others(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.turns.lines.iter().enumerate().filter(|(shard, _)| *shard != self.shard)
    }

    fn taken_by_others(&self) -> usize {
        self.others().map(|(_, line)| line.taken.load(Ordering::Acquire)).sum()
    }

    fn first_of_others(&self) -> Option<(Claim, usize)> {
        let claims = self.others().map(|(shard, line)| (Claim(line.claim.load(Ordering::Acquire)), shard));
        claims.filter(|(claim, _)| claim.0 != NOBODY).min()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.claim(None);
        self.turns.lines[self.shard].taken.store(0, Ordering::Release);
        fence(Ordering::SeqCst);
        if let Some((_, shard)) = self.first_of_others() {
            self.wake(shard);
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
