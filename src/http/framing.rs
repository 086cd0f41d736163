//! Where a request's body ends (RFC 9112 §6).
//!
//! Owns the rules for Content-Length and Transfer-Encoding, stricter than the RFC asks: what two parsers could read in two ways is
//! refused, so that no smuggled request survives. It never reads a body: `chunked` and `shard` do. Called by `head`.

use super::fields::{is_token, trim};
use super::{Reject, Version};

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// No body (RFC 9112 §6.3, item 7).
    None,
    /// Exactly so many bytes; 0 when the client said so.
    Length(u64),
    /// The chunked transfer coding (RFC 9112 §7.1).
    Chunked,
}

/// Collects the two fields that frame a body, in one pass over the head.
#[derive(Default)]
pub(super) struct Collector {
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    unknown: bool,
    not_last: bool,
}

impl Collector {
    /// One Content-Length line. A second one is refused even if it is equal: RFC 9112 §6.3 allows that.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.length.is_some() {
            return Err(Reject::LengthRepeated);
        }
        self.length = Some(parse_length(value).ok_or(Reject::LengthMalformed)?);
        Ok(())
    }

    /// One Transfer-Encoding line. Several lines make one list (RFC 9110 §5.3). A coding with parameters, or an empty member, is malformed here.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Reject> {
        self.coded = true;
        for coding in value.split(|&byte| byte == b',').map(trim) {
            if coding.is_empty() || !coding.iter().copied().all(is_token) {
                return Err(Reject::CodingMalformed);
            }
            self.not_last |= self.chunked;
            match coding.eq_ignore_ascii_case(b"chunked") {
                true => self.chunked = true,
                false => self.unknown = true,
            }
        }
        Ok(())
    }

    /// The verdict, after the last field.
    pub(super) fn finish(self, version: Version) -> Result<BodyFraming, Reject> {
        if !self.coded {
            return Ok(self.length.map_or(BodyFraming::None, BodyFraming::Length));
        }
        if self.length.is_some() {
            return Err(Reject::LengthWithCoding);
        }
        if version == Version::Http10 {
            return Err(Reject::CodingInHttp10);
        }
        if self.not_last {
            return Err(Reject::CodingNotLast);
        }
        if self.unknown {
            return Err(Reject::CodingUnknown);
        }
        Ok(BodyFraming::Chunked)
    }
}

/// `1*DIGIT` below 2^64 (RFC 9110 §8.6); `None` for a sign, a list, white space or anything else.
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(lengths: &[&str], codings: &[&str], version: Version) -> Result<BodyFraming, Reject> {
        let mut collector = Collector::default();
        lengths.iter().try_for_each(|value| collector.content_length(value.as_bytes()))?;
        codings.iter().try_for_each(|value| collector.transfer_encoding(value.as_bytes()))?;
        collector.finish(version)
    }

    #[test]
    fn lengths() {
        use BodyFraming::*;
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["0"], Ok(Length(0))),
            (&["007"], Ok(Length(7))),
            (&["18446744073709551615"], Ok(Length(u64::MAX))),
            (&["18446744073709551616"], Err(Reject::LengthMalformed)),
            (&[""], Err(Reject::LengthMalformed)),
            (&["+5"], Err(Reject::LengthMalformed)),
            (&["-5"], Err(Reject::LengthMalformed)),
            (&["5,5"], Err(Reject::LengthMalformed)),
            (&["5, 5"], Err(Reject::LengthMalformed)),
            (&["0x5"], Err(Reject::LengthMalformed)),
            (&["5 "], Err(Reject::LengthMalformed)),
            (&["1_0"], Err(Reject::LengthMalformed)),
            (&["5", "5"], Err(Reject::LengthRepeated)),
            (&["5", "6"], Err(Reject::LengthRepeated)),
        ] {
            assert_eq!(framing(values, &[], Version::Http11), expected, "{values:?}");
        }
    }

    #[test]
    fn codings() {
        for (values, expected) in [
            (&["chunked"][..], Ok(BodyFraming::Chunked)),
            (&["ChUnKeD"], Ok(BodyFraming::Chunked)),
            (&["gzip"], Err(Reject::CodingUnknown)),
            (&["identity"], Err(Reject::CodingUnknown)),
            (&["xchunked"], Err(Reject::CodingUnknown)),
            (&["gzip, chunked"], Err(Reject::CodingUnknown)),
            (&["identity", "chunked"], Err(Reject::CodingUnknown)),
            (&["chunked, gzip"], Err(Reject::CodingNotLast)),
            (&["chunked", "identity"], Err(Reject::CodingNotLast)),
            (&["chunked, chunked"], Err(Reject::CodingNotLast)),
            (&["chunked", "chunked"], Err(Reject::CodingNotLast)),
            (&[""], Err(Reject::CodingMalformed)),
            (&["chunked,"], Err(Reject::CodingMalformed)),
            (&["chunked;a=b"], Err(Reject::CodingMalformed)),
            (&["chun ked"], Err(Reject::CodingMalformed)),
            (&["\"chunked\""], Err(Reject::CodingMalformed)),
        ] {
            assert_eq!(framing(&[], values, Version::Http11), expected, "{values:?}");
        }
        assert_eq!(framing(&["5"], &["chunked"], Version::Http11), Err(Reject::LengthWithCoding));
        assert_eq!(framing(&[], &["chunked"], Version::Http10), Err(Reject::CodingInHttp10));
    }
}
