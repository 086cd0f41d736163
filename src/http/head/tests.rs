//! Tables and properties of head parsing.

use super::*;
use proptest::prelude::*;

fn head(buf: &[u8]) -> Head<'_> {
    match parse(buf) {
        Ok(Parse::Complete { head, len }) if len == buf.len() => head,
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(buf)),
    }
}

fn reject(buf: &[u8]) -> Reject {
    match parse(buf) {
        Err(reject) => reject,
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(buf)),
    }
}

/// The head of `fields` after a request line of `version`.
fn with(version: &str, fields: &str) -> Vec<u8> {
    format!("POST / {version}\r\n{fields}\r\n").into_bytes()
}

#[test]
fn a_later_minor_version_is_taken_as_the_last_known_one() {
    let buf = b"\r\nPUT /a?b HTTP/1.7\r\nHost: example.com\r\nContent-Length: 3\r\nX: y\r\n\r\n";
    let later = head(buf);
    let known = String::from_utf8_lossy(buf).replace("1.7", "1.1");
    assert_eq!(later, head(known.as_bytes()));
    assert!(later.keep_alive && later.version == Version::Http11);
    for cut in 0..buf.len() {
        assert_eq!(parse(&buf[..cut]), Ok(Parse::Partial), "cut at {cut}");
    }
    assert_eq!(reject(b"GET  / HTTP/1.7\r\nHost: a\r\n\r\n"), Reject::RequestLine);
    assert_eq!(reject(b"GET / HTTP/1.7\r\nHost : a\r\n\r\n"), Reject::FieldName);
    assert_eq!(reject(b"GET / HTTP/1.7\r\nHost: a\nb: c\r\n\r\n"), Reject::BareLineFeed);
    let many = format!("GET / HTTP/1.7\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX));
    assert_eq!(reject(many.as_bytes()), Reject::FieldsTooMany);
    let long = format!("GET /{} HTTP/1.7\r\nHost: a\r\n\r\n", "a".repeat(TARGET_BYTES_MAX));
    assert_eq!(reject(long.as_bytes()), Reject::TargetTooLong);
}

#[test]
fn facts_of_a_head() {
    let buf =
        b"POST /a?b HTTP/1.1\r\nHost: Example.com:81\r\nContent-Length: 3\r\nEXPECT: 100-Continue\r\nx:\r\n\r\nabcGET";
    let Ok(Parse::Complete { head, len }) = parse(buf) else { panic!("complete") };
    assert_eq!(&buf[len..], b"abcGET");
    assert_eq!((head.method, head.method_name, head.version), (Method::Post, "POST", Version::Http11));
    assert_eq!(head.raw_target, "/a?b");
    assert_eq!(head.framing, BodyFraming::Length(3));
    assert_eq!(head.authority.map(|a| (a.raw, a.host, a.port)), Some(("Example.com:81", "Example.com", Some(81))));
    assert!(head.keep_alive && head.expect_continue && !head.conditional);
    assert_eq!(head.fields.count(), 4);
    assert_eq!(head.fields.first("x"), Some(&b""[..]));
}

#[test]
fn no_fields() {
    let bare = head(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!((bare.fields.count(), bare.authority, bare.keep_alive), (0, None, false));
    assert_eq!(reject(b"GET / HTTP/1.1\r\n\r\n"), Reject::HostMissing);
}

#[test]
fn one_empty_line_is_skipped() {
    assert_eq!(head(b"\r\nGET / HTTP/1.0\r\n\r\n").method, Method::Get);
    assert_eq!(reject(b"\r\n\r\nGET / HTTP/1.0\r\n\r\n"), Reject::LeadingEmptyLines);
    assert_eq!(reject(b"\nGET / HTTP/1.0\r\n\r\n"), Reject::BareLineFeed);
    assert_eq!(reject(b"\rGET / HTTP/1.0\r\n\r\n"), Reject::RequestLine);
    for (partial, idle) in [(&b""[..], true), (b"\r", true), (b"\r\n", true), (b"\r\nG", false)] {
        assert_eq!((parse(partial), is_idle(partial)), (Ok(Parse::Partial), idle));
    }
}

#[test]
fn connection() {
    for (version, fields, keep_alive) in [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: Foo, CLOSE\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("HTTP/1.1", "Connection: closed\r\n", true),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
        ("HTTP/1.0", "Connection: close, keep-alive\r\n", false),
    ] {
        assert_eq!(head(&with(version, &format!("Host: a\r\n{fields}"))).keep_alive, keep_alive, "{version} {fields}");
    }
}

#[test]
fn expectations() {
    let expects = |version, fields: &str| {
        parse(&with(version, &format!("Host: a\r\n{fields}"))).map(|parse| match parse {
            Parse::Complete { head, .. } => head.expect_continue,
            Parse::Partial => panic!("complete"),
        })
    };
    assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n"), Ok(true));
    assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"), Ok(true));
    assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n"), Ok(false));
    assert_eq!(expects("HTTP/1.1", "Expect: 100-continue\r\n"), Ok(false));
    assert_eq!(expects("HTTP/1.1", "Expect: 200-ok\r\n"), Err(Reject::ExpectationUnknown));
    assert_eq!(expects("HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n"), Ok(false));
}

#[test]
fn hosts() {
    for (fields, expected) in [
        ("", Reject::HostMissing),
        ("Host:\r\n", Reject::HostMalformed),
        ("Host: a\r\nHost: a\r\n", Reject::HostRepeated),
        ("Host: a, b\r\n", Reject::HostMalformed),
        ("Host: a/b\r\n", Reject::HostMalformed),
    ] {
        assert_eq!(reject(&with("HTTP/1.1", fields)), expected, "{fields}");
    }
    assert_eq!(reject(&with("HTTP/1.0", "Host: a\r\nHost: b\r\n")), Reject::HostRepeated);
    let absolute = head(b"GET http://real/ HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(absolute.authority.map(|a| a.raw), Some("real"));
}

#[test]
fn conditional_fields_are_noticed() {
    for name in ["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "if-unmodified-since"] {
        assert!(head(&with("HTTP/1.0", &format!("{name}: x\r\n"))).conditional, "{name}");
    }
}

#[test]
fn malformed() {
    for (buf, expected) in [
        (&b"GET  / HTTP/1.0\r\n\r\n"[..], Reject::RequestLine),
        (b" GET / HTTP/1.0\r\n\r\n", Reject::RequestLine),
        (b"GET /  HTTP/1.0\r\n\r\n", Reject::RequestLine),
        (b"GET / HTTP/1.0 \r\n\r\n", Reject::RequestLine),
        (b"GET / HTTP/1.0\n\r\n", Reject::BareLineFeed),
        (b"GET / HTTP/1.0\r\nA: b\n\r\n", Reject::BareLineFeed),
        (b"GET / HTTP/1.0\r\nA: b\r\n\n", Reject::BareLineFeed),
        (b"GET / HTTP/1.0\r\nA: b\nC:", Reject::BareLineFeed),
        (b"GET / HTTP/1.0\r\r\n\r\n", Reject::RequestLine),
        (b"GET / HTTP/1.0\r\nA: b\rc\r\n\r\n", Reject::FieldValue),
        (b"GET / HTTP/1.0\r\nA: b\0c\r\n\r\n", Reject::FieldValue),
        (b"GET / HTTP/1.0\r\nA: b\x7fc\r\n\r\n", Reject::FieldValue),
        (b"GET / HTTP/1.0\r\nA : b\r\n\r\n", Reject::FieldName),
        (b"GET / HTTP/1.0\r\n A: b\r\n\r\n", Reject::FieldName),
        (b"GET / HTTP/1.0\r\nA: b\r\n c\r\n\r\n", Reject::FieldName),
        (b"GET / HTTP/1.0\r\nA\r\n\r\n", Reject::FieldName),
        (b"GET / HTTP/1.0\r\n: b\r\n\r\n", Reject::FieldName),
        (b"GET /\r\n\r\n", Reject::RequestLine),
        (b"GET / http/1.0\r\n\r\n", Reject::RequestLine),
        (b"GET / FTP/1.0\r\n\r\n", Reject::RequestLine),
        (b"GET / HTTP/2.0\r\n\r\n", Reject::VersionUnsupported),
        (b"GET / HTTP/1.2\n\r\n", Reject::BareLineFeed),
        (b"GET / HTTP/1.22\r\n\r\n", Reject::RequestLine),
        (b"GET / HTTP/1.2\r\n\r\n", Reject::HostMissing),
        (b"GET / HTTP/0.9\r\n\r\n", Reject::VersionUnsupported),
        (b"GET / HTTP/2\r\n\r\n", Reject::VersionUnsupported),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reject::VersionUnsupported),
        (b"\x16\x03\x01\x02\x00\x01\x00", Reject::TlsOnPlainPort),
        (b"G(T / HTTP/1.0\r\n\r\n", Reject::RequestLine),
    ] {
        assert_eq!(reject(buf), expected, "{:?}", String::from_utf8_lossy(buf));
    }
}

#[test]
fn bounds_of_whole_heads() {
    let target = |len: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(len - 1)).into_bytes();
    assert_eq!(head(&target(TARGET_BYTES_MAX)).raw_target.len(), TARGET_BYTES_MAX);
    assert_eq!(reject(&target(TARGET_BYTES_MAX + 1)), Reject::TargetTooLong);

    let method = |len: usize| format!("{} / HTTP/1.0\r\n\r\n", "A".repeat(len)).into_bytes();
    assert_eq!(head(&method(METHOD_BYTES_MAX)).method, Method::Other);
    assert_eq!(reject(&method(METHOD_BYTES_MAX + 1)), Reject::MethodTooLong);

    let count = |count: usize| with("HTTP/1.0", &"a: b\r\n".repeat(count));
    assert_eq!(head(&count(FIELDS_MAX)).fields.count(), FIELDS_MAX);
    assert_eq!(reject(&count(FIELDS_MAX + 1)), Reject::FieldsTooMany);

    let line = |len: usize| with("HTTP/1.0", &format!("a:{}\r\n", "b".repeat(len - 2)));
    assert_eq!(head(&line(FIELD_LINE_BYTES_MAX)).fields.count(), 1);
    assert_eq!(reject(&line(FIELD_LINE_BYTES_MAX + 1)), Reject::FieldTooLong);

    let sized = |len: usize| {
        let thirds = format!("a:{}\r\n", "b".repeat(HEAD_BYTES_MAX / 3)).repeat(2);
        let used = with("HTTP/1.0", &thirds).len() + "a:\r\n".len();
        with("HTTP/1.0", &format!("{thirds}a:{}\r\n", "b".repeat(len - used)))
    };
    assert_eq!(head(&sized(HEAD_BYTES_MAX)).fields.count(), 3);
    assert_eq!(reject(&sized(HEAD_BYTES_MAX + 1)), Reject::HeadTooLong);
}

#[test]
fn bounds_of_partial_heads() {
    assert_eq!(reject(&[b'A'; METHOD_BYTES_MAX + 1]), Reject::MethodTooLong);
    assert_eq!(reject(format!("GET /{}", "a".repeat(TARGET_BYTES_MAX)).as_bytes()), Reject::TargetTooLong);
    assert_eq!(
        reject(format!("GET / HTTP/1.1\r\na:{}", "a".repeat(FIELD_LINE_BYTES_MAX)).as_bytes()),
        Reject::FieldTooLong
    );
    let lines = format!("a:{}\r\n", "b".repeat(1020)).repeat(HEAD_BYTES_MAX / 1024);
    assert_eq!(reject(format!("GET / HTTP/1.1\r\n{lines}").as_bytes()), Reject::HeadTooLong);
    let many = format!("GET / HTTP/1.1\r\n{}", "a:b\r\n".repeat(FIELDS_MAX + 1));
    assert_eq!(reject(many.as_bytes()), Reject::FieldsTooMany);
}

#[test]
fn a_head_is_small() {
    assert!(size_of::<Parse<'_>>() <= 256, "{}", size_of::<Parse<'_>>());
}

/// Heads that are right more often than not.
fn any_head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof!["GET|POST|X-Y", "[A-Z]{0,3}"];
    let target = prop_oneof!["/[a-z%?/.]{0,12}", "http://[a-z]{1,3}:8/[a-z]?", "\\*"];
    let version = prop_oneof![9 => Just("HTTP/1.1"), 2 => Just("HTTP/1.0"), 1 => Just("HTTP/2.0")];
    let field = prop_oneof![
        4 => "[A-Za-z-]{1,8}: ?[ -~]{0,12}\r\n",
        1 => "(Content-Length|Transfer-Encoding|Connection|Expect): (5|chunked|close|100-continue)\r\n",
        1 => Just("a : b\r\n".to_owned()),
        1 => Just("a: b\n".to_owned()),
    ];
    (line, target, version, prop::collection::vec(field, 0..5)).prop_map(|(line, target, version, fields)| {
        format!("{line} {target} {version}\r\nHost: h\r\n{}\r\n", fields.concat()).into_bytes()
    })
}

