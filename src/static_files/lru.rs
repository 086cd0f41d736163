//! A map from paths to values that forgets what was used least recently, bounded by entries and by bytes.
//!
//! Owns the index, the order of use and the accounts. It never looks at a file and never asks for the time. Looking up allocates nothing.
//! Called by the cache.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use slab::Slab;

/// No slot.
const NONE: usize = usize::MAX;
/// What an entry costs beside its path and its value's bytes: slot, index, allocations. An estimate, bytes.
const OVERHEAD_BYTES: usize = 256;

/// A path beneath a root, hashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub hash: u64,
    pub root: u32,
    /// Decoded and normal, without the slash at the front.
    pub path: &'a [u8],
}

/// Hashes keys. Seeded, so that a client can't choose paths that collide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    pub fn new() -> Seed {
        Seed(RandomState::new().hash_one(0u8))
    }

    pub fn key(self, root: u32, path: &[u8]) -> Key<'_> {
        let mut state = mix(self.0 ^ u64::from(root) ^ (path.len() as u64) << 32);
        let mut words = path.chunks_exact(8);
        for word in &mut words {
            state = mix(state ^ u64::from_le_bytes(word.try_into().expect("a chunk of eight")));
        }
        let mut tail = [0; 8];
        tail[..words.remainder().len()].copy_from_slice(words.remainder());
        Key { hash: mix(state ^ u64::from_le_bytes(tail)), root, path }
    }
}

/// Folds the product with an odd constant (2^64 divided by the golden ratio).
fn mix(word: u64) -> u64 {
    let product = u128::from(word) * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}

/// Passes a hash through.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are keys");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(super) type ByHash<V> = HashMap<u64, V, BuildHasherDefault<Hashed>>;

/// The map. Of two keys with the same hash it keeps the newer one.
pub(super) struct Lru<V> {
    index: ByHash<usize>,
    slots: Slab<Slot<V>>,
    newest: usize,
    oldest: usize,
    bytes: usize,
    bytes_max: usize,
    entries_max: usize,
}

struct Slot<V> {
    hash: u64,
    root: u32,
    path: Box<[u8]>,
    value: V,
    bytes: usize,
    newer: usize,
    older: usize,
}

impl<V> Lru<V> {
    pub fn new(bytes_max: usize, entries_max: usize) -> Lru<V> {
        Lru {
            index: ByHash::default(),
            slots: Slab::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            bytes_max,
            entries_max,
        }
    }

    /// The value at `key`, which is now the most recently used.
    pub fn get(&mut self, key: Key<'_>) -> Option<&mut V> {
        let at = *self.index.get(&key.hash)?;
        let slot = &self.slots[at];
        if slot.root != key.root || *slot.path != *key.path {
            return None;
        }
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
        Some(&mut self.slots[at].value)
    }

    /// Puts `value` at `key`, accounted with `bytes` beside what every entry costs. What doesn't fit is left out, and what was there is gone.
    pub fn insert(&mut self, key: Key<'_>, value: V, bytes: usize) {
        if let Some(&at) = self.index.get(&key.hash) {
            self.remove_slot(at);
        }
        let bytes = bytes + key.path.len() + OVERHEAD_BYTES;
        if bytes > self.bytes_max || self.entries_max == 0 {
            return;
        }
        while self.bytes + bytes > self.bytes_max || self.slots.len() >= self.entries_max {
            self.remove_slot(self.oldest);
        }
        let slot =
            Slot { hash: key.hash, root: key.root, path: key.path.into(), value, bytes, newer: NONE, older: NONE };
        let at = self.slots.insert(slot);
        self.index.insert(key.hash, at);
        self.bytes += bytes;
        self.link(at);
        debug_assert!(self.index.len() == self.slots.len() && self.bytes <= self.bytes_max);
    }

    /// Forgets what is at `key`.
    pub fn remove(&mut self, key: Key<'_>) {
        if self.get(key).is_some() {
            self.remove_slot(self.newest);
        }
    }

    /// Forgets the least recently used entries for as long as they are `unwanted`.
    pub fn trim(&mut self, unwanted: impl Fn(&V) -> bool) {
        while self.slots.get(self.oldest).is_some_and(|slot| unwanted(&slot.value)) {
            self.remove_slot(self.oldest);
        }
    }

