//! The PROXY header with which a balancer that passes bytes on says whose they are (HAProxy's `proxy-protocol.txt`, versions 1 and 2).
//!
//! Owns the grammar and its bounds. Pure: the first bytes of a connection in, addresses out. It never decides whether the peer may say
//! so: `shard`, which calls it, does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::bounds::PROXY_HEADER_BYTES_MAX;

/// Whom the bytes behind a header are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The balancer itself, for a look at the server's health (command LOCAL): the connection's own addresses count.
    Balancer,
    /// A client that has no internet address, or whose address the balancer does not tell: UNKNOWN, AF_UNSPEC, AF_UNIX.
    Nameless,
    /// A client, and the address to which it has connected.
    Client {
        /// The client's own.
        source: SocketAddr,
        /// Of the balancer, as the client saw it.
        destination: SocketAddr,
    },
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// So far it is the beginning of one.
    Partial,
    /// It is whole.
    Complete {
        /// What it says.
        sender: Sender,
        /// Its bytes; what follows is the client's.
        len: usize,
    },
}

/// What is wrong with a header, in words for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Begins a header of version 1 (§2.1).
const V1: &[u8] = b"PROXY ";
/// The longest line of version 1, bytes with its CRLF (§2.1).
const V1_BYTES_MAX: usize = 107;
/// Begins a header of version 2 (§2.2).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part of version 2 whose length never varies: signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;
/// An address block of AF_UNIX: two paths, padded (§2.2).
const UNIX_BYTES: usize = 2 * 108;

/// Reads the header at the beginning of `bytes`. Version 2 may carry further fields behind the addresses (TLVs); they are passed over.
///
/// # Errors
/// The bytes are no header, or one that is malformed or longer than [`PROXY_HEADER_BYTES_MAX`].
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let begins = |signature: &[u8]| {
        let seen = bytes.len().min(signature.len());
        bytes[..seen] == signature[..seen]
    };
    if begins(V2) {
        version_2(bytes)
    } else if begins(V1) {
        version_1(bytes)
    } else {
        Err(Malformed("it does not begin like one"))
    }
}

fn version_1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let seen = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if seen.len() < V1_BYTES_MAX { Ok(Parsed::Partial) } else { Err(Malformed("its line is too long")) };
    };
    let len = end + 2;
    let line = &bytes[V1.len()..end];
    let (family, rest) = match line.iter().position(|&byte| byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &b""[..]),
    };
    let sender = match family {
        // What follows is ignored (§2.1).
        b"UNKNOWN" => Sender::Nameless,
        b"TCP4" => client(rest, |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4))?,
        b"TCP6" => client(rest, |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?,
        _ => return Err(Malformed("its family is not known")),
    };
    Ok(Parsed::Complete { sender, len })
}

/// Two addresses and two ports with one space between them.
fn client(text: &[u8], address: impl Fn(&str) -> Option<IpAddr>) -> Result<Sender, Malformed> {
    let read = || {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let mut word = || words.next();
        let (source, destination) = (address(word()?)?, address(word()?)?);
        let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
        let source = SocketAddr::new(source, source_port);
        let is_all = words.next().is_none();
        is_all.then_some(Sender::Client { source, destination: SocketAddr::new(destination, destination_port) })
    };
    read().ok_or(Malformed("its addresses or ports are malformed"))
}

/// A port in its canonical form: digits without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical)
}

fn version_2(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else { return Ok(Parsed::Partial) };
    let [.., version_and_command, family, high, low] = *fixed;
    let block_bytes = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_FIXED_BYTES + block_bytes;
    if version_and_command >> 4 != 2 {
        return Err(Malformed("its version is neither 1 nor 2"));
    }
    if len > PROXY_HEADER_BYTES_MAX {
        return Err(Malformed("it is too long"));
    }
    let is_local = match version_and_command & 0xf {
        0 => true,
        1 => false,
        _ => return Err(Malformed("its command is not known")),
    };
    // UNSPEC; over IPv4, IPv6 and in unix sockets, a stream or datagrams each.
    let address_bytes = match family {
        0x00 => 0,
        0x11 | 0x12 => 2 * (4 + 2),
        0x21 | 0x22 => 2 * (16 + 2),
        0x31 | 0x32 => UNIX_BYTES,
        // Of a LOCAL header the family is ignored (§2.2).
        _ if is_local => 0,
        _ => return Err(Malformed("its family is not known")),
    };
    if !is_local && block_bytes < address_bytes {
        return Err(Malformed("it is too short for its addresses"));
    }
    let Some(block) = rest.get(..block_bytes) else { return Ok(Parsed::Partial) };
    let sender = match family >> 4 {
        _ if is_local => Sender::Balancer,
        1 => addresses::<4>(block),
        2 => addresses::<16>(block),
        _ => Sender::Nameless,
    };
    Ok(Parsed::Complete { sender, len })
}

