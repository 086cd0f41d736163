//! Byte ranges (RFC 9110 §14).
//!
//! Owns the Range field's grammar, its arithmetic and the Content-Range of the answer. It never decides whether a Range may be heeded:
//! `conditional` does (If-Range), and the handler (only GET, only representations with a length). Called by `static_files`.

use std::ops::Range;

use super::fields::list;
use crate::base::bounds::RANGES_MAX;

/// What a Range field selects from a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it, with status 200: the field is malformed, has another unit, or names more ranges than are answered (RFC 9110 §14.2 allows
    /// to ignore it).
    Whole,
    /// These bytes, never none, with status 206.
    Part(Range<u64>),
    /// Several parts, with status 206 and as multipart/byteranges (RFC 9110 §14.6).
    Parts(Box<Parts>),
    /// Nothing that exists, with status 416 (RFC 9110 §15.5.17).
    Unsatisfiable,
}

/// At least two ranges, none of them empty, which neither overlap nor touch, in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    ranges: [Range<u64>; RANGES_MAX],
    count: usize,
}

impl Parts {
    /// The ranges.
    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.ranges[..self.count]
    }

    fn new() -> Parts {
        Parts { ranges: [const { 0..0 }; RANGES_MAX], count: 0 }
    }

    /// Adds a range, as one with those that it overlaps or touches, in the place of the first of them (RFC 9110 §15.3.7.2). There is room.
    fn add(&mut self, mut range: Range<u64>) {
        let mut place = self.count;
        let mut at = 0;
        while at < self.count {
            let other = &self.ranges[at];
            if range.start <= other.end && other.start <= range.end {
                range = range.start.min(other.start)..range.end.max(other.end);
                place = place.min(at);
                self.ranges[at..self.count].rotate_left(1);
                self.count -= 1;
                // Grown, it may touch one that it did not before.
                at = 0;
            } else {
                at += 1;
            }
        }
        let place = place.min(self.count);
        self.ranges[self.count] = range;
        self.count += 1;
        self.ranges[place..self.count].rotate_right(1);
    }
}

/// What the Range field `value` selects from `len` bytes.
pub fn select(value: &[u8], len: u64) -> Selection {
    let Some(specs) = specs(value) else {
        return Selection::Whole;
    };
    let mut parts = Parts::new();
    let mut count = 0;
    for spec in specs {
        count += 1;
        let Some(spec) = spec.filter(|_| count <= RANGES_MAX) else {
            return Selection::Whole;
        };
        match spec.resolve(len) {
            Resolved::Part(range) => parts.add(range),
            // Those that exist are sent without it.
            Resolved::Unsatisfiable => {}
            Resolved::Whole => return Selection::Whole,
        }
    }
    match parts.as_slice() {
        _ if count == 0 => Selection::Whole,
        [] => Selection::Unsatisfiable,
        [only] => Selection::Part(only.clone()),
        _ => Selection::Parts(Box::new(parts)),
    }
}

/// What one range-spec comes to.
enum Resolved {
    Part(Range<u64>),
    Unsatisfiable,
    Whole,
}

/// One range-spec (RFC 9110 §14.1.1, §14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// `first-last` or `first-`; `last` is inclusive and not before `first`.
    From { first: u64, last: Option<u64> },
    /// `-count`: so many bytes at the end.
    Suffix { count: u64 },
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', text)?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix { count: number(last)? });
        }
        let first = number(first)?;
        let last = if last.is_empty() { None } else { Some(number(last)?) };
        last.is_none_or(|last| first <= last).then_some(Self::From { first, last })
    }

    fn resolve(self, len: u64) -> Resolved {
        match self {
            Self::From { first, .. } if first >= len => Resolved::Unsatisfiable,
            Self::From { first, last } => {
                Resolved::Part(first..last.map_or(len, |last| last.saturating_add(1).min(len)))
            }
            Self::Suffix { count: 0 } => Resolved::Unsatisfiable,
            // Satisfiable by the RFC's words, but a 206 can't name a range of nothing.
            Self::Suffix { .. } if len == 0 => Resolved::Whole,
            Self::Suffix { count } => Resolved::Part(len.saturating_sub(count)..len),
        }
    }
}

/// The range-specs of a Range field with the unit `bytes`, each `None` if malformed; `None` for another unit.
fn specs(value: &[u8]) -> Option<impl Iterator<Item = Option<Spec>>> {
    let (unit, set) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then(|| list(set).map(Spec::parse))
}

/// `1*DIGIT`, with all that is too large for 64 bits as the largest: no representation reaches there.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// The value of a Content-Range field (RFC 9110 §14.4), without allocation.
#[derive(Clone, Copy, Debug)]
pub struct ContentRange {
    /// "bytes ", three numbers of up to 20 digits, two separators.
    bytes: [u8; 68],
    len: u8,
}

impl ContentRange {
    /// `bytes first-last/len` for the bytes `part`, which mustn't be empty.
    pub fn of_part(part: &Range<u64>, len: u64) -> Self {
        assert!(part.start < part.end && part.end <= len, "a part lies within its representation");
        let mut number = itoa::Buffer::new();
        let mut text = Self { bytes: [0; 68], len: 0 };
        text.push(b"bytes ");
        text.push(number.format(part.start).as_bytes());
        text.push(b"-");
        text.push(number.format(part.end - 1).as_bytes());
        text.push(b"/");
        text.push(number.format(len).as_bytes());
        text
    }

    /// `bytes */len`, for a 416.
    pub fn of_none(len: u64) -> Self {
        let mut text = Self { bytes: [0; 68], len: 0 };
        text.push(b"bytes */");
        text.push(itoa::Buffer::new().format(len).as_bytes());
        text
    }

