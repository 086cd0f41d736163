//! Bodies whose requests are answered but which their workers may still read.
//!
//! Owns the memory of such a body until its worker says that it has done with it. What nobody says that of is let go of after a while, and then is not used
//! again: the worker's descriptor keeps it. Called by `pool`.

use std::collections::HashMap;

use super::messages::Token;
use super::spool::BodyFile;
use crate::base::bounds::{BODIES_LENT_MAX, BODIES_LENT_SECONDS};
use crate::base::clock::Monotonic;

/// The bodies, by the tokens of their requests.
#[derive(Default)]
pub(super) struct Lent(HashMap<Token, (Monotonic, BodyFile)>);

impl Lent {
    /// The request is answered. One that is more than can be remembered is let go of.
    pub fn keep(&mut self, token: Token, body: BodyFile, now: Monotonic) {
        if matches!(body, BodyFile::Memory(_)) && self.0.len() < BODIES_LENT_MAX {
            self.0.insert(token, (now, body));
        }
    }

    /// Its worker has done with it.
    pub fn end(&mut self, token: Token) {
        if let Some((_, BodyFile::Memory(lease))) = self.0.remove(&token) {
            lease.end();
        }
    }

    /// Lets go of what has been lent for too long: its worker has died, or goes on reading.
    pub fn trim(&mut self, now: Monotonic) {
        self.0.retain(|_, (since, _)| now.since(*since).as_secs() < BODIES_LENT_SECONDS);
    }
}
