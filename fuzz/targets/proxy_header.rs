//! PROXY headers: what is whole stays what it is whatever follows, no beginning of it is anything but a beginning, its length is bounded, and a
//! line of version 1 says just what it would be written with.

use maitred::base::bounds::PROXY_HEADER_BYTES_MAX;
use maitred::http::proxy_header::{Parsed, Sender, parse};

pub const TARGET: super::Target = super::Target {
    name: "proxy_header",
    run,
    seeds: &[
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\n",
        b"PROXY TCP6 2001:db8::9 ::1 0 65535\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x12\x67\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x12\xcb\x00\x71\x09\xc0\x00\x02\x01\x12\x67\x01\xbb\x02\x00\x03a.b",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
          \x12\x67\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xd8",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let found = parse(input);
    if let Ok(Parsed::Complete { sender, len }) = found {
        assert!((1..=PROXY_HEADER_BYTES_MAX.min(input.len())).contains(&len));
        assert_eq!(parse(&input[..len]), found, "what follows does not matter");
        for shorter in [len - 1, len / 2, 1] {
            assert_eq!(parse(&input[..shorter.min(len - 1)]), Ok(Parsed::Partial), "{shorter} of {len} bytes");
        }
        if let Sender::Client { source, destination } = sender {
            assert_eq!(source.is_ipv4(), destination.is_ipv4());
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
            assert_eq!(parse(line.as_bytes()), Ok(Parsed::Complete { sender, len: line.len() }));
        }
    } else {
        let longer = parse(&[input, b"\r\n"].concat());
        assert!(found == Ok(Parsed::Partial) || longer.is_err(), "what was refused stays so");
        assert!(found != Ok(Parsed::Partial) || input.len() < PROXY_HEADER_BYTES_MAX, "there is a bound");
    }
}
