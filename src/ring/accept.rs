//! Multishot accept.
//!
//! Owns the connections that arrived and were not taken yet; what nobody takes is closed. Past a bound the kernel is told to
//! stop, so that the rest waits in the listener's queue and other processes may take it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Descriptor;
use super::core::{self, Core, End, Ring, Slot, Stream};
use crate::base::bounds::ACCEPTED_WAITING_MAX;

/// Accepted and not taken yet.
#[derive(Default)]
pub(super) struct Queue(VecDeque<OwnedFd>);

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_over_bound(&self) -> bool {
        self.0.len() >= ACCEPTED_WAITING_MAX
    }

    /// Takes over an accepted descriptor. Never the end of the stream.
    pub fn push(&mut self, fd: i32) -> bool {
        // SAFETY: the kernel has just installed this descriptor for us; nobody else owns it.
        self.0.push_back(unsafe { OwnedFd::from_raw_fd(fd) });
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
        let stream = Stream::new(listener.clone(), core::Queue::Accept(Box::default()));
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
        if let Some(fd) = queue.0.pop_front() {
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
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Vec<OwnedFd>> {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        let core::Queue::Accept(queue) = &mut stream.queue else { unreachable!("an accept slot") };
        if !stream.armed {
            return Poll::Ready(queue.0.drain(..).collect());
        }
        stream.waker = Some(cx.waker().clone());
        if !std::mem::replace(&mut stream.pausing, true) {
            drop(slots);
            self.core.cancel(self.key);
        }
        Poll::Pending
    }
}

impl Drop for AcceptStream {
    fn drop(&mut self) {
        core::release_stream(&self.core, self.key);
    }
}
