//! Request ids: 32 hexadecimal digits, as nginx's `$request_id` has them.
//!
//! Owns the generator, one for each shard, and the rule for ids that come from outside. Ids are unique, not secret: nobody may take
//! one for a proof of anything. Pure: the seed is passed in. Called by `shard`.

use crate::base::bounds::REQUEST_ID_BYTES_MAX;

/// A request's own id.
pub type RequestId = [u8; 32];

/// Makes ids that repeat neither within a shard nor, given seeds of real entropy, among all shards of all servers: xoshiro256++ has a
/// period of 2^256 − 1, and each id takes 128 bits of it.
#[derive(Debug)]
pub struct Generator([u64; 4]);

impl Generator {
    /// `seed` must be random; if it is all zero, which no random seed is, another one stands in for it.
    pub fn new(seed: [u8; 32]) -> Generator {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("a chunk has eight bytes"));
        }
        if state == [0; 4] {
            state = [1, 2, 3, 4];
        }
        Generator(state)
    }

    /// The next id.
    pub fn id(&mut self) -> RequestId {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for half in text.chunks_exact_mut(16) {
            let mut number = self.number();
            for digit in half {
                number = number.rotate_left(4);
                *digit = HEX[(number & 15) as usize];
            }
        }
        text
    }

    /// 64 random bits, also for other purposes that need no secrecy.
    pub fn number(&mut self) -> u64 {
        let state = &mut self.0;
        let result = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }
}

/// Whether an id from outside may be taken over: 1 to [`REQUEST_ID_BYTES_MAX`] letters, digits and marks that neither a log nor a field
/// could take for anything else.
pub fn is_acceptable(id: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/=@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_32_digits_and_differ() {
        let mut generator = Generator::new([7; 32]);
        let ids: HashSet<_> = (0..10_000).map(|_| generator.id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().flatten().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)));
        assert_ne!(Generator::new([0; 32]).id(), Generator::new([8; 32]).id());
    }

    /// The first numbers of the reference implementation for the state 1, 2, 3, 4.
    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        let mut generator = Generator::new([0; 32]);
        assert_eq!(
            [generator.number(), generator.number(), generator.number()],
            [41_943_041, 58_720_359, 3_588_806_011_781_223]
        );
    }

    #[test]
    fn ids_from_outside() {
        for good in ["a", "7f3-A.b_c", "Root=1-67891233-abcdef012345678912345678", &"x".repeat(REQUEST_ID_BYTES_MAX)] {
            assert!(is_acceptable(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a\"b", "a,b", "a\\", "a\u{e9}", "a\n", &"x".repeat(REQUEST_ID_BYTES_MAX + 1)] {
            assert!(!is_acceptable(bad.as_bytes()), "{bad}");
        }
    }
}
