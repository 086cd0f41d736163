//! Cuts what a child writes to its output pipe into lines for the log. Pure: bytes in, lines out.
//!
//! A line is bounded; a longer one comes out in pieces. Bytes that are not UTF-8, and control characters that would let a child
//! forge or garble log lines, are escaped. The caller adds whose line it is (`worker=1`).

use crate::base::bounds::OUTPUT_LINE_BYTES_MAX;
use memchr::memchr;
use std::borrow::Cow;
use std::fmt::Write;

/// The unfinished line of one pipe.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// Less than [`OUTPUT_LINE_BYTES_MAX`] bytes without a newline.
    pending: Vec<u8>,
}

impl LineSplitter {
    /// Takes bytes as they were read and gives every line that they complete to `log`, without its newline (and without a
    /// carriage return before it). A line of more than [`OUTPUT_LINE_BYTES_MAX`] bytes is given in pieces of at most that size.
    pub fn push(&mut self, bytes: &[u8], mut log: impl FnMut(&str)) {
        self.push_raw(bytes, |line| log(&shown(line)));
    }

    /// The pipe is at its end: gives what is left, if anything.
    pub fn finish(&mut self, mut log: impl FnMut(&str)) {
        self.finish_raw(|line| log(&shown(line)));
    }

    /// [`LineSplitter::push`] without escapes: the lines' own bytes.
    pub fn push_raw(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
        while let Some(end) = memchr(b'\n', bytes) {
            self.extend(&bytes[..end], &mut take);
            if self.pending.last() == Some(&b'\r') {
                self.pending.pop();
            }
            self.flush(&mut take);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut take);
    }

    /// [`LineSplitter::finish`] without escapes.
    pub fn finish_raw(&mut self, mut take: impl FnMut(&[u8])) {
        if !self.pending.is_empty() {
            self.flush(&mut take);
        }
    }

    fn extend(&mut self, mut bytes: &[u8], take: &mut impl FnMut(&[u8])) {
        while self.pending.len() + bytes.len() > OUTPUT_LINE_BYTES_MAX {
            let (piece, rest) = bytes.split_at(OUTPUT_LINE_BYTES_MAX - self.pending.len());
            self.pending.extend_from_slice(piece);
            let kept = self.pending.split_off(whole_characters(&self.pending));
            self.flush(take);
            self.pending = kept;
            bytes = rest;
        }
        self.pending.extend_from_slice(bytes);
    }

    fn flush(&mut self, take: &mut impl FnMut(&[u8])) {
        take(&self.pending);
        self.pending.clear();
    }
}

/// A line as it is logged: what is no UTF-8, and control characters, escaped.
pub fn shown(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        Ok(text) if !text.contains(is_escaped) => Cow::Borrowed(text),
        _ => Cow::Owned(escape(line)),
    }
}

/// The length of `bytes` without a UTF-8 character at their end that is cut in two.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        // No error length: the bytes end within a character.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

fn is_escaped(character: char) -> bool {
    character.is_control() && character != '\t'
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_escaped(character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a string");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line.to_string()));
        }
        splitter.finish(|line| lines.push(line.to_string()));
        lines
    }

    #[test]
    fn lines_come_whole_however_they_were_read() {
        assert_eq!(lines(&[b"one\ntw", b"", b"o\r\n\nfour"]), ["one", "two", "", "four"]);
        assert_eq!(lines(&[b"caf\xc3", b"\xa9\n"]), ["caf\u{e9}"]);
        assert_eq!(lines(&[b""]), [""; 0]);
        assert_eq!(lines(&[b"\n"]), [""]);
    }

    #[test]
    fn what_would_garble_a_log_is_escaped() {
        assert_eq!(lines(&[b"\xff\xfe ok\t\x1b[31m\n"]), ["\\xff\\xfe ok\t\\u{1b}[31m"]);
        assert_eq!(lines(&[b"a\rb\n"]), ["a\\rb"]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_cut_no_character() {
        let line = "\u{e9}".repeat(OUTPUT_LINE_BYTES_MAX);
        let pieces = lines(&[b"x", line.as_bytes(), b"\n"]);
        assert_eq!(pieces.concat(), format!("x{line}"));
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| piece.len() <= OUTPUT_LINE_BYTES_MAX));
        assert_eq!(lines(&[&[b'a'; OUTPUT_LINE_BYTES_MAX], b"\n"]).len(), 1, "exactly the bound is one line");
    }

    proptest! {
        #[test]
        fn the_way_of_reading_makes_no_difference(bytes in prop::collection::vec(any::<u8>(), 0..2000), size in 1usize..100) {
            let whole = lines(&[&bytes]);
            prop_assert_eq!(lines(&bytes.chunks(size).collect::<Vec<_>>()), whole);
        }
    }
}
