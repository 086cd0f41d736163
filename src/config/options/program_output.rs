//! Options of `[program.NAME]` for what it writes to its standard output and error. Names, defaults and meanings are supervisord's.

use super::{Default, Opt, Spec, Unit};
use crate::base::bounds::{CAPTURE_BYTES_MAX, LOG_BACKUPS_MAX, LOG_FILE_BYTES_MAX};
use crate::config::access_log::SyslogConfig;
use crate::config::process::OutputFormat;
use crate::config::{program_values, read};
use std::time::Duration;

const AGE: Unit = Unit::Text("a duration from 1s to 366d, or 0");

const SYSLOG: Unit =
    Unit::Text("true, false or parameters such as \"server=10.0.0.5:514,facility=local0,severity=notice,tag=celery\"");

pub static PROGRAM_REDIRECT_STDERR: Opt<bool> = Opt {
    spec: Spec::new(
        "redirect_stderr",
        Unit::Bool,
        Default::Toml("false"),
        "Standard error goes where standard output goes.",
    ),
    read: read::boolean,
};
pub static PROGRAM_STDOUT_LOGFILE: Opt<String> = Opt {
    spec: Spec::new("stdout_logfile", Unit::Text("a path, \"AUTO\" or \"NONE\""), Default::Described("maitred's own log, line by line with program and stream"), "Where standard output goes: a file, as it is. \"/dev/stdout\" is maitred's own standard output, \"AUTO\" is a file in the directory for temporary files, \"NONE\" is nowhere.").elsewhere(&["logfile"]),
    read: read::text,
};
pub static PROGRAM_STDOUT_LOGFILE_MAXBYTES: Opt<u64> = Opt {
    spec: Spec::new(
        "stdout_logfile_maxbytes",
        Unit::Size { max: LOG_FILE_BYTES_MAX },
        Default::Toml("\"50M\""),
        "Size at which the file is rotated, 4K at least; 0 is never.",
    ),
    read: read::size,
};
pub static PROGRAM_STDOUT_LOGFILE_MAXAGE: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "stdout_logfile_maxage",
        AGE,
        Default::Toml("0"),
        "Age at which the file is rotated, however small: \"1d\" makes a file a day. It counts from the file's first line, also across restarts, and is looked at when something is written; 0 is never.",
    ),
    read: program_values::age,
};
pub static PROGRAM_STDOUT_LOGFILE_BACKUPS: Opt<u32> = Opt {
    spec: Spec::new(
        "stdout_logfile_backups",
        Unit::Count { min: 0, max: LOG_BACKUPS_MAX },
        Default::Toml("10"),
        "Rotated files that are kept: the file's name with `.1` (the newest), `.2` and so on.",
    ),
    read: read::count_u32,
};
pub static PROGRAM_STDOUT_LOGFILE_COMPRESS: Opt<bool> = Opt {
    spec: Spec::new(
        "stdout_logfile_compress",
        Unit::Bool,
        Default::Toml("false"),
        "Pack rotated files with gzip, beside everything else: `.1.gz`, `.2.gz` and so on.",
    ),
    read: read::boolean,
};
pub static PROGRAM_STDOUT_LOGFILE_FORMAT: Opt<OutputFormat> = Opt {
    spec: Spec::new(
        "stdout_logfile_format",
        Unit::Text("\"raw\", \"text\" or \"json\""),
        Default::Toml("\"raw\""),
        "What the file gets: the bytes as they are, lines with time, process and stream before them, or a JSON object for each line, with `time`, `program`, `stream` and `message`.",
    ),
    read: program_values::output_format,
};
pub static PROGRAM_STDERR_LOGFILE: Opt<String> = Opt {
    spec: Spec::new(
        "stderr_logfile",
        Unit::Text("a path, \"AUTO\" or \"NONE\""),
        Default::Described("maitred's own log, line by line with program and stream"),
        "Where standard error goes: a file, as it is. \"/dev/stdout\" is maitred's own standard output, \"AUTO\" is a file in the directory for temporary files, \"NONE\" is nowhere.",
    ),
    read: read::text,
};
pub static PROGRAM_STDERR_LOGFILE_MAXBYTES: Opt<u64> = Opt {
    spec: Spec::new(
        "stderr_logfile_maxbytes",
        Unit::Size { max: LOG_FILE_BYTES_MAX },
        Default::Toml("\"50M\""),
        "Size at which the file is rotated, 4K at least; 0 is never.",
    ),
    read: read::size,
};
pub static PROGRAM_STDERR_LOGFILE_MAXAGE: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "stderr_logfile_maxage",
        AGE,
        Default::Toml("0"),
        "Age at which the file is rotated, however small: \"1d\" makes a file a day. It counts from the file's first line, also across restarts, and is looked at when something is written; 0 is never.",
    ),
    read: program_values::age,
};
pub static PROGRAM_STDERR_LOGFILE_BACKUPS: Opt<u32> = Opt {
    spec: Spec::new(
        "stderr_logfile_backups",
        Unit::Count { min: 0, max: LOG_BACKUPS_MAX },
        Default::Toml("10"),
        "Rotated files that are kept: the file's name with `.1` (the newest), `.2` and so on.",
    ),
    read: read::count_u32,
};
pub static PROGRAM_STDERR_LOGFILE_COMPRESS: Opt<bool> = Opt {
    spec: Spec::new(
        "stderr_logfile_compress",
        Unit::Bool,
        Default::Toml("false"),
        "Pack rotated files with gzip, beside everything else: `.1.gz`, `.2.gz` and so on.",
    ),
    read: read::boolean,
};
pub static PROGRAM_STDERR_LOGFILE_FORMAT: Opt<OutputFormat> = Opt {
    spec: Spec::new(
        "stderr_logfile_format",
        Unit::Text("\"raw\", \"text\" or \"json\""),
        Default::Toml("\"raw\""),
        "What the file gets: the bytes as they are, lines with time, process and stream before them, or a JSON object for each line, with `time`, `program`, `stream` and `message`.",
    ),
    read: program_values::output_format,
};

