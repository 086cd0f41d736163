//! Requests by what became of them at a limit, and clients that were not let in.
//!
//! Owns the counters, by zone: zones come from the configuration, so clients can't make up new ones.

use std::collections::HashMap;

use crate::base::bounds::{RATE_LIMITS_MAX, ROUTES_MAX};

/// What became of a request at a limit, in nginx's words; what is worse comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitOutcome {
    /// It was within it.
    Passed,
    /// It would have had to wait.
    DelayedDryRun,
    /// It would have been refused.
    RejectedDryRun,
    /// It had to wait.
    Delayed,
    /// It was refused.
    Rejected,
}

/// Every outcome, in the order of the counters.
const OUTCOMES: [LimitOutcome; 5] = [
    LimitOutcome::Passed,
    LimitOutcome::DelayedDryRun,
    LimitOutcome::RejectedDryRun,
    LimitOutcome::Delayed,
    LimitOutcome::Rejected,
];

impl LimitOutcome {
    /// As metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            LimitOutcome::Passed => "passed",
            LimitOutcome::Delayed => "delayed",
            LimitOutcome::Rejected => "rejected",
            LimitOutcome::DelayedDryRun => "delayed_dry_run",
            LimitOutcome::RejectedDryRun => "rejected_dry_run",
        }
    }

    /// As the access log names it.
    pub fn status(self) -> &'static str {
        match self {
            LimitOutcome::Passed => "PASSED",
            LimitOutcome::Delayed => "DELAYED",
            LimitOutcome::Rejected => "REJECTED",
            LimitOutcome::DelayedDryRun => "DELAYED_DRY_RUN",
            LimitOutcome::RejectedDryRun => "REJECTED_DRY_RUN",
        }
    }
}

/// A shard's counters of limits and of who was let in.
#[derive(Clone, Debug, Default)]
pub struct Limited {
    zones: HashMap<String, [u64; OUTCOMES.len()]>,
    /// Requests of clients that are kept out by their address.
    pub denied: u64,
    /// Requests whose password was verified and right,
    pub auth_verified: u64,
    /// … was known to be right,
    pub auth_known: u64,
    /// … was wrong or missing,
    pub auth_refused: u64,
    /// … could not be verified because too many others were.
    pub auth_overloaded: u64,
    /// Connections that were closed at once because their address had too many.
    pub connections: u64,
}

impl Limited {
    /// Counts a request at the limit of this zone.
    pub fn count(&mut self, zone: &str, outcome: LimitOutcome) {
        if let Some(counts) = self.zones.get_mut(zone) {
            counts[outcome as usize] += 1;
        } else if self.zones.len() < 2 * ROUTES_MAX * RATE_LIMITS_MAX {
            // Zones that a reload takes away keep their counters.
            let mut counts = [0; OUTCOMES.len()];
            counts[outcome as usize] = 1;
            self.zones.insert(zone.to_owned(), counts);
        }
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Limited) {
        for (zone, counts) in &other.zones {
            let own = self.zones.entry(zone.clone()).or_default();
            own.iter_mut().zip(counts).for_each(|(own, count)| *own += count);
        }
        self.denied += other.denied;
        self.auth_verified += other.auth_verified;
        self.auth_known += other.auth_known;
        self.auth_refused += other.auth_refused;
        self.auth_overloaded += other.auth_overloaded;
        self.connections += other.connections;
    }

    /// All counters of limits, by zone and outcome, in the order of the zones' names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        let mut zones: Vec<(&str, [u64; OUTCOMES.len()])> =
            self.zones.iter().map(|(zone, counts)| (zone.as_str(), *counts)).collect();
        zones.sort_unstable();
        zones.into_iter().flat_map(|(zone, counts)| {
            OUTCOMES.into_iter().zip(counts).map(move |(outcome, count)| (zone, outcome.label(), count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up_by_zone_and_outcome() {
        let (mut one, mut other) = (Limited::default(), Limited::default());
        for (index, outcome) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        one.count("b", LimitOutcome::Rejected);
        other.count("b", LimitOutcome::Rejected);
        other.count("a", LimitOutcome::Passed);
        other.denied = 3;
        one.add(&other);
        let some: Vec<_> = one.iter().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(some, [("a", "passed", 1), ("b", "rejected", 2)]);
        assert_eq!((one.iter().count(), one.denied), (10, 3));
    }
}
