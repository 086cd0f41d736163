//! The numbers of a rate's keys: a fixed table of atomics that all shards share.
//!
//! A place holds a key and its number (`rate`) in one atomic of 128 bits, so a decision is one load of a cache line and one
//! compare-and-swap: exact however many shards decide at the same time, without a lock. A key has a few places to choose from; when others have them
//! all, the one whose debt is over first is forgotten. So whoever is being refused, having the most debt, is forgotten last, whatever flood of
//! new keys arrives.

use portable_atomic::AtomicU128;
use std::sync::atomic::{AtomicU64, Ordering};

use super::key::Keys;
use super::rate::{Outcome, Rate, Verdict};
use crate::base::clock::Monotonic;

/// Places of one bucket: a cache line of 64 bytes.
const PLACES: usize = 4;

#[repr(align(64))]
struct Bucket([AtomicU128; PLACES]);

/// The keys of one rate.
pub struct RateTable {
    keys: Keys,
    buckets: Box<[Bucket]>,
    /// Keys that were forgotten although their debt was not over.
    forgotten: AtomicU64,
}

impl RateTable {
    /// For at least so many keys, 16 bytes each.
    pub fn new(keys_max: usize) -> RateTable {
        let count = keys_max.div_ceil(PLACES).next_power_of_two();
        let empty = || Bucket(std::array::from_fn(|_| AtomicU128::new(0)));
        RateTable {
            keys: Keys::default(),
            buckets: (0..count).map(|_| empty()).collect(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// The hash for the keys of this table.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Keys that were forgotten too early, for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// What [`RateTable::admit`] would decide, without taking note of anything.
    pub fn look(&self, key: u64, rate: &Rate, now: Monotonic) -> Verdict {
        let own =
            self.places(key).iter().map(|place| place.load(Ordering::Relaxed)).filter(|&place| key_of(place) == key);
        rate.decide(own.map(number_of).max().unwrap_or(0), now.as_nanos()).0
    }

    fn places(&self, key: u64) -> &[AtomicU128; PLACES] {
        // The upper bits choose the bucket: the lowest one is the same in all keys.
        &self.buckets[(key >> 32) as usize & (self.buckets.len() - 1)].0
    }

    /// Decides on a request of `key` (from [`RateTable::keys`]) at `now` and takes note of it if it is admitted.
    pub fn admit(&self, key: u64, rate: &Rate, now: Monotonic) -> Verdict {
        let now = now.as_nanos();
        let places = self.places(key);
        loop {
            let seen: [u128; PLACES] = std::array::from_fn(|index| places[index].load(Ordering::Relaxed));
            // Two shards that meet a new key at the same time may each have found another place for it: the larger number counts.
            let own =
                (0..PLACES).filter(|&index| key_of(seen[index]) == key).max_by_key(|&index| number_of(seen[index]));
            let scheduled = own.map_or(0, |index| number_of(seen[index]));
            let (verdict, next) = rate.decide(scheduled, now);
            if matches!(verdict.outcome, Outcome::Refused(_)) {
                return verdict;
            }
            let first_over = || (0..PLACES).min_by_key(|&index| number_of(seen[index])).expect("there are places");
            let index = own.unwrap_or_else(first_over);
            let swapped = places[index].compare_exchange(
                seen[index],
                u128::from(key) << 64 | u128::from(next),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if swapped.is_ok() {
                if own.is_none() && number_of(seen[index]) > now {
                    self.forgotten.fetch_add(1, Ordering::Relaxed);
                }
                return verdict;
            }
            // Another shard was faster, which can't happen for ever: its request is one that was admitted.
        }
    }
}

fn key_of(place: u128) -> u64 {
    (place >> 64) as u64
}

fn number_of(place: u128) -> u64 {
    place as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::time::Duration;

    fn at(ms: u64) -> Monotonic {
        Monotonic::ZERO + Duration::from_millis(ms)
    }

    fn is_admitted(verdict: Verdict) -> bool {
        !matches!(verdict.outcome, Outcome::Refused(_))
    }

    #[test]
    fn shards_that_decide_at_the_same_time_admit_exactly_the_burst() {
        let table = RateTable::new(1024);
        let rate = Rate::new(1, Duration::from_secs(3600), 999, 999);
        let admitted: Vec<u64> = std::thread::scope(|scope| {
            let shards: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let key = table.keys().of(&[b"one client"]);
                        (0..1000).filter(|_| is_admitted(table.admit(key, &rate, at(5)))).count() as u64
                    })
                })
                .collect();
            shards.into_iter().map(|shard| shard.join().expect("no panic")).collect()
        });
        assert_eq!(admitted.iter().sum::<u64>(), 1000, "{admitted:?}");
    }

    #[test]
    fn a_flood_of_new_keys_does_not_make_a_refused_one_forgotten() {
        let table = RateTable::new(64);
        let rate = Rate::new(1, Duration::from_secs(1), 9, 9);
        let hammering = table.keys().of(&[b"hammering"]);
        (0..10).for_each(|_| assert!(is_admitted(table.admit(hammering, &rate, at(0)))));
        for number in 0..100_000_u32 {
            assert!(is_admitted(table.admit(table.keys().of(&[&number.to_le_bytes()]), &rate, at(1))));
        }
        assert!(!is_admitted(table.admit(hammering, &rate, at(1))));
        assert!(table.forgotten() > 90_000, "64 places for 100,000 keys: {}", table.forgotten());
    }

    #[test]
    fn a_key_whose_debt_is_over_gives_its_place_to_others() {
        let table = RateTable::new(4);
        let rate = Rate::new(1, Duration::from_secs(1), 0, 0);
        for second in 0..100_u64 {
            let now = at(second * 1001);
            for number in 0..4_u64 {
                assert!(is_admitted(table.admit(table.keys().of(&[&(second * 4 + number).to_le_bytes()]), &rate, now)));
            }
        }
        assert_eq!(table.forgotten(), 0);
    }

    proptest! {
        /// As long as there is room, the table decides as a map would that forgets nothing.
        #[test]
        fn decides_as_if_it_kept_all_keys(
            steps in proptest::collection::vec((0u8..20, 0u64..2000), 1..300), burst in 0u64..5,
        ) {
            let table = RateTable::new(4096);
            let rate = Rate::new(2, Duration::from_secs(1), burst, burst);
            let (mut now, mut map) = (0, HashMap::new());
            for (client, pause) in steps {
                now += pause;
                let scheduled = map.entry(client).or_insert(0);
                let (expected, next) = rate.decide(*scheduled, at(now).as_nanos());
                *scheduled = next;
                let key = table.keys().of(&[&[client]]);
                prop_assert_eq!(table.look(key, &rate, at(now)), expected);
                prop_assert_eq!(table.admit(table.keys().of(&[&[client]]), &rate, at(now)), expected);
            }
        }
    }
}
