//! Builds what `src/wsgi/source.rs` embeds for the workers: the native loop (`src/wsgi/native`), with the system's C compiler, and the byte code of
//! the sources in Python (`src/wsgi/worker`), with each Python that is there.
//!
//! Needs neither. `python.h` declares the stable ABI; without a compiler, or if it fails, the result is an empty file and a warning, and workers run the
//! loop in Python. An interpreter for whose version there is no byte code compiles the sources at each start, which takes some 20 ms.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const SOURCES: &str = "src/wsgi/native";
const WORKER: &str = "src/wsgi/worker";

/// Interpreters that compile the worker, if they are there, unless the variable `MAITRED_PYTHONS` names others, with `:` between them.
const PYTHONS: &str = "python3:python3.9:python3.10:python3.11:python3.12:python3.13:python3.14";

/// Writes the magic number of the interpreter's byte code in hexadecimal, a line's end, and a `marshal` dict from module name to code.
const COMPILE: &str = "\
import importlib.util, marshal, os, sys
folder, codes = sys.argv[1], {}
for file in sorted(os.listdir(folder)):
    if file.endswith('.py'):
        with open(os.path.join(folder, file), encoding='ascii') as source:
            codes[file[:-3]] = compile(source.read(), '<maitred>/' + file, 'exec')
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER.hex().encode() + b'\\n' + marshal.dumps(codes))
";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCES}");
    println!("cargo::rerun-if-changed={WORKER}");
    println!("cargo::rerun-if-env-changed=MAITRED_PYTHONS");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    compile_worker(&out);
    let object = out.join("maitred_native.so");
    if let Err(reason) = build(&object) {
        println!("cargo::warning=built without the workers' native loop, they will run the one in Python: {reason}");
        fs::write(&object, b"").expect("OUT_DIR is writable");
    }
}

/// Makes `worker_code.rs`: pairs of a magic number and a file with byte code.
fn compile_worker(out: &Path) {
    let pythons = env::var("MAITRED_PYTHONS").unwrap_or_else(|_| PYTHONS.to_owned());
    let (mut known, mut list) = (Vec::new(), String::from("&[\n"));
    for python in pythons.split(':').filter(|python| !python.is_empty()) {
        let output = Command::new(python).args(["-I", "-S", "-c", COMPILE, WORKER]).output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else { continue };
        let mut parts = output.stdout.splitn(2, |&byte| byte == b'\n');
        let magic = parts.next().and_then(|magic| std::str::from_utf8(magic).ok()).unwrap_or_default().to_owned();
        let Some(codes) = parts.next().filter(|_| magic.len() == 8 && !known.contains(&magic)) else { continue };
        let file = format!("worker_{magic}.marshal");
        fs::write(out.join(&file), codes).expect("OUT_DIR is writable");
        writeln!(list, "    ({magic:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))),").expect("a String");
        known.push(magic);
    }
    list.push(']');
    fs::write(out.join("worker_code.rs"), list).expect("OUT_DIR is writable");
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
