//! Readers: from a value to the type of its option, or a sentence about what is wrong with it.
//!
//! Pure: nothing here looks at the file system, so a path may name what does not exist.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::options::Unit;
use super::types::{AppOutput, AppTarget, HostPattern, ReloadMode, WorkerLoop, compile};
use super::units;
use super::value::Value;
use crate::base::bounds::{
    MAINTENANCE_EXCEPTIONS_MAX, REGEX_BYTES_MAX, RELOAD_EXTRA_FILES_MAX, SENDFILE_ROOTS_MAX, TIMEOUT_MAX_MS,
    TIMEOUT_MIN_MS, WSGI_CALL_BYTES_MAX,
};

impl fmt::Display for Unit {
    /// What the option takes, for messages and the reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (units::show_duration(TIMEOUT_MIN_MS), units::show_duration(TIMEOUT_MAX_MS));
        match self {
            Unit::Bool => f.write_str("true or false"),
            Unit::Count { min, max } => write!(f, "a number from {min} to {max}"),
            Unit::Integer { min, max } => write!(f, "a number from {min} to {max}"),
            Unit::CountOrAuto { min, max } => write!(f, "\"auto\" or a number from {min} to {max}"),
            Unit::Duration => write!(f, "a duration from {low} to {high}"),
            Unit::DurationOrNever => write!(f, "a duration from {low} to {high}, or 0"),
            Unit::Span => write!(f, "a duration up to {high}, or 0"),
            Unit::Size { max } => write!(f, "a size up to {}", units::show_size(*max)),
            Unit::Text(what) | Unit::Texts(what) | Unit::Described(what) => f.write_str(what),
            Unit::Path => f.write_str("a path"),
        }
    }
}

/// The value as it is, for options whose parts are reported one by one.
pub fn raw(value: &Value, _: Unit, _: &Path) -> Result<Value, String> {
    Ok(value.clone())
}

pub fn text(value: &Value, unit: Unit, _: &Path) -> Result<String, String> {
    string(value, unit).map(str::to_owned)
}

pub fn boolean(value: &Value, unit: Unit, _: &Path) -> Result<bool, String> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        _ => Err(not(unit, value)),
    }
}

/// `app = true`: there is nothing that `false` could mean.
pub fn only_true(value: &Value, unit: Unit, base: &Path) -> Result<bool, String> {
    match boolean(value, unit, base)? {
        true => Ok(true),
        false => Err("can only be true; leave it out otherwise".to_owned()),
    }
}

pub fn count(value: &Value, unit: Unit, _: &Path) -> Result<usize, String> {
    usize::try_from(bounded(value, unit)?).map_err(|_| not(unit, value))
}

pub fn count_u64(value: &Value, unit: Unit, _: &Path) -> Result<u64, String> {
    bounded(value, unit)
}

pub fn status(value: &Value, unit: Unit, _: &Path) -> Result<u16, String> {
    u16::try_from(bounded(value, unit)?).map_err(|_| not(unit, value))
}

pub fn expression(value: &Value, unit: Unit, _: &Path) -> Result<String, String> {
    let text = string(value, unit)?;
    if text.is_empty() || text.len() > REGEX_BYTES_MAX {
        return Err(format!("must have from 1 to {REGEX_BYTES_MAX} bytes"));
    }
    compile(text).map(|_| text.to_owned())
}

pub fn count_u32(value: &Value, unit: Unit, _: &Path) -> Result<u32, String> {
    u32::try_from(bounded(value, unit)?).map_err(|_| not(unit, value))
}

pub fn count_or_auto(value: &Value, unit: Unit, base: &Path) -> Result<Option<usize>, String> {
    match value {
        Value::Text(text) if text == "auto" => Ok(None),
        _ => count(value, unit, base).map(Some),
    }
}

fn bounded(value: &Value, unit: Unit) -> Result<u64, String> {
    let (Unit::Count { min, max } | Unit::CountOrAuto { min, max }) = unit else {
        return Err(not(unit, value));
    };
    let Value::Integer(number) = value else {
        return Err(not(unit, value));
    };
    u64::try_from(*number).ok().filter(|number| (min..=max).contains(number)).ok_or_else(|| not(unit, value))
}

pub fn duration(value: &Value, unit: Unit, _: &Path) -> Result<Duration, String> {
    let ms = milliseconds(value).filter(|ms| (TIMEOUT_MIN_MS..=TIMEOUT_MAX_MS).contains(ms));
    ms.map(Duration::from_millis).ok_or_else(|| not(unit, value))
}

pub fn duration_or_never(value: &Value, unit: Unit, base: &Path) -> Result<Option<Duration>, String> {
    match milliseconds(value) {
        Some(0) => Ok(None),
        _ => duration(value, unit, base).map(Some),
    }
}

