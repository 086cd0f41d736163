//! Request heads. A verdict does not depend on how the bytes are cut and is never taken back, and facts agree with the bytes.
//!
//! Input: a byte that says where a cut is made, then what a client sent.

use maitred::http::head::{Head, Method, Parse, Version, may_complete, parse};
use maitred::http::{BodyFraming, Target};

use super::choices;

pub const TARGET: super::Target = super::Target {
    name: "head",
    run,
    seeds: &[
        b"\x20GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x80POST http://a:80/b?c HTTP/1.0\r\nContent-Length: 3\r\nConnection: close, keep-alive\r\nRange: bytes=0-1\r\n\r\nabc",
        b"\x80\r\nOPTIONS * HTTP/1.1\r\nhost: [::1]:8000\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    ],
    folders: &["tests/requests/valid", "tests/requests/invalid"],
};

fn run(input: &[u8]) {
    let Some(([cut], data)) = choices(input) else { return };
    let seen = data.len() * cut / 256;
    let (first, whole) = (parse(&data[..seen]), parse(data));
    match (&first, &whole) {
        // What is complete or refused stays so, whatever follows.
        (Ok(Parse::Complete { .. }), _) => assert_eq!(first, whole),
        (Err(_), _) => assert!(whole.is_err(), "refused, then {whole:?}"),
        (Ok(Parse::Partial), Ok(Parse::Complete { .. })) => assert!(may_complete(data, seen)),
        (Ok(Parse::Partial), _) => {}
    }
    let Ok(Parse::Complete { head, len }) = whole else { return };
    assert!(data[..len].ends_with(b"\r\n\r\n"));
    assert_eq!(parse(&data[..len - 1]), Ok(Parse::Partial));
    assert_eq!(parse(&data[..len]), Ok(Parse::Complete { head, len }));
    facts(&head);
}

/// What the head says of itself against what its fields say.
fn facts(head: &Head<'_>) {
    let mut lines = 0;
    for (name, value) in head.fields {
        lines += 1;
        assert!(!name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':'));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        assert!(value.first().is_none_or(|byte| !b" \t".contains(byte)));
    }
    assert_eq!(lines, head.fields.as_bytes().iter().filter(|byte| **byte == b'\n').count());
    assert!(head.authority.is_some() || head.version == Version::Http10);
    assert!(head.fields.all("host").count() <= 1 && head.fields.all("content-length").count() <= 1);
    match head.framing {
        BodyFraming::None => assert!(head.fields.first("content-length").is_none() && !coded(head)),
        BodyFraming::Length(length) => {
            let text = head.fields.only("content-length").expect("a length was given");
            assert_eq!(std::str::from_utf8(text).expect("digits").parse(), Ok(length));
            assert!(!coded(head));
        }
        BodyFraming::Chunked => assert!(coded(head) && head.version == Version::Http11),
    }
    assert!(!head.expect_continue || !matches!(head.framing, BodyFraming::None | BodyFraming::Length(0)));
    match head.target {
        Target::Origin(path_query) => {
            assert!(path_query.path.starts_with('/'));
            let query = path_query.query.map_or(String::new(), |query| format!("?{query}"));
            assert_eq!(format!("{}{query}", path_query.path), head.raw_target);
        }
        Target::Absolute(authority, path_query) => {
            assert!(path_query.path.starts_with('/') && head.authority == Some(authority));
        }
        Target::Authority(authority) => assert!(head.method == Method::Connect && authority.port.is_some()),
        Target::Asterisk => assert!(head.method == Method::Options && head.raw_target == "*"),
    }
}

fn coded(head: &Head<'_>) -> bool {
    head.fields.first("transfer-encoding").is_some()
}
