//! Listening sockets: one per shard for a TCP address (SO_REUSEPORT), one for a unix address.
//!
//! Never accepts: the ring does. Called by the command line while the server starts.

use crate::base::bounds::LISTEN_BACKLOG;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a TCP listener may differ in.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions {
    /// Completed connections that wait for accept (listen(2)).
    pub backlog: i32,
    /// Whether an IPv6 wildcard address leaves IPv4 alone (IPV6_V6ONLY, ipv6(7)). Ignored for IPv4 addresses.
    pub v6_only: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions { backlog: LISTEN_BACKLOG, v6_only: false }
    }
}

/// Opens `count` listeners on one address, all with the same port, also when the kernel chooses it (port 0). The kernel spreads
/// connections over them by a hash of the addresses (SO_REUSEPORT, socket(7)). `AddrInUse` when anyone, also another
/// instance of this program, listens there already. Accepted connections inherit TCP_NODELAY.
pub fn tcp(address: SocketAddr, count: usize, options: TcpOptions) -> io::Result<Vec<OwnedFd>> {
    if address.port() != 0 {
        refuse_shared_port(address, options)?;
    }
    let mut bound = Vec::with_capacity(count);
    let mut address = address;
    for _ in 0..count {
        let socket = tcp_socket(address, options)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &address)?;
        address = local_addr(&socket)?;
        bound.push(socket);
    }
    // Only now, so that no connection is hashed to a listener before all of them take part.
    for socket in &bound {
        listen(socket, options.backlog)?;
    }
    Ok(bound)
}

/// What a unix listener may differ in.
#[derive(Clone, Copy, Debug)]
pub struct UnixOptions {
    /// Completed connections that wait for accept (listen(2)).
    pub backlog: i32,
    /// Permissions of the socket's file, for example 0o660: who may write to it may connect (unix(7)).
    pub mode: u32,
    /// Whose the file is, by user and group id; `None`: the process's own.
    pub uid: Option<u32>,
    /// See `uid`.
    pub gid: Option<u32>,
}

/// Opens a listener on a path. A socket that a dead server left there is removed; one that is alive, or a file of another kind, gives
/// `AddrInUse`. Nobody can connect before the file has its owner and its mode.
pub fn unix(path: &Path, options: UnixOptions) -> io::Result<OwnedFd> {
    let UnixOptions { backlog, mode, uid, gid } = options;
    remove_stale_socket(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The socket file gets its mode from the socket, lowered by the umask (unix_bind in the kernel): so at no moment is it
    // more open than asked. The second call takes back what the umask lowered.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(mode))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let made = (|| {
        if uid.is_some() || gid.is_some() {
            let not_given = |error| io::Error::other(format!("the socket can't be given to another owner: {error}"));
            std::os::unix::fs::chown(path, uid, gid).map_err(not_given)?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        Ok(listen(&socket, backlog)?)
    })();
    if let Err(error) = made {
        // It is ours, and nobody listens there.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(socket)
}

/// The address that a TCP socket is bound to; after port 0, with the port that the kernel chose.
pub fn local_addr(socket: impl AsFd) -> io::Result<SocketAddr> {
    let address = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(address).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket"))
}

/// The address of a socket that was not opened here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of the internet.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

/// Where a socket that was passed on listens; connections that it accepts get TCP_NODELAY, as those of our own.
///
/// # Errors
/// It is no stream socket, does not listen, or has an address of another kind.
pub fn listening_address(socket: impl AsFd) -> io::Result<Address> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    if sockopt::socket_type(&socket)? != SocketType::STREAM || !sockopt::socket_acceptconn(&socket)? {
        return Err(odd("no stream socket that listens"));
    }
    let address = rustix::net::getsockname(&socket)?;
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        sockopt::set_tcp_nodelay(&socket, true)?;
        return Ok(Address::Tcp(address));
    }
    let unix = SocketAddrUnix::try_from(address).map_err(|_| odd("neither an internet nor a unix socket"))?;
    let path = unix.path_bytes().ok_or_else(|| odd("a unix socket without a path"))?;
    Ok(Address::Unix(PathBuf::from(std::ffi::OsStr::from_bytes(path))))
}

