//! Accepting connections.
//!
//! Owns the connections that arrived and were not taken yet; what nobody takes is closed. Past a bound the kernel is told to
//! stop, so that the rest waits in the listener's queue and other processes may take it.
//!
//! For each connection the kernel wakes one of those that accept on a socket (the poll of an accept is exclusive), and one that is
//! woken and cancelled before it has looked does not look any more (`io_poll_check_events` in the kernel), nor is another woken in
//! its place. So whoever ends while others go on takes what is queued then: [`AcceptStream::finish`]. Whoever can't take it has the
//! others look: their accept is ended and begun again ([`AcceptStream::pause`]), since one that begins looks before it sleeps.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Descriptor;
use super::core::{self, Core, End, Ring, Slot, Stream};
use crate::base::bounds::{ACCEPTED_WAITING_MAX, LAST_ACCEPTS_MAX};

/// Accepted and not taken yet.
pub(super) struct Queue {
    waiting: VecDeque<OwnedFd>,
    /// All that comes is accepted (multishot), or one when it is asked for.
    pub is_greedy: bool,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn is_over_bound(&self) -> bool {
        self.waiting.len() >= ACCEPTED_WAITING_MAX
    }

    /// Takes over an accepted descriptor. Never the end of the stream.
    pub fn push(&mut self, fd: i32) -> bool {
        // SAFETY: the kernel has just installed this descriptor for us; nobody else owns it.
        self.waiting.push_back(unsafe { OwnedFd::from_raw_fd(fd) });
        false
    }
}

/// The connections of one listener, close-on-exec, in the order of their arrival.
pub struct AcceptStream {
    core: Rc<Core>,
    key: usize,
}

impl Ring {
    /// Accepts on `listener` until the stream is dropped.
    pub fn accept(&self, listener: &Descriptor) -> AcceptStream {
        self.accept_with(listener, true)
    }

    /// Accepts one connection on `listener` for each that is asked for. Where several accept on one socket for long they take turns
    /// so: the kernel wakes the one that has waited longest, and who does not ask is not woken.
    pub fn accept_in_turn(&self, listener: &Descriptor) -> AcceptStream {
        self.accept_with(listener, false)
    }

    fn accept_with(&self, listener: &Descriptor, is_greedy: bool) -> AcceptStream {
        let queue = Queue { waiting: VecDeque::new(), is_greedy };
        let stream = Stream::new(listener.clone(), core::Queue::Accept(Box::new(queue)));
        let key = self.core.slots.borrow_mut().insert(Slot::Stream(stream));
        AcceptStream { core: self.core.clone(), key }
    }
}

impl AcceptStream {
    /// The next connection.
    ///
    /// # Errors
    /// As accept(2): `EMFILE` and `ENFILE` when out of descriptors, `ECANCELED` when the ring closes. The next call tries
    /// again; the caller decides when.
    pub async fn next(&mut self) -> io::Result<OwnedFd> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`AcceptStream::next`] for whoever polls.
    ///
    /// # Errors
    /// As `next`.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        let core::Queue::Accept(queue) = &mut stream.queue else { unreachable!("an accept slot") };
        if let Some(fd) = queue.waiting.pop_front() {
            return Poll::Ready(Ok(fd));
        }
        match stream.end.take() {
            Some(End::Error(code)) => return Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            Some(End::Eof) | None if self.core.closing.get() => {
                return Poll::Ready(Err(io::Error::from_raw_os_error(libc::ECANCELED)));
            }
            Some(End::Eof) | None => {}
        }
        stream.waker = Some(cx.waker().clone());
        if !stream.armed {
            let sqe = stream.arm();
            drop(slots);
            self.core.push(sqe, self.key as u64);
        }
        Poll::Pending
    }

    /// Stops accepting; ready, once the kernel has, with what it had accepted by then and nobody has taken.
    pub(super) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Vec<OwnedFd>> {
        self.pause();
        self.with_stream(|stream| {
            let core::Queue::Accept(queue) = &mut stream.queue else { unreachable!("an accept slot") };
            if !stream.armed {
                return Poll::Ready(queue.waiting.drain(..).collect());
            }
            stream.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Has the kernel stop until somebody asks for the next connection, which is at once if somebody waits for it: then the
    /// listener's queue is looked at anew.
    pub fn pause(&mut self) {
        if self.with_stream(|stream| stream.armed && !std::mem::replace(&mut stream.pausing, true)) {
            self.core.cancel(self.key);
        }
    }

    /// Accepts no more, and leaves nobody in the listener's queue for whom this stream was woken and nobody else: what is there is
    /// taken, a few times if more comes meanwhile. Returns what nobody has taken.
    pub async fn finish(&mut self) -> Vec<OwnedFd> {
        let mut taken = poll_fn(|cx| self.poll_stopped(cx)).await;
        for _ in 0..LAST_ACCEPTS_MAX {
            // An end that is no pause is an error: out of descriptors, or the ring closes.
            if self.with_stream(|stream| stream.end.is_some()) || self.core.closing.get() || !self.has_backlog() {
                break;
            }
            // The accept looks before it sleeps, and is cancelled in the same call.
            let sqe = self.with_stream(|stream| {
                let core::Queue::Accept(queue) = &mut stream.queue else { unreachable!("an accept slot") };
                queue.is_greedy = true;
                stream.arm()
            });
            self.core.push(sqe, self.key as u64);
            taken.append(&mut poll_fn(|cx| self.poll_stopped(cx)).await);
        }
        taken
    }

    /// Whether connections wait: accepted ones that nobody has taken, or others in the listener's queue.
    pub fn has_waiting(&self) -> bool {
        let is_accepted =
            self.with_stream(|stream| matches!(&stream.queue, core::Queue::Accept(queue) if !queue.is_empty()));
        is_accepted || self.has_backlog()
    }

    /// Whether connections wait in the listener's queue.
    pub fn has_backlog(&self) -> bool {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let listener = self.with_stream(|stream| stream.fd.clone());
        let mut polled = [PollFd::new(&listener, PollFlags::IN)];
        poll(&mut polled, Some(&AT_ONCE)).is_ok_and(|ready| ready > 0)
    }

    fn with_stream<T>(&self, with: impl FnOnce(&mut Stream) -> T) -> T {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        with(stream)
    }
}

impl Drop for AcceptStream {
    fn drop(&mut self) {
        core::release_stream(&self.core, self.key);
    }
}
