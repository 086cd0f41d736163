//! What control clients see of a process: a program's, or a worker of the pool, in the same shape.

use crate::supervise::programs::machine::{ProcessId, State};

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervise) enum Unit {
    Program(ProcessId),
    /// The worker in this slot of the pool.
    Worker(u32),
}

/// How a process stands.
#[derive(Clone, Debug)]
pub(in crate::supervise) struct View {
    pub unit: Unit,
    pub group: String,
    pub name: String,
    pub state: State,
    /// A stop has something to do.
    pub is_stoppable: bool,
    /// 0 without a process.
    pub pid: i32,
    /// Seconds since 1970; 0: never.
    pub started: u64,
    pub ended: u64,
    pub error: String,
    pub exit_status: i32,
    /// Empty where there is no file.
    pub stdout_logfile: String,
    pub stderr_logfile: String,
}

impl View {
    /// `group:name`, or the name alone where both are the same.
    pub fn full_name(&self) -> String {
        if self.group == self.name { self.name.clone() } else { format!("{}:{}", self.group, self.name) }
    }
}

/// A name as people write it: the group, and the process in it unless all are meant.
pub(in crate::supervise) fn split_name(name: &str) -> (&str, Option<&str>) {
    match name.split_once(':') {
        Some((group, "" | "*")) => (group, None),
        Some((group, process)) => (group, Some(process)),
        None => (name, Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_supervisord_does() {
        assert_eq!(split_name("a"), ("a", Some("a")));
        assert_eq!(split_name("a:b"), ("a", Some("b")));
        assert_eq!(split_name("a:b:c"), ("a", Some("b:c")));
        assert_eq!((split_name("a:*"), split_name("a:")), (("a", None), ("a", None)));
        assert_eq!(split_name(""), ("", Some("")));
    }
}
