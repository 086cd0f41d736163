//! Actions that need neither files nor the application: redirects, fixed responses, a status, health.
//!
//! Owns the values that a redirect's template is filled with. Called by `connection`; `respond` sends.

use std::borrow::Cow;

use super::connection::Connection;
use super::site::{Fixed, Handler, Redirect};
use crate::config::Health;
use crate::http::Method;
use crate::http::head::Head;
use crate::http::target;
use crate::http::template::Values;
use crate::response::{Body, Response};
use crate::ring::Payload;

/// What may be done with health.
const ALLOW: &[u8] = b"GET, HEAD";

impl Connection {
    /// The answer of a handler that needs no more than the request's head; `None` for the others.
    pub(super) fn simple(&mut self, head: &Head<'_>, handler: &Handler) -> Option<Response> {
        Some(match handler {
            Handler::Redirect(redirect) => self.redirect(head, redirect),
            Handler::Fixed(fixed) => fixed.response(),
            Handler::Status(status) => bare(*status),
            Handler::Health(health) => self.health(head.method, *health),
            Handler::Missing => missing(),
            Handler::Static(..) | Handler::App(_) => return None,
        })
    }

    /// How the server stands, as the admin listener says it too.
    fn health(&self, method: Method, health: Health) -> Response {
        let (status, text) = match (method, health, self.shard.readiness.state()) {
            (Method::Get | Method::Head, Health::Live, _) => (200, "ok"),
            (Method::Get | Method::Head, Health::Ready, state) => (state.status(), state.text()),
            _ => return Response::error(405, "Health is asked for with GET or HEAD.").with("Allow", ALLOW),
        };
        let mut response =
            Response::new(status).with("Content-Type", b"text/plain; charset=utf-8").with("Cache-Control", b"no-store");
        response.body = Body::Bytes(Payload::from(format!("{text}\n").into_bytes()));
        response
    }

    fn redirect(&mut self, head: &Head<'_>, redirect: &Redirect) -> Response {
        let host = match head.authority {
            Some(authority) => Cow::Borrowed(authority.host),
            // HTTP/1.0 need not name a host: the address that was connected to is one.
            None => match &self.peer().local_address {
                ipv6 if ipv6.contains(':') => Cow::Owned(format!("[{ipv6}]")),
                other => Cow::Borrowed(other.as_str()),
            },
        };
        let target = head.target.path_query().expect("a route is found by a path");
        let decoded = target::decode_path(target.path).unwrap_or_default();
        let path = target::normalise(&decoded).unwrap_or_default();
        let captures = redirect.expression.as_ref().and_then(|expression| expression.captures(&path));
        let groups: Vec<_> = captures
            .iter()
            .flat_map(|captures| captures.iter())
            .map(|group| group.map(|group| group.range()))
            .collect();
        let scheme = self.origin(head.fields).map_or("http", |origin| self.scheme(&origin).as_str());
        let values =
            Values { host: &host, path: &path, raw_path: target.path, query: target.query, scheme, groups: &groups };
        Response::error(redirect.status, "").with("Location", &redirect.target.fill(&values))
    }
}

impl Fixed {
    fn response(&self) -> Response {
        let mut response = Response::new(self.status).with("Content-Type", self.content_type.as_bytes());
        response.body = Body::Bytes(self.body());
        response
    }
}

fn bare(status: u16) -> Response {
    match status {
        200..=299 => Response::new(status),
        _ => Response::error(status, ""),
    }
}

/// Nothing is there, or nothing that clients are to know of.
pub(super) fn missing() -> Response {
    Response::error(404, "There is nothing here.")
}