pub(super) fn milliseconds(value: &Value) -> Option<u64> {
    match value {
        Value::Text(text) => units::duration_ms(text),
        Value::Integer(seconds) => u64::try_from(*seconds).ok()?.checked_mul(1000),
        // The cast saturates; a negative number or one beyond the bound is refused by the bounds.
        Value::Float(seconds) if *seconds >= 0.0 => Some((seconds * 1000.0).round() as u64),
        _ => None,
    }
}

pub fn size(value: &Value, unit: Unit, _: &Path) -> Result<u64, String> {
    let Unit::Size { max } = unit else {
        return Err(not(unit, value));
    };
    let bytes = match value {
        Value::Text(text) => units::size_bytes(text),
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        _ => None,
    };
    bytes.filter(|bytes| *bytes <= max).ok_or_else(|| match bytes {
        None => format!("{}, such as \"64K\", \"10M\" or a number of bytes", not(unit, value)),
        Some(_) => not(unit, value),
    })
}

pub fn path(value: &Value, unit: Unit, base: &Path) -> Result<PathBuf, String> {
    absolute(string(value, unit)?, base)
}

fn absolute(text: &str, base: &Path) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("must not be empty and must not contain NUL".to_owned());
    }
    let path = base.join(text);
    // "." segments are dropped, so that messages and logs show the path as one would write it.
    let path: PathBuf = path.components().collect();
    if path.to_str().is_none() {
        return Err(format!("{} is not UTF-8", path.display()));
    }
    Ok(path)
}

/// One path or several, of which any may be missing yet.
pub fn files(value: &Value, unit: Unit, base: &Path) -> Result<Vec<PathBuf>, String> {
    let files = strings(value, unit)?.into_iter().map(|text| absolute(text, base));
    few(files.collect::<Result<_, _>>()?, RELOAD_EXTRA_FILES_MAX)
}

pub fn search_path(value: &Value, unit: Unit, base: &Path) -> Result<Vec<PathBuf>, String> {
    match value {
        Value::Text(text) => text
            .split([',', ':'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| absolute(part, base))
            .collect(),
        _ => strings(value, unit)?.into_iter().map(|part| absolute(part, base)).collect(),
    }
}

/// The name as it was given, and the directory that it is relative to.
pub fn interpreter(value: &Value, unit: Unit, base: &Path) -> Result<(String, PathBuf), String> {
    match string(value, unit)? {
        "" => Err("must not be empty".to_owned()),
        name => Ok((name.to_owned(), base.to_owned())),
    }
}

pub fn wsgi(value: &Value, unit: Unit, _: &Path) -> Result<AppTarget, String> {
    let text = string(value, unit)?;
    let (module, attribute) = text.split_once(':').unwrap_or((text, "application"));
    if module.ends_with(".py") || module.contains('/') {
        let name = module.trim_start_matches("./").trim_end_matches(".py").replace('/', ".");
        return Err(format!("\"{module}\" is a file name; name the module instead, as in \"{name}\""));
    }
    if !is_module(module) {
        return Err(format!("\"{module}\" is not the name of a Python module"));
    }
    // What stands between the parentheses is read where Python is: by the interpreter that calls it.
    let is_call = attribute.split_once('(').is_some_and(|(name, _)| is_identifier(name.trim()));
    if !(is_call || is_identifier(attribute)) || attribute.contains('\0') {
        let shown = attribute.escape_debug();
        return Err(format!("\"{shown}\" is neither a Python name nor a call of one, as in \"{module}:create_app()\""));
    }
    if attribute.len() > WSGI_CALL_BYTES_MAX {
        return Err(format!("is a call of more than {WSGI_CALL_BYTES_MAX} bytes"));
    }
    Ok(AppTarget::Named(format!("{module}:{attribute}")))
}

pub fn reload_mode(value: &Value, unit: Unit, _: &Path) -> Result<ReloadMode, String> {
    match value {
        Value::Text(text) if text == "switch" => Ok(ReloadMode::Switch),
        Value::Text(text) if text == "rolling" => Ok(ReloadMode::Rolling),
        _ => Err(not(unit, value)),
    }
}

pub fn worker_loop(value: &Value, unit: Unit, _: &Path) -> Result<WorkerLoop, String> {
    let text = string(value, unit)?;
    let known = [WorkerLoop::Auto, WorkerLoop::Native, WorkerLoop::Python];
    let found = known.into_iter().find(|known| known.name() == text);
    found.ok_or_else(|| format!("must be \"auto\", \"native\" or \"python\", not \"{}\"", text.escape_debug()))
}

/// Where what the application writes goes.
pub fn app_output(value: &Value, unit: Unit, _: &Path) -> Result<AppOutput, String> {
    match string(value, unit)? {
        "log" => Ok(AppOutput::Log),
        "raw" => Ok(AppOutput::Raw),
        other => Err(format!("must be \"log\" or \"raw\", not \"{}\"", other.escape_debug())),
    }
}

/// Whether `text` can be given to Python's `importlib.import_module`.
pub fn is_module(text: &str) -> bool {
    text.split('.').all(|part| is_identifier(&part.replace('-', "_")))
}

fn is_identifier(text: &str) -> bool {
    text.chars().next().is_some_and(|first| first == '_' || first.is_alphabetic())
        && text.chars().all(|c| c == '_' || c.is_alphanumeric())
}

pub fn variables(value: &Value, unit: Unit, _: &Path) -> Result<Vec<(String, String)>, String> {
    let variable = |text: &str| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("\"{}\" is not of the form NAME=VALUE", text.escape_debug())),
    };
    strings(value, unit)?.into_iter().map(variable).collect()
}

