//! Bounds on request heads below those that always hold (`limit_request_line` and its like, by Gunicorn's names).
//!
//! Pure. Called by `shard` for each whole head, if there is such a bound.

use memchr::memchr_iter;

use super::Reject;

/// Bounds that were configured; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadLimits {
    /// Of the request line without its CRLF, bytes.
    pub line_bytes: usize,
    /// Of the field lines, in number.
    pub fields: usize,
    /// Of one field line without its CRLF, bytes.
    pub field_bytes: usize,
}

impl HeadLimits {
    /// Whether there is any.
    pub fn is_any(self) -> bool {
        self != HeadLimits::default()
    }

    /// Judges a whole head, from its first byte to the end of the empty line.
    ///
    /// # Errors
    /// 414 for the request line (RFC 9112 §3), 431 for fields (RFC 6585 §5).
    pub fn check(self, head: &[u8]) -> Result<(), Reject> {
        // An empty line before the request line is none of its own (RFC 9112 §2.2).
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let exceeds = |length: usize, limit: usize| limit > 0 && length > limit;
        let mut start = 0;
        for (index, end) in memchr_iter(b'\n', head).enumerate() {
            let length = (end - start).saturating_sub(1);
            start = end + 1;
            match index {
                0 if exceeds(length, self.line_bytes) => return Err(Reject::TargetTooLong),
                0 => {}
                _ if exceeds(length, self.field_bytes) => return Err(Reject::FieldTooLong),
                _ if length > 0 && exceeds(index, self.fields) => return Err(Reject::FieldsTooMany),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_holds_at_its_number_and_not_above() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nB: cd\r\n\r\n";
        let check = |line_bytes, fields, field_bytes| HeadLimits { line_bytes, fields, field_bytes }.check(head);
        assert_eq!(check(0, 0, 0), Ok(()));
        assert_eq!(check(14, 2, 7), Ok(()));
        assert_eq!(check(13, 0, 0), Err(Reject::TargetTooLong));
        assert_eq!(check(0, 1, 0), Err(Reject::FieldsTooMany));
        assert_eq!(check(0, 0, 6), Err(Reject::FieldTooLong));
        assert!(!HeadLimits::default().is_any());
    }
}
