//! Validators and preconditions (RFC 9110 §8.8, §13).
//!
//! Owns the comparison of validators and the order in which preconditions count, for GET and HEAD of representations that exist. It never
//! looks at a file: the caller brings the validators. It must only be asked where the answer would be 2xx without conditions
//! (RFC 9110 §13.2.1). Called by `static_files`.

use super::date;
use super::{Fields, Method};

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag<'a> {
    /// Whether it is prefixed with `W/`.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: &'a [u8],
}

/// The validators of the selected representation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Its entity tag.
    pub etag: Option<ETag<'a>>,
    /// Its Last-Modified, seconds since 1970.
    pub modified: Option<u64>,
}

/// What the preconditions amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How to answer.
    pub outcome: Outcome,
    /// Whether a Range field may be heeded: the method is GET, and If-Range, if present, matches (RFC 9110 §13.1.5, §14.2).
    pub range_allowed: bool,
}

/// How to answer a conditional request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As if it weren't conditional.
    Proceed,
    /// 304, with the validators and without a body (RFC 9110 §15.4.5).
    NotModified,
    /// 412 (RFC 9110 §15.5.13).
    PreconditionFailed,
}

/// Evaluates the preconditions of a request in the order of RFC 9110 §13.2.2.
pub fn evaluate(method: Method, fields: Fields<'_>, validators: &Validators<'_>) -> Verdict {
    let outcome = outcome(method, fields, validators);
    let range_allowed = outcome == Outcome::Proceed && method == Method::Get && if_range(fields, validators);
    Verdict { outcome, range_allowed }
}

fn outcome(method: Method, fields: Fields<'_>, validators: &Validators<'_>) -> Outcome {
    if fields.first("if-match").is_some() {
        // RFC 9110 §13.1.1: strong comparison.
        if !any_tag(fields, "if-match", validators, ETag::eq_strong) {
            return Outcome::PreconditionFailed;
        }
    } else if let (Some(since), Some(modified)) = (date_of(fields, "if-unmodified-since"), validators.modified)
        && modified > since
    {
        return Outcome::PreconditionFailed;
    }
    let readable = matches!(method, Method::Get | Method::Head);
    if fields.first("if-none-match").is_some() {
        // RFC 9110 §13.1.2: weak comparison.
        if any_tag(fields, "if-none-match", validators, ETag::eq_weak) {
            return if readable { Outcome::NotModified } else { Outcome::PreconditionFailed };
        }
    } else if let (true, Some(since), Some(modified)) =
        (readable, date_of(fields, "if-modified-since"), validators.modified)
        && modified <= since
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// RFC 9110 §13.1.5: an entity tag matches strongly, a date exactly; what is neither doesn't match.
fn if_range(fields: Fields<'_>, validators: &Validators<'_>) -> bool {
    if fields.first("if-range").is_none() {
        return true;
    }
    let Some(value) = fields.only("if-range") else {
        return false;
    };
    match ETag::parse(value) {
        Some(tag) => validators.etag.is_some_and(|own| own.eq_strong(tag)),
        None => date::parse(value).is_some_and(|date| validators.modified == Some(date)),
    }
}

/// A date field's value; `None` when it is absent, malformed or repeated, and so to be ignored (RFC 9110 §13.1.3, §13.1.4).
fn date_of(fields: Fields<'_>, name: &str) -> Option<u64> {
    date::parse(fields.only(name)?)
}

/// Whether any line of the field `name` is `*` or lists a tag that is `equal` to the representation's. A list counts up to its first fault.
fn any_tag<'v>(
    fields: Fields<'_>,
    name: &str,
    validators: &Validators<'v>,
    equal: fn(ETag<'v>, ETag<'_>) -> bool,
) -> bool {
    fields
        .all(name)
        .any(|value| value == b"*" || validators.etag.is_some_and(|own| tags(value).any(|tag| equal(own, tag))))
}

/// The tags of one line.
fn tags(mut rest: &[u8]) -> impl Iterator<Item = ETag<'_>> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let (tag, tail) = ETag::parse_prefix(rest)?;
        rest = tail;
        Some(tag)
    })
}

impl<'a> ETag<'a> {
    /// A strong tag. `opaque` must be of visible characters other than `"`.
    pub fn strong(opaque: &'a [u8]) -> Self {
        debug_assert!(opaque.iter().all(|&byte| is_etag_char(byte)), "an entity tag is of visible characters");
        Self { weak: false, opaque }
    }

    /// A tag and nothing else.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (tag, rest) = Self::parse_prefix(text)?;
        rest.is_empty().then_some(tag)
    }

    fn parse_prefix(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&byte| !is_etag_char(byte))?;
        (inner[end] == b'"').then(|| (Self { weak, opaque: &inner[..end] }, &inner[end + 1..]))
    }

    /// Strong comparison: both strong, same characters (RFC 9110 §8.8.3.2).
    pub fn eq_strong(self, other: ETag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison: same characters (RFC 9110 §8.8.3.2).
    pub fn eq_weak(self, other: ETag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// Appends the tag as it stands in a field.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.weak { b"W/\"" } else { b"\"" });
        out.extend_from_slice(self.opaque);
        out.push(b'"');
    }
}