proptest! {
    #[test]
    fn splits_do_not_matter(buf in any_head(), rest in "[ -~]{0,8}") {
        match parse(&buf) {
            Ok(Parse::Complete { head, len }) => {
                prop_assert_eq!(len, buf.len());
                for cut in 0..len {
                    prop_assert_eq!(parse(&buf[..cut]), Ok(Parse::Partial), "cut at {}", cut);
                }
                let longer = [&buf[..], rest.as_bytes()].concat();
                prop_assert_eq!(parse(&longer), Ok(Parse::Complete { head, len }));
            }
            Ok(Parse::Partial) => prop_assert!(false, "partial with its empty line"),
            Err(_) => for cut in 0..buf.len() {
                prop_assert!(!matches!(parse(&buf[..cut]), Ok(Parse::Complete { .. })), "accepted when cut at {}", cut);
            },
        }
    }

    #[test]
    fn reparsing_may_wait_for_a_line_feed(buf in any_head(), seen in 0usize..60) {
        let seen = seen.min(buf.len());
        if parse(&buf[..seen]) == Ok(Parse::Partial) {
            for end in seen..=buf.len() {
                let complete = matches!(parse(&buf[..end]), Ok(Parse::Complete { .. }));
                prop_assert!(!complete || may_complete(&buf[..end], seen));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(buf in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Parse::Complete { head, len }) = parse(&buf) {
            prop_assert!(len <= buf.len());
            prop_assert!(head.fields.count() <= FIELDS_MAX);
        }
    }
}
