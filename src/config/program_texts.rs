//! A program's texts, which are expanded for each of its processes: its command, names, places and variables.
//!
//! Owns the order in which variables become known: maitred's own, `[supervisor]`'s, the program's.

use std::path::Path;

use super::expand::{Meanings, expand};
use super::options::Opt;
use super::process::{CareConfig, LaunchConfig, OutputConfig, OutputTarget, Probe, ProcessConfig};
use super::program_checks::Check;
use super::programs::check_name;
use super::section::Reader;
use super::supervisor::Common;
use super::value::{Place, Value};
use super::words;

/// A problem of one process: where, with which key, what.
pub(super) type Fault = (Place, &'static str, String);

/// A program's texts, to be expanded for each of its processes.
pub(super) struct Texts {
    pub command: (String, Place),
    pub process_name: (String, Place),
    pub directory: Option<(String, Place)>,
    pub environment: Option<Environment>,
    pub stdout: Option<(String, Place)>,
    pub stderr: Option<(String, Place)>,
    pub ready: Option<Check>,
    pub liveness: Option<Check>,
}

/// Variables as they were given, to be expanded.
#[derive(Debug, Clone)]
pub(super) enum Environment {
    Text(String, Place),
    Table(Vec<(String, String)>, Place),
}

impl Environment {
    /// Where they were given.
    pub fn place(&self) -> &Place {
        match self {
            Environment::Text(_, place) | Environment::Table(_, place) => place,
        }
    }

    /// Names and expanded values.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn pairs(&self, meanings: &Meanings) -> Result<Vec<(String, String)>, String> {
        let pairs = match self {
            Environment::Text(text, _) => words::variables(&expand(text, meanings)?)?,
            Environment::Table(pairs, _) => {
                let expanded = |(name, value): &(String, String)| Ok((name.clone(), expand(value, meanings)?));
                pairs.iter().map(expanded).collect::<Result<_, String>>()?
            }
        };
        for (name, value) in &pairs {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("\"{}\" is no variable's name", name.escape_debug()));
            }
        }
        Ok(pairs)
    }
}

impl Texts {
    /// The process that they and `template` make; `common` holds for all programs.
    pub fn expand_into(
        &self,
        template: ProcessConfig,
        mut meanings: Meanings,
        common: &Common,
        base: &Path,
    ) -> Result<ProcessConfig, Fault> {
        let own = match &self.environment {
            Some(given) => given.pairs(&meanings).map_err(|message| (given.place().clone(), "environment", message))?,
            None => Vec::new(),
        };
        // The program's own wins, and keeps its place in the order.
        let mut environment: Vec<(String, String)> =
            common.environment.iter().filter(|(name, _)| own.iter().all(|(other, _)| other != name)).cloned().collect();
        environment.extend(own);
        for (name, value) in &environment {
            meanings.text(&format!("ENV_{name}"), value);
        }
        let text = |(text, place): &(String, Place), key| {
            expand(text, &meanings).map_err(|message| (place.clone(), key, message))
        };
        let path = |given: &(String, Place), key| match text(given, key)? {
            path if path.is_empty() || path.contains('\0') => {
                Err((given.1.clone(), key, "must not be empty and must not contain NUL".to_owned()))
            }
            path => Ok(base.join(path).components().collect()),
        };
        let command_line = text(&self.command, "command")?;
        let command = words::split(&command_line).and_then(|words| match words.first() {
            None => Err("is empty".to_owned()),
            Some(_) if words.iter().any(|word| word.contains('\0')) => Err("must not contain NUL".to_owned()),
            Some(_) => Ok(words),
        });
        let command = command.map_err(|message| (self.command.1.clone(), "command", message))?;
        let name = text(&self.process_name, "process_name")?;
        check_name(&name).map_err(|message| (self.process_name.1.clone(), "process_name", message))?;
        let directory = self.directory.as_ref().map(|given| path(given, "directory")).transpose()?;
        let target = |given: &Option<(String, Place)>, key| -> Result<OutputTarget, Fault> {
            let Some(given) = given else { return Ok(OutputTarget::Log) };
            match given.0.to_ascii_uppercase().as_str() {
                "AUTO" => return Ok(OutputTarget::Automatic(common.childlogdir.clone())),
                "NONE" | "OFF" => return Ok(OutputTarget::Nothing),
                _ => {}
            }
            let path: std::path::PathBuf = path(given, key)?;
            match path.parent().filter(|parent| !parent.is_dir()) {
                Some(parent) => Err((given.1.clone(), key, format!("{} is not a directory", parent.display()))),
                None => Ok(OutputTarget::File(path)),
            }
        };
        let (stdout, stderr) = (target(&self.stdout, "stdout_logfile")?, target(&self.stderr, "stderr_logfile")?);
        let check = |check: &Option<Check>| check.as_ref().map(|check| check.expanded(&meanings, base)).transpose();
        let (ready, liveness) = (check(&self.ready)?, check(&self.liveness)?);
        let notifies = ready.iter().chain(&liveness).any(|check| check.probe == Probe::Notify);
        Ok(ProcessConfig {
            name,
            command_line,
            launch: LaunchConfig { command, environment, directory, notifies, ..template.launch },
            care: CareConfig { ready, liveness, ..template.care },
            stdout: OutputConfig { target: stdout, ..template.stdout },
            stderr: OutputConfig { target: stderr, ..template.stderr },
            ..template
        })
    }
}

/// Takes the variables that `option` gives.
pub(super) fn read_environment(reader: &mut Reader<'_>, option: &Opt<Value>) -> Option<Environment> {
    let (value, place) = reader.placed(option)?;
    let table = match value {
        Value::Text(text) => return Some(Environment::Text(text, place)),
        Value::Table(table) => table,
        other => {
            let message = format!("must be {}, not {}", option.spec.unit, other.kind());
            reader.problem(place, "environment", message);
            return None;
        }
    };
    let mut pairs = Vec::new();
    for (name, placed) in table.into_entries() {
        let text = match placed.value {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            other => {
                let message = format!("must be a string, not {}", other.kind());
                reader.problem(placed.place, &format!("environment.{name}"), message);
                continue;
            }
        };
        pairs.push((name, text));
    }
    // As it stands in a file, not as a table's parser keeps it: equal files make equal programs.
    pairs.sort();
    Some(Environment::Table(pairs, place))
}
