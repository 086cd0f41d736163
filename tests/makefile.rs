//! The Makefile's check for tools: what is missing is named, with the Debian package that brings it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

/// What `make tools` asks for, after the two by which the Makefile finds the sources of the site.
const TOOLS: &[&str] = &["find", "sed", "git", "cc", "c++", "python3", "cargo"];

/// `make tools` with nothing on the `PATH` but `TOOLS` without `missing`.
fn make_tools_without(missing: &str) -> Output {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = std::env::var_os("PATH").expect("PATH is set");
    let find = |tool: &str| std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|found| found.exists());
    for tool in TOOLS.iter().filter(|tool| **tool != missing) {
        let found = find(tool).unwrap_or_else(|| panic!("{tool} is needed to build"));
        symlink(found, folder.path().join(tool)).expect("a writable folder");
    }
    Command::new(find("make").expect("make is installed"))
        .args(["tools", "PYTHON=python3"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env("PATH", folder.path())
        .output()
        .expect("make runs")
}

#[test]
fn make_names_the_debian_package_of_a_missing_tool() {
    let complete = make_tools_without("");
    assert!(!String::from_utf8_lossy(&complete.stderr).contains("is missing"), "{complete:?}");
    for (tool, package) in [("git", "git"), ("cc", "gcc libc6-dev"), ("c++", "g++"), ("python3", "python3")] {
        let output = make_tools_without(tool);
        assert!(!output.status.success(), "without {tool}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        let line = format!("make: '{tool}' is missing. On Debian: apt-get install {package}");
        assert!(told.lines().any(|found| found == line), "{line:?} is not in {told}");
    }
}
