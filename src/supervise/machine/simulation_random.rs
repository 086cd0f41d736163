//! The chances of the simulation's worlds, from a seed: numbers, delays, settings of a pool.
//!
//! Owns no state but the generator's. Called by the simulation alone.

use super::PoolSettings;
use super::tests::pool_settings;
use crate::supervise::machine::Recycle;
use std::time::Duration;

const MS: u64 = 1_000_000;

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// Mostly short, sometimes up to `max_ms`, in nanoseconds.
    pub fn delay(&mut self, max_ms: u64) -> u64 {
        let max = if self.percent(80) { max_ms / 10 } else { max_ms };
        self.below(max * MS + 1)
    }
}

/// Workers that are worn by anything, now and then by the first request.
pub(super) fn random_pool(random: &mut Random, workers: u32, rolling: bool) -> PoolSettings {
    let mut recycle = Recycle { seed: random.next(), ..Recycle::default() };
    if random.percent(30) {
        recycle.requests = Some(1 + random.below(20));
        recycle.requests_jitter = random.below(10);
    }
    if random.percent(20) {
        recycle.lifetime = Some(Duration::from_millis(1 + random.below(30_000)));
    }
    if random.percent(20) {
        recycle.rss_bytes = Some(random.below(1000));
    }
    let warmup = random.percent(40).then(|| Duration::from_millis(1 + random.below(10_000)));
    PoolSettings { recycle, warmup, rolling, ..pool_settings(workers) }
}
