//! Requests for the application: from a head and a body to a call of the worker pool.
//!
//! Owns the translation of a request into its environ and the reading of its body, in full, before a worker is engaged.

use super::answer::Facts;
use super::body::{Body, BodyError};
use super::connection::{Connection, Next};
use super::exchange::REQUEST_ID_FIELD;
use super::output::Gone;
use super::receiving::Receiving;
use super::told::Told;
use crate::base::bounds::{DIRECT_RECEIVE_BYTES_MIN, MESSAGE_BYTES_MAX};
use crate::config::Priority;
use crate::http::head::Head;
use crate::http::{BodyFraming, Field, Reject, Version, forwarded, response, target};
use crate::observe::Shed;
use crate::response::Response;
use crate::ring::Payload;
use crate::wsgi::pool::Call;
use crate::wsgi::spool::{Lease, PASSAGE_BYTES, Spool, Spooled};
use crate::wsgi::{BodyRef, Environ, messages};

impl Connection {
    /// Serves a request of an application's route that could not be handed over at once: it has a body, or it is the
    /// connection's first.
    pub(super) async fn application(
        &mut self,
        head: &Head<'_>,
        priority: Priority,
        body_bytes_max: u64,
        mut facts: Facts,
    ) -> Result<Next, Gone> {
        if let Some(answered) = Box::pin(self.broken(head, facts)).await {
            return answered;
        }
        facts.preference = self.preference(head);
        if head.framing != BodyFraming::None && self.shard.pool.admit(priority).is_err() {
            // A body is not even asked for whose request would be turned away.
            return self.answer_over_body(head, Response::error(503, Shed::Full.detail()), facts).await;
        }
        let body = match head.framing {
            BodyFraming::None => None,
            framing => match self.collect(head, framing, body_bytes_max).await {
                Ok(body) => Some(body),
                Err(BodyError::Refused(reject)) => {
                    self.refuse(reject).await?;
                    return Ok(Next::Close);
                }
                Err(BodyError::Gone) => return Err(Gone),
            },
        };
        match self.encode_call(head, body, priority) {
            Ok(call) => {
                self.receiving.recv.set_aside();
                self.answer_call(call, facts).await
            }
            Err(Reject::QueueFull) => self.error(facts, 503, Shed::Full.detail()).await,
            Err(reject) => {
                self.refuse(reject).await?;
                Ok(Next::Close)
            }
        }
    }

    /// Reads the whole body to where the worker can get it.
    async fn collect(&mut self, head: &Head<'_>, framing: BodyFraming, bytes_max: u64) -> Result<Spooled, BodyError> {
        let expected = match framing {
            BodyFraming::Length(bytes) if bytes > bytes_max => return Err(Reject::BodyTooLarge.into()),
            BodyFraming::Length(bytes) => Some(bytes),
            BodyFraming::None | BodyFraming::Chunked => None,
        };
        // RFC 9110 §10.1.1: needless once the body has begun to arrive.
        if head.expect_continue && head.version == Version::Http11 && self.receiving.input.is_empty() {
            let interim = self.output.send(Payload::Static(response::CONTINUE)).await;
            interim.map_err(|Gone| BodyError::Gone)?;
        }
        let direct = expected.filter(|bytes| *bytes >= DIRECT_RECEIVE_BYTES_MIN && self.receiving.secure.is_none());
        let mut body = Body::new(framing);
        let mut spool = match direct {
            Some(expected) => Spool::from_socket(&self.shard.spool, expected).await,
            None => Spool::new(&self.shard.spool, expected).await,
        }
        .map_err(no_room)?;
        if let Some(expected) = direct {
            Box::pin(self.collect_directly(&mut body, &mut spool, expected)).await?;
        }
        while let Some(piece) = body.next(&mut self.receiving, bytes_max).await? {
            if spool.is_on_disk() {
                // The disk may take its time.
                self.receiving.set_aside();
            }
            spool.push(piece).await.map_err(no_room)?;
        }
        Ok(spool.finish())
    }

    /// Has the kernel put a body of `expected` bytes straight to where it is to lie, if that is in memory, but for what has arrived already.
    async fn collect_directly(&mut self, body: &mut Body, spool: &mut Spool, expected: u64) -> Result<(), BodyError> {
        if spool.pipe().is_none() && spool.room(1).is_none() && !spool.is_on_disk() {
            return Ok(());
        }
        let receiving = &mut self.receiving;
        receiving.stopped().await;
        if !receiving.input.is_empty()
            && let Some(piece) = body.next(receiving, expected).await?
        {
            spool.push(piece).await.map_err(no_room)?;
        }
        while let Some(left) = body.left().filter(|left| *left > 0) {
            if let Some(pipe) = spool.pipe() {
                match body.pass(receiving, pipe).await? {
                    Some(count) => spool.filled(count),
                    None => spool.leave_pipe(expected).await.map_err(no_room)?,
                }
                continue;
            }
            if spool.is_on_disk() {
                let Some(passage) = spool.passage() else { return Ok(()) };
                return collect_to_file(receiving, body, spool, passage).await;
            }
            let Some((region, range)) = spool.room(left) else { return Ok(()) };
            let count = body.fill(receiving, &region, range).await?;
            spool.filled(count);
        }
        Ok(())
    }

