//! The field lines that an application wrote.
//!
//! Owns what an application may say about its response and what is the server's to say: framing and the connection (PEP 3333, 'Other HTTP
//! features'; RFC 9110 §7.6.1). A worker's interpreter can't be trusted to check them. It never writes a head: `response` does. Called by `wsgi`.

use std::fmt;

use memchr::memchr_iter;

use super::Fields;
use super::accel::is_accel;
use super::fields::is_value;
use super::framing::parse_length;
use crate::base::bounds::RESPONSE_FIELDS_MAX;

/// Fields that most responses have room in; more cost a second pass.
const FIELDS_USUAL: usize = 24;

/// Checked field lines and what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppFields<'b> {
    /// The reason phrase that the application has chosen.
    pub reason: Option<&'b [u8]>,
    /// The lines, each with its CRLF, without the empty line.
    pub fields: Fields<'b>,
    /// Content-Length, if given.
    pub content_length: Option<u64>,
    /// Whether Date is among them: the server doesn't add its own then.
    pub has_date: bool,
    /// Whether Server is among them: the server doesn't add its own then.
    pub has_server: bool,
    /// Whether the response is to pass through as it comes: `X-Accel-Buffering: no`, or a stream of events.
    pub is_unbuffered: bool,
    /// Whether fields are among them that only the server may send: the lines must be written with `copy_without`.
    pub has_hop_by_hop: bool,
    /// Whether orders to the server are among them (`accel`): as above.
    pub has_orders: bool,
}

/// Why a block of field lines is refused: the application's fault, answered with a 500 and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppFault {
    /// The lines break the grammar (RFC 9112 §5): a name that isn't a token, a control character, a line that doesn't end in CRLF,
    /// no empty line at the end or something behind it.
    Malformed,
    /// More than `RESPONSE_FIELDS_MAX` fields.
    TooMany,
    /// Content-Length isn't a number, or is given twice (RFC 9110 §8.6).
    Length,
}

/// Checks `block`: lines `Name: value CRLF`, then one empty line, and nothing more. Before them there may be a line without a name, whose value is the
/// reason phrase.
pub fn scan(block: &[u8]) -> Result<AppFields<'_>, AppFault> {
    if memchr_iter(b'\n', block).any(|at| at == 0 || block[at - 1] != b'\r') {
        return Err(AppFault::Malformed);
    }
    let (reason, lines) = split_reason(block)?;
    let found = match scan_up_to::<FIELDS_USUAL>(lines) {
        Err(AppFault::TooMany) => scan_up_to::<RESPONSE_FIELDS_MAX>(lines),
        result => result,
    };
    found.map(|found| AppFields { reason, ..found })
}

/// The reason phrase, if the block begins with one (RFC 9112 §4), and the lines behind it.
fn split_reason(block: &[u8]) -> Result<(Option<&[u8]>, &[u8]), AppFault> {
    let Some(rest) = block.strip_prefix(b":") else { return Ok((None, block)) };
    let end = memchr::memchr(b'\r', rest).ok_or(AppFault::Malformed)?;
    let (reason, rest) = rest.split_at(end);
    match rest.strip_prefix(b"\r\n") {
        Some(lines) if reason.iter().copied().all(is_value) => Ok((Some(reason), lines)),
        _ => Err(AppFault::Malformed),
    }
}

fn scan_up_to<const MAX: usize>(block: &[u8]) -> Result<AppFields<'_>, AppFault> {
    let mut slots = [httparse::EMPTY_HEADER; MAX];
    let headers = match httparse::parse_headers(block, &mut slots) {
        Ok(httparse::Status::Complete((len, headers))) if len == block.len() => headers,
        Err(httparse::Error::TooManyHeaders) => return Err(AppFault::TooMany),
        _ => return Err(AppFault::Malformed),
    };
    let mut found = AppFields {
        reason: None,
        fields: Fields::of_checked(&block[..block.len() - 2]),
        content_length: None,
        has_date: false,
        has_server: false,
        is_unbuffered: false,
        has_hop_by_hop: false,
        has_orders: false,
    };
    for header in headers {
        let name = header.name;
        match name.len() {
            4 if name.eq_ignore_ascii_case("date") => found.has_date = true,
            6 if name.eq_ignore_ascii_case("server") => found.has_server = true,
            12 if name.eq_ignore_ascii_case("content-type") => found.is_unbuffered |= is_event_stream(header.value),
            17 if name.eq_ignore_ascii_case("x-accel-buffering") => {
                found.is_unbuffered |= header.value.trim_ascii().eq_ignore_ascii_case(b"no");
                found.has_orders = true;
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                if found.content_length.is_some() {
                    return Err(AppFault::Length);
                }
                found.content_length = Some(parse_length(header.value).ok_or(AppFault::Length)?);
            }
            _ if matches!(name.as_bytes(), [b'x' | b'X', ..]) => found.has_orders |= is_accel(name.as_bytes()),
            _ => found.has_hop_by_hop |= is_hop_by_hop(name.as_bytes()),
        }
    }
    Ok(found)
}

/// The media type of server-sent events (WHATWG HTML, 'Server-sent events'), with or without parameters.
fn is_event_stream(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
    content_type[..end].trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Appends the lines of `fields` to `out`, without those whose names `left_out` picks.
pub fn copy_without(mut fields: Fields<'_>, out: &mut Vec<u8>, left_out: impl Fn(&[u8]) -> bool) {
    while let Some((line, (name, _))) = fields.next_line() {
        if !left_out(name) {
            out.extend_from_slice(line);
        }
    }
}

/// Whether an application may end a request with this status: three digits, and not interim (RFC 9110 §15, §15.2).
pub const fn is_final_status(status: u16) -> bool {
    200 <= status && status <= 999
}

/// Whether a field concerns one connection only (RFC 9110 §7.6.1, PEP 3333). `name` may be in any case.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        8 => is("trailers"),
        17 if is("transfer-encoding") => true,
        10 if is("connection") || is("keep-alive") => true,
        6.. => name[..6].eq_ignore_ascii_case(b"proxy-"),
        _ => false,
    }
}

