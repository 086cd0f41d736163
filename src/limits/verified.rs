//! Credentials that were found to be right, so that they need not be verified anew with each request.
//!
//! Keeps neither names nor passwords: only a keyed hash over them and the file, with a key that lives as long as the process. Bounded; the oldest
//! goes first. Wrong credentials are never kept, so nobody can push out others.

use std::collections::{HashSet, VecDeque};

use aws_lc_rs::hmac;

use super::htpasswd::Htpasswd;
use crate::base::bounds::VERIFIED_CREDENTIALS_MAX;

/// A shard's verified credentials.
pub struct Verified {
    key: hmac::Key,
    known: HashSet<[u8; 32]>,
    /// Oldest first.
    order: VecDeque<[u8; 32]>,
}

impl Verified {
    /// None yet. `secret`: random bytes.
    pub fn new(secret: &[u8; 32]) -> Verified {
        Verified { key: hmac::Key::new(hmac::HMAC_SHA256, secret), known: HashSet::new(), order: VecDeque::new() }
    }

    /// Whether these were found to be right, by the file as it is now.
    pub fn holds(&self, file: &Htpasswd, user: &[u8], password: &[u8]) -> bool {
        !self.known.is_empty() && self.known.contains(&self.tag(file, user, password))
    }

    /// Keeps them.
    pub fn keep(&mut self, file: &Htpasswd, user: &[u8], password: &[u8]) {
        let tag = self.tag(file, user, password);
        if !self.known.insert(tag) {
            return;
        }
        self.order.push_back(tag);
        if self.order.len() > VERIFIED_CREDENTIALS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn tag(&self, file: &Htpasswd, user: &[u8], password: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(file.fingerprint());
        context.update(&(user.len() as u64).to_le_bytes());
        context.update(user);
        context.update(password);
        context.sign().as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> Htpasswd {
        Htpasswd::parse(content.as_bytes()).0
    }

    #[test]
    fn only_what_was_verified_by_this_very_file_is_known() {
        let (one, other) = (file("a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="), file(""));
        let mut verified = Verified::new(&[7; 32]);
        assert!(!verified.holds(&one, b"a", b"password"));
        verified.keep(&one, b"a", b"password");
        assert!(verified.holds(&one, b"a", b"password"));
        for (file, user, password) in
            [(&one, "ap", "assword"), (&one, "", "apassword"), (&one, "a", ""), (&other, "a", "password")]
        {
            assert!(!verified.holds(file, user.as_bytes(), password.as_bytes()), "{user} {password}");
        }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let file = file("");
        let mut verified = Verified::new(&[7; 32]);
        for number in 0..=VERIFIED_CREDENTIALS_MAX {
            verified.keep(&file, b"a", &number.to_le_bytes());
            verified.keep(&file, b"a", &number.to_le_bytes());
        }
        assert!(!verified.holds(&file, b"a", &0_usize.to_le_bytes()));
        assert!(verified.holds(&file, b"a", &1_usize.to_le_bytes()));
        assert_eq!((verified.known.len(), verified.order.len()), (VERIFIED_CREDENTIALS_MAX, VERIFIED_CREDENTIALS_MAX));
    }
}
