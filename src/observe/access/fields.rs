//! Fields of a head that a format wants, found in one pass over its lines.
//!
//! Pure. The lines were checked when the head was parsed; lines that are none are skipped.

use memchr::memchr;

/// Names of fields that one format may ask for.
pub(super) const NAMES_MAX: usize = 16;

/// What was found of each wanted name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// The value of the first line with that name.
    pub value: Option<&'a [u8]>,
    /// There are more lines with it.
    pub is_repeated: bool,
}

/// Looks for `names` (lower case, with `_` for `-`) in `block`.
pub(super) fn find<'a>(block: &'a [u8], names: &[Vec<u8>]) -> [Found<'a>; NAMES_MAX] {
    let mut found = [Found::default(); NAMES_MAX];
    for (name, value) in lines(block) {
        for (found, _) in found.iter_mut().zip(names).filter(|(_, wanted)| is_named(name, wanted)) {
            match found.value {
                None => found.value = Some(value),
                Some(_) => found.is_repeated = true,
            }
        }
    }
    found
}

/// All values of one field.
pub(super) fn all<'a>(block: &'a [u8], wanted: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    lines(block).filter(move |(name, _)| is_named(name, wanted)).map(|(_, value)| value)
}

/// Names and values, line by line.
fn lines(mut block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let end = memchr(b'\n', block)?;
            let (line, rest) = (&block[..end], &block[end + 1..]);
            block = rest;
            if let Some(colon) = memchr(b':', line) {
                return Some((&line[..colon], line[colon + 1..].trim_ascii()));
            }
        }
    })
}

/// nginx's rule: case does not count, and a dash is an underscore.
fn is_named(name: &[u8], wanted: &[u8]) -> bool {
    name.len() == wanted.len()
        && name.iter().zip(wanted).all(|(&byte, &wanted)| {
            let byte = if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
            byte == wanted
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_one_pass() {
        let block = b"Host: a\r\nUser-Agent:\t b c \r\nX: 1\r\nx: 2\r\nEmpty:\r\nno colon\r\n";
        let names = [b"user_agent".to_vec(), b"x".to_vec(), b"empty".to_vec(), b"absent".to_vec()];
        let found = find(block, &names);
        assert_eq!(found[0], Found { value: Some(b"b c"), is_repeated: false });
        assert_eq!(found[1], Found { value: Some(b"1"), is_repeated: true });
        assert_eq!(found[2], Found { value: Some(b""), is_repeated: false });
        assert_eq!(found[3], Found::default());
        assert_eq!(all(block, b"x").collect::<Vec<_>>(), [b"1", b"2"]);
    }
}
