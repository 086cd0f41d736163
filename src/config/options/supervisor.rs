//! Options of `[supervisor]`: what holds for all programs.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::process::Orphans;
use crate::config::value::Value;
use crate::config::{program_values, read};
use std::path::PathBuf;

pub static SUPERVISOR: Section = Section {
    name: "supervisor",
    header: "[supervisor]",
    doc: "What holds for all programs.",
    options: &[&SUPERVISOR_ENVIRONMENT.spec, &SUPERVISOR_CHILDLOGDIR.spec, &SUPERVISOR_ORPHANS.spec],
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

pub static SUPERVISOR_ORPHANS: Opt<Orphans> = Opt {
    spec: Spec::new(
        "orphans",
        Unit::Text("\"end\", \"adopt\" or \"leave\""),
        Default::Toml("\"end\""),
        "What becomes at the start of programs that an earlier maitred with this configuration has left running when it was killed. \"end\": each is \
         asked to stop as usual, and killed at the end of `stopwaitsecs`, before it is started anew. \"adopt\": each goes on as RUNNING, with its process \
         id and its pipes, and is looked after like any other. Its exit status is its new parent's to know, so its end counts as unexpected. While no maitred \
         is there, what it writes meets a pipe that nobody reads (SIGPIPE), and what it reads from its standard input is the end of it. One whose command, environment or other means of starting have changed, or that \
         tells of itself by sd_notify, is ended instead. \"leave\": it is left alone, and runs twice.",
    ),
    read: program_values::orphans,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(SUPERVISOR_ENVIRONMENT SUPERVISOR_CHILDLOGDIR SUPERVISOR_ORPHANS);
    }
}
