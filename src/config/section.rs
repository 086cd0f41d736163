//! Reading one table of the config file, option by option.
//!
//! Owns how problems get their place and key, and what is said about an unknown key.

use std::path::Path;

use super::error::Problem;
use super::options::{Default, Opt, SECTIONS, Section, Spec};
use super::value::{Place, Placed, Table, Value, parse};

/// Directories that relative paths start at.
#[derive(Debug, Clone, Copy)]
pub struct Bases<'a> {
    /// For values of the config file.
    pub file: &'a Path,
    /// For arguments and variables.
    pub working: &'a Path,
}

/// A table that is being read. What is left when it is finished is unknown.
pub struct Reader<'a> {
    table: Table,
    /// Dotted name of the table.
    name: String,
    known: &'a [&'static Spec],
    bases: Bases<'a>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub fn new(
        table: Table,
        name: &str,
        known: &'a [&'static Spec],
        bases: Bases<'a>,
        problems: &'a mut Vec<Problem>,
    ) -> Reader<'a> {
        Reader { table, name: name.to_owned(), known, bases, problems }
    }

    /// The option's value, else its default. After a problem it is the default as well: the configuration will not be
    /// used then.
    pub fn value<T>(&mut self, option: &Opt<T>) -> T {
        self.optional(option).unwrap_or_else(|| default(option).expect("the option has a default that it takes itself"))
    }

    /// The option's value, if it is given and right.
    pub fn optional<T>(&mut self, option: &Opt<T>) -> Option<T> {
        self.placed(option).map(|(value, _)| value)
    }

    /// The option's value and its place, if it is given and right.
    pub fn placed<T>(&mut self, option: &Opt<T>) -> Option<(T, Place)> {
        let Placed { place, value } = self.table.take(option.spec.name)?;
        let base = if place.is_in_file() { self.bases.file } else { self.bases.working };
        match (option.read)(&value, option.spec.unit, base) {
            Ok(value) => Some((value, place)),
            Err(message) => {
                self.problem(place, option.spec.name, message);
                None
            }
        }
    }

    /// Whether the option is given and not read yet.
    pub fn has<T>(&self, option: &Opt<T>) -> bool {
        self.table.holds(option.spec.name)
    }

    /// Reports a problem with `key` (empty: with the table as a whole).
    pub fn problem(&mut self, place: Place, key: &str, message: impl Into<String>) {
        let dot = if key.is_empty() { "" } else { "." };
        self.problems.push(Problem { place, key: format!("{}{dot}{key}", self.name), message: message.into() });
    }

    /// Reports every key that no option was read from.
    pub fn finish(mut self) {
        for (key, Placed { place, .. }) in std::mem::take(&mut self.table).into_entries() {
            let hint = hint(&key, self.known);
            self.problem(place, &shown(&key), format!("unknown key{hint}"));
        }
    }
}

/// The value that is declared as `option`'s default.
pub(super) fn default<T>(option: &Opt<T>) -> Option<T> {
    let Default::Toml(text) = option.spec.default else {
        return None;
    };
    let mut table = parse(Path::new("default"), &format!("default = {text}"), &mut Vec::new());
    (option.read)(&table.take("default")?.value, option.spec.unit, Path::new("/")).ok()
}

/// The value that `text` is in TOML.
#[cfg(test)]
pub(super) fn value_of(text: &str) -> Value {
    let mut table = parse(Path::new("test"), &format!("value = {text}"), &mut Vec::new());
    table.take("value").expect("TOML").value
}

/// A key as it would have to be written in TOML.
pub(super) fn shown(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { key.to_owned() } else { format!("\"{}\"", key.escape_debug()) }
}

/// What can be said about an unknown key of a table with the options `known`: its name here, the table that it belongs in, or the nearest
/// known key.
fn hint(key: &str, known: &[&'static Spec]) -> String {
    // By its options: a program's table has a name of its own beside the section's.
    let elsewhere = |section: &&&Section| !std::ptr::eq(section.options, known);
    if let Some(spec) = known.iter().find(|spec| spec.elsewhere.contains(&key)) {
        return format!("; it is called \"{}\" here", spec.name);
    }
    if let Some(section) = SECTIONS.iter().filter(elsewhere).find(|section| owns(section, key)) {
        return format!("; \"{key}\" belongs in {}", section.header);
    }
    let renamed = |section: &&'static Section| {
        Some((*section, section.options.iter().find(|spec| spec.elsewhere.contains(&key))?))
    };
    if let Some((section, spec)) = SECTIONS.iter().filter(elsewhere).find_map(renamed) {
        return format!("; it is called \"{}\" in {}", spec.name, section.header);
    }
    nearest(key, known.iter().map(|spec| spec.name)).map_or(String::new(), |name| format!("; did you mean \"{name}\"?"))
}

fn owns(section: &Section, key: &str) -> bool {
    section.options.iter().any(|spec| spec.name == key)
}

/// Nearness from which a known name is offered: Jaro-Winkler is 1 for equal words and favours a common beginning.
const NEAR: f64 = 0.82;

/// The known name that `key` was most likely meant to be.
pub fn nearest<'n>(key: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let key = key.to_lowercase().replace('-', "_");
    let near = known.map(|name| (strsim::jaro_winkler(&key, name), name)).filter(|(score, _)| *score >= NEAR);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The table that is `value`, or a problem.
pub fn table(placed: Placed, key: &str, written: &str, problems: &mut Vec<Problem>) -> Option<Table> {
    match placed.value {
        Value::Table(table) => Some(table),
        other => {
            let message = format!("must be a table, written {written}, not {}", other.kind());
            problems.push(Problem { place: placed.place, key: key.to_owned(), message });
            None
        }
    }
}

/// Each option has a default exactly if it declares one as TOML, and then takes it itself.
#[cfg(test)]
macro_rules! assert_defaults {
    ($($option:ident)*) => {$(
        let declared = matches!($option.spec.default, $crate::config::options::Default::Toml(_));
        assert_eq!($crate::config::section::default(&$option).is_some(), declared, "{}", $option.spec.name);
    )*};
}
#[cfg(test)]
pub(super) use assert_defaults;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    #[test]
    fn a_slip_is_met_with_the_name_that_was_meant() {
        let app = |key| hint(key, options::APP.options);
        assert_eq!(app("workerz"), "; did you mean \"workers\"?");
        assert_eq!(app("graceful-timeout"), "; did you mean \"graceful_timeout\"?");
        assert_eq!(app("wsgi_app"), "; it is called \"wsgi\" here");
        assert_eq!(app("bind"), "; it is called \"listen\" in [server]");
        assert_eq!(app("shards"), "; \"shards\" belongs in [server]");
        assert_eq!(app("zzz"), "");
        assert_eq!(app(""), "");
    }
}
