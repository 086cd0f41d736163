//! `[app]`: from its table to [`AppConfig`].
//!
//! Owns the search for the application and its interpreter; runs neither.

use std::path::{Path, PathBuf};

use super::error::Problem;
use super::hooks::hooks;
use super::merge::FILE_DEFAULT;
use super::section::{Bases, Reader};
use super::sources::Surroundings;
use super::types::{AppConfig, AppOutput, AppTarget, AutoscaleConfig, LogLevel, ServerConfig};
use super::value::{Place, Table};
use super::warmup::warmup;
use super::{django, options, python};

/// Threads of the one worker in development, unless they are given.
const DEVELOPMENT_THREADS: usize = 4;

/// What the search for an application has to go by.
pub struct Search<'a> {
    /// `chdir`, if it is not given.
    pub directory: &'a Path,
    /// Whether finding none is a problem.
    pub necessary: bool,
    /// The config file, for the message.
    pub file: Option<&'a Path>,
    /// What is said of the server.
    pub server: &'a ServerConfig,
}

/// Reads `[app]` and looks for what it does not say. `None` if no application was found; that is a problem if one is
/// necessary.
pub fn app(
    table: Table,
    search: &Search<'_>,
    bases: Bases<'_>,
    around: &Surroundings,
    problems: &mut Vec<Problem>,
) -> Option<AppConfig> {
    let mut table = table;
    let hooks = hooks(table.take(options::HOOKS.spec.name), bases, problems);
    let mut reader = Reader::new(table, "app", options::APP.options, bases, problems);
    let names_target = reader.has(&options::WSGI);
    let named = reader.optional(&options::WSGI);
    let raw_env = reader.value(&options::RAW_ENV);
    let chdir = match reader.placed(&options::CHDIR) {
        Some((chdir, place)) if !chdir.is_dir() => {
            reader.problem(place, options::CHDIR.spec.name, format!("{} is not a directory", chdir.display()));
            chdir
        }
        Some((chdir, _)) => chdir,
        None => search.directory.to_owned(),
    };
    let target = match named {
        Some(target) => Some(target),
        // What is named wrongly has been reported.
        None if names_target => None,
        None => find_target(&mut reader, &chdir, &raw_env, search, around),
    };
    if target.is_none() && !names_target && !search.necessary {
        return None;
    }
    let python = find_python(&mut reader, &chdir, around);
    let dev = reader.value(&options::DEV);
    // Whoever looks at a request with a debugger is not to be hurried.
    let timeout = if dev && !reader.has(&options::TIMEOUT) { None } else { reader.value(&options::TIMEOUT) };
    let (workers, autoscale) = workers(&mut reader, if dev { 1 } else { around.cpus + 1 });
    let config = AppConfig {
        // Both stand-ins go with a problem, after which nobody uses the configuration.
        wsgi: target.unwrap_or_else(|| AppTarget::Named(String::new())),
        python: python
            .unwrap_or_else(|| python::Interpreter { path: PathBuf::new(), source: python::InterpreterSource::Path }),
        chdir,
        pythonpath: reader.value(&options::PYTHONPATH),
        workers,
        autoscale,
        // A page that asks its own server for something must not wait for itself.
        threads: if dev && !reader.has(&options::THREADS) {
            DEVELOPMENT_THREADS
        } else {
            reader.value(&options::THREADS)
        },
        timeout,
        liveness_timeout: reader.value(&options::LIVENESS_TIMEOUT),
        boot_timeout: reader.value(&options::BOOT_TIMEOUT),
        graceful_timeout: reader.value(&options::GRACEFUL_TIMEOUT),
        preload_app: reader.value(&options::PRELOAD_APP),
        spare_worker: reader.value(&options::SPARE_WORKER),
        reload: reader.optional(&options::RELOAD).unwrap_or(dev),
        reload_extra_files: reader.value(&options::RELOAD_EXTRA_FILES),
        dev,
        reload_mode: reader.value(&options::RELOAD_MODE),
        warmup: warmup(&mut reader),
        max_requests: Some(reader.value(&options::MAX_REQUESTS)).filter(|requests| *requests > 0),
        max_requests_jitter: reader.value(&options::MAX_REQUESTS_JITTER),
        max_lifetime: reader.value(&options::MAX_LIFETIME),
        max_rss_bytes: Some(reader.value(&options::MAX_RSS)).filter(|bytes| *bytes > 0),
        worker_loop: reader.value(&options::WORKER_LOOP),
        output: output(&mut reader, dev, search.server),
        log_level: search.server.log_level.unwrap_or(LogLevel::Info),
        queue: reader.value(&options::QUEUE),
        queue_timeout: reader.optional(&options::QUEUE_TIMEOUT).unwrap_or(timeout),
        overload_timeout: reader.value(&options::OVERLOAD_TIMEOUT),
        retry_safe: reader.value(&options::RETRY_SAFE),
        raw_env,
        spool_dir: spool_dir(&mut reader, around),
        response_buffer_bytes: reader.value(&options::RESPONSE_BUFFER) as usize,
        response_spool_bytes_max: reader.value(&options::RESPONSE_SPOOL_MAX),
        hooks,
        program: None,
    };
    reader.finish();
    Some(config)
}

