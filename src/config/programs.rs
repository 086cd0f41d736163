//! `[program.NAME]` and `[group.NAME]`: from their tables to [`GroupConfig`]s, one value for each process.
//!
//! Owns the checks among programs and groups. Looks users up; runs nothing.

use std::collections::HashSet;
use std::path::Path;

use super::error::Problem;
use super::expand::{Meanings, expand};
use super::options;
use super::process::{BackoffConfig, CareConfig, GroupConfig, LaunchConfig, OutputConfig, OutputTarget, ProcessConfig};
use super::section::{Bases, Reader};
use super::sources::Surroundings;
use super::value::{Place, Table, Value};
use super::words;
use crate::base::bounds::PROCESSES_MAX;
use crate::sys::users::User;

/// A table with a name, `[program.NAME]` or `[group.NAME]`.
pub struct Named {
    pub name: String,
    pub place: Place,
    pub table: Table,
}

/// The groups in the order in which they start.
pub fn programs(
    mut programs: Vec<Named>,
    groups: Vec<Named>,
    bases: Bases<'_>,
    around: &Surroundings,
    problems: &mut Vec<Problem>,
) -> Vec<GroupConfig> {
    let mut found = Vec::new();
    for group in groups {
        found.extend(read_group(group, &mut programs, bases, around, problems));
    }
    let grouped: HashSet<String> = found.iter().map(|group| group.name.clone()).collect();
    for program in programs {
        if grouped.contains(&program.name) {
            let message = "a group has the same name; give one of them another".to_owned();
            problems.push(Problem { place: program.place, key: format!("program.{}", program.name), message });
            continue;
        }
        let name = program.name.clone();
        if let Some((priority, processes)) = read_program(program, &name, bases, around, problems) {
            found.push(GroupConfig { name, priority, processes });
        }
    }
    let count: usize = found.iter().map(|group| group.processes.len()).sum();
    if count as u64 > PROCESSES_MAX {
        let message = format!("there are {count} processes; at most {PROCESSES_MAX} can be looked after");
        problems.push(Problem { place: Place::Nowhere, key: "program".to_owned(), message });
    }
    found.sort_by_key(|group| group.priority);
    found
}

fn read_group(
    group: Named,
    programs: &mut Vec<Named>,
    bases: Bases<'_>,
    around: &Surroundings,
    problems: &mut Vec<Problem>,
) -> Option<GroupConfig> {
    let mut reader =
        Reader::new(group.table, &format!("group.{}", group.name), options::GROUP.options, bases, problems);
    if let Err(message) = check_name(&group.name) {
        reader.problem(group.place.clone(), "", message);
    }
    if !reader.has(&options::GROUP_PROGRAMS) {
        reader.problem(group.place, "", "must have \"programs\"");
    }
    let members = reader.placed(&options::GROUP_PROGRAMS);
    let priority = reader.value(&options::GROUP_PRIORITY);
    reader.finish();
    let (members, place) = members?;
    let key = format!("group.{}.programs", group.name);
    let mut processes: Vec<ProcessConfig> = Vec::new();
    for member in members {
        let Some(index) = programs.iter().position(|program| program.name == member) else {
            let message = format!("there is no [program.{member}] that is not in a group already");
            problems.push(Problem { place: place.clone(), key: key.clone(), message });
            continue;
        };
        let program = programs.remove(index);
        let (_, own) = read_program(program, &group.name, bases, around, problems)?;
        for process in own {
            if processes.iter().any(|other| other.name == process.name) {
                let message = format!("two of its processes are called \"{}\"; set process_name", process.name);
                problems.push(Problem { place: place.clone(), key: key.clone(), message });
            }
            processes.push(process);
        }
    }
    Some(GroupConfig { name: group.name, priority, processes })
}

