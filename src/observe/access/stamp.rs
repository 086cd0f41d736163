//! The time as log lines have it, made once a second.
//!
//! Pure: the second and the offset of the local time are passed in.

use crate::base::calendar::civil;

/// One second in the forms of `$time_local`, `$time_iso8601` and RFC 3164.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    second: u64,
    offset_minutes: i32,
    local: [u8; 26],
    iso: [u8; 25],
    syslog: [u8; 15],
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// 9999-12-31, the last day that four digits of a year can name.
const SECONDS_MAX: u64 = 253_402_214_400;

impl Stamp {
    /// `second` since 1970 in a zone that is `offset_minutes` ahead of UTC.
    pub fn new(second: u64, offset_minutes: i32) -> Stamp {
        let shown = second.min(SECONDS_MAX).saturating_add_signed(i64::from(offset_minutes) * 60);
        let (year, month, day) = civil(shown / 86_400);
        let (hour, minute, seconds) = (shown / 3600 % 24, shown / 60 % 60, shown % 60);
        let month_name = MONTHS[month as usize - 1];
        let sign = if offset_minutes < 0 { b'-' } else { b'+' };
        let away = offset_minutes.unsigned_abs();
        let (zone_hours, zone_minutes) = (two(u64::from(away / 60)), two(u64::from(away % 60)));
        let years = [two(year / 100), two(year % 100)];
        let (day, hour, minute, seconds) = (two(day), two(hour), two(minute), two(seconds));
        let mut stamp = Stamp { second, offset_minutes, local: [0; 26], iso: [0; 25], syslog: [0; 15] };
        fill(
            &mut stamp.local,
            &[
                &day,
                b"/",
                month_name,
                b"/",
                &years[0],
                &years[1],
                b":",
                &hour,
                b":",
                &minute,
                b":",
                &seconds,
                b" ",
                &[sign],
                &zone_hours,
                &zone_minutes,
            ],
        );
        let number = two(month);
        fill(
            &mut stamp.iso,
            &[
                &years[0],
                &years[1],
                b"-",
                &number,
                b"-",
                &day,
                b"T",
                &hour,
                b":",
                &minute,
                b":",
                &seconds,
                &[sign],
                &zone_hours,
                b":",
                &zone_minutes,
            ],
        );
        // RFC 3164 §4.1.2: a day below 10 has a space before it.
        let padded = [if day[0] == b'0' { b' ' } else { day[0] }, day[1]];
        fill(&mut stamp.syslog, &[month_name, b" ", &padded, b" ", &hour, b":", &minute, b":", &seconds]);
        stamp
    }

    /// The second that it stands for, since 1970.
    pub fn second(&self) -> u64 {
        self.second
    }

    /// The offset that it was made with, minutes ahead of UTC.
    pub fn offset_minutes(&self) -> i32 {
        self.offset_minutes
    }

    /// `24/Nov/2026:13:55:36 +0000`.
    pub fn local(&self) -> &[u8] {
        &self.local
    }

    /// `13:55:36`.
    pub fn time_of_day(&self) -> &[u8] {
        &self.iso[11..19]
    }

    /// `2026-11-24T13:55:36+00:00`.
    pub fn iso8601(&self) -> &[u8] {
        &self.iso
    }

    /// `Nov 24 13:55:36`.
    pub fn syslog(&self) -> &[u8] {
        &self.syslog
    }
}

fn fill(text: &mut [u8], parts: &[&[u8]]) {
    let mut at = 0;
    for part in parts {
        text[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, text.len(), "every byte of a stamp is written");
}

fn two(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(second: u64, offset_minutes: i32) -> [String; 3] {
        let stamp = Stamp::new(second, offset_minutes);
        [stamp.local(), stamp.iso8601(), stamp.syslog()].map(|text| String::from_utf8(text.to_vec()).expect("ASCII"))
    }

    #[test]
    fn stamps() {
        let at = |second, offset: i32, local: &str, iso: &str, syslog: &str| {
            assert_eq!(texts(second, offset), [local, iso, syslog]);
        };
        at(784_111_777, 0, "06/Nov/1994:08:49:37 +0000", "1994-11-06T08:49:37+00:00", "Nov  6 08:49:37");
        at(951_782_400, 330, "29/Feb/2000:05:30:00 +0530", "2000-02-29T05:30:00+05:30", "Feb 29 05:30:00");
        at(951_782_400, -480, "28/Feb/2000:16:00:00 -0800", "2000-02-28T16:00:00-08:00", "Feb 28 16:00:00");
        at(0, -60, "01/Jan/1970:00:00:00 -0100", "1970-01-01T00:00:00-01:00", "Jan  1 00:00:00");
    }

    proptest! {
        #[test]
        fn the_calendar_is_the_one_of_dates_on_the_wire(second in 0..SECONDS_MAX) {
            let [local, ..] = texts(second, 0);
            let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second));
            let expected = format!("{}/{}/{}:{} +0000", &date[5..7], &date[8..11], &date[12..16], &date[17..25]);
            prop_assert_eq!(local, expected);
        }

        #[test]
        fn no_second_and_no_offset_is_too_odd(second: u64, offset in -1440..1440) {
            let [local, iso, _] = texts(second, offset);
            prop_assert!(local.is_ascii() && iso.is_ascii());
        }
    }
}
