//! Statuses as they are chosen in the configuration: one by one, or by class.

use std::path::Path;

use super::options::Unit;
use super::value::Value;

/// Statuses that are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusPattern {
    /// This one.
    Exact(u16),
    /// Those that begin with this digit.
    Class(u16),
}

impl StatusPattern {
    /// Whether `status` is meant.
    pub fn holds(self, status: u16) -> bool {
        match self {
            StatusPattern::Exact(exact) => status == exact,
            StatusPattern::Class(class) => status / 100 == class,
        }
    }
}

/// A status, a class such as "2xx", or a list of these.
pub fn statuses(value: &Value, unit: Unit, _: &Path) -> Result<Vec<StatusPattern>, String> {
    let status = |value: &Value| match value {
        Value::Integer(status @ 100..=999) => Some(StatusPattern::Exact(*status as u16)),
        Value::Text(text) => match text.as_bytes() {
            [class @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'] => Some(StatusPattern::Class(u16::from(class - b'0'))),
            _ => text.parse().ok().filter(|status| (100..=999).contains(status)).map(StatusPattern::Exact),
        },
        _ => None,
    };
    value.each().map(|item| status(item).ok_or_else(|| format!("must be {unit}"))).collect()
}
