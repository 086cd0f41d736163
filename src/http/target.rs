//! The request target: its four forms, its path and its query (RFC 9112 §3.2).
//!
//! Owns splitting, percent-decoding and the removal of dot segments. It never touches a file system: `static_files` resolves what
//! comes out beneath an open directory, so this is not what keeps a client inside it. Nothing allocates where there is nothing to decode.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{Authority, Method, Reject};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query` (RFC 9112 §3.2.1).
    Origin(PathQuery<'b>),
    /// `http://host/path?query` (RFC 9112 §3.2.2).
    Absolute(Authority<'b>, PathQuery<'b>),
    /// `host:port`, only with CONNECT (RFC 9112 §3.2.3).
    Authority(Authority<'b>),
    /// `*`, only with OPTIONS (RFC 9112 §3.2.4).
    Asterisk,
}

/// A path and a query as sent, neither decoded nor normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathQuery<'b> {
    /// Begins with `/`.
    pub path: &'b str,
    /// What follows the first `?`; `None` without one.
    pub query: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// Parses `raw`: not empty, without white space and control characters.
    pub(super) fn parse(raw: &'b str, method: Method) -> Result<Self, Reject> {
        if memchr(b'#', raw.as_bytes()).is_some() {
            return Err(Reject::TargetFragment);
        }
        if method == Method::Connect {
            // RFC 9110 §9.3.6: the port is required.
            return match Authority::parse(raw.as_bytes()) {
                Some(authority) if authority.port.is_some() => Ok(Self::Authority(authority)),
                _ => Err(Reject::TargetMalformed),
            };
        }
        if raw.starts_with('/') {
            return Ok(Self::Origin(PathQuery::split(raw)));
        }
        if raw == "*" && method == Method::Options {
            return Ok(Self::Asterisk);
        }
        let rest = strip_scheme(raw).ok_or(Reject::TargetMalformed)?;
        let end = memchr2(b'/', b'?', rest.as_bytes()).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority = Authority::parse(authority.as_bytes()).ok_or(Reject::HostMalformed)?;
        let mut path_query = PathQuery::split(rest);
        if path_query.path.is_empty() {
            // RFC 9110 §4.2.3: an empty path is the same as "/".
            path_query.path = "/";
        }
        Ok(Self::Absolute(authority, path_query))
    }

    /// Path and query of the two forms that have them.
    pub fn path_query(&self) -> Option<PathQuery<'b>> {
        match *self {
            Self::Origin(path_query) | Self::Absolute(_, path_query) => Some(path_query),
            Self::Authority(_) | Self::Asterisk => None,
        }
    }
}

impl<'b> PathQuery<'b> {
    fn split(raw: &'b str) -> Self {
        match memchr(b'?', raw.as_bytes()) {
            Some(at) => Self { path: &raw[..at], query: Some(&raw[at + 1..]) },
            None => Self { path: raw, query: None },
        }
    }
}

/// What follows `http://` or `https://`, in any case (RFC 3986 §3.1).
fn strip_scheme(raw: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let head = raw.as_bytes().get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then(|| &raw[scheme.len()..])
    })
}

/// Decodes the `%XX` of a path into bytes (RFC 3986 §2.1). Borrows when there are none. `PercentMalformed` for a `%` without two
/// hexadecimal digits, `PathNul` for `%00`, which no file name and no application expects.
pub fn decode_path(path: &str) -> Result<Cow<'_, [u8]>, Reject> {
    let bytes = path.as_bytes();
    let Some(first) = memchr(b'%', bytes) else {
        return Ok(Cow::Borrowed(bytes));
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => return Err(Reject::PercentMalformed),
            },
            (b'%', _) => return Err(Reject::PercentMalformed),
            (byte, tail) => (*byte, tail),
        };
        if byte == 0 {
            return Err(Reject::PathNul);
        }
        decoded.push(byte);
        rest = tail;
    }
    Ok(Cow::Owned(decoded))
}

/// Removes the dot segments of a decoded path and merges its slashes (RFC 3986 §5.2.4; merging is Nginx's `merge_slashes`). Borrows when
/// there is nothing to do. The path must begin with `/`; a slash at the end stays. `PathAboveRoot` where `..` has nothing to remove.
pub fn normalise(path: &[u8]) -> Result<Cow<'_, [u8]>, Reject> {
    debug_assert!(path.first() == Some(&b'/'), "a path begins with a slash");
    if !memchr::memchr_iter(b'/', path).any(|at| matches!(path.get(at + 1), Some(b'/' | b'.'))) {
        return Ok(Cow::Borrowed(path));
    }
    let mut normal: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = normal.iter().rposition(|&byte| byte == b'/').ok_or(Reject::PathAboveRoot)?;
                normal.truncate(parent);
            }
            name => {
                normal.push(b'/');
                normal.extend_from_slice(name);
                continue;
            }
        }
        if last {
            // "/a/", "/a/." and "/a/b/.." all name the directory "/a/".
            normal.push(b'/');
        }
    }
    Ok(Cow::Owned(normal))
}

