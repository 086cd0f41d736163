//! The Forwarded field (RFC 7239), and the addresses of nodes in either family.
//!
//! Owns the grammar. It never decides whose elements count: [`super::forwarded`] does.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fields::{is_token, is_value, trim};

/// One proxy's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element<'b> {
    /// As it was written.
    pub raw: &'b [u8],
    /// Who asked that proxy.
    pub r#for: Option<Cow<'b, [u8]>>,
    /// The scheme in which it was asked.
    pub proto: Option<Cow<'b, [u8]>>,
    /// The host for which it was asked.
    pub host: Option<Cow<'b, [u8]>>,
}

/// The field is not what RFC 7239 §4 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Adds the elements of one field line to `elements`, from left to right. White space is let pass around semicolons, and addresses with
/// colons and brackets need no quotes: some proxies write them so.
///
/// # Errors
/// The line is malformed; nothing of it counts.
pub fn parse<'b>(line: &'b [u8], elements: &mut Vec<Element<'b>>) -> Result<(), Malformed> {
    let mut rest = line;
    loop {
        rest = skip_space(rest);
        let begin = rest;
        let mut element = Element::default();
        let mut by = false;
        let mut is_empty = true;
        loop {
            rest = skip_space(rest);
            match rest.first() {
                None | Some(b',') => break,
                Some(b';') => rest = &rest[1..],
                Some(_) => {
                    is_empty = false;
                    rest = pair(rest, &mut element, &mut by)?;
                }
            }
        }
        if !is_empty {
            element.raw = trim(&begin[..begin.len() - rest.len()]);
            elements.push(element);
        }
        match rest.split_first() {
            None => return Ok(()),
            Some((_, behind)) => rest = behind,
        }
    }
}

/// One `name=value`; what must follow is the end, a comma or a semicolon.
fn pair<'b>(text: &'b [u8], element: &mut Element<'b>, by: &mut bool) -> Result<&'b [u8], Malformed> {
    let length = text.iter().take_while(|&&byte| is_token(byte)).count();
    let (name, rest) = text.split_at(length);
    let rest = rest.strip_prefix(b"=").filter(|_| length > 0).ok_or(Malformed)?;
    let (value, rest) = value(rest)?;
    let rest = skip_space(rest);
    if !matches!(rest.first(), None | Some(b',' | b';')) {
        return Err(Malformed);
    }
    let slot = match name {
        name if name.eq_ignore_ascii_case(b"for") => &mut element.r#for,
        name if name.eq_ignore_ascii_case(b"proto") => &mut element.proto,
        name if name.eq_ignore_ascii_case(b"host") => &mut element.host,
        name if name.eq_ignore_ascii_case(b"by") => {
            return if std::mem::replace(by, true) { Err(Malformed) } else { Ok(rest) };
        }
        // RFC 7239 §5.5: there may be more.
        _ => return Ok(rest),
    };
    // RFC 7239 §4: each at most once in an element.
    match slot.replace(value) {
        None => Ok(rest),
        Some(_) => Err(Malformed),
    }
}

/// A token or a quoted string (RFC 9110 §5.6.4), without its quotes.
fn value(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let length = text.iter().take_while(|&&byte| is_token(byte) || b":[]".contains(&byte)).count();
        let (value, rest) = text.split_at(length);
        return if length > 0 { Ok((Cow::Borrowed(value), rest)) } else { Err(Malformed) };
    };
    let mut unescaped: Option<Vec<u8>> = None;
    let mut at = 0;
    loop {
        let byte = *quoted.get(at).ok_or(Malformed)?;
        match byte {
            b'"' => break,
            b'\\' => {
                let escaped = *quoted.get(at + 1).filter(|&&byte| is_value(byte)).ok_or(Malformed)?;
                unescaped.get_or_insert_with(|| quoted[..at].to_vec()).push(escaped);
                at += 2;
            }
            byte if is_value(byte) => {
                if let Some(unescaped) = &mut unescaped {
                    unescaped.push(byte);
                }
                at += 1;
            }
            _ => return Err(Malformed),
        }
    }
    let value = unescaped.map_or(Cow::Borrowed(&quoted[..at]), Cow::Owned);
    Ok((value, &quoted[at + 1..]))
}

fn skip_space(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|&&byte| matches!(byte, b' ' | b'\t')).count();
    &text[length..]
}

/// The address of a node, and its port if that is a number: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`. `None` for a
/// node that is `unknown`, has an obfuscated name (RFC 7239 §6.3), or is anything else.
pub fn node(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address = IpAddr::V6(address.parse::<Ipv6Addr>().ok()?).to_canonical();
        return if rest.is_empty() { Some((address, None)) } else { Some((address, port(rest.strip_prefix(':')?)?)) };
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            Some((IpAddr::V6(text.parse::<Ipv6Addr>().ok()?).to_canonical(), None))
        }
        Some((address, digits)) => Some((IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port(digits)?)),
        None => Some((IpAddr::V4(text.parse::<Ipv4Addr>().ok()?), None)),
    }
}

