//! The variables of a format, under the names that nginx gives them.
//!
//! Owns the names. What each one stands for is in [`super::write`].

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    RemoteAddr,
    RemotePort,
    RealipRemoteAddr,
    RealipRemotePort,
    RemoteUser,
    TimeLocal,
    TimeIso8601,
    TimeOfDay,
    Msec,
    Request,
    RequestMethod,
    RequestUri,
    Uri,
    Args,
    RequestQuery,
    IsArgs,
    Arg(Vec<u8>),
    ServerProtocol,
    Status,
    BodyBytesSent,
    BytesSent,
    RequestLength,
    RequestTime,
    RequestTimeS,
    RequestTimeMs,
    RequestTimeUs,
    RequestTimeExact,
    UpstreamResponseTime,
    UpstreamHeaderTime,
    UpstreamQueueTime,
    /// Index into the format's names of request fields.
    Http(usize),
    /// Index into the format's names of response fields.
    SentHttp(usize),
    Cookie(Vec<u8>),
    Host,
    ServerAddr,
    ServerPort,
    Scheme,
    Https,
    SslProtocol,
    SslCipher,
    SslServerName,
    SslSessionReused,
    SslClientVerify,
    SslClientSDn,
    RequestId,
    LimitReqStatus,
    Connection,
    ConnectionRequests,
    Pipe,
    Pid,
}

use Variable::*;

/// Names that stand for themselves; those that end in a name of the user's choice are in [`PREFIXES`].
const NAMES: [(&str, Variable); 47] = [
    ("remote_addr", RemoteAddr),
    ("remote_port", RemotePort),
    ("realip_remote_addr", RealipRemoteAddr),
    ("realip_remote_port", RealipRemotePort),
    ("remote_user", RemoteUser),
    ("time_local", TimeLocal),
    ("time_iso8601", TimeIso8601),
    ("time_of_day", TimeOfDay),
    ("msec", Msec),
    ("request", Request),
    ("request_method", RequestMethod),
    ("request_uri", RequestUri),
    ("uri", Uri),
    ("document_uri", Uri),
    ("args", Args),
    ("query_string", Args),
    ("request_query", RequestQuery),
    ("is_args", IsArgs),
    ("server_protocol", ServerProtocol),
    ("status", Status),
    ("body_bytes_sent", BodyBytesSent),
    ("bytes_sent", BytesSent),
    ("request_length", RequestLength),
    ("request_time", RequestTime),
    ("request_time_s", RequestTimeS),
    ("request_time_ms", RequestTimeMs),
    ("request_time_us", RequestTimeUs),
    ("request_time_exact", RequestTimeExact),
    ("upstream_response_time", UpstreamResponseTime),
    ("upstream_header_time", UpstreamHeaderTime),
    ("upstream_queue_time", UpstreamQueueTime),
    ("host", Host),
    ("server_addr", ServerAddr),
    ("server_port", ServerPort),
    ("scheme", Scheme),
    ("https", Https),
    ("ssl_protocol", SslProtocol),
    ("ssl_cipher", SslCipher),
    ("ssl_server_name", SslServerName),
    ("ssl_session_reused", SslSessionReused),
    ("ssl_client_verify", SslClientVerify),
    ("ssl_client_s_dn", SslClientSDn),
    ("request_id", RequestId),
    ("limit_req_status", LimitReqStatus),
    ("connection", Connection),
    ("connection_requests", ConnectionRequests),
    ("pid", Pid),
];

/// Beginnings that a name follows.
pub(super) const PREFIXES: [&str; 4] = ["http_", "sent_http_", "arg_", "cookie_"];

/// The variable of a fixed name.
pub(super) fn named(name: &str) -> Option<Variable> {
    match name {
        "pipe" => Some(Pipe),
        _ => NAMES.iter().find(|(known, _)| *known == name).map(|(_, variable)| variable.clone()),
    }
}

/// Every name that can be meant by a misspelt one.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name).chain([
        "pipe",
        "http_user_agent",
        "http_referer",
        "http_x_forwarded_for",
        "http_cookie",
    ])
}
