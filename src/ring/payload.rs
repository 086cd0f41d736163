//! Bytes on their way out, in whatever memory they already are.
//!
//! Owns or shares the memory until the kernel has taken the bytes, so that nothing is copied to be sent.

use std::ops::{Deref, Range};
use std::rc::Rc;

use super::buffers::Chunk;
use crate::sys::outbox::Lent;

/// Bytes to be sent. Cheap to make from what is at hand; cheap to shorten.
#[derive(Debug)]
pub enum Payload {
    /// Bytes of the program itself.
    Static(&'static [u8]),
    /// Bytes made for this send.
    Owned(Vec<u8>, Range<usize>),
    /// Bytes shared with a cache.
    Shared(Rc<Vec<u8>>, Range<usize>),
    /// Bytes as they were received.
    Received(Chunk),
    /// Bytes that a worker has lent. They are for the kernel: whoever looks at them copies them first, since nothing keeps the worker from changing them.
    Lent(Lent),
}

impl Payload {
    /// No bytes.
    pub const EMPTY: Payload = Payload::Static(&[]);

    /// Drops the first `count` bytes.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance stays inside the payload");
        match self {
            Payload::Static(bytes) => *bytes = &bytes[count..],
            Payload::Owned(_, range) | Payload::Shared(_, range) => range.start += count,
            Payload::Received(chunk) => chunk.advance(count),
            Payload::Lent(lent) => lent.advance(count),
        }
    }

    /// Its length as one operation takes it: more than 2 GiB − 1 is more than the kernel could report.
    pub(super) fn len_once(&self) -> u32 {
        self.len().min(i32::MAX as usize) as u32
    }

    /// The same bytes, but not in a provided buffer that others wait for, nor in memory that is lent.
    pub fn into_owned(self) -> Payload {
        match self {
            Payload::Received(chunk) => Payload::Received(chunk.into_owned()),
            Payload::Lent(lent) => {
                let mut own = Vec::new();
                lent.append_to(&mut own);
                Payload::from(own)
            }
            other => other,
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Payload::Static(bytes) => bytes,
            Payload::Owned(bytes, range) => &bytes[range.clone()],
            Payload::Shared(bytes, range) => &bytes[range.clone()],
            Payload::Received(chunk) => chunk,
            // SAFETY: readable as long as it is lent. What is in there is whatever the worker has put there: bytes only, of which nobody concludes anything.
            Payload::Lent(lent) => unsafe { std::slice::from_raw_parts(lent.as_ptr(), lent.len()) },
        }
    }
}

impl From<Lent> for Payload {
    fn from(lent: Lent) -> Payload {
        Payload::Lent(lent)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        let all = 0..bytes.len();
        Payload::Owned(bytes, all)
    }
}

impl From<Rc<Vec<u8>>> for Payload {
    fn from(bytes: Rc<Vec<u8>>) -> Payload {
        let all = 0..bytes.len();
        Payload::Shared(bytes, all)
    }
}

impl From<Chunk> for Payload {
    fn from(chunk: Chunk) -> Payload {
        Payload::Received(chunk)
    }
}
