//! The head of a request: request line and fields, parsed and judged in one go (RFC 9112 §2 – §6).
//!
//! Owns what makes a head acceptable, with the facts that follow from its fields. Stricter than `httparse`, on which it is built: lines end in
//! CRLF only, one empty line at most is skipped before the request line, and every part is bounded. It never reads a body, never
//! looks at a route and never allocates, unless a client speaks a version that does not exist yet. Called by `shard` with everything that has arrived on a connection.

use std::mem::MaybeUninit;

use memchr::{memchr, memchr_iter};

use super::fields::list;
use super::framing::Collector;
use super::{Authority, BodyFraming, Fields, Reject, Target};
use crate::base::bounds::{FIELD_LINE_BYTES_MAX, FIELDS_MAX, HEAD_BYTES_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX};

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse<'b> {
    /// Nothing wrong yet, but the empty line that ends the head is missing.
    Partial,
    /// A whole head.
    Complete {
        /// The head, borrowing from the bytes given.
        head: Head<'b>,
        /// Bytes consumed, from the first given to the empty line's end.
        len: usize,
    },
}

/// The head of a request, with the facts that decide how the request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'b> {
    /// The method, as far as this server tells methods apart.
    pub method: Method,
    /// The method as sent; case-sensitive (RFC 9110 §9.1).
    pub method_name: &'b str,
    /// The target as sent.
    pub raw_target: &'b str,
    /// The target by its form.
    pub target: Target<'b>,
    /// The client's version.
    pub version: Version,
    /// How the body is delimited.
    pub framing: BodyFraming,
    /// The target's authority if it has one, else Host (RFC 9112 §3.2.2, §3.3). `None` only in HTTP/1.0.
    pub authority: Option<Authority<'b>>,
    /// Whether the client wants the connection kept after the response (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1). Never without a body.
    pub expect_continue: bool,
    /// Whether any of Range and the five If- fields is present: without it `conditional` and `range` have nothing to look at.
    pub conditional: bool,
    /// The field lines.
    pub fields: Fields<'b>,
}

/// The methods of RFC 9110 §9 and RFC 5789; any other token is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named for its method")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

impl Method {
    /// Whether it only asks, so that asking twice does no harm (RFC 9110 §9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }
}

/// The versions that this layer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named for its version")]
pub enum Version {
    Http10,
    Http11,
}

/// Parses the head at the start of `buf`, which holds everything that arrived after the previous request. The error is final: the
/// connection answers it and closes (RFC 9112 §2.2). A partial head over a bound is refused at once.
pub fn parse(buf: &[u8]) -> Result<Parse<'_>, Reject> {
    let Some(skipped) = leading_empty_line(buf)? else {
        return Ok(Parse::Partial);
    };
    let buf = &buf[skipped..];
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(buf, &mut slots) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return check_partial(buf).map(|()| Parse::Partial),
        Err(httparse::Error::Version) => return parse_later_minor(buf, skipped),
        Err(error) => return Err(explain(error, buf)),
    };
    let version = match request.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let method_name = request.method.expect("a complete head has a method");
    let raw_target = request.path.expect("a complete head has a target");
    judge(&buf[..len], skipped, (method_name, raw_target, version), request.headers)
}

/// What follows from a whole head, which `httparse` has taken apart.
#[inline]
fn judge<'b>(
    buf: &'b [u8],
    skipped: usize,
    (method_name, raw_target, version): (&'b str, &'b str, Version),
    fields: &[httparse::Header<'b>],
) -> Result<Parse<'b>, Reject> {
    let len = buf.len();
    if method_name.len() > METHOD_BYTES_MAX {
        return Err(Reject::MethodTooLong);
    }
    if raw_target.len() > TARGET_BYTES_MAX {
        return Err(Reject::TargetTooLong);
    }
    if len > HEAD_BYTES_MAX {
        return Err(Reject::HeadTooLong);
    }
    check_lines(buf)?;
    let facts = Facts::collect(fields, version)?;
    let framing = facts.framing.finish(version)?;
    let method = Method::of(method_name);
    let target = Target::parse(raw_target, method)?;
    let authority = match target {
        Target::Absolute(authority, _) | Target::Authority(authority) => Some(authority),
        Target::Origin(_) | Target::Asterisk => facts.host,
    };
    // One space at each side of the target, eight bytes of version, CRLF: httparse and `check_lines` saw to it.
    let block = method_name.len() + 1 + raw_target.len() + 1 + 8 + 2;
    let head = Head {
        method,
        method_name,
        raw_target,
        target,
        version,
        framing,
        authority,
        keep_alive: !facts.close && (version == Version::Http11 || facts.keep),
        expect_continue: facts.expect_continue && !matches!(framing, BodyFraming::None | BodyFraming::Length(0)),
        conditional: facts.conditional,
        fields: Fields::of_checked(&buf[block..len - 2]),
    };
    Ok(Parse::Complete { head, len: skipped + len })
}

