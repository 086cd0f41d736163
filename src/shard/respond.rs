//! The one place where a handler's [`Response`] becomes bytes on the wire.
//!
//! Owns the head fields that belong to the connection (Date, Server, Connection, Content-Length) and the way each kind of body
//! is sent.

use super::answer::Facts;
use super::connection::{Connection, Next};
use super::file;
use super::output::Gone;
use crate::base::bounds::COPIED_RESPONSE_BYTES_MAX;
use crate::http::head::Head;
use crate::http::response::{BodyLength, HeadWriter, has_body};
use crate::http::BodyFraming;
use crate::response::{Body, Response};
use crate::ring::Payload;
use crate::static_files::StaticRoot;

/// Methods that make sense for the server as a whole.
const ALLOW_SERVER: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl Connection {
    /// Sends `response`.
    pub(super) async fn respond(&mut self, response: Response, facts: Facts) -> Result<Next, Gone> {
        let Response { status, fields, body } = response;
        let len = match &body {
            Body::Empty { length } => length.unwrap_or(0),
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { range, .. } => range.end - range.start,
        };
        let announced = !matches!(body, Body::Empty { length: None }) || has_body(facts.method, status);
        let length = BodyLength::choose(facts.version, status, announced.then_some(len));
        let mut out = Vec::with_capacity(256 + fields.len());
        HeadWriter::start(&mut out, status)
            .date(&self.shard.date().1)
            .server()
            .connection(facts.version, facts.keep_alive)
            .body(length)
            .lines(&fields)
            .finish();
        self.shard.metrics.borrow_mut().request(status, facts.started);
        match body {
            _ if !has_body(facts.method, status) => self.output.send(Payload::from(out)).await?,
            Body::Empty { .. } => self.output.send(Payload::from(out)).await?,
            Body::Bytes(bytes) if bytes.len() <= COPIED_RESPONSE_BYTES_MAX => {
                out.extend_from_slice(&bytes);
                self.output.send(Payload::from(out)).await?;
            }
            Body::Bytes(bytes) => self.output.send_parts([Payload::from(out), bytes, Payload::EMPTY]).await?,
            Body::File { file, range } => {
                self.output.send(Payload::from(out)).await?;
                file::send(&self.shard.ring, &mut self.output, &file, range).await?;
            }
        }
        Ok(if facts.keep_alive { Next::Request } else { Next::Close })
    }

    /// Answers from a static root, then reads over a body that came with the request all the same.
    pub(super) async fn static_file(
        &mut self,
        head: &Head<'_>,
        root: &StaticRoot,
        prefix: usize,
        mut facts: Facts,
    ) -> Result<Next, Gone> {
        // A client that asks before it sends a body is not asked for it (RFC 9110 §10.1.1): the connection ends instead.
        facts.keep_alive &= !head.expect_continue;
        let response = self.shard.statics.serve(root, head, prefix).await;
        self.respond_over_body(head, response, facts).await
    }

    async fn respond_over_body(&mut self, head: &Head<'_>, response: Response, facts: Facts) -> Result<Next, Gone> {
        match self.respond(response, facts).await? {
            Next::Request if head.framing != BodyFraming::None => Ok(self.skip_body(head.framing).await),
            next => Ok(next),
        }
    }

    /// No route, or none that has anything there.
    pub(super) async fn not_found(&mut self, head: &Head<'_>, mut facts: Facts) -> Result<Next, Gone> {
        facts.keep_alive &= !head.expect_continue;
        self.respond_over_body(head, Response::error(404, "There is nothing here."), facts).await
    }

    /// `OPTIONS *` (RFC 9110 §9.3.7).
    pub(super) async fn options(&mut self, head: &Head<'_>, mut facts: Facts) -> Result<Next, Gone> {
        facts.keep_alive &= !head.expect_continue;
        self.respond_over_body(head, Response::new(204).with("Allow", ALLOW_SERVER), facts).await
    }
}
