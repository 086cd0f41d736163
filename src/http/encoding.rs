//! Content codings, and what a client accepts of them (RFC 9110 §8.4, §12.5.3).
//!
//! Owns the Accept-Encoding field's grammar and the choice among what is at hand. It never compresses anything. Called by
//! `static_files` and `shard`.

use super::Fields;
use super::fields::{list, trim};
use crate::base::bounds::ACCEPT_ENCODING_MEMBERS_MAX;

/// A content coding that maitred produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coding {
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them, the one first that makes the smallest files.
    pub const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// All of them, the one first that costs least for what it saves: for what is compressed each time anew.
    pub const ON_THE_FLY: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// Its name in Content-Encoding.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// What is put behind the name of a file that is compressed with it.
    pub const fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip => ".gz",
        }
    }

    /// Its place in [`Coding::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    fn parse(name: &[u8]) -> Option<Coding> {
        // RFC 9110 §8.4.1.3: x-gzip is another name of gzip.
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Coding::Gzip);
        }
        Coding::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// What a client accepts: a weight from 0 (not at all) to 1000 for each coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    codings: [u16; 3],
    /// `None`: nothing was said, so that it is acceptable, after everything that was asked for.
    identity: Option<u16>,
}

impl Accepted {
    /// Nothing but the representation as it is: what a client without the field is sent, though RFC 9110 §12.5.3 would allow any coding.
    pub const IDENTITY: Accepted = Accepted { codings: [0; 3], identity: None };

    /// What all Accept-Encoding lines of `fields` say together. Members that are malformed don't count.
    pub fn of(fields: Fields<'_>) -> Accepted {
        let (mut codings, mut identity, mut others) = ([None; 3], None, None);
        let members = fields.all("accept-encoding").flat_map(list).take(ACCEPT_ENCODING_MEMBERS_MAX);
        for (name, weight) in members.filter_map(member) {
            let place = match Coding::parse(name) {
                Some(coding) => &mut codings[coding.index()],
                None if name.eq_ignore_ascii_case(b"identity") => &mut identity,
                None if name == b"*" => &mut others,
                None => continue,
            };
            // Of a coding that is named twice the first word counts.
            place.get_or_insert(weight);
        }
        let codings = codings.map(|weight| weight.or(others).unwrap_or(0));
        Accepted { codings, identity: identity.or(others) }
    }

    /// The coding to send among those that are `at_hand`; `None` for the representation as it is. The greatest weight wins, of equal ones
    /// the coding that comes first in [`Coding::ALL`]. Where nothing at hand is acceptable the representation is sent as it is: RFC 9110
    /// §12.1 leaves that to the server, and nginx does it too.
    pub fn choose(self, at_hand: impl Fn(Coding) -> bool) -> Option<Coding> {
        self.choose_of(Coding::ALL, at_hand)
    }

    /// The same, but of equal ones that which comes first in `order`.
    pub fn choose_of(self, order: [Coding; 3], at_hand: impl Fn(Coding) -> bool) -> Option<Coding> {
        let usable = order.into_iter().filter(|coding| self.codings[coding.index()] > 0 && at_hand(*coding));
        // Of equal ones `max_by_key` takes the last.
        let best = usable.rev().max_by_key(|coding| self.codings[coding.index()])?;
        (self.identity.unwrap_or(0) <= self.codings[best.index()]).then_some(best)
    }
}

/// `codings [ weight ]`: the name, and the weight in thousandths.
fn member(member: &[u8]) -> Option<(&[u8], u16)> {
    let Some(semicolon) = memchr::memchr(b';', member) else {
        return Some((member, 1000));
    };
    let (name, parameter) = (trim(&member[..semicolon]), trim(&member[semicolon + 1..]));
    let (b'q' | b'Q', digits) = parameter.split_first()? else {
        return None;
    };
    Some((name, weight(digits.strip_prefix(b"=")?)?))
}

