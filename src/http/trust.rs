//! Whose word on the clients of requests counts: `trusted_proxies`.
//!
//! Owns the set, and what there is to be known of the other end of a connection. It never asks for addresses: `shard` does. Called by
//! `config`, which fills it, and by [`super::forwarded`].

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// Of the internet; an IPv4 address in the form of one of IPv6 is made one of IPv4 (RFC 4291 §2.5.5.2).
    Ip(SocketAddr),
    /// Of a unix socket, which has none.
    Unix,
    /// None any more: the connection is gone. Or none that counts: a balancer's own, which passes bytes on without looking at them.
    Unknown,
}

impl PeerAddress {
    /// The address as it is compared and shown.
    pub fn of(address: SocketAddr) -> PeerAddress {
        PeerAddress::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The address without its port.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            PeerAddress::Ip(address) => Some(address.ip()),
            PeerAddress::Unix | PeerAddress::Unknown => None,
        }
    }
}

/// Peers that are proxies, and say the truth about whom they forward for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Their addresses.
    pub networks: Vec<IpNet>,
    /// Every peer of a unix socket is one.
    pub unix: bool,
    /// Which fields they set.
    pub family: Family,
}

/// The fields in which proxies say whom they forward for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Those of the X-Forwarded family if the request has any, else Forwarded.
    #[default]
    Either,
    /// X-Forwarded-For and its like, X-Real-IP.
    XForwarded,
    /// Forwarded (RFC 7239).
    Forwarded,
}

impl Trust {
    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether what this peer says counts.
    pub fn covers(&self, peer: PeerAddress) -> bool {
        match peer {
            PeerAddress::Ip(address) => self.covers_ip(address.ip()),
            PeerAddress::Unix => self.unix,
            PeerAddress::Unknown => false,
        }
    }

    /// Whether a proxy with this address, which is canonical, is one of ours.
    pub fn covers_ip(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_unix_sockets_are_trusted_and_nobody_else() {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().expect("a network"));
        let trust = Trust { networks: networks.to_vec(), unix: false, family: Family::Either };
        let ip = |text: &str| PeerAddress::of(text.parse().expect("an address"));
        for (peer, expected) in [
            (ip("10.1.2.3:4"), true),
            (ip("[::ffff:10.1.2.3]:4"), true),
            (ip("[2001:db8::7]:4"), true),
            (ip("11.1.2.3:4"), false),
            (ip("[2001:db9::7]:4"), false),
            (PeerAddress::Unix, false),
            (PeerAddress::Unknown, false),
        ] {
            assert_eq!(trust.covers(peer), expected, "{peer:?}");
        }
        let unix = Trust { unix: true, ..Trust::default() };
        assert!(unix.covers(PeerAddress::Unix) && !unix.covers(PeerAddress::Unknown) && !unix.covers(ip("10.1.2.3:4")));
        assert!(Trust::default().is_empty() && !unix.is_empty());
    }
}