/// Whether parsing `buf` again can complete a head that was partial at its first `seen` bytes. A head ends in LF, so that a client which sends
/// it byte by byte costs one parse a line. The bounds are checked all the same.
pub fn may_complete(buf: &[u8], seen: usize) -> bool {
    buf.len() >= HEAD_BYTES_MAX || memchr(b'\n', &buf[seen..]).is_some() || memchr(b'\n', buf).is_none()
}

/// Whether nothing of a request has arrived in `buf`, at most the empty line that some clients send behind a body (RFC 9112 §2.2): the
/// connection is idle then, not slow.
pub fn is_idle(buf: &[u8]) -> bool {
    matches!(buf, [] | [b'\r'] | [b'\r', b'\n'])
}

impl Method {
    fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

impl Version {
    /// As it stands on the wire, and in SERVER_PROTOCOL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// What one pass over the fields finds.
struct Facts<'b> {
    framing: Collector,
    host: Option<Authority<'b>>,
    close: bool,
    keep: bool,
    expect_continue: bool,
    conditional: bool,
}

impl<'b> Facts<'b> {
    fn collect(fields: &[httparse::Header<'b>], version: Version) -> Result<Self, Reject> {
        let mut facts = Self {
            framing: Collector::default(),
            host: None,
            close: false,
            keep: false,
            expect_continue: false,
            conditional: false,
        };
        for &httparse::Header { name, value } in fields {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            match name.len() {
                4 if is("host") => facts.host(value)?,
                5 if is("range") => facts.conditional = true,
                6 if is("expect") && version == Version::Http11 => facts.expect(value)?,
                8 if is("if-match") || is("if-range") => facts.conditional = true,
                10 if is("connection") => facts.connection(value),
                13 if is("if-none-match") => facts.conditional = true,
                14 if is("content-length") => facts.framing.content_length(value)?,
                17 if is("transfer-encoding") => facts.framing.transfer_encoding(value)?,
                17 if is("if-modified-since") => facts.conditional = true,
                19 if is("if-unmodified-since") => facts.conditional = true,
                _ => {}
            }
        }
        if facts.host.is_none() && version == Version::Http11 {
            return Err(Reject::HostMissing);
        }
        Ok(facts)
    }

    /// RFC 9112 §3.2: one Host and a valid one, also beside an absolute target.
    fn host(&mut self, value: &'b [u8]) -> Result<(), Reject> {
        if self.host.is_some() {
            return Err(Reject::HostRepeated);
        }
        self.host = Some(Authority::parse(value).ok_or(Reject::HostMalformed)?);
        Ok(())
    }

    /// RFC 9110 §10.1.1; HTTP/1.0 clients can't expect anything, so theirs isn't asked for.
    fn expect(&mut self, value: &[u8]) -> Result<(), Reject> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Reject::ExpectationUnknown);
        }
        self.expect_continue = true;
        Ok(())
    }

    /// RFC 9112 §9.3: `close` wins over `keep-alive`, whatever their order.
    fn connection(&mut self, value: &[u8]) {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

/// Bytes of the one empty line that may stand before a request line (RFC 9112 §2.2); `None` while that can't be told.
fn leading_empty_line(buf: &[u8]) -> Result<Option<usize>, Reject> {
    match buf {
        [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => Ok(None),
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(Reject::LeadingEmptyLines),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\n', ..] => Err(Reject::BareLineFeed),
        [b'\r', ..] => Err(Reject::RequestLine),
        _ => Ok(Some(0)),
    }
}

/// The bounds that a head breaks before it is complete.
fn check_partial(buf: &[u8]) -> Result<(), Reject> {
    let line = &buf[..memchr(b'\n', buf).unwrap_or(buf.len())];
    let method_len = memchr(b' ', line).unwrap_or(line.len());
    if method_len > METHOD_BYTES_MAX {
        return Err(Reject::MethodTooLong);
    }
    let target = line.get(method_len + 1..).unwrap_or_default();
    if memchr(b' ', target).unwrap_or(target.len()) > TARGET_BYTES_MAX {
        return Err(Reject::TargetTooLong);
    }
    check_lines(buf)?;
    if buf.len() >= HEAD_BYTES_MAX {
        return Err(Reject::HeadTooLong);
    }
    Ok(())
}

/// Every line ends in CRLF (httparse lets a bare LF pass) and is not too long. The request line's parts were measured before.
fn check_lines(buf: &[u8]) -> Result<(), Reject> {
    let mut start = 0;
    for end in memchr_iter(b'\n', buf) {
        if end == 0 || buf[end - 1] != b'\r' {
            return Err(Reject::BareLineFeed);
        }
        if end - start > FIELD_LINE_BYTES_MAX + 1 {
            return Err(Reject::FieldTooLong);
        }
        start = end + 1;
    }
    match buf.len() - start > FIELD_LINE_BYTES_MAX + 1 {
        true => Err(Reject::FieldTooLong),
        false => Ok(()),
    }
}

/// What httparse's error means. Off the hot path, so it may look at the bytes again.
#[cold]
fn explain(error: httparse::Error, buf: &[u8]) -> Reject {
    match error {
        httparse::Error::HeaderName => Reject::FieldName,
        httparse::Error::HeaderValue => Reject::FieldValue,
        httparse::Error::TooManyHeaders => Reject::FieldsTooMany,
        httparse::Error::Version if speaks_other_version(buf) => Reject::VersionUnsupported,
        // The first byte of a TLS handshake record (RFC 8446 §5.1).
        httparse::Error::Token if buf.starts_with(&[0x16]) => Reject::TlsOnPlainPort,
        _ => Reject::RequestLine,
    }
}

/// A request of a later minor version is taken as one of the highest that is known (RFC 9110 §2.5): the same message means the same in
/// both. `httparse` knows no such version, so it is given the line with another digit.
#[cold]
fn parse_later_minor(buf: &[u8], skipped: usize) -> Result<Parse<'_>, Reject> {
    let known = |line: &[u8]| matches!(line, [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']);
    let Some(end) = memchr(b'\n', buf).map(|at| at + 1) else {
        return match known(buf.strip_suffix(b"\r").unwrap_or(buf)) {
            true => check_partial(buf).map(|()| Parse::Partial),
            false => Err(explain(httparse::Error::Version, buf)),
        };
    };
    let line = &buf[..end - 1];
    match line.strip_suffix(b"\r") {
        Some(line) if known(line) => {}
        None if known(line) => return Err(Reject::BareLineFeed),
        _ => return Err(explain(httparse::Error::Version, buf)),
    }
    let mut line = buf[..end].to_vec();
    line[end - 3] = b'1';
    line.extend_from_slice(b"\r\n");
    let mut request = httparse::Request::new(&mut []);
    let (method, target) = match request.parse(&line) {
        Ok(_) => (request.method.unwrap_or_default().len(), request.path.unwrap_or_default().len()),
        Err(error) => return Err(explain(error, buf)),
    };
    let text = |range: std::ops::Range<usize>| std::str::from_utf8(&buf[range]).map_err(|_| Reject::RequestLine);
    let (method_name, raw_target) = (text(0..method)?, text(method + 1..method + 1 + target)?);
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(&buf[end..], &mut fields) {
        Ok(httparse::Status::Complete((len, fields))) => {
            judge(&buf[..end + len], skipped, (method_name, raw_target, Version::Http11), fields)
        }
        Ok(httparse::Status::Partial) => check_partial(buf).map(|()| Parse::Partial),
        Err(error) => Err(explain(error, buf)),
    }
}

/// Whether the third word of the request line is, as far as it arrived, an HTTP version (RFC 9112 §2.3).
fn speaks_other_version(buf: &[u8]) -> bool {
    let line = &buf[..memchr(b'\n', buf).unwrap_or(buf.len())];
    let Some(version) = line.split(|&byte| byte == b' ').nth(2) else {
        return false;
    };
    let version = version.strip_suffix(b"\r").unwrap_or(version);
    version.len() > 5
        && version.len() <= 8
        && version
            .iter()
            .zip(b"HTTP/0.0")
            .all(|(&byte, &model)| byte == model || (model == b'0' && byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
