//! The scoreboard: memory shared with every worker, one cache line per worker thread, saying which request it holds.
//!
//! Also makes memfds. Workers write their own lines without any lock; the supervisor reads them and clears those of the
//! dead. Never a Rust reference into the shared bytes: only atomic loads and stores.

use super::process::Pid;
use crate::base::clock::Monotonic;
use memmap2::MmapRaw;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of one slot: a cache line.
pub const SLOT_BYTES: usize = 64;

/// u64: the request in hand, 0 for none. With `SHARD` and `KIND` it is the head of a message, which the *kernel* writes here when
/// the worker receives it from the inbox, and the worker when it takes it from a request ring, which notes it too until then (`request_rings`): a thread that
/// dies, at whatever instant, leaves a note of the request that it had taken.
const TOKEN: usize = 0;
/// u32: the shard that asked.
const SHARD: usize = 8;
/// u64: since when, nanoseconds of CLOCK_MONOTONIC; 0 between the arrival of a request and the worker's first step.
const STARTED: usize = 16;
/// u64: requests finished since the fork.
const DONE: usize = 24;
/// u32: the worker's process id.
const PID: usize = 32;
/// u32: 0 nobody has used the slot, 1 the thread takes requests, 2 it takes no more.
const STATE: usize = 36;
/// u64: written here, and reset by the worker: the request that its thread is to let go of; 0 for none.
const INTERRUPT: usize = 40;
/// u64, of a worker's first line: 1 is written here when it is to show that it lives, by resetting it.
const LIFE: usize = 48;

/// Makes an anonymous file of `bytes` bytes that can't change its size (memfd_create(2)), close-on-exec. `name` is for /proc only.
pub fn memfd(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, bytes)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

/// Makes an anonymous file of these bytes, close-on-exec, read from its beginning.
pub fn filled_memfd(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd(name, bytes.len() as u64)?;
    let mut offset = 0;
    while offset < bytes.len() {
        offset += rustix::io::pwrite(&file, &bytes[offset..], offset as u64)?;
    }
    Ok(file)
}

/// What a worker thread is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// No worker thread uses the slot.
    #[default]
    Empty,
    /// It waits for a request.
    Idle,
    /// It holds the request in `token`.
    Busy,
    /// It takes no more requests and is about to exit.
    Leaving,
}

/// One slot as read at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotView {
    /// The request that the thread holds; 0 when none.
    pub token: u64,
    /// The shard that asked.
    pub shard: u32,
    /// The worker's process id; 0 when the slot is empty.
    pub pid: u32,
    /// When it took the request.
    pub started: Monotonic,
    /// Requests that it has finished.
    pub done: u64,
    /// What it is doing.
    pub state: SlotState,
}

/// The memory of one generation's workers; index = worker slot × threads + thread.
#[derive(Debug)]
pub struct Scoreboard {
    file: OwnedFd,
    map: MmapRaw,
    slots: usize,
}

impl Scoreboard {
    /// Makes a scoreboard of `slots` empty slots (at least one).
    pub fn create(slots: usize) -> io::Result<Scoreboard> {
        let slots = slots.max(1);
        let bytes = slots.checked_mul(SLOT_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        let file = memfd("maitred-scoreboard", bytes as u64)?;
        let map = MmapRaw::map_raw(&file)?;
        assert_eq!(map.len(), bytes, "the whole memfd is mapped");
        Ok(Scoreboard { file, map, slots })
    }

    /// The memfd, to be passed to the zygote.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Reads a slot while its worker may be writing it. Each field is read whole, but the fields may stem from two
    /// moments: Python writes them one after the other. A reading whose state or token changed meanwhile is taken again, a few times; what
    /// remains is that `started` may belong to the request before. So nobody is punished on one reading:
    /// the same token and time must be seen twice (`supervise::machine` does that).
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn read(&self, slot: usize) -> SlotView {
        const ATTEMPTS: usize = 4;
        let mut view = self.read_once(slot);
        for _ in 1..ATTEMPTS {
            let again = self.read_once(slot);
            if again == view {
                break;
            }
            view = again;
        }
        view
    }

    /// Notes for the thread of process `pid` that has the request `token` that it is to let go of it.
    pub fn interrupt(&self, pid: Pid, token: u64) {
        if let Some(slot) = self.of(pid).find(|slot| self.u64(*slot, TOKEN).load(Ordering::Acquire) == token) {
            self.u64(slot, INTERRUPT).store(token, Ordering::Release);
        }
    }

    /// Notes for process `pid` that it is to show that it lives.
    pub fn ask_for_life(&self, pid: Pid) {
        if let Some(slot) = self.of(pid).next() {
            self.u64(slot, LIFE).store(1, Ordering::Release);
        }
    }

    /// Processes that were to show that they live and have not.
    pub fn silent(&self) -> Vec<Pid> {
        let asked = (0..self.slots).filter(|slot| self.u64(*slot, LIFE).load(Ordering::Acquire) != 0);
        asked.filter_map(|slot| Pid::from_raw(self.u32(slot, PID).load(Ordering::Acquire) as i32)).collect()
    }

    /// The slots of process `pid`.
    fn of(&self, pid: Pid) -> impl Iterator<Item = usize> + '_ {
        let number = pid.as_raw_nonzero().get() as u32;
        (0..self.slots).filter(move |slot| self.u32(*slot, PID).load(Ordering::Acquire) == number)
    }

