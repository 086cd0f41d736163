//! The socket on which a program tells of itself (sd_notify(3), `NOTIFY_SOCKET`).
//!
//! Owns the socket and its name, which is an abstract one (unix(7)): no file is left behind. Since anybody in the network namespace may send
//! to such a name, each message comes with the user who sent it.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind,
    recvmsg, socket_with, sockopt,
};

/// Room for the sender's credentials, and for descriptors that nobody asked for: these are closed.
const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmCredentials(1), ScmRights(16));

/// The receiving end.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
    name: String,
}

impl NotifySocket {
    /// A socket of a new name that nobody can guess.
    pub fn bind() -> io::Result<NotifySocket> {
        let mut random = [0_u8; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name = format!("maitred/notify/{:032x}", u128::from_ne_bytes(random));
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        sockopt::set_socket_passcred(&socket, true)?;
        bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        Ok(NotifySocket { socket, name })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn variable(&self) -> String {
        format!("@{}", self.name)
    }

    /// The next message and the number of the user who sent it; a longer message than `buffer` is cut. None: there is none now.
    pub fn try_recv<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<(&'b [u8], u32)>> {
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received =
            rustix::io::retry_on_intr(|| recvmsg(&self.socket, &mut [IoSliceMut::new(buffer)], &mut control, flags));
        let received = match received {
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            other => other?,
        };
        let mut user = u32::MAX;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmCredentials(credentials) = message {
                user = credentials.uid.as_raw();
            }
        }
        Ok(Some((&buffer[..received.bytes], user)))
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    #[test]
    fn messages_come_with_their_sender() {
        let socket = NotifySocket::bind().expect("a socket");
        let sender = UnixDatagram::unbound().expect("a socket");
        let name = socket.variable();
        let address = SocketAddr::from_abstract_name(name.strip_prefix('@').expect("abstract")).expect("a name");
        let mut buffer = [0; 8];
        assert_eq!(socket.try_recv(&mut buffer).expect("works"), None);
        sender.connect_addr(&address).expect("bound");
        sender.send(b"READY=1 and more").expect("sent");
        let own = rustix::process::getuid().as_raw();
        assert_eq!(socket.try_recv(&mut buffer).expect("works"), Some((&b"READY=1 "[..], own)));
    }
}
