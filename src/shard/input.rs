//! What has arrived on a connection and was not consumed yet.
//!
//! Owns the bytes: as long as a head is whole in one received chunk it is parsed where it lies; only a head that arrives in
//! pieces is gathered.

use crate::ring::Chunk;

/// Unconsumed bytes.
#[derive(Default)]
pub(super) struct Input {
    chunk: Option<Chunk>,
}

impl Input {
    /// All unconsumed bytes.
    pub fn bytes(&self) -> &[u8] {
        self.chunk.as_deref().unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Adds what has just arrived.
    pub fn push(&mut self, chunk: Chunk) {
        match &mut self.chunk {
            Some(gathered) if !gathered.is_empty() => gathered.append(&chunk),
            empty => *empty = Some(chunk),
        }
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        if let Some(chunk) = &mut self.chunk {
            chunk.advance(count);
            if chunk.is_empty() {
                self.chunk = None;
            }
        }
    }

    /// Takes all unconsumed bytes.
    pub fn take(&mut self) -> Option<Chunk> {
        self.chunk.take().filter(|chunk| !chunk.is_empty())
    }

    /// Lets go of the provided buffer before a wait.
    pub fn settle(&mut self) {
        self.chunk = self.take().map(Chunk::into_owned);
    }
}