/// qvalue (RFC 9110 §12.4.2), in thousandths.
fn weight(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let thousandths =
        (0..3).try_fold(0, |sum, at| Some(sum * 10 + fraction.get(at).map_or(Some(0), |&b| digit(b))?))?;
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(lines: &str) -> Accepted {
        let block: String = lines.lines().map(|line| format!("Accept-Encoding: {line}\r\n")).collect();
        Accepted::of(Fields::of_checked(block.as_bytes()))
    }

    #[test]
    fn choices() {
        use Coding::*;
        for (lines, all, gzip_alone) in [
            ("gzip, deflate, br, zstd", Some(Brotli), Some(Gzip)),
            ("gzip, deflate, br", Some(Brotli), Some(Gzip)),
            ("gzip", Some(Gzip), Some(Gzip)),
            ("X-GZIP", Some(Gzip), Some(Gzip)),
            ("GZip;Q=0.5, zstd ; q=0.4", Some(Gzip), Some(Gzip)),
            ("br;q=0.5, gzip;q=0.9", Some(Gzip), Some(Gzip)),
            ("br;q=0.5, zstd;q=0.501, gzip;q=0.5", Some(Zstd), Some(Gzip)),
            ("br;q=0, *", Some(Zstd), Some(Gzip)),
            ("*", Some(Brotli), Some(Gzip)),
            ("*;q=0", None, None),
            ("gzip;q=0, *;q=0.1", Some(Brotli), None),
            ("identity;q=0, gzip", Some(Gzip), Some(Gzip)),
            ("identity;q=0", None, None),
            ("identity", None, None),
            ("identity, gzip;q=0.5", None, None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip), Some(Gzip)),
            ("identity;q=0.5, gzip;q=0.4, br;q=0.6", Some(Brotli), None),
            ("gzip;q=0.001", Some(Gzip), Some(Gzip)),
            ("gzip\nbr", Some(Brotli), Some(Gzip)),
            ("gzip, gzip;q=0", Some(Gzip), Some(Gzip)),
            ("", None, None),
            (",, ,", None, None),
            ("deflate, compress", None, None),
            ("gzipp, g, gzip x", None, None),
            ("gzip;q=2", None, None),
            ("gzip;q=1.001", None, None),
            ("gzip;q=0.0001", None, None),
            ("gzip;q=", None, None),
            ("gzip;q=-1", None, None),
            ("gzip;x=1", None, None),
            ("gzip;", None, None),
            ("gzip;q=1.000, br;q=0.", Some(Gzip), Some(Gzip)),
        ] {
            let accepted = accepted(lines);
            assert_eq!(accepted.choose(|_| true), all, "{lines}");
            assert_eq!(accepted.choose(|coding| coding == Gzip), gzip_alone, "{lines}");
            assert_eq!(accepted.choose(|_| false), None, "{lines}");
        }
        assert_eq!(Accepted::of(Fields::of_checked(b"Host: a\r\n")), Accepted::IDENTITY);
    }

    #[test]
    fn of_equal_ones_the_order_decides() {
        let order = Coding::ON_THE_FLY;
        assert_eq!(accepted("gzip, br, zstd").choose_of(order, |_| true), Some(Coding::Zstd));
        assert_eq!(accepted("gzip, br").choose_of(order, |_| true), Some(Coding::Brotli));
        assert_eq!(accepted("gzip, zstd;q=0.9").choose_of(order, |_| true), Some(Coding::Gzip));
    }

    #[test]
    fn members_are_bounded() {
        let long = format!("{}, gzip", ["x"; ACCEPT_ENCODING_MEMBERS_MAX].join(","));
        assert_eq!(accepted(&long).choose(|_| true), None);
        let fits = format!("{}, gzip", ["x"; ACCEPT_ENCODING_MEMBERS_MAX - 1].join(","));
        assert_eq!(accepted(&fits).choose(|_| true), Some(Coding::Gzip));
    }

    #[test]
    fn places_are_those_of_the_list() {
        assert!(Coding::ALL.iter().enumerate().all(|(at, coding)| coding.index() == at));
    }

    proptest! {
        #[test]
        fn weights(thousandths in 0u16..=1000, digits in 1usize..=3) {
            let text = format!("{:.*}", digits, f64::from(thousandths) / 1000.0);
            let exact = (text.parse::<f64>().unwrap() * 1000.0).round() as u16;
            prop_assert_eq!(weight(text.as_bytes()), Some(exact), "{}", text);
        }

        #[test]
        fn what_is_chosen_is_accepted_and_at_hand(line in "[gzipbrstd,;q=0.1* -]{0,40}", set in 0usize..8) {
            let accepted = accepted(&line);
            if let Some(coding) = accepted.choose(|coding| set & 1 << coding.index() != 0) {
                prop_assert!(accepted.codings[coding.index()] > 0 && set & 1 << coding.index() != 0);
            }
        }
    }
}
