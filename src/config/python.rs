//! Which Python interpreter runs the workers.
//!
//! Owns the order of the search; never runs anything. Called while the configuration is read.

use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
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

impl fmt::Display for Interpreter {
    /// `/srv/site/.venv/bin/python (beside the app)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.source)
    }
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
        let source = InterpreterSource::Configured;
        if name.contains('/') {
            let path = base.join(name);
            return usable(&path).map(|()| Interpreter { path, source });
        }
        let found = on_path(name, path_var);
        return found.map(|path| Interpreter { path, source }).ok_or_else(|| format!("no \"{name}\" on PATH"));
    }
    if let Some(venv) = virtual_env {
        let found = in_venv(venv).map_err(|why| format!("VIRTUAL_ENV is {}, but {why}", venv.display()))?;
        return Ok(Interpreter { path: found, source: InterpreterSource::VirtualEnv });
    }
    if let Some(venv) = VENV_NAMES.map(|name| chdir.join(name)).into_iter().find(|venv| is_venv(venv)) {
        let found = in_venv(&venv).map_err(|why| {
            format!("{} is a virtual environment, but {why}; make it anew, or set app.python", venv.display())
        })?;
        return Ok(Interpreter { path: found, source: InterpreterSource::BesideApp });
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

/// Whether a directory is meant to be a virtual environment (PEP 405), whatever has become of it. One that can't be looked into may be.
fn is_venv(directory: &Path) -> bool {
    let is_there = |name: &str| match directory.join(name).symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    };
    is_there("pyvenv.cfg") || BIN_NAMES.iter().any(|name| is_there(name))
}

/// # Errors
/// Why none can be used, of the name that all have.
fn in_venv(venv: &Path) -> Result<PathBuf, String> {
    let found = BIN_NAMES.iter().map(|name| venv.join(name)).find(|path| is_executable(path));
    found.map_or_else(
        || {
            let path = venv.join(BIN_NAMES[0]);
            usable(&path).map(|()| path)
        },
        Ok,
    )
}

/// # Errors
/// Why the file can't be run.
fn usable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match path.metadata() {
        Ok(_) if is_executable(path) => Ok(()),
        Ok(_) => Err(format!("{shown} is not an executable file")),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.read_link() {
            Ok(target) => Err(format!("{shown} leads to {}, which is not there", target.display())),
            Err(_) => Err(format!("there is no {shown}")),
        },
        Err(error) => Err(format!("{shown} cannot be reached by this user: {error}")),
    }
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
    fn a_virtual_environment_that_is_broken_is_not_passed_over() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (app, bin) = (dir.path().join("app"), dir.path().join("bin"));
        executable(bin.join("python3"));
        let search = || find(None, None, &app, Some(bin.as_os_str()));
        // A directory of that name that is no environment does not count.
        fs::create_dir_all(app.join("venv/docs")).expect("create directory");
        assert_eq!(search().map(|found| found.source), Ok(InterpreterSource::Path));
        fs::create_dir_all(app.join(".venv/bin")).expect("create directory");
        let python = app.join(".venv/bin/python");
        std::os::unix::fs::symlink("/nowhere/python3.9", &python).expect("link");
        let message = search().expect_err("its interpreter is gone");
        assert!(message.contains("/.venv/bin/python leads to /nowhere/python3.9, which is not there"), "{message}");
        fs::remove_file(&python).expect("remove");
        fs::write(app.join(".venv/pyvenv.cfg"), "").expect("write");
        let message = search().expect_err("it has no interpreter");
        assert!(message.contains("there is no") && message.contains("app.python"), "{message}");
        let python = executable(python);
        let found = search().expect("it is there");
        assert_eq!(found.to_string(), format!("{} (beside the app)", python.display()));
        fs::set_permissions(&python, fs::Permissions::from_mode(0o644)).expect("change permissions");
        let message = search().expect_err("nobody may run it");
        assert!(message.contains("is not an executable file"), "{message}");
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