    /// The value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn push(&mut self, piece: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + piece.len()].copy_from_slice(piece);
        self.len += piece.len() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn selections() {
        use Selection::*;
        for (value, len, expected) in [
            ("bytes=0-0", 10, Part(0..1)),
            ("bytes=0-", 10, Part(0..10)),
            ("bytes=2-4", 10, Part(2..5)),
            ("Bytes=2-4", 10, Part(2..5)),
            ("bytes=9-99", 10, Part(9..10)),
            ("bytes= 2-4 ,", 10, Part(2..5)),
            ("bytes=-3", 10, Part(7..10)),
            ("bytes=-30", 10, Part(0..10)),
            ("bytes=0-99999999999999999999999", 10, Part(0..10)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Whole),
            ("bytes=4-2", 10, Whole),
            ("bytes=0-1,2-4", 10, Part(0..5)),
            ("bytes=3-4,0-9", 10, Part(0..10)),
            ("bytes=3-4,99-", 10, Part(3..5)),
            ("bytes=99-,-0", 10, Unsatisfiable),
            ("bytes=0-1,4-2", 10, Whole),
            ("bytes=0-1,x", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=1", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1 - 2", 10, Whole),
            ("bytes=1--2", 10, Whole),
            ("bytes 1-2", 10, Whole),
            ("lines=1-2", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(select(value.as_bytes(), len), expected, "{value} of {len}");
        }
    }

    fn parts(value: &str, len: u64) -> Vec<Range<u64>> {
        match select(value.as_bytes(), len) {
            Selection::Parts(parts) => parts.as_slice().to_vec(),
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn several_ranges() {
        assert_eq!(parts("bytes=0-1,3-4", 10), [0..2, 3..5]);
        assert_eq!(parts("bytes=-1, 0-0 ,99-", 10), [9..10, 0..1]);
        // In the order in which they were asked for, each in the place of its first piece.
        assert_eq!(parts("bytes=7-8,0-1,4-5,1-2", 10), [7..9, 0..3, 4..6]);
        assert_eq!(parts("bytes=6-6,0-0,4-4,8-8,5-5", 10), [4..7, 0..1, 8..9]);
    }

    #[test]
    fn more_ranges_than_the_bound_are_ignored() {
        let ranges = |count: usize| {
            let specs: Vec<_> = (0..count).map(|n| format!("{0}-{0}", 2 * n)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert_eq!(parts(&ranges(RANGES_MAX), 100).len(), RANGES_MAX);
        assert_eq!(select(ranges(RANGES_MAX + 1).as_bytes(), 100), Selection::Whole);
        assert_eq!(select("bytes=".to_owned().as_bytes(), 100), Selection::Whole);
        let same = format!("bytes={}", ["0-"; RANGES_MAX + 1].join(","));
        assert_eq!(select(same.as_bytes(), 100), Selection::Whole);
    }

    #[test]
    fn content_ranges() {
        assert_eq!(ContentRange::of_part(&(0..1), 10).as_bytes(), b"bytes 0-0/10");
        assert_eq!(ContentRange::of_none(10).as_bytes(), b"bytes */10");
        let longest = ContentRange::of_part(&(u64::MAX - 1..u64::MAX), u64::MAX);
        assert_eq!(longest.as_bytes(), b"bytes 18446744073709551614-18446744073709551614/18446744073709551615");
    }

    proptest! {
        #[test]
        fn parts_lie_within(first in any::<u64>(), last in any::<u64>(), len in any::<u64>(), shape in 0..3) {
            let value = match shape {
                0 => format!("bytes={first}-{last}"),
                1 => format!("bytes={first}-"),
                _ => format!("bytes=-{last}"),
            };
            if let Selection::Part(part) = select(value.as_bytes(), len) {
                prop_assert!(part.start < part.end && part.end <= len);
                let model = match shape {
                    0 => first..last.saturating_add(1).min(len),
                    1 => first..len,
                    _ => len.saturating_sub(last)..len,
                };
                prop_assert_eq!(&part, &model);
                let _ = ContentRange::of_part(&part, len);
            }
        }

        #[test]
        fn any_value_is_survived(value in "(bytes=)?[0-9, -]{0,12}", len in 0u64..20) {
            let _ = select(value.as_bytes(), len);
        }

        #[test]
        fn several_ranges_cover_what_was_asked_for_once(
            asked in proptest::collection::vec((0u64..40, 0u64..8), 1..=RANGES_MAX),
            len in 1u64..40,
        ) {
            let specs: Vec<_> = asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let value = format!("bytes={}", specs.join(","));
            let found: Vec<Range<u64>> = match select(value.as_bytes(), len) {
                Selection::Part(part) => vec![part],
                Selection::Parts(parts) => parts.as_slice().to_vec(),
                Selection::Unsatisfiable => Vec::new(),
                Selection::Whole => panic!("a valid field within the bound"),
            };
            for byte in 0..len {
                let wanted = asked.iter().any(|(first, more)| (*first..=first + more).contains(&byte));
                prop_assert_eq!(found.iter().filter(|part| part.contains(&byte)).count(), usize::from(wanted));
            }
            let touching = |a: &Range<u64>, b: &Range<u64>| a.start <= b.end && b.start <= a.end;
            for (at, part) in found.iter().enumerate() {
                prop_assert!(part.start < part.end && part.end <= len);
                prop_assert!(found[..at].iter().all(|other| !touching(part, other)));
            }
        }
    }
}
