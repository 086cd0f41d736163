//! The engine that is the real kernel: one io_uring.
//!
//! Owns the io_uring instance and the provided-buffer rings. Called by `core.rs` only.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering, fence};
use std::time::Duration;

use io_uring::types::{BufRingEntry, CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use memmap2::MmapMut;

use super::engine::{Cqe, Engine, Sqe};

/// A ring of provided buffers (io_uring_register_buf_ring(3)): the entries that the kernel reads, and where it takes from.
struct BufferRing {
    entries: MmapMut,
    base: *mut u8,
    size: usize,
    mask: u16,
    tail: u16,
}

/// How long a wait for several completions lasts before one is enough, µs.
const BATCH_US: u32 = 50;

/// The kernel's io_uring, set up as the ring wants it.
pub(super) struct Kernel {
    uring: IoUring,
    groups: Vec<BufferRing>,
    _wakeup: OwnedFd,
}

fn set_up(entries: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(completions);
    // The kernel takes entries in their order and looks up none of them in a second array; before Linux 6.6 it always does.
    match builder.clone().setup_no_sqarray().build(entries) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(entries),
        other => other,
    }
}

/// Sets up the smallest ring with the features that maitred needs and lets it go again.
///
/// # Errors
/// What io_uring_setup(2) said; `EINVAL` also when the kernel is too old for `DEFER_TASKRUN` (6.1).
pub fn probe() -> io::Result<()> {
    set_up(1, 2).map(drop)
}

impl Kernel {
    /// `wakeup` is the eventfd that is signalled while [`Engine::arm_wakeup`] is in force.
    pub fn new(entries: u32, completions: u32, wakeup: OwnedFd) -> io::Result<Kernel> {
        let mut uring = set_up(entries, completions)?;
        uring.submitter().register_eventfd(wakeup.as_raw_fd())?;
        uring.completion().disable_eventfd();
        // Saves a descriptor look-up per enter; a kernel that has no room for it loses nothing else.
        let _ = uring.submitter().register_ring_fd();
        Ok(Kernel { uring, groups: Vec::new(), _wakeup: wakeup })
    }

