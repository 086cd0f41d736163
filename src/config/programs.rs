//! `[program.NAME]`, `[eventlistener.NAME]` and `[group.NAME]`: from their tables to [`GroupConfig`]s, one value for each process.
//!
//! Owns the checks among programs and groups. Looks users up; runs nothing.

use std::collections::HashSet;

use super::error::Problem;
use super::listeners::{read_listening, refuse_reserved};
use super::options::{self, Opt, Spec};
use super::process::{
    GroupConfig, LaunchConfig, OutputConfig, OutputFormat, OutputTarget, ProcessConfig, RotationConfig,
};
use super::program_care::{check_dependencies, read_care};
use super::program_checks::check;
use super::program_texts::{Texts, read_environment};
use super::section::{Bases, Reader};
use super::supervisor::Common;
use super::value::{Place, Table};
use crate::base::bounds::PROCESSES_MAX;
use crate::sys::cgroup::GroupLimits;
use crate::sys::restrict::Restrictions;
use crate::sys::users::User;

/// A table with a name, such as `[program.NAME]`.
#[derive(Debug)]
pub struct Named {
    pub name: String,
    pub place: Place,
    pub table: Table,
}

/// The groups in the order in which they start.
pub fn programs(
    (mut programs, listeners, groups): (Vec<Named>, Vec<Named>, Vec<Named>),
    bases: Bases<'_>,
    common: &Common,
    problems: &mut Vec<Problem>,
) -> Vec<GroupConfig> {
    let placed = |(kind, named): (Kind, &Named)| (named.name.clone(), (named.place.clone(), kind.key(&named.name)));
    let all = programs.iter().map(|named| (Kind::Program, named));
    let places = all.chain(listeners.iter().map(|named| (Kind::Listener, named))).map(placed).collect();
    let before = problems.len();
    let mut found = Vec::new();
    for group in groups {
        found.extend(read_group(group, &mut programs, bases, common, problems));
    }
    let grouped: HashSet<String> = found.iter().map(|group| group.name.clone()).collect();
    for program in programs {
        if grouped.contains(&program.name) {
            let message = "a group has the same name; give one of them another".to_owned();
            problems.push(Problem { place: program.place, key: format!("program.{}", program.name), message });
            continue;
        }
        let name = program.name.clone();
        found.extend(read_program(Kind::Program, program, &name, bases, common, problems));
    }
    for listener in listeners {
        let name = listener.name.clone();
        if found.iter().any(|group| group.name == name) {
            let message =
                "a program, a group or another listener has the same name; give one of them another".to_owned();
            problems.push(Problem { place: listener.place, key: Kind::Listener.key(&name), message });
            continue;
        }
        found.extend(read_program(Kind::Listener, listener, &name, bases, common, problems));
    }
    let count: usize = found.iter().map(|group| group.processes.len()).sum();
    if count as u64 > PROCESSES_MAX {
        let message = format!("there are {count} processes; at most {PROCESSES_MAX} can be looked after");
        problems.push(Problem { place: Place::Nowhere, key: "program".to_owned(), message });
    }
    if problems.len() == before {
        check_dependencies(&found, &places, problems);
    }
    // supervisord's order: by name where the priority is the same.
    found.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
    found
}

fn read_group(
    group: Named,
    programs: &mut Vec<Named>,
    bases: Bases<'_>,
    common: &Common,
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
        for process in read_program(Kind::Program, program, &group.name, bases, common, problems)?.processes {
            if processes.iter().any(|other| other.name == process.name) {
                let message = format!("two of its processes are called \"{}\"; set process_name", process.name);
                problems.push(Problem { place: place.clone(), key: key.clone(), message });
            }
            processes.push(process);
        }
    }
    Some(GroupConfig { name: group.name, priority, processes, listens: None })
}

