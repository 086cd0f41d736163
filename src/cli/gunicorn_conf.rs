//! Reads a `gunicorn.conf.py`: the application's interpreter evaluates it, in a process of its own that is killed when it takes too long.
//!
//! Owns what tells such a file from a `maitred.toml`. What its settings mean is told by [`crate::config::gunicorn`].

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::probe;
use crate::base::bounds::CONFIG_FILE_BYTES_MAX;
use crate::config::gunicorn::{self, ConfProgram, GunicornFile};
use crate::config::{FILE_DEFAULT, Flags, Surroundings, interpreter_of, is_toml};

/// A file is evaluated within this.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What Gunicorn reads in the working directory when it is told of no file.
const USUAL_NAME: &str = "gunicorn.conf.py";
const SCRIPT: &str = include_str!("read_gunicorn_conf.py");

#[derive(Deserialize)]
struct Answer {
    settings: Vec<(String, serde_json::Value)>,
    callables: Vec<String>,
    odd: Vec<String>,
}

/// Whether `place` is for Python to read: a name that ends in `.py`, one of the forms `file:NAME` and `python:MODULE`, or a file of another name than
/// `….toml` that is no configuration of ours.
fn is_python(place: &str, directory: &Path) -> bool {
    if place.ends_with(".py") || place.starts_with("python:") || place.starts_with("file:") {
        return true;
    }
    // A pipe can be read once only.
    let file = directory.join(place);
    let is_candidate = !place.ends_with(".toml") && file.is_file();
    let mut text = String::new();
    let mut read = || File::open(&file)?.take(CONFIG_FILE_BYTES_MAX).read_to_string(&mut text);
    is_candidate && read().is_ok() && !is_toml(&text)
}

/// The file that Gunicorn would read by itself, if it is there and nothing is read in its place.
pub fn overlooked(flags: &Flags) -> Option<&'static str> {
    let is_there = |name: &str| Path::new(name).exists();
    let is_overlooked = flags.config_file().is_none() && !is_there(FILE_DEFAULT) && is_there(USUAL_NAME);
    is_overlooked.then_some(USUAL_NAME)
}

/// Puts what the config file says into `flags`, if that is a `gunicorn.conf.py`. Returns what it has printed.
///
/// # Errors
/// Python's traceback, below a line that names the file; or a sentence.
pub fn add(flags: &mut Flags, around: &Surroundings) -> Result<String, String> {
    let named = flags.config_file().map(|file| file.display().to_string());
    let Some(place) = named.filter(|place| is_python(place, &around.directory)) else {
        return Ok(String::new());
    };
    let python = interpreter_of(flags, around).map_err(|message| format!("{place}: {message}"))?;
    let names: Vec<_> = gunicorn::all().map(|setting| setting.name).collect();
    let mut command = Command::new(&python.path);
    command.args(["-c", SCRIPT, &place, &names.join(",")]).current_dir(&around.directory);
    let outcome =
        probe::run(&mut command, TIMEOUT).map_err(|error| format!("{place}: {}: {error}", python.path.display()))?;
    if !outcome.status.success() {
        return Err(format!("{place}: cannot be evaluated ({})\n{}", python.path.display(), outcome.stderr.trim_end()));
    }
    let answer: Answer = serde_json::from_str(&outcome.stdout).map_err(|error| format!("{place}: {error}"))?;
    let (file, module) = match place.strip_prefix("python:") {
        Some(module) => (None, Some(module.to_owned())),
        None => (Some(around.directory.join(place.strip_prefix("file:").unwrap_or(&place))), None),
    };
    let callables_place = module.clone().or(file.as_ref().map(|file| file.display().to_string())).unwrap_or_default();
    let program = ConfProgram { file, module, directory: around.directory.clone() };
    let Answer { settings, callables, odd } = answer;
    flags.gunicorn_file = Some(GunicornFile { name: place, settings, callables, callables_place, odd, program });
    Ok(outcome.stderr)
}
