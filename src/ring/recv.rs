//! Receive into provided buffers: the first of a connection for once, those after it multishot. Large bodies go past them, to where they are to lie.
//!
//! Owns what arrived and was not taken yet. While somebody waits for it, it stays in its provided buffers; what arrives while
//! nobody does is copied aside, so that a busy connection holds no provided buffer, and past a bound the kernel is told to
//! stop, so that the peer feels TCP's backpressure.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Descriptor;
use super::buffers::{BufferGroup, Chunk};
use super::core::{self, Core, End, Ring, Slot, Stream};
use super::engine::Sqe;
use super::single::{Hold, Op};
use crate::base::bounds::{BACKLOG_BYTES_MAX, CHUNKS_WAITING_MAX};
use crate::sys::body_pipe::{BodyPipe, set_low_water};
use crate::sys::region::Region;

/// Received and not taken yet, in this order: `first`, then `more`.
pub(super) struct Queue {
    pub group: Rc<BufferGroup>,
    /// In here there mostly is room enough: an idle connection shall not keep memory for more.
    first: Option<Chunk>,
    more: Option<Box<More>>,
    /// Whoever waits wants the bytes, not only the end.
    reading: bool,
    /// Something was received: who has sent one request may send another, so that from now on receives are multishot. The first is
    /// not, because many connections bring one request and end, and a multishot receive would have to be cancelled for that.
    pub has_received: bool,
}

/// What has arrived behind the first chunk, in this order.
#[derive(Default)]
struct More {
    chunks: VecDeque<Chunk>,
    backlog: Vec<u8>,
}

impl Queue {
    fn new(group: &Rc<BufferGroup>) -> Queue {
        Queue { group: group.clone(), first: None, more: None, reading: false, has_received: false }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }

    pub fn is_over_bound(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.backlog.len() >= BACKLOG_BYTES_MAX)
    }

    /// Records `len` received bytes; `true` for the end of the stream.
    pub fn push(&mut self, len: usize, buffer: Option<u16>, waiting: bool) -> bool {
        self.has_received = true;
        // Dropping the chunk gives its buffer back, also the unused one of an end of stream.
        let chunk = buffer.map(|buffer| self.group.take(buffer, len));
        let Some(chunk) = chunk.filter(|_| len > 0) else { return true };
        if self.is_empty() && waiting && self.reading {
            self.first = Some(chunk);
            return false;
        }
        let in_place = self.first.is_some();
        let more = self.more.get_or_insert_default();
        if in_place && more.backlog.is_empty() && more.chunks.len() + 1 < CHUNKS_WAITING_MAX {
            more.chunks.push_back(chunk);
        } else {
            more.backlog.extend_from_slice(&chunk);
        }
        false
    }

    fn pop(&mut self) -> Option<Chunk> {
        let first = self.first.take();
        let Some(more) = &mut self.more else { return first };
        let first = first.unwrap_or_else(|| Chunk::from(std::mem::take(&mut more.backlog)));
        self.first = more.chunks.pop_front();
        if more.chunks.is_empty() && more.backlog.is_empty() {
            self.more = None;
        }
        Some(first)
    }

    /// Moves what lies in provided buffers to memory of its own.
    fn settle(&mut self) {
        if let Some(first) = self.first.take() {
            let more = self.more.get_or_insert_default();
            let mut all = first.to_vec();
            for chunk in std::mem::take(&mut more.chunks) {
                all.extend_from_slice(&chunk);
            }
            all.append(&mut more.backlog);
            more.backlog = all;
        }
    }
}

/// The bytes that arrive on one socket.
pub struct RecvStream {
    core: Rc<Core>,
    key: usize,
}

impl Ring {
    /// Receives from `socket` into buffers of `group` until the stream is dropped.
    pub fn recv(&self, socket: &Descriptor, group: &Rc<BufferGroup>) -> RecvStream {
        let stream = Stream::new(socket.clone(), core::Queue::Recv(Queue::new(group)));
        let key = self.core.slots.borrow_mut().insert(Slot::Stream(stream));
        RecvStream { core: self.core.clone(), key }
    }
}

