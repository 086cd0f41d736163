//! Options of `[program.NAME]` and `[group.NAME]`: commands that are kept running. Names, defaults and meanings are supervisord's.

use super::program_care::*;
use super::program_limits::*;
use super::program_output::*;
use super::{Default, Opt, Section, Spec, Unit};
use crate::base::bounds::{PROCESS_NUMBER_MAX, PROCESSES_MAX, START_RETRIES_MAX};
use crate::config::process::{Autorestart, OnFatal};
use crate::config::value::Value;
use crate::config::{program_values, read};
use std::time::Duration;

/// supervisord takes any integer; what is beyond these orders nothing.
pub(super) const PRIORITIES: Unit = Unit::Integer { min: -1_000_000, max: 1_000_000 };

pub static PROGRAM: Section = Section {
    name: "program",
    header: "[program.NAME]",
    doc: "A command that is kept running: Celery, a consumer, anything that stays in the foreground. Names, defaults and meanings are \
          supervisord's. With an application, a command is also looked for beside its interpreter (`.venv/bin`), before `PATH`. Strings may hold `%(program_name)s`, `%(process_num)02d`, `%(numprocs)d`, `%(group_name)s`, \
          `%(host_node_name)s`, `%(here)s` (the directory of the config file) and `%(ENV_NAME)s` for a variable; a percent sign is \
          written `%%`. With programs and neither a route, an application nor `listen`, nothing listens; `listen = []` keeps a Django project in \
          the same directory from being served.",
    options: &[
        &PROGRAM_COMMAND.spec,
        &PROGRAM_PROCESS_NAME.spec,
        &PROGRAM_NUMPROCS.spec,
        &PROGRAM_NUMPROCS_START.spec,
        &PROGRAM_PRIORITY.spec,
        &PROGRAM_AUTOSTART.spec,
        &PROGRAM_AUTORESTART.spec,
        &PROGRAM_STARTSECS.spec,
        &PROGRAM_STARTRETRIES.spec,
        &PROGRAM_BACKOFF.spec,
        &PROGRAM_BACKOFF_FIRST.spec,
        &PROGRAM_BACKOFF_MAX.spec,
        &PROGRAM_STABLE_AFTER.spec,
        &PROGRAM_FATAL_RETRY.spec,
        &PROGRAM_ON_FATAL.spec,
        &PROGRAM_DEPENDS_ON.spec,
        &PROGRAM_READY.spec,
        &PROGRAM_LIVENESS.spec,
        &PROGRAM_MAX_RSS.spec,
        &PROGRAM_MAX_LIFETIME.spec,
        &PROGRAM_RELOAD_SIGNAL.spec,
        &PROGRAM_NOFILE.spec,
        &PROGRAM_NPROC.spec,
        &PROGRAM_NICE.spec,
        &PROGRAM_OOM_SCORE_ADJ.spec,
        &PROGRAM_NO_NEW_PRIVILEGES.spec,
        &PROGRAM_MEMORY_MAX.spec,
        &PROGRAM_MEMORY_HIGH.spec,
        &PROGRAM_CPU.spec,
        &PROGRAM_EXITCODES.spec,
        &PROGRAM_STOPSIGNAL.spec,
        &PROGRAM_STOPWAITSECS.spec,
        &PROGRAM_STOPASGROUP.spec,
        &PROGRAM_KILLASGROUP.spec,
        &PROGRAM_USER.spec,
        &PROGRAM_UMASK.spec,
        &PROGRAM_DIRECTORY.spec,
        &PROGRAM_ENVIRONMENT.spec,
        &PROGRAM_REDIRECT_STDERR.spec,
        &PROGRAM_STDOUT_LOGFILE.spec,
        &PROGRAM_STDOUT_LOGFILE_MAXBYTES.spec,
        &PROGRAM_STDOUT_LOGFILE_MAXAGE.spec,
        &PROGRAM_STDOUT_LOGFILE_BACKUPS.spec,
        &PROGRAM_STDOUT_LOGFILE_COMPRESS.spec,
        &PROGRAM_STDOUT_LOGFILE_FORMAT.spec,
        &PROGRAM_STDERR_LOGFILE.spec,
        &PROGRAM_STDERR_LOGFILE_MAXBYTES.spec,
        &PROGRAM_STDERR_LOGFILE_MAXAGE.spec,
        &PROGRAM_STDERR_LOGFILE_BACKUPS.spec,
        &PROGRAM_STDERR_LOGFILE_COMPRESS.spec,
        &PROGRAM_STDERR_LOGFILE_FORMAT.spec,
        &PROGRAM_STDOUT_SYSLOG.spec,
        &PROGRAM_STDERR_SYSLOG.spec,
        &PROGRAM_STDOUT_CAPTURE_MAXBYTES.spec,
        &PROGRAM_STDERR_CAPTURE_MAXBYTES.spec,
        &PROGRAM_STDOUT_EVENTS_ENABLED.spec,
        &PROGRAM_STDERR_EVENTS_ENABLED.spec,
        &PROGRAM_SERVERURL.spec,
    ],
};

