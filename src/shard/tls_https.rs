//! What leads clients to HTTPS and keeps them there: the redirect of plain listeners, and HSTS.
//!
//! Owns where the redirect leads and which responses carry the field. Called by `connection` and by those that write heads.

use memchr::memmem;

use super::answer::Facts;
use super::challenge::CHALLENGES;
use super::connection::{Connection, Next};
use super::output::Gone;
use crate::http::Scheme;
use crate::http::head::Head;
use crate::http::target;
use crate::response::Response;

const PORT_HTTPS: u16 = 443;

impl Connection {
    /// Whether a request for `path` is sent on to HTTPS. Decided by the path's normal form, so that no spelling gets around it.
    pub(super) fn is_redirected(&self, head: &Head<'_>, path: &str) -> bool {
        // A client that has spoken TLS with a trusted proxy is there already.
        let is_secure = || self.origin(head.fields).is_ok_and(|origin| self.scheme(&origin) == Scheme::Https);
        if !self.protocol.redirect_https || is_secure() {
            return false;
        }
        let decoded = target::decode_path(path).unwrap_or_default();
        !target::normalise(&decoded).is_ok_and(|normal| normal.starts_with(CHALLENGES.as_bytes()))
    }

    /// Sends the client on to the same URL with `https`; 308 keeps the method (RFC 9110 §15.4.9).
    pub(super) async fn redirect_to_https(&mut self, head: &Head<'_>, facts: Facts) -> Result<Next, Gone> {
        let host = head.authority.map_or("", |authority| authority.host);
        let response = match head.target.path_query() {
            Some(target) if !host.is_empty() => {
                let mut location = format!("https://{host}");
                if self.shard.https_port != PORT_HTTPS {
                    location += &format!(":{}", self.shard.https_port);
                }
                location += target.path;
                if let Some(query) = target.query {
                    location.push('?');
                    location += query;
                }
                Response::error(308, "This is served over HTTPS.").with("Location", location.as_bytes())
            }
            _ => Response::error(400, "This is served over HTTPS, and the request names no host."),
        };
        self.respond_over_body(head, response, facts).await
    }

    /// Puts the HSTS field into the head at the beginning of `out`, if this connection's responses carry it and this one does not
    /// have its own: clients heed the first one only (RFC 6797 §8.1).
    pub(super) fn add_hsts(&self, out: &mut Vec<u8>) {
        let line = self.hsts();
        if line.is_empty() {
            return;
        }
        if let Some(at) = place(out) {
            out.splice(at..at, line.bytes());
        }
    }

    /// A copy of the response that is ready, with the HSTS field; `None` if it is to be sent as it is.
    pub(super) fn with_hsts(&self, ready: &[u8]) -> Option<Vec<u8>> {
        let line = self.hsts();
        if line.is_empty() {
            return None;
        }
        let at = place(ready)?;
        Some([&ready[..at], line.as_bytes(), &ready[at..]].concat())
    }

    fn hsts(&self) -> &str {
        self.receiving.secure.as_ref().map_or("", |secure| secure.hsts())
    }
}

/// Where the field goes: behind the status line; `None` for a head that has it already.
fn place(response: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"strict-transport-security:";
    let end = memmem::find(response, b"\r\n\r\n").unwrap_or(response.len());
    let first = memmem::find(&response[..end], b"\r\n")?;
    let has_own = response[first..end]
        .split(|&byte| byte == b'\n')
        .any(|line| line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME)));
    (!has_own).then_some(first + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_goes_behind_the_status_line_unless_it_is_there() {
        assert_eq!(place(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nstrict-transport-security: x"), Some(17));
        assert_eq!(place(b"HTTP/1.1 200 OK\r\nA: b\r\nStrict-Transport-Security: max-age=1\r\n\r\n"), None);
        assert_eq!(place(b""), None);
    }
}