impl RecvStream {
    /// The next bytes; `None` at the end of the stream, again and again.
    ///
    /// # Errors
    /// As recv(2): `ECONNRESET` and its like; `ECANCELED` when the ring closes. An error is repeated.
    #[expect(clippy::should_implement_trait, reason = "the word for it in every stream")]
    pub fn next(&mut self) -> Next<'_> {
        Next(self)
    }

    /// As [`RecvStream::next`], for callers that wait for several things at once.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        let core::Queue::Recv(queue) = &mut stream.queue else { unreachable!("a receive slot") };
        if let Some(chunk) = queue.pop() {
            return Poll::Ready(Ok(Some(chunk)));
        }
        match stream.end {
            Some(End::Eof) => return Poll::Ready(Ok(None)),
            Some(End::Error(code)) => return Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            None if self.core.closing.get() => return Poll::Ready(Err(io::Error::from_raw_os_error(libc::ECANCELED))),
            None => {}
        }
        queue.reading = true;
        match &mut stream.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        if !stream.armed && !stream.starved {
            let sqe = stream.arm();
            drop(slots);
            self.core.push(sqe, self.key as u64);
        }
        Poll::Pending
    }

    /// Stops waiting without dropping the stream: what has arrived moves out of provided buffers, and so will what comes.
    pub fn set_aside(&mut self) {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        stream.waker = None;
        let core::Queue::Recv(queue) = &mut stream.queue else { unreachable!("a receive slot") };
        queue.reading = false;
        queue.settle();
    }

    /// Has the kernel end its receive, so that the caller may receive from the socket in another way: ready once it has. What arrives until then is
    /// to be taken by [`RecvStream::arrived`]. The next wait for bytes begins anew, with a receive for once.
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        let core::Queue::Recv(queue) = &mut stream.queue else { unreachable!("a receive slot") };
        if stream.starved {
            queue.group.starved.borrow_mut().retain(|starved| *starved != self.key);
            stream.starved = false;
        }
        if !stream.armed {
            queue.has_received = false;
            return Poll::Ready(());
        }
        stream.waker = Some(cx.waker().clone());
        if !std::mem::replace(&mut stream.pausing, true) {
            drop(slots);
            self.core.cancel(self.key);
        }
        Poll::Pending
    }

    /// What has arrived and was not taken yet, without asking for more.
    pub fn arrived(&mut self) -> Option<Chunk> {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        let core::Queue::Recv(queue) = &mut stream.queue else { unreachable!("a receive slot") };
        queue.pop()
    }

    /// Receives as many bytes as `range` has into that part of `region`, past all buffers. The stream must be [stopped](RecvStream::poll_stopped).
    /// The operation's output is how many have come: fewer where the stream ended or the operation was cancelled, which is `ECANCELED` if there were none.
    ///
    /// # Panics
    /// Where `region` has no memory ready for `range`.
    pub fn receive_into(&self, region: &Rc<Region>, range: Range<usize>) -> Op {
        let socket = self.stopped_socket();
        let len = u32::try_from(range.len()).expect("regions are far below 4 GiB");
        let sqe = Sqe::RecvInto { fd: socket.as_raw_fd(), ptr: region.pointer(range), len };
        Op::start(&Ring { core: self.core.clone() }, Some(socket), Hold::Region(region.clone()), sqe)
    }

    /// Moves at most `count` bytes that have arrived into `pipe`, as [`BodyPipe::take_from`]. The stream must be [stopped](RecvStream::poll_stopped).
    pub fn move_into(&self, pipe: &BodyPipe, count: usize) -> Option<usize> {
        pipe.take_from(&*self.stopped_socket(), count)
    }

    /// From now on [`RecvStream::arrival`] waits for so many bytes, if there is room for them. To be set back to 1 before the next receive.
    pub fn set_low_water(&self, bytes: i32) {
        set_low_water(&*self.stopped_socket(), bytes);
    }

    /// Waits until something has arrived, or the stream has ended, without receiving it. The stream must be [stopped](RecvStream::poll_stopped).
    pub fn arrival(&self) -> Op {
        let ready = (libc::POLLIN | libc::POLLRDHUP) as u32;
        Ring { core: self.core.clone() }.poll(&self.stopped_socket(), ready)
    }

    fn stopped_socket(&self) -> Descriptor {
        let slots = self.core.slots.borrow();
        let Some(Slot::Stream(stream)) = slots.get(self.key) else { unreachable!("slot of a live handle") };
        debug_assert!(!stream.armed && stream.is_taken(), "two receives would share out what comes");
        stream.fd.clone()
    }

    /// Whether the connection is broken: reset, or timed out by the kernel. A peer that has only finished sending may still read.
    pub fn is_broken(&self) -> bool {
        let slots = self.core.slots.borrow();
        let Some(Slot::Stream(stream)) = slots.get(self.key) else { unreachable!("slot of a live handle") };
        matches!(stream.end, Some(End::Error(_)))
    }

    /// Waits for the peer to close or break the connection while its data is kept for later, as with
    /// [`RecvStream::set_aside`]. Pending for ever if it does not, or if it sends more than the backlog holds first.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        if stream.end.is_some() || self.core.closing.get() {
            return Poll::Ready(());
        }
        let core::Queue::Recv(queue) = &mut stream.queue else { unreachable!("a receive slot") };
        queue.reading = false;
        queue.settle();
        let full = queue.is_over_bound();
        stream.waker = Some(cx.waker().clone());
        if !stream.armed && !stream.starved && !full {
            let sqe = stream.arm();
            drop(slots);
            self.core.push(sqe, self.key as u64);
        }
        Poll::Pending
    }
}

/// See [`RecvStream::next`].
pub struct Next<'s>(&'s mut RecvStream);

impl Future for Next<'_> {
    type Output = io::Result<Option<Chunk>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_next(cx)
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        core::release_stream(&self.core, self.key);
    }
}
