//! The authority of a request: host and port, from Host or from the target.
//!
//! Owns the syntax check of RFC 3986 §3.2 without userinfo. It never resolves a name and never decides which hosts are served: `route` does.

use std::net::Ipv6Addr;

/// `host [":" port]`, checked. The letters keep their case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'b> {
    /// As the client wrote it; what an application sees as Host.
    pub raw: &'b str,
    /// Without the port; an IPv6 address keeps its brackets. Never empty.
    pub host: &'b str,
    /// `None` when absent or empty, as in `example.com:` (RFC 3986 §3.2.3).
    pub port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Parses `uri-host [":" port]` (RFC 9110 §4.2.1, RFC 3986 §3.2.2). `None` for anything else: an empty host, userinfo, an IPv6
    /// address that isn't one, a port above 65535.
    pub fn parse(raw: &'b [u8]) -> Option<Self> {
        let raw = std::str::from_utf8(raw).ok()?;
        let host_len = match raw.as_bytes().first()? {
            b'[' => {
                let close = memchr::memchr(b']', raw.as_bytes())?;
                raw[1..close].parse::<Ipv6Addr>().ok()?;
                close + 1
            }
            _ => reg_name_len(raw.as_bytes())?,
        };
        let (host, rest) = raw.split_at(host_len);
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        Some(Self { raw, host, port })
    }
}

/// Length of the reg-name (or IPv4 address) at the start of `raw`; `None` when it is empty or malformed.
fn reg_name_len(raw: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        match byte {
            b':' => break,
            b'%' => {
                let digits = raw.get(at + 1..at + 3)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                at += 3;
            }
            byte if REG_NAME[usize::from(byte)] => at += 1,
            _ => return None,
        }
    }
    (at > 0).then_some(at)
}

/// unreserved and sub-delims (RFC 3986 §2.2, §2.3).
static REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (raw, host, port) in [
            ("example.com", "example.com", None),
            ("Example.COM:8000", "Example.COM", Some(8000)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("example.com:", "example.com", None),
            ("[::1]", "[::1]", None),
            ("[2001:db8::7]:443", "[2001:db8::7]", Some(443)),
            ("my_app.internal", "my_app.internal", None),
            ("%41.example", "%41.example", None),
        ] {
            assert_eq!(Authority::parse(raw.as_bytes()), Some(Authority { raw, host, port }), "{raw}");
        }
    }

    #[test]
    fn malformed() {
        for raw in [
            "",
            ":80",
            "a b",
            "user@example.com",
            "example.com/",
            "example.com?x",
            "a:b:c",
            "a:80:80",
            "a:-1",
            "a:65536",
            "a:+80",
            "[::1",
            "[::1]80",
            "[::1]]",
            "[fe80::1%25eth0]",
            "[]",
            "[127.0.0.1]",
            "%4",
            "%zz",
            "a,b@c",
            "exämple.com",
            "a\\b",
            "a\"b",
            "a<b",
            "a#b",
        ] {
            assert_eq!(Authority::parse(raw.as_bytes()), None, "{raw}");
        }
        assert_eq!(Authority::parse(b"\xff"), None);
    }
}
