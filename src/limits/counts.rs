//! How many of something each key has at the moment: connections, or requests in progress.
//!
//! A fixed table of atomics that all shards share, a key and its count in one atomic of 128 bits, without a lock. What is counted is held as a
//! [`Held`], and counted down when that is dropped. A key for which there is no place is not counted but admitted: with four places for each thing
//! that can be counted that takes a bucket of the hash to be full by chance.

use portable_atomic::AtomicU128;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::key::Keys;

/// Places of one bucket: two cache lines.
const PLACES: usize = 8;

#[repr(align(128))]
struct Bucket([AtomicU128; PLACES]);

/// Counts by key, and the sum of all.
pub struct Counts {
    keys: Keys,
    buckets: Box<[Bucket]>,
    all: AtomicU64,
    uncounted: AtomicU64,
}

/// Whether one more may be held.
pub enum Claim {
    /// It is.
    Held(Held),
    /// The key has as many as it may have.
    KeyFull,
    /// All keys together have.
    AllFull,
}

/// One that is counted, until it is dropped.
pub struct Held {
    counts: Arc<Counts>,
    /// 0: not counted by key.
    key: u64,
}

impl Counts {
    /// For at least so many keys at the same time, 16 bytes each.
    pub fn new(keys_max: usize) -> Counts {
        let count = keys_max.div_ceil(PLACES).next_power_of_two();
        let empty = || Bucket(std::array::from_fn(|_| AtomicU128::new(0)));
        Counts {
            keys: Keys::default(),
            buckets: (0..count).map(|_| empty()).collect(),
            all: AtomicU64::new(0),
            uncounted: AtomicU64::new(0),
        }
    }

    /// The hash for the keys of this table.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many are held now.
    pub fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// How many were not counted by their key, for want of a place.
    pub fn uncounted(&self) -> u64 {
        self.uncounted.load(Ordering::Relaxed)
    }

    /// One more of `key` (`None`: of no key), if it then has no more than `key_max` and all together no more than `all_max`.
    pub fn claim(self: &Arc<Counts>, key: Option<u64>, key_max: u64, all_max: u64) -> Claim {
        if self.all.fetch_add(1, Ordering::Relaxed) >= all_max {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return Claim::AllFull;
        }
        let counted = match key.map(|key| (key, self.add(key, key_max))) {
            None => 0,
            Some((key, Some(true))) => key,
            Some((_, Some(false))) => {
                self.all.fetch_sub(1, Ordering::Relaxed);
                return Claim::KeyFull;
            }
            Some((_, None)) => {
                self.uncounted.fetch_add(1, Ordering::Relaxed);
                0
            }
        };
        Claim::Held(Held { counts: self.clone(), key: counted })
    }

    fn places(&self, key: u64) -> &[AtomicU128; PLACES] {
        &self.buckets[(key >> 32) as usize & (self.buckets.len() - 1)].0
    }

    /// Counts one more; `Some(false)`: there are `max` already, `None`: there is no place.
    fn add(&self, key: u64, max: u64) -> Option<bool> {
        let places = self.places(key);
        loop {
            let seen: [u128; PLACES] = std::array::from_fn(|index| places[index].load(Ordering::Relaxed));
            let own = || (0..PLACES).filter(|&index| key_of(seen[index]) == key);
            // Shards that meet a new key at the same time may have given it more than one place.
            if own().map(|index| count_of(seen[index])).sum::<u64>() >= max {
                return Some(false);
            }
            let index = own().next().or_else(|| (0..PLACES).find(|&index| seen[index] == 0))?;
            let next = u128::from(key) << 64 | u128::from(count_of(seen[index]) + 1);
            if swap(&places[index], seen[index], next) {
                return Some(true);
            }
        }
    }

    fn subtract(&self, key: u64) {
        let places = self.places(key);
        loop {
            let seen: [u128; PLACES] = std::array::from_fn(|index| places[index].load(Ordering::Relaxed));
            let Some(index) = (0..PLACES).find(|&index| key_of(seen[index]) == key) else {
                debug_assert!(false, "what was counted has a place");
                return;
            };
            // A place without a count is free.
            let next = if count_of(seen[index]) > 1 { seen[index] - 1 } else { 0 };
            if swap(&places[index], seen[index], next) {
                return;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        if self.key != 0 {
            self.counts.subtract(self.key);
        }
    }
}

fn swap(place: &AtomicU128, seen: u128, next: u128) -> bool {
    place.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

fn key_of(place: u128) -> u64 {
    (place >> 64) as u64
}

fn count_of(place: u128) -> u64 {
    place as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn claim(counts: &Arc<Counts>, client: u8, max: u64, all_max: u64) -> Option<Held> {
        match counts.claim(Some(counts.keys().of(&[&[client]])), max, all_max) {
            Claim::Held(held) => Some(held),
            Claim::KeyFull | Claim::AllFull => None,
        }
    }

    #[test]
    fn bounds_hold_for_each_and_for_all_and_end_with_what_is_held() {
        let counts = Arc::new(Counts::new(64));
        let held: Vec<_> = (0..3).map(|_| claim(&counts, 1, 3, 5).expect("there is room")).collect();
        assert!(matches!(counts.claim(Some(counts.keys().of(&[&[1]])), 3, 5), Claim::KeyFull));
        let others: Vec<_> = (0..2).map(|_| claim(&counts, 2, 3, 5).expect("there is room")).collect();
        assert!(matches!(counts.claim(None, 3, 5), Claim::AllFull));
        assert_eq!(counts.all(), 5);
        drop(held);
        assert_eq!(counts.all(), 2);
        assert!(claim(&counts, 1, 1, 5).is_some());
        drop(others);
        assert_eq!(counts.all(), 0);
    }

    #[test]
    fn shards_that_count_at_the_same_time_lose_nothing() {
        let counts = Arc::new(Counts::new(64));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut held = Vec::new();
                    for number in 0..2000 {
                        held.extend(claim(&counts, (number % 3) as u8, 50, 1000));
                        if number % 7 == 0 {
                            held.truncate(held.len() / 2);
                        }
                    }
                });
            }
        });
        assert_eq!(counts.all(), 0);
        let again: Vec<_> = (0..50).map(|_| claim(&counts, 0, 50, 1000).expect("nothing is held any more")).collect();
        assert!(claim(&counts, 0, 50, 1000).is_none());
        drop(again);
        assert!(counts.buckets.iter().flat_map(|bucket| &bucket.0).all(|place| place.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn a_key_without_a_place_is_admitted_and_said_to_be_uncounted() {
        let counts = Arc::new(Counts::new(1));
        let held: Vec<_> = (0..PLACES + 2).filter_map(|client| claim(&counts, client as u8, 1, 100)).collect();
        assert_eq!((held.len(), counts.uncounted()), (PLACES + 2, 2));
        assert!(claim(&counts, 0, 1, 100).is_none());
    }

    proptest! {
        #[test]
        fn counts_as_a_map_would(steps in proptest::collection::vec((0u8..10, any::<bool>()), 1..300), max in 1u64..5) {
            let counts = Arc::new(Counts::new(4096));
            let mut map: HashMap<u8, Vec<Held>> = HashMap::new();
            for (client, comes) in steps {
                let held = map.entry(client).or_default();
                if comes {
                    let claimed = claim(&counts, client, max, u64::MAX);
                    prop_assert_eq!(claimed.is_some(), (held.len() as u64) < max);
                    held.extend(claimed);
                } else {
                    held.pop();
                }
                prop_assert_eq!(counts.all(), map.values().map(Vec::len).sum::<usize>() as u64);
            }
        }
    }
}
