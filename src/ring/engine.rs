//! The seam between the ring and whoever completes its operations.
//!
//! Owns the description of one submission and of one completion. The kernel implements it (`kernel.rs`), and so does the
//! tests' simulated world (`simulated.rs`).

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// One operation as the engine is asked for it. Pointers stay valid until its last completion: the operation's slot owns
/// what they point to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sqe {
    /// Accept, once or again and again; descriptors arrive close-on-exec.
    Accept {
        fd: RawFd,
        multishot: bool,
    },
    /// Receive into a buffer of a group, once or again and again.
    Recv {
        fd: RawFd,
        group: u16,
        multishot: bool,
    },
    /// Receive so many bytes into memory of the operation's own (`MSG_WAITALL`).
    RecvInto {
        fd: RawFd,
        ptr: *mut u8,
        len: u32,
    },
    /// Multishot recvmsg into buffers of a group; `msg` says how much room ancillary data gets.
    RecvMsg {
        fd: RawFd,
        group: u16,
        msg: *const libc::msghdr,
    },
    Send {
        fd: RawFd,
        ptr: *const u8,
        len: u32,
        flags: i32,
    },
    SendMsg {
        fd: RawFd,
        msg: *const libc::msghdr,
        flags: u32,
    },
    Poll {
        fd: RawFd,
        events: u32,
    },
    Connect {
        fd: RawFd,
        addr: *const libc::sockaddr,
        len: u32,
    },
    OpenAt2 {
        dir: RawFd,
        path: *const libc::c_char,
        how: *const io_uring::types::OpenHow,
    },
    UnlinkAt {
        dir: RawFd,
        path: *const libc::c_char,
    },
    Statx {
        dir: RawFd,
        path: *const libc::c_char,
        flags: i32,
        out: *mut libc::statx,
    },
    Read {
        fd: RawFd,
        ptr: *mut u8,
        len: u32,
        offset: u64,
    },
    Write {
        fd: RawFd,
        ptr: *const u8,
        len: u32,
        offset: u64,
    },
    Timeout {
        at: *const io_uring::types::Timespec,
    },
    Cancel {
        target: u64,
    },
    CancelAll,
}

/// One completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cqe {
    pub key: u64,
    /// What the operation returned: at least 0, or a negated errno.
    pub result: i32,
    /// The provided buffer that was filled.
    pub buffer: Option<u16>,
    /// More completions of this operation follow.
    pub more: bool,
}

/// Whoever carries out submissions.
pub(super) trait Engine {
    /// Queues one submission. `false`: the queue is full; submit and try again.
    fn push(&mut self, sqe: Sqe, key: u64) -> bool;
    /// Hands the queue over and lets finished work post its completions. Never waits. `false`: something stayed in the
    /// queue, for want of memory or because completions have to be reaped first.
    fn enter(&mut self) -> io::Result<bool>;
    /// Moves at most `max` completions to `out`. Returns whether any may be left.
    fn reap(&mut self, out: &mut Vec<Cqe>, max: usize) -> bool;
    /// Asks for a signal on the eventfd from now on. `true`: something is already waiting, do not sleep.
    fn arm_wakeup(&mut self) -> bool;
    /// Ends what `arm_wakeup` asked for.
    fn disarm_wakeup(&mut self);
    /// Gives `entries` buffers of `size` bytes at `base` to the kernel as group `group`.
    fn add_group(&mut self, group: u16, base: *mut u8, size: usize, entries: u16) -> io::Result<()>;
    /// Returns a buffer to its group.
    fn recycle(&mut self, group: u16, buffer: u16);
    /// Whether completions wait to be reaped.
    fn has_completions(&mut self) -> bool;
    /// Waits until there are `want` completions, or for a moment and then until there is one, but not longer than `limit`.
    fn doze(&mut self, want: u32, limit: Duration) -> io::Result<()>;
    /// Waits for at least one completion: only for the drain when a ring is dropped in mid-flight.
    fn wait(&mut self) -> io::Result<()>;
}
