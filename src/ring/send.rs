//! Sends that own their bytes: one buffer, or a head and a body as one message.
//!
//! Owns the bytes until the kernel has taken them. Called by `shard` (responses) and `wsgi` (requests to workers).

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Descriptor;
use super::core::Ring;
use super::engine::Sqe;
use super::payload::Payload;
use super::single::{Hold, Op, value};

/// The most parts one message is sent from.
const PARTS_MAX: usize = 3;
/// Room for the ancillary data of one descriptor: CMSG_SPACE(sizeof(int)).
const CONTROL_BYTES: usize = 24;

/// What sendmsg(2) needs, at an address that stays.
pub(super) struct Parts {
    payloads: [Payload; PARTS_MAX],
    vectors: [libc::iovec; PARTS_MAX],
    header: libc::msghdr,
    control: [u64; CONTROL_BYTES / 8],
    descriptor: Option<OwnedFd>,
}

impl Parts {
    fn new(payloads: [Payload; PARTS_MAX], descriptor: Option<OwnedFd>) -> Box<Parts> {
        // SAFETY: all-zero is a valid msghdr: no name, no vectors, no control.
        let header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut parts = Box::new(Parts {
            payloads,
            vectors: [empty; PARTS_MAX],
            header,
            control: [0; CONTROL_BYTES / 8],
            descriptor,
        });
        let mut count = 0;
        for payload in parts.payloads.iter().filter(|payload| !payload.is_empty()) {
            parts.vectors[count] = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
            count += 1;
        }
        parts.header.msg_iov = parts.vectors.as_mut_ptr();
        parts.header.msg_iovlen = count as _;
        if let Some(fd) = &parts.descriptor {
            let raw = fd.as_raw_fd();
            parts.header.msg_control = parts.control.as_mut_ptr().cast();
            parts.header.msg_controllen = CONTROL_BYTES as _;
            // SAFETY: `control` is aligned for a cmsghdr and as large as one with an int (cmsg(3)), which this writes.
            unsafe {
                let message = libc::CMSG_FIRSTHDR(&raw const parts.header);
                (*message).cmsg_level = libc::SOL_SOCKET;
                (*message).cmsg_type = libc::SCM_RIGHTS;
                (*message).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
                libc::CMSG_DATA(message).cast::<i32>().write_unaligned(raw);
            }
        }
        parts
    }
}

/// How a send ended: the bytes that the kernel took, and the payloads, whole, for whoever wants to try again; a single payload of
/// which the kernel took all is gone.
pub struct SendResult {
    /// Bytes taken, or what send(2) said.
    pub sent: io::Result<usize>,
    /// The payloads as they were given.
    pub payloads: [Payload; PARTS_MAX],
    /// The descriptor that was to ride along.
    pub descriptor: Option<OwnedFd>,
}

/// A send in flight.
pub struct SendOp(Op);

impl SendOp {
    /// Whether the send has ended and the kernel took `len` bytes.
    pub fn has_sent(&self, len: usize) -> bool {
        self.0.result().is_some_and(|result| usize::try_from(result) == Ok(len))
    }

    /// Whether the result is in.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Asks the kernel to end the send now. The bytes that it has taken so far are still told (io_uring keeps them over a
    /// cancellation since Linux 6.1); `ECANCELED` says that it took none.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl Future for SendOp {
    type Output = SendResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SendResult> {
        self.0.poll_result(cx).map(|(result, hold)| {
            let sent = value(result).map(|count| count as usize);
            let (payloads, descriptor) = match hold {
                Hold::Send(payload) => ([payload, Payload::EMPTY, Payload::EMPTY], None),
                Hold::Nothing => ([Payload::EMPTY; PARTS_MAX], None),
                Hold::Parts(parts) => {
                    let Parts { payloads, descriptor, .. } = *parts;
                    (payloads, descriptor)
                }
                _ => unreachable!("a send holds its payloads"),
            };
            SendResult { sent, payloads, descriptor }
        })
    }
}

impl Ring {
    /// Sends all of `payload` (`MSG_WAITALL`): fewer bytes only together with a broken connection.
    pub fn send(&self, socket: &Descriptor, payload: Payload) -> SendOp {
        self.send_with(socket, payload, libc::MSG_WAITALL)
    }

    /// Sends what the socket has room for at once; `EAGAIN` when there is none (`MSG_DONTWAIT`).
    pub fn try_send(&self, socket: &Descriptor, payload: Payload) -> SendOp {
        self.send_with(socket, payload, libc::MSG_DONTWAIT)
    }

    fn send_with(&self, socket: &Descriptor, payload: Payload, flags: i32) -> SendOp {
        let sqe = Sqe::Send {
            fd: socket.as_raw_fd(),
            ptr: payload.as_ptr(),
            len: payload.len_once(),
            flags: flags | libc::MSG_NOSIGNAL,
        };
        // Moving the payload into its slot moves no bytes: they are behind a pointer in each of its forms.
        SendOp(Op::start(self, Some(socket.clone()), Hold::Send(payload), sqe))
    }

    /// Sends all of `payloads`, one after the other, as one sendmsg (`MSG_WAITALL`).
    pub fn send_parts(&self, socket: &Descriptor, payloads: [Payload; PARTS_MAX]) -> SendOp {
        self.sendmsg(socket, Parts::new(payloads, None), libc::MSG_WAITALL)
    }

    /// Sends what the socket has room for of `payloads` at once (`MSG_DONTWAIT`).
    pub fn try_send_parts(&self, socket: &Descriptor, payloads: [Payload; PARTS_MAX]) -> SendOp {
        self.sendmsg(socket, Parts::new(payloads, None), libc::MSG_DONTWAIT)
    }

    /// Sends one message on a SEQPACKET socket, with a descriptor riding along if there is one. Never waits for room:
    /// `EAGAIN` instead, so that messages never overtake each other.
    pub fn send_message(&self, socket: &Descriptor, bytes: Payload, descriptor: Option<OwnedFd>) -> SendOp {
        match descriptor {
            None => self.try_send(socket, bytes),
            some => {
                let parts = Parts::new([bytes, Payload::EMPTY, Payload::EMPTY], some);
                self.sendmsg(socket, parts, libc::MSG_DONTWAIT)
            }
        }
    }

    fn sendmsg(&self, socket: &Descriptor, parts: Box<Parts>, flags: i32) -> SendOp {
        let sqe = Sqe::SendMsg {
            fd: socket.as_raw_fd(),
            msg: &raw const parts.header,
            flags: (flags | libc::MSG_NOSIGNAL) as u32,
        };
        SendOp(Op::start(self, Some(socket.clone()), Hold::Parts(parts), sqe))
    }
}
