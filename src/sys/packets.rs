//! SOCK_SEQPACKET pairs between shards, supervisor and Python: whole messages, with descriptors riding along.
//!
//! Every end is close-on-exec, so that a child gets exactly the ends that it is given and end-of-file means what it says.
//! Knows nothing of what the messages mean.

use crate::base::bounds::{PACKET_DESCRIPTORS_MAX, PACKET_SOCKET_BUFFER_BYTES};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(PACKET_DESCRIPTORS_MAX));

/// Makes a connected pair with buffers of [`PACKET_SOCKET_BUFFER_BYTES`], or as near to it as the kernel allows without
/// CAP_NET_ADMIN (net.core.wmem_max). Both ends block unless a call says otherwise.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&one, &other] {
        if sockopt::set_socket_send_buffer_size_force(end, PACKET_SOCKET_BUFFER_BYTES).is_err() {
            sockopt::set_socket_send_buffer_size(end, PACKET_SOCKET_BUFFER_BYTES)?;
        }
        if sockopt::set_socket_recv_buffer_size_force(end, PACKET_SOCKET_BUFFER_BYTES).is_err() {
            sockopt::set_socket_recv_buffer_size(end, PACKET_SOCKET_BUFFER_BYTES)?;
        }
    }
    Ok((one, other))
}

/// The kernel's size of a socket's send buffer, bytes (SO_SNDBUF; its own overhead counts towards it).
pub fn send_buffer_bytes(socket: impl AsFd) -> io::Result<usize> {
    Ok(sockopt::socket_send_buffer_size(socket)?)
}

/// Sends one message made of `parts`, with at most [`PACKET_DESCRIPTORS_MAX`] descriptors. Waits while the buffer is
/// full. EPIPE when the other end is closed.
pub fn send(socket: impl AsFd, parts: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(socket, parts, descriptors, SendFlags::NOSIGNAL)
}

/// [`send`] that never waits: `WouldBlock` when the buffer is full.
pub fn try_send(socket: impl AsFd, parts: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(socket, parts, descriptors, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

/// One message as received.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// A message of so many bytes is in the buffer.
    Message(usize),
    /// The other end is closed and everything that it sent was received.
    End,
}

/// Receives one message into `buffer` and its descriptors (close-on-exec) onto `descriptors`. Waits for it.
/// A message that does not fit into `buffer`, or with too many descriptors, is an `InvalidData` error, and is gone.
pub fn recv(socket: impl AsFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<Packet> {
    recv_with(socket, buffer, descriptors, RecvFlags::CMSG_CLOEXEC)
}

/// [`recv`] that never waits: `WouldBlock` when there is no message.
pub fn try_recv(socket: impl AsFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<Packet> {
    recv_with(socket, buffer, descriptors, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)
}

/// The beginning of the next message, as much as `buffer` holds; the rest of it and its descriptors are gone. Never waits:
/// `WouldBlock` when there is no message.
pub fn try_recv_beginning(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Packet> {
    // Without room for ancillary data the kernel closes the descriptors itself, so there may be none left for them.
    let (received, _) = rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut *buffer, RecvFlags::DONTWAIT))?;
    Ok(if received == 0 { Packet::End } else { Packet::Message(received) })
}

fn send_with(
    socket: impl AsFd,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    if let ([part], []) = (parts, descriptors) {
        // The plain call costs the kernel less than the general one.
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&socket, part, flags))?;
        assert_eq!(sent, part.len(), "SOCK_SEQPACKET sends a whole message or none (unix(7))");
        return Ok(());
    }
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = descriptors.len() <= PACKET_DESCRIPTORS_MAX
        && (descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors)));
    if !fits {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
    }
    let wanted: usize = parts.iter().map(|part| part.len()).sum();
    let sent = rustix::io::retry_on_intr(|| sendmsg(&socket, parts, &mut control, flags))?;
    assert_eq!(sent, wanted, "SOCK_SEQPACKET sends a whole message or none (unix(7))");
    Ok(())
}

fn recv_with(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    flags: RecvFlags,
) -> io::Result<Packet> {
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
    let mut arrived = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            arrived.extend(rights);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message larger than the protocol allows"));
    }
    descriptors.append(&mut arrived);
    // No message of the protocol is empty, so nothing received means the end (recv(2)).
    Ok(if received.bytes == 0 { Packet::End } else { Packet::Message(received.bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bounds::MESSAGE_BYTES_MAX;
    use rustix::io::{FdFlags, fcntl_getfd};

    #[test]
    fn messages_keep_their_bounds_and_carry_descriptors() {
        let (ours, theirs) = pair().expect("pair");
        let (mark, _other) = rustix::pipe::pipe().expect("pipe");
        send(&ours, &[IoSlice::new(b"one"), IoSlice::new(b" two")], &[mark.as_fd()]).expect("send");
        send(&ours, &[IoSlice::new(b"three")], &[]).expect("send");
        let (mut buffer, mut descriptors) = ([0; 64], Vec::new());
        assert_eq!(recv(&theirs, &mut buffer, &mut descriptors).expect("recv"), Packet::Message(7));
        assert_eq!(&buffer[..7], b"one two");
        assert_eq!(descriptors.len(), 1);
        assert!(fcntl_getfd(&descriptors[0]).expect("flags").contains(FdFlags::CLOEXEC));
        assert_eq!(recv(&theirs, &mut buffer, &mut descriptors).expect("recv"), Packet::Message(5));
        let empty = try_recv(&theirs, &mut buffer, &mut descriptors).expect_err("nothing there");
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        drop(ours);
        assert_eq!(recv(&theirs, &mut buffer, &mut descriptors).expect("recv"), Packet::End);
        let gone = send(&theirs, &[IoSlice::new(b"x")], &[]).expect_err("closed");
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_beginning_of_a_message_comes_without_its_rest_and_its_descriptors() {
        let (ours, theirs) = pair().expect("pair");
        for text in [&b"first and long"[..], b"second"] {
            send(&ours, &[IoSlice::new(text)], &[theirs.as_fd()]).expect("send");
        }
        let mut buffer = [0; 6];
        for beginning in [b"first ", b"second"] {
            assert_eq!(try_recv_beginning(&theirs, &mut buffer).expect("recv"), Packet::Message(6));
            assert_eq!(&buffer, beginning);
        }
        let empty = try_recv_beginning(&theirs, &mut buffer).expect_err("nothing there");
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_full_buffer_and_an_oversized_message_are_errors() {
        let (ours, theirs) = pair().expect("pair");
        let message = vec![7u8; MESSAGE_BYTES_MAX];
        let mut sent = 0;
        let full = loop {
            match try_send(&ours, &[IoSlice::new(&message)], &[]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(sent >= 1, "even the smallest buffer takes a message of the largest size");
        let (mut buffer, mut descriptors) = (vec![0; MESSAGE_BYTES_MAX - 1], Vec::new());
        let oversized = recv(&theirs, &mut buffer, &mut descriptors).expect_err("does not fit");
        assert_eq!(oversized.kind(), io::ErrorKind::InvalidData);
        let many = [theirs.as_fd(); PACKET_DESCRIPTORS_MAX + 1];
        assert!(try_send(&ours, &[IoSlice::new(b"x")], &many).is_err());
    }
}