/// In the background there is nobody but the log. Whoever develops reads tracebacks at the terminal.
fn output(reader: &mut Reader<'_>, dev: bool, server: &ServerConfig) -> AppOutput {
    match reader.optional(&options::APP_OUTPUT) {
        _ if server.daemon => AppOutput::Log,
        Some(output) => output,
        None if dev && server.error_log.is_none() => AppOutput::Raw,
        None => AppOutput::Log,
    }
}

/// How many workers there are to begin with, and whether that follows the load.
fn workers(reader: &mut Reader<'_>, default: usize) -> (usize, Option<AutoscaleConfig>) {
    let given = reader.placed(&options::WORKERS);
    let workers = given.as_ref().map_or(default, |(workers, _)| *workers);
    let (min, max) = (reader.placed(&options::SCALE_MIN), reader.placed(&options::SCALE_MAX));
    let (wait, idle) = (reader.placed(&options::SCALE_WAIT), reader.placed(&options::SCALE_IDLE));
    let Some((max, place)) = max else {
        let idle_keys = [
            (options::SCALE_MIN.spec.name, min.map(|(_, place)| place)),
            (options::SCALE_WAIT.spec.name, wait.map(|(_, place)| place)),
            (options::SCALE_IDLE.spec.name, idle.map(|(_, place)| place)),
        ];
        for (key, place) in idle_keys {
            if let Some(place) = place {
                reader.problem(place, key, "has an effect only with \"workers_max\"");
            }
        }
        return (workers, None);
    };
    let min = min.map_or(1, |(min, _)| min);
    if min > max {
        reader.problem(place, options::SCALE_MAX.spec.name, format!("is less than \"workers_min\", {min}"));
    } else if let Some((workers, place)) = given.filter(|(workers, _)| !(min..=max).contains(workers)) {
        let message = format!("{workers} is not between \"workers_min\" and \"workers_max\", {min} and {max}");
        reader.problem(place, options::WORKERS.spec.name, message);
    }
    let wait = wait.map_or_else(|| reader.value(&options::SCALE_WAIT), |(wait, _)| wait);
    let idle = idle.map_or_else(|| reader.value(&options::SCALE_IDLE), |(idle, _)| idle);
    (workers.clamp(min.min(max), max), Some(AutoscaleConfig { min, max, wait, idle }))
}

/// Where large bodies go; it must be there, or the server could not even start.
fn spool_dir(reader: &mut Reader<'_>, around: &Surroundings) -> PathBuf {
    let (directory, place) = reader.placed(&options::SPOOL_DIR).unwrap_or_else(|| {
        let temporary = around.path("TMPDIR").unwrap_or(Path::new("/tmp"));
        (around.directory.join(temporary), Place::Nowhere)
    });
    if !directory.is_dir() {
        reader.problem(place, options::SPOOL_DIR.spec.name, format!("{} is not a directory", directory.display()));
    }
    directory
}

/// Django's application, by the variable that names its settings or by `manage.py`.
fn find_target(
    reader: &mut Reader<'_>,
    chdir: &Path,
    raw_env: &[(String, String)],
    search: &Search<'_>,
    around: &Surroundings,
) -> Option<AppTarget> {
    let own = raw_env.iter().rev().find(|(name, _)| name == django::VARIABLE);
    let variable = own.map(|(_, value)| value.as_str()).or_else(|| around.text(django::VARIABLE));
    match django::settings(chdir, variable) {
        Ok(Some(settings)) => return Some(AppTarget::Django { settings }),
        Ok(None) if !search.necessary => {}
        Ok(None) => {
            let file = match search.file {
                Some(file) => format!("[app] wsgi in {}", file.display()),
                None => format!("./{FILE_DEFAULT}"),
            };
            let message = format!(
                "no application found: looked for APP on the command line, {file}, {} in the environment and {}; \
                 name the application, as in `maitred serve mysite.wsgi`, or serve files alone, as in \
                 `maitred serve --static /=./public`",
                django::VARIABLE,
                chdir.join("manage.py").display()
            );
            reader.problem(Place::Nowhere, "", message);
        }
        Err(message) => reader.problem(Place::Nowhere, "", message),
    }
    None
}

fn find_python(reader: &mut Reader<'_>, chdir: &Path, around: &Surroundings) -> Option<python::Interpreter> {
    let names_python = reader.has(&options::PYTHON);
    let configured = reader.placed(&options::PYTHON);
    if names_python && configured.is_none() {
        return None;
    }
    let (configured, place) = match configured {
        Some((named, place)) => (Some(named), place),
        None => (None, Place::Nowhere),
    };
    let named = configured.as_ref().map(|(name, base)| (name.as_str(), base.as_path()));
    let path_variable = around.path("PATH").map(Path::as_os_str);
    match python::find(named, around.path("VIRTUAL_ENV"), chdir, path_variable) {
        Ok(python) => Some(python),
        Err(message) => {
            reader.problem(place, options::PYTHON.spec.name, message);
            None
        }
    }
}
