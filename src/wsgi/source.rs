//! The worker's Python sources, their byte code, and its native loop, embedded in the program and handed to interpreters in a memfd.
//!
//! Owns the packing and the command that unpacks it; the caller makes the memfd and spawns the interpreter
//! (`PYTHON -c BOOTSTRAP control=3 code=4 inbox=5 scoreboard=6 outbox=7 replies=8,9`).

use include_dir::{Dir, include_dir};

use super::marshal;

static WORKER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/wsgi/worker");

/// The native loop (`src/wsgi/native`) as a shared object, built by `build.rs`; empty if there was no C compiler.
static NATIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/maitred_native.so"));

/// The sources' byte code for some versions of CPython, by its magic number; made by `build.rs` of what interpreters there are.
static CODE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/worker_code.rs"));

/// What the interpreter is told to run (`-c`): reads [`code`] from the descriptor named `code` on its command line and goes on
/// in `worker/bootstrap.py`. One line, because it shows in `ps`.
pub const BOOTSTRAP: &str = "import marshal,os,sys;d=int(dict(a.split('=')for a in sys.argv[1:])['code']);\
    s=marshal.loads(os.pread(d,os.fstat(d).st_size,0));exec(compile(s['bootstrap'],'<maitred>/bootstrap.py','exec'))";

/// The content of the code memfd: a `marshal` dict from module name to source text, from `native.so` to the native loop, and from `code:` with a magic
/// number to byte code.
#[must_use]
pub fn code() -> Vec<u8> {
    packed(None)
}

/// The same for an interpreter that only tries an application out (`worker/trial.py`); `settings` is a JSON object.
#[must_use]
pub fn trial(settings: &[u8]) -> Vec<u8> {
    packed(Some(settings))
}

fn packed(trial: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    marshal::dict(&mut out);
    if let Some(settings) = trial {
        marshal::text(&mut out, b"trial.json");
        marshal::bytes(&mut out, settings);
    }
    marshal::text(&mut out, b"native.so");
    marshal::bytes(&mut out, NATIVE);
    for (magic, code) in CODE {
        marshal::text(&mut out, format!("code:{magic}").as_bytes());
        marshal::bytes(&mut out, code);
    }
    for file in WORKER.files().filter(|file| file.path().extension().is_some_and(|extension| extension == "py")) {
        let name = file.path().file_stem().and_then(|stem| stem.to_str()).expect("our own file names are UTF-8");
        let source = file.contents_utf8().expect("our own sources are UTF-8");
        assert!(source.is_ascii(), "{name}.py must be ASCII: texts are encoded as latin-1");
        marshal::text(&mut out, name.as_bytes());
        marshal::text(&mut out, source.as_bytes());
    }
    out.push(marshal::DICT_END);
    out
}

/// Whether the native loop was built in.
#[must_use]
pub fn has_native_loop() -> bool {
    !NATIVE.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bootstrap_is_one_line_and_the_code_holds_its_module() {
        assert!(!BOOTSTRAP.contains('\n') && BOOTSTRAP.len() < 250);
        assert!(memchr::memmem::find(&code(), b"z\x09bootstrap").is_some());
    }

    #[test]
    fn the_native_loop_needs_no_library_but_the_c_library() {
        // Its dependencies stand in its string table; libpython among them would tie it to one interpreter.
        assert!(!NATIVE.is_empty(), "a C compiler is required to run the tests");
        assert!(memchr::memmem::find(NATIVE, b"PyInit_maitred_native").is_some());
        assert!(memchr::memmem::find(NATIVE, b"libpython").is_none());
    }
}