/// The value of a hexadecimal digit.
pub(super) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn origin<'b>(path: &'b str, query: Option<&'b str>) -> Target<'b> {
        Target::Origin(PathQuery { path, query })
    }

    #[test]
    fn forms() {
        let host = Authority::parse(b"h:80").unwrap();
        for (method, raw, expected) in [
            (Method::Get, "/", Ok(origin("/", None))),
            (Method::Get, "/a?b?c", Ok(origin("/a", Some("b?c")))),
            (Method::Get, "/?", Ok(origin("/", Some("")))),
            (Method::Get, "//h/a", Ok(origin("//h/a", None))),
            (Method::Get, "http://h:80", Ok(Target::Absolute(host, PathQuery { path: "/", query: None }))),
            (Method::Get, "HTTPS://h:80?q", Ok(Target::Absolute(host, PathQuery { path: "/", query: Some("q") }))),
            (Method::Get, "http://h:80/p?q", Ok(Target::Absolute(host, PathQuery { path: "/p", query: Some("q") }))),
            (Method::Options, "*", Ok(Target::Asterisk)),
            (Method::Connect, "h:80", Ok(Target::Authority(host))),
            (Method::Get, "*", Err(Reject::TargetMalformed)),
            (Method::Get, "h:80", Err(Reject::TargetMalformed)),
            (Method::Get, "a/b", Err(Reject::TargetMalformed)),
            (Method::Get, "?q", Err(Reject::TargetMalformed)),
            (Method::Get, "ftp://h/", Err(Reject::TargetMalformed)),
            (Method::Get, "http:/h/", Err(Reject::TargetMalformed)),
            (Method::Get, "http://", Err(Reject::HostMalformed)),
            (Method::Get, "http:///a", Err(Reject::HostMalformed)),
            (Method::Get, "http://u:p@h/", Err(Reject::HostMalformed)),
            (Method::Get, "/a#b", Err(Reject::TargetFragment)),
            (Method::Connect, "/", Err(Reject::TargetMalformed)),
            (Method::Connect, "h", Err(Reject::TargetMalformed)),
        ] {
            assert_eq!(Target::parse(raw, method), expected, "{method:?} {raw}");
        }
    }

    #[test]
    fn decoding() {
        assert!(matches!(decode_path("/plain+text"), Ok(Cow::Borrowed(b"/plain+text"))));
        for (path, expected) in [
            ("/%41b%2f%C3%a9", Ok(&b"/Ab/\xc3\xa9"[..])),
            ("/a%25b", Ok(b"/a%b")),
            ("/%", Err(Reject::PercentMalformed)),
            ("/%4", Err(Reject::PercentMalformed)),
            ("/%4g", Err(Reject::PercentMalformed)),
            ("/%+1", Err(Reject::PercentMalformed)),
            ("/a%00b", Err(Reject::PathNul)),
        ] {
            assert_eq!(decode_path(path).as_deref(), expected.as_ref().copied(), "{path}");
        }
    }

    #[test]
    fn normalising() {
        for borrowed in ["/", "/a", "/a/b.c/", "/a..b/c..", "/a/b%2e"] {
            assert!(matches!(normalise(borrowed.as_bytes()), Ok(Cow::Borrowed(_))), "{borrowed}");
        }
        for (path, expected) in [
            ("/.", Ok("/")),
            ("//", Ok("/")),
            ("/./a", Ok("/a")),
            ("/a/.", Ok("/a/")),
            ("/a/..", Ok("/")),
            ("/a/../", Ok("/")),
            ("/a/b/..", Ok("/a/")),
            ("/a/b/../c", Ok("/a/c")),
            ("/a//b///c/", Ok("/a/b/c/")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("/...", Ok("/...")),
            ("/a/..b", Ok("/a/..b")),
            ("/..", Err(Reject::PathAboveRoot)),
            ("/a/../..", Err(Reject::PathAboveRoot)),
            ("/../a", Err(Reject::PathAboveRoot)),
            ("//..", Err(Reject::PathAboveRoot)),
        ] {
            assert_eq!(normalise(path.as_bytes()).as_deref(), expected.as_ref().map(|s| s.as_bytes()), "{path}");
        }
    }

    proptest! {
        #[test]
        fn normal_paths_have_no_dot_segments(path in "/([ab.]{0,3}/){0,6}[ab.]{0,3}") {
            if let Ok(normal) = normalise(path.as_bytes()) {
                prop_assert!(normal.starts_with(b"/"));
                let inner = &normal[1..];
                for (at, segment) in inner.split(|&b| b == b'/').enumerate() {
                    let last = at == inner.split(|&b| b == b'/').count() - 1;
                    prop_assert!(segment != b"." && segment != b".." && (last || !segment.is_empty()));
                }
                prop_assert_eq!(normalise(&normal).unwrap(), &normal[..]);
            }
        }

        #[test]
        fn decoding_undoes_encoding(bytes in proptest::collection::vec(1u8.., 0..40)) {
            let encoded: String = bytes.iter().map(|b| format!("%{b:02X}")).collect();
            prop_assert_eq!(&decode_path(&encoded).unwrap()[..], &bytes[..]);
        }
    }
}