pub static PROGRAM_STDOUT_SYSLOG: Opt<Option<SyslogConfig>> = Opt {
    spec: Spec::new(
        "stdout_syslog",
        SYSLOG,
        Default::Toml("false"),
        "Send each line of standard output to a syslog daemon too: `true` is `/dev/log` with facility user, severity info and the program's name as the tag.",
    ),
    read: program_values::syslog,
};
pub static PROGRAM_STDOUT_CAPTURE_MAXBYTES: Opt<u64> = Opt {
    spec: Spec::new(
        "stdout_capture_maxbytes",
        Unit::Size { max: CAPTURE_BYTES_MAX },
        Default::Toml("0"),
        "Bytes that are kept of what stands between `<!--XSUPERVISOR:BEGIN-->` and `<!--XSUPERVISOR:END-->` on standard output; 0: such marks mean nothing.",
    ),
    read: read::size,
};
pub static PROGRAM_STDOUT_EVENTS_ENABLED: Opt<bool> = Opt {
    spec: Spec::new(
        "stdout_events_enabled",
        Unit::Bool,
        Default::Toml("false"),
        "Tell event listeners of everything that is written to standard output.",
    ),
    read: read::boolean,
};
pub static PROGRAM_STDERR_SYSLOG: Opt<Option<SyslogConfig>> = Opt {
    spec: Spec::new(
        "stderr_syslog",
        SYSLOG,
        Default::Toml("false"),
        "Send each line of standard error to a syslog daemon too: `true` is `/dev/log` with facility user, severity info and the program's name as the tag.",
    ),
    read: program_values::syslog,
};
pub static PROGRAM_STDERR_CAPTURE_MAXBYTES: Opt<u64> = Opt {
    spec: Spec::new(
        "stderr_capture_maxbytes",
        Unit::Size { max: CAPTURE_BYTES_MAX },
        Default::Toml("0"),
        "Bytes that are kept of what stands between `<!--XSUPERVISOR:BEGIN-->` and `<!--XSUPERVISOR:END-->` on standard error; 0: such marks mean nothing.",
    ),
    read: read::size,
};
pub static PROGRAM_STDERR_EVENTS_ENABLED: Opt<bool> = Opt {
    spec: Spec::new(
        "stderr_events_enabled",
        Unit::Bool,
        Default::Toml("false"),
        "Tell event listeners of everything that is written to standard error.",
    ),
    read: read::boolean,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(PROGRAM_REDIRECT_STDERR PROGRAM_STDOUT_LOGFILE PROGRAM_STDOUT_LOGFILE_MAXBYTES PROGRAM_STDOUT_LOGFILE_MAXAGE PROGRAM_STDOUT_LOGFILE_BACKUPS PROGRAM_STDOUT_LOGFILE_COMPRESS PROGRAM_STDOUT_LOGFILE_FORMAT PROGRAM_STDERR_LOGFILE PROGRAM_STDERR_LOGFILE_MAXBYTES PROGRAM_STDERR_LOGFILE_MAXAGE PROGRAM_STDERR_LOGFILE_BACKUPS PROGRAM_STDERR_LOGFILE_COMPRESS PROGRAM_STDERR_LOGFILE_FORMAT PROGRAM_STDOUT_SYSLOG PROGRAM_STDOUT_CAPTURE_MAXBYTES PROGRAM_STDOUT_EVENTS_ENABLED PROGRAM_STDERR_SYSLOG PROGRAM_STDERR_CAPTURE_MAXBYTES PROGRAM_STDERR_EVENTS_ENABLED);
    }
}