fn tcp_socket(address: SocketAddr, options: TcpOptions) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, options.v6_only)?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(socket)
}

/// SO_REUSEPORT lets a second server of the same user take half of the connections without a word. A socket without
/// it is refused by the kernel when anybody listens there, so one is bound first and closed again.
fn refuse_shared_port(address: SocketAddr, options: TcpOptions) -> io::Result<()> {
    let probe = tcp_socket(address, options)?;
    Ok(bind(&probe, &address)?)
}

fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "the path exists and is not a socket"));
    }
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        // Nobody holds the socket any more (connect(2)).
        Err(rustix::io::Errno::CONNREFUSED) => std::fs::remove_file(path),
        Ok(()) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens on this socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().expect("address")
    }

    #[test]
    fn listeners_of_one_address_share_the_port_the_kernel_chose() {
        let listeners = tcp(any_port(), 3, TcpOptions::default()).expect("listen");
        let address = local_addr(&listeners[0]).expect("address");
        assert_ne!(address.port(), 0);
        for listener in &listeners {
            assert_eq!(local_addr(listener).expect("address"), address);
        }
        let listeners: Vec<TcpListener> = listeners.into_iter().map(TcpListener::from).collect();
        for listener in &listeners {
            listener.set_nonblocking(true).expect("nonblocking");
        }
        let clients: Vec<_> = (0..32).map(|_| TcpStream::connect(address).expect("connect")).collect();
        let mut accepted = 0;
        for listener in &listeners {
            while let Ok((stream, _)) = listener.accept() {
                assert!(sockopt::tcp_nodelay(&stream).expect("option"), "inherited from the listener");
                accepted += 1;
            }
        }
        assert_eq!(accepted, clients.len());
    }

    #[test]
    fn a_second_server_on_the_port_is_refused() {
        let listeners = tcp(any_port(), 2, TcpOptions::default()).expect("listen");
        let address = local_addr(&listeners[0]).expect("address");
        let refused = tcp(address, 2, TcpOptions::default()).expect_err("the port is taken");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        tcp(address, 1, TcpOptions::default()).expect("free again");
    }

    #[test]
    fn a_restart_is_not_kept_out_by_old_connections() {
        let listener = TcpListener::from(tcp(any_port(), 1, TcpOptions::default()).expect("listen").remove(0));
        let address = listener.local_addr().expect("address");
        let client = TcpStream::connect(address).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        // The server closes first: its side of the connection stays in TIME_WAIT.
        drop((server, listener));
        drop(client);
        tcp(address, 1, TcpOptions::default()).expect("SO_REUSEADDR");
    }

    #[test]
    fn an_ipv6_wildcard_may_leave_ipv4_alone() {
        let wildcard: SocketAddr = "[::]:0".parse().expect("address");
        let options = TcpOptions { v6_only: true, ..TcpOptions::default() };
        let listeners = match tcp(wildcard, 1, options) {
            Ok(listeners) => listeners,
            // A machine without IPv6 has nothing to test.
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => return,
            Err(error) => panic!("{error}"),
        };
        let port = local_addr(&listeners[0]).expect("address").port();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    fn options(mode: u32) -> UnixOptions {
        UnixOptions { backlog: 16, mode, uid: None, gid: None }
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("web.sock");
        drop(UnixListener::bind(&path).expect("a server that dies"));
        let listener = unix(&path, options(0o666)).expect("stale socket replaced");
        assert_eq!(std::fs::metadata(&path).expect("socket").permissions().mode() & 0o777, 0o666);
        UnixStream::connect(&path).expect("alive");
        assert_eq!(unix(&path, options(0o660)).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let file = directory.path().join("notes.txt");
        std::fs::write(&file, "keep me").expect("write");
        assert_eq!(unix(&file, options(0o660)).expect_err("a file").kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read(&file).expect("still there"), b"keep me");
    }
}
