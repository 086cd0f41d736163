//! Field lines that were checked already, read again in place.
//!
//! Owns the walk over a block of `Name: value CRLF` lines. It never checks them: `head` (requests) and `app` (responses of an
//! application) did. Keeping the bytes and not an array of fields makes a `Head` small enough to be held across an await.

use memchr::memchr;

/// One field: its name as written, its value without surrounding white space.
pub type Field<'b> = (&'b [u8], &'b [u8]);

/// Iterator over the fields of a checked block, in the order in which they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'b> {
    block: &'b [u8],
}

impl<'b> Fields<'b> {
    /// `block`: checked field lines, each with its CRLF, without the empty line at the end.
    pub fn of_checked(block: &'b [u8]) -> Self {
        Self { block }
    }

    /// The field lines as sent, each with its CRLF.
    pub fn as_bytes(&self) -> &'b [u8] {
        self.block
    }

    /// The first value of the field `name`, which is compared without regard to case (RFC 9110 §5.1).
    pub fn first(self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// The value of the field `name` when exactly one line carries it: what singleton fields such as Range or If-Range need.
    pub fn only(self, name: &str) -> Option<&'b [u8]> {
        let mut values = self.all(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// All values of the field `name`, line by line.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'b [u8]> + Clone {
        self.filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The next line with its CRLF, and its field.
    pub(super) fn next_line(&mut self) -> Option<(&'b [u8], Field<'b>)> {
        let end = memchr(b'\n', self.block)? + 1;
        let (line, rest) = self.block.split_at(end);
        self.block = rest;
        let colon = memchr(b':', line).expect("a checked line has a colon");
        Some((line, (&line[..colon], trim(&line[colon + 1..]))))
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Field<'b>;

    fn next(&mut self) -> Option<Field<'b>> {
        self.next_line().map(|(_, field)| field)
    }
}

/// Without white space and line ends at either side (RFC 9110 §5.6.3).
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list in one field value, trimmed; empty ones are left out (RFC 9110 §5.6.1.2).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}

/// Whether `byte` may stand in a field value: visible characters, space, tab and obs-text (RFC 9110 §5.5).
pub(super) const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_and_finds() {
        let fields = Fields::of_checked(b"Host: a\r\nX: \t 1, 2 \t\r\nempty:\r\nx:3:4\r\n");
        let all: Vec<_> = fields.collect();
        assert_eq!(all, [(&b"Host"[..], &b"a"[..]), (b"X", b"1, 2"), (b"empty", b""), (b"x", b"3:4")]);
        assert_eq!(fields.first("HOST"), Some(&b"a"[..]));
        assert_eq!(fields.only("host"), Some(&b"a"[..]));
        assert_eq!(fields.only("x"), None);
        assert_eq!(fields.all("x").collect::<Vec<_>>(), [&b"1, 2"[..], b"3:4"]);
        assert_eq!(fields.first("absent"), None);
    }

    #[test]
    fn lists() {
        assert_eq!(list(b" a ,, b\t,").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(list(b"").count(), 0);
    }
}
