//! How values are kept from breaking out of their line.
//!
//! Pure. The default is nginx's: bytes outside of printable ASCII, quotes and backslashes become `\xHH`.

/// How values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As nginx does by default: `"`, `\`, control characters and everything above `~` as `\xHH`; an absent value is `-`.
    Default,
    /// For a JSON string (RFC 8259 §7): valid UTF-8 stays, other bytes become `\u00HH`; an absent value is empty.
    Json,
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";

/// What is to be done with a byte.
const PLAIN: u8 = 0;
const CODED: u8 = 1;

const fn table(is_json: bool) -> [u8; 256] {
    let mut table = [PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        let coded = byte < 0x20 || byte == b'"' as usize || byte == b'\\' as usize || byte == 0x7f;
        // In JSON what lies above ASCII is looked at as UTF-8 first.
        if coded || (!is_json && byte > 0x7f) {
            table[byte] = CODED;
        }
        byte += 1;
    }
    table
}

static DEFAULT: [u8; 256] = table(false);
static JSON: [u8; 256] = table(true);

/// Appends `value`, escaped, up to `bytes_max` bytes: what would go beyond is left off, never in the middle of an escape.
pub(super) fn push(escape: Escape, out: &mut Vec<u8>, value: &[u8], bytes_max: usize) {
    match escape {
        Escape::Default => {
            if value.len() <= bytes_max && value.iter().all(|&byte| DEFAULT[usize::from(byte)] == PLAIN) {
                out.extend_from_slice(value);
            } else {
                push_default(out, value, bytes_max);
            }
        }
        Escape::Json => push_json(out, value, bytes_max),
    }
}

fn push_default(out: &mut Vec<u8>, value: &[u8], bytes_max: usize) {
    let end = out.len() + bytes_max;
    for &byte in value {
        if DEFAULT[usize::from(byte)] == PLAIN {
            if out.len() + 1 > end {
                return;
            }
            out.push(byte);
        } else {
            if out.len() + 4 > end {
                return;
            }
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'x', high, low]);
        }
    }
}

fn push_json(out: &mut Vec<u8>, value: &[u8], bytes_max: usize) {
    let end = out.len() + bytes_max;
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            let code = u32::from(character);
            // The second set of control characters (U+0080 to U+009F) moves terminals as the first does.
            let fits = if code < 0x80 && JSON[code as usize] == PLAIN {
                out.len() < end && {
                    out.push(code as u8);
                    true
                }
            } else if code < 0xa0 {
                push_coded(out, code as u8, end)
            } else {
                let mut buffer = [0; 4];
                let text = character.encode_utf8(&mut buffer);
                out.len() + text.len() <= end && {
                    out.extend_from_slice(text.as_bytes());
                    true
                }
            };
            if !fits {
                return;
            }
        }
        for &byte in chunk.invalid() {
            if !push_coded(out, byte, end) {
                return;
            }
        }
    }
}

/// One character below U+0100 as JSON's escape. `false`: it does not fit.
fn push_coded(out: &mut Vec<u8>, byte: u8, end: usize) -> bool {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        _ => 0,
    };
    if out.len() + if short == 0 { 6 } else { 2 } > end {
        return false;
    }
    match short {
        0 => {
            let (high, low) = (HEX_LOWER[usize::from(byte >> 4)], HEX_LOWER[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
        short => out.extend_from_slice(&[b'\\', short]),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, value: &[u8], bytes_max: usize) -> String {
        let mut out = Vec::new();
        push(escape, &mut out, value, bytes_max);
        String::from_utf8(out).expect("escaped text is text")
    }

    #[test]
    fn the_default_is_nginx_s() {
        let value = b"a b\"\\\r\n\t\x00\x1f~\x7f\x80\xff\xc3\xa9";
        let expected = r"a b\x22\x5C\x0D\x0A\x09\x00\x1F~\x7F\x80\xFF\xC3\xA9";
        assert_eq!(escaped(Escape::Default, value, 1000), expected);
    }

    #[test]
    fn json_keeps_text_and_escapes_the_rest() {
        let value = b"a\"\\\r\n\t\x00\x7f\xc3\xa9\xc2\x85\xff\xe2\x82";
        let expected = "a\\\"\\\\\\r\\n\\t\\u0000\\u007f\u{e9}\\u0085\\u00ff\\u00e2\\u0082";
        assert_eq!(escaped(Escape::Json, value, 1000), expected);
    }

    #[test]
    fn a_cut_never_splits_an_escape_or_a_character() {
        for max in 0..12 {
            let default = escaped(Escape::Default, b"ab\x01\x02", max);
            assert!(default.len() <= max && [0, 1, 2, 6, 10].contains(&default.len()), "{default:?}");
            let json = escaped(Escape::Json, "a\u{e9}\u{1}\n".as_bytes(), max);
            assert!(json.len() <= max && [0, 1, 3, 9, 11].contains(&json.len()), "{json:?}");
        }
    }
}
