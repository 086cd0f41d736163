//! Heads of responses, written into a buffer that the caller owns (RFC 9112 §4 – §6, RFC 9110 §15).
//!
//! Owns status lines, the fields that every response carries, and small complete error responses. It never sends and never asks for the
//! time. Called by the handlers and by `shard`. The parts of a head can be written one by one, so that a handler may keep what
//! doesn't change from one response to the next.

use super::date::DateText;
use super::fields::{is_token, is_value};
use super::{Method, Reject, Version};

/// The Server field's value.
pub const SERVER: &str = "maitred";
/// The interim response to an expectation (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Seconds after which a client that was refused for want of capacity may come back (RFC 9110 §10.2.3).
const RETRY_AFTER_SECONDS: &[u8] = b"1";

/// How the body of a response is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// The status or the method rules a body out, and no field speaks of one.
    None,
    /// Content-Length, also as what a body would have had (HEAD, 304).
    Exact(u64),
    /// The chunked transfer coding; never to HTTP/1.0.
    Chunked,
    /// The end of the connection: for bodies of unknown length to HTTP/1.0.
    UntilClose,
}

impl BodyLength {
    /// How a response that may have a body is delimited, given its length if that is known. `UntilClose` means that the connection
    /// can't be kept, whatever the client wants.
    pub fn choose(version: Version, status: u16, length: Option<u64>) -> Self {
        match (length, version) {
            // RFC 9110 §8.6: never a Content-Length with 1xx and 204.
            _ if status < 200 || status == 204 => Self::None,
            (Some(length), _) => Self::Exact(length),
            (None, _) if status == 304 => Self::None,
            (None, Version::Http11) => Self::Chunked,
            (None, Version::Http10) => Self::UntilClose,
        }
    }
}

/// Whether the response to `method` with `status` has a body at all (RFC 9112 §6.3, item 1).
pub fn has_body(method: Method, status: u16) -> bool {
    method != Method::Head && status >= 200 && status != 204 && status != 304
}

