//! MD5-crypt: what `htpasswd -m` (`$apr1$`) and `openssl passwd -1` (`$1$`) make of a password, and check against.
//!
//! Weak by today's measure, but what most files that exist hold.

use md5::{Digest, Md5};

/// Rounds of the stretching, the same in all hashes.
const ROUNDS: usize = 1000;
/// Longest salt, bytes; what is more does not count.
const SALT_BYTES_MAX: usize = 8;
/// Characters of a hash behind its salt.
pub(super) const HASH_CHARS: usize = 22;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The 22 characters that stand behind the salt. `magic` is `$apr1$` or `$1$`.
pub(super) fn hash(password: &[u8], magic: &str, salt: &[u8]) -> [u8; HASH_CHARS] {
    let salt = &salt[..salt.len().min(SALT_BYTES_MAX)];
    let digest = |parts: &[&[u8]]| {
        let mut context = Md5::new();
        parts.iter().for_each(|part| context.update(part));
        <[u8; 16]>::from(context.finalize())
    };
    let alternate = digest(&[password, salt, password]);
    let mut context = Md5::new();
    context.update(password);
    context.update(magic.as_bytes());
    context.update(salt);
    for piece in password.chunks(alternate.len()) {
        context.update(&alternate[..piece.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        context.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut state = <[u8; 16]>::from(context.finalize());
    for round in 0..ROUNDS {
        let (first, last): (&[u8], &[u8]) = if round & 1 == 1 { (password, &state) } else { (&state, password) };
        let salt = if round % 3 == 0 { &b""[..] } else { salt };
        let again = if round % 7 == 0 { &b""[..] } else { password };
        state = digest(&[first, salt, again, last]);
    }
    encode(&state)
}

/// The digest in the order and the alphabet of crypt(3).
fn encode(state: &[u8; 16]) -> [u8; HASH_CHARS] {
    let triple =
        |a: usize, b: usize, c: usize| u32::from(state[a]) << 16 | u32::from(state[b]) << 8 | u32::from(state[c]);
    let groups = [
        triple(0, 6, 12),
        triple(1, 7, 13),
        triple(2, 8, 14),
        triple(3, 9, 15),
        triple(4, 10, 5),
        u32::from(state[11]),
    ];
    std::array::from_fn(|index| ALPHABET[(groups[index / 4] >> (6 * (index % 4))) as usize & 63])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_openssl_and_apache_make_them() {
        for (password, magic, salt, expected) in VECTORS {
            let made = hash(password.as_bytes(), magic, salt.as_bytes());
            assert_eq!(std::str::from_utf8(&made), Ok(*expected), "{password:?} {magic}{salt}");
        }
    }

    /// Made by `openssl passwd -apr1 -salt SALT PASSWORD`, or with `-1`.
    const VECTORS: &[(&str, &str, &str, &str)] = &[
        ("password", "$apr1$", "r31.....", "ARC3pREO82RIm0aQ2zszC0"),
        ("secret", "$apr1$", "abcdefgh", "h9FWgUz3n9YxylKLlR5SQ/"),
        ("secret", "$1$", "abcdefgh", "cHJi5PXp/ki/ktXzqlk6I1"),
        ("a", "$apr1$", "x", "16j9.5e7KiXmuYFAYpPJM/"),
        ("a rather long password of more than sixteen bytes", "$apr1$", "12345678", "0MXmK7Viq1dMXwckH99Lm1"),
        ("pässwörd", "$1$", "salt", "QPw8223Sm.s4vlBuBws4Q0"),
    ];
}
