//! What an application tells the server about its response: nginx's X-Accel fields, and X-Sendfile.
//!
//! Owns their names and values, and which of the application's other fields outlive an internal redirect. It never follows one: `shard` does. None
//! of these fields ever reaches a client.

use super::fields::{Fields, is_token};
use crate::base::bounds::CHARSET_BYTES_MAX;

/// The orders of one response. What is malformed is as if it weren't there, as in nginx. X-Accel-Expires is for a cache of responses; without one
/// it is only kept from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accel<'b> {
    /// X-Accel-Redirect: the target to serve instead.
    pub redirect: Option<&'b [u8]>,
    /// X-Sendfile: the file to serve instead.
    pub sendfile: Option<&'b [u8]>,
    /// X-Accel-Limit-Rate: bytes per second; 0 is none.
    pub limit_rate: Option<u64>,
    /// X-Accel-Charset: the charset that Content-Type shall name.
    pub charset: Option<&'b [u8]>,
}

/// Fields that the response after an internal redirect keeps from the one that asked for it, as nginx has them.
const KEPT: [&str; 6] =
    ["content-type", "content-disposition", "set-cookie", "cache-control", "accept-ranges", "expires"];
/// Fields of an application's error that the page in its place keeps: those that its status asks for (RFC 9110 §11.6.1, §10.2.1, §10.2.3), and
/// cookies.
const KEPT_BY_PAGE: [&str; 4] = ["www-authenticate", "allow", "retry-after", "set-cookie"];

impl<'b> Accel<'b> {
    /// Reads the orders in `fields`; of a field that is repeated the first counts.
    pub fn of(fields: Fields<'b>) -> Accel<'b> {
        Accel {
            redirect: fields.first("x-accel-redirect").filter(|value| !value.is_empty()),
            sendfile: fields.first("x-sendfile").filter(|value| !value.is_empty()),
            limit_rate: fields.first("x-accel-limit-rate").and_then(number),
            charset: fields.first("x-accel-charset").filter(|value| {
                let allowed = value.len() <= CHARSET_BYTES_MAX && value.iter().copied().all(is_token);
                allowed && !value.is_empty() && !value.eq_ignore_ascii_case(b"off")
            }),
        }
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Whether a field is an order to the server. `name` may be in any case.
pub fn is_accel(name: &[u8]) -> bool {
    let begins = |prefix: &[u8]| name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix);
    begins(b"x-accel-") || name.eq_ignore_ascii_case(b"x-sendfile")
}

/// The lines of `fields` that outlive an internal redirect. An empty Content-Type leaves the type to the file.
pub fn kept(fields: Fields<'_>) -> Vec<u8> {
    copy(fields, |name, value| !value.is_empty() && KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes())))
}

/// The lines of `fields` that the page in place of an error keeps.
pub fn kept_by_page(fields: Fields<'_>) -> Vec<u8> {
    copy(fields, |name, _| KEPT_BY_PAGE.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes())))
}

/// Puts `kept` lines over those in `fields` that have the same names. An error only gets cookies and what a page keeps, since the rest spoke of
/// something else, and a 304 nothing that describes a body (RFC 9110 §15.4.5). The parts of several ranges keep their frame.
pub fn merge(fields: &mut Vec<u8>, kept: &[u8], status: u16) {
    let framed = Fields::of_checked(fields)
        .first("content-type")
        .is_some_and(|value| value.len() >= 10 && value[..10].eq_ignore_ascii_case(b"multipart/"));
    let is = |name: &[u8], names: &[&str]| names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()));
    let kept = copy(Fields::of_checked(kept), |name, _| match status {
        400.. => is(name, &KEPT_BY_PAGE),
        304 => !is(name, &["content-type", "content-disposition"]),
        _ => !(framed && is(name, &["content-type"])),
    });
    let over = |name: &[u8]| {
        !is(name, &["set-cookie"]) && Fields::of_checked(&kept).any(|(other, _)| other.eq_ignore_ascii_case(name))
    };
    let mut merged = copy(Fields::of_checked(fields), |name, _| !over(name));
    merged.extend_from_slice(&kept);
    *fields = merged;
}

/// Has Content-Type name `charset`, in place of any that it names.
pub fn set_charset(fields: &mut Vec<u8>, charset: &[u8]) {
    let Some(value) = Fields::of_checked(fields).first("content-type").filter(|value| !value.is_empty()) else {
        return;
    };
    let mut line = b"Content-Type: ".to_vec();
    let is_charset = |parameter: &[u8]| {
        let parameter = parameter.trim_ascii();
        parameter.len() >= 8 && parameter[..8].eq_ignore_ascii_case(b"charset=")
    };
    let mut parts = value.split(|&byte| byte == b';').filter(|part| !is_charset(part));
    line.extend_from_slice(parts.next().unwrap_or_default().trim_ascii());
    for part in parts {
        line.push(b';');
        line.extend_from_slice(part);
    }
    line.extend_from_slice(b"; charset=");
    line.extend_from_slice(charset);
    line.extend_from_slice(b"\r\n");
    let mut changed = copy(Fields::of_checked(fields), |name, _| !name.eq_ignore_ascii_case(b"content-type"));
    changed.extend_from_slice(&line);
    *fields = changed;
}

