//! Authorities: what is taken consists of its parts, and nothing in it could begin another part of a URL or of a field.

use maitred::http::Authority;

pub const TARGET: super::Target = super::Target {
    name: "authority",
    run,
    seeds: &[
        b"example.com",
        b"example.com:8000",
        b"example.com:",
        b"[2001:db8::1]:65535",
        b"[::ffff:1.2.3.4]",
        b"192.0.2.1:00080",
        b"user@example.com",
        b"a%41b!$&'()*+,;=",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let Some(authority) = Authority::parse(input) else { return };
    assert_eq!(authority.raw.as_bytes(), input);
    assert!(!authority.host.is_empty());
    let rest = authority.raw.strip_prefix(authority.host).expect("the host comes first");
    let port = rest.strip_prefix(':').filter(|digits| !digits.is_empty()).map(|digits| digits.parse().expect("a port"));
    assert_eq!(port, authority.port);
    assert!(!authority.raw.bytes().any(|byte| byte.is_ascii_control() || b" /?#@\\\"<>".contains(&byte)));
    assert_eq!(Authority::parse(authority.host.as_bytes()).map(|again| again.host), Some(authority.host));
}
