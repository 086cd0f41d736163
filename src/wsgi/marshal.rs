//! The few types of Python's `marshal` format (Python/marshal.c, stable from CPython 3.4 to 3.14) that requests need.
//!
//! Only writes, only into the caller's buffer. A text is given as latin-1 bytes, as PEP 3333 wants native strings.

/// What a dict ends with in place of its next key.
pub(super) const DICT_END: u8 = b'0';

pub(super) fn none(out: &mut Vec<u8>) {
    out.push(b'N');
}

pub(super) fn tuple(out: &mut Vec<u8>, items: u32) {
    out.push(b'(');
    out.extend_from_slice(&items.to_le_bytes());
}

/// Key and value pairs follow, then [`DICT_END`].
pub(super) fn dict(out: &mut Vec<u8>) {
    out.push(b'{');
}

pub(super) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b's');
    size(out, value.len());
    out.extend_from_slice(value);
}

/// An int of any size: 32 bits in one piece, more as digits of 15 bits.
pub(super) fn unsigned(out: &mut Vec<u8>, value: u64) {
    if let Ok(small) = i32::try_from(value) {
        out.push(b'i');
        out.extend_from_slice(&small.to_le_bytes());
        return;
    }
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(15);
    out.push(b'l');
    out.extend_from_slice(&digits.to_le_bytes());
    for digit in 0..digits {
        let low = (value >> (15 * digit)) & 0x7fff;
        out.extend_from_slice(&(low as u16).to_le_bytes());
    }
}

/// A str from latin-1 bytes.
pub(super) fn text(out: &mut Vec<u8>, latin1: &[u8]) {
    match u8::try_from(latin1.len()) {
        // Nearly all are.
        Ok(short) if latin1.is_ascii() => {
            out.extend_from_slice(&[b'z', short]);
            out.extend_from_slice(latin1);
        }
        _ => text_joined(out, std::iter::once(latin1), b""),
    }
}

/// A str from the pieces' latin-1 bytes with `separator` between them.
pub(super) fn text_joined<'a, I>(out: &mut Vec<u8>, pieces: I, separator: &[u8])
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    let (mut length, mut wide) = (0, 0);
    for (index, piece) in pieces.clone().enumerate() {
        length += piece.len() + if index == 0 { 0 } else { separator.len() };
        if !piece.is_ascii() {
            wide += piece.iter().filter(|byte| !byte.is_ascii()).count();
        }
    }
    if wide > 0 {
        out.push(b'u');
        size(out, length + wide);
    } else if let Ok(short) = u8::try_from(length) {
        out.extend_from_slice(&[b'z', short]);
    } else {
        out.push(b'a');
        size(out, length);
    }
    for (index, piece) in pieces.enumerate() {
        if index > 0 {
            out.extend_from_slice(separator);
        }
        if wide == 0 {
            out.extend_from_slice(piece);
        } else {
            for &byte in piece {
                let mut utf8 = [0; 2];
                out.extend_from_slice(char::from(byte).encode_utf8(&mut utf8).as_bytes());
            }
        }
    }
}

/// Sizes are 32 bits wide; a message is 64 KiB at most.
fn size(out: &mut Vec<u8>, value: usize) {
    let value = i32::try_from(value).expect("one message is far below 2 GiB");
    out.extend_from_slice(&value.to_le_bytes());
}

/// Reads the texts at the beginning of a request's environ again. Ends at the first value of another kind.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The reader of the tuple `(body, environ)`, past the body.
    pub fn of_request(tuple: &'a [u8]) -> Option<Reader<'a>> {
        let rest = tuple.strip_prefix(b"(\x02\0\0\0")?;
        let (kind, rest) = rest.split_first()?;
        let rest = match kind {
            b'N' => rest,
            b'i' => rest.get(4..)?,
            b's' => sized(rest)?.1,
            b'l' => {
                let (digits, rest) = rest.split_first_chunk::<4>()?;
                rest.get(2 * usize::try_from(u32::from_le_bytes(*digits)).ok()?..)?
            }
            _ => return None,
        };
        rest.strip_prefix(b"{").map(Reader)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let (kind, rest) = self.0.split_first()?;
        let (text, rest) = match kind {
            b'z' => {
                let (&length, rest) = rest.split_first()?;
                rest.split_at_checked(usize::from(length))?
            }
            b'a' | b'u' => sized(rest)?,
            _ => return None,
        };
        self.0 = rest;
        Some(text)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.text()?, self.text()?))
    }
}

/// So many bytes as the four in front of them say, and what follows.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_take_the_shortest_form() {
        let cases: [(u64, &[u8]); 3] =
            [(0, b"i\0\0\0\0"), (0x7fff_ffff, b"i\xff\xff\xff\x7f"), (0x8000_0000, b"l\x03\0\0\0\0\0\0\0\x02\0")];
        for (value, wanted) in cases {
            let mut out = Vec::new();
            unsigned(&mut out, value);
            assert_eq!(out, wanted, "{value:#x}");
        }
    }

    #[test]
    fn texts_take_the_form_that_their_bytes_need() {
        let mut out = Vec::new();
        text(&mut out, b"abc");
        text(&mut out, &[b'x'; 256]);
        text(&mut out, b"\xe9t\xe9");
        assert_eq!(&out[..5], b"z\x03abc");
        assert_eq!(&out[5..10], b"a\0\x01\0\0");
        assert_eq!(&out[266..], b"u\x05\0\0\0\xc3\xa9t\xc3\xa9");
    }
}
