//! Builds the workers' native loop (`src/wsgi/native`) with the system's C compiler, for `src/wsgi/source.rs` to embed.
//!
//! Needs no Python: `python.h` there declares the stable ABI. Without a compiler, or if it fails, the result is an empty file and a
//! warning, and workers run the loop in Python.

use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCES: &str = "src/wsgi/native";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCES}");
    let object = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("maitred_native.so");
    if let Err(reason) = build(&object) {
        println!("cargo::warning=built without the workers' native loop, they will run the one in Python: {reason}");
        fs::write(&object, b"").expect("OUT_DIR is writable");
    }
}

/// Compiles and links all sources at once.
fn build(object: &Path) -> Result<(), String> {
    let compiler = cc::Build::new()
        .cargo_metadata(false)
        .std("c11")
        .opt_level(2)
        .debug(false)
        .pic(true)
        .warnings(true)
        .extra_warnings(true)
        .flag_if_supported("-fvisibility=hidden")
        .try_get_compiler()
        .map_err(|error| error.to_string())?;
    let mut command = compiler.to_command();
    command.args(["-shared", "-Wl,-z,now", "-Wl,-s", "-o"]).arg(object).args(sources()?);
    let output = command.output().map_err(|error| format!("{}: {error}", compiler.path().display()))?;
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        println!("cargo::warning={line}");
    }
    if output.status.success() { Ok(()) } else { Err(format!("{}: {}", compiler.path().display(), output.status)) }
}

fn sources() -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(SOURCES).map_err(|error| format!("{SOURCES}: {error}"))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
    found.sort();
    Ok(found)
}
