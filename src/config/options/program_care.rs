//! Options of `[program.NAME]` that supervisord does not have: what it waits for, when it is ready and alive, when it is started anew.

use super::{Default, Opt, Section, Spec, Unit};
use crate::base::bounds::{CHECK_FAILURES_MAX, RSS_BYTES_MAX};
use crate::config::value::Value;
use crate::config::{program_values, read};
use std::time::Duration;

pub static CHECK: Section = Section {
    name: "program.check",
    header: "[program.NAME.ready] and [program.NAME.liveness]",
    doc: "A check: one of `tcp`, `http`, `command` and `notify`, and how it is tried. Strings are expanded as those of the program.",
    options: &[
        &CHECK_TCP.spec,
        &CHECK_HTTP.spec,
        &CHECK_COMMAND.spec,
        &CHECK_NOTIFY.spec,
        &CHECK_INTERVAL.spec,
        &CHECK_TIMEOUT.spec,
        &CHECK_FAILURES.spec,
        &CHECK_WITHIN.spec,
    ],
};

pub static PROGRAM_DEPENDS_ON: Opt<Vec<String>> = Opt {
    spec: Spec::new(
        "depends_on",
        Unit::Texts("the name of a program or group, or a list of them"),
        Default::Described("none"),
        "It is started once these are RUNNING, or have exited as expected, whatever their `priority` and `autostart`, and stopped before them. A crash of theirs does not concern it.",
    ),
    read: program_values::names,
};
pub static PROGRAM_READY: Opt<Value> = Opt {
    spec: Spec::new(
        "ready",
        Unit::Described("a table, such as { tcp = \"127.0.0.1:6379\" }"),
        Default::Described("to have run for `startsecs`"),
        "What makes it RUNNING: see below. Until then it is STARTING; if it does not get there `within` that time, it is stopped, and its start has failed.",
    ),
    read: read::raw,
};
pub static PROGRAM_LIVENESS: Opt<Value> = Opt {
    spec: Spec::new(
        "liveness",
        Unit::Described("a table, such as { http = \"http://127.0.0.1:8001/health\" }"),
        Default::Described("none"),
        "What it is asked again and again while it is RUNNING: see below. After so many `failures` in a row it is stopped and started anew.",
    ),
    read: read::raw,
};
pub static PROGRAM_MAX_RSS: Opt<u64> = Opt {
    spec: Spec::new(
        "max_rss",
        Unit::Size { max: RSS_BYTES_MAX },
        Default::Described("none"),
        "With more memory than that, its own and that of all that it has started, it is stopped and started anew; looked at every five seconds.",
    ),
    read: read::size,
};
pub static PROGRAM_MAX_LIFETIME: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "max_lifetime",
        Unit::DurationOrNever,
        Default::Toml("0"),
        "After so long, less a random part of up to a tenth, it is stopped and started anew; 0 is never.",
    ),
    read: read::duration_or_never,
};
pub static PROGRAM_RELOAD_SIGNAL: Opt<i32> = Opt {
    spec: Spec::new(
        "reload_signal",
        Unit::Text("the name or number of a signal"),
        Default::Described("none"),
        "The signal that it gets with each reload that leaves it running: \"HUP\" makes it read its own configuration, or the new code, at the same time.",
    ),
    read: program_values::signal,
};
pub static CHECK_TCP: Opt<String> = Opt {
    spec: Spec::new(
        "tcp",
        Unit::Text("an address"),
        Default::Described("none"),
        "A connection to this address is accepted: \"127.0.0.1:6379\" or \"unix:/run/redis.sock\".",
    ),
    read: read::text,
};
pub static CHECK_HTTP: Opt<String> = Opt {
    spec: Spec::new(
        "http",
        Unit::Text("a URL"),
        Default::Described("none"),
        "A GET is answered with a status from 200 to 399: \"http://127.0.0.1:8001/health\". The host is an IP address or localhost.",
    ),
    read: read::text,
};
pub static CHECK_COMMAND: Opt<String> = Opt {
    spec: Spec::new(
        "command",
        Unit::Text("a command line"),
        Default::Described("none"),
        "This command exits with 0: run as the program's user, in its directory and with its variables.",
    ),
    read: read::text,
};
pub static CHECK_NOTIFY: Opt<bool> = Opt {
    spec: Spec::new(
        "notify",
        Unit::Text("true"),
        Default::Described("none"),
        "The program tells by itself, as under systemd (`NOTIFY_SOCKET`, sd_notify(3)): `READY=1`; as a liveness check `WATCHDOG=1` within each `interval`, which is in `WATCHDOG_USEC`.",
    ),
    read: read::only_true,
};
pub static CHECK_INTERVAL: Opt<Duration> = Opt {
    spec: Spec::new(
        "interval",
        Unit::Duration,
        Default::Described("\"500ms\", for `liveness` \"10s\""),
        "From the end of one try to the next.",
    ),
    read: read::duration,
};
pub static CHECK_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new("timeout", Unit::Duration, Default::Toml("\"5s\""), "How long one try may take."),
    read: read::duration,
};
pub static CHECK_FAILURES: Opt<u32> = Opt {
    spec: Spec::new(
        "failures",
        Unit::Count { min: 1, max: CHECK_FAILURES_MAX },
        Default::Toml("3"),
        "`liveness`: failed tries in a row after which it counts as dead.",
    ),
    read: read::count_u32,
};
pub static CHECK_WITHIN: Opt<Duration> = Opt {
    spec: Spec::new("within", Unit::Duration, Default::Toml("\"1m\""), "`ready`: how long a start may take."),
    read: read::duration,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(PROGRAM_DEPENDS_ON PROGRAM_READY PROGRAM_LIVENESS PROGRAM_MAX_RSS PROGRAM_MAX_LIFETIME PROGRAM_RELOAD_SIGNAL);
        assert_defaults!(CHECK_TCP CHECK_HTTP CHECK_COMMAND CHECK_NOTIFY CHECK_INTERVAL CHECK_TIMEOUT CHECK_FAILURES CHECK_WITHIN);
    }
}
