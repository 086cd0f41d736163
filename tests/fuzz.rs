//! The targets of `fuzz/`, run on their seeds, on all that ever made one of them fail, and on a thousand simple changes of these. A real
//! engine runs them longer: `make test` for seconds, `make fuzz` for as long as it is told.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Changes tried for each target.
const CHANGES: usize = 1_000;

/// Runs one input; says which it was when a promise is broken.
fn check(target: &targets::Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        panic!("{}: {:?}", target.name, input.escape_ascii().to_string());
    }
}

/// A linear congruential generator (Knuth's MMIX): the same changes on every machine.
struct Chance(u64);

impl Chance {
    /// Below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// `seed` with one to four bytes or pieces changed, taken out, doubled, or replaced from `other`.
fn changed(seed: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(input.len() + 1);
        let end = at + chance.below((input.len() - at).min(16) + 1);
        match chance.below(5) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 => input.insert(at, b"\r\n\0 \t:;,=\"%/.*-0fW\xff"[chance.below(19)]),
            2 => drop(input.drain(at..end)),
            3 => input.extend_from_within(at..end),
            _ => {
                let from = chance.below(other.len() + 1);
                let piece = &other[from..(from + 16).min(other.len())];
                input.splice(at..end, piece.iter().copied());
            }
        }
    }
    input
}

#[test]
fn every_parser_keeps_its_promises() {
    for (number, target) in targets::ALL.iter().enumerate() {
        let seeds = target.seeds();
        assert!(!seeds.is_empty(), "{} has seeds", target.name);
        seeds.iter().for_each(|seed| check(target, seed));
        let mut chance = Chance(number as u64);
        for _ in 0..CHANGES {
            let (seed, other) = (&seeds[chance.below(seeds.len())], &seeds[chance.below(seeds.len())]);
            check(target, &changed(seed, other, &mut chance));
        }
    }
}