pub fn route_path(value: &Value, unit: Unit, _: &Path) -> Result<String, String> {
    let text = string(value, unit)?;
    if let Some(path) = text.strip_prefix('=') {
        return Err(format!("is a plain path; write \"{}\" and exact = true", path.trim().escape_debug()));
    }
    if !text.starts_with('/') {
        return Err(format!("must start with \"/\", as in \"/{text}\""));
    }
    if let Some(c) = text.chars().find(|c| matches!(c, '?' | '#' | '*' | '%') || c.is_control()) {
        return Err(format!("is a plain prefix, without \"{}\"", c.escape_debug()));
    }
    if text.contains("//") || text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(
            "must not contain \"//\", \"/./\" or \"/../\": no request's path does once it is normalised".to_owned()
        );
    }
    Ok(text.to_owned())
}

pub fn route_paths(value: &Value, unit: Unit, base: &Path) -> Result<Vec<String>, String> {
    let paths = strings(value, unit)?.into_iter().map(|text| route_path(&Value::Text(text.to_owned()), unit, base));
    few(paths.collect::<Result<_, _>>()?, MAINTENANCE_EXCEPTIONS_MAX)
}

pub fn paths(value: &Value, unit: Unit, base: &Path) -> Result<Vec<PathBuf>, String> {
    let paths = strings(value, unit)?.into_iter().map(|text| absolute(text, base));
    few(paths.collect::<Result<_, _>>()?, SENDFILE_ROOTS_MAX)
}

/// An address counts as a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>().map(|network| network.trunc()));
    network
        .map_err(|_| format!("\"{}\" is neither an address nor a network such as \"10.0.0.0/8\"", text.escape_debug()))
}

pub fn networks(value: &Value, unit: Unit, _: &Path) -> Result<Vec<IpNet>, String> {
    few(strings(value, unit)?.into_iter().map(network).collect::<Result<_, _>>()?, MAINTENANCE_EXCEPTIONS_MAX)
}

pub(super) fn few<T>(items: Vec<T>, max: usize) -> Result<Vec<T>, String> {
    if items.len() > max { Err(format!("has more than {max} entries")) } else { Ok(items) }
}

pub fn host(value: &Value, unit: Unit, _: &Path) -> Result<HostPattern, String> {
    let text = string(value, unit)?.to_ascii_lowercase();
    let bracketed = text.starts_with('[') && text.ends_with(']');
    if text.contains("://") || (text.contains(':') && !bracketed) {
        return Err("is a name alone, without scheme and port".to_owned());
    }
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || (bracketed && "[]:".contains(c));
    if name.is_empty() || !name.chars().all(allowed) || name.split('.').any(str::is_empty) {
        return Err(format!("\"{text}\" is neither a host name (in ASCII) nor \"*.\" and a host name"));
    }
    Ok(match text.strip_prefix('*') {
        Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
        None => HostPattern::Exact(text),
    })
}

/// A field value (RFC 9110 §5.5), restricted to ASCII.
pub fn field_value(value: &Value, unit: Unit, _: &Path) -> Result<String, String> {
    let text = string(value, unit)?;
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
    if text.is_empty() || text.trim() != text || !text.bytes().all(visible) {
        return Err("must be visible ASCII, not empty, without blanks at either end".to_owned());
    }
    Ok(text.to_owned())
}

pub fn file_names(value: &Value, unit: Unit, _: &Path) -> Result<Vec<String>, String> {
    let name = |text: &str| match text {
        "" | "." | ".." => Err(format!("\"{text}\" is not a file name")),
        _ if text.contains(['/', '\0']) => Err(format!("\"{}\" is not a file name", text.escape_debug())),
        _ => Ok(text.to_owned()),
    };
    strings(value, unit)?.into_iter().map(name).collect()
}

pub(super) fn string(value: &Value, unit: Unit) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(not(unit, value)),
    }
}

/// One string or a list of strings.
pub(super) fn strings(value: &Value, unit: Unit) -> Result<Vec<&str>, String> {
    match value {
        Value::List(items) => items.iter().map(|item| string(&item.value, unit)).collect(),
        _ => Ok(vec![string(value, unit)?]),
    }
}

/// "must be … , not …".
pub(super) fn not(unit: Unit, value: &Value) -> String {
    let given = match value {
        Value::Text(text) => format!("\"{}\"", text.escape_debug()),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::List(_) | Value::Table(_) | Value::Other(_) => value.kind().to_owned(),
    };
    format!("must be {unit}, not {given}")
}
