//! What a configuration is made from beside its file: the flags and the process's surroundings.
//!
//! Owns their types, which tests fill in by hand; knows no option.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::gunicorn::{GunicornFile, Setting};
use super::types::LogLevel;

/// What the command line says; `None`, empty or false where it says nothing.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The config file.
    pub config: Option<PathBuf>,
    /// A `supervisord.conf` whose programs are looked after too.
    pub supervisord_conf: Option<PathBuf>,
    /// `module:attribute`.
    pub app: Option<String>,
    /// Listen addresses.
    pub bind: Vec<String>,
    /// Worker processes.
    pub workers: Option<i64>,
    /// Threads of a worker.
    pub threads: Option<i64>,
    /// A duration.
    pub timeout: Option<String>,
    /// A duration.
    pub graceful_timeout: Option<String>,
    /// The application's directory.
    pub chdir: Option<String>,
    /// Directories to import from.
    pub pythonpath: Option<String>,
    /// The interpreter.
    pub python: Option<String>,
    /// `URL=DIRECTORY` each.
    pub statics: Vec<String>,
    /// A number or `auto`.
    pub shards: Option<String>,
    /// Least serious messages that are logged.
    pub log_level: Option<LogLevel>,
    /// Do not import the application before forking.
    pub no_preload: bool,
    /// For development.
    pub dev: bool,
    /// `NAME=VALUE` each.
    pub env: Vec<String>,
    /// Programs by their names, and how many processes each is to have.
    pub scales: Vec<(String, i64)>,
    /// Further settings, by the names that Gunicorn gives them, in their order.
    pub settings: Vec<GivenFlag>,
    /// What the config file said, if it is a `gunicorn.conf.py`.
    pub gunicorn_file: Option<GunicornFile>,
    /// Where these come from.
    pub source: Source,
    /// What the source below says; these flags win over it.
    pub under: Option<Box<Flags>>,
}

/// A flag of one of Gunicorn's settings.
#[derive(Debug, Clone)]
pub struct GivenFlag {
    /// Which.
    pub setting: &'static Setting,
    /// What was given with it: nothing for one that takes nothing, all values of one that may be repeated.
    pub values: Vec<String>,
}

impl Flags {
    /// The variables that say anything and these flags, each of which wins over those before it.
    pub(super) fn layers(&self) -> impl Iterator<Item = (&Flags, Source)> {
        let mut layers: Vec<_> = std::iter::successors(Some(self), |flags| flags.under.as_deref()).collect();
        layers.reverse();
        layers.into_iter().map(|flags| (flags, flags.source))
    }

    /// Whether `source` says anything.
    pub fn has(&self, source: Source) -> bool {
        self.layers().any(|(_, found)| found == source)
    }

    /// The config file that is named.
    pub fn config_file(&self) -> Option<&Path> {
        self.layers().filter_map(|(flags, _)| flags.config.as_deref()).last()
    }

    /// The `supervisord.conf` that is named.
    pub(super) fn supervisord_file(&self) -> Option<&Path> {
        self.layers().filter_map(|(flags, _)| flags.supervisord_conf.as_deref()).last()
    }
}

/// Where flags come from; each wins over those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Source {
    /// `GUNICORN_CMD_ARGS`, which images and hosts set for Gunicorn.
    GunicornVariable,
    /// `MAITRED_CMD_ARGS`.
    Variable,
    /// The command line.
    #[default]
    CommandLine,
}

impl Source {
    /// The environment variable that it is, if it is one.
    #[must_use]
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Source::GunicornVariable => Some("GUNICORN_CMD_ARGS"),
            Source::Variable => Some("MAITRED_CMD_ARGS"),
            Source::CommandLine => None,
        }
    }
}

/// What the process finds around it. A value, so that tests need not change their own process.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Working directory, absolute.
    pub directory: PathBuf,
    /// Environment variables.
    pub variables: HashMap<String, OsString>,
    /// CPUs that this process may use, at least 1.
    pub cpus: usize,
}

impl Surroundings {
    /// Those of this process.
    ///
    /// # Errors
    /// The working directory no longer exists or cannot be read.
    pub fn of_process() -> std::io::Result<Surroundings> {
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Ok(Surroundings { directory: std::env::current_dir()?, variables: variables.collect(), cpus: usable_cpus() })
    }

    /// A variable that is set, not empty and UTF-8.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.to_str().filter(|value| !value.is_empty())
    }

    /// A variable that is set and not empty.
    pub(super) fn path(&self, name: &str) -> Option<&Path> {
        self.variables.get(name).filter(|value| !value.is_empty()).map(Path::new)
    }
}

/// CPUs of the process's affinity mask, or fewer where a cgroup grants fewer.
fn usable_cpus() -> usize {
    let mask = core_affinity::get_core_ids().map(|ids| ids.len()).filter(|count| *count > 0);
    let quota = std::thread::available_parallelism().ok().map(usize::from);
    mask.into_iter().chain(quota).min().unwrap_or(1)
}
