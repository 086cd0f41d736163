//! One declaration per option: name, unit with bounds, default, reader, one line of documentation.
//!
//! Unknown-key messages, defaults, the help of the flags and `docs/configuration.md` all come from here. Owns no code but
//! the declarations; the readers are in [`super::read`].

use super::read;
use super::types::{AppTarget, HostPattern};
use super::value::Value;
use crate::base::bounds::{
    BODY_BYTES_MAX, CONNECTIONS_MAX, LISTEN_BACKLOG_MAX, QUEUE_MAX, SHARDS_MAX, WORKER_THREADS_MAX, WORKERS_MAX,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an option takes, with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Count { min: u64, max: u64 },
    /// A whole number or `"auto"`.
    CountOrAuto { min: u64, max: u64 },
    /// A duration within the bounds of timeouts.
    Duration,
    /// The same, or 0 for none at all.
    DurationOrNever,
    /// Bytes.
    Size { max: u64 },
    /// A string, described.
    Text(&'static str),
    /// A string or a list of strings, described.
    Texts(&'static str),
    /// A path.
    Path,
}

/// What holds when an option is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value, as TOML.
    Toml(&'static str),
    /// Worked out, as described.
    Described(&'static str),
    /// The option must be given.
    Required,
}

/// An option without its type: what messages and the reference need.
#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    pub unit: Unit,
    pub default: Default,
    /// One line for the reference and, where there is a flag, for `--help`.
    pub doc: &'static str,
    /// The flag that does the same.
    pub flag: Option<&'static str>,
    /// The variable of the environment that does the same.
    pub variable: Option<&'static str>,
    /// What nginx and gunicorn call it, where that differs.
    pub elsewhere: &'static [&'static str],
}

impl Spec {
    const fn new(name: &'static str, unit: Unit, default: Default, doc: &'static str) -> Spec {
        Spec { name, unit, default, doc, flag: None, variable: None, elsewhere: &[] }
    }

    const fn flag(self, flag: &'static str) -> Spec {
        Spec { flag: Some(flag), ..self }
    }

    const fn variable(self, variable: &'static str) -> Spec {
        Spec { variable: Some(variable), ..self }
    }

    const fn elsewhere(self, elsewhere: &'static [&'static str]) -> Spec {
        Spec { elsewhere, ..self }
    }
}

/// An option with the type that it is read into.
pub struct Opt<T: 'static> {
    pub spec: Spec,
    /// The value, or a sentence that says what is wrong with it. Relative paths start at the given directory.
    pub read: fn(&Value, Unit, &Path) -> Result<T, String>,
}

/// A table of the config file.
pub struct Section {
    pub name: &'static str,
    /// As it is written in the file.
    pub header: &'static str,
    pub doc: &'static str,
    pub options: &'static [&'static Spec],
}

/// All sections, in the order of the reference.
pub static SECTIONS: [&Section; 3] = [&SERVER, &APP, &ROUTE];

pub static SERVER: Section = Section {
    name: "server",
    header: "[server]",
    doc: "Listeners, shards, and what one connection may cost.",
    options: &[
        &LISTEN.spec,
        &SHARDS.spec,
        &KEEPALIVE_TIMEOUT.spec,
        &HEAD_TIMEOUT.spec,
        &BODY_TIMEOUT.spec,
        &SEND_TIMEOUT.spec,
        &MAX_CONNECTIONS.spec,
        &MAX_BODY.spec,
        &BACKLOG.spec,
        &PIDFILE.spec,
    ],
};

