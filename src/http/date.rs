//! Dates on the wire (RFC 9110 §5.6.7), as seconds since 1970.
//!
//! Owns the formats and nothing else. It never asks for the time: callers pass it. Formatting doesn't allocate; a shard formats once a second.

use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// An IMF-fixdate such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type DateText = [u8; 29];

/// 9999-12-31 23:59:59, the last second that four digits of a year can name.
const SECONDS_MAX: u64 = 253_402_300_799;

/// `seconds` since 1970 as an IMF-fixdate. What lies beyond the year 9999 is its last second.
pub fn format(seconds: u64) -> DateText {
    let mut text = [0; 29];
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds.min(SECONDS_MAX)));
    write!(&mut text[..], "{date}").expect("an IMF-fixdate has 29 bytes");
    text
}

/// The date of the present second, formatted when a second begins and not for each request.
#[derive(Debug)]
pub struct Present(Cell<(u64, DateText)>);

impl Default for Present {
    fn default() -> Present {
        Present(Cell::new((0, format(0))))
    }
}

impl Present {
    /// The second `now`, since 1970, and its text.
    pub fn at(&self, now: u64) -> (u64, DateText) {
        self.at_by(now, format)
    }

    fn at_by(&self, now: u64, format: impl FnOnce(u64) -> DateText) -> (u64, DateText) {
        let known = self.0.get();
        if known.0 == now {
            return known;
        }
        let fresh = (now, format(now));
        self.0.set(fresh);
        fresh
    }
}

/// Seconds since 1970 of a date in any of the three forms; `None` for anything else and for what lies before 1970.
pub fn parse(text: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_forms() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        for text in
            ["", "Sun, 06 Nov 1994", "0", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 25:49:37 GMT", "\u{e9}"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn edges() {
        assert_eq!(&format(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&format(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&format(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_second_is_formatted_once() {
        let present = Present::default();
        let formatted = Cell::new(0);
        let at = |now| {
            present.at_by(now, |second| {
                formatted.set(formatted.get() + 1);
                format(second)
            })
        };
        for now in [7, 7, 7, 8, 8, 7] {
            assert_eq!(at(now), (now, format(now)));
        }
        assert_eq!(formatted.get(), 3);
        assert_eq!(present.at(0), (0, format(0)));
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 0..=SECONDS_MAX) {
            prop_assert_eq!(parse(&format(seconds)), Some(seconds));
        }

        #[test]
        fn any_text_is_survived(text in prop_oneof!["[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT", ".{0,40}"]) {
            let _ = parse(text.as_bytes());
        }
    }
}
