//! Connections that come through a balancer which says in a PROXY header whose they are.
//!
//! Owns the wait for the header, before TLS and before HTTP, and what is said of those that are refused. What a header means is
//! `http::proxy_header`'s. Called by `connection`, on listeners with `proxy_protocol`.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use super::accept;
use super::connection::Connection;
use super::peer::Peer;
use crate::base::clock::Monotonic;
use crate::http::PeerAddress;
use crate::http::proxy_header::{Malformed, Parsed, Sender, parse};

/// A shard says at most once in so long that it has refused somebody.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// When a shard has last said that it refused somebody.
#[derive(Default)]
pub(super) struct Complaints(Cell<Option<Monotonic>>);

/// Why a connection ends before its first byte was looked at.
enum Refusal {
    /// The peer is none of `trusted_proxies`.
    Stranger,
    /// What it has sent is no header.
    Malformed(Malformed),
    /// The connection has ended, or `head_timeout` was over, within the header.
    Cut,
    /// The same before its first byte, as balancers do that only look whether somebody answers: nothing to speak of.
    Silent,
    /// The client's address has as many connections as it may have: counted already.
    TooMany,
}

impl Connection {
    /// Takes the header off the connection's beginning and believes it. `false`: the connection ends.
    pub(super) async fn take_proxy_header(&mut self) -> bool {
        let own = Peer::of(self.output.socket());
        let refusal = match self.proxy_header(&own).await {
            Ok(peer) => {
                let _unset_until_now = self.peer.set(Box::new(peer));
                return true;
            }
            Err(refusal) => refusal,
        };
        let reason = match refusal {
            Refusal::Silent | Refusal::TooMany => return false,
            Refusal::Stranger => "its peer is none of trusted_proxies",
            Refusal::Malformed(Malformed(reason)) => reason,
            Refusal::Cut => "it is not whole",
        };
        self.shard.metrics.borrow_mut().proxy_headers_refused += 1;
        let (now, last) = (self.shard.ring.now(), &self.shard.proxy_complaints.0);
        if last.get().is_none_or(|last| now.since(last) >= COMPLAINT_PAUSE) {
            last.set(Some(now));
            let (shard, peer) = (self.shard.number, &own.remote_address);
            tracing::warn!(shard, peer, reason, "refused a PROXY header; its connection is closed");
        }
        false
    }

    async fn proxy_header(&mut self, own: &Peer) -> Result<Peer, Refusal> {
        if !self.shard.trust.borrow().covers(own.address) {
            return Err(Refusal::Stranger);
        }
        self.receiving.deadline.set(self.shard.timeouts.get().head);
        let (sender, len) = loop {
            match parse(self.receiving.input.bytes()) {
                Ok(Parsed::Complete { sender, len }) => break (sender, len),
                Ok(Parsed::Partial) => {}
                Err(malformed) => return Err(Refusal::Malformed(malformed)),
            }
            self.receiving.input.settle();
            match self.receiving.next().await {
                Ok(Ok(Some(chunk))) => self.receiving.input.push(chunk),
                _ if self.receiving.input.is_empty() => return Err(Refusal::Silent),
                _ => return Err(Refusal::Cut),
            }
        };
        self.receiving.input.consume(len);
        Ok(match sender {
            Sender::Balancer => Peer::of(self.output.socket()),
            // Not even the balancer's own address: whoever sends the bytes is not trusted as the balancer is.
            Sender::Nameless => Peer::behind(own, PeerAddress::Unknown, None),
            Sender::Client { source, destination } => {
                self.count_client(source)?;
                Peer::behind(own, PeerAddress::of(source), Some(destination))
            }
        })
    }

    /// Counts the connection among those of its client.
    fn count_client(&mut self, client: SocketAddr) -> Result<(), Refusal> {
        self.counted = accept::count(&self.shard, PeerAddress::of(client)).map_err(|accept::TooMany| {
            self.shard.metrics.borrow_mut().limited.connections += 1;
            Refusal::TooMany
        })?;
        Ok(())
    }
}
