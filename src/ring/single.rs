//! Operations with one result: what they hold, and the future that waits for it.
//!
//! Owns nothing itself: the slot does. Dropping the future asks for cancellation; the slot and what it holds stay until the
//! completion is in.

use std::ffi::CString;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Descriptor;
use super::core::{Core, Ring, Slot};
use super::engine::{Cqe, Sqe};
use super::payload::Payload;
use super::send::Parts;
use crate::sys::region::Region;

/// What the kernel may read or write until the completion arrives.
#[expect(dead_code, reason = "held for the kernel's sake, not to be read")]
pub(super) enum Hold {
    Nothing,
    Payload(Payload),
    Send(Payload),
    Parts(Box<Parts>),
    Bytes(Vec<u8>),
    Region(Rc<Region>),
    Open(CString, Box<io_uring::types::OpenHow>),
    Path(CString),
    Stat(CString, Box<libc::statx>),
    Address(Box<rustix::net::SocketAddrAny>),
    Timespec(Box<io_uring::types::Timespec>),
}

/// The slot of an operation with one result.
pub(super) struct Single {
    pub waker: Option<Waker>,
    pub result: Option<i32>,
    pub hold: Hold,
    /// Open until the completion is in.
    pub _fd: Option<Descriptor>,
    /// Nobody waits for it any more.
    pub orphan: bool,
}

impl Single {
    /// Records the completion: whom to wake, and whether the slot is done with.
    pub fn complete(&mut self, cqe: Cqe) -> (Option<Waker>, bool) {
        debug_assert!(!cqe.more, "only multishot operations have more to come");
        self.result = Some(cqe.result);
        // What the kernel took whole nobody wants back; an idle connection keeps its last send's result, not its bytes.
        if let Hold::Send(payload) = &self.hold
            && usize::try_from(cqe.result) == Ok(payload.len())
        {
            self.hold = Hold::Nothing;
        }
        if self.orphan
            && let Hold::Open(..) = self.hold
            && cqe.result >= 0
        {
            close_unwanted(cqe.result);
        }
        (self.waker.take(), self.orphan)
    }
}

/// Closes a descriptor that the kernel made for somebody who has gone.
pub(super) fn close_unwanted(fd: i32) {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// An operation in flight. Its output is the kernel's result and what the operation held.
pub struct Op {
    core: Rc<Core>,
    /// One more than its slot, until its result was taken: small, since every connection holds one of these.
    key: Option<NonZeroU32>,
}

impl Op {
    pub(super) fn start(ring: &Ring, fd: Option<Descriptor>, hold: Hold, sqe: Sqe) -> Op {
        let key = ring.core.start_single(hold, fd, sqe, false);
        let key = u32::try_from(key + 1).ok().and_then(NonZeroU32::new);
        Op { core: ring.core.clone(), key: Some(key.expect("fewer operations than 2^32")) }
    }

    fn slot(&self) -> Option<usize> {
        self.key.map(|key| key.get() as usize - 1)
    }

    /// Whether the result is in, so that awaiting it would not wait.
    pub fn is_done(&self) -> bool {
        self.key.is_none() || self.result().is_some()
    }

    /// The kernel's result, if it is in and was not taken.
    pub(super) fn result(&self) -> Option<i32> {
        match self.core.slots.borrow().get(self.slot()?) {
            Some(Slot::Single(single)) => single.result,
            _ => None,
        }
    }

    /// Asks the kernel to end the operation now: its result, with whatever was done so far, comes all the sooner.
    pub fn cancel(&self) {
        if let Some(key) = self.slot()
            && !self.is_done()
        {
            self.core.cancel(key);
        }
    }

    pub(super) fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<(i32, Hold)> {
        let key = self.slot().expect("polled again after its result was taken");
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Single(single)) = slots.get_mut(key) else {
            unreachable!("the slot lives as long as the operation")
        };
        if single.result.is_none() {
            match &mut single.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        let Slot::Single(single) = slots.remove(key) else { unreachable!("matched above") };
        self.key = None;
        Poll::Ready((single.result.expect("checked above"), single.hold))
    }
}

impl Future for Op {
    type Output = io::Result<u32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_result(cx).map(|(result, _hold)| value(result))
    }
}

/// The kernel's result as Rust has it.
pub(super) fn value(result: i32) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

impl Drop for Op {
    fn drop(&mut self) {
        let Some(key) = self.slot() else { return };
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Single(single)) = slots.get_mut(key) else {
            unreachable!("the slot lives as long as the operation")
        };
        match single.result {
            Some(result) => {
                if result >= 0 && matches!(single.hold, Hold::Open(..)) {
                    close_unwanted(result);
                }
                let ended = slots.remove(key);
                drop(slots);
                drop(ended);
            }
            None => {
                single.orphan = true;
                single.waker = None;
                drop(slots);
                self.core.cancel(key);
            }
        }
    }
}

impl Ring {
    /// Waits until `fd` is ready for any of `events` (poll(2) bits). Returns the bits that hold.
    pub fn poll(&self, fd: &Descriptor, events: u32) -> Op {
        use std::os::fd::AsRawFd;
        Op::start(self, Some(fd.clone()), Hold::Nothing, Sqe::Poll { fd: fd.as_raw_fd(), events })
    }

    /// Connects a socket (connect(2)).
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self, fd: &Descriptor, address: &std::net::SocketAddr) -> Op {
        use rustix::net::addr::SocketAddrArg;
        use std::os::fd::AsRawFd;
        let any = Box::new(address.as_any());
        let (addr, len) = (any.as_ptr().cast(), any.addr_len());
        Op::start(self, Some(fd.clone()), Hold::Address(any), Sqe::Connect { fd: fd.as_raw_fd(), addr, len })
    }
}
