//! Options of `[server.access_log]`: where the access log goes and what is in it.

use super::{Default, Opt, Section, Spec, Unit};
use crate::base::bounds::{ACCESS_BUFFER_BYTES_MAX, ACCESS_ROTATE_BYTES_MAX, ACCESS_ROTATED_FILES_MAX};
use crate::config::access_log::{LogTarget, SkippedPath, target};
use crate::config::status::{self, StatusPattern};
use crate::config::value::Value;
use crate::config::{program_values, read};
use crate::observe::access::Escape;
use std::path::Path;
use std::time::Duration;

pub static ACCESS_LOG_TABLE: Section = Section {
    name: "server.access_log",
    header: "[server.access_log]",
    doc: "The access log, where more than its place is to be said: `access_log = { path = \"…\", … }` in `[server]`, or a table of its own. \
          `SIGUSR1` makes the server open the file anew, as log rotation wants it: after a rename no line is lost. Lines never keep a \
          request waiting: what cannot be written in time is dropped, and counted in the metrics and the diagnostic log.",
    options: &[
        &LOG_PATH.spec,
        &LOG_FORMAT.spec,
        &LOG_ESCAPE.spec,
        &LOG_BUFFER.spec,
        &LOG_FLUSH.spec,
        &LOG_SKIP.spec,
        &LOG_SKIP_STATUS.spec,
        &LOG_SAMPLE.spec,
        &LOG_ROTATE_SIZE.spec,
        &LOG_ROTATE_AGE.spec,
        &LOG_ROTATE_KEEP.spec,
    ],
};

pub static LOG_PATH: Opt<Option<LogTarget>> = Opt {
    spec: Spec::new(
        "path",
        Unit::Text("\"off\", a path, \"stdout\" or \"syslog\""),
        Default::Required,
        "Where lines go. \"syslog\" is the host's own; `\"syslog:server=unix:/dev/log,facility=local7,severity=info,tag=maitred\"` says \
         more, as in nginx (datagrams as in RFC 3164, to a unix socket or an IP address).",
    )
    .elsewhere(&["file"]),
    read: place,
};
pub static LOG_FORMAT: Opt<String> = Opt {
    spec: Spec::new(
        "format",
        Unit::Text("`combined`, `common`, `json`, `short` or text with variables"),
        Default::Toml("\"combined\""),
        "What a line looks like: nginx's `combined`, the Common Log Format, one JSON object a line, one for people at a terminal, or text with nginx's variables, such as \
         `\"$remote_addr $request_time $http_host\"`. `$$` is a `$`.",
    )
    .elsewhere(&["log_format", "access_log_format"]),
    read: read::text,
};
pub static LOG_ESCAPE: Opt<Escape> = Opt {
    spec: Spec::new(
        "escape",
        Unit::Text("`default` or `json`"),
        Default::Toml("\"default\""),
        "How values in a format of your own are escaped: as nginx does by default, or for JSON strings.",
    ),
    read: escape,
};
pub static LOG_BUFFER: Opt<u64> = Opt {
    spec: Spec::new(
        "buffer",
        Unit::Size { max: ACCESS_BUFFER_BYTES_MAX },
        Default::Toml("\"64K\""),
        "Lines that a shard gathers before it writes them.",
    ),
    read: read::size,
};
pub static LOG_FLUSH: Opt<Duration> = Opt {
    spec: Spec::new(
        "flush",
        Unit::Span,
        Default::Toml("\"1s\""),
        "How long a line may wait to be written; 0: not at all, which is the default at a terminal with `dev`.",
    ),
    read: program_values::span,
};
pub static LOG_SKIP: Opt<Vec<SkippedPath>> = Opt {
    spec: Spec::new(
        "skip",
        Unit::Texts("a path or a list of them"),
        Default::Toml("[]"),
        "Paths that are not logged: \"/healthz\", or \"/static/*\" for all that begin so.",
    ),
    read: skipped_paths,
};
pub static LOG_SKIP_STATUS: Opt<Vec<StatusPattern>> = Opt {
    spec: Spec::new(
        "skip_status",
        Unit::Texts("a status, a class such as \"2xx\", or a list of them"),
        Default::Toml("[]"),
        "Statuses that are not logged.",
    ),
    read: status::statuses,
};
pub static LOG_SAMPLE: Opt<f64> = Opt {
    spec: Spec::new(
        "sample",
        Unit::Text("a number above 0, at most 1"),
        Default::Toml("1.0"),
        "The part of requests that is logged, chosen at random; those with a status of 400 or more always are.",
    ),
    read: sample,
};
pub static LOG_ROTATE_SIZE: Opt<u64> = Opt {
    spec: Spec::new(
        "rotate_size",
        Unit::Size { max: ACCESS_ROTATE_BYTES_MAX },
        Default::Described("never"),
        "The file is renamed to `.1`, and older ones count up, once it is larger than this.",
    ),
    read: read::size,
};
pub static LOG_ROTATE_AGE: Opt<Duration> = Opt {
    spec: Spec::new(
        "rotate_age",
        Unit::Duration,
        Default::Described("never"),
        "The same once the server has written to it for so long.",
    ),
    read: read::duration,
};
pub static LOG_ROTATE_KEEP: Opt<u32> = Opt {
    spec: Spec::new(
        "rotate_keep",
        Unit::Count { min: 1, max: ACCESS_ROTATED_FILES_MAX },
        Default::Toml("10"),
        "Rotated files that are kept.",
    ),
    read: read::count_u32,
};

fn place(value: &Value, unit: Unit, base: &Path) -> Result<Option<LogTarget>, String> {
    target(&read::text(value, unit, base)?, base)
}

fn escape(value: &Value, unit: Unit, base: &Path) -> Result<Escape, String> {
    match read::text(value, unit, base)?.as_str() {
        "default" => Ok(Escape::Default),
        "json" => Ok(Escape::Json),
        other => Err(format!("must be \"default\" or \"json\", not \"{}\"", other.escape_debug())),
    }
}

fn skipped_paths(value: &Value, unit: Unit, base: &Path) -> Result<Vec<SkippedPath>, String> {
    let path = |text: String| {
        if !text.starts_with('/') {
            return Err(format!("\"{}\" does not start with \"/\"", text.escape_debug()));
        }
        Ok(match text.strip_suffix('*') {
            Some(prefix) => SkippedPath::Prefix(prefix.to_owned()),
            None => SkippedPath::Exact(text),
        })
    };
    value.each().map(|item| path(read::text(item, unit, base)?)).collect()
}

fn sample(value: &Value, unit: Unit, _: &Path) -> Result<f64, String> {
    let part = match value {
        Value::Float(part) => *part,
        Value::Integer(1) => 1.0,
        _ => 0.0,
    };
    if part > 0.0 && part <= 1.0 { Ok(part) } else { Err(format!("must be {unit}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(LOG_PATH LOG_FORMAT LOG_ESCAPE LOG_BUFFER LOG_FLUSH LOG_SKIP LOG_SKIP_STATUS LOG_SAMPLE LOG_ROTATE_SIZE LOG_ROTATE_AGE LOG_ROTATE_KEEP);
    }
}
