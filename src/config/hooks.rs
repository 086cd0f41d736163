//! `[app.hooks]`: from its table to the callables that are called.
//!
//! Owns the two forms of a callable's place. Imports nothing: the workers' interpreter does.

use std::path::{Path, PathBuf};

use super::error::Problem;
use super::options::{self, Opt, Unit};
use super::read;
use super::section::{Bases, Reader, table};
use super::value::{Placed, Value};

/// Where a callable is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookPlace {
    /// In a module that can be imported: its dotted name and the attribute's.
    Module(String, String),
    /// In a file of Python, which is no module: its path and the attribute's name.
    File(PathBuf, String),
}

/// The hooks that are configured, by their names.
pub type Hooks = Vec<(&'static str, HookPlace)>;

static ALL: [&Opt<HookPlace>; 14] = [
    &options::ON_STARTING,
    &options::ON_RELOAD,
    &options::WHEN_READY,
    &options::PRE_FORK,
    &options::POST_FORK,
    &options::POST_WORKER_INIT,
    &options::WORKER_INT,
    &options::WORKER_ABORT,
    &options::PRE_REQUEST,
    &options::POST_REQUEST,
    &options::CHILD_EXIT,
    &options::WORKER_EXIT,
    &options::NWORKERS_CHANGED,
    &options::ON_EXIT,
];

/// Reads the table.
pub(super) fn hooks(placed: Option<Placed>, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Hooks {
    let section = &options::HOOKS_TABLE;
    let Some(inner) = placed.and_then(|placed| table(placed, section.name, section.header, problems)) else {
        return Vec::new();
    };
    let mut reader = Reader::new(inner, section.name, section.options, bases, problems);
    let found = ALL.iter().filter_map(|option| Some((option.spec.name, reader.optional(option)?))).collect();
    reader.finish();
    found
}

/// `module:callable` or `file.py:callable`.
pub(super) fn hook(value: &Value, unit: Unit, base: &Path) -> Result<HookPlace, String> {
    let text = read::text(value, unit, base)?;
    let wrong = || {
        let shown = text.escape_debug();
        format!("\"{shown}\" is not of the form \"module:callable\" or \"file.py:callable\"")
    };
    let (place, attribute) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !is_dotted(attribute) {
        return Err(wrong());
    }
    if place.ends_with(".py") || place.contains('/') {
        let path = read::path(&Value::Text(place.to_owned()), unit, base)?;
        return Ok(HookPlace::File(path, attribute.to_owned()));
    }
    if is_dotted(place) { Ok(HookPlace::Module(place.to_owned(), attribute.to_owned())) } else { Err(wrong()) }
}

/// Names with dots between them.
fn is_dotted(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callable_is_in_a_module_or_in_a_file() {
        let read = |text: &str| hook(&Value::Text(text.to_owned()), Unit::Described("a callable"), Path::new("/etc"));
        assert_eq!(read("a.b:c"), Ok(HookPlace::Module("a.b".to_owned(), "c".to_owned())));
        assert_eq!(read("x/c.py:f.g"), Ok(HookPlace::File("/etc/x/c.py".into(), "f.g".to_owned())));
        for wrong in ["", "a", "a:", ":b", "a b:c", "a:b c", "a..b:c", "1a:b", "x.py"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
