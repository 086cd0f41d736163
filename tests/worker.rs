//! The Python worker, driven by a test-suite in Python (`tests/worker`) that plays the server.
//!
//! Runs with either inner loop under `python3`, the distribution's too, and under every other supported CPython that is on PATH.

use std::path::Path;
use std::process::{Command, Stdio};

use maitred::wsgi::source;

/// Oldest and newest minor version of CPython 3 that workers run on.
const MINORS: std::ops::RangeInclusive<u32> = 9..=14;

/// `python3.N` for the N that are there and start (a version manager leaves shims that do not).
fn interpreters() -> Vec<String> {
    let mut found = vec!["python3".to_owned(), "/usr/bin/python3".to_owned()];
    found.extend(MINORS.map(|minor| format!("python3.{minor}")));
    let mut versions = Vec::new();
    found.retain(|name| {
        let program = "import sys; print(sys.version_info[:3])";
        let Ok(output) = Command::new(name).args(["-c", program]).output() else {
            return false;
        };
        let known = versions.contains(&output.stdout);
        versions.push(output.stdout);
        output.status.success() && !known
    });
    found
}

/// The worker's two inner loops (`worker_loop` in the configuration).
const LOOPS: [&str; 2] = ["native", "python"];

/// A command that runs Python in `tests/worker` with the embedded worker at hand.
fn python(interpreter: &str, worker_loop: &str, code: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command
        .arg("-B")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker"))
        .env("MAITRED_CODE", code)
        .env("MAITRED_BOOTSTRAP", source::BOOTSTRAP)
        .env("MAITRED_LOOP", worker_loop);
    command
}

fn code_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), source::code()).expect("the code is written");
    file
}

#[test]
fn the_worker_keeps_its_side_of_the_protocol() {
    let code = code_file();
    let interpreters = interpreters();
    assert!(!interpreters.is_empty(), "python3 is required to run the tests");
    // At once: the tests mostly wait for processes.
    let start = |interpreter: &String, worker_loop| {
        python(interpreter, worker_loop, code.path())
            .args(["-m", "unittest"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it started a moment ago")
    };
    let running: Vec<_> = interpreters
        .iter()
        .flat_map(|interpreter| LOOPS.map(|worker_loop| (interpreter, worker_loop, start(interpreter, worker_loop))))
        .collect();
    for (interpreter, worker_loop, child) in running {
        let output = child.wait_with_output().expect("the interpreter ends");
        let report = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{interpreter}, {worker_loop} loop:\n{report}");
    }
}

/// `cargo test --test worker -- --ignored --nocapture` prints the worker's CPU time for a request.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let code = code_file();
    for interpreter in interpreters() {
        for worker_loop in LOOPS {
            let status = python(&interpreter, worker_loop, code.path()).arg("measure.py").status();
            assert!(status.expect("it started a moment ago").success());
        }
    }
}
