//! Whether the response of an application may be compressed on its way, and what becomes of its fields then.
//!
//! Owns the rules of RFC 9110 for content codings that a server applies to what somebody else has made: §8.4 (never twice), §7.7 and RFC 9111
//! §5.2.2.6 (`no-transform`), §8.8.3.3 (another coding is another representation, and has no strong tag in common with the first), §12.5.5 (Vary),
//! §14 (ranges and digests count the bytes that were said). It never compresses anything. Called by `shard`.

use super::Fields;
use super::conditional::ETag;
use super::encoding::Coding;
use super::fields::{list, trim};
use super::media::is_compressible;
use crate::base::bounds::COMPRESSED_BYTES_MIN;

/// Which responses of a route may be compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Bytes of a body from which on it is worth it, if its length is known.
    pub length_min: u64,
    /// Which types of content are meant.
    pub types: Types,
}

impl Default for Rules {
    /// As for a route that says nothing of it.
    fn default() -> Rules {
        Rules { length_min: COMPRESSED_BYTES_MIN, types: Types::Usual }
    }
}

/// Types of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Types {
    /// Those that get smaller.
    Usual,
    /// These: `type/subtype` in lower case, `type/*` or `*`.
    Only(Vec<String>),
}

impl Types {
    fn include(&self, content_type: &[u8]) -> bool {
        let essence = content_type.split(|&byte| byte == b';').next().map(trim).unwrap_or_default();
        let Ok(essence) = std::str::from_utf8(essence).map(str::to_ascii_lowercase) else {
            return false;
        };
        match self {
            Types::Usual => is_compressible(&essence),
            Types::Only(types) => types.iter().any(|known| match known.strip_suffix('*') {
                Some(start) => essence.starts_with(start),
                None => *known == essence,
            }),
        }
    }
}

/// What may be done with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is sent as it is, to everybody.
    Leave,
    /// Its body may be compressed, so who accepts that is sent something else than who does not.
    Compress,
    /// It speaks of such a response without having a body: 304 (RFC 9110 §15.4.5).
    Unchanged,
}

impl Rules {
    /// What may be done with a response of these fields. `length`: of its body, if that is known.
    pub fn judge(&self, status: u16, fields: Fields<'_>, length: Option<u64>) -> Verdict {
        // 204 and 205 have no body, 206 counts bytes of the representation as it is.
        if matches!(status, 0..200 | 204..=206) || fields.into_iter().any(|(name, value)| forbids(name, value)) {
            return Verdict::Leave;
        }
        let content_type = fields.first("content-type");
        let is_meant = content_type.is_some_and(|value| self.types.include(value));
        match status {
            304 if is_meant || content_type.is_none() => Verdict::Unchanged,
            304 => Verdict::Leave,
            _ if is_meant && length.is_none_or(|length| length >= self.length_min) => Verdict::Compress,
            _ => Verdict::Leave,
        }
    }
}

/// Whether this field keeps its response from being compressed: it is already, must not be, or is told by its bytes.
fn forbids(name: &[u8], value: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        13 if is("cache-control") => list(value).any(|member| member.eq_ignore_ascii_case(b"no-transform")),
        13 => is("content-range"),
        16 => is("content-encoding"),
        // RFC 9530, and its ancestors.
        6 => is("digest"),
        11 => is("content-md5") || is("repr-digest"),
        14 => is("content-digest"),
        _ => false,
    }
}

