//! Options of `[app]`: the application and its workers.

use super::{Default, HOOKS, Opt, Section, Spec, Unit};
use crate::base::bounds::{
    QUEUE_MAX, RESPONSE_BUFFER_BYTES_MAX, RESPONSE_SPOOL_BYTES_MAX, RSS_BYTES_MAX, WEAR_REQUESTS_MAX,
    WORKER_THREADS_MAX, WORKERS_MAX,
};
use crate::config::read;
use crate::config::status::{self, StatusPattern};
use crate::config::types::{AppOutput, AppTarget, ReloadMode, WorkerLoop};
use crate::config::warmup;
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
        &SCALE_MIN.spec,
        &SCALE_MAX.spec,
        &SCALE_WAIT.spec,
        &SCALE_IDLE.spec,
        &THREADS.spec,
        &TIMEOUT.spec,
        &LIVENESS_TIMEOUT.spec,
        &BOOT_TIMEOUT.spec,
        &GRACEFUL_TIMEOUT.spec,
        &PRELOAD_APP.spec,
        &SPARE_WORKER.spec,
        &RELOAD.spec,
        &RELOAD_EXTRA_FILES.spec,
        &DEV.spec,
        &RELOAD_MODE.spec,
        &WARMUP.spec,
        &WARMUP_STATUS.spec,
        &WARMUP_TIMEOUT.spec,
        &WARMUP_HOST.spec,
        &MAX_REQUESTS.spec,
        &MAX_REQUESTS_JITTER.spec,
        &MAX_LIFETIME.spec,
        &MAX_RSS.spec,
        &WORKER_LOOP.spec,
        &APP_OUTPUT.spec,
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
        Default::Described("usable CPUs + 1 (gunicorn: 1); 1 with `dev`"),
        "Worker processes.",
    )
    .flag("--workers")
    .variable("WEB_CONCURRENCY"),
    read: read::count,
};
pub static SCALE_MIN: Opt<usize> = Opt {
    spec: Spec::new(
        "workers_min",
        Unit::Count { min: 1, max: WORKERS_MAX },
        Default::Described("1, with `workers_max`"),
        "Fewest workers where their number follows the load.",
    ),
    read: read::count,
};
pub static SCALE_MAX: Opt<usize> = Opt {
    spec: Spec::new(
        "workers_max",
        Unit::Count { min: 1, max: WORKERS_MAX },
        Default::Described("the number of workers is fixed"),
        "Most workers: their number follows the load between `workers_min` and this, beginning with `workers`. Workers are added when requests have \
         waited longer than `scale_wait` for three seconds, and taken away one by one. No other generation of workers is made for that.",
    ),
    read: read::count,
};
pub static SCALE_WAIT: Opt<Duration> = Opt {
    spec: Spec::new(
        "scale_wait",
        Unit::Duration,
        Default::Toml("\"100ms\""),
        "How long requests may wait for a worker on average before workers are added; with `workers_max`.",
    ),
    read: read::duration,
};
pub static SCALE_IDLE: Opt<Duration> = Opt {
    spec: Spec::new(
        "scale_idle",
        Unit::Duration,
        Default::Toml("\"1m\""),
        "How long one worker fewer must have been enough before one is taken away: hardly anybody waited, and the others would have been busy half \
         of the time at most. Longer if workers had to be added soon after the last time. With `workers_max`.",
    ),
    read: read::duration,
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
        "How long a worker may hold one request. Then the client gets 504, and the thread an exception, `maitred_worker.interrupt.RequestTimeout`, \
         which is a BaseException; a worker that does not react is ended when its other threads have finished what they had. 0 is for ever, as is \
         nothing at all with `dev`.",
    )
    .flag("--timeout"),
    read: read::duration_or_never,
};
pub static LIVENESS_TIMEOUT: Opt<Option<Duration>> = Opt {
    spec: Spec::new(
        "liveness_timeout",
        Unit::DurationOrNever,
        Default::Toml("\"30s\""),
        "How long a worker may be idle while requests wait or others work. Half-way it is told to look for work; if it takes nothing of what waits, or \
         gives no sign of life, it is replaced. 0 is for ever.",
    ),
    read: read::duration_or_never,
};
pub static BOOT_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "boot_timeout",
        Unit::Duration,
        Default::Toml("\"2m\""),
        "How long importing the application may take, and as long again the fork of a worker and its getting ready. Then the start has failed, or the \
         reload, and what served goes on.",
    ),
    read: read::duration,
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
pub static SPARE_WORKER: Opt<bool> = Opt {
    spec: Spec::new(
        "spare_worker",
        Unit::Bool,
        Default::Toml("true"),
        "With `preload_app`: keep one process beside the workers that takes the place of the next one that ends, so that it is missed for milliseconds. It takes \
         no request before, and once the site is in use it has as much memory of its own as a worker has after its first pages. Not with `reload` or hooks.",
    ),
    read: read::boolean,
};
pub static RELOAD: Opt<bool> = Opt {
    spec: Spec::new(
        "reload",
        Unit::Bool,
        Default::Described("`false`; `true` with `dev`"),
        "Development: load the application anew when a file changes that it is made of: modules that were imported (but for the standard library \
         and installed packages), Django's templates. What can't be imported is shown as a page, to everybody, until the next change.",
    )
    .flag("--reload"),
    read: read::boolean,
};
pub static RELOAD_EXTRA_FILES: Opt<Vec<PathBuf>> = Opt {
    spec: Spec::new(
        "reload_extra_files",
        Unit::Texts("a path or a list of them"),
        Default::Toml("[]"),
        "Further files whose changes count for `reload`; of a directory, everything in it.",
    )
    .flag("--reload-extra-file"),
    read: read::files,
};
pub static DEV: Opt<bool> = Opt {
    spec: Spec::new(
        "dev",
        Unit::Bool,
        Default::Toml("false"),
        "Development: `reload`, one worker with four threads, no `timeout`, a short access log on stdout, times of day in the log, output as it is (`output`), and \
         the static files of Django's apps from where they are, without `collectstatic`. At a terminal the worker reads from it, for a debugger (`pdb`). What is set otherwise stays as it is set.",
    )
    .flag("--dev"),
    read: read::boolean,
};
pub static RELOAD_MODE: Opt<ReloadMode> = Opt {
    spec: Spec::new(
        "reload_mode",
        Unit::Text("\"switch\" or \"rolling\""),
        Default::Toml("\"switch\""),
        "How a reload replaces the workers. `switch`: the new ones are there, then the old ones leave. `rolling`, where memory does not allow two sets: \
         worker by worker; never are there more than `workers` + 1, and half of them serve at any time.",
    ),
    read: read::reload_mode,
};
pub static WARMUP: Opt<String> = Opt {
    spec: Spec::new(
        "warmup",
        Unit::Text("a path that begins with /, with or without a query"),
        Default::Described("none"),
        "What a new generation of workers is asked for before it is given requests: \"/healthz\". Without the expected answer a reload has failed and \
         the old workers go on; at the start the server ends with code 3. It goes to the application, past routes, limits and the access log.",
    ),
    read: warmup::target,
};
pub static WARMUP_STATUS: Opt<Vec<StatusPattern>> = Opt {
    spec: Spec::new(
        "warmup_status",
        Unit::Texts("a status, a class such as \"2xx\", or a list of them"),
        Default::Toml("[\"2xx\", \"3xx\"]"),
        "The statuses that are expected.",
    ),
    read: status::statuses,
};
pub static WARMUP_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "warmup_timeout",
        Unit::Duration,
        Default::Toml("\"30s\""),
        "How long the answer to `warmup` may take, once a worker is up; then the log gets the stacks of the workers.",
    ),
    read: read::duration,
};
pub static WARMUP_HOST: Opt<String> = Opt {
    spec: Spec::new(
        "warmup_host",
        Unit::Text("a host, with or without a port"),
        Default::Described(
            "the first name in Django's ALLOWED_HOSTS, else in `allowed_hosts` of `[server]`, else in `[[tls]]`, else `localhost`",
        ),
        "The Host field of `warmup`. Django has to know it (`ALLOWED_HOSTS`).",
    ),
    read: warmup::host,
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
pub static APP_OUTPUT: Opt<AppOutput> = Opt {
    spec: Spec::new(
        "output",
        Unit::Text("\"log\" or \"raw\""),
        Default::Described("`\"log\"`; `\"raw\"` with `dev`, unless `error_log` is a file"),
        "What the application writes to its standard output and error: \"log\" puts it into the diagnostic log line by line, with time and worker; \
         \"raw\" leaves it as it is, standard output to the server's own and standard error likewise, for lines of JSON that something collects. \
         With `daemon` there is nowhere else than the log. Gunicorn's `--capture-output` is \"log\", and its `-R` is \"raw\".",
    )
    .elsewhere(&["capture_output", "enable_stdio_inheritance"]),
    read: read::app_output,
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
        assert_defaults!(WSGI CHDIR PYTHONPATH PYTHON WORKERS SCALE_MIN SCALE_MAX SCALE_WAIT SCALE_IDLE THREADS TIMEOUT LIVENESS_TIMEOUT BOOT_TIMEOUT GRACEFUL_TIMEOUT PRELOAD_APP SPARE_WORKER RELOAD RELOAD_EXTRA_FILES DEV WORKER_LOOP APP_OUTPUT QUEUE QUEUE_TIMEOUT OVERLOAD_TIMEOUT RETRY_SAFE RAW_ENV SPOOL_DIR RESPONSE_BUFFER RESPONSE_SPOOL_MAX);
        assert_defaults!(RELOAD_MODE WARMUP WARMUP_STATUS WARMUP_TIMEOUT WARMUP_HOST MAX_REQUESTS MAX_REQUESTS_JITTER MAX_LIFETIME MAX_RSS);
    }
}
