//! Paths: decoding undoes encoding, normal paths have no dot segments and stay as they are, and no spelling leads elsewhere.

use maitred::http::target::{decode_path, normalise};

pub const TARGET: super::Target = super::Target {
    name: "path",
    run,
    seeds: &[
        b"/",
        b"/a/./b/../c//d/",
        b"/%2e%2e/%2E./a%2fb",
        b"/a%00",
        b"/\xc3\xa9/%C3%A9/%25%32%65",
        b"/..%2f..",
        b"/.well-known/...",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let Ok(path) = std::str::from_utf8(input) else { return };
    // Heads with such bytes are refused before anybody looks at the path.
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return;
    }
    let Ok(decoded) = decode_path(path) else { return };
    assert!(decoded.len() <= path.len() && decoded.starts_with(b"/") && !decoded.contains(&0));
    let encoded: String =
        std::iter::once("/".to_owned()).chain(decoded[1..].iter().map(|byte| format!("%{byte:02x}"))).collect();
    assert_eq!(decode_path(&encoded), Ok(decoded.clone()));
    let Ok(normal) = normalise(&decoded) else { return };
    assert!(normal.starts_with(b"/") && normal.len() <= decoded.len().max(1));
    let mut segments = normal[1..].split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        assert!(segment != b"." && segment != b"..");
        assert!(!segment.is_empty() || segments.peek().is_none(), "an empty segment stands at the end only");
    }
    assert_eq!(normalise(&normal).as_deref(), Ok(&normal[..]));
}
