//! The socket on which a program tells of itself (sd_notify(3), `NOTIFY_SOCKET`), from either end.
//!
//! Owns the socket and its name, which is an abstract one (unix(7)): no file is left behind. Since anybody in the network namespace may send
//! to such a name, each message comes with the user who sent it.

use std::ffi::OsStr;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

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

/// The sending end, for what this program has to say to its own service manager.
#[derive(Debug)]
pub struct Notifier(UnixDatagram);

impl Notifier {
    /// `address` is the value of `NOTIFY_SOCKET`: a path, or an abstract name behind `@`.
    ///
    /// # Errors
    /// It is neither, or nobody listens there.
    pub fn connect(address: &OsStr) -> io::Result<Notifier> {
        let bytes = address.as_bytes();
        let address = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that does not read must hold up nothing.
        socket.set_nonblocking(true)?;
        Ok(Notifier(socket))
    }

    /// Sends assignments, one a line.
    ///
    /// # Errors
    /// The manager is gone, or does not read.
    pub fn send(&self, message: &str) -> io::Result<()> {
        self.0.send(message.as_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_is_sent_arrives_and_a_full_socket_holds_up_nobody() {
        let socket = NotifySocket::bind().expect("a socket");
        let notifier = Notifier::connect(OsStr::new(&socket.variable())).expect("it is there");
        notifier.send("READY=1").expect("there is room");
        let mut buffer = [0; 8];
        let received = socket.try_recv(&mut buffer).expect("works").expect("a message");
        assert_eq!(received.0, b"READY=1");
        while notifier.send("STATUS=x").is_ok() {}
        assert!(Notifier::connect(OsStr::new("/nowhere/notify")).is_err());
    }
}
