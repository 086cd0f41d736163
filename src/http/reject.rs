//! Every reason for refusing a request, who is at fault, and the status that says so.
//!
//! Owns the one mapping from reasons to statuses. It never writes a response: `response` does. Every module of `http` returns these,
//! and `shard` adds the reasons that only it can know (timeouts, bounds of the configuration, a full queue).

use std::fmt;

/// Why a request is refused. `Debug` gives the stable name that tests and logs use, `Display` the reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// The client speaks TLS to a listener without it.
    TlsOnPlainPort,
    /// The client speaks plain HTTP to a listener with TLS.
    PlainOnTlsPort,
    /// The host asks for a client certificate, and this session was begun for another one (RFC 9110 §15.5.20).
    Misdirected,
    /// The host is none of those that are served (RFC 9110 §7.4, §15.5.20).
    HostUnknown,
    /// More than one empty line stands before the request line (RFC 9112 §2.2).
    LeadingEmptyLines,
    /// The request line isn't `method SP target SP version CRLF` (RFC 9112 §3).
    RequestLine,
    /// The method is longer than any that exists (RFC 9112 §3).
    MethodTooLong,
    /// A line ends in LF without CR (RFC 9112 §2.2).
    BareLineFeed,
    /// The target has none of the four forms (RFC 9112 §3.2).
    TargetMalformed,
    /// The target holds a fragment, which never leaves the client (RFC 9110 §7.1).
    TargetFragment,
    /// The target is longer than `TARGET_BYTES_MAX` (RFC 9112 §3).
    TargetTooLong,
    /// A `%` in the path isn't followed by two hexadecimal digits (RFC 3986 §2.1).
    PercentMalformed,
    /// The decoded path holds a NUL.
    PathNul,
    /// The path's dot segments climb above the root.
    PathAboveRoot,
    /// The major version is not 1 (RFC 9110 §15.6.6).
    VersionUnsupported,
    /// A field name isn't a token, or white space stands before or after it, as in a folded line (RFC 9112 §5.1, §5.2).
    FieldName,
    /// A field value holds a control character or a CR without LF (RFC 9110 §5.5).
    FieldValue,
    /// More than `FIELDS_MAX` fields (RFC 6585 §5).
    FieldsTooMany,
    /// A field line is longer than `FIELD_LINE_BYTES_MAX` (RFC 6585 §5).
    FieldTooLong,
    /// The head is longer than `HEAD_BYTES_MAX` (RFC 6585 §5).
    HeadTooLong,
    /// HTTP/1.1 without a Host field (RFC 9112 §3.2).
    HostMissing,
    /// More than one Host field (RFC 9112 §3.2).
    HostRepeated,
    /// Host, or the target's authority, isn't `host [":" port]` (RFC 9112 §3.2, RFC 3986 §3.2).
    HostMalformed,
    /// A trusted proxy has sent a Forwarded field that is malformed (RFC 7239 §4).
    ForwardedMalformed,
    /// Content-Length isn't a plain decimal number below 2^64 (RFC 9110 §8.6).
    LengthMalformed,
    /// More than one Content-Length field, equal or not (RFC 9112 §6.3).
    LengthRepeated,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1).
    LengthWithCoding,
    /// Transfer-Encoding isn't a list of tokens (RFC 9112 §6.1).
    CodingMalformed,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    CodingUnknown,
    /// `chunked` isn't the last transfer coding, or is applied twice (RFC 9112 §6.1, §6.3).
    CodingNotLast,
    /// Transfer-Encoding in an HTTP/1.0 request (RFC 9112 §6.1).
    CodingInHttp10,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationUnknown,
    /// A chunk size isn't plain hexadecimal below 2^64 (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk extension breaks the grammar (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A chunk-size line is longer than `CHUNK_LINE_BYTES_MAX`, or all extensions of a body than `CHUNK_EXTENSIONS_BYTES_MAX`.
    ChunkLineTooLong,
    /// Chunk data isn't followed by CRLF (RFC 9112 §7.1).
    ChunkEnd,
    /// A trailer field breaks the grammar of field lines (RFC 9112 §7.1.2).
    TrailerMalformed,
    /// The trailer section is longer than `TRAILER_BYTES_MAX`.
    TrailerTooLong,
    /// The body is larger than the route allows (RFC 9110 §15.5.14).
    BodyTooLarge,
    /// The body's length must be known beforehand here (RFC 9110 §15.5.12).
    LengthRequired,
    /// The resource doesn't know this method (RFC 9110 §15.5.6). The response must carry Allow.
    MethodNotAllowed,
    /// The method isn't offered by this server at all, such as CONNECT (RFC 9110 §15.6.2).
    MethodUnknown,
    /// The head didn't arrive in time (RFC 9110 §15.5.9).
    HeadTimeout,
    /// The body stopped arriving (RFC 9110 §15.5.9).
    BodyTimeout,
    /// The shard's queue of requests for workers is full (RFC 9110 §15.6.4).
    QueueFull,
    /// No worker took the request in time (RFC 9110 §15.6.4).
    QueueTimeout,
    /// The server is stopping (RFC 9110 §15.6.4).
    Stopping,
    /// There is no room to keep the body (RFC 9110 §15.6.4).
    NoRoom,
}

/// Who has to change something so that the request is no longer refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client sent what it may not send.
    Client,
    /// The client is right; the server can't or won't serve it now.
    Server,
}