pub static LISTEN: Opt<Value> = Opt {
    spec: Spec::new(
        "listen",
        Unit::Texts("an address or a list of addresses, each a string or a table `{ address = \"…\" }`"),
        Default::Toml("\"127.0.0.1:8000\""),
        "Address to listen on: \"127.0.0.1:8000\", \"[::1]:8000\", \":8000\" (any IPv4 address) or \"unix:/run/site.sock\".",
    )
    .flag("--bind")
    .variable("PORT")
    .elsewhere(&["bind"]),
    read: read::raw,
};
/// Of a `listen` entry in the form of a table.
pub static LISTEN_ADDRESS: Opt<String> = Opt {
    spec: Spec::new("address", Unit::Text("an address"), Default::Required, "Address to listen on."),
    read: read::text,
};
pub static SHARDS: Opt<Option<usize>> = Opt {
    spec: Spec::new(
        "shards",
        Unit::CountOrAuto { min: 1, max: SHARDS_MAX },
        Default::Toml("\"auto\""),
        "Threads that serve connections, each with its own io_uring; \"auto\" is one per usable CPU, or one per two with an application.",
    )
    .flag("--shards")
    .elsewhere(&["worker_processes"]),
    read: read::count_or_auto,
};
pub static KEEPALIVE_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "keepalive_timeout",
        Unit::Duration,
        Default::Toml("\"75s\""),
        "How long an idle keep-alive connection stays open.",
    )
    .elsewhere(&["keepalive"]),
    read: read::duration,
};
pub static HEAD_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "head_timeout",
        Unit::Duration,
        Default::Toml("\"10s\""),
        "How long a client may take to send one request head.",
    )
    .elsewhere(&["client_header_timeout"]),
    read: read::duration,
};
pub static BODY_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "body_timeout",
        Unit::Duration,
        Default::Toml("\"30s\""),
        "How long a client may pause while it sends a request body.",
    )
    .elsewhere(&["client_body_timeout"]),
    read: read::duration,
};
pub static SEND_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "send_timeout",
        Unit::Duration,
        Default::Toml("\"60s\""),
        "How long a client may pause while it takes a response.",
    ),
    read: read::duration,
};
pub static MAX_CONNECTIONS: Opt<usize> = Opt {
    spec: Spec::new(
        "max_connections",
        Unit::Count { min: 1, max: CONNECTIONS_MAX },
        Default::Toml("16384"),
        "Connections that one shard keeps open at the same time.",
    )
    .elsewhere(&["worker_connections"]),
    read: read::count,
};
pub static MAX_BODY: Opt<u64> = Opt {
    spec: Spec::new(
        "max_body",
        Unit::Size { max: BODY_BYTES_MAX },
        Default::Toml("\"100M\""),
        "Largest request body; a larger one is answered with 413.",
    )
    .elsewhere(&["client_max_body_size"]),
    read: read::size,
};
pub static BACKLOG: Opt<u32> = Opt {
    spec: Spec::new(
        "backlog",
        Unit::Count { min: 1, max: LISTEN_BACKLOG_MAX },
        Default::Toml("2048"),
        "Connections that wait to be accepted, per listener and shard; the kernel's net.core.somaxconn bounds it too.",
    ),
    read: read::count_u32,
};
pub static PIDFILE: Opt<PathBuf> = Opt {
    spec: Spec::new("pidfile", Unit::Path, Default::Described("none"), "File to write the process id to.")
        .elsewhere(&["pid"]),
    read: read::path,
};

pub static APP: Section = Section {
    name: "app",
    header: "[app]",
    doc: "The WSGI application and its worker processes.",
    options: &[
        &WSGI.spec,
        &CHDIR.spec,
        &PYTHONPATH.spec,
        &PYTHON.spec,
        &WORKERS.spec,
        &THREADS.spec,
        &TIMEOUT.spec,
        &GRACEFUL_TIMEOUT.spec,
        &PRELOAD_APP.spec,
        &QUEUE.spec,
        &RAW_ENV.spec,
        &SPOOL_DIR.spec,
    ],
};

pub static WSGI: Opt<AppTarget> = Opt {
    spec: Spec::new(
        "wsgi",
        Unit::Text("`module:attribute`; without attribute, `application`"),
        Default::Described("Django's `WSGI_APPLICATION`, by `DJANGO_SETTINGS_MODULE` or `manage.py` in `chdir`"),
        "The WSGI callable: \"mysite.wsgi:application\".",
    )
    .flag("APP")
    .elsewhere(&["wsgi_app"]),
    read: read::wsgi,
};
pub static CHDIR: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "chdir",
        Unit::Path,
        Default::Described("the directory of the config file that has `[app]`, else the working directory"),
        "Working directory of the workers, from which the application is imported.",
    )
    .flag("--chdir"),
    read: read::path,
};
pub static PYTHONPATH: Opt<Vec<PathBuf>> = Opt {
    spec: Spec::new(
        "pythonpath",
        Unit::Texts("a list of directories, or a string of them separated by commas or colons"),
        Default::Toml("[]"),
        "Further directories to import from.",
    )
    .flag("--pythonpath"),
    read: read::search_path,
};
pub static PYTHON: Opt<(String, PathBuf)> = Opt {
    spec: Spec::new(
        "python",
        Unit::Text("a path, or a name on PATH"),
        Default::Described("`$VIRTUAL_ENV/bin/python`, `.venv` or `venv` in `chdir`, then `python3` on PATH"),
        "Python interpreter (CPython 3.9 to 3.14) that runs the application.",
    )
    .flag("--python"),
    read: read::interpreter,
};
pub static WORKERS: Opt<usize> = Opt {
    spec: Spec::new(
        "workers",
        Unit::Count { min: 1, max: WORKERS_MAX },
        Default::Described("usable CPUs + 1 (gunicorn: 1)"),
        "Worker processes.",
    )
    .flag("--workers")
    .variable("WEB_CONCURRENCY"),
    read: read::count,
};
pub static THREADS: Opt<usize> = Opt {
    spec: Spec::new(
        "threads",
        Unit::Count { min: 1, max: WORKER_THREADS_MAX },
        Default::Toml("1"),
        "Threads of each worker process, each of which serves one request at a time.",
    )
    .flag("--threads"),
    read: read::count,
};
pub static TIMEOUT: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "timeout",
        Unit::DurationOrNever,
        Default::Toml("\"30s\""),
        "How long a worker may hold one request before it is killed; 0 is for ever.",
    )
    .flag("--timeout"),
    read: read::duration_or_never,
};
pub static GRACEFUL_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "graceful_timeout",
        Unit::Duration,
        Default::Toml("\"30s\""),
        "How long requests in hand may take to finish at a stop or reload.",
    )
    .flag("--graceful-timeout"),
    read: read::duration,
};
pub static PRELOAD_APP: Opt<bool> = Opt {
    spec: Spec::new(
        "preload_app",
        Unit::Bool,
        Default::Toml("true"),
        "Import the application once and fork the workers from there: they start at once and share memory. `--no-preload` turns it off.",
    )
    .elsewhere(&["preload"]),
    read: read::boolean,
};
pub static QUEUE: Opt<usize> = Opt {
    spec: Spec::new(
        "queue",
        Unit::Count { min: 1, max: QUEUE_MAX },
        Default::Toml("1024"),
        "Requests that may wait for a worker, per shard; one more is answered with 503.",
    ),
    read: read::count,
};
pub static RAW_ENV: Opt<Vec<(String, String)>> = Opt {
    spec: Spec::new(
        "raw_env",
        Unit::Texts("a list of `NAME=VALUE`"),
        Default::Toml("[]"),
        "Environment variables for the workers.",
    )
    .flag("--env")
    .elsewhere(&["env", "environment"]),
    read: read::variables,
};
pub static SPOOL_DIR: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "spool_dir",
        Unit::Path,
        Default::Described("`$TMPDIR`, else `/tmp`"),
        "Directory for request bodies that are too large for memory.",
    )
    .elsewhere(&["client_body_temp_path", "worker_tmp_dir"]),
    read: read::path,
};

