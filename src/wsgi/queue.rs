//! Who of those that wait is next, who gives way in a full queue, and who has waited too long while the server is overloaded.
//!
//! Pure: tokens and times in, tokens out. Called by `pool`, which holds what the tokens stand for.
//!
//! There is a list for each priority, first come first served. The more urgent list goes first, but one of [`PASSED_MAX`] + 1
//! requests is the one that has waited longest, whatever its list: nobody starves while anybody is served.
//!
//! Overload is told from a burst by how long those had waited that no longer do: if for [`OVERLOAD_AFTER`] all that were served, and
//! at least [`LATE_MIN`], had waited longer than the limit for that, or if so many clients in a row had and left, more come than can be
//! served. From then on whoever has waited so long is turned away, until one has waited half as long only. Without that a full
//! queue serves everybody late: as many as before, but none in time. Each list is judged for itself.

use std::time::Duration;

use slab::Slab;

use super::messages::Token;
use super::turns::Claim;
use crate::base::clock::Monotonic;
use crate::config::Priority;

/// So many requests in a row may be taken before one that has waited longer.
const PASSED_MAX: u32 = 7;
/// A burst is over within this time, or it is an overload.
const OVERLOAD_AFTER: Duration = Duration::from_secs(5);
/// Fewer requests than this are too few to judge by.
const LATE_MIN: u32 = 16;

const LEVELS: usize = Priority::ALL.len();

/// Where a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(usize);

/// What is known of a request that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// How long it had waited.
    pub waited: Duration,
    /// Its list is overloaded from now on, or no longer.
    pub turned: Option<bool>,
}

/// The requests of one shard that wait.
#[derive(Debug)]
pub(super) struct Queue {
    nodes: Slab<Node>,
    levels: [Level; LEVELS],
    calls_max: usize,
    /// How long one may wait in an overload; `None`: as long as ever.
    overload_timeout: Option<Duration>,
    /// Taken in a row while another one had waited longer.
    passed: u32,
}

#[derive(Debug)]
struct Node {
    token: Token,
    level: usize,
    since: Monotonic,
    before: Option<usize>,
    behind: Option<usize>,
}

#[derive(Debug, Default)]
struct Level {
    first: Option<usize>,
    last: Option<usize>,
    /// Taken in a row after too long a wait, and since when.
    late: u32,
    late_since: Monotonic,
    /// Meanwhile so many have left after such a wait.
    left: u32,
    is_overloaded: bool,
}

impl Queue {
    /// Nobody waits yet; at most `calls_max` may.
    pub fn new(calls_max: usize) -> Queue {
        Queue {
            nodes: Slab::new(),
            levels: Default::default(),
            calls_max: calls_max.max(1),
            overload_timeout: None,
            passed: 0,
        }
    }

