//! Lines from formats and records.
//!
//! Pure. Nothing here goes through `std::fmt`: a line costs a fraction of what its request did.

use std::time::Duration;

use super::escape::{self, Escape};
use super::fields::{self, Found, NAMES_MAX};
use super::format::{Format, Segment};
use super::stamp::Stamp;
use super::user;
use super::variable::Variable;
use super::{Record, Tls};
use crate::base::bounds::{ACCESS_FORMAT_BYTES_MAX, ACCESS_LINE_BYTES_MAX};

/// What a variable stands for in one line.
enum Value<'a> {
    Absent,
    /// From outside: to be escaped.
    Foreign(&'a [u8]),
    Decoded(Vec<u8>),
    /// Needs no escaping.
    Plain(&'a [u8]),
    Number(u64),
    Time(Duration),
    /// With microseconds.
    ExactTime(Duration),
}

impl Format {
    /// Appends the line of `record`, its line feed included: at most [`ACCESS_LINE_BYTES_MAX`] bytes. `wall_ms` is only looked at if the
    /// format wants it.
    pub fn write(&self, out: &mut Vec<u8>, record: &Record<'_>, stamp: &Stamp, wall_ms: u64) {
        const { assert!(ACCESS_FORMAT_BYTES_MAX * 21 < ACCESS_LINE_BYTES_MAX) };
        let end = out.len() + ACCESS_LINE_BYTES_MAX;
        let line = Line {
            format: self,
            record,
            stamp,
            wall_ms,
            http: if self.http.is_empty() { NOTHING } else { fields::find(record.fields, &self.http) },
            sent_http: match self.sent_http.is_empty() {
                true => NOTHING,
                false => fields::find(record.response_fields, &self.sent_http),
            },
        };
        for (segment, reserve) in self.segments.iter().zip(&self.reserves) {
            let room = (end - out.len()).saturating_sub(*reserve);
            match segment {
                Segment::Literal(text) => out.extend_from_slice(text),
                Segment::Variable(variable) => line.push(out, variable, room),
                Segment::Json(variable) => line.push_json(out, variable, room),
                Segment::Colour => out.extend_from_slice(colour(record.status)),
            }
        }
        out.push(b'\n');
    }
}

const NOTHING: [Found<'static>; NAMES_MAX] = [Found { value: None, is_repeated: false }; NAMES_MAX];

/// One line while it is written.
struct Line<'a> {
    format: &'a Format,
    record: &'a Record<'a>,
    stamp: &'a Stamp,
    wall_ms: u64,
    http: [Found<'a>; NAMES_MAX],
    sent_http: [Found<'a>; NAMES_MAX],
}

impl<'a> Line<'a> {
    fn push(&self, out: &mut Vec<u8>, variable: &Variable, room: usize) {
        match self.value(variable) {
            Value::Absent if self.format.escape == Escape::Default => out.push(b'-'),
            Value::Absent => {}
            Value::Foreign(bytes) => escape::push(self.format.escape, out, bytes, room),
            Value::Decoded(bytes) => escape::push(self.format.escape, out, &bytes, room),
            Value::Plain(bytes) => out.extend_from_slice(bytes),
            Value::Number(number) => push_number(out, number),
            Value::Time(time) => push_time(out, time),
            Value::ExactTime(time) => push_exact_time(out, time),
        }
    }

    fn push_json(&self, out: &mut Vec<u8>, variable: &Variable, room: usize) {
        let foreign = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.push(b'"');
            escape::push(Escape::Json, out, bytes, room.saturating_sub(2));
            out.push(b'"');
        };
        match self.value(variable) {
            Value::Absent => out.extend_from_slice(b"null"),
            Value::Foreign(bytes) => foreign(out, bytes),
            Value::Decoded(bytes) => foreign(out, &bytes),
            Value::Plain(bytes) => {
                out.push(b'"');
                out.extend_from_slice(bytes);
                out.push(b'"');
            }
            Value::Number(number) => push_number(out, number),
            Value::Time(time) => push_time(out, time),
            Value::ExactTime(time) => push_exact_time(out, time),
        }
    }

    fn value(&self, variable: &Variable) -> Value<'_> {
        let record = self.record;
        match variable {
            // nginx says so of clients without an address; a balancer or proxy may have one and not tell that of its client.
            Variable::RemoteAddr if record.remote_addr.is_empty() && record.realip_remote_addr.is_empty() => {
                Value::Plain(b"unix:")
            }
            Variable::RemoteAddr => plain(record.remote_addr),
            Variable::RemotePort => plain(record.remote_port),
            Variable::RealipRemoteAddr if record.realip_remote_addr.is_empty() => Value::Plain(b"unix:"),
            Variable::RealipRemoteAddr => plain(record.realip_remote_addr),
            Variable::RealipRemotePort => plain(record.realip_remote_port),
            Variable::RemoteUser => {
                let value = fields::all(record.fields, b"authorization").next();
                value.and_then(user::of_credentials).map_or(Value::Absent, Value::Decoded)
            }
            Variable::TimeLocal => Value::Plain(self.stamp.local()),
            Variable::TimeOfDay => Value::Plain(self.stamp.time_of_day()),
            Variable::TimeIso8601 => Value::Plain(self.stamp.iso8601()),
            Variable::Msec => Value::Time(Duration::from_millis(self.wall_ms)),
            Variable::Request => Value::Foreign(record.request_line),
            Variable::RequestMethod => foreign(record.method),
            Variable::RequestUri => foreign(record.target),
            Variable::Uri => foreign(record.uri),
            Variable::Args => foreign(self.args()),
            // Not absent without one: empty.
            Variable::RequestQuery => Value::Foreign(self.args()),
            Variable::IsArgs => Value::Plain(if self.args().is_empty() { b"" } else { b"?" }),
            Variable::Arg(name) => {
                let pairs = self.args().split(|&byte| byte == b'&').filter_map(|pair| split(pair, b'='));
                pairs
                    .into_iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map_or(Value::Absent, |pair| Value::Foreign(pair.1))
            }
            Variable::LimitReqStatus => plain(record.limit_status),
            Variable::ServerProtocol => plain(record.protocol),
            Variable::Status => Value::Number(u64::from(record.status)),
            Variable::BodyBytesSent => Value::Number(record.body_bytes_sent),
            Variable::BytesSent => Value::Number(record.bytes_sent),
            Variable::RequestLength => Value::Number(record.request_length),
            Variable::RequestTime => Value::Time(record.request_time),
            Variable::RequestTimeS => Value::Number(record.request_time.as_secs()),
            Variable::RequestTimeMs => {
                Value::Number(u64::try_from(record.request_time.as_millis()).unwrap_or(u64::MAX))
            }
            Variable::RequestTimeUs => {
                Value::Number(u64::try_from(record.request_time.as_micros()).unwrap_or(u64::MAX))
            }
            Variable::RequestTimeExact => Value::ExactTime(record.request_time),
            Variable::UpstreamResponseTime => time(record.upstream.map(|upstream| upstream.response_time)),
            Variable::UpstreamHeaderTime => time(record.upstream.and_then(|upstream| upstream.header_time)),
            Variable::UpstreamQueueTime => time(record.queue_time),
            Variable::Http(index) => joined(record.fields, self.http[*index], &self.format.http[*index]),
            Variable::SentHttp(index) => {
                joined(record.response_fields, self.sent_http[*index], &self.format.sent_http[*index])
            }
            Variable::Cookie(name) => {
                let cookies = fields::all(record.fields, b"cookie").flat_map(|value| value.split(|&byte| byte == b';'));
                let mut pairs = cookies.filter_map(|pair| split(pair.trim_ascii(), b'='));
                pairs
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map_or(Value::Absent, |pair| Value::Foreign(pair.1))
            }
            Variable::Host => match record.host.iter().any(u8::is_ascii_uppercase) {
                true => Value::Decoded(record.host.to_ascii_lowercase()),
                false => foreign(record.host),
            },
            Variable::ServerAddr if record.server_addr.is_empty() => Value::Plain(b"unix:"),
            Variable::ServerAddr => Value::Plain(record.server_addr.as_bytes()),
            Variable::ServerPort => plain(record.server_port),
            Variable::Scheme => plain(record.scheme),
            Variable::Https => plain(if record.scheme == "https" { "on" } else { "" }),
            Variable::SslProtocol => plain(record.tls.protocol),
            Variable::SslCipher => plain(record.tls.cipher),
            Variable::SslServerName => foreign(record.tls.server_name.as_bytes()),
            Variable::SslSessionReused => match record.tls {
                Tls { protocol: "", .. } => plain(""),
                Tls { resumed: true, .. } => plain("r"),
                Tls { resumed: false, .. } => plain("."),
            },
            Variable::SslClientVerify => plain(record.tls.client_verify),
            Variable::SslClientSDn => foreign(record.tls.client_subject.as_bytes()),
            Variable::RequestId => foreign(record.request_id),
            Variable::Connection => Value::Number(record.connection),
            Variable::ConnectionRequests => Value::Number(u64::from(record.connection_requests)),
            Variable::Pid => Value::Number(u64::from(std::process::id())),
            Variable::Pipe => Value::Plain(if record.is_pipelined { b"p" } else { b"." }),
        }
    }

    fn args(&self) -> &'a [u8] {
        split(self.record.target, b'?').map_or(b"", |(_, query)| query)
    }
}

