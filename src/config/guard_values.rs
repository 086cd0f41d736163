//! Readers of the values in a guard's keys: rules, rates, keys of limits.

use std::path::Path;
use std::time::Duration;

use super::guard::{LimitKey, LimitLog};
use super::options::Unit;
use super::read::{not, string, strings};
use super::units;
use super::value::Value;
use crate::base::bounds::{ACCESS_RULES_MAX, RATE_BURST_MAX, RATE_COUNT_MAX, RATE_LIMITS_MAX, RATE_WINDOW_SECONDS_MAX};
use crate::limits::Whom;

/// So many requests in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// At least 1.
    pub count: u64,
    /// Not zero.
    pub period: Duration,
}

/// How many requests within the burst do not wait for their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// None of them waits.
    Nobody,
    /// All but so many.
    After(u64),
}

pub(super) fn whom(value: &Value, unit: Unit, _: &Path) -> Result<Vec<Whom>, String> {
    few(strings(value, unit)?.into_iter().map(one_whom).collect::<Result<_, _>>()?)
}

fn one_whom(text: &str) -> Result<Whom, String> {
    text.parse().map_err(|()| {
        let shown = text.escape_debug();
        format!("\"{shown}\" is neither an address nor a network such as \"10.0.0.0/8\", nor \"unix:\" or \"all\"")
    })
}

pub(super) fn access(value: &Value, unit: Unit, _: &Path) -> Result<Vec<(bool, Whom)>, String> {
    let rule = |text: &str| {
        let (word, rest) = text.trim().split_once(' ').unwrap_or((text, ""));
        let lets_in = match word {
            "allow" => true,
            "deny" => false,
            _ => return Err(format!("\"{}\" begins with neither \"allow\" nor \"deny\"", text.escape_debug())),
        };
        one_whom(rest.trim()).map(|whom| (lets_in, whom))
    };
    few(strings(value, unit)?.into_iter().map(rule).collect::<Result<_, _>>()?)
}

fn few<T>(rules: Vec<T>) -> Result<Vec<T>, String> {
    if rules.len() > ACCESS_RULES_MAX { Err(format!("has more than {ACCESS_RULES_MAX} entries")) } else { Ok(rules) }
}

pub(super) fn satisfy(value: &Value, unit: Unit, _: &Path) -> Result<bool, String> {
    match string(value, unit)? {
        "all" => Ok(false),
        "any" => Ok(true),
        _ => Err(not(unit, value)),
    }
}

pub(super) fn rate(value: &Value, unit: Unit, _: &Path) -> Result<Period, String> {
    parse_rate(string(value, unit)?).ok_or_else(|| not(unit, value))
}

/// `20/s`, nginx's `20r/s`, `5/10m`.
fn parse_rate(text: &str) -> Option<Period> {
    let (count, period) = text.split_once('/')?;
    let count = count.trim();
    let count = count.strip_suffix('r').unwrap_or(count);
    let is_plain = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = count.parse().ok().filter(|count| is_plain && (1..=RATE_COUNT_MAX).contains(count))?;
    let period = match period.trim() {
        unit if unit.starts_with(|c: char| c.is_ascii_alphabetic()) => units::duration_ms(&format!("1{unit}")),
        duration if duration.ends_with(|c: char| c.is_ascii_alphabetic()) => units::duration_ms(duration),
        _ => None,
    };
    let ms = period.filter(|ms| (1..=RATE_WINDOW_SECONDS_MAX * 1000).contains(ms))?;
    Some(Period { count, period: Duration::from_millis(ms) })
}

pub(super) fn delay(value: &Value, unit: Unit, _: &Path) -> Result<Delay, String> {
    match value {
        Value::Bool(false) => Ok(Delay::Nobody),
        Value::Bool(true) => Ok(Delay::After(0)),
        Value::Integer(count) => match u64::try_from(*count) {
            Ok(count) if count <= RATE_BURST_MAX => Ok(Delay::After(count)),
            _ => Err(not(unit, value)),
        },
        _ => Err(not(unit, value)),
    }
}

pub(super) fn keys(value: &Value, unit: Unit, _: &Path) -> Result<Vec<LimitKey>, String> {
    let texts = strings(value, unit)?;
    let mut keys = Vec::new();
    for text in &texts {
        let named = |name: &str| {
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let good = !name.is_empty() && name.chars().all(is_token);
            good.then(|| name.to_owned()).ok_or_else(|| not(unit, value))
        };
        keys.push(match *text {
            "all" if texts.len() == 1 => break,
            "address" | "ip" => LimitKey::Address,
            "path" => LimitKey::Path,
            "host" => LimitKey::Host,
            _ => match text.split_once(':') {
                Some(("header", name)) => LimitKey::Header(named(name)?),
                Some(("cookie", name)) => LimitKey::Cookie(named(name)?),
                _ => return Err(not(unit, value)),
            },
        });
    }
    match texts.is_empty() || keys.len() > RATE_LIMITS_MAX {
        true => Err(not(unit, value)),
        false => Ok(keys),
    }
}

pub(super) fn zone(value: &Value, unit: Unit, _: &Path) -> Result<String, String> {
    let text = string(value, unit)?;
    let good = !text.is_empty() && text.len() <= 100 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    good.then(|| text.to_owned()).ok_or_else(|| "must be a name of at most 100 visible ASCII characters".to_owned())
}

pub(super) fn log_level(value: &Value, unit: Unit, _: &Path) -> Result<LimitLog, String> {
    match string(value, unit)? {
        "off" => Ok(LimitLog::Off),
        "info" | "notice" => Ok(LimitLog::Info),
        "warn" => Ok(LimitLog::Warn),
        "error" => Ok(LimitLog::Error),
        _ => Err(not(unit, value)),
    }
}

/// A quoted-string without anything that has to be escaped (RFC 9110 §5.6.4).
pub(super) fn realm(value: &Value, unit: Unit, _: &Path) -> Result<String, String> {
    let text = string(value, unit)?;
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\');
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("must be visible ASCII without quotes and backslashes, not empty".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        let period = |count, ms| Some(Period { count, period: Duration::from_millis(ms) });
        for (text, expected) in [
            ("20/s", period(20, 1000)),
            ("20r/s", period(20, 1000)),
            ("30r/m", period(30, 60_000)),
            ("1000 / h", period(1000, 3_600_000)),
            ("5/10m", period(5, 600_000)),
            ("1/500ms", period(1, 500)),
            ("1/30d", period(1, 30 * 86_400_000)),
            ("1/31d", None),
            ("0/s", None),
            ("-1/s", None),
            ("20", None),
            ("20/", None),
            ("20/0s", None),
            ("20/10", None),
            ("/s", None),
            ("1.5/s", None),
            ("+5/s", None),
            ("99999999999/s", None),
            ("20/fortnight", None),
        ] {
            assert_eq!(parse_rate(text), expected, "{text}");
        }
    }
}
