//! Provided buffers and the chunks that arrive in them.
//!
//! Owns the memory of a buffer group. A [`Chunk`] is the only way to a buffer's bytes; dropping it gives the buffer back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::rc::{Rc, Weak};

use memmap2::MmapMut;

use super::core::Core;

/// A group of equal buffers from which multishot receives take theirs.
pub struct BufferGroup {
    pub(super) id: u16,
    pub(super) size: usize,
    base: *mut u8,
    /// Buffers that are with the kernel.
    pub(super) free: Cell<u16>,
    /// Streams that ended for want of a buffer, the longest waiting first.
    pub(super) starved: RefCell<VecDeque<usize>>,
    core: Weak<Core>,
    _memory: MmapMut,
}

impl BufferGroup {
    /// Makes a group of `entries` buffers (a power of two) of `size` bytes and gives them to the ring.
    pub(super) fn new(core: &Rc<Core>, size: usize, entries: u16) -> io::Result<Rc<BufferGroup>> {
        let mut memory = MmapMut::map_anon(size * usize::from(entries))?;
        let base = memory.as_mut_ptr();
        let id = core.add_group(base, size, entries)?;
        Ok(Rc::new(BufferGroup {
            id,
            size,
            base,
            free: Cell::new(entries),
            starved: RefCell::new(VecDeque::new()),
            core: Rc::downgrade(core),
            _memory: memory,
        }))
    }

    /// The chunk in `buffer`, which the kernel has just filled with `len` bytes.
    pub(super) fn take(self: &Rc<Self>, buffer: u16, len: usize) -> Chunk {
        debug_assert!(len <= self.size, "the kernel fills at most one buffer");
        self.free.set(self.free.get() - 1);
        Chunk { memory: Memory::Provided { group: self.clone(), buffer }, start: 0, end: len.min(self.size) as u32 }
    }
}

enum Memory {
    Provided { group: Rc<BufferGroup>, buffer: u16 },
    Owned(Vec<u8>),
}

/// Received bytes: a view into a provided buffer, or bytes that had to be copied aside.
pub struct Chunk {
    memory: Memory,
    start: u32,
    end: u32,
}

impl Chunk {
    /// Drops the first `count` bytes from the view.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance stays inside the chunk");
        self.start += count as u32;
    }

    /// Keeps only the first `len` bytes of the view.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.end = self.start + len as u32;
        }
    }

    /// The bytes, to be changed where they lie, as decryption does.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.start as usize, self.end as usize);
        match &mut self.memory {
            Memory::Owned(bytes) => &mut bytes[start..end],
            Memory::Provided { group, buffer } => {
                // SAFETY: as in `deref`; and `self` is borrowed alone, so nobody else looks at these bytes.
                unsafe {
                    let first = group.base.add(usize::from(*buffer) * group.size + start);
                    std::slice::from_raw_parts_mut(first, end - start)
                }
            }
        }
    }

    /// Adds `bytes` behind the view. Gathering in this way costs each byte a bounded number of copies, however many pieces come.
    pub fn append(&mut self, bytes: &[u8]) {
        if let Memory::Provided { .. } = self.memory {
            let mut own = Vec::with_capacity(self.len() + bytes.len());
            own.extend_from_slice(self);
            *self = Chunk::from(own);
        }
        let Memory::Owned(own) = &mut self.memory else { unreachable!("made so above") };
        own.truncate(self.end as usize);
        own.extend_from_slice(bytes);
        self.end = u32::try_from(own.len()).expect("chunks are far below 4 GiB");
    }

    /// Whether the bytes lie in a provided buffer, which others wait for.
    pub fn is_provided(&self) -> bool {
        matches!(self.memory, Memory::Provided { .. })
    }

    /// The same bytes in memory of their own, so that the provided buffer goes back at once.
    pub fn into_owned(self) -> Chunk {
        if self.is_provided() { Chunk::from(self.to_vec()) } else { self }
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Chunk {
        let end = u32::try_from(bytes.len()).expect("chunks are far below 4 GiB");
        Chunk { memory: Memory::Owned(bytes), start: 0, end }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let (start, end) = (self.start as usize, self.end as usize);
        match &self.memory {
            Memory::Owned(bytes) => &bytes[start..end],
            Memory::Provided { group, buffer } => {
                // SAFETY: the buffer is this chunk's alone until it is recycled, which needs the chunk to be dropped; the
                // range was checked against the buffer's size when the chunk was made and only shrinks.
                unsafe {
                    let first = group.base.add(usize::from(*buffer) * group.size + start);
                    std::slice::from_raw_parts(first, end - start)
                }
            }
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Memory::Provided { group, buffer } = &self.memory {
            group.free.set(group.free.get() + 1);
            if let Some(core) = group.core.upgrade() {
                core.recycle(group.id, *buffer);
                if !group.starved.borrow().is_empty() {
                    core.kick();
                }
            }
        }
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunk({} bytes, {})", self.len(), if self.is_provided() { "provided" } else { "owned" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_beyond_the_end_keeps_all() {
        let mut chunk = Chunk::from(vec![1, 2, 3]);
        chunk.advance(1);
        for len in [usize::MAX, 1 << 32, 2] {
            chunk.truncate(len);
            assert_eq!(&chunk[..], [2, 3]);
        }
        chunk.truncate(1);
        assert_eq!(&chunk[..], [2]);
    }

    #[test]
    fn what_is_appended_stands_behind_the_view() {
        let mut chunk = Chunk::from(vec![1, 2, 3, 4]);
        chunk.advance(1);
        chunk.truncate(2);
        chunk.append(&[9, 8]);
        assert_eq!(&chunk[..], [2, 3, 9, 8]);
        chunk.append(&[]);
        assert_eq!(chunk.len(), 4);
    }
}
