//! Options of `[app]`: the application and its workers.

use super::{Default, HOOKS, Opt, Section, Spec, Unit};
use crate::base::bounds::{
    QUEUE_MAX, RESPONSE_BUFFER_BYTES_MAX, RESPONSE_SPOOL_BYTES_MAX, RSS_BYTES_MAX, WEAR_REQUESTS_MAX,
    WORKER_THREADS_MAX, WORKERS_MAX,
};
use crate::config::read;
use crate::config::types::{AppTarget, WorkerLoop};
use std::path::PathBuf;
use std::time::Duration;

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
        &MAX_REQUESTS.spec,
        &MAX_REQUESTS_JITTER.spec,
        &MAX_LIFETIME.spec,
        &MAX_RSS.spec,
        &WORKER_LOOP.spec,
        &QUEUE.spec,
        &QUEUE_TIMEOUT.spec,
        &OVERLOAD_TIMEOUT.spec,
        &RETRY_SAFE.spec,
        &RAW_ENV.spec,
        &SPOOL_DIR.spec,
        &RESPONSE_BUFFER.spec,
        &RESPONSE_SPOOL_MAX.spec,
        &HOOKS.spec,
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
pub static MAX_REQUESTS: Opt<u64> = Opt {
    spec: Spec::new(
        "max_requests",
        Unit::Count { min: 0, max: WEAR_REQUESTS_MAX },
        Default::Toml("0"),
        "After so many requests a worker is replaced, and goes on until its replacement is up; 0 is never. Looked at once a second.",
    ),
    read: read::count_u64,
};
pub static MAX_REQUESTS_JITTER: Opt<u64> = Opt {
    spec: Spec::new(
        "max_requests_jitter",
        Unit::Count { min: 0, max: WEAR_REQUESTS_MAX },
        Default::Toml("0"),
        "A random number of up to so many is added to `max_requests`, another one for each worker.",
    ),
    read: read::count_u64,
};
pub static MAX_LIFETIME: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "max_lifetime",
        Unit::DurationOrNever,
        Default::Toml("0"),
        "After so long, less a random part of up to a tenth, a worker is replaced; 0 is never.",
    ),
    read: read::duration_or_never,
};
pub static MAX_RSS: Opt<u64> = Opt {
    spec: Spec::new(
        "max_rss",
        Unit::Size { max: RSS_BYTES_MAX },
        Default::Toml("0"),
        "A worker with more resident memory than that between requests is replaced; 0 is never. Looked at once a second. With `preload_app` what \
         workers share with each other counts for each of them.",
    )
    .elsewhere(&["reload_on_rss", "reload-on-rss"]),
    read: read::size,
};
pub static WORKER_LOOP: Opt<WorkerLoop> = Opt {
    spec: Spec::new(
        "worker_loop",
        Unit::Text("\"auto\", \"native\" or \"python\""),
        Default::Toml("\"auto\""),
        "The workers' inner loop: `native` is in C, `python` the same in Python; `auto` takes the native one where the interpreter can load it.",
    ),
    read: read::worker_loop,
};
pub static QUEUE: Opt<usize> = Opt {
    spec: Spec::new(
        "queue",
        Unit::Count { min: 1, max: QUEUE_MAX },
        Default::Toml("1024"),
        "Requests that may wait for a worker, per shard; one more is answered with 503, or takes the place of a less urgent one (`priority` of \
         routes).",
    ),
    read: read::count,
};
pub static QUEUE_TIMEOUT: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "queue_timeout",
        Unit::DurationOrNever,
        Default::Described("`timeout`"),
        "How long a request may wait for a worker before it is answered with 503; 0 is for ever.",
    ),
    read: read::duration_or_never,
};
pub static OVERLOAD_TIMEOUT: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "overload_timeout",
        Unit::DurationOrNever,
        Default::Toml("\"1s\""),
        "How long a request may wait instead while more come than the workers can serve: when for five seconds all that got to a worker had \
         waited longer than this, or when sixteen clients left that had, and until one has waited half as long only. What is served then is \
         served in time, while a short burst is served whole. 0: `queue_timeout` at all times.",
    ),
    read: read::duration_or_never,
};
pub static RETRY_SAFE: Opt<bool> = Opt {
    spec: Spec::new(
        "retry_safe",
        Unit::Bool,
        Default::Toml("false"),
        "Run a request that died with its worker once more, if its method is safe (GET, HEAD, OPTIONS, TRACE) and nothing was answered yet. \
         Otherwise the answer is 502. What took longer than `timeout` is not run again.",
    ),
    read: read::boolean,
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
        "Directory for request bodies that are too large for memory, and for responses whose clients are slow.",
    )
    .elsewhere(&["client_body_temp_path", "proxy_temp_path", "tmp_upload_dir"]),
    read: read::path,
};

pub static RESPONSE_BUFFER: Opt<u64> = Opt {
    spec: Spec::new(
        "response_buffer",
        Unit::Size { max: RESPONSE_BUFFER_BYTES_MAX },
        Default::Toml("\"64K\""),
        "How much of a response with a Content-Length is kept in memory for a slow client; what is more goes to a file in `spool_dir`.",
    )
    .elsewhere(&["proxy_buffers", "proxy_buffer_size"]),
    read: read::size,
};
pub static RESPONSE_SPOOL_MAX: Opt<u64> = Opt {
    spec: Spec::new(
        "response_spool_max",
        Unit::Size { max: RESPONSE_SPOOL_BYTES_MAX },
        Default::Toml("\"1G\""),
        "Largest file for a response whose client is slow; past it the worker waits for the client. 0: no files.",
    )
    .elsewhere(&["proxy_max_temp_file_size"]),
    read: read::size,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(WSGI CHDIR PYTHONPATH PYTHON WORKERS THREADS TIMEOUT GRACEFUL_TIMEOUT PRELOAD_APP WORKER_LOOP QUEUE QUEUE_TIMEOUT OVERLOAD_TIMEOUT RETRY_SAFE RAW_ENV SPOOL_DIR RESPONSE_BUFFER RESPONSE_SPOOL_MAX);
        assert_defaults!(MAX_REQUESTS MAX_REQUESTS_JITTER MAX_LIFETIME MAX_RSS);
    }
}
