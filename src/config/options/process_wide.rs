//! Options of `[server]`: the process as its host sees it, and its diagnostic log.

use super::{Default, Opt, Spec, Unit};
use crate::config::process_wide::{error_log, log_level, mask, process_name, statsd_host, statsd_tags, statsd_word};
use crate::config::read;
use crate::config::types::{LogLevel, StatsdTarget};
use std::path::PathBuf;

pub static PIDFILE: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "pidfile",
        Unit::Path,
        Default::Described("none"),
        "File to write the process id to. A server that runs holds a lock on it: a second one with the same file does not start, and a file that \
         was left behind keeps nobody away.",
    )
    .flag("--pid")
    .elsewhere(&["pid"]),
    read: read::path,
};
pub static DAEMON: Opt<bool> = Opt {
    spec: Spec::new(
        "daemon",
        Unit::Bool,
        Default::Toml("false"),
        "Go on in the background: the command ends once the server is ready, with 0, or with the code with which it has failed. Afterwards nothing \
         is written to the terminal; set `error_log`. Not for systemd, which looks after programs in the foreground.",
    )
    .flag("--daemon"),
    read: read::boolean,
};
pub static UMASK: Opt<u32> = Opt {
    spec: Spec::new(
        "umask",
        Unit::Described("a number up to 0o777, or its octal digits as a string"),
        Default::Described("that of whoever starts the server"),
        "Permissions that files of the server and of the application do not get (umask(2)). Sockets of `listen` do not get them either, \
         unless their `mode` says otherwise.",
    )
    .flag("--umask"),
    read: mask,
};
pub static PROC_NAME: Opt<String> = Opt {
    spec: Spec::new(
        "proc_name",
        Unit::Described("1 to 64 printable characters"),
        Default::Described("`maitred`"),
        "Name of the processes for `ps`, `top` and `pgrep`, which show its first 15 bytes.",
    )
    .flag("--name"),
    read: process_name,
};
pub static ERROR_LOG: Opt<Option<PathBuf>> = Opt {
    spec: Spec::new(
        "error_log",
        Unit::Described("\"stderr\" or a path"),
        Default::Toml("\"stderr\""),
        "Where the diagnostic log goes. A file is opened anew on SIGUSR1. Mistakes of the configuration are always told on stderr.",
    )
    .flag("--error-logfile")
    .elsewhere(&["errorlog", "log_file"]),
    read: error_log,
};
pub static SERVER_LOG_LEVEL: Opt<LogLevel> = Opt {
    spec: Spec::new(
        "log_level",
        Unit::Described("\"error\", \"warn\", \"info\", \"debug\" or \"trace\""),
        Default::Described("`info`"),
        "Least serious messages of the server in the diagnostic log; `--log-level` and `MAITRED_LOG` count more. What the application and programs \
         write is there at every level.",
    )
    .flag("--log-level")
    .elsewhere(&["loglevel"]),
    read: log_level,
};

pub static STATSD_HOST: Opt<StatsdTarget> = Opt {
    spec: Spec::new(
        "statsd_host",
        Unit::Described("`HOST:PORT` or `unix:PATH`"),
        Default::Described("none"),
        "A statsd server that is sent Gunicorn's metrics once a second: `gunicorn.requests`, `gunicorn.request.duration`, \
         `gunicorn.request.status.2xx` (by class), `gunicorn.workers`.",
    )
    .flag("--statsd-host"),
    read: statsd_host,
};
pub static STATSD_PREFIX: Opt<String> = Opt {
    spec: Spec::new(
        "statsd_prefix",
        Unit::Described("text without white space, `:`, `|` and `#`"),
        Default::Toml("\"\""),
        "What stands before every metric's name, with a dot between them.",
    )
    .flag("--statsd-prefix"),
    read: statsd_word,
};
pub static DOGSTATSD_TAGS: Opt<String> = Opt {
    spec: Spec::new(
        "dogstatsd_tags",
        Unit::Described("tags, separated by commas, without white space, `|` and `#`"),
        Default::Toml("\"\""),
        "Tags behind every metric, as DogStatsD has them: \"env:live,site:shop\".",
    )
    .flag("--dogstatsd-tags"),
    read: statsd_tags,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(PIDFILE DAEMON UMASK PROC_NAME ERROR_LOG SERVER_LOG_LEVEL STATSD_HOST STATSD_PREFIX DOGSTATSD_TAGS);
    }
}
