//! Conditional requests: verdicts follow from the fields as RFC 9110 §13.2.2 orders them, and entity tags survive being written.
//!
//! Input: two bytes that choose method and validators, then field lines.

use maitred::http::conditional::{ETag, Outcome, Validators, evaluate};
use maitred::http::head::{Method, Parse, parse};

use super::choices;

pub const TARGET: super::Target = super::Target {
    name: "preconditions",
    run,
    seeds: &[
        b"\0\x03If-None-Match: \"a\", W/\"b\", *\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        b"\0\x03If-Match: \"x\" ,\"a\"\r\nIf-Unmodified-Since: Sun Nov  6 08:49:37 1994",
        b"\x01\x03If-Range: \"a\"\r\nRange: bytes=0-1",
        b"\x02\x01If-None-Match: *",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let Some(([method, known], lines)) = choices(input) else { return };
    for line in lines.split(|byte| *byte == b'\n') {
        if let Some(tag) = ETag::parse(line) {
            let mut written = Vec::new();
            tag.write(&mut written);
            assert_eq!(written, line);
            assert!(tag.eq_weak(tag) && tag.eq_strong(tag) != tag.weak);
        }
    }
    let method = ["GET", "HEAD", "PUT"][method % 3];
    let request = [method.as_bytes(), b" / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat();
    let Ok(Parse::Complete { head, .. }) = parse(&request) else { return };
    let validators = Validators {
        etag: (known & 1 != 0).then(|| ETag::strong(b"a")),
        modified: (known & 2 != 0).then_some(784_111_777),
    };
    let verdict = evaluate(head.method, head.fields, &validators);
    let has = |name: &str| head.fields.first(name).is_some();
    match verdict.outcome {
        Outcome::Proceed => {}
        Outcome::NotModified => {
            assert!(head.method != Method::Put && (has("if-none-match") || has("if-modified-since")));
        }
        Outcome::PreconditionFailed => {
            assert!(
                has("if-match") || has("if-unmodified-since") || (head.method == Method::Put && has("if-none-match"))
            );
        }
    }
    assert!(!verdict.range_allowed || (head.method == Method::Get && verdict.outcome == Outcome::Proceed));
    assert!(head.conditional || verdict.outcome == Outcome::Proceed);
}
