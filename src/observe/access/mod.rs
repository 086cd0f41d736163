//! Lines of the access log: what of a request they can say, and how it is written.
//!
//! Owns the formats (nginx's `combined` and `common`, `json`, and format strings with nginx's variables), parsed once into segments.
//! Pure: bytes in, bytes out, the time passed in. It never writes anywhere. Called by `config` (which checks formats) and by `shard`.
//!
//! Whatever a client sends, a line is one line: control characters never get into it raw, and it is at most
//! [`ACCESS_LINE_BYTES_MAX`](crate::base::bounds::ACCESS_LINE_BYTES_MAX) long.

mod escape;
mod fields;
mod format;
mod stamp;
#[cfg(test)]
mod tests;
mod user;
mod variable;
mod write;

pub use escape::Escape;
pub use format::{Format, FormatError, Wants};
pub use stamp::Stamp;

use std::time::Duration;

/// What is known of a request when its line is written. Borrowed, empty where it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// The client's address; empty for a client of a unix socket.
    pub remote_addr: &'a str,
    /// The client's port.
    pub remote_port: &'a str,
    /// The address of the connection's peer, which may be a proxy's; empty for one of a unix socket.
    pub realip_remote_addr: &'a str,
    /// The peer's port.
    pub realip_remote_port: &'a str,
    /// The address on which the connection came in.
    pub server_addr: &'a str,
    /// The port on which it came in.
    pub server_port: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// What was agreed on with TLS.
    pub tls: Tls<'a>,
    /// The connection's number.
    pub connection: u64,
    /// Which of the connection's requests this is, from 1.
    pub connection_requests: u32,
    /// Whether it had arrived before the one before it was answered.
    pub is_pipelined: bool,
    /// The request line as it was sent, or what of it came.
    pub request_line: &'a [u8],
    /// The method; empty for a request that could not be read.
    pub method: &'a [u8],
    /// The target as it was sent; empty for a request that could not be read.
    pub target: &'a [u8],
    /// The target's path, decoded and normalised; needed only by formats that want it.
    pub uri: &'a [u8],
    /// The version as it stands in the request line.
    pub protocol: &'static str,
    /// The host that was asked for, without its port.
    pub host: &'a [u8],
    /// The request's field lines, each with its CRLF.
    pub fields: &'a [u8],
    /// The response's field lines, each with its CRLF.
    pub response_fields: &'a [u8],
    /// The status that was sent; 499 for a client that left before.
    pub status: u16,
    /// Bytes handed to the kernel for this response.
    pub bytes_sent: u64,
    /// … without those of its head.
    pub body_bytes_sent: u64,
    /// Bytes of the request, its body included.
    pub request_length: u64,
    /// From the request's first byte to this line.
    pub request_time: Duration,
    /// How long it waited for a worker, whether it got to one or not; `None`: it was no request for the application.
    pub queue_time: Option<Duration>,
    /// The application's part, if it had one.
    pub upstream: Option<Upstream>,
    /// The request's id.
    pub request_id: &'a [u8],
    /// What became of it at a limit, as nginx says it; empty where there is none.
    pub limit_status: &'static str,
}

/// What was agreed on with a client that speaks TLS; empty for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// `TLSv1.3`.
    pub protocol: &'a str,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'a str,
    /// The host that the client named, if it did.
    pub server_name: &'a str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// `SUCCESS` or `NONE` where clients are asked for a certificate.
    pub client_verify: &'a str,
    /// The subject of the client's certificate.
    pub client_subject: &'a str,
}

/// What the application's part of a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// From the request's being handed to the workers to the beginning of the answer; `None`: there was none.
    pub header_time: Option<Duration>,
    /// … to the end of the answer.
    pub response_time: Duration,
}
