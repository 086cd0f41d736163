//! Who may come over TCP: HTTP's Basic scheme (RFC 7617), with the passwords that supervisord takes.
//!
//! Pure: a field's value and the configuration in, yes or no out.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::config::Credentials;
use crate::control::base64;

/// What a stored SHA-1 begins with.
const SHA: &str = "{SHA}";

/// Whether `field`, the value of Authorization, names the user and the password.
pub(super) fn is_allowed(field: Option<&[u8]>, credentials: &Credentials) -> bool {
    let Some((name, password)) = field.and_then(basic) else { return false };
    let same = |a: &[u8], b: &[u8]| verify_slices_are_equal(a, b).is_ok();
    let is_right = match credentials.password.strip_prefix(SHA) {
        Some(stored) => {
            let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &password);
            let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            same(hex.as_bytes(), stored.to_ascii_lowercase().as_bytes())
        }
        None => same(&password, credentials.password.as_bytes()),
    };
    // Both are compared whatever the first comparison says.
    is_right & same(&name, credentials.username.as_bytes())
}

/// Name and password.
fn basic(field: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = std::str::from_utf8(field).ok()?.trim();
    let (scheme, token) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64(token.trim())?;
    let colon = memchr::memchr(b':', &bytes)?;
    Some((bytes[..colon].to_vec(), bytes[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_plain_or_hashed() {
        let credentials = |password: &str| Credentials { username: "user".to_owned(), password: password.to_owned() };
        let right: &[u8] = b"Basic dXNlcjp0aGVwYXNzd29yZA==";
        for (field, password, allowed) in [
            (Some(right), "thepassword", true),
            (Some(&b"basic  dXNlcjp0aGVwYXNzd29yZA"[..]), "thepassword", true),
            (Some(right), "{SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d", true),
            (Some(right), "{SHA}82AB876D1387BFAFE46CC1C8A2EF074EAE50CB1D", true),
            (Some(right), "{SHA}00", false),
            (Some(right), "thepassworD", false),
            (Some(&b"Basic dXNlcjo="[..]), "thepassword", false),
            (Some(&b"Basic dXNlcg=="[..]), "user", false),
            (Some(&b"Bearer dXNlcjp0aGVwYXNzd29yZA=="[..]), "thepassword", false),
            (Some(&b"Basic"[..]), "thepassword", false),
            (Some(&b"Basic \xff"[..]), "thepassword", false),
            (None, "thepassword", false),
        ] {
            assert_eq!(is_allowed(field, &credentials(password)), allowed, "{password}");
        }
        let other = Credentials { username: "someone".to_owned(), password: "thepassword".to_owned() };
        assert!(!is_allowed(Some(right), &other));
    }
}
