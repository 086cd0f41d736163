//! The command line: what a person types and reads.
//!
//! Owns arguments, messages and exit codes. Called by `main` alone; everything that lasts happens in the layers below.

mod args;
pub mod background;
pub mod cert;
pub mod check;
mod check_programs;
mod control_sockets;
pub mod ctl;
mod environment;
mod gunicorn_conf;
mod gunicorn_flags;
pub mod import;
pub mod log;
mod opened;
mod passed;
mod pidfile;
pub mod precompress;
mod privileges;
mod probe;
mod rlimits;
pub mod serve;

use std::fmt::Display;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

pub use args::{Asks, Cli, Command, Options};

use crate::config::{Config, ConfigErrors, Flags, Surroundings, load};

/// Exit code for a configuration, arguments or an environment with which the server cannot start.
pub const EXIT_UNUSABLE: u8 = 2;

/// The checked configuration that `options` ask for; what is wrong goes to stderr.
///
/// # Errors
/// The exit code.
pub fn configure(options: &Options) -> Result<Config, ExitCode> {
    let (config, printed) = read(options.flags()).map_err(|message| {
        complain(message);
        ExitCode::from(EXIT_UNUSABLE)
    })?;
    // Where an application is served, its processes execute the file too, and the log has it from them.
    if options.asks_only().is_some() || config.app.is_none() {
        repeat(&printed);
    }
    Ok(config)
}

/// Shows what a `gunicorn.conf.py` has printed.
fn repeat(printed: &str) {
    if !printed.trim_end().is_empty() {
        complain(printed.trim_end());
    }
}

/// The checked configuration and what a `gunicorn.conf.py` has printed, or one line for each thing that is wrong.
fn read(mut flags: Flags) -> Result<(Config, String), String> {
    let around = Surroundings::of_process()
        .map_err(|error| format!("maitred: the working directory cannot be used: {error}; change to another one"))?;
    let printed = gunicorn_conf::add(&mut flags, &around)?;
    load(&flags, &around).map(|config| (config, printed.clone())).map_err(|errors: ConfigErrors| {
        repeat(&printed);
        errors.to_string()
    })
}

/// Writes a line to stdout. That nobody may be reading any more is no reason to fail.
pub fn tell(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// Writes a line to stderr. That nobody may be reading any more is no reason to fail.
pub fn complain(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// The configuration read anew while the server runs, with so many processes of these programs.
pub(crate) fn reconfigure(options: &Options, scales: &[(String, i64)]) -> Result<Config, String> {
    read(Flags { scales: scales.to_vec(), ..options.flags() }).map(|(config, _)| config)
}
