//! What a route's options put on every file: how long it may be kept, and whether its type may be guessed.
//!
//! Owns field lines that were made once, when the route was opened. It never looks at a file. Called by `entry`.

use crate::config::{Expires, StaticOptions};
use crate::http::HeaderOps;
use crate::http::date::{self, DateText};
use crate::http::response::{BodyLength, HeadWriter};

/// Cache-Control of files whose name changes with their content (RFC 8246).
const IMMUTABLE: &[u8] = b"public, max-age=31536000, immutable";
/// The second that nginx's `expires epoch` names: Thu, 01 Jan 1970 00:00:01 GMT.
const EPOCH_SECONDS: u64 = 1;
/// The second that nginx's `expires max` names: Thu, 31 Dec 2037 23:55:55 GMT.
const MAX_SECONDS: u64 = 2_145_916_555;
/// The max-age beside it: ten years, seconds.
const MAX_AGE_SECONDS: u64 = 315_360_000;

/// The fields that come from the route and not from the file.
#[derive(Debug)]
pub(super) struct Policy {
    /// Cache-Control, if the route has one: a whole line.
    caching: Vec<u8>,
    /// The same for files whose name changes with their content.
    hashed: Vec<u8>,
    nosniff: bool,
    expires: Option<Expires>,
    /// What the route does to the fields of all its responses.
    headers: Option<HeaderOps>,
}

impl Policy {
    pub fn of(options: &StaticOptions) -> Policy {
        let line = |value: &[u8]| {
            let mut line = Vec::new();
            let _ = HeadWriter::resume(&mut line).field("Cache-Control", value);
            line
        };
        let caching = match (&options.cache_control, options.expires) {
            (Some(value), _) => line(value.as_bytes()),
            (None, Some(Expires::After(time))) => line(format!("max-age={}", time.as_secs()).as_bytes()),
            (None, Some(Expires::Max)) => line(format!("max-age={MAX_AGE_SECONDS}").as_bytes()),
            (None, Some(Expires::Epoch)) => line(b"no-cache"),
            (None, None) => Vec::new(),
        };
        Policy { caching, hashed: line(IMMUTABLE), nosniff: options.nosniff, expires: options.expires, headers: None }
    }

    /// With what the route does to the fields of all its responses. Whoever sends a response does it; ready responses have it done.
    pub fn with_headers(mut self, headers: Option<HeaderOps>) -> Policy {
        // A date that is patched in place must be there.
        self.expires = self.expires.filter(|_| !headers.as_ref().is_some_and(|headers| headers.replaces("expires")));
        self.headers = headers;
        self
    }

    /// The end of a ready head: what the server says of itself, the length, and the fields as the route wants them.
    pub fn write_ready(&self, ready: &mut Vec<u8>, mut fields: Vec<u8>, length: u64) {
        let mut head = HeadWriter::resume(ready);
        if !self.headers.as_ref().is_some_and(|headers| headers.replaces("server")) {
            head = head.server();
        }
        if let Some(headers) = &self.headers {
            headers.apply(200, &mut fields);
        }
        head.body(BodyLength::Exact(length)).lines(&fields).finish();
    }

    /// Appends the lines of a response that carries the file; `hashed`: its name changes with its content.
    pub fn write(&self, fields: &mut Vec<u8>, hashed: bool) {
        self.write_caching(fields, hashed);
        if self.nosniff {
            let _ = HeadWriter::resume(fields).field("X-Content-Type-Options", b"nosniff");
        }
    }

    /// Appends the lines that a 304 repeats (RFC 9110 §15.4.5), without Expires.
    pub fn write_caching(&self, fields: &mut Vec<u8>, hashed: bool) {
        fields.extend_from_slice(if hashed { &self.hashed } else { &self.caching });
    }

    /// Expires in a response of the second `now_seconds`, if the route sends it for such a file.
    pub fn expires(&self, now_seconds: u64, hashed: bool) -> Option<DateText> {
        let seconds = match self.expires.filter(|_| !hashed)? {
            Expires::After(time) => now_seconds + time.as_secs(),
            Expires::Epoch => EPOCH_SECONDS,
            Expires::Max => MAX_SECONDS,
        };
        Some(date::format(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_and_dates() {
        let hour = Expires::After(Duration::from_secs(3600));
        for (cache_control, expires, line, date) in [
            (None, None, "", None),
            (Some("no-store"), None, "Cache-Control: no-store\r\n", None),
            (None, Some(hour), "Cache-Control: max-age=3600\r\n", Some("Thu, 01 Jan 1970 01:01:40 GMT")),
            (Some("private"), Some(hour), "Cache-Control: private\r\n", Some("Thu, 01 Jan 1970 01:01:40 GMT")),
            (None, Some(Expires::Epoch), "Cache-Control: no-cache\r\n", Some("Thu, 01 Jan 1970 00:00:01 GMT")),
            (None, Some(Expires::Max), "Cache-Control: max-age=315360000\r\n", Some("Thu, 31 Dec 2037 23:55:55 GMT")),
        ] {
            let cache_control = cache_control.map(str::to_owned);
            let policy = Policy::of(&StaticOptions { cache_control, expires, ..StaticOptions::default() });
            let mut fields = Vec::new();
            policy.write(&mut fields, false);
            assert_eq!(String::from_utf8(fields).unwrap(), line);
            let found = policy.expires(100, false).map(|date| String::from_utf8(date.to_vec()).unwrap());
            assert_eq!(found.as_deref(), date);
        }
    }

    #[test]
    fn hashed_names_and_guesses() {
        let options = StaticOptions { expires: Some(Expires::Epoch), nosniff: true, ..StaticOptions::default() };
        let policy = Policy::of(&options);
        let mut fields = Vec::new();
        policy.write(&mut fields, true);
        let wanted = "Cache-Control: public, max-age=31536000, immutable\r\nX-Content-Type-Options: nosniff\r\n";
        assert_eq!((String::from_utf8(fields).unwrap().as_str(), policy.expires(0, true)), (wanted, None));
    }
}
