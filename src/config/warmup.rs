//! The warm-up: what a new generation of workers has to answer before it is given requests.
//!
//! Owns what such a request may be made of. Asks nothing: `supervise` does.

use std::path::Path;
use std::time::Duration;

use super::options::{self, Unit};
use super::read;
use super::section::Reader;
use super::status::StatusPattern;
use super::value::Value;
use crate::base::bounds::{HOST_BYTES_MAX, TARGET_BYTES_MAX};
use crate::http::target::decode_path;

/// A warm-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmupConfig {
    /// Path and query that are asked for.
    pub target: String,
    /// The Host field; `None`: what the site is likely to answer to.
    pub host: Option<String>,
    /// Statuses that prove that the application works.
    pub statuses: Vec<StatusPattern>,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// Reads the options; `None` without `warmup`.
pub(super) fn warmup(reader: &mut Reader<'_>) -> Option<WarmupConfig> {
    let statuses = reader.value(&options::WARMUP_STATUS);
    let timeout = reader.value(&options::WARMUP_TIMEOUT);
    let host = reader.optional(&options::WARMUP_HOST);
    Some(WarmupConfig { target: reader.optional(&options::WARMUP)?, host, statuses, timeout })
}

pub(super) fn target(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    let text = read::text(value, unit, base)?;
    let path = text.split('?').next().unwrap_or_default();
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match decode_path(path) {
        Ok(_) if path.starts_with('/') && is_visible && text.len() <= TARGET_BYTES_MAX => Ok(text),
        _ => Err(format!("must be {unit}, not \"{}\"", text.escape_debug())),
    }
}

pub(super) fn host(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    let text = read::text(value, unit, base)?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    // A port may follow.
    if text.is_empty() || text.len() > HOST_BYTES_MAX + 6 || !text.bytes().all(is_host) {
        return Err(format!("must be {unit}, not \"{}\"", text.escape_debug()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::value_of;

    #[test]
    fn what_is_asked_for_is_a_path_with_or_without_a_query() {
        let read = |text: &str| target(&value_of(&format!("{text:?}")), Unit::Text("a path"), Path::new("/"));
        for good in ["/", "/healthz", "/a%20b/?deep=1&x=/y"] {
            assert_eq!(read(good), Ok(good.to_owned()));
        }
        for bad in ["", "healthz", "http://example.com/", "/a b", "/a#b", "/%zz", "/%00", "/\u{e9}", "/\r\nX: y"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&format!("/{}", "a".repeat(TARGET_BYTES_MAX))).is_err());
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let read = |text: &str| host(&value_of(&format!("{text:?}")), Unit::Text("a host"), Path::new("/"));
        for good in ["example.com", "example.com:8000", "[::1]:80", "10.0.0.1"] {
            assert_eq!(read(good), Ok(good.to_owned()));
        }
        for bad in ["", "exa mple", "http://example.com", "a\r\nb"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