/// All lines of a repeated field as one value: cookies as RFC 6265 §5.4 has them, others as a list (RFC 9110 §5.3).
fn joined<'a>(block: &'a [u8], found: Found<'a>, name: &[u8]) -> Value<'a> {
    match found.value {
        None => Value::Absent,
        Some(value) if !found.is_repeated => Value::Foreign(value),
        Some(_) => {
            let separator: &[u8] = if name == b"cookie" { b"; " } else { b", " };
            Value::Decoded(fields::all(block, name).collect::<Vec<_>>().join(separator))
        }
    }
}

/// Plain, cyan, yellow or red (ECMA-48 SGR).
fn colour(status: u16) -> &'static [u8] {
    match status {
        300..=399 => b"\x1b[36m",
        400..=499 => b"\x1b[33m",
        500.. => b"\x1b[31m",
        _ => b"\x1b[39m",
    }
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    memchr::memchr(at, bytes).map(|index| (&bytes[..index], &bytes[index + 1..]))
}

/// Absent where nothing is known.
fn foreign(bytes: &[u8]) -> Value<'_> {
    if bytes.is_empty() { Value::Absent } else { Value::Foreign(bytes) }
}

fn plain(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Plain(text.as_bytes()) }
}

fn time(time: Option<Duration>) -> Value<'static> {
    time.map_or(Value::Absent, Value::Time)
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Seconds with three digits behind the point, as nginx has them.
fn push_time(out: &mut Vec<u8>, time: Duration) {
    push_number(out, time.as_secs());
    let ms = time.subsec_millis();
    out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10 % 10), digit(ms % 10)]);
}

/// Seconds with six digits behind the point.
fn push_exact_time(out: &mut Vec<u8>, time: Duration) {
    push_number(out, time.as_secs());
    out.push(b'.');
    let us = time.subsec_micros();
    out.extend([100_000, 10_000, 1000, 100, 10, 1].map(|place| digit(us / place % 10)));
}

fn digit(number: u32) -> u8 {
    b'0' + number as u8
}
