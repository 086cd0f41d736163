//! The tables behind the limits of a configuration, each under the name of its zone.
//!
//! Owns what of them outlives a reload: a zone that is there afterwards goes on with what it knows. Built by `supervise`, handed to all shards.

use std::collections::HashMap;
use std::sync::Arc;

use super::counts::Counts;
use super::rate_table::RateTable;

/// What a zone's table is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneRules {
    /// Rates of about so many keys.
    Rates {
        /// How many.
        keys_max: usize,
    },
    /// Counts of about so many keys.
    Counts {
        /// How many.
        keys_max: usize,
    },
}

/// A zone's table.
#[derive(Clone)]
pub enum Zone {
    /// Of rates.
    Rates(Arc<RateTable>),
    /// Of counts.
    Counts(Arc<Counts>),
}

/// All zones.
#[derive(Clone, Default)]
pub struct Zones(HashMap<String, (ZoneRules, Zone)>);

impl Zones {
    /// These zones; those that `self` has with the same rules are taken over as they are.
    pub fn next<'n>(&self, wanted: impl IntoIterator<Item = (&'n str, ZoneRules)>) -> Zones {
        let mut next = HashMap::new();
        for (name, rules) in wanted {
            next.entry(name.to_owned()).or_insert_with(|| match self.0.get(name) {
                Some((old, zone)) if *old == rules => (rules, zone.clone()),
                _ => (rules, rules.make()),
            });
        }
        Zones(next)
    }

    /// The rates of this zone; `None` if there is no such zone.
    pub fn rates(&self, name: &str) -> Option<&Arc<RateTable>> {
        match self.0.get(name) {
            Some((_, Zone::Rates(table))) => Some(table),
            _ => None,
        }
    }

    /// The counts of this zone; `None` if there is no such zone.
    pub fn counts(&self, name: &str) -> Option<&Arc<Counts>> {
        match self.0.get(name) {
            Some((_, Zone::Counts(counts))) => Some(counts),
            _ => None,
        }
    }

    /// All zones of rates.
    pub fn all_rates(&self) -> impl Iterator<Item = (&str, &RateTable)> {
        self.0.iter().filter_map(|(name, (_, zone))| match zone {
            Zone::Rates(table) => Some((name.as_str(), &**table)),
            Zone::Counts(_) => None,
        })
    }
}

impl ZoneRules {
    fn make(self) -> Zone {
        match self {
            ZoneRules::Rates { keys_max } => Zone::Rates(Arc::new(RateTable::new(keys_max))),
            ZoneRules::Counts { keys_max } => Zone::Counts(Arc::new(Counts::new(keys_max))),
        }
    }
}

impl std::fmt::Debug for Zones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_stays_the_same_keeps_its_table() {
        let rates = |keys_max| ZoneRules::Rates { keys_max };
        let first =
            Zones::default().next([("a", rates(64)), ("b", rates(64)), ("c", ZoneRules::Counts { keys_max: 8 })]);
        let second = first.next([("a", rates(64)), ("b", rates(128)), ("d", rates(64))]);
        let same = |name: &str| Arc::ptr_eq(first.rates(name).expect("there"), second.rates(name).expect("there"));
        assert!(same("a") && !same("b"));
        assert!(second.rates("d").is_some() && second.counts("c").is_none() && first.counts("c").is_some());
        assert!(first.rates("c").is_none());
    }
}
