//! Answers to a certificate authority that looks for a challenge over HTTP (RFC 8555 §8.3).
//!
//! Owns which requests are such looks. They come before redirects, rules and routes, on every listener, but only while an order is open
//! and only for tokens that are known: all else below the path is the site's. Called by `connection`.

use super::connection::Connection;
use crate::http::Method;
use crate::http::head::Head;
use crate::response::{Body, Response};
use crate::ring::Payload;

/// Where authorities look.
pub(super) const CHALLENGES: &str = "/.well-known/acme-challenge/";

impl Connection {
    /// Whether the request is such a look and its token is known.
    pub(super) fn is_challenge(&self, head: &Head<'_>) -> bool {
        self.with_challenge(head, |_| ()).is_some()
    }

    /// The answer, if it is.
    pub(super) fn challenge_answer(&self, head: &Head<'_>) -> Option<Response> {
        let text = self.with_challenge(head, |text| text.as_bytes().to_vec())?;
        tracing::debug!(shard = self.shard.number, "a certificate authority looks for a challenge");
        let mut response = Response::new(200).with("Content-Type", b"application/octet-stream");
        response.body = Body::Bytes(Payload::from(text));
        Some(response)
    }

    fn with_challenge<T>(&self, head: &Head<'_>, use_text: impl FnOnce(&str) -> T) -> Option<T> {
        let challenges = self.shard.challenges.borrow();
        let challenges = challenges.as_ref()?;
        let token = head.target.path_query()?.path.strip_prefix(CHALLENGES)?;
        challenges.text(token).filter(|_| matches!(head.method, Method::Get | Method::Head)).map(use_text)
    }
}
