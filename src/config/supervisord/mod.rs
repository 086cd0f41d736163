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
use super::value::{Place, Table};
pub use write::Import;

/// What a `supervisord.conf` says, in the terms of `maitred.toml`.
#[derive(Debug, Default)]
pub struct Taken {
    /// For `[server]`.
    pub server: Table,
    /// For `[supervisor]`.
    pub supervisor: Table,
    /// For `[control]`.
    pub control: Table,
    /// Where the first section stands that says something of it.
    pub control_place: Option<Place>,
    /// What `[supervisorctl]` says.
    pub client: ClientConfig,
    /// In the order of the files.
    pub programs: Vec<Named>,
    /// In the order of the files.
    pub listeners: Vec<Named>,
    /// In the order of the files.
    pub groups: Vec<Named>,
    /// Lines that are not carried over, and why.
    pub left: Vec<Problem>,
}

/// Where a client finds a server, as far as that is said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// `unix:///PATH` or `http://HOST:PORT`.
    pub url: Option<String>,
    /// The name for a server over TCP.
    pub username: Option<String>,
    /// … and the password.
    pub password: Option<String>,
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
    complete(&mut merged.server, taken.server);
    complete(&mut merged.supervisor, taken.supervisor);
    complete_control(&mut merged.control, taken.control, taken.control_place);
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

/// Adds to `target` what it does not have.
fn complete(target: &mut Table, table: Table) {
    for (key, placed) in table.into_entries() {
        if !target.holds(&key) {
            target.set(&key, placed);
        }
    }
}

fn complete_control(target: &mut Option<(Place, Table)>, table: Table, place: Option<Place>) {
    if let Some(place) = place {
        let (_, control) = target.get_or_insert_with(|| (place, Table::default()));
        complete(control, table);
    }
}

/// What a `supervisord.conf` says of its control sockets, added to `control`, and of where its clients find a server.
pub(super) fn add_control(
    file: &Path,
    around: &Surroundings,
    control: &mut Option<(Place, Table)>,
    problems: &mut Vec<Problem>,
) -> ClientConfig {
    let mut found = Vec::new();
    let taken = read(file, Relative::Working, around, &mut found);
    // What is wrong elsewhere does not keep a client from its server.
    let names = ["[unix_http_server", "[inet_http_server", "[supervisorctl"];
    let concerns = |key: &str| !key.starts_with('[') || names.iter().any(|name| key.starts_with(name));
    problems.extend(found.into_iter().filter(|problem| concerns(&problem.key)));
    complete_control(control, taken.control, taken.control_place);
    taken.client
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