    /// Marks a slot as empty. To be called once its worker was reaped, before the slot is given to another.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn clear(&self, slot: usize) {
        self.u32(slot, STATE).store(0, Ordering::Release);
        self.u64(slot, TOKEN).store(0, Ordering::Relaxed);
        self.u32(slot, SHARD).store(0, Ordering::Relaxed);
        self.u32(slot, PID).store(0, Ordering::Relaxed);
        self.u64(slot, STARTED).store(0, Ordering::Relaxed);
        self.u64(slot, INTERRUPT).store(0, Ordering::Relaxed);
        self.u64(slot, LIFE).store(0, Ordering::Relaxed);
        self.u64(slot, DONE).store(0, Ordering::Release);
    }

    /// What the reaped process `pid` left: reads its slots, clears them and returns their numbers and the readings. Empty when it had none.
    pub fn take(&self, pid: Pid) -> Vec<(usize, SlotView)> {
        self.of(pid)
            .map(|slot| {
                let view = self.read(slot);
                self.clear(slot);
                (slot, view)
            })
            .collect()
    }

    fn read_once(&self, slot: usize) -> SlotView {
        let token = self.u64(slot, TOKEN).load(Ordering::Acquire);
        let state = match self.u32(slot, STATE).load(Ordering::Acquire) {
            0 => SlotState::Empty,
            1 if token == 0 => SlotState::Idle,
            1 => SlotState::Busy,
            _ => SlotState::Leaving,
        };
        SlotView {
            token,
            shard: self.u32(slot, SHARD).load(Ordering::Acquire),
            pid: self.u32(slot, PID).load(Ordering::Acquire),
            started: Monotonic::from_nanos(self.u64(slot, STARTED).load(Ordering::Acquire)),
            done: self.u64(slot, DONE).load(Ordering::Acquire),
            state,
        }
    }

    fn u64(&self, slot: usize, offset: usize) -> &AtomicU64 {
        assert!(slot < self.slots && offset.is_multiple_of(8) && offset + 8 <= SLOT_BYTES);
        // SAFETY: in bounds (just checked: the map has slots × SLOT_BYTES bytes), aligned (the map starts on a page, and both
        // SLOT_BYTES and the offset are multiples of 8), alive as long as `self`, and only accessed atomically by this process.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(slot * SLOT_BYTES + offset).cast()) }
    }

    fn u32(&self, slot: usize, offset: usize) -> &AtomicU32 {
        assert!(slot < self.slots && offset.is_multiple_of(4) && offset + 4 <= SLOT_BYTES);
        // SAFETY: as in `u64`, with 4 for 8.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(slot * SLOT_BYTES + offset).cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// What a worker writes, by the layout of the protocol.
    fn line(token: u64, shard: u32, pid: u32, started: u64, done: u64, state: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(token.to_le_bytes());
        bytes.extend(shard.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(started.to_le_bytes());
        bytes.extend(done.to_le_bytes());
        bytes.extend(pid.to_le_bytes());
        bytes.extend(state.to_le_bytes());
        bytes
    }

    #[test]
    fn a_worker_s_line_is_read_and_taken_at_its_death() {
        let board = Scoreboard::create(3).expect("memfd");
        let worker = std::fs::File::from(board.fd().try_clone_to_owned().expect("dup"));
        worker.write_all_at(&line(0x1122_3344_5566_7788, 2, 4711, 99, 5, 1), 64).expect("write");
        worker.write_all_at(&line(0, 0, 4711, 0, 6, 1), 128).expect("write");
        assert_eq!(board.read(0), SlotView::default());
        let busy = SlotView {
            token: 0x1122_3344_5566_7788,
            shard: 2,
            pid: 4711,
            started: Monotonic::from_nanos(99),
            done: 5,
            state: SlotState::Busy,
        };
        assert_eq!(board.read(1), busy);
        let worker = Pid::from_raw(4711).expect("pid");
        board.interrupt(worker, 5);
        assert_eq!(board.u64(1, INTERRUPT).load(Ordering::Relaxed), 0, "it has no such request");
        board.interrupt(worker, busy.token);
        assert_eq!(board.u64(1, INTERRUPT).load(Ordering::Relaxed), busy.token);
        assert!(board.silent().is_empty());
        board.ask_for_life(worker);
        assert_eq!(board.silent(), [worker]);
        let taken = board.take(worker);
        assert_eq!((taken.len(), taken[0], taken[1].0), (2, (1, busy), 2));
        assert_eq!((taken[1].1.state, taken[1].1.done), (SlotState::Idle, 6));
        assert_eq!(board.read(1), SlotView::default());
        assert_eq!(board.take(Pid::from_raw(4711).expect("pid")), []);
    }

    #[test]
    fn the_memory_can_not_be_shrunk_under_the_map() {
        let board = Scoreboard::create(1).expect("memfd");
        assert!(ftruncate(board.fd(), 0).is_err());
        assert!(ftruncate(board.fd(), 1 << 20).is_err());
        assert_eq!(board.slots(), 1);
    }
}
