//! One contradiction: its id, how serious it is, and what to change.

use std::fmt;

/// How serious a contradiction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Requests fail.
    Error,
    /// Something is not as it is meant to be, or not safe.
    Warning,
    /// Worth knowing.
    Note,
}

/// One contradiction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// `maitred.W011`: E, W or I for the level, and a number that never means anything else. As with Django's own checks,
    /// `SILENCED_SYSTEM_CHECKS` silences it.
    pub id: &'static str,
    /// What is the matter, and what to change.
    pub text: String,
}

impl Lint {
    /// One with this id.
    pub(super) fn new(id: &'static str, text: impl Into<String>) -> Lint {
        Lint { id, text: text.into() }
    }

    /// How serious it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.id.as_bytes().get("maitred.".len()) {
            Some(b'E') => Level::Error,
            Some(b'W') => Level::Warning,
            _ => Level::Note,
        }
    }
}

impl fmt::Display for Lint {
    /// `maitred.W011: STATIC_ROOT is not there …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.text)
    }
}