/// The lines whose field `wanted` picks.
fn copy(mut fields: Fields<'_>, wanted: impl Fn(&[u8], &[u8]) -> bool) -> Vec<u8> {
    let mut lines = Vec::new();
    while let Some((line, (name, value))) = fields.next_line() {
        if wanted(name, value) {
            lines.extend_from_slice(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: Vec<u8>) -> String {
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn orders_are_read_and_malformed_ones_ignored() {
        let block =
            b"X-Accel-Redirect: /a b\r\nx-sendfile: /srv/x\r\nX-Accel-Limit-Rate: 1024\r\nX-Accel-Charset: koi8-r\r\n";
        let accel = Accel::of(Fields::of_checked(block));
        let redirect = Some(&b"/a b"[..]);
        let expected = Accel { redirect, sendfile: Some(b"/srv/x"), limit_rate: Some(1024), charset: Some(b"koi8-r") };
        assert_eq!(accel, expected);
        let long = |count| format!("X-Accel-Charset: {}\r\n", "a".repeat(count));
        assert!(Accel::of(Fields::of_checked(long(CHARSET_BYTES_MAX).as_bytes())).charset.is_some());
        for block in [
            long(CHARSET_BYTES_MAX + 1).as_bytes(),
            &b"X-Accel-Redirect:\r\nX-Sendfile: \r\n"[..],
            b"X-Accel-Limit-Rate: 1k\r\n",
            b"X-Accel-Limit-Rate: -1\r\n",
            b"X-Accel-Limit-Rate: 99999999999999999999\r\n",
            b"X-Accel-Charset: off\r\n",
            b"X-Accel-Charset: a; b\r\n",
        ] {
            assert_eq!(Accel::of(Fields::of_checked(block)), Accel::default(), "{}", String::from_utf8_lossy(block));
        }
    }

    #[test]
    fn orders_are_known_by_name() {
        for name in ["X-Accel-Redirect", "x-accel-expires", "X-ACCEL-BUFFERING", "X-Accel-Anything", "X-Sendfile"] {
            assert!(is_accel(name.as_bytes()), "{name}");
        }
        for name in ["X-Accel", "X-Sendfiles", "Accept-Ranges", "X-A"] {
            assert!(!is_accel(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn some_fields_outlive_a_redirect() {
        let block = b"Content-Type: image/png\r\nContent-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nETag: \"x\"\r\nX-A: b\r\n\
                      Content-Disposition: attachment\r\nVary: Cookie\r\nLast-Modified: x\r\nAllow: GET\r\n";
        let lines = kept(Fields::of_checked(block));
        let expected =
            "Content-Type: image/png\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Disposition: attachment\r\n";
        assert_eq!(text(lines.clone()), expected);
        assert_eq!(text(kept(Fields::of_checked(b"Content-Type:\r\n"))), "");
        let merged = |fields: &[u8], status| {
            let mut fields = fields.to_vec();
            merge(&mut fields, &lines, status);
            text(fields)
        };
        assert_eq!(merged(b"content-type: text/css\r\nETag: \"y\"\r\n", 200), format!("ETag: \"y\"\r\n{expected}"));
        assert_eq!(merged(b"Set-Cookie: c\r\n", 404), "Set-Cookie: c\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n");
        assert_eq!(merged(b"ETag: \"y\"\r\n", 304), "ETag: \"y\"\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n");
        assert!(merged(b"Content-Type: multipart/byteranges; boundary=x\r\n", 206).contains("boundary=x"));
    }

    #[test]
    fn a_charset_replaces_another() {
        for (before, after) in [
            ("text/html", "text/html; charset=koi8-r"),
            ("text/html; charset=utf-8", "text/html; charset=koi8-r"),
            ("text/html; Charset=utf-8; x=y", "text/html; x=y; charset=koi8-r"),
        ] {
            let mut fields = format!("A: b\r\ncontent-type: {before}\r\n").into_bytes();
            set_charset(&mut fields, b"koi8-r");
            assert_eq!(text(fields), format!("A: b\r\nContent-Type: {after}\r\n"));
        }
        let mut none = b"A: b\r\n".to_vec();
        set_charset(&mut none, b"koi8-r");
        assert_eq!(text(none), "A: b\r\n");
    }
}
