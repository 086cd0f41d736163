//! The one place where a handler's [`Response`] becomes bytes on the wire.
//!
//! Owns the head fields that belong to the connection (Date, Server, Connection, Content-Length) and the way each kind of body
//! is sent.

use super::answer::Facts;
use super::connection::{Connection, Next};
use super::file;
use super::output::Gone;
use crate::base::bounds::COPIED_RESPONSE_BYTES_MAX;
use crate::config::Priority;
use crate::http::head::Head;
use crate::http::response::{BodyLength, HeadWriter, has_body};
use crate::http::{BodyFraming, target};
use crate::response::{Body, Part, Response};
use crate::ring::Payload;
use crate::static_files::{Answer, Now, StaticRequest, StaticRoot};

/// Methods that make sense for the server as a whole.
const ALLOW_SERVER: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl Connection {
    /// Sends `response`.
    pub(super) async fn respond(&mut self, response: Response, facts: Facts) -> Result<Next, Gone> {
        let Response { status, mut fields, body } = response;
        if let Some(held) = &self.held {
            held.finish(status, &mut fields);
        }
        let extras = self.extras();
        let headers = extras.as_ref().and_then(|extras| extras.headers.as_ref());
        if let Some(headers) = headers {
            headers.apply(status, &mut fields);
        }
        let len = body.length().unwrap_or(0);
        let announced = !matches!(body, Body::Empty { length: None }) || has_body(facts.method, status);
        let length = BodyLength::choose(facts.version, status, announced.then_some(len));
        let mut out = Vec::with_capacity(256 + fields.len());
        let mut head = HeadWriter::start(&mut out, status).date(&self.shard.date().1);
        if !headers.is_some_and(|headers| headers.replaces("server")) {
            head = head.server();
        }
        head.connection(facts.version, facts.keep_alive).body(length).lines(&fields).lines(&self.echo()).finish();
        self.add_hsts(&mut out);
        self.answered(status, &out, facts);
        match body {
            _ if !has_body(facts.method, status) => self.output.send(Payload::from(out)).await?,
            Body::Empty { .. } => self.output.send(Payload::from(out)).await?,
            Body::Bytes(bytes) if bytes.len() <= COPIED_RESPONSE_BYTES_MAX => {
                out.extend_from_slice(&bytes);
                self.output.send(Payload::from(out)).await?;
            }
            Body::Bytes(bytes) => self.output.send_parts([Payload::from(out), bytes, Payload::EMPTY]).await?,
            Body::File(file) => {
                self.output.send_before(Payload::from(out)).await?;
                file::send(&self.shard.ring, &mut self.output, file).await?;
            }
            Body::Parts(parts) => {
                let mut before = out;
                for part in parts {
                    match part {
                        Part::Bytes(bytes) if bytes.len() <= COPIED_RESPONSE_BYTES_MAX => {
                            before.extend_from_slice(&bytes);
                        }
                        Part::Bytes(bytes) => {
                            self.output.send_before(Payload::from(std::mem::take(&mut before))).await?;
                            self.output.send_before(bytes).await?;
                        }
                        Part::File(file) => {
                            self.output.send_before(Payload::from(std::mem::take(&mut before))).await?;
                            file::send(&self.shard.ring, &mut self.output, file).await?;
                        }
                    }
                }
                self.output.send(Payload::from(before)).await?;
            }
        }
        Ok(if facts.keep_alive { Next::Request } else { Next::Close })
    }

    /// Answers from a static root.
    pub(super) async fn static_file(
        &mut self,
        head: &Head<'_>,
        root: &StaticRoot,
        prefix: &str,
        max_body: u64,
        facts: Facts,
    ) -> Result<Next, Gone> {
        let target = head.target.path_query().expect("a route is found by a path");
        let respelt;
        let path = match target.path.strip_prefix(prefix) {
            Some(path) => path,
            // The route was found by the path's normal form; this is another spelling of it.
            None => {
                respelt = after_prefix(target.path, prefix);
                &respelt
            }
        };
        let (wall_seconds, date) = self.shard.date();
        let now = Now { monotonic: facts.started, wall_seconds, date: &date };
        let request = StaticRequest {
            method: head.method,
            path,
            full_path: target.path,
            query: target.query,
            fields: head.fields,
            conditional: head.conditional,
        };
        let response = match self.shard.statics.serve(root, &request, &now).await {
            // A directory has no address that the client could be told.
            Answer::Response(response)
                if response.status == 301 && self.held.as_ref().is_some_and(|held| held.is_inner()) =>
            {
                Response::error(404, "There is nothing here.")
            }
            Answer::Response(response) => response,
            Answer::Pass => return self.application(head, Priority::Normal, max_body, facts).await,
        };
        self.answer_over_body(head, response, facts).await
    }

    /// Answers with `response` or the page in its place, then reads over a body that came with the request all the same.
    pub(super) async fn answer_over_body(
        &mut self,
        head: &Head<'_>,
        response: Response,
        mut facts: Facts,
    ) -> Result<Next, Gone> {
        facts.keep_alive &= !head.expect_continue;
        let next = self.answer_own(response, facts).await?;
        Ok(self.over_body(head, next).await)
    }

    /// Answers, then reads over a body that came with the request all the same.
    pub(super) async fn respond_over_body(
        &mut self,
        head: &Head<'_>,
        response: Response,
        mut facts: Facts,
    ) -> Result<Next, Gone> {
        // A client that asks before it sends a body is not asked for it (RFC 9110 §10.1.1): the connection ends instead.
        facts.keep_alive &= !head.expect_continue;
        let next = self.respond(response, facts).await?;
        Ok(self.over_body(head, next).await)
    }

    /// Reads over the body behind `head`, if the connection is to go on.
    async fn over_body(&mut self, head: &Head<'_>, next: Next) -> Next {
        match next {
            Next::Request if head.framing != BodyFraming::None => self.skip_body(head.framing).await,
            next => next,
        }
    }

    /// `OPTIONS *` (RFC 9110 §9.3.7).
    pub(super) async fn options(&mut self, head: &Head<'_>, facts: Facts) -> Result<Next, Gone> {
        self.respond_over_body(head, Response::new(204).with("Allow", ALLOW_SERVER), facts).await
    }
}

/// What follows `prefix` in the normal form of `path`, percent-encoded.
fn after_prefix(path: &str, prefix: &str) -> String {
    let decoded = target::decode_path(path).unwrap_or_default();
    let normal = target::normalise(&decoded).unwrap_or_default();
    let rest = normal.strip_prefix(prefix.as_bytes()).unwrap_or_default();
    rest.iter().fold(String::with_capacity(rest.len()), |mut text, &byte| {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_of_a_prefix_leads_to_the_same_file() {
        assert_eq!(after_prefix("/./%73tatic//a%20b/../c%2525", "/static/"), "c%2525");
    }
}
