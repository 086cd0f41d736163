//! What can be wrong with a configuration, and how it is told.
//!
//! Owns the form of the messages; every one of them names its place, and all are told at once.

use std::fmt::{self, Write as _};

use super::value::Place;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) place: Place,
    /// Dotted name of the key, such as `app.workers` or `route[2].path`; empty if it is not about a key.
    pub(super) key: String,
    pub(super) message: String,
}

impl fmt::Display for Problem {
    /// `maitred.toml:12: app.workerz: unknown key; did you mean "workers"?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = OneLine(f);
        write!(f, "{}", self.place)?;
        if !self.key.is_empty() && matches!(self.place, Place::File { .. }) {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// What a file says may stand in a message, and so may its name and the names in it, whatever they are: one problem stays one line, and
/// commands no terminal.
struct OneLine<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter.is_control() {
            true => write!(self.0, "{}", letter.escape_default()),
            false => self.0.write_char(letter),
        })
    }
}

/// Everything that is wrong with a configuration, in the order of the file's lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// `problems`, put in order; `None` if there are none.
    pub(super) fn of(mut problems: Vec<Problem>) -> Option<ConfigErrors> {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        if problems.is_empty() { None } else { Some(ConfigErrors { problems }) }
    }

    /// What is wrong, one line each.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for ConfigErrors {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