/// A node's port, which may be obfuscated too (RFC 7239 §6); the outer `None`: it is none.
fn port(text: &str) -> Option<Option<u16>> {
    if let Some(name) = text.strip_prefix('_') {
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        return is_name.then_some(None);
    }
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok().map(Some) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(line: &str) -> Result<Vec<Element<'_>>, Malformed> {
        let mut elements = Vec::new();
        parse(line.as_bytes(), &mut elements).map(|()| elements)
    }

    fn shown(line: &str) -> Option<Vec<String>> {
        let text = |value: &Option<Cow<'_, [u8]>>| {
            value.as_ref().map_or("-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
        };
        let elements = elements(line).ok()?;
        Some(elements.iter().map(|e| [text(&e.r#for), text(&e.proto), text(&e.host)].join(" ")).collect())
    }

    #[test]
    fn elements_are_read() {
        for (line, expected) in [
            // The examples of RFC 7239 §4 and §7.1.
            ("for=\"_gazonk\"", &["_gazonk - -"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["[2001:db8:cafe::17]:4711 - -"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60 http -"]),
            ("for=192.0.2.43, for=198.51.100.17", &["192.0.2.43 - -", "198.51.100.17 - -"]),
            ("for=192.0.2.43, for=\"[2001:db8:cafe::17]\"", &["192.0.2.43 - -", "[2001:db8:cafe::17] - -"]),
            ("for=_hidden, for=_SEVKISEK", &["_hidden - -", "_SEVKISEK - -"]),
            ("for=a;PROTO=https;Host=\"b:8080\";x=y", &["a https b:8080"]),
            ("host=\"a, for=6.6.6.6;b\\\"c\\\\\"", &["- - a, for=6.6.6.6;b\"c\\"]),
            ("for=1.2.3.4:80 ; proto=https ,, ;for=[::1]", &["1.2.3.4:80 https -", "[::1] - -"]),
            ("for=\"\"", &[" - -"]),
            ("by=x", &["- - -"]),
            ("", &[]),
            (" , ;, ", &[]),
        ] {
            assert_eq!(
                shown(line).as_deref(),
                Some(&expected.iter().map(|&e| e.to_owned()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_malformed_counts_for_nothing() {
        for line in [
            "for",
            "for=",
            "=a",
            "for =a",
            "for= a",
            "for=a b",
            "for=\"a",
            "for=\"a\\",
            "for=\"a\"b",
            "for=a;for=b",
            "by=a;by=b",
            "for=a;;proto",
            "a, for=b",
            "for=a@b",
            "for=\", for=1.2.3.4",
            "for=\u{e9}",
        ] {
            assert_eq!(shown(line), None, "{line}");
        }
    }

    #[test]
    fn raw_elements_are_as_they_were_written() {
        let line = " for=a ; proto=https ,  for=\"b, c\";x=\"\\\"\" ";
        let elements = elements(line).expect("well formed");
        assert_eq!(
            elements.iter().map(|e| e.raw).collect::<Vec<_>>(),
            [&b"for=a ; proto=https"[..], b"for=\"b, c\";x=\"\\\"\""]
        );
    }

    #[test]
    fn nodes() {
        for (text, expected) in [
            ("192.0.2.1", Some(("192.0.2.1", None))),
            ("192.0.2.1:4711", Some(("192.0.2.1", Some(4711)))),
            ("192.0.2.1:_x-1.b", Some(("192.0.2.1", None))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("[2001:db8::1]:65535", Some(("2001:db8::1", Some(65535)))),
            ("::ffff:192.0.2.1", Some(("192.0.2.1", None))),
            ("[::ffff:192.0.2.1]:1", Some(("192.0.2.1", Some(1)))),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
            ("192.0.2", None),
            ("192.0.2.256", None),
            ("192.0.02.1", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:65536", None),
            ("192.0.2.1:123456", None),
            ("192.0.2.1:+1", None),
            ("192.0.2.1:_", None),
            ("192.0.2.1 ", None),
            ("[192.0.2.1]", None),
            ("[::1", None),
            ("[::1]1", None),
            ("fe80::1%eth0", None),
            ("example.com", None),
            ("\"192.0.2.1\"", None),
        ] {
            let found = node(text.as_bytes()).map(|(address, port)| (address.to_string(), port));
            assert_eq!(found, expected.map(|(address, port)| (address.to_owned(), port)), "{text}");
        }
        assert_eq!(node(b"\xff"), None);
    }
}
