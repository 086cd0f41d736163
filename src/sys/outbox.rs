//! The outbox: memory through which workers hand over the bodies of whole responses, so that these are copied once on their way and not twice.
//!
//! Owns the memory of one generation. Each worker thread has a line of [`SLOTS`] slots and a word that says which of them are lent to a shard: the thread sets a
//! bit before it tells of a body, and dropping the [`Lent`] clears it. Never believes what a worker says of a place; whoever finds no slot free sends messages
//! instead. The worker's side is `src/wsgi/native/outbox.c`. Called by `supervise`, which makes it, and by `wsgi::pool`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::MmapRaw;

use super::memory::memfd;
use super::reply_rings;
use crate::base::bounds::{OUTBOX_SLOT_BYTES, OUTBOX_SLOTS};

/// Bytes of one thread's word, which has a cache line of its own.
const WORD_BYTES: usize = 64;
pub(super) const PAGE_BYTES: usize = 4096;
const LINE_BYTES: usize = OUTBOX_SLOTS * OUTBOX_SLOT_BYTES;

const _: () = assert!(OUTBOX_SLOTS <= 32 && OUTBOX_SLOT_BYTES.is_multiple_of(PAGE_BYTES));

/// The memory of one generation's worker threads.
#[derive(Debug)]
pub struct Outbox {
    file: OwnedFd,
    map: MmapRaw,
    lines: usize,
    /// How many have rings in it.
    shards: usize,
}

impl Outbox {
    /// For so many worker threads, with reply rings for so many shards; of no use to anybody with no threads. None of it has memory before it is used.
    ///
    /// # Errors
    /// As memfd_create(2), ftruncate(2) (`EFBIG` beyond RLIMIT_FSIZE), mmap(2).
    pub fn create(lines: usize, shards: usize) -> io::Result<Outbox> {
        let shards = if (1..=reply_rings::LINES_MAX).contains(&lines) { shards } else { 0 };
        let slots = lines.checked_mul(LINE_BYTES).and_then(|all| all.checked_add(words_bytes(lines)));
        let bytes = shards.checked_mul(reply_rings::shard_bytes(lines)).zip(slots).and_then(|(a, b)| a.checked_add(b));
        let file = memfd("maitred-outbox", bytes.ok_or(io::ErrorKind::InvalidInput)? as u64)?;
        let map = MmapRaw::map_raw(&file)?;
        Ok(Outbox { file, map, lines, shards })
    }

    /// How many worker threads it is for.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Where the reply rings of a shard begin, if there are any.
    pub(super) fn rings(&self, shard: usize) -> Option<usize> {
        let first = words_bytes(self.lines) + self.lines * LINE_BYTES;
        (shard < self.shards).then(|| first + shard * reply_rings::shard_bytes(self.lines))
    }

    /// What lies `offset` bytes from the beginning.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.map.len(), "callers stay inside");
        // SAFETY: inside the mapping, as checked just now.
        unsafe { self.map.as_mut_ptr().add(offset) }
    }

    fn word(&self, line: usize) -> &AtomicU32 {
        assert!(line < self.lines, "a line is looked up before it is used");
        // SAFETY: in bounds (just checked), aligned (the map starts on a page), alive as long as `self`, only accessed atomically.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(line * WORD_BYTES).cast()) }
    }
}

/// An outbox as one shard holds it: counted by its thread alone.
#[derive(Debug)]
pub struct Reader(Arc<Outbox>);

impl Reader {
    /// For one shard.
    pub fn new(outbox: Arc<Outbox>) -> Rc<Reader> {
        Rc::new(Reader(outbox))
    }