/// etagc (RFC 9110 §8.8.3).
const fn is_etag_char(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn verdict(method: Method, lines: &str) -> Verdict {
        let block = lines.replace("OLD", OLD).replace("NOW", NOW).replace("NEW", NEW).replace('\n', "\r\n");
        let validators = Validators { etag: Some(ETag::strong(b"a,b")), modified: Some(784_111_777) };
        evaluate(method, Fields::of_checked(block.as_bytes()), &validators)
    }

    #[test]
    fn order_of_preconditions() {
        use Outcome::*;
        for (lines, expected) in [
            ("", Proceed),
            ("If-Match: \"a,b\"\n", Proceed),
            ("If-Match: *\n", Proceed),
            ("If-Match: \"x\", \"a,b\"\n", Proceed),
            ("If-Match: \"x\"\nIf-Match: \"a,b\"\n", Proceed),
            ("If-Match: \"x\"\n", PreconditionFailed),
            ("If-Match: W/\"a,b\"\n", PreconditionFailed),
            ("If-Match: a,b\n", PreconditionFailed),
            ("If-Match: \"a,b\"\nIf-Unmodified-Since: OLD\n", Proceed),
            ("If-Unmodified-Since: OLD\n", PreconditionFailed),
            ("If-Unmodified-Since: NOW\n", Proceed),
            ("If-Unmodified-Since: never\n", Proceed),
            ("If-None-Match: \"a,b\"\n", NotModified),
            ("If-None-Match: W/\"a,b\"\n", NotModified),
            ("If-None-Match: \"x\" ,, W/\"a,b\"\n", NotModified),
            ("If-None-Match: *\n", NotModified),
            ("If-None-Match: \"a\"\n", Proceed),
            ("If-None-Match: \"a\"\nIf-Modified-Since: NEW\n", Proceed),
            ("If-Modified-Since: NOW\n", NotModified),
            ("If-Modified-Since: NEW\n", NotModified),
            ("If-Modified-Since: OLD\n", Proceed),
            ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\n", NotModified),
            ("If-Modified-Since: Sun Nov  6 08:49:37 1994\n", NotModified),
            ("If-Modified-Since: Sun Nov  6 08:49:36 1994\n", Proceed),
            ("If-Unmodified-Since: Sunday, 06-Nov-94 08:49:36 GMT\n", PreconditionFailed),
            ("If-Unmodified-Since: Sun Nov  6 08:49:37 1994\n", Proceed),
            ("If-Modified-Since: OLD\nIf-Modified-Since: NEW\n", Proceed),
            ("If-Modified-Since: soon\n", Proceed),
            ("If-Match: \"x\"\nIf-None-Match: \"a,b\"\n", PreconditionFailed),
            ("If-Match: \"a,b\"\nIf-None-Match: \"a,b\"\n", NotModified),
        ] {
            assert_eq!(verdict(Method::Get, lines).outcome, expected, "{lines}");
            assert_eq!(verdict(Method::Head, lines).outcome, expected, "{lines}");
        }
        assert_eq!(verdict(Method::Put, "If-None-Match: *\n").outcome, PreconditionFailed);
        assert_eq!(verdict(Method::Put, "If-Modified-Since: NOW\n").outcome, Proceed);
    }

    #[test]
    fn ranges() {
        for (lines, allowed) in [
            ("", true),
            ("If-Range: \"a,b\"\n", true),
            ("If-Range: NOW\n", true),
            ("If-Range: Sun Nov  6 08:49:37 1994\n", true),
            ("If-Range: Sunday, 06-Nov-94 08:49:38 GMT\n", false),
            ("If-Range: W/\"a,b\"\n", false),
            ("If-Range: \"x\"\n", false),
            ("If-Range: NEW\n", false),
            ("If-Range: OLD\n", false),
            ("If-Range: nonsense\n", false),
            ("If-Range: \"a,b\"\nIf-Range: \"a,b\"\n", false),
            ("If-None-Match: \"a,b\"\nIf-Range: \"a,b\"\n", false),
        ] {
            assert_eq!(verdict(Method::Get, lines).range_allowed, allowed, "{lines}");
            assert!(!verdict(Method::Head, lines).range_allowed, "{lines}");
        }
    }

    #[test]
    fn without_validators() {
        let block = format!("If-None-Match: \"a\"\r\nIf-Modified-Since: {NEW}\r\nIf-Range: \"a\"\r\n");
        let verdict = evaluate(Method::Get, Fields::of_checked(block.as_bytes()), &Validators::default());
        assert_eq!(verdict, Verdict { outcome: Outcome::Proceed, range_allowed: false });
    }

    #[test]
    fn tags_on_the_wire() {
        assert_eq!(ETag::parse(b"\"\""), Some(ETag::strong(b"")));
        assert_eq!(ETag::parse(b"W/\"a\""), Some(ETag { weak: true, opaque: b"a" }));
        for text in [&b""[..], b"a", b"\"", b"\"a", b"\"a b\"", b"w/\"a\"", b"W/ \"a\"", b"\"a\"b", b"*"] {
            assert_eq!(ETag::parse(text), None, "{:?}", String::from_utf8_lossy(text));
        }
        let mut out = Vec::new();
        ETag { weak: true, opaque: b"a" }.write(&mut out);
        ETag::strong(b"b").write(&mut out);
        assert_eq!(out, b"W/\"a\"\"b\"");
    }
}
