//! Options of `[supervisor]`: what holds for all programs.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::read;
use crate::config::value::Value;
use std::path::PathBuf;

pub static SUPERVISOR: Section = Section {
    name: "supervisor",
    header: "[supervisor]",
    doc: "What holds for all programs.",
    options: &[&SUPERVISOR_ENVIRONMENT.spec, &SUPERVISOR_CHILDLOGDIR.spec],
};

pub static SUPERVISOR_ENVIRONMENT: Opt<Value> = Opt {
    spec: Spec::new(
        "environment",
        Unit::Text("a table, or a string `NAME=\"value\",NAME2=\"value2\"`"),
        Default::Described("none"),
        "Variables that are added to maitred's own for every program; `%(ENV_NAME)s` finds them, and a program's own `environment` wins.",
    ),
    read: read::raw,
};
pub static SUPERVISOR_CHILDLOGDIR: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "childlogdir",
        Unit::Path,
        Default::Described("the directory for temporary files"),
        "Where the files of `AUTO` are made.",
    ),
    read: read::path,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(SUPERVISOR_ENVIRONMENT SUPERVISOR_CHILDLOGDIR);
    }
}
