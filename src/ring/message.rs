//! Multishot recvmsg on a SEQPACKET socket: whole messages with the descriptors that ride along.
//!
//! Owns the messages that arrived and were not taken yet.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use io_uring::types::RecvMsgOut;

use super::Descriptor;
use super::buffers::{BufferGroup, Chunk};
use super::core::{self, Core, End, Ring, Slot, Stream};

/// Room for ancillary data: one descriptor, and some slack so that a surplus is seen rather than cut.
const CONTROL_BYTES: usize = 64;

/// One message.
#[derive(Debug)]
pub struct Message {
    /// Its bytes.
    pub bytes: Chunk,
    /// The descriptor that rode along, close-on-exec. Surplus ones were closed.
    pub descriptor: Option<OwnedFd>,
    /// Something was cut off: bytes that did not fit into the buffer (`MSG_TRUNC`), or descriptors for which the process had
    /// no room (`MSG_CTRUNC`).
    pub truncated: bool,
}

/// Arrived and not taken yet.
pub(super) struct Queue {
    pub group: Rc<BufferGroup>,
    messages: VecDeque<Message>,
    header: Box<libc::msghdr>,
}

impl Queue {
    fn new(group: Rc<BufferGroup>) -> Queue {
        // SAFETY: all-zero is a valid msghdr: no name, no vectors, no control.
        let mut header: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        header.msg_controllen = CONTROL_BYTES as _;
        Queue { group, messages: VecDeque::new(), header }
    }

    pub fn header(&self) -> *const libc::msghdr {
        &raw const *self.header
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Records a filled buffer; `true` for the end of the stream.
    pub fn push(&mut self, len: usize, buffer: Option<u16>) -> bool {
        let Some(mut bytes) = buffer.map(|buffer| self.group.take(buffer, len)) else { return true };
        let Ok(parsed) = RecvMsgOut::parse(&bytes, &self.header) else { return true };
        let descriptor = descriptors(parsed.control_data());
        let payload = parsed.payload_data();
        let truncated = parsed.is_payload_truncated() || parsed.is_control_data_truncated();
        let (start, len) = (payload.as_ptr() as usize - bytes.as_ptr() as usize, payload.len());
        bytes.advance(start);
        bytes.truncate(len);
        if len == 0 {
            return true;
        }
        self.messages.push_back(Message { bytes, descriptor, truncated });
        false
    }
}

/// Takes over the descriptors of an SCM_RIGHTS message (unix(7), cmsg(3)): the first is kept, surplus ones are closed.
fn descriptors(mut control: &[u8]) -> Option<OwnedFd> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let mut first = None;
    while control.len() >= HEADER {
        // SAFETY: there are enough bytes for a cmsghdr, read unaligned; it is plain data.
        let header = unsafe { control.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
        let len = header.cmsg_len.clamp(HEADER, control.len());
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            for fd in control[HEADER..len].chunks_exact(size_of::<i32>()) {
                let fd = i32::from_ne_bytes(fd.try_into().expect("chunks of four bytes"));
                // SAFETY: the kernel installed this descriptor for us with this very message.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                first.get_or_insert(fd);
            }
        }
        control = &control[len.next_multiple_of(align_of::<libc::cmsghdr>()).min(control.len())..];
    }
    first
}

/// The messages that arrive on one socket.
pub struct MessageStream {
    core: Rc<Core>,
    key: usize,
}

impl Ring {
    /// Receives whole messages from a SEQPACKET `socket` into buffers of `group` until the stream is dropped. A buffer
    /// holds the message and 80 bytes more.
    pub fn recv_messages(&self, socket: &Descriptor, group: &Rc<BufferGroup>) -> MessageStream {
        let stream = Stream::new(socket.clone(), core::Queue::Message(Box::new(Queue::new(group.clone()))));
        let key = self.core.slots.borrow_mut().insert(Slot::Stream(stream));
        MessageStream { core: self.core.clone(), key }
    }
}

impl MessageStream {
    /// The next message; `None` when every other end is closed.
    ///
    /// # Errors
    /// As recvmsg(2); `ECANCELED` when the ring closes.
    pub async fn next(&mut self) -> io::Result<Option<Message>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`MessageStream::next`], for callers that wait for several things at once.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Message>>> {
        let mut slots = self.core.slots.borrow_mut();
        let Some(Slot::Stream(stream)) = slots.get_mut(self.key) else { unreachable!("slot of a live handle") };
        let core::Queue::Message(queue) = &mut stream.queue else { unreachable!("a message slot") };
        if let Some(message) = queue.messages.pop_front() {
            return Poll::Ready(Ok(Some(message)));
        }
        match stream.end {
            Some(End::Eof) => return Poll::Ready(Ok(None)),
            Some(End::Error(code)) => return Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            None if self.core.closing.get() => return Poll::Ready(Err(io::Error::from_raw_os_error(libc::ECANCELED))),
            None => {}
        }
        stream.waker = Some(cx.waker().clone());
        if !stream.armed && !stream.starved {
            let sqe = stream.arm();
            drop(slots);
            self.core.push(sqe, self.key as u64);
        }
        Poll::Pending
    }
}

impl Drop for MessageStream {
    fn drop(&mut self) {
        core::release_stream(&self.core, self.key);
    }
}
