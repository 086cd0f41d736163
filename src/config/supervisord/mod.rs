//! An existing `supervisord.conf`: read as supervisor 4.3 reads it, and put into the terms of `maitred.toml`.
//!
//! `ini` is the form of the file, `files` finds what it includes, `values` the forms of its values, `convert` what each option is called here;
//! `write` makes text of it. Owns the list of what is not carried over: nothing is left out without a word. Reads files, runs nothing.

mod convert;
mod files;
mod ini;
mod values;
mod write;

use std::path::Path;

use super::error::{ConfigErrors, Problem};
use super::merge::Merged;
use super::programs::Named;
use super::sources::Surroundings;
use super::value::Table;
pub use write::Import;

/// What a `supervisord.conf` says, in the terms of `maitred.toml`.
#[derive(Debug, Default)]
pub struct Taken {
    /// For `[server]`.
    pub server: Table,
    /// For `[supervisor]`.
    pub supervisor: Table,
    /// In the order of the files.
    pub programs: Vec<Named>,
    /// In the order of the files.
    pub listeners: Vec<Named>,
    /// In the order of the files.
    pub groups: Vec<Named>,
    /// Lines that are not carried over, and why.
    pub left: Vec<Problem>,
}

/// What is done with paths that start where supervisord was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relative {
    /// They start at the working directory.
    Working,
    /// They stay as they are, which is said.
    Kept,
}

/// Reads `file` and what it includes. What is wrong goes to `problems`.
fn read(file: &Path, relative: Relative, around: &Surroundings, problems: &mut Vec<Problem>) -> Taken {
    match files::read(file, around) {
        Ok(found) => convert::convert(found, relative, around, problems),
        Err(wrong) => {
            problems.extend(wrong);
            Taken::default()
        }
    }
}

/// Adds what a `supervisord.conf` says to `merged`; the config file's own values win.
pub(super) fn add(file: &Path, around: &Surroundings, merged: &mut Merged, problems: &mut Vec<Problem>) {
    let taken = read(file, Relative::Working, around, problems);
    for (target, table) in [(&mut merged.server, taken.server), (&mut merged.supervisor, taken.supervisor)] {
        for (key, placed) in table.into_entries() {
            if !target.holds(&key) {
                target.set(&key, placed);
            }
        }
    }
    for (kind, known, added) in [
        ("program", &mut merged.programs, taken.programs),
        ("eventlistener", &mut merged.listeners, taken.listeners),
        ("group", &mut merged.groups, taken.groups),
    ] {
        for named in added {
            if known.iter().any(|other| other.name == named.name) {
                let message = "is in both files; give one of them another name".to_owned();
                problems.push(Problem { place: named.place, key: format!("{kind}.{}", named.name), message });
            } else {
                known.push(named);
            }
        }
    }
    merged.left = taken.left;
}

/// Reads a `supervisord.conf` to be written as `maitred.toml`.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn import(file: &Path, around: &Surroundings) -> Result<Import, ConfigErrors> {
    let mut problems = Vec::new();
    let taken = read(file, Relative::Kept, around, &mut problems);
    match ConfigErrors::of(problems) {
        Some(errors) => Err(errors),
        None => Ok(Import::new(file, taken)),
    }
}
