//! How urgent the requests of a route are to the application.
//!
//! Owns the names. What they mean for a request that waits is in `wsgi::queue`.

use std::path::Path;

use super::options::Unit;
use super::read::string;
use super::value::Value;

/// How urgent a request is. The order is that in which workers get them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others.
    High,
    /// As most are.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// Every level, the most urgent first.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }
}

/// Reads a level by its name.
pub(super) fn priority(value: &Value, unit: Unit, _: &Path) -> Result<Priority, String> {
    let text = string(value, unit)?;
    let found = Priority::ALL.into_iter().find(|known| known.name() == text);
    found.ok_or_else(|| format!("must be \"high\", \"normal\" or \"low\", not \"{}\"", text.escape_debug()))
}
