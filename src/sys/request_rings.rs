//! Request rings: memory from which worker threads take short requests, so that neither they nor the shards need a call of the kernel for each.
//!
//! Owns the rings of one generation, one for each shard, and the bell: an eventfd on which threads sleep that find nothing. Any thread takes from any
//! ring, by a compare and swap that writes its line into the record: whoever is killed, at whatever instant, leaves a note of what it had taken, there or
//! in the scoreboard. What does not fit goes through the inbox. The worker's side is `src/wsgi/native/requests.c`. Called by `supervise`, which makes
//! them and takes back what the dead had, and by `wsgi::pool`, which fills them.
//!
//! A record's state is its position, counted over all rounds of the ring, above 16 bits that say who has it.
//!
//! How many threads sleep is a count in the memory. Who puts in a request takes one off and rings for it, once; a thread takes off its own where it did not
//! need to be woken. So the count and the rings that were not heard together are never fewer than the threads that sleep: a thread that is killed may leave
//! one too many, which wakes somebody for nothing.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::MmapRaw;
use rustix::event::{EventfdFlags, eventfd};

use super::memory::memfd;
use crate::base::bounds::{REQUEST_RECORD_BYTES, REQUEST_RECORDS};

/// Bytes of the beginning of each message, which say whose request it is.
pub const HEADER_BYTES: usize = 16;

const PAGE_BYTES: usize = 4096;
/// u32 of the first page: threads that sleep and for which nobody has rung.
const SLEEPERS: usize = 0;
/// u64 of a ring's page: the position up to which records were taken, or a little less.
const HEAD: usize = 0;
/// Bytes of one shard's ring: a page for its counter, and the records.
const RING_BYTES: usize = PAGE_BYTES + REQUEST_RECORDS * REQUEST_RECORD_BYTES;
/// u32 of a record: its message's length.
const LENGTH: usize = 8;
/// Bytes of a record before its message: its state, a u64, and the length.
const PREFIX_BYTES: usize = 16;

/// Bits of a state that say who has the record; 0: nobody, its message was taken out.
const OWNER_BITS: u32 = 16;
/// Nobody has taken it yet.
const READY: u64 = 0xffff;
/// The server has.
const SERVER: u64 = 0xfffe;
/// Threads that can be told apart.
const LINES_MAX: usize = SERVER as usize - 1;

/// Positions begin here, so that memory of zeroes is a round that is over.
const FIRST: u64 = REQUEST_RECORDS as u64;

/// The rings of one generation.
#[derive(Debug)]
pub struct RequestRings {
    file: OwnedFd,
    map: MmapRaw,
    shards: usize,
    bell: OwnedFd,
}

/// What a record's state says of a position.
enum Sight {
    /// Nothing was put there yet.
    Empty,
    /// A request that waits, and the state that says so.
    Waits(u64),
    /// Somebody has taken it.
    Taken,
}