    /// Makes the request's message and hands it to the pool.
    pub(super) fn encode_call(
        &self,
        head: &Head<'_>,
        body: Option<Spooled>,
        priority: Priority,
    ) -> Result<Call, Reject> {
        let target = head.target.path_query();
        let raw_path = target.map_or("", |target| target.path);
        let path = target::decode_path(raw_path)?;
        let authority = head.authority.map_or(&b""[..], |authority| authority.raw.as_bytes());
        let mut fields: Vec<Field<'_>> = Vec::with_capacity(16);
        let peer = self.peer();
        let origin = self.origin(head.fields)?;
        let scheme = self.scheme(&origin).as_str();
        let told = Told::of(&origin);
        let mut variables = Vec::new();
        if !self.user().is_empty() {
            variables.extend([(&b"REMOTE_USER"[..], self.user()), (b"AUTH_TYPE", b"Basic")]);
        }
        for (name, value) in head.fields {
            // An absolute target's authority overrides Host (RFC 9112 §3.2.2).
            if name.eq_ignore_ascii_case(REQUEST_ID_FIELD.as_bytes()) {
                // What the application sees is the server's word.
                continue;
            }
            if forwarded::is_claim(name) && (!origin.is_forwarded || forwarded::is_rewritten(name)) {
                self.dropped_claim(name, &origin);
                continue;
            }
            let is_host = name.eq_ignore_ascii_case(b"host");
            fields.push((name, if is_host { authority } else { value }));
        }
        told.add_variables(scheme, &mut variables);
        if let Some(secure) = self.receiving.secure.as_deref() {
            secure.add_variables(&mut variables);
        }
        let content_length = match (&body, head.framing) {
            (Some(Spooled::Inline(bytes)), _) => Some(bytes.len() as u64),
            (Some(Spooled::Descriptor(_, bytes)), _) => Some(*bytes),
            (None, _) => None,
        };
        let named = head.authority.map_or(("", ""), |authority| name_and_port(authority.raw));
        let server = server_of((&peer.local_address, &peer.local_port), named, scheme);
        let mut exchange = self.exchange.borrow_mut();
        exchange.received(content_length.unwrap_or(0));
        let environ = Environ {
            method: head.method_name.as_bytes(),
            target: head.raw_target.as_bytes(),
            script_name: b"",
            path: &path,
            query: target.and_then(|target| target.query).unwrap_or_default().as_bytes(),
            protocol: head.version.as_str(),
            remote_address: told.client(peer),
            remote_port: told.port(peer),
            server_name: server.0,
            server_port: server.1,
            scheme,
            content_length,
            request_id: exchange.id(&self.shard, head, || self.is_trusted()),
            variables: &variables,
            fields: &fields,
        };
        if self.shard.broken.borrow().is_some() {
            return Err(Reject::QueueFull);
        }
        let call = self.shard.pool.call(priority).map_err(|_| Reject::QueueFull)?;
        let reference = match &body {
            None => BodyRef::None,
            Some(Spooled::Inline(bytes)) => BodyRef::Inline(bytes),
            Some(Spooled::Descriptor(_, bytes)) => BodyRef::Spooled(*bytes),
        };
        let mut message = Vec::with_capacity(1024);
        messages::encode_request(&mut message, self.shard.pool.shard(), call.token(), reference, &environ)
            .map_err(|_| Reject::HeadTooLong)?;
        debug_assert!(message.len() <= MESSAGE_BYTES_MAX, "the encoder sees to it");
        let descriptor = match body {
            Some(Spooled::Descriptor(fd, _)) => Some(fd),
            _ => None,
        };
        if head.method.is_safe() && descriptor.is_none() {
            call.allow_second_run();
        }
        call.submit(message, descriptor);
        Ok(call)
    }
}

/// Receives what is left of a body and writes it to its file, in turns.
async fn collect_to_file(
    receiving: &mut Receiving,
    body: &mut Body,
    spool: &mut Spool,
    passage: Lease,
) -> Result<(), BodyError> {
    while let Some(left) = body.left().filter(|left| *left > 0) {
        let most = usize::try_from(left).map_or(PASSAGE_BYTES, |left| left.min(PASSAGE_BYTES));
        let count = body.fill(receiving, passage.region(), 0..most).await?;
        spool.pushed(&passage, count as usize).await.map_err(no_room)?;
    }
    passage.end();
    Ok(())
}

fn no_room(error: std::io::Error) -> BodyError {
    tracing::error!(%error, "cannot keep a request's body");
    BodyError::Refused(Reject::NoRoom)
}

/// The host and the port of an authority, without the brackets of an IPv6 address.
fn name_and_port(authority: &str) -> (&str, &str) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (authority, ""),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// SERVER_NAME and SERVER_PORT, which PEP 3333 never allows to be empty: a unix socket has neither, so they are what the client
/// called the server, or what it would have meant without a word.
fn server_of<'a>(local: (&'a str, &'a str), named: (&'a str, &'a str), scheme: &str) -> (&'a str, &'a str) {
    let first = |one: &'a str, other: &'a str, last: &'a str| match (one, other) {
        ("", "") => last,
        ("", other) => other,
        (one, _) => one,
    };
    if local.0.is_empty() {
        (first(named.0, "", "localhost"), first(named.1, "", if scheme == "https" { "443" } else { "80" }))
    } else {
        local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_name_and_a_port_on_every_listener() {
        assert_eq!(server_of(("10.0.0.1", "8000"), ("example.com", ""), "https"), ("10.0.0.1", "8000"));
        for (authority, name, port) in [
            ("example.com", "example.com", "80"),
            ("example.com:8080", "example.com", "8080"),
            ("[::1]:81", "::1", "81"),
            ("[2001:db8::1]", "2001:db8::1", "80"),
            ("", "localhost", "80"),
        ] {
            assert_eq!(server_of(("", ""), name_and_port(authority), "http"), (name, port), "{authority}");
        }
        assert_eq!(server_of(("", ""), ("example.com", ""), "https"), ("example.com", "443"));
    }
}
