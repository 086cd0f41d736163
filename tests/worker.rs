//! The Python worker, driven by a test-suite in Python (`tests/worker`) that plays the server.
//!
//! Runs under `python3` and under every other supported CPython that is on PATH.

use std::process::Command;

/// Oldest and newest minor version of CPython 3 that workers run on.
const MINORS: std::ops::RangeInclusive<u32> = 9..=14;

/// `python3.N` for the N that are there and start (a version manager leaves shims that do not).
fn interpreters() -> Vec<String> {
    let mut found = vec!["python3".to_owned()];
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

#[test]
fn the_worker_keeps_its_side_of_the_protocol() {
    let code = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(code.path(), maitred::wsgi::source::code()).expect("the code is written");
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker");
    let interpreters = interpreters();
    assert!(!interpreters.is_empty(), "python3 is required to run the tests");
    for interpreter in interpreters {
        let output = Command::new(&interpreter)
            .args(["-B", "-m", "unittest", "discover", "-s", directory])
            .env("MAITRED_CODE", code.path())
            .env("MAITRED_BOOTSTRAP", maitred::wsgi::source::BOOTSTRAP)
            .output()
            .expect("it started a moment ago");
        assert!(output.status.success(), "{interpreter}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