/// supervisord's rule, and no control characters.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains([' ', ':', '/']) || name.chars().any(char::is_control) {
        return Err(format!(
            "\"{}\" is no name: it must not be empty or contain blanks, \":\" or \"/\"",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// What has a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    Listener,
}

impl Kind {
    /// The dotted name of a table of this kind.
    fn key(self, name: &str) -> String {
        match self {
            Kind::Program => format!("program.{name}"),
            Kind::Listener => format!("eventlistener.{name}"),
        }
    }

    fn options(self) -> Vec<&'static Spec> {
        match self {
            Kind::Program => options::PROGRAM.options.to_vec(),
            Kind::Listener => [options::LISTENER.options, options::PROGRAM.options].concat(),
        }
    }
}

/// The group that it is alone, or its part of the group of that name; `None` after a problem.
fn read_program(
    kind: Kind,
    program: Named,
    group: &str,
    bases: Bases<'_>,
    common: &Common,
    problems: &mut Vec<Problem>,
) -> Option<GroupConfig> {
    let before = problems.len();
    let (table_name, known) = (kind.key(&program.name), kind.options());
    let mut reader = Reader::new(program.table, &table_name, &known, bases, problems);
    if let Err(message) = check_name(&program.name) {
        reader.problem(program.place.clone(), "", message);
    }
    if !reader.has(&options::PROGRAM_COMMAND) {
        reader.problem(program.place.clone(), "", "must have a \"command\"");
    }
    let numprocs = reader.value(&options::PROGRAM_NUMPROCS);
    let first = reader.value(&options::PROGRAM_NUMPROCS_START);
    let listens = (kind == Kind::Listener).then(|| {
        refuse_reserved(&mut reader);
        read_listening(&mut reader, &program.place)
    });
    let has_priority = reader.has(&options::PROGRAM_PRIORITY);
    let care = read_care(&mut reader);
    let priority = match kind {
        Kind::Listener if !has_priority => reader.value(&options::LISTENER_PRIORITY),
        _ => care.priority,
    };
    let launch = LaunchConfig {
        command: Vec::new(),
        environment: Vec::new(),
        directory: None,
        umask: reader.optional(&options::PROGRAM_UMASK),
        user: read_user(&mut reader),
        redirect_stderr: reader.value(&options::PROGRAM_REDIRECT_STDERR),
        server_url: reader.optional(&options::PROGRAM_SERVERURL),
        restrictions: Restrictions {
            nofile: reader.optional(&options::PROGRAM_NOFILE).map(u64::from),
            nproc: reader.optional(&options::PROGRAM_NPROC).map(u64::from),
            nice: reader.optional(&options::PROGRAM_NICE),
            oom_score_adj: reader.optional(&options::PROGRAM_OOM_SCORE_ADJ),
            no_new_privileges: reader.value(&options::PROGRAM_NO_NEW_PRIVILEGES),
        },
        group_limits: GroupLimits {
            memory_high: reader.optional(&options::PROGRAM_MEMORY_HIGH),
            memory_max: reader.optional(&options::PROGRAM_MEMORY_MAX),
            cpu_thousandths: reader.optional(&options::PROGRAM_CPU),
        },
        notifies: false,
    };
    let mut stdout = OutputConfig {
        target: OutputTarget::Log,
        rotation: RotationConfig {
            max_bytes: reader.value(&options::PROGRAM_STDOUT_LOGFILE_MAXBYTES),
            max_age: reader.value(&options::PROGRAM_STDOUT_LOGFILE_MAXAGE),
            backups: reader.value(&options::PROGRAM_STDOUT_LOGFILE_BACKUPS),
            is_packed: reader.value(&options::PROGRAM_STDOUT_LOGFILE_COMPRESS),
        },
        format: OutputFormat::Raw,
        syslog: reader.value(&options::PROGRAM_STDOUT_SYSLOG),
        capture_max_bytes: reader.value(&options::PROGRAM_STDOUT_CAPTURE_MAXBYTES),
        has_events: reader.value(&options::PROGRAM_STDOUT_EVENTS_ENABLED),
        is_listener: kind == Kind::Listener,
    };
    let mut stderr = OutputConfig {
        target: OutputTarget::Log,
        rotation: RotationConfig {
            max_bytes: reader.value(&options::PROGRAM_STDERR_LOGFILE_MAXBYTES),
            max_age: reader.value(&options::PROGRAM_STDERR_LOGFILE_MAXAGE),
            backups: reader.value(&options::PROGRAM_STDERR_LOGFILE_BACKUPS),
            is_packed: reader.value(&options::PROGRAM_STDERR_LOGFILE_COMPRESS),
        },
        format: OutputFormat::Raw,
        syslog: reader.value(&options::PROGRAM_STDERR_SYSLOG),
        capture_max_bytes: reader.value(&options::PROGRAM_STDERR_CAPTURE_MAXBYTES),
        has_events: reader.value(&options::PROGRAM_STDERR_EVENTS_ENABLED),
        is_listener: false,
    };
    let (ready, liveness) = (reader.placed(&options::PROGRAM_READY), reader.placed(&options::PROGRAM_LIVENESS));
    let command = reader.placed(&options::PROGRAM_COMMAND);
    let process_name = reader.placed(&options::PROGRAM_PROCESS_NAME);
    let mut texts = Texts {
        ready: None,
        liveness: None,
        process_name: process_name
            .unwrap_or_else(|| (reader.value(&options::PROGRAM_PROCESS_NAME), program.place.clone())),
        directory: reader.placed(&options::PROGRAM_DIRECTORY),
        environment: read_environment(&mut reader, &options::PROGRAM_ENVIRONMENT),
        stdout: reader.placed(&options::PROGRAM_STDOUT_LOGFILE),
        stderr: reader.placed(&options::PROGRAM_STDERR_LOGFILE),
        command: command.unwrap_or_else(|| (String::new(), Place::Nowhere)),
    };
    if kind == Kind::Listener && texts.stdout.is_none() {
        texts.stdout = Some(("NONE".to_owned(), program.place.clone()));
    }
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
    stdout.format = read_format(&mut reader, &options::PROGRAM_STDOUT_LOGFILE_FORMAT, texts.stdout.as_ref());
    stderr.format = read_format(&mut reader, &options::PROGRAM_STDERR_LOGFILE_FORMAT, texts.stderr.as_ref());
    reader.finish();
    texts.ready = ready.and_then(|given| check(given, "ready", &table_name, bases, problems));
    texts.liveness = liveness.and_then(|given| check(given, "liveness", &table_name, bases, problems));
    if problems.len() > before {
        return None;
    }
    let mut meanings = common.meanings.clone();
    meanings.text("program_name", &program.name);
    meanings.text("group_name", group);
    meanings.number("numprocs", numprocs as u64);
    let mut processes: Vec<ProcessConfig> = Vec::new();
    for number in first..first + numprocs {
        let mut meanings = meanings.clone();
        meanings.number("process_num", number as u64);
        let template = ProcessConfig {
            program: program.name.clone(),
            group: group.to_owned(),
            name: String::new(),
            command_line: String::new(),
            launch: launch.clone(),
            care: care.clone(),
            stdout: stdout.clone(),
            stderr: stderr.clone(),
        };
        let process = texts.expand_into(template, meanings, common, bases.file).and_then(|process| {
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
    processes.sort_by(|a, b| a.name.cmp(&b.name));
    Some(GroupConfig { name: group.to_owned(), priority, processes, listens })
}

/// The form of lines in `logfile`.
fn read_format(reader: &mut Reader<'_>, option: &Opt<OutputFormat>, logfile: Option<&(String, Place)>) -> OutputFormat {
    let Some((format, place)) = reader.placed(option) else { return OutputFormat::Raw };
    let has_file = logfile.is_some_and(|(text, _)| !matches!(text.to_ascii_uppercase().as_str(), "NONE" | "OFF"));
    if format != OutputFormat::Raw && !has_file {
        let message =
            "is the form of lines in a file; set the logfile too, \"/dev/stdout\" for maitred's standard output";
        reader.problem(place, option.spec.name, message);
    }
    format
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
