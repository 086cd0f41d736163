//! The worker's Python sources, embedded in the program and handed to interpreters in a memfd.
//!
//! Owns the packing and the command that unpacks it; the caller makes the memfd and spawns the interpreter
//! (`PYTHON -c BOOTSTRAP control=3 code=4 inbox=5 scoreboard=6 replies=7,8`).

use include_dir::{Dir, include_dir};

use super::marshal;

static WORKER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/wsgi/worker");

/// What the interpreter is told to run (`-c`): reads [`code`] from the descriptor named `code` on its command line and goes on
/// in `worker/bootstrap.py`. One line, because it shows in `ps`.
pub const BOOTSTRAP: &str = "import marshal,os,sys;d=int(dict(a.split('=')for a in sys.argv[1:])['code']);\
    s=marshal.loads(os.pread(d,os.fstat(d).st_size,0));exec(compile(s['bootstrap'],'<maitred>/bootstrap.py','exec'))";

/// The content of the code memfd: a `marshal` dict from module name to source text.
#[must_use]
pub fn code() -> Vec<u8> {
    let mut out = Vec::new();
    marshal::dict(&mut out);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bootstrap_is_one_line_and_the_code_holds_its_module() {
        assert!(!BOOTSTRAP.contains('\n') && BOOTSTRAP.len() < 250);
        assert!(memchr::memmem::find(&code(), b"z\x09bootstrap").is_some());
    }
}