    /// The slot at `offset` with `count` bytes in it, as a worker says. `None`: there is no such slot.
    pub fn lent(self: &Rc<Reader>, offset: u64, count: u64) -> Option<Lent> {
        let (offset, count) = (usize::try_from(offset).ok()?, usize::try_from(count).ok()?);
        let lines = self.0.lines;
        let place = offset.checked_sub(words_bytes(lines))?;
        let (line, slot) = (place / LINE_BYTES, place % LINE_BYTES / OUTBOX_SLOT_BYTES);
        let is_there = line < lines && place.is_multiple_of(OUTBOX_SLOT_BYTES) && count <= OUTBOX_SLOT_BYTES;
        is_there.then(|| Lent { outbox: self.clone(), line, slot, start: offset, end: offset + count })
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What all words together take, in whole pages.
const fn words_bytes(lines: usize) -> usize {
    (lines * WORD_BYTES).next_multiple_of(PAGE_BYTES) + if lines == 0 { PAGE_BYTES } else { 0 }
}

/// Bytes in a slot of an outbox, which is its worker's again when this is dropped.
pub struct Lent {
    outbox: Rc<Reader>,
    line: usize,
    slot: usize,
    start: usize,
    end: usize,
}

impl Lent {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Keeps only the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance stays inside");
        self.start += count;
    }

    /// Where they are, for the kernel to read: a worker that breaks its word may still change them.
    pub fn as_ptr(&self) -> *const u8 {
        // SAFETY: inside the mapping: the slot was checked when it was taken, and the range only shrinks.
        unsafe { self.outbox.0.map.as_ptr().add(self.start) }
    }

    /// Sends them at once behind `head`, as far as there is room in `socket`. Returns how many bytes of both were taken.
    ///
    /// # Errors
    /// As sendmsg(2): `EAGAIN` without room, `EPIPE` (and no signal).
    pub fn send_behind(&self, head: &[u8], socket: impl AsFd) -> io::Result<usize> {
        let mut parts = [
            libc::iovec { iov_base: head.as_ptr().cast_mut().cast(), iov_len: head.len() },
            libc::iovec { iov_base: self.as_ptr().cast_mut().cast(), iov_len: self.len() },
        ];
        // SAFETY: all-zero is a valid msghdr: no name, no vectors, no control.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len() as _;
        // SAFETY: both parts are readable for the time of the call, in which the kernel only reads them; the second one is in the mapping.
        let sent = unsafe {
            libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Puts a copy behind `bytes`.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(self.len());
        let old = bytes.len();
        // SAFETY: the source is readable (sealed against shrinking, as long as the mapping), the room was reserved just now, and a copy that its worker
        // changes meanwhile is a copy of whatever was there.
        unsafe {
            self.as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr().add(old), self.len());
            bytes.set_len(old + self.len());
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.outbox.0.word(self.line).fetch_and(!(1 << self.slot), Ordering::Release);
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lent({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_slot_is_its_worker_s_again_once_its_bytes_are_dropped() {
        let outbox = Arc::new(Outbox::create(3, 0).expect("a memfd"));
        let reader = Reader::new(outbox.clone());
        let worker = std::fs::File::from(outbox.file.try_clone().expect("dup"));
        let offset = PAGE_BYTES + LINE_BYTES + 2 * OUTBOX_SLOT_BYTES;
        worker.write_all_at(&0b101_u32.to_le_bytes(), WORD_BYTES as u64).expect("write");
        worker.write_all_at(b"hello", offset as u64).expect("write");
        let mut lent = reader.lent(offset as u64, 5).expect("a slot");
        lent.truncate(4);
        lent.truncate(9);
        lent.advance(1);
        let mut bytes = b"<".to_vec();
        lent.append_to(&mut bytes);
        assert_eq!((&bytes[..], lent.len(), lent.is_empty()), (&b"<ell"[..], 3, false));
        assert_eq!(outbox.word(1).load(Ordering::Relaxed), 0b101);
        drop(lent);
        let words = [0, 1, 2].map(|line| outbox.word(line).load(Ordering::Relaxed));
        assert_eq!(words, [0, 1, 0]);
    }

    #[test]
    fn a_socket_gets_them_behind_their_head_as_far_as_it_has_room() {
        let outbox = Arc::new(Outbox::create(1, 0).expect("a memfd"));
        let worker = std::fs::File::from(outbox.file.try_clone().expect("dup"));
        worker.write_all_at(b"body", PAGE_BYTES as u64).expect("write");
        let lent = Reader::new(outbox).lent(PAGE_BYTES as u64, OUTBOX_SLOT_BYTES as u64).expect("a slot");
        let (socket, mut client) = std::os::unix::net::UnixStream::pair().expect("a pair");
        rustix::net::sockopt::set_socket_send_buffer_size(&socket, 16 * 1024).expect("a socket");
        let sent = lent.send_behind(b"head ", &socket).expect("some room");
        assert!((9..5 + OUTBOX_SLOT_BYTES).contains(&sent), "{sent}");
        let full = lent.send_behind(b"head ", &socket).expect_err("no room");
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut begun = [0; 9];
        std::io::Read::read_exact(&mut client, &mut begun).expect("sent");
        assert_eq!(&begun, b"head body");
        drop(client);
        assert_eq!(lent.send_behind(b"", &socket).expect_err("nobody is there").kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn places_that_are_none_are_refused() {
        let outbox = Reader::new(Arc::new(Outbox::create(1, 0).expect("a memfd")));
        let first = PAGE_BYTES as u64;
        let (slot, slots) = (OUTBOX_SLOT_BYTES as u64, OUTBOX_SLOTS as u64);
        for (offset, count) in [
            (0, 1),
            (first - 1, 1),
            (first + 1, 1),
            (first, slot + 1),
            (first, u64::MAX),
            (first + slot * slots, 1),
            (u64::MAX, 1),
            (u64::MAX / slot * slot, 0),
        ] {
            assert!(outbox.lent(offset, count).is_none(), "{offset} {count}");
        }
        for (offset, count) in [(first, 0), (first, slot), (first + slot * (slots - 1), slot)] {
            assert_eq!(outbox.lent(offset, count).expect("a slot").len() as u64, count);
        }
    }
}