    /// What holds from now on. Those that wait already may go on.
    pub fn set_limits(&mut self, calls_max: usize, overload_timeout: Option<Duration>) {
        self.calls_max = calls_max.max(1);
        self.overload_timeout = overload_timeout;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the server can't keep up with what comes, for some list.
    pub fn is_overloaded(&self) -> bool {
        self.overload_timeout.is_some() && self.levels.iter().any(|level| level.is_overloaded)
    }

    /// Whether one more may wait, if need be in the place of a less urgent one.
    pub fn has_room(&self, priority: Priority) -> bool {
        self.nodes.len() < self.calls_max
            || self.levels[priority as usize + 1..].iter().any(|level| level.last.is_some())
    }

    /// Who has to give way to one more of this priority: the last of the least urgent, if the queue is full.
    pub fn displaced_by(&mut self, priority: Priority) -> Option<Token> {
        if self.nodes.len() < self.calls_max {
            return None;
        }
        let last = self.levels[priority as usize + 1..].iter().rev().find_map(|level| level.last)?;
        Some(self.unlink(last).token)
    }

    /// The last of its list.
    pub fn push(&mut self, token: Token, priority: Priority, now: Monotonic) -> Key {
        let level = priority as usize;
        let before = self.levels[level].last;
        let key = self.nodes.insert(Node { token, level, since: now, before, behind: None });
        match before {
            Some(before) => self.nodes[before].behind = Some(key),
            None => self.levels[level].first = Some(key),
        }
        self.levels[level].last = Some(key);
        Key(key)
    }

    /// The first of its list: it had been taken, and given back.
    pub fn push_front(&mut self, token: Token, priority: Priority, now: Monotonic) -> Key {
        let level = priority as usize;
        let behind = self.levels[level].first;
        let key = self.nodes.insert(Node { token, level, since: now, before: None, behind });
        match behind {
            Some(behind) => self.nodes[behind].before = Some(key),
            None => self.levels[level].last = Some(key),
        }
        self.levels[level].first = Some(key);
        Key(key)
    }

    /// What this queue has to say to others: its most urgent request, the first of those.
    pub fn claim(&self) -> Option<Claim> {
        let (first, priority) =
            self.levels.iter().zip(Priority::ALL).find_map(|(level, of)| Some((level.first?, of)))?;
        Some(Claim::new(priority, self.nodes[first].since))
    }

    /// Who is next.
    pub fn next(&self) -> Option<(Key, Token)> {
        let mut fronts = self.levels.iter().filter_map(|level| level.first);
        let urgent = fronts.next()?;
        let next = match self.passed >= PASSED_MAX {
            true => fronts.fold(urgent, |oldest, other| if self.is_before(other, oldest) { other } else { oldest }),
            false => urgent,
        };
        Some((Key(next), self.nodes[next].token))
    }

    fn is_before(&self, one: usize, other: usize) -> bool {
        self.nodes[one].since < self.nodes[other].since
    }

    /// It waits no longer: it goes to a worker.
    pub fn take(&mut self, key: Key, now: Monotonic) -> Taken {
        let Node { level, since, .. } = self.unlink(key.0);
        let passes = self.levels.iter().filter_map(|level| level.first).any(|first| self.nodes[first].since < since);
        self.passed = if passes { self.passed + 1 } else { 0 };
        let waited = now.since(since);
        let turned = self.overload_timeout.and_then(|timeout| self.levels[level].judge(waited, timeout, now));
        Taken { waited, turned }
    }

    /// It waits no longer: its client has left, or it may not wait for ever. Whether its list is overloaded from now on.
    pub fn remove(&mut self, key: Key, now: Monotonic) -> bool {
        let Node { level, since, .. } = self.unlink(key.0);
        self.overload_timeout.is_some_and(|timeout| now.since(since) > timeout && self.levels[level].lose())
    }

    /// Somebody who has waited too long in an overload. To be asked for until there is nobody.
    pub fn overdue(&mut self, now: Monotonic) -> Option<Token> {
        let timeout = self.overload_timeout?;
        let overloaded = self.levels.iter().filter(|level| level.is_overloaded);
        let mut fronts = overloaded.filter_map(|level| level.first);
        let overdue = fronts.find(|first| now.since(self.nodes[*first].since) > timeout)?;
        Some(self.unlink(overdue).token)
    }

    fn unlink(&mut self, key: usize) -> Node {
        let node = self.nodes.remove(key);
        match node.before {
            Some(before) => self.nodes[before].behind = node.behind,
            None => self.levels[node.level].first = node.behind,
        }
        match node.behind {
            Some(behind) => self.nodes[behind].before = node.before,
            None => self.levels[node.level].last = node.before,
        }
        node
    }
}

impl Level {
    /// One has left after too long a wait. Whether that changes what is thought of the list.
    fn lose(&mut self) -> bool {
        self.left = self.left.saturating_add(1);
        self.left >= LATE_MIN && !std::mem::replace(&mut self.is_overloaded, true)
    }

    /// One was taken after `waited`. Whether that changes what is thought of the list.
    fn judge(&mut self, waited: Duration, timeout: Duration, now: Monotonic) -> Option<bool> {
        if waited > timeout {
            if self.late == 0 {
                self.late_since = now;
            }
            self.late = self.late.saturating_add(1);
            let is_overload = self.late >= LATE_MIN && now.since(self.late_since) >= OVERLOAD_AFTER;
            return (is_overload && !std::mem::replace(&mut self.is_overloaded, true)).then_some(true);
        }
        (self.late, self.left) = (0, 0);
        (waited <= timeout / 2 && std::mem::take(&mut self.is_overloaded)).then_some(false)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