/// supervisord's rule, and no control characters.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains([' ', ':', '/']) || name.chars().any(char::is_control) {
        return Err(format!(
            "\"{}\" is no name: it must not be empty or contain blanks, \":\" or \"/\"",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// A problem of one process: where, with which key, what.
type Fault = (Place, &'static str, String);

/// A program's texts, to be expanded for each of its processes.
struct Texts {
    command: (String, Place),
    process_name: (String, Place),
    directory: Option<(String, Place)>,
    environment: Option<(Environment, Place)>,
    stdout: Option<(String, Place)>,
    stderr: Option<(String, Place)>,
}

enum Environment {
    Text(String),
    Table(Vec<(String, String)>),
}

/// Its priority and its processes; `None` after a problem.
fn read_program(
    program: Named,
    group: &str,
    bases: Bases<'_>,
    around: &Surroundings,
    problems: &mut Vec<Problem>,
) -> Option<(i32, Vec<ProcessConfig>)> {
    let before = problems.len();
    let table_name = format!("program.{}", program.name);
    let mut reader = Reader::new(program.table, &table_name, options::PROGRAM.options, bases, problems);
    if let Err(message) = check_name(&program.name) {
        reader.problem(program.place.clone(), "", message);
    }
    if !reader.has(&options::PROGRAM_COMMAND) {
        reader.problem(program.place.clone(), "", "must have a \"command\"");
    }
    let numprocs = reader.value(&options::PROGRAM_NUMPROCS);
    let first = reader.value(&options::PROGRAM_NUMPROCS_START);
    let care = read_care(&mut reader);
    let launch = LaunchConfig {
        command: Vec::new(),
        environment: Vec::new(),
        directory: None,
        umask: reader.optional(&options::PROGRAM_UMASK),
        user: read_user(&mut reader),
        redirect_stderr: reader.value(&options::PROGRAM_REDIRECT_STDERR),
    };
    let stdout_limits = (
        reader.value(&options::PROGRAM_STDOUT_LOGFILE_MAXBYTES),
        reader.value(&options::PROGRAM_STDOUT_LOGFILE_BACKUPS),
    );
    let stderr_limits = (
        reader.value(&options::PROGRAM_STDERR_LOGFILE_MAXBYTES),
        reader.value(&options::PROGRAM_STDERR_LOGFILE_BACKUPS),
    );
    let command = reader.placed(&options::PROGRAM_COMMAND);
    let process_name = reader.placed(&options::PROGRAM_PROCESS_NAME);
    let texts = Texts {
        process_name: process_name
            .unwrap_or_else(|| (reader.value(&options::PROGRAM_PROCESS_NAME), program.place.clone())),
        directory: reader.placed(&options::PROGRAM_DIRECTORY),
        environment: read_environment(&mut reader),
        stdout: reader.placed(&options::PROGRAM_STDOUT_LOGFILE),
        stderr: reader.placed(&options::PROGRAM_STDERR_LOGFILE),
        command: command.unwrap_or_else(|| (String::new(), Place::Nowhere)),
    };
    if numprocs > 1 && !texts.process_name.0.contains("%(process_num)") {
        let message = "must contain %(process_num) where numprocs is more than 1, as in \
                       \"%(program_name)s_%(process_num)02d\"";
        reader.problem(texts.process_name.1.clone(), "process_name", message);
    }
    if let (true, Some((text, place))) = (launch.redirect_stderr, &texts.stderr)
        && !matches!(text.to_ascii_uppercase().as_str(), "NONE" | "OFF" | "AUTO")
    {
        reader.problem(place.clone(), "stderr_logfile", "has no effect with redirect_stderr; remove one of the two");
    }
    reader.finish();
    if problems.len() > before {
        return None;
    }
    let mut meanings = Meanings::default();
    meanings.text("program_name", &program.name);
    meanings.text("group_name", group);
    meanings.text("host_node_name", &rustix::system::uname().nodename().to_string_lossy());
    meanings.text("here", &bases.file.to_string_lossy());
    meanings.number("numprocs", numprocs as u64);
    for (name, value) in &around.variables {
        meanings.text(&format!("ENV_{name}"), &value.to_string_lossy());
    }
    let mut processes: Vec<ProcessConfig> = Vec::new();
    for number in first..first + numprocs {
        let mut meanings = meanings.clone();
        meanings.number("process_num", number as u64);
        let template = ProcessConfig {
            group: group.to_owned(),
            name: String::new(),
            launch: launch.clone(),
            care: care.clone(),
            stdout: OutputConfig { target: OutputTarget::Log, max_bytes: stdout_limits.0, backups: stdout_limits.1 },
            stderr: OutputConfig { target: OutputTarget::Log, max_bytes: stderr_limits.0, backups: stderr_limits.1 },
        };
        let process = texts.expand_into(template, meanings, bases.file).and_then(|process| {
            let is_double = processes.iter().any(|other| other.name == process.name);
            let double = || (texts.process_name.1.clone(), "process_name", "is the same for two processes".to_owned());
            if is_double { Err(double()) } else { Ok(process) }
        });
        match process {
            Ok(process) => processes.push(process),
            Err((place, key, message)) => {
                // The others would fail in the same way.
                problems.push(Problem { place, key: format!("{table_name}.{key}"), message });
                return None;
            }
        }
    }
    Some((care.priority, processes))
}

impl Texts {
    fn expand_into(
        &self,
        template: ProcessConfig,
        mut meanings: Meanings,
        base: &Path,
    ) -> Result<ProcessConfig, Fault> {
        let mut environment = Vec::new();
        if let Some((given, place)) = &self.environment {
            let fault = |message| (place.clone(), "environment", message);
            environment = match given {
                Environment::Text(text) => words::variables(&expand(text, &meanings).map_err(fault)?).map_err(fault)?,
                Environment::Table(pairs) => pairs
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), expand(value, &meanings).map_err(fault)?)))
                    .collect::<Result<_, Fault>>()?,
            };
            for (name, value) in &environment {
                if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                    return Err(fault(format!("\"{}\" is no variable's name", name.escape_debug())));
                }
            }
        }
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
        let command = text(&self.command, "command")?;
        let command = words::split(&command).and_then(|words| match words.first() {
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
                "AUTO" => return Ok(OutputTarget::Automatic),
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
        Ok(ProcessConfig {
            name,
            launch: LaunchConfig { command, environment, directory, ..template.launch },
            stdout: OutputConfig { target: stdout, ..template.stdout },
            stderr: OutputConfig { target: stderr, ..template.stderr },
            ..template
        })
    }
}