/// Writes the lines of `fields` as those of a response whose body depends on Accept-Encoding: Vary names that, and with a `coding` the body is in it: then
/// what speaks of the bytes as they were is left out, and a tag is weak. `is_weak`: a tag is weak anyhow.
pub fn rewrite(fields: Fields<'_>, coding: Option<Coding>, is_weak: bool, out: &mut Vec<u8>) {
    let mut varies = fields.all("vary").flat_map(list);
    let mut has_vary = varies.any(|member| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"));
    let is_weak = is_weak || coding.is_some();
    let mut rest = fields;
    while let Some((line, (name, value))) = rest.next_line() {
        if coding.is_some()
            && (name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"accept-ranges"))
        {
            continue;
        }
        if is_weak && name.eq_ignore_ascii_case(b"etag") {
            // What is no tag is nothing to compare.
            if let Some(tag) = ETag::parse(value) {
                out.extend_from_slice(b"ETag: ");
                ETag { weak: true, ..tag }.write(out);
                out.extend_from_slice(b"\r\n");
            }
            continue;
        }
        if !has_vary && name.eq_ignore_ascii_case(b"vary") {
            has_vary = true;
            out.extend_from_slice(b"Vary: ");
            out.extend_from_slice(value);
            out.extend_from_slice(if value.is_empty() { b"Accept-Encoding\r\n" } else { b", Accept-Encoding\r\n" });
            continue;
        }
        out.extend_from_slice(line);
    }
    if !has_vary {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    if let Some(coding) = coding {
        for part in ["Content-Encoding: ", coding.name(), "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// Whether a request asks about a tag that `rewrite` has weakened: its client has stored a compressed form.
pub fn knows_weak_tag(fields: Fields<'_>) -> bool {
    fields.all("if-none-match").any(|value| memchr::memmem::find(value, b"W/\"").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(lines: &str) -> Vec<u8> {
        lines.lines().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
    }

    fn judged(rules: &Rules, status: u16, lines: &str, length: Option<u64>) -> Verdict {
        rules.judge(status, Fields::of_checked(&block(lines)), length)
    }

    fn rewritten(lines: &str, coding: Option<Coding>, is_weak: bool) -> String {
        let mut out = Vec::new();
        rewrite(Fields::of_checked(&block(lines)), coding, is_weak, &mut out);
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    }

    #[test]
    fn what_may_be_compressed() {
        use Verdict::*;
        let html = "Content-Type: text/html; charset=utf-8";
        for (status, lines, length, expected) in [
            (200, html, None, Compress),
            (200, html, Some(256), Compress),
            (200, html, Some(255), Leave),
            (200, "content-TYPE:  Application/JSON", Some(1000), Compress),
            (200, "Content-Type: image/png", Some(1000), Leave),
            (200, "Content-Type: text/event-stream", None, Compress),
            (200, "X: y", Some(1000), Leave),
            (404, html, Some(1000), Compress),
            (500, html, Some(1000), Compress),
            (204, html, None, Leave),
            (205, html, None, Leave),
            (206, html, Some(1000), Leave),
            (304, "ETag: \"a\"", None, Unchanged),
            (304, html, None, Unchanged),
            (304, "Content-Type: image/png", None, Leave),
            (304, "Cache-Control: no-transform", None, Leave),
            (416, "Content-Type: text/html\nContent-Range: bytes */5", Some(1000), Leave),
        ] {
            assert_eq!(judged(&Rules::default(), status, lines, length), expected, "{status} {lines} {length:?}");
        }
        for field in [
            "Content-Encoding: gzip",
            "content-encoding: identity",
            "Cache-Control: no-transform",
            "Cache-Control: max-age=5 , NO-TRANSFORM",
            "Cache-Control: private\nCache-Control: no-transform",
            "Content-Range: bytes 0-5/6",
            "Digest: sha-256=x",
            "Content-MD5: x",
            "Content-Digest: sha-256=:x:",
            "Repr-Digest: sha-256=:x:",
        ] {
            assert_eq!(judged(&Rules::default(), 200, &format!("{html}\n{field}"), Some(1000)), Leave, "{field}");
        }
        for field in
            ["Cache-Control: no-transformation", "X-Content-Encoding: gzip", "Contents-Range: x", "ETag: \"a\""]
        {
            assert_eq!(judged(&Rules::default(), 200, &format!("{html}\n{field}"), Some(1000)), Compress, "{field}");
        }
    }

    #[test]
    fn types_are_the_usual_ones_or_those_that_are_listed() {
        let rules = |types: &[&str]| Rules {
            length_min: 0,
            types: Types::Only(types.iter().map(|&text| text.to_owned()).collect()),
        };
        for (types, content_type, is_meant) in [
            (&["text/html"][..], "text/html", true),
            (&["text/html"], "Text/HTML;x=y", true),
            (&["text/html"], "text/htmlx", false),
            (&["image/png", "text/*"], "text/css", true),
            (&["image/png", "text/*"], "image/png", true),
            (&["text/*"], "application/json", false),
            (&["*"], "application/x-anything", true),
            (&[], "text/html", false),
        ] {
            let verdict = judged(&rules(types), 200, &format!("Content-Type: {content_type}"), None);
            assert_eq!(verdict == Verdict::Compress, is_meant, "{types:?} {content_type}");
        }
    }

    #[test]
    fn fields_of_a_compressed_response() {
        let gzip = Some(Coding::Gzip);
        for (lines, coding, is_weak, expected) in [
            (
                "A: b\nContent-Length: 5\nETag: \"x\"\nAccept-Ranges: bytes\n",
                gzip,
                false,
                "A: b\nETag: W/\"x\"\nVary: Accept-Encoding\nContent-Encoding: gzip\n",
            ),
            ("etag: W/\"x\"\n", gzip, false, "ETag: W/\"x\"\nVary: Accept-Encoding\nContent-Encoding: gzip\n"),
            ("ETag: x\n", gzip, false, "Vary: Accept-Encoding\nContent-Encoding: gzip\n"),
            (
                "Content-Length: 5\nETag: \"x\"\nAccept-Ranges: bytes\n",
                None,
                false,
                "Content-Length: 5\nETag: \"x\"\nAccept-Ranges: bytes\nVary: Accept-Encoding\n",
            ),
            ("ETag: \"x\"\n", None, true, "ETag: W/\"x\"\nVary: Accept-Encoding\n"),
            ("Vary: Cookie\n", None, false, "Vary: Cookie, Accept-Encoding\n"),
            ("Vary:\nB: c\n", None, false, "Vary: Accept-Encoding\nB: c\n"),
            ("Vary: Cookie\nvary: Origin\n", None, false, "Vary: Cookie, Accept-Encoding\nvary: Origin\n"),
            ("Vary: Cookie\nVary: accept-encoding\n", None, false, "Vary: Cookie\nVary: accept-encoding\n"),
            ("Vary: *\n", None, false, "Vary: *\n"),
        ] {
            assert_eq!(rewritten(lines, coding, is_weak), expected, "{lines}");
        }
    }

    #[test]
    fn clients_that_know_a_compressed_form() {
        for (lines, knows) in [
            ("If-None-Match: W/\"a\"", true),
            ("if-none-match: \"b\", W/\"a\"", true),
            ("If-None-Match: \"a\"", false),
            ("If-None-Match: *", false),
            ("If-Match: W/\"a\"", false),
        ] {
            assert_eq!(knows_weak_tag(Fields::of_checked(&block(lines))), knows, "{lines}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_fields_are_they_stay_fields(
            lines in proptest::collection::vec(
                ("(Vary|ETag|Content-Length|Cache-Control|[A-Za-z-]{1,8})", "[ -~]{0,20}"), 0..8),
            coding in proptest::option::of(proptest::sample::select(&Coding::ALL[..])),
            is_weak: bool,
        ) {
            let given: String = lines.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
            let mut out = Vec::new();
            rewrite(Fields::of_checked(given.as_bytes()), coding, is_weak, &mut out);
            out.extend_from_slice(b"\r\n");
            let fields = crate::http::app::scan(&out);
            prop_assert!(fields.is_ok() || given.to_ascii_lowercase().contains("content-length"), "{:?}", out);
            let text = String::from_utf8(out).unwrap().to_ascii_lowercase();
            prop_assert_eq!(text.matches("content-encoding: ").count() >= 1, coding.is_some());
            prop_assert!(text.lines().any(|line| line.starts_with("vary:")));
        }
    }
}
