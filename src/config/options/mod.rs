//! One declaration per option: name, unit with bounds, default, reader, one line of documentation.
//!
//! Unknown-key messages, defaults, the help of the flags and `docs/configuration.md` all come from here. Each section has
//! a file of its own. Owns no code but the declarations; the readers are in [`super::read`].

mod access_log;
mod acme;
mod admin;
mod app;
mod control;
mod guard;
mod hooks;
mod listen;
mod maintenance;
mod process_wide;
mod program;
mod program_care;
mod program_limits;
mod program_output;
mod proxies;
mod route;
mod server;
mod static_route;
mod supervisor;
mod tls;

pub use access_log::*;
pub use acme::*;
pub use admin::*;
pub use app::*;
pub use control::*;
pub use guard::*;
pub use hooks::*;
pub use listen::*;
pub use maintenance::*;
pub use process_wide::*;
pub use program::*;
pub use program_care::*;
pub use program_limits::*;
pub use program_output::*;
pub use proxies::*;
pub use route::*;
pub use server::*;
pub use static_route::*;
pub use supervisor::*;
pub use tls::*;

use super::value::Value;
use std::path::Path;

/// What an option takes, with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Count { min: u64, max: u64 },
    /// A whole number that may be negative.
    Integer { min: i64, max: i64 },
    /// A whole number or `"auto"`.
    CountOrAuto { min: u64, max: u64 },
    /// A duration within the bounds of timeouts.
    Duration,
    /// The same, or 0 for none at all.
    DurationOrNever,
    /// A duration that may be zero, up to the longest timeout.
    Span,
    /// Bytes.
    Size { max: u64 },
    /// A string, described.
    Text(&'static str),
    /// A string or a list of strings, described.
    Texts(&'static str),
    /// A path.
    Path,
    /// A value of more than one kind, or a table, described.
    Described(&'static str),
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
pub static SECTIONS: [&Section; 18] = [
    &SERVER,
    &LISTEN_TABLE,
    &ACCESS_LOG_TABLE,
    &MAINTENANCE,
    &TLS,
    &ACME,
    &ADMIN,
    &CONTROL,
    &APP,
    &HOOKS_TABLE,
    &ROUTE,
    &LIMIT_TABLE,
    &CONNECTIONS_TABLE,
    &AUTH_TABLE,
    &SUPERVISOR,
    &PROGRAM,
    &CHECK,
    &GROUP,
];

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
