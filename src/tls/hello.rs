//! What a client asks for, the name and whether it is an authority's challenge (RFC 8737), read from the first bytes of its connection (RFC 8446 §4.1.2, RFC 6066 §3).
//!
//! Pure and bounded. It decides only which entry of the configuration a session is made with; the session then reads the same
//! bytes for itself and judges them. What is malformed here has no name.

use crate::base::bounds::CLIENT_HELLO_BYTES_MAX;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a ClientHello: more bytes are needed.
    Partial,
    /// A whole ClientHello.
    Complete(Asked),
    /// Something else, or a ClientHello that is too long: a session will say what is wrong with it.
    Other,
}

/// What a ClientHello says that decides on the session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The host, in lower case.
    pub name: Option<Box<str>>,
    /// The one protocol that it offers is `acme-tls/1` (RFC 8737 §3): a certificate authority looks for a challenge's answer.
    pub is_challenge: bool,
}

/// Record header: type, version, length (RFC 8446 §5.1).
const RECORD_HEADER_BYTES: usize = 5;
const RECORD_BYTES_MAX: usize = 1 << 14;
const TYPE_HANDSHAKE: u8 = 22;
/// Handshake header: type and length (RFC 8446 §4).
const HANDSHAKE_HEADER_BYTES: usize = 4;
const TYPE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
/// `acme-tls/1` alone, as a list of protocols (RFC 7301 §3.1).
const CHALLENGE_PROTOCOLS: &[u8] = b"\x00\x0b\x0aacme-tls/1";
const NAME_HOST: u8 = 0;

/// Looks for it in `bytes`, the beginning of a connection.
#[must_use]
pub fn asked_for(bytes: &[u8]) -> Hello {
    let Some((first, rest)) = record(bytes) else { return begins_like_a_record(bytes) };
    if let Some(message) = message(first) {
        return message.map_or(Hello::Other, complete);
    }
    // In pieces: the message goes on in further records.
    let mut gathered = first.to_vec();
    let mut rest = rest;
    loop {
        let Some((fragment, behind)) = record(rest) else { return begins_like_a_record(rest) };
        gathered.extend_from_slice(fragment);
        rest = behind;
        if let Some(message) = message(&gathered) {
            return message.map_or(Hello::Other, complete);
        }
    }
}

/// The content of the whole handshake record at the beginning of `bytes`, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    if !is_handshake(header) {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
    let end = RECORD_HEADER_BYTES + len;
    Some((bytes.get(RECORD_HEADER_BYTES..end)?, &bytes[end..]))
}

fn is_handshake(header: &[u8]) -> bool {
    let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
    header[0] == TYPE_HANDSHAKE && header[1] == 3 && (1..=RECORD_BYTES_MAX).contains(&len)
}

/// What bytes that hold no whole handshake record are.
fn begins_like_a_record(bytes: &[u8]) -> Hello {
    let is_one = match bytes.get(..RECORD_HEADER_BYTES) {
        Some(header) => is_handshake(header),
        None => bytes.first().is_none_or(|&first| first == TYPE_HANDSHAKE),
    };
    if is_one { Hello::Partial } else { Hello::Other }
}

/// The ClientHello's body, once it is whole; `Some(None)` for another message, or one that is too long.
#[expect(clippy::option_option, reason = "not yet, never, or there")]
fn message(bytes: &[u8]) -> Option<Option<&[u8]>> {
    match bytes.first() {
        Some(&TYPE_CLIENT_HELLO) => {}
        Some(_) => return Some(None),
        None => return None,
    }
    let header = bytes.get(..HANDSHAKE_HEADER_BYTES)?;
    let len = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
    if len > CLIENT_HELLO_BYTES_MAX {
        return Some(None);
    }
    bytes.get(HANDSHAKE_HEADER_BYTES..HANDSHAKE_HEADER_BYTES + len).map(Some)
}

fn complete(body: &[u8]) -> Hello {
    let mut asked = Asked::default();
    // What is malformed ends the look; what was found before it counts.
    let _ = look(body, &mut asked);
    Hello::Complete(asked)
}

/// Goes through the extensions of a ClientHello.
fn look(body: &[u8], asked: &mut Asked) -> Option<()> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?; // version and random
    reader.short_vector()?; // session id
    reader.vector()?; // cipher suites
    reader.short_vector()?; // compression methods
    let mut extensions = Reader(reader.vector()?);
    loop {
        let kind = extensions.number()?;
        let content = extensions.vector()?;
        match kind {
            EXTENSION_SERVER_NAME if asked.name.is_none() => asked.name = host(content),
            EXTENSION_ALPN => asked.is_challenge = content == CHALLENGE_PROTOCOLS,
            _ => {}
        }
    }
}

fn host(content: &[u8]) -> Option<Box<str>> {
    let mut list = Reader(Reader(content).vector()?);
    loop {
        let kind = list.take(1)?[0];
        let name = list.vector()?;
        if kind == NAME_HOST {
            let allowed = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let text = std::str::from_utf8(name).ok().filter(|_| !name.is_empty() && name.iter().all(allowed))?;
            return Some(text.to_ascii_lowercase().into());
        }
    }
}

