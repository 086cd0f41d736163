//! Durations and sizes as people write them. Pure.

use std::fmt::Write as _;

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];

/// Milliseconds of `500ms`, `30s`, `1.5h`, `1m30s` or a plain number of seconds. `None` if it is none of these or more
/// than 2⁶⁴ ms.
pub fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if let Some(ms) = decimal(rest, 1000) {
        return Some(ms);
    }
    let mut total_ms = 0_u64;
    let mut units = DURATION_UNITS.iter();
    while !rest.is_empty() || total_ms == 0 {
        let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let letters = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - digits);
        let unit = &rest[digits..digits + letters];
        // Larger units come first and none comes twice, so "30s1m" is refused as the slip that it is.
        let (_, unit_ms) = units.by_ref().find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(decimal(&rest[..digits], *unit_ms)?)?;
        rest = &rest[digits + letters..];
        if rest.is_empty() {
            break;
        }
    }
    Some(total_ms)
}

/// Bytes of `64K`, `10M`, `1G` (powers of 1024; `KB`, `KiB` and lower case too) or a plain number of bytes. `None` if it
/// is none of these or more than 2⁶⁴ bytes.
pub fn size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = text[digits..].trim_start().to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let factor = match unit {
        "" if text.contains('.') => return None,
        "" => 1,
        _ => SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    decimal(&text[..digits], factor)
}

/// `text` × `factor` for a decimal number with or without a fraction; what is left of the fraction is dropped.
fn decimal(text: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let parts = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / 10_u128.pow(fraction.len() as u32);
    let total = whole.parse::<u128>().ok()?.checked_mul(u128::from(factor))?.checked_add(parts)?;
    u64::try_from(total).ok()
}

/// `ms` in the largest units that need no fraction: `1m30s`.
pub fn show_duration(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let mut rest = ms;
    for (name, unit_ms) in DURATION_UNITS {
        if rest >= unit_ms {
            write!(text, "{}{name}", rest / unit_ms).expect("a String takes everything");
            rest %= unit_ms;
        }
    }
    text
}

/// `bytes` in the largest unit that needs no fraction: `100M`.
pub fn show_size(bytes: u64) -> String {
    match SIZE_UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("1h", Some(3_600_000)),
            ("1m30s", Some(90_000)),
            ("1d1ms", Some(86_400_001)),
            ("1.5s", Some(1500)),
            ("30", Some(30_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("0.25", Some(250)),
            (" 5s ", Some(5000)),
            ("", None),
            ("s", None),
            ("5 s", None),
            ("5x", None),
            ("5s5", None),
            ("30s1m", None),
            ("1m1m", None),
            ("-1s", None),
            ("1e3", None),
            ("1..5s", None),
            ("1.s", None),
            ("99999999999999999999d", None),
            ("5µs", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("64K", Some(65_536)),
            ("10M", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("1.5M", Some(3 << 19)),
            ("512", Some(512)),
            ("2 KiB", Some(2048)),
            ("2KB", Some(2048)),
            ("7B", Some(7)),
            ("", None),
            ("M", None),
            ("1.5", None),
            ("10X", None),
            ("-1", None),
            ("99999999T", None),
            ("1ı", None),
        ] {
            assert_eq!(size_bytes(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(number in any::<u64>()) {
            prop_assert_eq!(size_bytes(&show_size(number)), Some(number));
            prop_assert_eq!(duration_ms(&show_duration(number)), Some(number));
        }

        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,12}") {
            let _ = (size_bytes(&text), duration_ms(&text));
        }
    }
}
