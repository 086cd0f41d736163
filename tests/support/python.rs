//! Which Python interpreter the tests use.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::repository;

/// `MAITRED_TEST_PYTHON`, else the repository's `.venv`, else `python3` of the system. The probe apps need only the
/// standard library.
pub fn interpreter() -> PathBuf {
    if let Some(chosen) = std::env::var_os("MAITRED_TEST_PYTHON") {
        return PathBuf::from(chosen);
    }
    let own = repository().join(".venv/bin/python");
    if own.exists() { own } else { PathBuf::from("python3") }
}

/// The interpreter, if Django can be imported with it; panics with the way out otherwise.
#[track_caller]
pub fn with_django() -> PathBuf {
    let python = interpreter();
    let found =
        Command::new(&python).args(["-c", "import django"]).output().is_ok_and(|output| output.status.success());
    assert!(found, "{} has no Django: run `make venv` first (or set MAITRED_TEST_PYTHON)", python.display());
    python
}

/// Runs the interpreter to its end in `folder`; panics with its output when it fails.
#[track_caller]
pub fn run(python: &Path, folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = Command::new(python)
        .args(arguments)
        .current_dir(folder)
        .envs(environment.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?} ended with {}:\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
