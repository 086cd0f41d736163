//! The clock of requests in one worker: from the moment one is over its time until its thread has let go of it.
//!
//! Owns which requests are over their time, and for how long their threads have been asked to let go. Pure, as all of the machine; what follows
//! is `worker`'s.

use super::event::Held;
use crate::base::bounds::INTERRUPT_GRACE_MS;
use crate::base::clock::Monotonic;
use crate::sys::memory::{SlotState, SlotView};
use std::time::Duration;

/// A request over its time is looked at again after this long before its thread is interrupted: one reading may be torn.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_millis(20);
/// A thread that may not be interrupted just now is asked again after this long.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// A thread has so long to let go of its request, and its process as long again to show that it can do anything.
pub(super) const GRACE: Duration = Duration::from_millis(INTERRUPT_GRACE_MS);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// Requests that were over their time at the last look, and when they had begun.
    suspects: Vec<(Held, Monotonic)>,
    /// Those that were so twice.
    overdue: Vec<Overdue>,
    /// Requests that were seen in hand before their threads had noted the time, and since when.
    untimed: Vec<(u64, Monotonic)>,
    /// Other threads have requests in hand, or may still take some.
    pub has_others: bool,
}

#[derive(Clone, Copy, Debug)]
struct Overdue {
    held: Held,
    /// Since when its thread is asked to let go.
    since: Monotonic,
    /// Whoever waits for it was told not to.
    is_given_up: bool,
}

/// What a look has found.
pub(super) struct Found {
    /// Requests whose threads are to be interrupted, and their ages: first of all those of which nothing was said before.
    pub fresh: Vec<(Held, Duration)>,
    /// When to look next.
    pub look_at: Monotonic,
}

impl Clock {
    /// Looks at what the threads of a worker hold.
    pub fn look(&mut self, views: &[SlotView], timeout: Duration, now: Monotonic) -> Found {
        let in_hand = || views.iter().filter(|view| view.token != 0 && view.state != SlotState::Empty);
        let (before, mut look_at) = (std::mem::take(&mut self.untimed), now + timeout);
        let (mut late, mut fresh) = (Vec::new(), Vec::new());
        for view in in_hand() {
            // Just taken, and the thread has not had its turn since: its time begins when it was first seen so.
            let seen = || before.iter().find(|(token, _)| *token == view.token).map_or(now, |(_, since)| *since);
            let started = if view.started == Monotonic::ZERO { seen() } else { view.started };
            if view.started == Monotonic::ZERO {
                self.untimed.push((view.token, started));
            }
            match started + timeout {
                deadline if deadline > now => look_at = look_at.min(deadline),
                _ => late.push((Held { shard: view.shard, token: view.token }, started)),
            }
        }
        self.overdue.retain(|overdue| late.iter().any(|(held, _)| *held == overdue.held));
        for (held, started) in &late {
            if !self.is_overdue(*held) && self.suspects.contains(&(*held, *started)) {
                self.overdue.push(Overdue { held: *held, since: now, is_given_up: false });
                fresh.push((*held, now.since(*started)));
            }
        }
        self.has_others = views.iter().any(|view| {
            let is_overdue = self.is_overdue(Held { shard: view.shard, token: view.token });
            !is_overdue && (view.token != 0 || view.state == SlotState::Idle)
        });
        if late.len() > self.overdue.len() {
            look_at = now + CONFIRM_AFTER;
        } else if !late.is_empty() {
            look_at = look_at.min(now + ASK_AGAIN_AFTER);
        }
        self.suspects = late;
        Found { fresh, look_at }
    }

    /// Requests whose threads are asked to let go.
    pub fn overdue(&self) -> impl Iterator<Item = Held> + '_ {
        self.overdue.iter().map(|overdue| overdue.held)
    }

    fn is_overdue(&self, held: Held) -> bool {
        self.overdue.iter().any(|overdue| overdue.held == held)
    }

    /// The request whose thread has not let go of it for the longest time since its grace was over, and how long that is.
    pub fn stuck(&self, now: Monotonic) -> Option<(Held, Duration)> {
        let stuck = self.overdue.iter().filter(|overdue| overdue.since + GRACE <= now);
        stuck.min_by_key(|overdue| overdue.since).map(|overdue| (overdue.held, now.since(overdue.since + GRACE)))
    }

    /// Requests whose threads do not let go of them, each of them once.
    pub fn give_up(&mut self, now: Monotonic) -> Vec<Held> {
        let stuck = self.overdue.iter_mut().filter(|overdue| overdue.since + GRACE <= now && !overdue.is_given_up);
        stuck
            .map(|overdue| {
                overdue.is_given_up = true;
                overdue.held
            })
            .collect()
    }
}