impl RequestRings {
    /// For so many worker threads and shards. None of it has memory before it is used.
    ///
    /// # Errors
    /// As memfd_create(2), ftruncate(2) (`EFBIG` beyond RLIMIT_FSIZE), mmap(2), eventfd(2); `InvalidInput`: there are too many threads.
    pub fn create(lines: usize, shards: usize) -> io::Result<RequestRings> {
        let rings = shards.checked_mul(RING_BYTES).filter(|_| lines <= LINES_MAX);
        let bytes = PAGE_BYTES + rings.ok_or(io::ErrorKind::InvalidInput)?;
        let file = memfd("maitred-requests", bytes as u64)?;
        let map = MmapRaw::map_raw(&file)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE)?;
        Ok(RequestRings { file, map, shards, bell })
    }

    /// The memfd, for workers.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// How many requests can be in them.
    pub fn records(&self) -> usize {
        self.shards * REQUEST_RECORDS
    }

    /// What threads sleep on.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Whether there are requests that nobody has taken.
    pub fn has_waiting(&self) -> bool {
        (0..self.shards).any(|shard| {
            let head = self.head(shard).load(Ordering::Acquire);
            let positions = (0..=REQUEST_RECORDS as u64).map(|ahead| head.wrapping_add(ahead).wrapping_add(FIRST));
            let mut sights = positions.map(|position| self.look(shard, position));
            matches!(sights.find(|sight| !matches!(sight, Sight::Taken)), Some(Sight::Waits(_)))
        })
    }

    /// Takes a request out that no thread has taken: the header of its message. `None`: there are no more.
    pub fn take(&self) -> Option<[u8; HEADER_BYTES]> {
        (0..self.shards).find_map(|shard| self.take_from(shard))
    }

    fn take_from(&self, shard: usize) -> Option<[u8; HEADER_BYTES]> {
        // As often as others can be faster, but not for ever, should one of them write nonsense.
        for _ in 0..16 * REQUEST_RECORDS {
            let head = self.head(shard).load(Ordering::Acquire);
            let position = head.wrapping_add(FIRST);
            let taken = match self.look(shard, position) {
                Sight::Empty if self.head(shard).load(Ordering::Acquire) == head => return None,
                Sight::Empty => continue,
                Sight::Taken => None,
                Sight::Waits(state) => {
                    let state_now = self.state(shard, position);
                    let owned = with_owner(position, SERVER);
                    if state_now.compare_exchange(state, owned, Ordering::SeqCst, Ordering::Relaxed).is_err() {
                        continue;
                    }
                    let header = self.header(shard, position);
                    state_now.store(with_owner(position, 0), Ordering::Release);
                    Some(header)
                }
            };
            let _ = self.head(shard).compare_exchange(head, head.wrapping_add(1), Ordering::SeqCst, Ordering::Relaxed);
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Takes out what the thread of `line` had taken and not yet noted in the scoreboard when its process was killed: the headers. To be called once the
    /// process was reaped, and before the line is another's.
    pub fn take_of(&self, line: usize) -> Vec<[u8; HEADER_BYTES]> {
        let mut headers = Vec::new();
        for (shard, index) in (0..self.shards).flat_map(|shard| (0..FIRST).map(move |index| (shard, index))) {
            let state_now = self.state(shard, index);
            let state = state_now.load(Ordering::Acquire);
            if state & READY == line as u64 + 1 {
                headers.push(self.header(shard, index));
                state_now.store(state & !READY, Ordering::Release);
            }
        }
        headers
    }

    /// Wakes a thread that sleeps, if there is one.
    pub fn wake(&self) {
        let sleepers = self.sleepers();
        let mut count = sleepers.load(Ordering::SeqCst);
        while count > 0 {
            match sleepers.compare_exchange(count, count - 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    // It has room for more rings than there are threads.
                    let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
                    return;
                }
                Err(now) => count = now,
            }
        }
    }

    fn look(&self, shard: usize, position: u64) -> Sight {
        let state = self.state(shard, position).load(Ordering::SeqCst);
        match (state >> OWNER_BITS).cmp(&(position & (u64::MAX >> OWNER_BITS))) {
            std::cmp::Ordering::Less => Sight::Empty,
            std::cmp::Ordering::Equal if state & READY == READY => Sight::Waits(state),
            // Or it is in use again: whoever had taken it was killed before it could move the head.
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Sight::Taken,
        }
    }

    /// Where the record of a position begins.
    fn record(&self, shard: usize, position: u64) -> usize {
        assert!(shard < self.shards, "shards are counted");
        let index = (position % FIRST) as usize;
        PAGE_BYTES + shard * RING_BYTES + PAGE_BYTES + index * REQUEST_RECORD_BYTES
    }

    fn header(&self, shard: usize, position: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let at = self.record(shard, position) + PREFIX_BYTES;
        // SAFETY: the record lies inside the mapping; what a worker may write there meanwhile is copied as whatever it is.
        unsafe { self.map.as_mut_ptr().add(at).copy_to_nonoverlapping(header.as_mut_ptr(), HEADER_BYTES) };
        header
    }

    fn sleepers(&self) -> &AtomicU32 {
        // SAFETY: in bounds (there is a first page), aligned, alive as long as `self`, only accessed atomically.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(SLEEPERS).cast()) }
    }

    fn head(&self, shard: usize) -> &AtomicU64 {
        assert!(shard < self.shards, "shards are counted");
        // SAFETY: in bounds (just checked), aligned to a page, alive as long as `self`, only accessed atomically.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(PAGE_BYTES + shard * RING_BYTES + HEAD).cast()) }
    }

    fn state(&self, shard: usize, position: u64) -> &AtomicU64 {
        // SAFETY: in bounds (`record` is), aligned (records are), alive as long as `self`, only accessed atomically.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(self.record(shard, position)).cast()) }
    }
}