/// Source, destination, and their ports, at the beginning of a block that is long enough.
fn addresses<const N: usize>(block: &[u8]) -> Sender
where
    IpAddr: From<[u8; N]>,
{
    let address = |at: usize| IpAddr::from(*block[at..].first_chunk::<N>().expect("the block's length was looked at"));
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    Sender::Client {
        source: SocketAddr::new(address(0), port(2 * N)),
        destination: SocketAddr::new(address(N), port(2 * N + 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(source: &str, destination: &str) -> Sender {
        let address = |text: &str| text.parse().expect("an address");
        Sender::Client { source: address(source), destination: address(destination) }
    }

    /// A header of version 2.
    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = V2.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((block.len() as u16).to_be_bytes());
        bytes.extend(block);
        bytes
    }

    const IPV4: &[u8] = &[203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];

    fn ipv6() -> Vec<u8> {
        let mut block = "2001:db8::9".parse::<Ipv6Addr>().expect("an address").octets().to_vec();
        block.extend("2001:db8::1".parse::<Ipv6Addr>().expect("an address").octets());
        block.extend([0, 80, 1, 0xbb]);
        block
    }

    #[track_caller]
    fn check(header: &[u8], sender: Sender) {
        let whole = Ok(Parsed::Complete { sender, len: header.len() });
        assert_eq!(parse(header), whole);
        assert_eq!(parse(&[header, b"GET / HTTP/1.1\r\n\r\n"].concat()), whole, "what follows is the client's");
        for len in 0..header.len() {
            assert_eq!(parse(&header[..len]), Ok(Parsed::Partial), "{len} of {} bytes", header.len());
        }
    }

    #[test]
    fn lines_of_version_1() {
        check(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n", client("203.0.113.9:4711", "192.0.2.1:443"));
        check(b"PROXY TCP6 2001:db8::9 ::1 0 65535\r\n", client("[2001:db8::9]:0", "[::1]:65535"));
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let line = format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n");
        let end = format!("[{longest}]:65535");
        check(line.as_bytes(), client(&end, &end));
        check(b"PROXY UNKNOWN\r\n", Sender::Nameless);
        check(format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n").as_bytes(), Sender::Nameless);
    }

    #[test]
    fn headers_of_version_2() {
        let from_ipv4 = client("203.0.113.9:4711", "192.0.2.1:443");
        check(&v2(1, 0x11, IPV4), from_ipv4);
        check(&v2(1, 0x12, IPV4), from_ipv4);
        check(&v2(1, 0x21, &ipv6()), client("[2001:db8::9]:80", "[2001:db8::1]:443"));
        check(&v2(1, 0x31, &[b'/'; UNIX_BYTES]), Sender::Nameless);
        check(&v2(1, 0x00, &[]), Sender::Nameless);
        check(&v2(1, 0x00, IPV4), Sender::Nameless);
        // Whatever a LOCAL header carries is ignored.
        for family in [0x00, 0x11, 0x31, 0xff] {
            check(&v2(0, family, b"abc"), Sender::Balancer);
        }
        // Further fields (TLVs), well-formed or not, lie between the addresses and the client's bytes.
        for further in [&b"\x02\x00\x09shop.test"[..], b"\x20\xff", &[4; PROXY_HEADER_BYTES_MAX - V2_FIXED_BYTES - 12]]
        {
            check(&v2(1, 0x11, &[IPV4, further].concat()), from_ipv4);
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_known() {
        let too_long = format!("PROXY UNKNOWN {}", "x".repeat(V1_BYTES_MAX));
        for wrong in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXX",
            b"\x16\x03\x01",
            b"\r\n\r\nG",
            b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4\r\n",
            b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
            b"PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY \r\n",
            too_long.as_bytes(),
            &v2(2, 0x11, IPV4),
            &v2(15, 0x11, IPV4),
            &v2(1, 0x10, IPV4),
            &v2(1, 0x13, IPV4),
            &v2(1, 0x41, IPV4),
            &v2(1, 0x11, &IPV4[..11]),
            &v2(1, 0x21, &ipv6()[..35]),
            &v2(1, 0x31, &[0; UNIX_BYTES - 1]),
            &v2(1, 0x11, &vec![0; PROXY_HEADER_BYTES_MAX]),
            // Version 1 and 3 in the form of version 2; only the fixed part is needed to know.
            &[V2, b"\x11\x11\x00\x0c"].concat(),
            &[V2, b"\x31\x11\x00\x0c"].concat(),
        ] {
            let shown = wrong.escape_ascii();
            assert!(parse(wrong).is_err(), "{shown} gives {:?}", parse(wrong));
        }
    }

    proptest! {
        #[test]
        fn what_a_balancer_writes_is_read(
            (source, destination) in prop_oneof![
                any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b))),
                any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(a, b)| (IpAddr::V6(a), IpAddr::V6(b))),
            ],
            ports in any::<(u16, u16)>(),
            further in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let sender = Sender::Client {
                source: SocketAddr::new(source, ports.0),
                destination: SocketAddr::new(destination, ports.1),
            };
            let (name, family) = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
            let line = format!("PROXY {name} {source} {destination} {} {}\r\n", ports.0, ports.1);
            prop_assert_eq!(parse(line.as_bytes()), Ok(Parsed::Complete { sender, len: line.len() }));
            let mut block = Vec::new();
            for address in [source, destination] {
                match address {
                    IpAddr::V4(address) => block.extend(address.octets()),
                    IpAddr::V6(address) => block.extend(address.octets()),
                }
            }
            block.extend(ports.0.to_be_bytes());
            block.extend(ports.1.to_be_bytes());
            block.extend(further);
            let header = v2(1, family, &block);
            prop_assert_eq!(parse(&header), Ok(Parsed::Complete { sender, len: header.len() }));
        }

        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), dress in 0..3) {
            match dress {
                1 => drop(bytes.splice(..bytes.len().min(V1.len()), V1.iter().copied())),
                2 => drop(bytes.splice(..bytes.len().min(V2.len()), V2.iter().copied())),
                _ => {}
            }
            if let Ok(Parsed::Complete { len, .. }) = parse(&bytes) {
                prop_assert!(len <= bytes.len() && len <= PROXY_HEADER_BYTES_MAX);
            }
        }
    }
}
