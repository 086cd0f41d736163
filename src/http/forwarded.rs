//! Who has really sent a request: what trusted proxies say, and what of it can be believed.
//!
//! Owns the walk from the connection's peer towards the client, over hops that are trusted, and the names of the fields concerned. Pure.
//! Called by `shard`, for the application and for whatever else goes by the client's address.
//!
//! What stands left of the first hop that is not trusted was written by somebody who is not, so it counts for nothing and nobody sees it.

use std::borrow::Cow;
use std::net::IpAddr;

use super::fields::list;
use super::forwarded_element::{self as element, Element};
use super::trust::{Family, PeerAddress, Trust};
use super::{Authority, Fields, Reject};
use crate::base::bounds::FORWARDED_HOPS_MAX;

/// The scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named for its scheme")]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn of(text: &[u8]) -> Option<Scheme> {
        match text {
            text if text.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
            text if text.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
            _ => None,
        }
    }
}

/// Where a request comes from, as far as that can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin<'b> {
    /// The client's address; `None` for one of a unix socket, or if the connection is gone.
    pub client: Option<IpAddr>,
    /// … and port; `None` where a proxy does not say.
    pub port: Option<u16>,
    /// A trusted proxy stands between, and what follows is its word.
    pub is_forwarded: bool,
    /// The scheme in which the client asked.
    pub scheme: Option<Scheme>,
    /// The host for which it asked; a well-formed authority.
    pub host: Option<Cow<'b, [u8]>>,
    /// The port on which it asked.
    pub host_port: Option<u16>,
    /// The client and then the proxies between it and the peer, as X-Forwarded-For has them; empty if none were named.
    pub hops: Vec<IpAddr>,
    /// Those elements of Forwarded that can be believed; empty where that field was not asked.
    pub elements: Vec<&'b [u8]>,
}

impl<'b> Origin<'b> {
    /// Of a request with `fields` that came from `peer`.
    ///
    /// # Errors
    /// A trusted proxy has sent a Forwarded field that is malformed.
    pub fn of(peer: PeerAddress, fields: Fields<'b>, trust: &Trust) -> Result<Origin<'b>, Reject> {
        let port = match peer {
            PeerAddress::Ip(address) => Some(address.port()),
            PeerAddress::Unix | PeerAddress::Unknown => None,
        };
        let origin = Origin { client: peer.ip(), port, ..Origin::default() };
        if !trust.covers(peer) {
            return Ok(origin);
        }
        let origin = Origin { is_forwarded: true, ..origin };
        match trust.family {
            Family::Forwarded => origin.forwarded(fields, trust),
            Family::Either if !fields.into_iter().any(|(name, _)| is_rewritten(name) && !is_forwarded(name)) => {
                origin.forwarded(fields, trust)
            }
            Family::Either | Family::XForwarded => Ok(origin.x_forwarded(fields, trust)),
        }
    }

    fn forwarded(mut self, fields: Fields<'b>, trust: &Trust) -> Result<Origin<'b>, Reject> {
        let mut elements: Vec<Element<'b>> = Vec::new();
        for line in fields.all(FORWARDED) {
            element::parse(line, &mut elements).map_err(|_| Reject::ForwardedMalformed)?;
        }
        let nodes = elements.iter().rev().map(|element| element.r#for.as_deref().and_then(element::node));
        let believed = self.walk(nodes, trust).min(elements.len());
        let believed = &elements[elements.len() - believed..];
        if let Some(first) = believed.first() {
            self.scheme = first.proto.as_deref().and_then(Scheme::of);
            self.host = first.host.clone().filter(|host| Authority::parse(host).is_some());
        }
        self.elements = believed.iter().map(|element| element.raw).collect();
        Ok(self)
    }

    fn x_forwarded(mut self, fields: Fields<'b>, trust: &Trust) -> Origin<'b> {
        let members = |name: &str| fields.all(name).flat_map(list).collect::<Vec<_>>();
        let addresses = members(X_FORWARDED_FOR);
        let believed = self.walk(addresses.iter().rev().map(|&text| element::node(text)), trust);
        if addresses.is_empty()
            && let Some((address, port)) = fields.only(X_REAL_IP).and_then(element::node)
        {
            (self.client, self.port) = (Some(address), port);
            self.hops = vec![address];
        }
        // A list that is as long as that of the addresses was kept beside it by the same proxies. Of any other the last word is that of
        // the peer.
        let told = |name: &str| {
            let members = members(name);
            let at = if members.len() == addresses.len() { members.len().checked_sub(believed.max(1)) } else { None };
            members.get(at.unwrap_or(members.len().saturating_sub(1))).copied()
        };
        self.scheme = told(X_FORWARDED_PROTO).and_then(Scheme::of);
        self.host = told(X_FORWARDED_HOST).filter(|host| Authority::parse(host).is_some()).map(Cow::Borrowed);
        self.host_port = told(X_FORWARDED_PORT).and_then(port);
        self
    }

    /// Goes from hop to hop, the one that is nearest to the peer first, until one is not trusted or not known. Returns how many of them can
    /// be believed.
    fn walk(&mut self, nodes: impl Iterator<Item = Option<(IpAddr, Option<u16>)>>, trust: &Trust) -> usize {
        let mut believed = 0;
        for node in nodes.take(FORWARDED_HOPS_MAX) {
            // Whoever said this is trusted, even where it names nobody.
            believed += 1;
            let Some((address, port)) = node else { break };
            (self.client, self.port) = (Some(address), port);
            self.hops.insert(0, address);
            if !trust.covers_ip(address) {
                break;
            }
        }
        believed
    }
}

fn port(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|&port| port != 0)
}

/// RFC 7239.
const FORWARDED: &str = "Forwarded";
/// What begins so is between proxies and those who trust them.
const PREFIX: &[u8] = b"X-Forwarded-";
const X_FORWARDED_FOR: &str = "X-Forwarded-For";
const X_FORWARDED_PROTO: &str = "X-Forwarded-Proto";
const X_FORWARDED_HOST: &str = "X-Forwarded-Host";
const X_FORWARDED_PORT: &str = "X-Forwarded-Port";
const X_REAL_IP: &str = "X-Real-IP";

fn is_forwarded(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(FORWARDED.as_bytes())
}

/// Whether a field says for whom somebody forwards, so that only a trusted peer may have sent it.
pub fn is_claim(name: &[u8]) -> bool {
    match name.len() {
        9 => is_forwarded(name) || name.eq_ignore_ascii_case(X_REAL_IP.as_bytes()),
        12.. => name[..PREFIX.len()].eq_ignore_ascii_case(PREFIX),
        _ => false,
    }
}

/// Whether a field is one of those whose values [`Origin`] knows better than whoever sent them.
pub fn is_rewritten(name: &[u8]) -> bool {
    let rest = [&b"For"[..], b"Proto", b"Host", b"Port"];
    is_claim(name) && (name.len() == 9 || rest.iter().any(|rest| name[PREFIX.len()..].eq_ignore_ascii_case(rest)))
}

#[cfg(test)]
mod tests;
