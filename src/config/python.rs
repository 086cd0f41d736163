//! Which Python interpreter runs the workers.
//!
//! Owns the order of the search; never runs anything. Called while the configuration is read.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::sources::{Flags, Surroundings};

/// An interpreter that was there when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Absolute path. Not resolved through symbolic links: a virtual environment's `python` knows its packages by the
    /// path that it was called by (PEP 405).
    pub path: PathBuf,
    /// What led to it.
    pub source: InterpreterSource,
}

/// What led to an interpreter, first match first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterpreterSource {
    /// `app.python` or `--python`.
    Configured,
    /// The environment variable `VIRTUAL_ENV`.
    VirtualEnv,
    /// A `.venv` or `venv` directory in the application's directory.
    BesideApp,
    /// `python3` on `PATH`.
    Path,
}

impl fmt::Display for InterpreterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InterpreterSource::Configured => "configured",
            InterpreterSource::VirtualEnv => "from VIRTUAL_ENV",
            InterpreterSource::BesideApp => "beside the app",
            InterpreterSource::Path => "from PATH",
        })
    }
}

/// Directories beside the application that are taken for its virtual environment.
const VENV_NAMES: [&str; 2] = [".venv", "venv"];
/// Names of the interpreter within a virtual environment's `bin`.
const BIN_NAMES: [&str; 2] = ["bin/python", "bin/python3"];

/// Finds the interpreter: `configured` (a path that starts at `base`, or a bare name that is looked up on `path_var`),
/// then `virtual_env`, then a virtual environment in `chdir`, then `python3` on `path_var`.
///
/// # Errors
/// A sentence that names what is missing. What was asked for explicitly is never replaced by something else.
pub fn find(
    configured: Option<(&str, &Path)>,
    virtual_env: Option<&Path>,
    chdir: &Path,
    path_var: Option<&OsStr>,
) -> Result<Interpreter, String> {
    if let Some((name, base)) = configured {
        let path = if name.contains('/') {
            Some(base.join(name)).filter(|path| is_executable(path))
        } else {
            on_path(name, path_var)
        };
        return match path {
            Some(path) => Ok(Interpreter { path, source: InterpreterSource::Configured }),
            None if name.contains('/') => Err(format!("{} is not an executable file", base.join(name).display())),
            None => Err(format!("no \"{name}\" on PATH")),
        };
    }
    if let Some(venv) = virtual_env {
        return match in_venv(venv) {
            Some(path) => Ok(Interpreter { path, source: InterpreterSource::VirtualEnv }),
            None => {
                Err(format!("VIRTUAL_ENV is {}, but there is no {}", venv.display(), venv.join(BIN_NAMES[0]).display()))
            }
        };
    }
    if let Some(path) = VENV_NAMES.iter().find_map(|name| in_venv(&chdir.join(name))) {
        return Ok(Interpreter { path, source: InterpreterSource::BesideApp });
    }
    match on_path("python3", path_var) {
        Some(path) => Ok(Interpreter { path, source: InterpreterSource::Path }),
        None => Err(format!(
            "no Python interpreter: looked for VIRTUAL_ENV, {0}/.venv, {0}/venv and python3 on PATH; \
             install python3 or set app.python",
            chdir.display()
        )),
    }
}

/// The interpreter as flags and environment alone tell of it, before any config file was read.
///
/// # Errors
/// A sentence that names what is missing.
pub fn interpreter_of(flags: &Flags, around: &Surroundings) -> Result<Interpreter, String> {
    let last = |of: fn(&Flags) -> Option<&String>| flags.layers().filter_map(|(layer, _)| of(layer)).last();
    let named = last(|flags| flags.python.as_ref()).map(|name| (name.as_str(), around.directory.as_path()));
    let chdir =
        last(|flags| flags.chdir.as_ref()).map_or_else(|| around.directory.clone(), |to| around.directory.join(to));
    find(named, around.path("VIRTUAL_ENV"), &chdir, around.path("PATH").map(Path::as_os_str))
}

fn in_venv(venv: &Path) -> Option<PathBuf> {
    BIN_NAMES.iter().map(|name| venv.join(name)).find(|path| is_executable(path))
}

fn on_path(name: &str, path_var: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path_var?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn executable(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().expect("has a parent")).expect("create directory");
        fs::write(&path, "").expect("create file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make executable");
        path
    }

    #[test]
    fn the_search_goes_from_explicit_to_general() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (app, bin, venv) = (dir.path().join("app"), dir.path().join("bin"), dir.path().join("env"));
        let search = |configured, venv| find(configured, venv, &app, Some(bin.as_os_str()));
        fs::create_dir(&app).expect("create directory");

        let message = search(None, None).expect_err("nothing is there yet");
        assert!(message.contains("/app/.venv"), "{message}");
        let from_path = executable(bin.join("python3"));
        assert_eq!(search(None, None), Ok(Interpreter { path: from_path, source: InterpreterSource::Path }));
        let beside = executable(app.join(".venv/bin/python"));
        assert_eq!(search(None, None), Ok(Interpreter { path: beside, source: InterpreterSource::BesideApp }));
        let message = search(None, Some(&venv)).expect_err("VIRTUAL_ENV is stale");
        assert!(message.contains("/env/bin/python"), "{message}");
        let active = executable(venv.join("bin/python3"));
        assert_eq!(search(None, Some(&venv)), Ok(Interpreter { path: active, source: InterpreterSource::VirtualEnv }));
        let named = executable(bin.join("python3.13"));
        let found = search(Some(("python3.13", dir.path())), Some(&venv));
        assert_eq!(found, Ok(Interpreter { path: named, source: InterpreterSource::Configured }));
    }

    #[test]
    fn what_was_asked_for_is_not_replaced() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("plain"), "").expect("create file");
        for name in ["./absent", "./plain", "./", "absent"] {
            let message = find(Some((name, dir.path())), None, dir.path(), Some(dir.path().as_os_str()))
                .expect_err("there is no such interpreter");
            assert!(message.contains(name.trim_start_matches("./")), "{message}");
        }
    }
}