pub static GROUP: Section = Section {
    name: "group",
    header: "[group.NAME]",
    doc: "Programs that are named and ordered together: their processes are called `NAME:process`. A program outside of all groups is a group \
          of its own.",
    options: &[&GROUP_PROGRAMS.spec, &GROUP_PRIORITY.spec],
};

pub static GROUP_PROGRAMS: Opt<Vec<String>> = Opt {
    spec: Spec::new(
        "programs",
        Unit::Texts("the name of a program or a list of them"),
        Default::Required,
        "Its programs; a program is in one group at most.",
    ),
    read: program_values::names,
};
pub static GROUP_PRIORITY: Opt<i32> = Opt {
    spec: Spec::new(
        "priority",
        PRIORITIES,
        Default::Toml("999"),
        "Order among the groups; within it the programs' own `priority` counts.",
    ),
    read: program_values::integer,
};
pub static PROGRAM_COMMAND: Opt<String> = Opt {
    spec: Spec::new("command", Unit::Text("a command line"), Default::Required, "What is run: a program and its arguments, split as a shell would (quotes, backslashes) but without a shell: no `|`, `>`, `*`, `$`. A name without a slash is looked for on `PATH`.").elsewhere(&["cmd"]),
    read: read::text,
};
pub static PROGRAM_PROCESS_NAME: Opt<String> = Opt {
    spec: Spec::new(
        "process_name",
        Unit::Text("a name without blanks, `:` and `/`"),
        Default::Toml("\"%(program_name)s\""),
        "Name of each process; must contain `%(process_num)` when there is more than one.",
    ),
    read: read::text,
};
pub static PROGRAM_NUMPROCS: Opt<usize> = Opt {
    spec: Spec::new(
        "numprocs",
        Unit::Count { min: 0, max: PROCESSES_MAX },
        Default::Toml("1"),
        "Processes of this program.",
    )
    .elsewhere(&["processes", "numprocesses"]),
    read: read::count,
};
pub static PROGRAM_NUMPROCS_START: Opt<usize> = Opt {
    spec: Spec::new(
        "numprocs_start",
        Unit::Count { min: 0, max: PROCESS_NUMBER_MAX },
        Default::Toml("0"),
        "The first process's `%(process_num)d`.",
    ),
    read: read::count,
};
pub static PROGRAM_PRIORITY: Opt<i32> = Opt {
    spec: Spec::new(
        "priority",
        PRIORITIES,
        Default::Toml("999"),
        "Lower numbers start first and stop last; those of one number together. What comes later starts once the former are RUNNING or were given up.",
    ),
    read: program_values::integer,
};
pub static PROGRAM_AUTOSTART: Opt<bool> = Opt {
    spec: Spec::new("autostart", Unit::Bool, Default::Toml("true"), "Start it when maitred starts."),
    read: read::boolean,
};
pub static PROGRAM_AUTORESTART: Opt<Autorestart> = Opt {
    spec: Spec::new("autorestart", Unit::Text("true, false or \"unexpected\""), Default::Toml("\"unexpected\""), "Start it again when it has ended by itself after it was RUNNING; \"unexpected\" is unless its exit code is one of `exitcodes`.").elsewhere(&["restart"]),
    read: program_values::autorestart,
};
pub static PROGRAM_STARTSECS: Opt<Duration> = Opt {
    spec: Spec::new(
        "startsecs",
        Unit::Span,
        Default::Toml("\"1s\""),
        "How long it must run for its start to count as a success, whatever its exit code; 0 is any time.",
    ),
    read: program_values::span,
};
pub static PROGRAM_STARTRETRIES: Opt<u32> = Opt {
    spec: Spec::new(
        "startretries",
        Unit::Count { min: 0, max: START_RETRIES_MAX },
        Default::Toml("3"),
        "Failed starts in a row, after the first one, before it is FATAL.",
    )
    .elsewhere(&["max_retry"]),
    read: read::count_u32,
};
pub static PROGRAM_BACKOFF: Opt<bool> = Opt {
    spec: Spec::new(
        "backoff",
        Unit::Text("\"linear\" or \"exponential\""),
        Default::Toml("\"linear\""),
        "The wait before the nth retry: \"linear\" is n seconds, as supervisord has it. \"exponential\" doubles from `backoff_first` to `backoff_max`, with a random part of it taken off, and also when a process that was RUNNING has ended within `stable_after`.",
    ),
    read: program_values::is_exponential,
};
pub static PROGRAM_BACKOFF_FIRST: Opt<Duration> = Opt {
    spec: Spec::new(
        "backoff_first",
        Unit::Duration,
        Default::Toml("\"1s\""),
        "First wait of an exponential `backoff`.",
    ),
    read: read::duration,
};
pub static PROGRAM_BACKOFF_MAX: Opt<Duration> = Opt {
    spec: Spec::new(
        "backoff_max",
        Unit::Duration,
        Default::Toml("\"1m\""),
        "Longest wait of an exponential `backoff`.",
    ),
    read: read::duration,
};
pub static PROGRAM_STABLE_AFTER: Opt<Duration> = Opt {
    spec: Spec::new(
        "stable_after",
        Unit::Duration,
        Default::Toml("\"1m\""),
        "With an exponential `backoff`: what ran so long has its earlier failures forgotten.",
    ),
    read: read::duration,
};
pub static PROGRAM_FATAL_RETRY: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "fatal_retry",
        Unit::DurationOrNever,
        Default::Toml("0"),
        "Once FATAL, try again after so long; 0 is never.",
    ),
    read: read::duration_or_never,
};
pub static PROGRAM_ON_FATAL: Opt<OnFatal> = Opt {
    spec: Spec::new(
        "on_fatal",
        Unit::Text("\"stay\" or \"exit\""),
        Default::Toml("\"stay\""),
        "\"exit\": when it is FATAL, maitred stops everything and exits with code 5, so that a container ends with its critical program.",
    ),
    read: program_values::on_fatal,
};
pub static PROGRAM_EXITCODES: Opt<Vec<i32>> = Opt {
    spec: Spec::new(
        "exitcodes",
        Unit::Texts("an exit code or a list of them, each from 0 to 255"),
        Default::Toml("[0]"),
        "Exit codes that are expected.",
    ),
    read: program_values::exit_codes,
};
pub static PROGRAM_STOPSIGNAL: Opt<i32> = Opt {
    spec: Spec::new(
        "stopsignal",
        Unit::Text("the name or number of a signal"),
        Default::Toml("\"TERM\""),
        "The signal that asks it to stop.",
    )
    .elsewhere(&["stop_signal"]),
    read: program_values::signal,
};
pub static PROGRAM_STOPWAITSECS: Opt<Duration> = Opt {
    spec: Spec::new(
        "stopwaitsecs",
        Unit::Span,
        Default::Toml("\"10s\""),
        "How long it may take to stop; then it and everything that it started, daemons too, are killed.",
    )
    .elsewhere(&["stop_timeout", "graceful_timeout"]),
    read: program_values::span,
};
pub static PROGRAM_STOPASGROUP: Opt<bool> = Opt {
    spec: Spec::new("stopasgroup", Unit::Bool, Default::Toml("false"), "Send `stopsignal` to its whole process group."),
    read: read::boolean,
};
pub static PROGRAM_KILLASGROUP: Opt<bool> = Opt {
    spec: Spec::new(
        "killasgroup",
        Unit::Bool,
        Default::Described("`stopasgroup`"),
        "Told as it is set, for supervisord's sake; whatever outlives `stopwaitsecs` is killed with all that it started, in any case.",
    ),
    read: read::boolean,
};
pub static PROGRAM_USER: Opt<String> = Opt {
    spec: Spec::new(
        "user",
        Unit::Text("the name or number of a user"),
        Default::Described("maitred's own"),
        "Run as this user, with all of its groups; only root can. `HOME` and `USER` stay as they are. None given: as `user` of `[server]`.",
    )
    .elsewhere(&["uid"]),
    read: read::text,
};
pub static PROGRAM_UMASK: Opt<u32> = Opt {
    spec: Spec::new(
        "umask",
        Unit::Text("a string of octal digits"),
        Default::Described("maitred's own"),
        "File mode creation mask: \"022\".",
    ),
    read: program_values::octal,
};
pub static PROGRAM_DIRECTORY: Opt<String> = Opt {
    spec: Spec::new(
        "directory",
        Unit::Path,
        Default::Described("`chdir` of `[app]` if there is an application, else maitred's own"),
        "Working directory.",
    )
    .elsewhere(&["chdir", "working_dir", "cwd"]),
    read: read::text,
};
pub static PROGRAM_ENVIRONMENT: Opt<Value> = Opt {
    spec: Spec::new(
        "environment",
        Unit::Text("a table, or a string `NAME=\"value\",NAME2=\"value2\"`"),
        Default::Described("none"),
        "Variables that are added to maitred's own.",
    )
    .elsewhere(&["env"]),
    read: read::raw,
};
pub static PROGRAM_SERVERURL: Opt<String> = Opt {
    spec: Spec::new(
        "serverurl",
        Unit::Text("a URL"),
        Default::Described("that of the control socket, if there is one"),
        "`SUPERVISOR_SERVER_URL` in its environment: where it finds the control interface.",
    ),
    read: read::text,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(PROGRAM_COMMAND PROGRAM_PROCESS_NAME PROGRAM_NUMPROCS PROGRAM_NUMPROCS_START PROGRAM_PRIORITY PROGRAM_AUTOSTART PROGRAM_AUTORESTART PROGRAM_STARTSECS PROGRAM_STARTRETRIES PROGRAM_BACKOFF PROGRAM_BACKOFF_FIRST PROGRAM_BACKOFF_MAX PROGRAM_STABLE_AFTER PROGRAM_FATAL_RETRY PROGRAM_ON_FATAL PROGRAM_EXITCODES PROGRAM_STOPSIGNAL PROGRAM_STOPWAITSECS PROGRAM_STOPASGROUP PROGRAM_KILLASGROUP PROGRAM_USER PROGRAM_UMASK PROGRAM_DIRECTORY PROGRAM_ENVIRONMENT PROGRAM_SERVERURL);
        assert_defaults!(GROUP_PROGRAMS GROUP_PRIORITY);
    }
}
