//! Listening sockets: one per shard for a TCP address (SO_REUSEPORT), one for a unix address.
//!
//! Never accepts: the ring does. Called by the command line while the server starts.

use crate::base::bounds::LISTEN_BACKLOG;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often, and after what pause, it is tried again to listen on an address that is in use.
const IN_USE_TRIES: u32 = 10;
const IN_USE_PAUSE: Duration = Duration::from_millis(50);

/// What a TCP listener may differ in.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions {
    /// Completed connections that wait for accept (listen(2)).
    pub backlog: i32,
    /// Whether an IPv6 wildcard address leaves IPv4 alone (IPV6_V6ONLY, ipv6(7)). Ignored for IPv4 addresses.
    pub v6_only: bool,
    /// Whether a connection waits in the kernel for its first bytes, a second at most (TCP_DEFER_ACCEPT, tcp(7)).
    pub deferred: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions { backlog: LISTEN_BACKLOG, v6_only: false, deferred: false }
    }
}

/// Opens `count` listeners on one address, all with the same port, also when the kernel chooses it (port 0). The kernel spreads
/// connections over them by a hash of the addresses (SO_REUSEPORT, socket(7)). `AddrInUse` when anyone, also another
/// instance of this program, listens there already. Accepted connections inherit TCP_NODELAY.
pub fn tcp(address: SocketAddr, count: usize, options: TcpOptions) -> io::Result<Vec<OwnedFd>> {
    patiently(|| open_tcp(address, count, options))
}

fn open_tcp(address: SocketAddr, count: usize, options: TcpOptions) -> io::Result<Vec<OwnedFd>> {
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
    patiently(|| open_unix(path, options))
}

fn open_unix(path: &Path, options: UnixOptions) -> io::Result<OwnedFd> {
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

/// Whether a connected socket's peer is on this machine: both ends have one address, or none.
pub fn is_same_machine(socket: impl AsFd) -> bool {
    let socket = socket.as_fd();
    let address = |any: rustix::net::SocketAddrAny| SocketAddr::try_from(any).ok().map(|address| address.ip());
    match (rustix::net::getsockname(socket), rustix::net::getpeername(socket)) {
        (Ok(own), Ok(Some(peer))) => address(own) == address(peer),
        _ => false,
    }
}

/// The address of a socket that was not opened here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of the internet.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
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

/// Tries again for a moment while an address is in use: the kernel takes a killed server's ring apart, and with it the listeners on which that
/// accepted, only after it has reported the end of the process.
fn patiently<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..IN_USE_TRIES {
        match open() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => std::thread::sleep(IN_USE_PAUSE),
            other => return other,
        }
    }
    open()
}

fn tcp_socket(address: SocketAddr, options: TcpOptions) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, options.v6_only)?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if options.deferred {
        defer_accept(&socket)?;
    }
    Ok(socket)
}

/// A connection without bytes is accepted when the kernel has asked its client once more, which it does after a second.
fn defer_accept(socket: &OwnedFd) -> io::Result<()> {
    let seconds: libc::c_int = 1;
    // SAFETY: the kernel reads an integer of the size that it is told from memory that lives through the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
    use std::io::Write;
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
    fn a_deferred_connection_is_accepted_with_its_first_bytes_or_after_a_moment() {
        let options = TcpOptions { deferred: true, ..TcpOptions::default() };
        let listener = TcpListener::from(tcp(any_port(), 1, options).expect("listen").remove(0));
        let address = listener.local_addr().expect("address");
        let silent = TcpStream::connect(address).expect("connect");
        let mut speaking = TcpStream::connect(address).expect("connect");
        speaking.write_all(b"hello").expect("sent");
        let accepted = || listener.accept().expect("accepted").1;
        assert_eq!(accepted(), speaking.local_addr().expect("address"));
        assert_eq!(accepted(), silent.local_addr().expect("address"));
    }

    #[test]
    fn who_is_on_this_machine_has_its_address() {
        let listener = TcpListener::from(tcp(any_port(), 1, TcpOptions::default()).expect("listen").remove(0));
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        assert!(is_same_machine(&client));
        assert!(is_same_machine(UnixStream::pair().expect("a pair").0));
        // Not connected: nobody's.
        assert!(!is_same_machine(&listener));
    }

    #[test]
    fn what_comes_free_in_a_moment_is_waited_for() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("web.sock");
        let options = UnixOptions { backlog: 16, mode: 0o600, uid: None, gid: None };
        let listeners = tcp(any_port(), 1, TcpOptions::default()).expect("listen");
        let address = local_addr(&listeners[0]).expect("address");
        let dying = (listeners, unix(&path, options).expect("listen"));
        let end = std::thread::spawn(move || {
            std::thread::sleep(2 * IN_USE_PAUSE);
            drop(dying);
        });
        tcp(address, 1, TcpOptions::default()).expect("free by now");
        unix(&path, options).expect("free by now");
        end.join().expect("no panic");
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
