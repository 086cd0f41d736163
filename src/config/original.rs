//! For tests: what Python's own parsers make of the same texts.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What `program`, which reads JSON and prints JSON, says of `given`.
pub(super) fn python<T: DeserializeOwned>(program: &str, given: &impl Serialize) -> T {
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let given = serde_json::to_vec(given).expect("strings");
    python.stdin.take().expect("piped").write_all(&given).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
