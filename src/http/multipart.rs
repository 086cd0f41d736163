//! multipart/byteranges: what stands between the parts (RFC 9110 §14.6, RFC 2046 §5.1.1).
//!
//! Owns the boundary and the heads of the parts. It never holds the parts themselves. Called by `static_files`.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use super::range::ContentRange;

/// The frame around the parts of one response.
#[derive(Debug)]
pub struct Multipart<'m> {
    boundary: String,
    media: &'m str,
}

impl<'m> Multipart<'m> {
    /// `media`: the Content-Type of the whole that the parts are of.
    pub fn new(media: &'m str) -> Multipart<'m> {
        // Keyed anew in each process, so that nobody can write a file that holds the boundaries to come.
        let keys = RandomState::new();
        Multipart { boundary: format!("{:016x}{:016x}", keys.hash_one(0u8), keys.hash_one(1u8)), media }
    }

    /// The Content-Type of the response.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What stands before the part with the bytes `range` of `len`.
    pub fn before_part(&self, range: &Range<u64>, len: u64) -> Vec<u8> {
        let mut text =
            format!("\r\n--{}\r\nContent-Type: {}\r\nContent-Range: ", self.boundary, self.media).into_bytes();
        text.extend_from_slice(ContentRange::of_part(range, len).as_bytes());
        text.extend_from_slice(b"\r\n\r\n");
        text
    }

    /// What stands behind the last part.
    pub fn end(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame() {
        let multipart = Multipart::new("text/css");
        let boundary = &multipart.boundary;
        assert_eq!(multipart.content_type(), format!("multipart/byteranges; boundary={boundary}"));
        assert_eq!(
            String::from_utf8(multipart.before_part(&(2..5), 9)).unwrap(),
            format!("\r\n--{boundary}\r\nContent-Type: text/css\r\nContent-Range: bytes 2-4/9\r\n\r\n")
        );
        assert_eq!(String::from_utf8(multipart.end()).unwrap(), format!("\r\n--{boundary}--\r\n"));
        // RFC 2046 §5.1.1: at most 70 characters.
        assert!(boundary.len() == 32 && Multipart::new("text/css").boundary != *boundary);
    }
}