    fn enter_with(&mut self, want: u32) -> io::Result<()> {
        let submit = self.uring.submission().len() as u32;
        const GETEVENTS: u32 = 1; // IORING_ENTER_GETEVENTS: run deferred task work, flush an overflown queue
        // SAFETY: no argument structure is passed; what the entries point to is owned by the operations' slots.
        match unsafe { self.uring.submitter().enter::<()>(submit, want, GETEVENTS, None) } {
            Ok(_) => Ok(()),
            Err(e) if is_passing(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// EBUSY: the completion queue overflowed and must be reaped first; EAGAIN, ENOMEM: no memory for a request now; EINTR: a signal.
/// Each leaves the submissions queued for the next turn.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN | libc::ENOMEM | libc::EINTR))
}

fn lower(sqe: Sqe) -> squeue::Entry {
    match sqe {
        Sqe::Accept { fd, multishot: true } => opcode::AcceptMulti::new(Fd(fd)).flags(libc::SOCK_CLOEXEC).build(),
        Sqe::Accept { fd, multishot: false } => {
            let nobody = (std::ptr::null_mut(), std::ptr::null_mut());
            opcode::Accept::new(Fd(fd), nobody.0, nobody.1).flags(libc::SOCK_CLOEXEC).build()
        }
        Sqe::Recv { fd, group, multishot: true } => opcode::RecvMulti::new(Fd(fd), group).build(),
        // A length of 0 stands for that of the buffer.
        Sqe::Recv { fd, group, multishot: false } => opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0)
            .buf_group(group)
            .build()
            .flags(io_uring::squeue::Flags::BUFFER_SELECT),
        Sqe::RecvInto { fd, ptr, len } => opcode::Recv::new(Fd(fd), ptr, len).flags(libc::MSG_WAITALL).build(),
        Sqe::RecvMsg { fd, group, msg } => {
            opcode::RecvMsgMulti::new(Fd(fd), msg, group).flags(libc::MSG_CMSG_CLOEXEC as u32).build()
        }
        Sqe::Send { fd, ptr, len, flags } => opcode::Send::new(Fd(fd), ptr, len).flags(flags).build(),
        Sqe::SendMsg { fd, msg, flags } => opcode::SendMsg::new(Fd(fd), msg).flags(flags).build(),
        Sqe::Poll { fd, events } => opcode::PollAdd::new(Fd(fd), events).build(),
        Sqe::Connect { fd, addr, len } => opcode::Connect::new(Fd(fd), addr, len).build(),
        Sqe::OpenAt2 { dir, path, how } => opcode::OpenAt2::new(Fd(dir), path, how).build(),
        Sqe::UnlinkAt { dir, path } => opcode::UnlinkAt::new(Fd(dir), path).build(),
        Sqe::Statx { dir, path, flags, out } => {
            opcode::Statx::new(Fd(dir), path, out.cast()).flags(flags).mask(libc::STATX_BASIC_STATS).build()
        }
        Sqe::Read { fd, ptr, len, offset } => opcode::Read::new(Fd(fd), ptr, len).offset(offset).build(),
        Sqe::Write { fd, ptr, len, offset } => opcode::Write::new(Fd(fd), ptr, len).offset(offset).build(),
        Sqe::Timeout { at } => opcode::Timeout::new(at).flags(io_uring::types::TimeoutFlags::ABS).build(),
        Sqe::Cancel { target } => opcode::AsyncCancel::new(target).build(),
        Sqe::CancelAll => opcode::AsyncCancel2::new(CancelBuilder::any()).build(),
    }
}

impl Engine for Kernel {
    fn push(&mut self, sqe: Sqe, key: u64) -> bool {
        let entry = lower(sqe).user_data(key);
        // SAFETY: the operation's slot owns all that the entry points to until its last completion.
        unsafe { self.uring.submission().push(&entry).is_ok() }
    }

    fn enter(&mut self) -> io::Result<bool> {
        self.enter_with(0)?;
        Ok(self.uring.submission().is_empty())
    }

    fn reap(&mut self, out: &mut Vec<Cqe>, max: usize) -> bool {
        let mut queue = self.uring.completion();
        for entry in queue.by_ref().take(max) {
            let flags = entry.flags();
            out.push(Cqe {
                key: entry.user_data(),
                result: entry.result(),
                buffer: cqueue::buffer_select(flags),
                more: cqueue::more(flags),
            });
        }
        !queue.is_empty()
    }

    fn arm_wakeup(&mut self) -> bool {
        self.uring.completion().enable_eventfd();
        // The kernel queues its work and then looks at the eventfd switch; this side does the opposite. The fence makes
        // sure that one of the two sees the other.
        fence(Ordering::SeqCst);
        let submission = self.uring.submission();
        let waiting = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        waiting || !self.uring.completion().is_empty()
    }

    fn disarm_wakeup(&mut self) {
        self.uring.completion().disable_eventfd();
    }

    fn add_group(&mut self, group: u16, base: *mut u8, size: usize, entries: u16) -> io::Result<()> {
        assert_eq!(usize::from(group), self.groups.len(), "groups are numbered in the order of their making");
        assert!(entries.is_power_of_two(), "the kernel masks the tail");
        let bytes = usize::from(entries) * size_of::<BufRingEntry>();
        let ring = MmapMut::map_anon(bytes)?;
        // SAFETY: the mapping is page-aligned, large enough, and lives as long as `self.uring` (fields drop in order).
        unsafe { self.uring.submitter().register_buf_ring_with_flags(ring.as_ptr() as u64, entries, group, 0)? };
        self.groups.push(BufferRing { entries: ring, base, size, mask: entries - 1, tail: 0 });
        for buffer in 0..entries {
            self.recycle(group, buffer);
        }
        Ok(())
    }

    fn recycle(&mut self, group: u16, buffer: u16) {
        let ring = &mut self.groups[usize::from(group)];
        let index = usize::from(ring.tail & ring.mask);
        let first = ring.entries.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: `index` is below the number of entries; the kernel reads an entry only after the tail has passed it,
        // and the tail is published below with Release. `buffer` lies inside the group's memory.
        unsafe {
            let entry = &mut *first.add(index);
            entry.set_addr(ring.base.add(usize::from(buffer) * ring.size) as u64);
            entry.set_len(ring.size as u32);
            entry.set_bid(buffer);
            ring.tail = ring.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(first).cast::<AtomicU16>();
            (*tail).store(ring.tail, Ordering::Release);
        }
    }

    fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    fn doze(&mut self, want: u32, limit: Duration) -> io::Result<()> {
        let limit = Timespec::from(limit);
        let mut args = SubmitArgs::new().timespec(&limit);
        // A kernel before 6.12 knows no shorter wait for a part of what is wanted.
        let want = if self.uring.params().is_feature_min_timeout() { want } else { 1 };
        if want > 1 {
            args = args.min_wait_usec(BATCH_US);
        }
        match self.uring.submitter().submit_with_args(want as usize, &args) {
            Ok(_) => Ok(()),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ETIME)) || is_passing(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        self.enter_with(1)
    }
}
