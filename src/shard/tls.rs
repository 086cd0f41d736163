//! A connection's TLS session between the ring and the two halves of the connection.
//!
//! Owns the session and what it has to say beside responses: alerts, answers to key updates. `connection` receives through it and
//! `output` sends through it; a connection without TLS has none, and pays for it with one branch in either direction.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::output::Gone;
use crate::base::bounds::{TLS_ONE_RECORD_BYTES_MAX, TLS_WAITING_BYTES_MAX};
use crate::http::Reject;
use crate::observe::access::Tls;
use crate::ring::{Chunk, RecvStream};
use crate::tls::{Directory, EntryId, Facts, ServerSession};

/// One connection's session, its handshake complete.
pub(super) struct Secure {
    session: RefCell<ServerSession>,
    /// To be sent before anything else.
    waiting: RefCell<Vec<u8>>,
    has_failed: Cell<bool>,
    has_closed: Cell<bool>,
    directory: Arc<Directory>,
    entry: EntryId,
    /// The host that the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// What was agreed on.
    pub facts: Facts,
    /// `VERIFY` as nginx has it; empty if clients of this entry are not asked for a certificate.
    pub client_verify: &'static str,
}

impl Secure {
    /// Takes over a session of `entry` whose handshake is complete.
    pub fn new(
        session: ServerSession,
        directory: Arc<Directory>,
        entry: EntryId,
        server_name: Option<Box<str>>,
    ) -> Secure {
        let facts = session.facts();
        let client_verify = match (directory.client_auth(entry), &facts.client) {
            (crate::config::ClientAuth::None, _) => "",
            (_, Some(_)) => "SUCCESS",
            (_, None) => "NONE",
        };
        Secure {
            session: RefCell::new(session),
            waiting: RefCell::default(),
            has_failed: Cell::new(false),
            has_closed: Cell::new(false),
            directory,
            entry,
            server_name,
            facts,
            client_verify,
        }
    }

    /// The next bytes for HTTP; `None` at the client's end, whether it was announced or not: HTTP's own framing tells what was cut
    /// off (RFC 9112 §9.8).
    pub fn poll_next(&self, recv: &mut RecvStream, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        let mut session = self.session.borrow_mut();
        loop {
            if session.is_closed() || self.has_failed.get() {
                return Poll::Ready(Ok(None));
            }
            let mut chunk = match recv.poll_next(cx) {
                Poll::Ready(Ok(Some(chunk))) => chunk,
                other => return other,
            };
            let mut plain = Vec::new();
            let mut waiting = self.waiting.borrow_mut();
            let received = session.receive(chunk.bytes_mut(), &mut plain, &mut waiting);
            if let Err(error) = &received {
                tracing::debug!(%error, "a TLS session failed");
            }
            if received.is_err() || waiting.len() > TLS_WAITING_BYTES_MAX {
                self.has_failed.set(true);
            }
            if !plain.is_empty() {
                return Poll::Ready(Ok(Some(Chunk::from(plain))));
            }
        }
    }

    /// `parts` as records, behind what has to be said before.
    pub fn seal(&self, parts: &[&[u8]]) -> Result<Vec<u8>, Gone> {
        let mut out = self.waiting.take();
        let mut session = self.session.borrow_mut();
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let sealed = match parts {
            [whole] => session.encrypt(whole, &mut out),
            // A copy is cheaper than another record.
            _ if total <= TLS_ONE_RECORD_BYTES_MAX => session.encrypt(&parts.concat(), &mut out),
            _ => {
                let mut full = parts.iter().filter(|part| !part.is_empty());
                full.try_for_each(|part| session.encrypt(part, &mut out))
            }
        };
        match sealed {
            Ok(()) => Ok(out),
            Err(error) => {
                tracing::debug!(%error, "a TLS session failed");
                self.has_failed.set(true);
                Err(Gone)
            }
        }
    }

    /// What is still to be said at the end of the connection, once: an alert, or that nothing more comes.
    pub fn close(&self) -> Vec<u8> {
        let mut out = self.waiting.take();
        if !self.has_closed.replace(true) && !self.has_failed.get() {
            self.session.borrow_mut().close(&mut out);
        }
        out
    }

    /// What the application is told of it, beside the scheme, in the names of Apache, nginx and uWSGI.
    pub fn add_variables<'s>(&'s self, all: &mut Vec<(&'s [u8], &'s [u8])>) {
        all.push((b"SSL_PROTOCOL", self.facts.protocol.as_bytes()));
        all.push((b"SSL_CIPHER", self.facts.cipher.as_bytes()));
        if let Some(name) = &self.server_name {
            all.push((b"SSL_TLS_SNI", name.as_bytes()));
        }
        if !self.client_verify.is_empty() {
            all.push((b"SSL_CLIENT_VERIFY", self.client_verify.as_bytes()));
        }
        if let Some(client) = &self.facts.client {
            all.push((b"SSL_CLIENT_S_DN", client.subject.as_bytes()));
            all.push((b"SSL_CLIENT_I_DN", client.issuer.as_bytes()));
            all.push((b"SSL_CLIENT_M_SERIAL", client.serial.as_bytes()));
        }
    }

    /// What the access log may tell of it.
    pub fn logged(&self) -> Tls<'_> {
        Tls {
            protocol: self.facts.protocol,
            cipher: self.facts.cipher,
            server_name: self.server_name.as_deref().unwrap_or_default(),
            resumed: self.facts.resumed,
            client_verify: self.client_verify,
            client_subject: self.facts.client.as_ref().map_or("", |client| &client.subject),
        }
    }

    /// The line of response fields that tells browsers to stay with HTTPS; often empty.
    pub fn hsts(&self) -> &str {
        self.directory.hsts(self.entry)
    }

    /// Whether a request for `host` may be answered over this session.
    ///
    /// # Errors
    /// It asks for a certificate, and this session did not.
    pub fn admit(&self, host: Option<&[u8]>) -> Result<(), Reject> {
        match host {
            Some(host) if self.directory.is_misdirected(self.entry, host) => Err(Reject::Misdirected),
            _ => Ok(()),
        }
    }
}