    /// How many entries there are, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.slots.len(), self.bytes)
    }

    fn remove_slot(&mut self, at: usize) {
        self.unlink(at);
        let slot = self.slots.remove(at);
        self.index.remove(&slot.hash);
        self.bytes -= slot.bytes;
    }

    /// Makes the slot `at`, which is in no order, the newest.
    fn link(&mut self, at: usize) {
        let older = std::mem::replace(&mut self.newest, at);
        let slot = &mut self.slots[at];
        (slot.newer, slot.older) = (NONE, older);
        match older {
            NONE => self.oldest = at,
            _ => self.slots[older].newer = at,
        }
    }

    fn unlink(&mut self, at: usize) {
        let (newer, older) = (self.slots[at].newer, self.slots[at].older);
        match newer {
            NONE => self.newest = older,
            _ => self.slots[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.slots[older].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_bound_it_and_use_protects() {
        let seed = Seed::new();
        let mut lru = Lru::new(1 << 20, 3);
        for (value, path) in ["a", "b", "c"].into_iter().enumerate() {
            lru.insert(seed.key(0, path.as_bytes()), value, 0);
        }
        assert!(lru.get(seed.key(0, b"a")).is_some());
        lru.insert(seed.key(0, b"d"), 3, 0);
        let left: Vec<_> = ["a", "b", "c", "d"].map(|path| lru.get(seed.key(0, path.as_bytes())).copied()).into();
        assert_eq!(left, [Some(0), None, Some(2), Some(3)]);
    }

    #[test]
    fn bytes_bound_it() {
        let seed = Seed::new();
        let mut lru = Lru::new(3 * (OVERHEAD_BYTES + 101), 100);
        for path in [b"a", b"b", b"c", b"d"] {
            lru.insert(seed.key(0, path), (), 100);
        }
        assert_eq!(lru.size(), (3, 3 * (OVERHEAD_BYTES + 101)));
        assert!(lru.get(seed.key(0, b"a")).is_none());
        // Too large for the whole cache: others stay, the old value at its key doesn't.
        lru.insert(seed.key(0, b"b"), (), 10_000);
        assert!(lru.get(seed.key(0, b"b")).is_none() && lru.get(seed.key(0, b"c")).is_some());
    }

    #[test]
    fn roots_are_apart_and_collisions_are_told() {
        let seed = Seed::new();
        let mut lru = Lru::new(1 << 20, 10);
        lru.insert(seed.key(1, b"a"), 1, 0);
        assert!(lru.get(seed.key(2, b"a")).is_none());
        let other = Key { path: b"b", ..seed.key(1, b"a") };
        assert!(lru.get(other).is_none());
        lru.remove(other);
        assert!(lru.get(seed.key(1, b"a")).is_some());
        lru.insert(other, 2, 0);
        assert_eq!((lru.get(seed.key(1, b"a")).copied(), lru.get(other).copied()), (None, Some(2)));
    }

    #[test]
    fn hashes_differ_where_keys_do() {
        let seed = Seed::new();
        let paths: [&[u8]; 8] = [b"", b"\0", b"a", b"a\0", b"aaaaaaaa", b"aaaaaaaaa", b"aaaaaaab", b"aaaaaaaa\0"];
        let mut hashes: Vec<u64> = (0..3).flat_map(|root| paths.map(|path| seed.key(root, path).hash)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 24);
    }

    proptest! {
        /// Against a list in order of use.
        #[test]
        fn behaves_like_a_list(steps in proptest::collection::vec((0u8..12, 0u8..3), 0..200)) {
            let seed = Seed(1);
            let mut lru = Lru::new(1 << 20, 5);
            let mut model: Vec<u8> = Vec::new();
            for (name, step) in steps {
                let path = [name];
                let key = seed.key(0, &path);
                let known = model.contains(&name);
                model.retain(|&other| other != name);
                match step {
                    0 => {
                        lru.insert(key, name, 1);
                        model.push(name);
                        if model.len() > 5 {
                            model.remove(0);
                        }
                    }
                    1 => {
                        prop_assert_eq!(lru.get(key).copied(), known.then_some(name));
                        if known {
                            model.push(name);
                        }
                    }
                    _ => lru.remove(key),
                }
                prop_assert_eq!(lru.size().0, model.len());
            }
            for name in model {
                prop_assert_eq!(lru.slots[lru.oldest].value, name);
                lru.remove_slot(lru.oldest);
            }
        }
    }
}
