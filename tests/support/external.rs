//! Clients that people use, as programs of their own. One that is not installed is left out, with a message.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a client may take on a busy machine.
const CLIENT_LIMIT: Duration = Duration::from_secs(120);

/// How a client has ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal has ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Where a program is, if it is installed.
pub fn find(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("not shown: {name} is not installed (on Debian: apt-get install {package})");
    }
    found
}

/// Runs a client to its end; what it wrote to stdout. Panics when it fails.
#[track_caller]
pub fn run(program: &Path, arguments: &[&str]) -> String {
    let ended = feed(program, arguments, b"");
    assert!(ended.code == Some(0), "{arguments:?}: {:?} {}", ended.code, ended.err);
    ended.out
}

/// Runs a client to its end in a folder of its own, with this as its standard input, which then ends.
#[track_caller]
pub fn feed(program: &Path, arguments: &[&str], input: &[u8]) -> Ended {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let file = |name: &str| folder.path().join(name);
    fs::write(file("in"), input).expect("a writable folder");
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            fs::File::open(file("in")).expect("it was just written").into()
        })
        .stdout(fs::File::create(file("out")).expect("a writable folder"))
        .stderr(fs::File::create(file("err")).expect("a writable folder"))
        .spawn()
        .expect("the client starts");
    let limit = Instant::now() + CLIENT_LIMIT;
    let status = loop {
        match child.try_wait().expect("a child of this process") {
            Some(status) => break Some(status),
            None if Instant::now() > limit => break None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if status.is_none() {
        let _gone = child.kill();
        let _gone = child.wait();
    }
    let text = |name| String::from_utf8_lossy(&fs::read(file(name)).expect("a readable file")).into_owned();
    let ended = Ended { code: status.and_then(|status| status.code()), out: text("out"), err: text("err") };
    assert!(status.is_some(), "{arguments:?} takes longer than {CLIENT_LIMIT:?}: {ended:?}");
    ended
}