/// The state of a record that `owner` has.
fn with_owner(position: u64, owner: u64) -> u64 {
    position << OWNER_BITS | owner
}

/// Where a message lies in its shard's ring, or has lain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lying(u64);

/// One shard's ring, as the shard fills it.
#[derive(Debug)]
pub struct Feed {
    rings: Arc<RequestRings>,
    shard: usize,
    /// Requests that were ever put in.
    count: Cell<u64>,
}

impl Feed {
    /// That of a shard. `None`: there is no ring for it. To be made once for each shard and generation.
    pub fn new(rings: Arc<RequestRings>, shard: usize) -> Option<Feed> {
        (shard < rings.shards).then(|| Feed { rings, shard, count: Cell::new(0) })
    }

    /// Puts a message in, and wakes a thread that sleeps. Returns where it lies. `None`: it has to go through the inbox, for it is too long, or the ring
    /// is full: also while a thread is stopped that was about to take out the oldest record.
    pub fn push(&self, message: &[u8]) -> Option<Lying> {
        if message.len() > REQUEST_RECORD_BYTES - PREFIX_BYTES || message.len() < HEADER_BYTES {
            return None;
        }
        let count = self.count.get();
        let position = count.wrapping_add(FIRST);
        let state = self.rings.state(self.shard, position);
        let is_over = if count < FIRST { 0 } else { with_owner(count, 0) };
        if state.load(Ordering::Acquire) != is_over {
            return None;
        }
        // SAFETY: the record lies inside the mapping and has room for the message, as was checked; they do not overlap. It is the shard's as long as its state
        // says nothing else.
        unsafe {
            let record = self.rings.map.as_mut_ptr().add(self.rings.record(self.shard, position));
            ptr::write_volatile(record.add(LENGTH).cast::<u32>(), message.len() as u32);
            record.add(PREFIX_BYTES).copy_from_nonoverlapping(message.as_ptr(), message.len());
        }
        // In this order, and in the other one at a thread that is about to sleep: one of the two sees the other.
        state.store(with_owner(position, READY), Ordering::SeqCst);
        self.count.set(count.wrapping_add(1));
        self.rings.wake();
        Some(Lying(position))
    }

    /// Takes a message back. `false`: somebody has taken it.
    pub fn withdraw(&self, lying: Lying) -> bool {
        let Lying(position) = lying;
        let (waiting, over) = (with_owner(position, READY), with_owner(position, 0));
        let state = self.rings.state(self.shard, position);
        let is_ours = state.compare_exchange(waiting, over, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if is_ours {
            self.move_head();
        }
        is_ours
    }

    /// Moves the head past what is taken: as long as all threads are busy nobody else does.
    fn move_head(&self) {
        let head = self.rings.head(self.shard);
        for _ in 0..REQUEST_RECORDS {
            let now = head.load(Ordering::Acquire);
            let is_taken =
                now < self.count.get() && matches!(self.rings.look(self.shard, now.wrapping_add(FIRST)), Sight::Taken);
            if !is_taken {
                return;
            }
            let _ = head.compare_exchange(now, now.wrapping_add(1), Ordering::SeqCst, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "request_rings_tests.rs"]
mod tests;
