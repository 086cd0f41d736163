//! The two ends of a connection, and who stands behind the far one.
//!
//! Owns what is known of both: the kernel's word, or that of a balancer's PROXY header. Called by whoever asks for an address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, SocketAddrAny};

use super::connection::Connection;
use crate::http::{Fields, Origin, PeerAddress, Reject, Scheme};
use crate::ring::Descriptor;

/// Addresses and ports, looked up once a connection and only when somebody asks.
pub(super) struct Peer {
    /// The far end.
    pub address: PeerAddress,
    /// Its address in text; like the other texts empty for a unix socket, and for a connection that is already gone.
    pub remote_address: String,
    pub remote_port: String,
    pub local_address: String,
    pub local_port: String,
    /// Address and port of the balancer that has said all this in a PROXY header.
    balancer: Option<Box<(String, String)>>,
}

impl Peer {
    /// Asks the kernel.
    pub fn of(socket: &Descriptor) -> Peer {
        let internet = |any: SocketAddrAny| SocketAddr::try_from(any).ok();
        let remote = rustix::net::getpeername(socket).ok().flatten().and_then(internet);
        let local = rustix::net::getsockname(socket).ok();
        let is_unix = local.as_ref().is_some_and(|local| local.address_family() == AddressFamily::UNIX);
        let address = match remote {
            Some(remote) => PeerAddress::of(remote),
            None if is_unix => PeerAddress::Unix,
            None => PeerAddress::Unknown,
        };
        Peer::new(address, local.and_then(internet))
    }

    /// A client that the balancer with the address of `own` has named, and the address at which it has reached the balancer. What that does
    /// not tell is left open.
    pub fn behind(own: &Peer, address: PeerAddress, local: Option<SocketAddr>) -> Peer {
        let balancer = Box::new((own.remote_address.clone(), own.remote_port.clone()));
        Peer { balancer: Some(balancer), ..Peer::new(address, local) }
    }

    /// Address and port from which the connection itself has come: the peer's, or its balancer's.
    pub fn connected_from(&self) -> (&str, &str) {
        match self.balancer.as_deref() {
            Some((address, port)) => (address, port),
            None => (&self.remote_address, &self.remote_port),
        }
    }

    fn new(address: PeerAddress, local: Option<SocketAddr>) -> Peer {
        let text = |end: Option<SocketAddr>| match end {
            // An IPv4 client of an IPv6 listener is an IPv4 client (RFC 4291 §2.5.5.2).
            Some(end) => (end.ip().to_canonical().to_string(), end.port().to_string()),
            None => (String::new(), String::new()),
        };
        let (remote_address, remote_port) = text(match address {
            PeerAddress::Ip(remote) => Some(remote),
            PeerAddress::Unix | PeerAddress::Unknown => None,
        });
        let (local_address, local_port) = text(local);
        Peer { address, remote_address, remote_port, local_address, local_port, balancer: None }
    }
}

impl Connection {
    /// The two ends of the connection.
    pub fn peer(&self) -> &Peer {
        self.peer.get_or_init(|| Box::new(Peer::of(self.output.socket())))
    }

    /// Who has sent a request with these fields: the peer, or whoever trusted proxies say that they forward for. All that goes by a
    /// client's address goes by this one.
    ///
    /// # Errors
    /// A trusted proxy's word can't be understood.
    pub fn origin<'b>(&self, fields: Fields<'b>) -> Result<Origin<'b>, Reject> {
        Origin::of(self.peer().address, fields, &self.shard.trust.borrow())
    }

    /// The scheme in which the client has asked.
    pub fn scheme(&self, origin: &Origin<'_>) -> Scheme {
        let own = if self.protocol.tls { Scheme::Https } else { Scheme::Http };
        origin.scheme.unwrap_or(own)
    }

    /// A field in which proxies say whom they forward for is not passed on. Of the first one that a neighbour sends who is not trusted the log tells: it
    /// may be a proxy that somebody has forgotten to name. Anybody on the internet can send one.
    pub fn dropped_claim(&self, name: &[u8], origin: &Origin<'_>) {
        static HAS_TOLD: AtomicBool = AtomicBool::new(false);
        let is_told =
            [&b"x-forwarded-for"[..], b"x-forwarded-proto"].iter().any(|told| name.eq_ignore_ascii_case(told));
        let address = self.peer().address;
        if origin.is_forwarded || !is_told || is_far(address) || HAS_TOLD.swap(true, Ordering::Relaxed) {
            return;
        }
        let (peer, entry) = match address {
            PeerAddress::Ip(address) => (address.ip().to_string(), address.ip().to_string()),
            PeerAddress::Unix | PeerAddress::Unknown => ("a unix socket".to_owned(), "unix:".to_owned()),
        };
        let field = String::from_utf8_lossy(name);
        tracing::warn!(
            "{field} from {peer} is dropped, and all like it from whoever is not trusted (this is said once); if that is your proxy, set \
             trusted_proxies = [\"{entry}\"] in [server]"
        );
    }

    /// Whether the peer is a proxy whose word counts.
    pub fn is_trusted(&self) -> bool {
        let trust = self.shard.trust.borrow();
        !trust.is_empty() && trust.covers(self.peer().address)
    }
}

/// Whether it is an address of the internet, where no proxy of one's own is.
fn is_far(address: PeerAddress) -> bool {
    match address {
        PeerAddress::Ip(SocketAddr::V4(address)) => {
            let ip = address.ip();
            !(ip.is_loopback() || ip.is_private() || ip.is_link_local())
        }
        PeerAddress::Ip(SocketAddr::V6(address)) => {
            let ip = address.ip();
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
        PeerAddress::Unix | PeerAddress::Unknown => false,
    }
}