pub static ROUTE: Section = Section {
    name: "route",
    header: "[[route]]",
    doc: "What is served where; exactly one of `static` and `app` in each. A request goes to the routes of its host first, \
          then to those of a wildcard that fits (longest first), then to those without a host; among them to the one with \
          the longest path that the request's path begins with. Without any route to the application, one with the path \
          `/` is added.",
    options: &[
        &PATH.spec,
        &HOST.spec,
        &STATIC.spec,
        &ROUTE_APP.spec,
        &CACHE_CONTROL.spec,
        &INDEX.spec,
        &ROUTE_MAX_BODY.spec,
    ],
};

pub static PATH: Opt<String> = Opt {
    spec: Spec::new(
        "path",
        Unit::Text("a path that starts with `/`"),
        Default::Required,
        "Path prefix, compared like nginx's `location`; a static route's path is given a closing `/`.",
    )
    .elsewhere(&["location", "prefix", "url"]),
    read: read::route_path,
};
pub static HOST: Opt<HostPattern> = Opt {
    spec: Spec::new(
        "host",
        Unit::Text("a name without port, or `*.` and a name"),
        Default::Described("every host"),
        "Host that the route is for: \"example.com\", or \"*.example.com\" for all names below it.",
    )
    .elsewhere(&["server_name"]),
    read: read::host,
};
pub static STATIC: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "static",
        Unit::Path,
        Default::Described("none"),
        "Directory whose files are served; the route's path stands for it, like nginx's `alias`.",
    )
    .flag("--static")
    .elsewhere(&["root", "alias", "directory", "dir"]),
    read: read::path,
};
pub static ROUTE_APP: Opt<bool> = Opt {
    spec: Spec::new("app", Unit::Bool, Default::Described("none"), "`true` hands the request to the application.")
        .elsewhere(&["proxy_pass"]),
    read: read::only_true,
};
pub static CACHE_CONTROL: Opt<String> = Opt {
    spec: Spec::new(
        "cache_control",
        Unit::Text("a field value"),
        Default::Described("none"),
        "`Cache-Control` of the files of a static route.",
    )
    .elsewhere(&["expires"]),
    read: read::field_value,
};
pub static INDEX: Opt<Vec<String>> = Opt {
    spec: Spec::new(
        "index",
        Unit::Texts("a file name or a list of them"),
        Default::Toml("\"index.html\""),
        "Files of a static route that stand for their directory, first match first; `[]` is none.",
    ),
    read: read::file_names,
};
pub static ROUTE_MAX_BODY: Opt<u64> = Opt {
    spec: Spec::new(
        "max_body",
        Unit::Size { max: BODY_BYTES_MAX },
        Default::Described("`max_body` of `[server]`"),
        "Largest request body on this route.",
    )
    .elsewhere(&["client_max_body_size"]),
    read: read::size,
};

/// Every flag that an option of the config file names as its equal; `APP` is the one that has no dashes.
pub fn flags() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().flat_map(|section| section.options).filter_map(|spec| spec.flag)
}

/// The lines of `--help` for the flags that do the same as an option.
pub mod help {
    macro_rules! help {
        ($($name:ident)*) => {$(
            #[allow(missing_docs)]
            pub static $name: &str = super::$name.spec.doc;
        )*};
    }
    help!(LISTEN SHARDS WSGI CHDIR PYTHONPATH PYTHON WORKERS THREADS TIMEOUT GRACEFUL_TIMEOUT  RAW_ENV );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_options_of_a_section() {
        for section in SECTIONS {
            let names = section.options.iter().flat_map(|spec| spec.elsewhere.iter().chain([&spec.name]));
            let mut names: Vec<_> = names.collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "in {}", section.header);
        }
    }
}