/// Writes one head at the end of a buffer, part by part. The caller keeps the order: status line, fields, `finish`.
#[must_use = "a head ends with finish"]
pub struct HeadWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> HeadWriter<'o> {
    /// Writes the status line. `status` must have three digits. The version is the server's own, 1.1, whatever the client's
    /// (RFC 9110 §6.2).
    pub fn start(out: &'o mut Vec<u8>, status: u16) -> Self {
        assert!((100..=999).contains(&status), "a status has three digits");
        match status {
            200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
            _ => return Self::start_with(out, status, reason_phrase(status).as_bytes()),
        }
        Self { out }
    }

    /// As [`HeadWriter::start`], with another reason phrase, free of control characters.
    pub fn start_with(out: &'o mut Vec<u8>, status: u16, reason: &[u8]) -> Self {
        assert!((100..=999).contains(&status), "a status has three digits");
        debug_assert!(reason.iter().copied().all(is_value), "a reason phrase holds no control characters");
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// Goes on with a head whose beginning stands in `out` already.
    pub fn resume(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// The Date field (RFC 9110 §6.6.1).
    pub fn date(self, date: &DateText) -> Self {
        self.out.extend_from_slice(b"Date: ");
        self.out.extend_from_slice(date);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// The Server field (RFC 9110 §10.2.4).
    pub fn server(self) -> Self {
        self.out.extend_from_slice(b"Server: ");
        self.out.extend_from_slice(SERVER.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// The Connection field where it must be said: `close`, or `keep-alive` to HTTP/1.0 (RFC 9112 §9.3, §9.6).
    pub fn connection(self, version: Version, keep_alive: bool) -> Self {
        match (version, keep_alive) {
            (Version::Http11, true) => {}
            (Version::Http10, true) => self.out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (_, false) => self.out.extend_from_slice(b"Connection: close\r\n"),
        }
        self
    }

    /// Content-Length, Transfer-Encoding or neither.
    pub fn body(self, length: BodyLength) -> Self {
        match length {
            BodyLength::None | BodyLength::UntilClose => {}
            BodyLength::Chunked => self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            BodyLength::Exact(length) => {
                self.out.extend_from_slice(b"Content-Length: ");
                self.out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
        self
    }

    /// Any other field. The name must be a token and the value free of control characters: they are the server's own or were checked.
    pub fn field(self, name: &str, value: &[u8]) -> Self {
        debug_assert!(!name.is_empty() && name.bytes().all(is_token), "a field name is a token");
        debug_assert!(value.iter().copied().all(is_value), "a field value holds no control characters");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Checked field lines, each with its CRLF, such as `app::AppFields::fields` holds.
    pub fn lines(self, lines: &[u8]) -> Self {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\r\n"), "a field line ends in CRLF");
        debug_assert!(!lines.starts_with(b"\r\n"), "field lines don't include the empty line");
        self.out.extend_from_slice(lines);
        self
    }

    /// The empty line.
    pub fn finish(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A small complete response that the server makes itself.
#[derive(Clone, Copy, Debug)]
pub struct ErrorResponse<'a> {
    /// Three digits, of a status that allows a body.
    pub status: u16,
    /// A sentence below the status: the server's own words, free of HTML's special characters.
    pub detail: &'a str,
    /// The Date field.
    pub date: &'a DateText,
    /// The client's version.
    pub version: Version,
    /// Whether the connection goes on.
    pub keep_alive: bool,
    /// Whether the body is left out, as HEAD asks.
    pub head_only: bool,
    /// Further fields that the status asks for, such as Allow or Location.
    pub fields: &'a [(&'a str, &'a [u8])],
}

impl ErrorResponse<'_> {
    /// Appends head and body.
    pub fn write(&self, out: &mut Vec<u8>) {
        let phrase = reason_phrase(self.status);
        let mut digits = itoa::Buffer::new();
        let status = digits.format(self.status);
        let (open, title_end, close) = (
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>",
            "</title></head>\n<body>\n<h1>",
            "</h1>\n",
        );
        let (detail_open, detail_close, end) = match self.detail.is_empty() {
            true => ("", "", "</body>\n</html>\n"),
            false => ("<p>", "</p>\n", "</body>\n</html>\n"),
        };
        let parts = [
            open,
            status,
            " ",
            phrase,
            title_end,
            status,
            " ",
            phrase,
            close,
            detail_open,
            self.detail,
            detail_close,
            end,
        ];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut head = HeadWriter::start(out, self.status)
            .date(self.date)
            .server()
            .connection(self.version, self.keep_alive)
            .field("Content-Type", b"text/html; charset=utf-8")
            .body(BodyLength::Exact(length as u64));
        for (name, value) in self.fields {
            head = head.field(name, value);
        }
        head.finish();
        if !self.head_only {
            parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        }
    }
}

/// Appends the whole answer to a refused request; the connection closes after it. A `MethodNotAllowed` must name the methods that are:
/// it is written as an `ErrorResponse` with Allow instead (RFC 9110 §15.5.6). `head_only`: the method was HEAD, so there is no body (RFC 9110
/// §9.3.2).
pub fn write_reject(out: &mut Vec<u8>, reject: Reject, date: &DateText, head_only: bool) {
    debug_assert!(reject != Reject::MethodNotAllowed, "a 405 carries Allow");
    let retry: &[(&str, &[u8])] = &[("Retry-After", RETRY_AFTER_SECONDS)];
    ErrorResponse {
        status: reject.status(),
        detail: reject.reason(),
        date,
        version: Version::Http11,
        keep_alive: false,
        head_only,
        fields: if reject.status() == 503 { retry } else { &[] },
    }
    .write(out);
}

/// The reason phrase of a registered status (RFC 9110 §15 and the IANA registry); empty for others, which RFC 9112 §4 allows.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date;

    #[test]
    fn a_head_part_by_part() {
        let mut out = b"before".to_vec();
        HeadWriter::start(&mut out, 200)
            .date(&date::format(784_111_777))
            .server()
            .connection(Version::Http10, true)
            .body(BodyLength::Exact(12))
            .field("Content-Type", b"text/plain")
            .lines(b"A: b\r\nC: d\r\n")
            .finish();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "beforeHTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: maitred\r\nConnection: keep-alive\r\n\
             Content-Length: 12\r\nContent-Type: text/plain\r\nA: b\r\nC: d\r\n\r\n"
        );
    }

    #[test]
    fn status_lines() {
        for (status, line) in
            [(404, "HTTP/1.1 404 Not Found\r\n"), (299, "HTTP/1.1 299 \r\n"), (999, "HTTP/1.1 999 \r\n")]
        {
            let mut out = Vec::new();
            let _ = HeadWriter::start(&mut out, status);
            assert_eq!(out, line.as_bytes());
        }
    }

    #[test]
    fn connection_is_said_where_it_must_be() {
        for (version, keep_alive, line) in [
            (Version::Http11, true, ""),
            (Version::Http11, false, "Connection: close\r\n"),
            (Version::Http10, true, "Connection: keep-alive\r\n"),
            (Version::Http10, false, "Connection: close\r\n"),
        ] {
            let mut out = Vec::new();
            let _ = HeadWriter::resume(&mut out).connection(version, keep_alive);
            assert_eq!(out, line.as_bytes());
        }
    }

    #[test]
    fn body_lengths() {
        use BodyLength::*;
        for (version, status, length, expected) in [
            (Version::Http11, 200, Option::Some(5), Exact(5)),
            (Version::Http11, 200, Option::None, Chunked),
            (Version::Http10, 200, Option::None, UntilClose),
            (Version::Http11, 204, Option::Some(0), None),
            (Version::Http11, 103, Option::None, None),
            (Version::Http11, 304, Option::None, None),
            (Version::Http11, 304, Option::Some(5), Exact(5)),
        ] {
            assert_eq!(BodyLength::choose(version, status, length), expected, "{version:?} {status} {length:?}");
        }
        assert!(has_body(Method::Get, 200) && has_body(Method::Post, 404));
        assert!(!has_body(Method::Head, 200) && !has_body(Method::Get, 304) && !has_body(Method::Get, 204));
    }

    #[test]
    fn refusals() {
        for (reject, status) in
            [(Reject::HostMissing, "400 Bad Request"), (Reject::QueueFull, "503 Service Unavailable")]
        {
            let mut out = Vec::new();
            write_reject(&mut out, reject, &date::format(0), false);
            let text = String::from_utf8(out).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
            assert!(head.contains("\r\nConnection: close"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
            assert_eq!(head.contains("\r\nRetry-After: 1"), reject == Reject::QueueFull);
            assert!(body.contains(reject.reason()) && body.contains(status));
        }
    }

    #[test]
    fn head_only() {
        let mut out = Vec::new();
        let date = date::format(0);
        ErrorResponse {
            status: 405,
            detail: "",
            date: &date,
            version: Version::Http11,
            keep_alive: true,
            head_only: true,
            fields: &[("Allow", b"GET, HEAD")],
        }
        .write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\nAllow: GET, HEAD\r\n\r\n") && !text.contains("Connection:"), "{text}");
    }
}
