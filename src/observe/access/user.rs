//! The user of Basic credentials (RFC 7617), for `$remote_user`.
//!
//! Pure. As in nginx nothing is verified: the line says who the client claimed to be.

/// The user's name in an Authorization value; `None` if there is none, or an empty one.
pub(super) fn of_credentials(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = decode(rest.trim_ascii_start())?;
    let colon = memchr::memchr(b':', &decoded)?;
    (colon > 0).then(|| decoded[..colon].to_vec())
}

/// Base64 (RFC 4648 §4), up to its padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in text.iter().take_while(|byte| **byte != b'=') {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // A single letter is left: no byte.
    (count != 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        let of = |value: &str| of_credentials(value.as_bytes()).map(|user| String::from_utf8_lossy(&user).into_owned());
        assert_eq!(of("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(), Some("Aladdin"));
        assert_eq!(of("basic  dTpw").as_deref(), Some("u"));
        for none in ["", "Basic", "Basic ", "Bearer dTpw", "Basic d", "Basic !!!!", "Basic OnA=", "Basic dXNlcg=="] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
