//! `[supervisor]`: from its table to what the programs' tables are read with.

use std::path::PathBuf;

use super::error::Problem;
use super::expand::Meanings;
use super::options;
use super::process::Orphans;
use super::program_texts::read_environment;
use super::section::{Bases, Reader};
use super::sources::Surroundings;
use super::value::Table;

/// What holds for all programs.
pub(super) struct Common {
    /// What stands for names in every program's texts.
    pub meanings: Meanings,
    /// Variables of every program.
    pub environment: Vec<(String, String)>,
    /// Where the files of `AUTO` are made.
    pub childlogdir: PathBuf,
    /// What becomes of what an earlier maitred has left.
    pub orphans: Orphans,
}

/// Reads the section, which may be empty.
pub(super) fn supervisor(table: Table, bases: Bases<'_>, around: &Surroundings, problems: &mut Vec<Problem>) -> Common {
    let mut reader = Reader::new(table, options::SUPERVISOR.name, options::SUPERVISOR.options, bases, problems);
    let mut meanings = Meanings::default();
    meanings.text("host_node_name", &rustix::system::uname().nodename().to_string_lossy());
    meanings.text("here", &bases.file.to_string_lossy());
    for (name, value) in &around.variables {
        meanings.text(&format!("ENV_{name}"), &value.to_string_lossy());
    }
    let given = read_environment(&mut reader, &options::SUPERVISOR_ENVIRONMENT);
    let environment = given.and_then(|given| match given.pairs(&meanings) {
        Ok(pairs) => Some(pairs),
        Err(message) => {
            reader.problem(given.place().clone(), options::SUPERVISOR_ENVIRONMENT.spec.name, message);
            None
        }
    });
    let environment = environment.unwrap_or_default();
    for (name, value) in &environment {
        meanings.text(&format!("ENV_{name}"), value);
    }
    let childlogdir = reader.placed(&options::SUPERVISOR_CHILDLOGDIR);
    if let Some((directory, place)) = childlogdir.as_ref().filter(|(directory, _)| !directory.is_dir()) {
        let message = format!("{} is not a directory", directory.display());
        reader.problem(place.clone(), options::SUPERVISOR_CHILDLOGDIR.spec.name, message);
    }
    let orphans = reader.value(&options::SUPERVISOR_ORPHANS);
    reader.finish();
    Common {
        meanings,
        environment,
        orphans,
        childlogdir: childlogdir.map_or_else(std::env::temp_dir, |(directory, _)| directory),
    }
}
