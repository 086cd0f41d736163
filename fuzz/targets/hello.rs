//! The name in a ClientHello: what is complete stays what it is whatever follows, and no beginning of it is something else.

use maitred::tls::{Hello, server_name};

pub const TARGET: super::Target = super::Target {
    name: "hello",
    run,
    seeds: &[
        // One record with the name `a.example`, then another extension.
        b"\x16\x03\x01\x00\x49\x01\x00\x00\x45\x03\x0301234567890123456789012345678901\x00\x00\x02\x13\x01\x01\x00\x00\x1a\
          \x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example\x00\x2b\x00\x04\x03\x03\x04\x03",
        // Its beginning in records of three bytes.
        b"\x16\x03\x01\x00\x03\x01\x00\x00\x16\x03\x01\x00\x03\x43\x03\x03",
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let found = server_name(input);
    if let Hello::Complete(Some(name)) = &found {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(allowed), "a name is in lower case");
    }
    if found != Hello::Partial {
        let longer = [input, b"\x16\x03\x01\x00\x01\x00"].concat();
        assert_eq!(server_name(&longer), found);
    }
    for len in 0..input.len().min(200) {
        let shorter = server_name(&input[..len]);
        assert!(shorter == Hello::Partial || shorter == found, "at {len}: {shorter:?} instead of {found:?}");
    }
}
