//! `access_log`: from its value to [`AccessLogConfig`].
//!
//! Owns the forms in which a log's place can be written. Opens nothing: `supervise` does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Problem;
use super::options;
use super::section::{Bases, Reader, nearest};
use super::status::StatusPattern;
use super::value::{Place, Placed, Table, Value};
use crate::observe::access::{Format, FormatError};

/// Where the access log goes and what its lines look like.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLogConfig {
    /// Where it goes.
    pub target: LogTarget,
    /// What a line looks like.
    pub format: Format,
    /// The same as it was written.
    pub format_text: String,
    /// Bytes that a shard gathers before it writes.
    pub buffer_bytes: usize,
    /// How long a line may wait for that.
    pub flush: Duration,
    /// Paths whose requests are not logged.
    pub skip: Vec<SkippedPath>,
    /// Statuses that are not logged.
    pub skip_status: Vec<StatusPattern>,
    /// The part of requests with statuses below 400 that is logged, above 0 and at most 1.
    pub sample: f64,
    /// When the file is rotated by the server itself.
    pub rotation: Rotation,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Appended to this file.
    File(PathBuf),
    /// The server's standard output.
    Stdout,
    /// Datagrams to a syslog daemon.
    Syslog(SyslogConfig),
}

/// How syslog is reached and what it is told (RFC 3164).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogConfig {
    /// Where it listens.
    pub server: SyslogServer,
    /// Facility × 8 + severity.
    pub priority: u8,
    /// The program's name.
    pub tag: String,
}

/// Where a syslog daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogServer {
    /// A unix datagram socket.
    Unix(PathBuf),
    /// UDP.
    Udp(SocketAddr),
}

/// A path whose requests are not logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkippedPath {
    /// This path.
    Exact(String),
    /// Every path that begins so.
    Prefix(String),
}

/// When the server rotates the file itself; all `None`: never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Once it is larger than this, bytes.
    pub size_bytes: Option<u64>,
    /// Once it is older than this.
    pub age: Option<Duration>,
    /// How many rotated files are kept.
    pub keep: u32,
}

impl SkippedPath {
    /// Whether `path`, as it was sent, is meant.
    pub fn holds(&self, path: &[u8]) -> bool {
        match self {
            SkippedPath::Exact(text) => path == text.as_bytes(),
            SkippedPath::Prefix(text) => path.starts_with(text.as_bytes()),
        }
    }
}

/// Reads the option's value: a place, or a table with a `path` and more. `None`: no log, or a problem.
pub(super) fn access_log(
    placed: Option<Placed>,
    bases: Bases<'_>,
    problems: &mut Vec<Problem>,
) -> Option<AccessLogConfig> {
    let Placed { place, value } = placed?;
    let (table, is_short) = match value {
        Value::Table(table) => (table, false),
        text @ Value::Text(_) => {
            let mut table = Table::default();
            table.set(options::LOG_PATH.spec.name, Placed { place: place.clone(), value: text });
            (table, true)
        }
        other => {
            let message = format!("must be {}, not {}", options::ACCESS_LOG.spec.unit, other.kind());
            problems.push(Problem { place, key: "server.access_log".to_owned(), message });
            return None;
        }
    };
    let before = problems.len();
    let config = read(table, &place, bases, problems);
    if is_short {
        for problem in &mut problems[before..] {
            problem.key = "server.access_log".to_owned();
        }
    }
    config
}