/// What is left of the bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector with a length of one byte.
    fn short_vector(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(usize::from(len))
    }

    /// A vector with a length of two bytes.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::from(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello's body with these extensions.
    fn body(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([4, 1, 2, 3, 4]); // session id
        body.extend([0, 2, 0x13, 0x01, 1, 0]); // suites, compression
        let mut all = Vec::new();
        for (kind, content) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend((content.len() as u16).to_be_bytes());
            all.extend(content);
        }
        body.extend((all.len() as u16).to_be_bytes());
        body.extend(all);
        body
    }

    fn sni(name: &[u8]) -> (u16, Vec<u8>) {
        let mut content = ((name.len() + 3) as u16).to_be_bytes().to_vec();
        content.push(NAME_HOST);
        content.extend((name.len() as u16).to_be_bytes());
        content.extend(name);
        (EXTENSION_SERVER_NAME, content)
    }

    /// The message in records of at most `size` bytes.
    fn records(body: &[u8], size: usize) -> Vec<u8> {
        let mut message = vec![TYPE_CLIENT_HELLO];
        message.extend(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend(body);
        let mut bytes = Vec::new();
        for piece in message.chunks(size) {
            bytes.extend([TYPE_HANDSHAKE, 3, 1]);
            bytes.extend((piece.len() as u16).to_be_bytes());
            bytes.extend(piece);
        }
        bytes
    }

    fn named(name: &str) -> Hello {
        Hello::Complete(Asked { name: Some(name.into()), is_challenge: false })
    }

    #[test]
    fn the_name_is_found_behind_other_extensions() {
        let body = body(&[(16, vec![0, 3, 2, b'h', b'2']), sni(b"Www.Example.COM"), (43, vec![2, 3, 4])]);
        assert_eq!(asked_for(&records(&body, 1 << 14)), named("www.example.com"));
    }

    #[test]
    fn a_challenge_is_told_by_its_only_protocol() {
        let with = |protocols: &[u8]| {
            let body = body(&[(EXTENSION_ALPN, protocols.to_vec()), sni(b"a.example")]);
            match asked_for(&records(&body, 100)) {
                Hello::Complete(asked) if asked.name.as_deref() == Some("a.example") => asked.is_challenge,
                other => panic!("{other:?}"),
            }
        };
        assert!(with(b"\x00\x0b\x0aacme-tls/1"));
        for other in [
            &b"\x00\x14\x0aacme-tls/1\x08http/1.1"[..],
            b"\x00\x0b\x0aacme-tls/2",
            b"\x00\x0c\x0aacme-tls/1",
            b"\x00\x0b\x0aacme-tls/1x",
            b"",
        ] {
            assert!(!with(other), "{other:?}");
        }
    }

    #[test]
    fn a_hello_is_whole_at_its_last_byte_and_in_records_of_any_size() {
        let body = body(&[sni(b"a.example")]);
        for size in [1, 2, 3, 5, 50, 1 << 14] {
            let bytes = records(&body, size);
            for len in 0..bytes.len() {
                assert_eq!(asked_for(&bytes[..len]), Hello::Partial, "{len} of {} in records of {size}", bytes.len());
            }
            assert_eq!(asked_for(&bytes), named("a.example"));
        }
    }

    #[test]
    fn what_is_no_hello_or_has_no_name() {
        assert_eq!(asked_for(&records(&body(&[]), 1 << 14)), Hello::Complete(Asked::default()));
        assert_eq!(asked_for(&records(&body(&[sni(b"a b")]), 1 << 14)), Hello::Complete(Asked::default()));
        assert_eq!(asked_for(&records(&body(&[sni(b"")]), 1 << 14)), Hello::Complete(Asked::default()));
        assert_eq!(asked_for(&records(&[0; 10], 1 << 14)), Hello::Complete(Asked::default()));
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[0x80, 0x2e, 1, 3, 1],
            &[22, 2, 0, 0, 1],
            &[22, 3, 1, 0, 0],
            &[21, 3, 1, 0, 2],
        ] {
            assert_eq!(asked_for(other), Hello::Other, "{other:?}");
        }
        let too_long = [22, 3, 1, 0, 4, TYPE_CLIENT_HELLO, 0xff, 0xff, 0xff];
        assert_eq!(asked_for(&too_long), Hello::Other);
        assert_eq!(asked_for(&[]), Hello::Partial);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), dress in any::<bool>()) {
            if dress && bytes.len() > 9 {
                let len = bytes.len() - RECORD_HEADER_BYTES;
                bytes[..5].copy_from_slice(&[22, 3, 1, (len >> 8) as u8, len as u8]);
                let len = len - HANDSHAKE_HEADER_BYTES;
                bytes[5..9].copy_from_slice(&[1, 0, (len >> 8) as u8, len as u8]);
            }
            let _ = asked_for(&bytes);
        }
    }
}
