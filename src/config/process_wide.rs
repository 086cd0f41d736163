//! Readers of the options that concern the process as a whole: mask, name, diagnostic log.

use std::path::{Path, PathBuf};

use super::options::Unit;
use super::read;
use super::types::{LogLevel, StatsdTarget};
use super::value::Value;
use crate::base::bounds::{PROC_NAME_BYTES_MAX, STATSD_BYTES_MAX};

/// A file mode creation mask (umask(2)).
pub(super) fn mask(value: &Value, unit: Unit, _: &Path) -> Result<u32, String> {
    let number = match value {
        Value::Integer(number) => u32::try_from(*number).ok(),
        Value::Text(text) => u32::from_str_radix(text.trim(), 8).ok(),
        _ => None,
    };
    number.filter(|number| *number <= 0o777).ok_or_else(|| read::not(unit, value))
}

/// A name for processes.
pub(super) fn process_name(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    let text = read::text(value, unit, base)?;
    let is_name = (1..=PROC_NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if is_name { Ok(text) } else { Err(read::not(unit, value)) }
}

/// `stderr`, or `-` as in Gunicorn, is no file.
pub(super) fn error_log(value: &Value, unit: Unit, base: &Path) -> Result<Option<PathBuf>, String> {
    match read::text(value, unit, base)?.as_str() {
        "stderr" | "-" => Ok(None),
        _ => read::path(value, unit, base).map(Some),
    }
}

/// Also by the names that Python's logging has.
pub(super) fn log_level(value: &Value, unit: Unit, base: &Path) -> Result<LogLevel, String> {
    match read::text(value, unit, base)?.to_ascii_lowercase().as_str() {
        "error" | "critical" => Ok(LogLevel::Error),
        "warn" | "warning" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err(read::not(unit, value)),
    }
}

/// `HOST:PORT` or `unix:PATH`, also as Gunicorn writes it: `unix://PATH`.
pub(super) fn statsd_host(value: &Value, unit: Unit, base: &Path) -> Result<StatsdTarget, String> {
    let text = read::text(value, unit, base)?;
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return read::path(&Value::Text(path.to_owned()), unit, base).map(StatsdTarget::Unix);
    }
    let parted = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parted {
        Some((host, port)) if !host.is_empty() && port != 0 => {
            Ok(StatsdTarget::Udp(host.trim_matches(['[', ']']).to_owned(), port))
        }
        _ => Err(read::not(unit, value)),
    }
}

/// A part of a metric's name.
pub(super) fn statsd_word(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    without(&[':', '|', '#', '@'], value, unit, base)
}

/// Tags of DogStatsD.
pub(super) fn statsd_tags(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    without(&['|', '#'], value, unit, base)
}

fn without(forbidden: &[char], value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    let text = read::text(value, unit, base)?;
    let is_good = |c: char| !c.is_whitespace() && !c.is_control() && !forbidden.contains(&c);
    if text.len() <= STATSD_BYTES_MAX && text.chars().all(is_good) { Ok(text) } else { Err(read::not(unit, value)) }
}