fn read_care(reader: &mut Reader<'_>) -> CareConfig {
    let stopasgroup = reader.value(&options::PROGRAM_STOPASGROUP);
    if let Some((false, place)) = reader.placed(&options::PROGRAM_KILLASGROUP)
        && stopasgroup
    {
        reader.problem(place, "killasgroup", "can not be false with stopasgroup = true");
    }
    let first = reader.value(&options::PROGRAM_BACKOFF_FIRST);
    let max = reader.placed(&options::PROGRAM_BACKOFF_MAX);
    let longest = max.as_ref().map_or_else(|| reader.value(&options::PROGRAM_BACKOFF_MAX), |(max, _)| *max);
    if let (Some((_, place)), true) = (max, longest < first) {
        reader.problem(place, "backoff_max", "is shorter than backoff_first");
    }
    let stable = reader.value(&options::PROGRAM_STABLE_AFTER);
    CareConfig {
        priority: reader.value(&options::PROGRAM_PRIORITY),
        autostart: reader.value(&options::PROGRAM_AUTOSTART),
        autorestart: reader.value(&options::PROGRAM_AUTORESTART),
        startsecs: reader.value(&options::PROGRAM_STARTSECS),
        startretries: reader.value(&options::PROGRAM_STARTRETRIES),
        exitcodes: reader.value(&options::PROGRAM_EXITCODES),
        stopsignal: reader.value(&options::PROGRAM_STOPSIGNAL),
        stopwaitsecs: reader.value(&options::PROGRAM_STOPWAITSECS),
        stopasgroup,
        backoff: match reader.value(&options::PROGRAM_BACKOFF) {
            true => BackoffConfig::Exponential { first, max: longest.max(first), stable },
            false => BackoffConfig::Linear,
        },
        fatal_retry: reader.value(&options::PROGRAM_FATAL_RETRY),
        on_fatal: reader.value(&options::PROGRAM_ON_FATAL),
    }
}

fn read_user(reader: &mut Reader<'_>) -> Option<User> {
    let (name, place) = reader.placed(&options::PROGRAM_USER)?;
    let message = match User::find(&name) {
        Ok(Some(user)) => return Some(user),
        Ok(None) => format!("there is no user \"{}\" on this host", name.escape_debug()),
        Err(error) => format!("the user \"{}\" can't be looked up: {error}", name.escape_debug()),
    };
    reader.problem(place, "user", message);
    None
}

fn read_environment(reader: &mut Reader<'_>) -> Option<(Environment, Place)> {
    let (value, place) = reader.placed(&options::PROGRAM_ENVIRONMENT)?;
    let table = match value {
        Value::Text(text) => return Some((Environment::Text(text), place)),
        Value::Table(table) => table,
        other => {
            let message = format!("must be {}, not {}", options::PROGRAM_ENVIRONMENT.spec.unit, other.kind());
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
    Some((Environment::Table(pairs), place))
}
