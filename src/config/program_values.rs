//! Readers for what only programs have: signals, exit codes, masks, and when to start again.
//!
//! Pure. Names and forms are supervisord's, so that values can be taken over as they stand.

use std::path::Path;
use std::time::Duration;

use super::access_log::{self, SyslogConfig};
use super::options::Unit;
use super::process::{Autorestart, OnFatal, Orphans, OutputFormat};
use super::read::{milliseconds, not, string};
use super::value::Value;
use crate::base::bounds::{LOG_AGE_MAX_MS, LOG_AGE_MIN_MS, TIMEOUT_MAX_MS};
use crate::sys::process::signal_name;

/// A duration that may be zero.
pub fn span(value: &Value, unit: Unit, _: &Path) -> Result<Duration, String> {
    let ms = milliseconds(value).filter(|ms| *ms <= TIMEOUT_MAX_MS);
    ms.map(Duration::from_millis).ok_or_else(|| not(unit, value))
}

/// How old a log file may become; `None`: however old.
pub fn age(value: &Value, unit: Unit, _: &Path) -> Result<Option<Duration>, String> {
    match milliseconds(value) {
        Some(0) => Ok(None),
        Some(ms) if (LOG_AGE_MIN_MS..=LOG_AGE_MAX_MS).contains(&ms) => Ok(Some(Duration::from_millis(ms))),
        _ => Err(not(unit, value)),
    }
}

pub fn output_format(value: &Value, unit: Unit, _: &Path) -> Result<OutputFormat, String> {
    match string(value, unit)? {
        "raw" => Ok(OutputFormat::Raw),
        "text" => Ok(OutputFormat::Text),
        "json" => Ok(OutputFormat::Json),
        _ => Err(not(unit, value)),
    }
}

pub fn integer(value: &Value, unit: Unit, _: &Path) -> Result<i32, String> {
    let Unit::Integer { min, max } = unit else { return Err(not(unit, value)) };
    match value {
        Value::Integer(number) if (min..=max).contains(number) => i32::try_from(*number).map_err(|_| not(unit, value)),
        _ => Err(not(unit, value)),
    }
}

pub fn autorestart(value: &Value, unit: Unit, _: &Path) -> Result<Autorestart, String> {
    match value {
        Value::Bool(false) => Ok(Autorestart::Never),
        Value::Bool(true) => Ok(Autorestart::Always),
        Value::Text(text) if text == "unexpected" => Ok(Autorestart::Unexpected),
        _ => Err(not(unit, value)),
    }
}

/// A number, a list of them, or a string of them separated by commas.
pub fn exit_codes(value: &Value, unit: Unit, _: &Path) -> Result<Vec<i32>, String> {
    let code = |value: &Value| match value {
        Value::Integer(code @ 0..=255) => Ok(*code as i32),
        _ => Err(not(unit, value)),
    };
    match value {
        Value::List(items) => items.iter().map(|item| code(&item.value)).collect(),
        Value::Text(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| part.parse::<u8>().map(i32::from).map_err(|_| not(unit, value))).collect()
        }
        _ => code(value).map(|code| vec![code]),
    }
}

/// The number of a signal that is given by its name, with or without `SIG`, or by its number.
pub fn signal(value: &Value, unit: Unit, _: &Path) -> Result<i32, String> {
    let named = |text: &str| {
        let text = text.trim().to_ascii_uppercase();
        let name = text.strip_prefix("SIG").unwrap_or(&text).to_owned();
        (1..=31).find(|number| signal_name(*number).is_some_and(|known| known[3..] == name))
    };
    let number = match value {
        Value::Integer(number) => i32::try_from(*number).ok(),
        Value::Text(text) => named(text).or_else(|| text.trim().parse().ok()),
        _ => None,
    };
    number.filter(|number| signal_name(*number).is_some()).ok_or_else(|| not(unit, value))
}

pub fn octal(value: &Value, unit: Unit, _: &Path) -> Result<u32, String> {
    let text = match value {
        Value::Integer(_) => return Err("must be a string of octal digits, as in \"022\"".to_owned()),
        _ => string(value, unit)?.trim(),
    };
    let text = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u32::from_str_radix(text, 8).ok().filter(|mask| is_octal && *mask <= 0o777).ok_or_else(|| not(unit, value))
}

/// Whether waits double.
pub fn is_exponential(value: &Value, unit: Unit, _: &Path) -> Result<bool, String> {
    match string(value, unit)? {
        "linear" => Ok(false),
        "exponential" => Ok(true),
        _ => Err(not(unit, value)),
    }
}

pub fn on_fatal(value: &Value, unit: Unit, _: &Path) -> Result<OnFatal, String> {
    match string(value, unit)? {
        "stay" => Ok(OnFatal::Stay),
        "exit" => Ok(OnFatal::Exit),
        _ => Err(not(unit, value)),
    }
}

/// Whether and how lines go to syslog. A tag that is not given is empty.
pub fn syslog(value: &Value, unit: Unit, _: &Path) -> Result<Option<SyslogConfig>, String> {
    let parameters = match value {
        Value::Bool(false) => return Ok(None),
        Value::Bool(true) => "",
        _ => string(value, unit)?,
    };
    let facility = if parameters.contains("facility=") { "" } else { ",facility=user" };
    let mut config = access_log::syslog(&format!("{parameters}{facility}"))?;
    if !parameters.contains("tag=") {
        config.tag.clear();
    }
    Ok(Some(config))
}

pub fn orphans(value: &Value, unit: Unit, _: &Path) -> Result<Orphans, String> {
    match string(value, unit)? {
        "end" => Ok(Orphans::End),
        "adopt" => Ok(Orphans::Adopt),
        "leave" => Ok(Orphans::Leave),
        _ => Err(not(unit, value)),
    }
}

/// A list of names, or a string of them separated by commas.
pub fn names(value: &Value, unit: Unit, _: &Path) -> Result<Vec<String>, String> {
    let names: Vec<String> = match value {
        Value::List(items) => {
            items.iter().map(|item| string(&item.value, unit).map(str::to_owned)).collect::<Result<_, _>>()?
        }
        _ => string(value, unit)?.split(',').map(|part| part.trim().to_owned()).collect(),
    };
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() { Err(not(unit, value)) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Unit = Unit::Text("right");

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (value, expected) in [
            (text("TERM"), Some(15)),
            (text("SIGINT"), Some(2)),
            (text("usr1"), Some(10)),
            (text("9"), Some(9)),
            (Value::Integer(3), Some(3)),
            (Value::Integer(0), None),
            (Value::Integer(65), None),
            (text("SIGNOPE"), None),
            (text(""), None),
        ] {
            assert_eq!(signal(&value, UNIT, Path::new("/")).ok(), expected, "{value:?}");
        }
    }

    #[test]
    fn exit_codes_masks_and_names() {
        let here = Path::new("/");
        assert_eq!(exit_codes(&text("0, 2"), UNIT, here), Ok(vec![0, 2]));
        assert_eq!(exit_codes(&Value::Integer(255), UNIT, here), Ok(vec![255]));
        assert!(exit_codes(&Value::Integer(256), UNIT, here).is_err() && exit_codes(&text("x"), UNIT, here).is_err());
        assert_eq!(octal(&text("022"), UNIT, here), Ok(0o22));
        for wrong in ["", "8", "1000", "-1", "+7"] {
            assert!(octal(&text(wrong), UNIT, here).is_err(), "{wrong}");
        }
        assert_eq!(names(&text("a, b,"), UNIT, here), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(names(&text(","), UNIT, here).is_err());
    }
}