fn read(table: Table, place: &Place, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Option<AccessLogConfig> {
    let name = options::ACCESS_LOG_TABLE.name;
    let mut reader = Reader::new(table, name, options::ACCESS_LOG_TABLE.options, bases, problems);
    let given = reader.has(&options::LOG_PATH);
    let target = reader.placed(&options::LOG_PATH);
    if !given {
        reader.problem(place.clone(), "", "must have a \"path\"");
    }
    let escape = reader.value(&options::LOG_ESCAPE);
    let (format_text, place_of_format) =
        reader.placed(&options::LOG_FORMAT).unwrap_or_else(|| ("combined".to_owned(), Place::Nowhere));
    let format = Format::parse(&format_text, escape).unwrap_or_else(|error| {
        reader.problem(place_of_format, options::LOG_FORMAT.spec.name, explain(&error));
        Format::combined()
    });
    let rotation_given = [reader.has(&options::LOG_ROTATE_SIZE), reader.has(&options::LOG_ROTATE_AGE)];
    let config = AccessLogConfig {
        target: LogTarget::Stdout,
        format,
        format_text,
        buffer_bytes: usize::try_from(reader.value(&options::LOG_BUFFER)).unwrap_or(usize::MAX),
        flush: reader.value(&options::LOG_FLUSH),
        skip: reader.value(&options::LOG_SKIP),
        skip_status: reader.value(&options::LOG_SKIP_STATUS),
        sample: reader.value(&options::LOG_SAMPLE),
        rotation: Rotation {
            size_bytes: reader.optional(&options::LOG_ROTATE_SIZE),
            age: reader.optional(&options::LOG_ROTATE_AGE),
            keep: reader.value(&options::LOG_ROTATE_KEEP),
        },
    };
    let is_file = matches!(&target, Some((Some(LogTarget::File(_)), _)));
    if rotation_given.contains(&true) && given && !is_file {
        reader.problem(place.clone(), "", "only a file can be rotated");
    }
    reader.finish();
    let (target, _) = target?;
    Some(AccessLogConfig { target: target?, ..config })
}

fn explain(error: &FormatError) -> String {
    let meant = match error {
        FormatError::Unknown(name) => nearest(name, Format::names()).map(|name| format!("${name}")),
        FormatError::NoPreset(text) => nearest(text, Format::names().take(4)).map(str::to_owned),
        _ => None,
    };
    meant.map_or_else(|| error.to_string(), |name| format!("{error}; did you mean \"{name}\"?"))
}

/// A place as it is written: `off`, `stdout` (or `-`, as in gunicorn), `syslog…` or a path.
pub(super) fn target(text: &str, base: &Path) -> Result<Option<LogTarget>, String> {
    match text {
        "off" => Ok(None),
        "stdout" | "-" => Ok(Some(LogTarget::Stdout)),
        "syslog" => syslog("").map(|syslog| Some(LogTarget::Syslog(syslog))),
        _ => match text.strip_prefix("syslog:") {
            Some(parameters) => syslog(parameters).map(|syslog| Some(LogTarget::Syslog(syslog))),
            None if text.is_empty() || text.contains('\0') => {
                Err("must not be empty and must not contain NUL".to_owned())
            }
            None => Ok(Some(LogTarget::File(base.join(text).components().collect()))),
        },
    }
}

/// Facilities in the order of their numbers (RFC 3164 §4.1.1).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// Severities in the order of their numbers.
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];
/// Longest tag that RFC 3164 §4.1.3 knows, bytes.
const TAG_BYTES_MAX: usize = 32;
/// Where a host's own syslog listens.
const LOCAL_SYSLOG: &str = "/dev/log";
/// The port of syslog over UDP (RFC 5426 §3.3).
const SYSLOG_PORT: u16 = 514;

/// nginx's parameters: `server=…,facility=…,severity=…,tag=…`.
pub(super) fn syslog(parameters: &str) -> Result<SyslogConfig, String> {
    let mut config = SyslogConfig {
        server: SyslogServer::Unix(LOCAL_SYSLOG.into()),
        priority: 0,
        tag: env!("CARGO_PKG_NAME").to_owned(),
    };
    let (mut facility, mut severity) = (23, 6);
    for parameter in parameters.split(',').filter(|parameter| !parameter.is_empty()) {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(format!("syslog: \"{parameter}\" is not of the form NAME=VALUE"));
        };
        let number = |names: &[&str]| {
            names
                .iter()
                .position(|known| *known == value)
                .map(|number| number as u8)
                .ok_or_else(|| format!("syslog: \"{value}\" is no {name}; there are {}", names.join(", ")))
        };
        match name {
            "server" => config.server = syslog_server(value)?,
            "facility" => facility = number(&FACILITIES)?,
            "severity" => severity = number(&SEVERITIES)?,
            "tag"
                if (1..=TAG_BYTES_MAX).contains(&value.len())
                    && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) =>
            {
                config.tag = value.to_owned();
            }
            "tag" => {
                return Err(format!("syslog: a tag is 1 to {TAG_BYTES_MAX} letters, digits, \"_\", \"-\" or \".\""));
            }
            _ => return Err(format!("syslog: \"{name}\" is none of server, facility, severity and tag")),
        }
    }
    Ok(SyslogConfig { priority: facility * 8 + severity, ..config })
}

fn syslog_server(text: &str) -> Result<SyslogServer, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return match path.is_absolute() {
            true => Ok(SyslogServer::Unix(path)),
            false => Err("syslog: the socket's path must be absolute, as in \"server=unix:/dev/log\"".to_owned()),
        };
    }
    let address = text.parse().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, SYSLOG_PORT)));
    address
        .map(SyslogServer::Udp)
        .map_err(|_| format!("syslog: \"{text}\" is neither \"unix:PATH\" nor an IP address with or without a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let target = |text: &str| target(text, Path::new("/base"));
        assert_eq!(target("off"), Ok(None));
        assert_eq!(target("-"), Ok(Some(LogTarget::Stdout)));
        assert_eq!(target("log/a.log"), Ok(Some(LogTarget::File("/base/log/a.log".into()))));
        let Ok(Some(LogTarget::Syslog(local))) = target("syslog") else { panic!("a syslog") };
        assert_eq!((local.server, local.priority), (SyslogServer::Unix("/dev/log".into()), 23 * 8 + 6));
        let Ok(Some(LogTarget::Syslog(udp))) = target("syslog:server=127.0.0.1,facility=user,severity=warn,tag=a-b")
        else {
            panic!("a syslog")
        };
        assert_eq!((udp.server, udp.priority), (SyslogServer::Udp("127.0.0.1:514".parse().expect("an address")), 12));
        assert_eq!(udp.tag, "a-b");
        for bad in
            ["", "syslog:x", "syslog:server=example.com", "syslog:facility=x", "syslog:tag=a b", "syslog:server=unix:x"]
        {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
