//! What the application, and the access log, are told of a request's origin.
//!
//! Owns the texts. Whose word counts is decided in `http::forwarded`. A request that came from its client directly costs no text: those of
//! the peer are there already.

use super::peer::Peer;
use crate::http::Origin;

/// An origin in words.
pub(super) struct Told {
    /// … of a request that came by way of a trusted proxy.
    forwarded: Option<Box<Texts>>,
}

struct Texts {
    client: String,
    port: String,
    hops: String,
    host: Vec<u8>,
    host_port: String,
    elements: Vec<u8>,
}

impl Told {
    pub fn of(origin: &Origin<'_>) -> Told {
        let text = |port: Option<u16>| port.map_or_else(String::new, |port| port.to_string());
        let forwarded = origin.is_forwarded.then(|| {
            let hops: Vec<_> = origin.hops.iter().map(ToString::to_string).collect();
            Box::new(Texts {
                client: origin.client.map_or_else(String::new, |client| client.to_string()),
                port: text(origin.port),
                hops: hops.join(", "),
                host: origin.host.as_deref().unwrap_or_default().to_vec(),
                host_port: text(origin.host_port),
                elements: origin.elements.join(&b", "[..]),
            })
        });
        Told { forwarded }
    }

    /// The client's address; empty if it has none.
    pub fn client<'t>(&'t self, peer: &'t Peer) -> &'t str {
        self.forwarded.as_ref().map_or(&peer.remote_address, |texts| &texts.client)
    }

    /// The client's port; empty if it has none, or nobody knows it.
    pub fn port<'t>(&'t self, peer: &'t Peer) -> &'t str {
        self.forwarded.as_ref().map_or(&peer.remote_port, |texts| &texts.port)
    }

    /// What stands in the environ in place of the fields that proxies, or clients who pass for some, may have sent. X-Forwarded-Proto is
    /// always there: frameworks can rely on it (Django's `SECURE_PROXY_SSL_HEADER`).
    pub fn add_variables<'t>(&'t self, scheme: &'static str, all: &mut Vec<(&'t [u8], &'t [u8])>) {
        all.push((b"HTTP_X_FORWARDED_PROTO", scheme.as_bytes()));
        if scheme == "https" {
            all.push((b"HTTPS", b"on"));
        }
        let Some(texts) = &self.forwarded else { return };
        let further: [(&[u8], &[u8]); 5] = [
            (b"HTTP_X_FORWARDED_FOR", texts.hops.as_bytes()),
            (b"HTTP_X_FORWARDED_HOST", &texts.host),
            (b"HTTP_X_FORWARDED_PORT", texts.host_port.as_bytes()),
            (b"HTTP_X_REAL_IP", if texts.hops.is_empty() { b"" } else { texts.client.as_bytes() }),
            (b"HTTP_FORWARDED", &texts.elements),
        ];
        all.extend(further.into_iter().filter(|(_, value)| !value.is_empty()));
    }
}
