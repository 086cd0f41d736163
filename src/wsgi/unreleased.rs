//! Bodies whose requests are answered but which their workers may still read.
//!
//! Owns the memory of such a body until its worker says that it has done with it. What nobody says that of is let go of after a while, and then is not used
//! again: the worker's descriptor keeps it. Called by `pool`.

use std::collections::HashMap;

use super::messages::Token;
use super::spool::BodyFile;
use crate::base::bounds::{BODIES_UNRELEASED_MAX, BODIES_UNRELEASED_SECONDS};
use crate::base::clock::Monotonic;

/// The bodies, by the tokens of their requests.
#[derive(Default)]
pub(super) struct Unreleased(HashMap<Token, (Monotonic, BodyFile)>);

impl Unreleased {
    /// The request is answered. One that is more than can be remembered is let go of.
    pub fn keep(&mut self, token: Token, body: BodyFile, now: Monotonic) {
        if matches!(body, BodyFile::Memory(_)) && self.0.len() < BODIES_UNRELEASED_MAX {
            self.0.insert(token, (now, body));
        }
    }

    /// Its worker has done with it.
    pub fn end(&mut self, token: Token) {
        if let Some((_, BodyFile::Memory(lease))) = self.0.remove(&token) {
            lease.end();
        }
    }

    /// Lets go of what has been waited for too long: its worker has died, or goes on reading.
    pub fn trim(&mut self, now: Monotonic) {
        self.0.retain(|_, (since, _)| now.since(*since).as_secs() < BODIES_UNRELEASED_SECONDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wsgi::region_pool::RegionPool;

    #[test]
    fn only_so_many_bodies_are_remembered_and_only_for_so_long() {
        let pool = RegionPool::new();
        let body = || BodyFile::Memory(pool.lease(1).expect("memory").expect("room"));
        let token = |slot: usize| Token { slot: slot as u32, serial: 1 };
        let mut unreleased = Unreleased::default();
        let at = |seconds: u64| Monotonic::from_nanos(seconds * 1_000_000_000);
        for slot in 0..BODIES_UNRELEASED_MAX + 10 {
            unreleased.keep(token(slot), body(), at(slot as u64 / 128));
        }
        assert_eq!(unreleased.0.len(), BODIES_UNRELEASED_MAX);
        // The first comes back; one that was not remembered, and one that comes back twice, are no news.
        for slot in [0, 0, BODIES_UNRELEASED_MAX + 1] {
            unreleased.end(token(slot));
            assert_eq!((unreleased.0.len(), pool.kept()), (BODIES_UNRELEASED_MAX - 1, 1));
        }
        unreleased.trim(at(BODIES_UNRELEASED_SECONDS));
        assert_eq!((unreleased.0.len(), pool.kept()), (128, 1));
        unreleased.trim(at(BODIES_UNRELEASED_SECONDS + 1));
        assert_eq!((unreleased.0.len(), pool.kept()), (0, 1));
    }
}
