//! Where things are in the scoreboard: one slot of 64 bytes, a cache line, for each worker thread.
//!
//! Owns offsets and the meaning of a slot's values; the map itself belongs to the supervisor. The worker's side is
//! `worker/scoreboard.py`; `tests/worker` holds the two together.
//!
//! The head of a slot (token, shard, kind) is written by the *kernel*: a worker receives each message's header right into it.
//! So a thread that dies, at whatever instant, leaves a note of the request it had taken. A token other than 0 means busy.

use super::messages::Token;

/// Bytes of a slot. Slot of a thread: worker slot × threads + thread.
pub const SLOT_BYTES: usize = 64;
/// u64: the token in hand, 0 for none.
pub const TOKEN_OFFSET: usize = 0;
/// u32: the shard that asked.
pub const SHARD_OFFSET: usize = 8;
/// u32: request or probe, as in the message.
pub const KIND_OFFSET: usize = 12;
/// u64: since when, nanoseconds of CLOCK_MONOTONIC. 0 between the arrival of a request and the worker's first step.
pub const STARTED_NS_OFFSET: usize = 16;
/// u64: requests finished since the worker was forked.
pub const DONE_OFFSET: usize = 24;
/// u32: the worker's process id.
pub const PID_OFFSET: usize = 32;
/// u32: [`State`] as a number.
pub const STATE_OFFSET: usize = 36;

/// A thread's state of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has used the slot since the supervisor zeroed it.
    Empty,
    /// The thread takes requests.
    Serving,
    /// The thread takes no more requests.
    Leaving,
}

/// A slot's values, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The request in hand and the shard that it belongs to.
    pub busy: Option<(Token, u32)>,
    /// Since when, nanoseconds of CLOCK_MONOTONIC. 0 while busy: just taken, the application has not been called.
    pub started_ns: u64,
    /// Requests finished.
    pub done: u64,
    /// The worker's process id.
    pub pid: u32,
    /// The thread's state of life.
    pub state: State,
}

impl Slot {
    /// Decodes a copy of a slot.
    #[must_use]
    pub fn decode(bytes: &[u8; SLOT_BYTES]) -> Self {
        let token = u64_at(bytes, TOKEN_OFFSET);
        Self {
            busy: (token != 0).then(|| (Token::from_bits(token), u32_at(bytes, SHARD_OFFSET))),
            started_ns: u64_at(bytes, STARTED_NS_OFFSET),
            done: u64_at(bytes, DONE_OFFSET),
            pid: u32_at(bytes, PID_OFFSET),
            state: match u32_at(bytes, STATE_OFFSET) {
                0 => State::Empty,
                1 => State::Serving,
                _ => State::Leaving,
            },
        }
    }
}

fn u64_at(bytes: &[u8; SLOT_BYTES], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

fn u32_at(bytes: &[u8; SLOT_BYTES], offset: usize) -> u32 {
    u32::from_le_bytes([
        bytes[offset],
        bytes[offset + 1],
        bytes[offset + 2],
        bytes[offset + 3],
    ])
}

const _: () = assert!(STATE_OFFSET + 4 <= SLOT_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_decodes_to_what_the_offsets_say() {
        let mut bytes = [0; SLOT_BYTES];
        assert_eq!(Slot::decode(&bytes).busy, None);
        assert_eq!(Slot::decode(&bytes).state, State::Empty);
        let token = Token { slot: 7, serial: 9 };
        bytes[TOKEN_OFFSET..][..8].copy_from_slice(&token.to_bytes());
        bytes[SHARD_OFFSET] = 3;
        bytes[STARTED_NS_OFFSET + 7] = 1;
        bytes[DONE_OFFSET] = 5;
        bytes[PID_OFFSET + 1] = 1;
        bytes[STATE_OFFSET] = 1;
        let wanted = Slot {
            busy: Some((token, 3)),
            started_ns: 1 << 56,
            done: 5,
            pid: 256,
            state: State::Serving,
        };
        assert_eq!(Slot::decode(&bytes), wanted);
    }
}
