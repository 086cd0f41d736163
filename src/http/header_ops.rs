//! What a route does to the fields of its responses: set, add, remove.
//!
//! Owns the order (remove, set, add), the names that are not a route's to touch, and nginx's list of statuses. It never writes a head.
//! Built by `config` at load, applied by `static_files` to ready responses and by `shard` to all others.

use super::fields::{Fields, is_token, is_value};

/// Changes to the fields of a response, ready to be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOps {
    /// Names whose lines are left out: those that are removed or set. Lower case.
    dropped: Vec<Box<str>>,
    /// The lines that are set or added, each with its CRLF.
    lines: Vec<u8>,
    /// Lines are added to responses of any status, not only to those of `is_usual`.
    on_any_status: bool,
}

/// Names that only the server may write: they frame the response or describe the connection (RFC 9112 §6, §9; RFC 9110 §6.6.1, §7.6.1).
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "content-range",
    "date",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

impl HeaderOps {
    /// No changes yet. `on_any_status`: whether lines also go to responses outside nginx's list (200, 201, 204, 206, 301, 302, 303, 304, 307,
    /// 308), as its `always` has it.
    pub fn new(on_any_status: bool) -> HeaderOps {
        HeaderOps { on_any_status, ..HeaderOps::default() }
    }

    /// Leaves out every line of the field `name`.
    ///
    /// # Errors
    /// A sentence: the name is no token, or not a route's to touch.
    pub fn remove(&mut self, name: &str) -> Result<(), String> {
        let name = checked_name(name)?;
        if !self.dropped.contains(&name) {
            self.dropped.push(name);
        }
        Ok(())
    }

    /// One line in place of all that the response has of this name.
    ///
    /// # Errors
    /// As `remove`, or the value can't stand in a field.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.remove(name)?;
        self.add(name, value)
    }

    /// One more line.
    ///
    /// # Errors
    /// As `set`.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        checked_name(name)?;
        if value.trim_matches([' ', '\t']) != value || !value.bytes().all(is_value) {
            return Err("a field value holds no control characters, and no blanks at either end".to_owned());
        }
        for part in [name, ": ", value, "\r\n"] {
            self.lines.extend_from_slice(part.as_bytes());
        }
        Ok(())
    }

    /// Whether nothing would ever change.
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.lines.is_empty()
    }

    /// Bytes that are added at most.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the field `name` (lower case) is set or removed here, so that the server must not write its own.
    pub fn replaces(&self, name: &str) -> bool {
        self.dropped.iter().any(|dropped| **dropped == *name)
    }

    /// Changes checked field lines, each with its CRLF.
    pub fn apply(&self, status: u16, fields: &mut Vec<u8>) {
        if !self.dropped.is_empty() && !fields.is_empty() {
            let mut kept = Vec::with_capacity(fields.len() + self.lines.len());
            self.copy_kept(Fields::of_checked(fields), &mut kept);
            *fields = kept;
        }
        fields.extend_from_slice(self.lines(status));
    }

    fn drops(&self, name: &[u8]) -> bool {
        self.dropped.iter().any(|dropped| dropped.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The lines that a response with `status` is given.
    pub fn lines(&self, status: u16) -> &[u8] {
        if self.on_any_status || is_usual(status) { &self.lines } else { &[] }
    }

    fn copy_kept(&self, fields: Fields<'_>, out: &mut Vec<u8>) {
        super::app::copy_without(fields, out, |name| self.drops(name));
    }
}

/// The statuses for which nginx's `add_header` adds without `always`.
const fn is_usual(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

fn checked_name(name: &str) -> Result<Box<str>, String> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("\"{}\" is not the name of a field", name.escape_debug()));
    }
    let lower = name.to_ascii_lowercase();
    match RESERVED.contains(&lower.as_str()) {
        true => Err(format!("\"{name}\" belongs to the server: it frames the response or the connection")),
        false => Ok(lower.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &[u8] = b"Content-Type: text/html\r\nX-Powered-By: a\r\nx-powered-by: b\r\nVary: Cookie\r\n";

    fn ops(any: bool) -> HeaderOps {
        let mut ops = HeaderOps::new(any);
        ops.remove("X-Powered-By").unwrap();
        ops.set("Content-Type", "text/plain").unwrap();
        ops.add("Vary", "Accept").unwrap();
        ops
    }

    #[test]
    fn removes_sets_and_adds() {
        let mut fields = BEFORE.to_vec();
        ops(true).apply(500, &mut fields);
        assert_eq!(String::from_utf8(fields).unwrap(), "Vary: Cookie\r\nContent-Type: text/plain\r\nVary: Accept\r\n");
        let mut none = Vec::new();
        ops(true).apply(200, &mut none);
        assert_eq!(none, b"Content-Type: text/plain\r\nVary: Accept\r\n");
    }

    #[test]
    fn lines_can_be_kept_to_nginx_s_statuses() {
        for status in [200, 204, 206, 301, 304, 308] {
            assert!(!ops(false).lines(status).is_empty(), "{status}");
        }
        for status in [202, 400, 404, 416, 500, 503] {
            assert!(ops(false).lines(status).is_empty() && !ops(true).lines(status).is_empty(), "{status}");
        }
    }

    #[test]
    fn what_frames_a_response_can_not_be_touched() {
        for name in ["Content-Length", "TRANSFER-ENCODING", "connection", "Date", "Content-Range", "Upgrade"] {
            let mut ops = HeaderOps::default();
            assert!(ops.set(name, "1").is_err() && ops.add(name, "1").is_err() && ops.remove(name).is_err(), "{name}");
            assert!(ops.is_empty());
        }
    }

    #[test]
    fn names_and_values_keep_to_the_grammar() {
        let mut ops = HeaderOps::default();
        for (name, value) in
            [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\ny: z"), ("a", "x\0"), ("a", " x"), ("a", "x\t")]
        {
            assert!(ops.add(name, value).is_err(), "{name:?} {value:?}");
        }
        assert!(ops.is_empty());
        assert!(ops.add("a", "").is_ok() && ops.add("a", "x y\tz").is_ok());
    }
}