impl Reject {
    /// The status of the refusal: the only place where reasons become statuses.
    pub const fn status(self) -> u16 {
        use Reject::*;
        match self {
            TlsOnPlainPort | PlainOnTlsPort | LeadingEmptyLines | RequestLine | BareLineFeed | TargetMalformed
            | TargetFragment | PercentMalformed | PathNul | PathAboveRoot | FieldName | FieldValue | HostMissing
            | HostRepeated | HostMalformed | ForwardedMalformed | LengthMalformed | LengthRepeated
            | LengthWithCoding | CodingMalformed | CodingNotLast | CodingInHttp10 | ChunkSize | ChunkExtension
            | ChunkLineTooLong | ChunkEnd | TrailerMalformed => 400,
            MethodNotAllowed => 405,
            HeadTimeout | BodyTimeout => 408,
            LengthRequired => 411,
            BodyTooLarge => 413,
            TargetTooLong => 414,
            ExpectationUnknown => 417,
            Misdirected | HostUnknown => 421,
            FieldsTooMany | FieldTooLong | HeadTooLong | TrailerTooLong => 431,
            MethodTooLong | MethodUnknown | CodingUnknown => 501,
            QueueFull | QueueTimeout | Stopping | NoRoom => 503,
            VersionUnsupported => 505,
        }
    }

    /// Who is at fault.
    pub const fn fault(self) -> Fault {
        match self {
            Self::QueueFull | Self::QueueTimeout | Self::Stopping | Self::NoRoom => Fault::Server,
            _ => Fault::Client,
        }
    }

    /// The reason in words, for the log and for the body of the response: a clause without a full stop, free of HTML's special
    /// characters and of anything that the client sent.
    pub const fn reason(self) -> &'static str {
        use Reject::*;
        match self {
            TlsOnPlainPort => "the client speaks TLS, but this port serves plain HTTP",
            PlainOnTlsPort => "the client speaks plain HTTP, but this port serves HTTPS",
            Misdirected => "this host asks for a client certificate, and the connection was begun for another host",
            HostUnknown => "this host is not served here",
            LeadingEmptyLines => "more than one empty line stands before the request line",
            RequestLine => "the request line is malformed",
            MethodTooLong => "the method is longer than any that exists",
            BareLineFeed => "a line ends in LF without CR",
            TargetMalformed => "the request target is malformed",
            TargetFragment => "the request target holds a fragment",
            TargetTooLong => "the request target is too long",
            PercentMalformed => "a percent sign in the path is not followed by two hexadecimal digits",
            PathNul => "the path holds a NUL character",
            PathAboveRoot => "the path climbs above the root",
            VersionUnsupported => "the version is not one of HTTP/1",
            FieldName => "a field name is malformed, or white space stands beside it",
            FieldValue => "a field value holds a control character",
            FieldsTooMany => "the head has too many fields",
            FieldTooLong => "a field line is too long",
            HeadTooLong => "the head is too long",
            HostMissing => "the Host field is missing",
            HostRepeated => "there is more than one Host field",
            HostMalformed => "the host is malformed",
            ForwardedMalformed => "the Forwarded field is malformed",
            LengthMalformed => "Content-Length is not a number",
            LengthRepeated => "there is more than one Content-Length field",
            LengthWithCoding => "Content-Length and Transfer-Encoding exclude each other",
            CodingMalformed => "Transfer-Encoding is malformed",
            CodingUnknown => "a transfer coding other than chunked is not supported",
            CodingNotLast => "chunked must be the last transfer coding, once",
            CodingInHttp10 => "HTTP/1.0 has no Transfer-Encoding",
            ExpectationUnknown => "an expectation other than 100-continue is not supported",
            ChunkSize => "a chunk size is malformed",
            ChunkExtension => "a chunk extension is malformed",
            ChunkLineTooLong => "a chunk-size line is too long",
            ChunkEnd => "chunk data is not followed by CRLF",
            TrailerMalformed => "a trailer field is malformed",
            TrailerTooLong => "the trailer section is too long",
            BodyTooLarge => "the body is too large",
            LengthRequired => "the length of the body must be given",
            MethodNotAllowed => "the method is not allowed here",
            MethodUnknown => "the method is not supported by this server",
            HeadTimeout => "the head of the request did not arrive in time",
            BodyTimeout => "the body of the request did not arrive in time",
            QueueFull => "too many requests are waiting",
            QueueTimeout => "no worker was free in time",
            Stopping => "the server is stopping",
            NoRoom => "the server has no room for the body",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::response::reason_phrase;

    #[test]
    fn reasons_can_be_shown_and_statuses_exist() {
        use Reject::*;
        for reject in [
            TlsOnPlainPort,
            HostUnknown,
            LeadingEmptyLines,
            RequestLine,
            MethodTooLong,
            BareLineFeed,
            TargetMalformed,
            TargetFragment,
            TargetTooLong,
            PercentMalformed,
            PathNul,
            PathAboveRoot,
            VersionUnsupported,
            FieldName,
            FieldValue,
            FieldsTooMany,
            FieldTooLong,
            HeadTooLong,
            HostMissing,
            HostRepeated,
            HostMalformed,
            ForwardedMalformed,
            LengthMalformed,
            LengthRepeated,
            LengthWithCoding,
            CodingMalformed,
            CodingUnknown,
            CodingNotLast,
            CodingInHttp10,
            ExpectationUnknown,
            ChunkSize,
            ChunkExtension,
            ChunkLineTooLong,
            ChunkEnd,
            TrailerMalformed,
            TrailerTooLong,
            BodyTooLarge,
            LengthRequired,
            MethodNotAllowed,
            MethodUnknown,
            HeadTimeout,
            BodyTimeout,
            QueueFull,
            QueueTimeout,
            Stopping,
        ] {
            assert!(!reject.reason().is_empty() && !reject.reason().contains(['<', '>', '&', '"', '\'']), "{reject:?}");
            assert!(!reason_phrase(reject.status()).is_empty(), "{reject:?}");
            assert_eq!(reject.fault() == Fault::Server, reject.status() == 503, "{reject:?}");
        }
    }
}
