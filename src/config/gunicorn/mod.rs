//! Gunicorn's settings, by its names: as flags, and from a `gunicorn.conf.py` that was evaluated elsewhere.
//!
//! Owns what each of them means here and how its values are written there. Runs no Python: `cli` does, and hands over what it found.

mod apply;
mod format;
mod settings;
mod show;
mod values;

use std::path::PathBuf;

pub use apply::{Given, Tables, apply, list};
pub use settings::{Setting, Takes, all, named, with_flags};
pub use values::values;

use settings::Meaning;

use super::types::Config;
use super::value::{Place, Placed, Value};
use std::sync::Arc;

/// What a `gunicorn.conf.py` says.
#[derive(Debug, Clone, Default)]
pub struct GunicornFile {
    /// Its name as it was given.
    pub name: String,
    /// Its settings in the order in which they stand there: name and value.
    pub settings: Vec<(String, serde_json::Value)>,
    /// Names of settings that are callables.
    pub callables: Vec<String>,
    /// Where these are to be found: the file's path, or a module's name.
    pub callables_place: String,
    /// Names of settings whose values are neither.
    pub odd: Vec<String>,
    /// The file as a program.
    pub program: ConfProgram,
}

/// A `gunicorn.conf.py` as what it is beside its settings: a program that the application's processes begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfProgram {
    /// The file; `None`: it is a module.
    pub file: Option<PathBuf>,
    /// The module's name.
    pub module: Option<String>,
    /// Where it is executed.
    pub directory: PathBuf,
}

impl GunicornFile {
    /// Its settings, each with its place. A name that Gunicorn does not know is a variable of the file's own.
    pub(super) fn given(&self) -> impl Iterator<Item = Given> {
        let name: Arc<str> = self.name.as_str().into();
        let place = move |setting: &'static str| Place::Setting { file: name.clone(), name: setting };
        let place_of_callable = place.clone();
        let plain = self.settings.iter().filter_map(move |(key, value)| {
            let setting = named(key)?;
            Some(Given { setting, placed: of_json(value, &place(setting.name))? })
        });
        let callables = self.callables.iter().filter_map(move |key| {
            let setting = named(key)?;
            let value = Value::Text(format!("{}:{key}", self.callables_place));
            Some(Given { setting, placed: Placed { place: place_of_callable(setting.name), value } })
        });
        plain.chain(callables)
    }

    /// The directory that the application is in, if the file says so.
    pub(super) fn chdir(&self) -> Option<PathBuf> {
        let value = self.settings.iter().find(|(key, _)| key == "chdir")?;
        value.1.as_str().map(PathBuf::from)
    }
}

/// A value of Python's as one of ours; `None` is none.
fn of_json(value: &serde_json::Value, place: &Place) -> Option<Placed> {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => return None,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(number)) => Value::Float(number),
            (None, None) => Value::Other("a number out of range"),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().filter_map(|item| of_json(item, place)).collect()),
        Json::Object(_) => Value::Other("a dictionary"),
    };
    Some(Placed { place: place.clone(), value })
}

/// Gunicorn's names and the values in force, as its `--print-config` writes them; sorted.
pub fn print(config: &Config) -> String {
    let value = |setting: &Setting| match setting.meaning {
        Meaning::Hook(spec) => Some(show::hook(config, spec.name)),
        _ => Some((setting.shown?)(config)),
    };
    let mut shown: Vec<_> = settings::all().filter_map(|setting| Some((setting.name, value(setting)?))).collect();
    shown.sort_unstable();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown.iter().map(|(name, value)| format!("{name:width$} = {value}")).collect::<Vec<_>>().join("\n")
}
