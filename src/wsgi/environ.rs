//! One request's part of the WSGI environ, encoded for the worker (PEP 3333, RFC 3875 §4.1).
//!
//! Owns the rules by which fields become keys. Never looks at a body, never adds what is the same for all requests
//! (`wsgi.version`, `wsgi.errors`, …): the worker does. Called by [`super::messages::encode_request`].

use super::marshal;
use crate::base::bounds::FIELDS_MAX;

/// What a shard knows of a request. All text is bytes as they came in: the worker sees them as latin-1 (PEP 3333, "Unicode issues").
#[derive(Clone, Copy, Debug)]
pub struct Environ<'a> {
    /// `REQUEST_METHOD`.
    pub method: &'a [u8],
    /// `RAW_URI`: the request target, untouched.
    pub target: &'a [u8],
    /// `SCRIPT_NAME`: the path prefix under which the application is mounted, without a slash at its end; often empty.
    pub script_name: &'a [u8],
    /// `PATH_INFO`: the rest of the path, percent-decoded.
    pub path: &'a [u8],
    /// `QUERY_STRING`, without the question mark, not decoded.
    pub query: &'a [u8],
    /// `SERVER_PROTOCOL`: `HTTP/1.1`.
    pub protocol: &'a str,
    /// `REMOTE_ADDR`; empty for a peer without an address.
    pub remote_address: &'a str,
    /// `REMOTE_PORT`; empty for a peer without a port.
    pub remote_port: &'a str,
    /// `SERVER_NAME`.
    pub server_name: &'a str,
    /// `SERVER_PORT`.
    pub server_port: &'a str,
    /// `wsgi.url_scheme`: `http` or `https`.
    pub scheme: &'a str,
    /// `CONTENT_LENGTH`: the body's bytes after any transfer coding was taken off; `None` when the request has no body.
    /// The `Content-Length` field itself is not looked at.
    pub content_length: Option<u64>,
    /// `HTTP_X_REQUEST_ID`; empty for none.
    pub request_id: &'a [u8],
    /// Further variables: `HTTPS`, `SSL_…`. Their names are the server's own.
    pub variables: &'a [(&'a [u8], &'a [u8])],
    /// Name and value of every field, in the order of arrival; at most [`FIELDS_MAX`].
    pub fields: &'a [(&'a [u8], &'a [u8])],
}

impl Environ<'_> {
    /// Writes the environ as a `marshal` dict.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        marshal::dict(out);
        let texts: [(&[u8], &[u8]); 11] = [
            (key!("REQUEST_METHOD"), self.method),
            (key!("SCRIPT_NAME"), self.script_name),
            (key!("PATH_INFO"), self.path),
            (key!("QUERY_STRING"), self.query),
            (key!("RAW_URI"), self.target),
            (key!("SERVER_PROTOCOL"), self.protocol.as_bytes()),
            (key!("REMOTE_ADDR"), self.remote_address.as_bytes()),
            (key!("REMOTE_PORT"), self.remote_port.as_bytes()),
            (key!("SERVER_NAME"), self.server_name.as_bytes()),
            (key!("SERVER_PORT"), self.server_port.as_bytes()),
            (key!("wsgi.url_scheme"), self.scheme.as_bytes()),
        ];
        for (key, value) in texts {
            out.extend_from_slice(key);
            marshal::text(out, value);
        }
        if let Some(length) = self.content_length {
            out.extend_from_slice(key!("CONTENT_LENGTH"));
            marshal::text(out, itoa::Buffer::new().format(length).as_bytes());
        }
        if !self.request_id.is_empty() {
            out.extend_from_slice(key!("HTTP_X_REQUEST_ID"));
            marshal::text(out, self.request_id);
        }
        for (name, value) in self.variables {
            marshal::text(out, name);
            marshal::text(out, value);
        }
        self.encode_fields(out);
        out.push(marshal::DICT_END);
    }

    /// Fields of one name become one key with their values joined (RFC 9110 §5.3; cookies as in RFC 6265 §5.4).
    fn encode_fields(&self, out: &mut Vec<u8>) {
        debug_assert!(self.fields.len() <= FIELDS_MAX, "the head's bound");
        let mut written: u128 = 0;
        for (index, &(name, value)) in self.fields.iter().enumerate().take(FIELDS_MAX) {
            if written & (1 << index) != 0 || !is_passed_on(name) {
                continue;
            }
            let same = |other: &(&[u8], &[u8])| other.0.eq_ignore_ascii_case(name);
            let rest = &self.fields[index + 1..];
            let mut repeats = 0;
            for (offset, other) in rest.iter().enumerate() {
                if same(other) {
                    // A field beyond FIELDS_MAX is never visited, so it needs no mark.
                    written |= 1_u128.checked_shl((index + 1 + offset) as u32).unwrap_or(0);
                    repeats += 1;
                }
            }
            if name.eq_ignore_ascii_case(b"content-type") {
                // Not a list: as in gunicorn, the last one counts.
                let last = rest.iter().rev().find(|other| same(other)).map_or(value, |other| other.1);
                out.extend_from_slice(key!("CONTENT_TYPE"));
                marshal::text(out, last);
                continue;
            }
            encode_field_key(out, name);
            if repeats == 0 {
                marshal::text(out, value);
                continue;
            }
            let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b"," };
            let others = rest.iter().filter(|other| same(other)).map(|other| other.1);
            marshal::text_joined(out, std::iter::once(value).chain(others), separator);
        }
    }
}

const _: () = assert!(FIELDS_MAX <= u128::BITS as usize);

/// Whether a field may appear in the environ at all.
///
/// A name with `_` could pass for one with `-`. `Proxy` would become `HTTP_PROXY`, which clients in the application take for
/// their proxy's address (CVE-2016-1000110). `Content-Length` comes from the framing.
fn is_passed_on(name: &[u8]) -> bool {
    !name.contains(&b'_') && !name.eq_ignore_ascii_case(b"proxy") && !name.eq_ignore_ascii_case(b"content-length")
}

const FIELD_PREFIX: &[u8] = b"HTTP_";

/// `HTTP_` and the name in upper case with `_` for `-` (RFC 3875 §4.1.18).
///
/// Keys are not marked for interning: CPython 3.12 and later never free what `marshal` interned, and a client can make up as
/// many names as it likes. For the constant keys too it costs the worker more than it saves (measured: 0.2 µs a request).
fn encode_field_key(out: &mut Vec<u8>, name: &[u8]) {
    let length = FIELD_PREFIX.len() + name.len();
    match u8::try_from(length) {
        Ok(short) => out.extend_from_slice(&[b'z', short]),
        Err(_) => {
            out.push(b'a');
            let length = u32::try_from(length).expect("a head is far below 4 GiB");
            out.extend_from_slice(&length.to_le_bytes());
        }
    }
    out.extend_from_slice(FIELD_PREFIX);
    out.extend(name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }));
}

/// A constant key, ready to be copied: a short ASCII str.
const fn encode_key<const N: usize>(name: &[u8]) -> [u8; N] {
    assert!(N == name.len() + 2 && name.len() < 256);
    let mut encoded = [0; N];
    encoded[0] = b'z';
    encoded[1] = name.len() as u8;
    let mut index = 0;
    while index < name.len() {
        encoded[index + 2] = name[index];
        index += 1;
    }
    encoded
}

/// [`encode_key`] at compile time.
macro_rules! key {
    ($name:literal) => {{
        const KEY: [u8; $name.len() + 2] = encode_key($name.as_bytes());
        &KEY
    }};
}
use key;