impl fmt::Display for AppFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the application's header fields are malformed",
            Self::TooMany => "the application set too many header fields",
            Self::Length => "the application's Content-Length is not one number",
        })
    }
}

impl std::error::Error for AppFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts() {
        let found = scan(b"Content-Type: text/html\r\nContent-Length: 12\r\nX-A:\r\n\r\n").unwrap();
        assert_eq!(found.content_length, Some(12));
        assert!(!found.has_date && !found.has_server && !found.has_hop_by_hop);
        assert_eq!(found.fields.as_bytes(), b"Content-Type: text/html\r\nContent-Length: 12\r\nX-A:\r\n");

        let found = scan(b"date: x\r\nSERVER: y\r\n\r\n").unwrap();
        assert!(found.has_date && found.has_server && found.content_length.is_none());

        assert_eq!(scan(b"\r\n").unwrap().fields.count(), 0);
    }

    #[test]
    fn some_responses_pass_through_as_they_come() {
        for (field, is_unbuffered) in [
            ("Content-Type: text/event-stream", true),
            ("content-type: Text/Event-Stream ; charset=utf-8", true),
            ("Content-Type: text/event-streams", false),
            ("Content-Type: text/html", false),
            ("X-Accel-Buffering: no", true),
            ("x-accel-buffering: NO", true),
            ("X-Accel-Buffering: yes", false),
        ] {
            let block = format!("A: b\r\n{field}\r\n\r\n");
            assert_eq!(scan(block.as_bytes()).unwrap().is_unbuffered, is_unbuffered, "{field}");
        }
    }

    #[test]
    fn reasons() {
        let found = scan(b":Gone caf\xe9\r\nA: b\r\nContent-Length: 7\r\n\r\n").unwrap();
        assert_eq!((found.reason, found.content_length), (Some(&b"Gone caf\xe9"[..]), Some(7)));
        assert_eq!(found.fields.as_bytes(), b"A: b\r\nContent-Length: 7\r\n");
        assert_eq!(scan(b":\r\n\r\n").unwrap().reason, Some(&b""[..]));
        assert_eq!(scan(b"A: :b\r\n\r\n").unwrap().reason, None);
    }

    #[test]
    fn faults() {
        for (block, expected) in [
            (&b""[..], AppFault::Malformed),
            (b"A: b\r\n", AppFault::Malformed),
            (b"A: b\r\n\r\nC: d\r\n\r\n", AppFault::Malformed),
            (b"A: b\n\r\n", AppFault::Malformed),
            (b"A: b\r\n\n", AppFault::Malformed),
            (b"A: b\rc\r\n\r\n", AppFault::Malformed),
            (b"A: b\0\r\n\r\n", AppFault::Malformed),
            (b"A b: c\r\n\r\n", AppFault::Malformed),
            (b"A : c\r\n\r\n", AppFault::Malformed),
            (b"A: b\r\n c\r\n\r\n", AppFault::Malformed),
            (b"A: b\r\n: c\r\n\r\n", AppFault::Malformed),
            (b":\r\n", AppFault::Malformed),
            (b":OK", AppFault::Malformed),
            (b":O\0K\r\n\r\n", AppFault::Malformed),
            (b":OK\r\n:OK\r\n\r\n", AppFault::Malformed),
            (b"A\r\n\r\n", AppFault::Malformed),
            (b"Content-Length: x\r\n\r\n", AppFault::Length),
            (b"Content-Length: -1\r\n\r\n", AppFault::Length),
            (b"Content-Length: 1\r\ncontent-length: 1\r\n\r\n", AppFault::Length),
        ] {
            assert_eq!(scan(block), Err(expected), "{:?}", String::from_utf8_lossy(block));
        }
        let many = |count: usize| "Set-Cookie: a\r\n".repeat(count) + "\r\n";
        assert_eq!(scan(many(RESPONSE_FIELDS_MAX).as_bytes()).unwrap().fields.count(), RESPONSE_FIELDS_MAX);
        assert_eq!(scan(many(RESPONSE_FIELDS_MAX + 1).as_bytes()), Err(AppFault::TooMany));
    }

    #[test]
    fn statuses() {
        assert!(is_final_status(200) && is_final_status(999));
        assert!(!is_final_status(0) && !is_final_status(101) && !is_final_status(1000));
    }

    #[test]
    fn hop_by_hop_fields_are_left_out() {
        for name in [
            "Connection",
            "keep-alive",
            "Transfer-Encoding",
            "UPGRADE",
            "TE",
            "Trailer",
            "trailers",
            "Proxy-Connection",
            "Proxy-Authenticate",
        ] {
            let block = format!("A: 1\r\n{name}: x\r\nB: 2\r\n\r\n");
            let found = scan(block.as_bytes()).unwrap();
            assert!(found.has_hop_by_hop, "{name}");
            let mut out = Vec::new();
            copy_without(found.fields, &mut out, is_hop_by_hop);
            assert_eq!(out, b"A: 1\r\nB: 2\r\n", "{name}");
        }
        for name in ["Content-Type", "X-Connection", "Date", "Proxy", "Via", "ETag", "Location"] {
            assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
        }
    }
}
