//! The two ends of a connection, as an application wants to know them.

use std::net::SocketAddr;

use crate::ring::Descriptor;

/// Addresses and ports in text, looked up once a connection and only when an application asks.
pub(super) struct Peer {
    pub remote_address: String,
    pub remote_port: String,
    pub local_address: String,
    pub local_port: String,
    is_local: bool,
}

impl Peer {
    /// Empty texts for a unix socket, and for a connection that is already gone.
    pub fn of(socket: &Descriptor) -> Peer {
        let remote = rustix::net::getpeername(socket).ok().flatten().and_then(|any| SocketAddr::try_from(any).ok());
        let local = rustix::net::getsockname(socket).ok().and_then(|any| SocketAddr::try_from(any).ok());
        let text = |end: Option<SocketAddr>| match end {
            // An IPv4 client of an IPv6 listener is an IPv4 client (RFC 4291 §2.5.5.2).
            Some(end) => (end.ip().to_canonical().to_string(), end.port().to_string()),
            None => (String::new(), String::new()),
        };
        let (remote_address, remote_port) = text(remote);
        let (local_address, local_port) = text(local);
        let is_local = remote.is_none_or(|remote| remote.ip().to_canonical().is_loopback());
        Peer { remote_address, remote_port, local_address, local_port, is_local }
    }

    /// Whether the client is a program on this host: on the loopback interface, or on a unix socket.
    pub fn is_local(&self) -> bool {
        self.is_local
    }
}
