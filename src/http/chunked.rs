//! The chunked transfer coding, decoded step by step and framed (RFC 9112 §7.1).
//!
//! Owns the grammar of chunk lines and trailers, as strictly as it can be read: no white space anywhere in a chunk line, CRLF only,
//! everything bounded. It never copies or keeps data: it says which part of the input is data. Called by `shard` for request
//! bodies, and for response bodies whose length is unknown.

use std::ops::Range;

use super::Reject;
use super::fields::{is_token, is_value};
use super::target::hex;
use crate::base::bounds::{CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

/// Decodes one chunked body. An error is final.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// Size of the chunk whose line is being read, then what is left of its data.
    left: u64,
    /// Bytes of the current chunk line, then of the trailer section.
    line_bytes: usize,
    /// Bytes of all extensions so far.
    extension_bytes: usize,
}

/// What one call of `decode` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with, data included. The next call starts behind them.
    pub consumed: usize,
    /// What they brought.
    pub event: Event,
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This part of the input is data, never empty; there may be more behind `consumed`.
    Data(Range<usize>),
    /// All of the input is consumed, and the body goes on.
    NeedMore,
    /// The body ended; what is behind `consumed` belongs to the next request.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size, or behind that many.
    Size {
        digits: u8,
    },
    /// Behind `;`, before and within a name.
    ExtensionStart,
    ExtensionName,
    /// Behind `=`.
    ValueStart,
    ValueToken,
    ValueQuoted,
    ValueEscape,
    ValueEnd,
    /// Behind the CR of a chunk line.
    LineLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Decoder {
    /// At the start of a body.
    pub const fn new() -> Self {
        Self { state: State::Size { digits: 0 }, left: 0, line_bytes: 0, extension_bytes: 0 }
    }

    /// Reads `input` up to the end of the next piece of data, of the body, or of `input`, whichever comes first.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let mut at = 0;
        while self.state != State::Done {
            let Some(&byte) = input.get(at) else {
                return Ok(Step { consumed: at, event: Event::NeedMore });
            };
            if self.state == State::Data {
                let available = (input.len() - at) as u64;
                let taken = available.min(self.left);
                self.left -= taken;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                let end = at + taken as usize;
                return Ok(Step { consumed: end, event: Event::Data(at..end) });
            }
            self.state = self.next(byte)?;
            at += 1;
        }
        Ok(Step { consumed: at, event: Event::End })
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes one byte that isn't data.
    fn next(&mut self, byte: u8) -> Result<State, Reject> {
        use State::*;
        self.count(byte)?;
        Ok(match (self.state, byte) {
            (Size { digits: 1.. }, b'\r') => LineLf,
            (Size { digits: 1.. }, b';') => ExtensionStart,
            (Size { digits }, byte) => {
                // Sixteen digits fill 64 bits; more would overflow, or be zeros that nobody needs.
                let digit = hex(byte).filter(|_| digits < 16).ok_or(Reject::ChunkSize)?;
                self.left = self.left << 4 | u64::from(digit);
                Size { digits: digits + 1 }
            }
            (ExtensionStart | ExtensionName, byte) if is_token(byte) => ExtensionName,
            (ExtensionName, b'=') => ValueStart,
            (ValueStart, b'"') => ValueQuoted,
            (ValueStart | ValueToken, byte) if is_token(byte) => ValueToken,
            (ValueQuoted, b'"') => ValueEnd,
            (ValueQuoted, b'\\') => ValueEscape,
            (ValueQuoted | ValueEscape, byte) if is_value(byte) => ValueQuoted,
            (ExtensionName | ValueToken | ValueEnd, b';') => ExtensionStart,
            (ExtensionName | ValueToken | ValueEnd, b'\r') => LineLf,
            (LineLf, b'\n') => {
                self.line_bytes = 0;
                if self.left == 0 { TrailerStart } else { Data }
            }
            (LineLf, _) => return Err(Reject::ChunkSize),
            (ExtensionStart | ExtensionName | ValueStart | ValueToken | ValueQuoted | ValueEscape | ValueEnd, _) => {
                return Err(Reject::ChunkExtension);
            }
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size { digits: 0 },
            (DataCr | DataLf, _) => return Err(Reject::ChunkEnd),
            (TrailerStart, b'\r') => EndLf,
            (TrailerStart | TrailerName, byte) if is_token(byte) => TrailerName,
            (TrailerName, b':') => TrailerValue,
            (TrailerValue, b'\r') => TrailerLf,
            (TrailerValue, byte) if is_value(byte) => TrailerValue,
            (TrailerLf, b'\n') => TrailerStart,
            (EndLf, b'\n') => Done,
            (TrailerStart | TrailerName | TrailerValue | TrailerLf | EndLf, _) => {
                return Err(Reject::TrailerMalformed);
            }
            (Data | Done, _) => unreachable!("decode handles data and the end"),
        })
    }

    /// Holds the bounds of chunk lines, extensions and trailers.
    fn count(&mut self, byte: u8) -> Result<(), Reject> {
        match self.state {
            State::DataCr | State::DataLf => return Ok(()),
            State::Size { .. } | State::LineLf => {
                self.line_bytes += 1;
                self.extension_bytes += usize::from(byte == b';');
            }
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf | State::EndLf => {
                self.line_bytes += 1;
                return match self.line_bytes > TRAILER_BYTES_MAX {
                    true => Err(Reject::TrailerTooLong),
                    false => Ok(()),
                };
            }
            _ => {
                self.line_bytes += 1;
                self.extension_bytes += usize::from(byte != b'\r');
            }
        }
        match self.line_bytes > CHUNK_LINE_BYTES_MAX || self.extension_bytes > CHUNK_EXTENSIONS_BYTES_MAX {
            true => Err(Reject::ChunkLineTooLong),
            false => Ok(()),
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Ends a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The line before a chunk's data: its size in hexadecimal and CRLF.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHeader {
    /// Filled from the right.
    bytes: [u8; 18],
    start: u8,
}

/// The header of a chunk of `len` bytes, at least one: an empty chunk would end the body (RFC 9112 §7.1).
pub fn chunk_header(len: usize) -> ChunkHeader {
    assert!(len > 0, "an empty chunk ends the body");
    let mut bytes = [0; 18];
    bytes[16..].copy_from_slice(CHUNK_END);
    let (mut start, mut rest) = (16, len);
    while rest > 0 {
        start -= 1;
        bytes[start] = b"0123456789abcdef"[rest & 0xf];
        rest >>= 4;
    }
    ChunkHeader { bytes, start: start as u8 }
}

impl ChunkHeader {
    /// As it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes `input` cut at `cuts`: the data, and how many bytes the body took if it ended.
    fn run(input: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Option<usize>), Reject> {
        let mut decoder = Decoder::new();
        let (mut data, mut at) = (Vec::new(), 0);
        for &cut in cuts.iter().chain([&input.len()]) {
            while at < cut {
                let step = decoder.decode(&input[at..cut])?;
                match step.event {
                    Event::Data(range) => {
                        assert!(!range.is_empty() && range.end == step.consumed);
                        data.extend_from_slice(&input[at..cut][range]);
                    }
                    Event::NeedMore => assert_eq!(step.consumed, cut - at),
                    Event::End => return Ok((data, Some(at + step.consumed))),
                }
                at += step.consumed;
            }
        }
        Ok((data, None))
    }

    #[test]
    fn whole_bodies() {
        for (body, data) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
            ("a\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
            ("00A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("1;a\r\nx\r\n0;b=c;d=\"e;\\\"f\"\r\n\r\n", "x"),
            ("1\r\nx\r\n0\r\nA: b\r\nEmpty:\r\n\r\n", "x"),
        ] {
            let input = [body.as_bytes(), b"GET"].concat();
            assert_eq!(run(&input, &[]), Ok((data.into(), Some(body.len()))), "{body:?}");
        }
    }

    #[test]
    fn malformed() {
        for (body, expected) in [
            (&b"\r\n"[..], Reject::ChunkSize),
            (b"+5\r\nhello\r\n", Reject::ChunkSize),
            (b"-1\r\n", Reject::ChunkSize),
            (b"0x5\r\nhello\r\n", Reject::ChunkSize),
            (b" 5\r\nhello\r\n", Reject::ChunkSize),
            (b"5 \r\nhello\r\n", Reject::ChunkSize),
            (b"5\t;a\r\nhello\r\n", Reject::ChunkSize),
            (b"5\nhello\r\n", Reject::ChunkSize),
            (b"5\rhello\r\n", Reject::ChunkSize),
            (b"g\r\n", Reject::ChunkSize),
            (b"1_0\r\n", Reject::ChunkSize),
            (b"10000000000000000\r\n", Reject::ChunkSize),
            (b";a\r\n", Reject::ChunkSize),
            (b"5;\r\nhello\r\n", Reject::ChunkExtension),
            (b"5; a\r\nhello\r\n", Reject::ChunkExtension),
            (b"5;a\nhello\r\n", Reject::ChunkExtension),
            (b"5;a=\r\nhello\r\n", Reject::ChunkExtension),
            (b"5;a=\"b\r\n", Reject::ChunkExtension),
            (b"5;a=\"b\"c\r\n", Reject::ChunkExtension),
            (b"5\r\nhelloX", Reject::ChunkEnd),
            (b"5\r\nhello\n", Reject::ChunkEnd),
            (b"5\r\nhello\rX", Reject::ChunkEnd),
            (b"0\r\nX\r\n", Reject::TrailerMalformed),
            (b"0\r\n A: b\r\n", Reject::TrailerMalformed),
            (b"0\r\nA : b\r\n", Reject::TrailerMalformed),
            (b"0\r\nA: b\n", Reject::TrailerMalformed),
            (b"0\r\nA: b\0\r\n", Reject::TrailerMalformed),
            (b"0\r\nA: b\r\n c\r\n", Reject::TrailerMalformed),
            (b"0\r\n\n", Reject::TrailerMalformed),
            (b"0\r\n\rX", Reject::TrailerMalformed),
        ] {
            assert_eq!(run(body, &[]), Err(expected), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn bounds() {
        let line = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(len - 4));
        assert!(run(line(CHUNK_LINE_BYTES_MAX).as_bytes(), &[]).is_ok());
        assert_eq!(run(line(CHUNK_LINE_BYTES_MAX + 1).as_bytes(), &[]), Err(Reject::ChunkLineTooLong));

        let extensions = |len: usize| format!("1;{}\r\nx\r\n", "a".repeat(511)).repeat(len / 512) + "0\r\n\r\n";
        assert!(run(extensions(CHUNK_EXTENSIONS_BYTES_MAX).as_bytes(), &[]).is_ok());
        assert_eq!(run(extensions(CHUNK_EXTENSIONS_BYTES_MAX + 512).as_bytes(), &[]), Err(Reject::ChunkLineTooLong));

        let trailers = |len: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(len - 6));
        assert!(run(trailers(TRAILER_BYTES_MAX).as_bytes(), &[]).is_ok());
        assert_eq!(run(trailers(TRAILER_BYTES_MAX + 1).as_bytes(), &[]), Err(Reject::TrailerTooLong));
    }

    #[test]
    fn the_largest_chunk_is_not_allocated_for() {
        let mut decoder = Decoder::new();
        let step = decoder.decode(b"ffffffffffffffff\r\nab").unwrap();
        assert_eq!(step, Step { consumed: 20, event: Event::Data(18..20) });
    }

    #[test]
    fn stays_at_the_end() {
        let mut decoder = Decoder::new();
        decoder.decode(LAST_CHUNK).unwrap();
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(b"GET"), Ok(Step { consumed: 0, event: Event::End }));
    }

    #[test]
    fn headers() {
        for (len, header) in
            [(1, &b"1\r\n"[..]), (10, b"a\r\n"), (65536, b"10000\r\n"), (usize::MAX, b"ffffffffffffffff\r\n")]
        {
            assert_eq!(chunk_header(len).as_bytes(), header);
        }
    }

    proptest! {
        #[test]
        fn encoding_then_decoding(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), cuts in prop::collection::vec(0usize..300, 0..8)) {
            let mut body = Vec::new();
            for piece in &pieces {
                body.extend_from_slice(chunk_header(piece.len()).as_bytes());
                body.extend_from_slice(piece);
                body.extend_from_slice(CHUNK_END);
            }
            body.extend_from_slice(LAST_CHUNK);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.sort_unstable();
            prop_assert_eq!(run(&body, &cuts), Ok((pieces.concat(), Some(body.len()))));
        }

        #[test]
        fn splits_do_not_matter(body in "([0-3]{1,2}(;a=b)?\r\n[a-z]{0,3}\r\n|[0-9;\r\n]){0,5}(0\r\n(A: b\r\n)?\r\n)?", cuts in prop::collection::vec(0usize..60, 0..8)) {
            let body = body.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.sort_unstable();
            prop_assert_eq!(run(body, &cuts), run(body, &[]));
        }
    }
}
