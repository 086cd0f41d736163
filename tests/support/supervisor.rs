//! Supervisor's own programs from PyPI, as the tests let them loose on maitred and on supervisord.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::log::Log;
use super::{DEADLINE, python, wait_until};

/// A program of the tests' virtual environment; panics with the way out if it is not there.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let path = python::interpreter().with_file_name(name);
    assert!(path.exists(), "{} is not there: run `make test`, which installs tests/requirements.txt", path.display());
    path
}

/// What a command of supervisorctl has printed, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its standard output.
    pub text: String,
    /// Its exit code.
    pub code: Option<i32>,
}

/// Runs supervisorctl against the server at `url`.
#[track_caller]
pub fn supervisorctl(url: &str, arguments: &[&str]) -> Told {
    let output = command(url, arguments).output().expect("supervisorctl runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!errors.contains("Traceback"), "{arguments:?}: {errors}");
    Told { text, code: output.status.code() }
}

/// supervisorctl against the server at `url`, not started yet.
#[track_caller]
pub fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("supervisorctl"));
    let file = super::repository().join("tests/support/supervisorctl.conf");
    command.arg("-c").arg(file).args(["-s", url]).args(arguments).env("PYTHONIOENCODING", "utf-8");
    command
}

/// `maitred ctl` against the server at `url`, not started yet.
pub fn ctl(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maitred"));
    command.args(["ctl", "-s", url]).args(arguments).env_remove("MAITRED_CONTROL_PASSWORD");
    command
}

/// Runs `maitred ctl` against the server at `url`.
#[track_caller]
pub fn maitredctl(url: &str, arguments: &[&str]) -> Told {
    let output = ctl(url, arguments).output().expect("maitred runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    Told { text: String::from_utf8(output.stdout).expect("UTF-8") + &errors, code: output.status.code() }
}

/// A real supervisord, ended with this value.
pub struct Supervisord {
    child: Child,
    /// Where its socket is.
    pub url: String,
    log: Log,
}

impl Supervisord {
    /// Starts it in `folder` with these sections, and waits until it serves.
    #[track_caller]
    pub fn start(folder: &Path, sections: &str) -> Supervisord {
        let socket = folder.join("supervisor.sock");
        let file = folder.join("supervisord.conf");
        let here = folder.display();
        let text = format!(
            "[supervisord]\nnodaemon=true\nlogfile={here}/main.log\npidfile={here}/supervisord.pid\nchildlogdir={here}\nidentifier=maitred\n\n\
             [unix_http_server]\nfile={}\n\n[rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n{sections}",
            socket.display()
        );
        std::fs::write(&file, text).expect("the test's own folder");
        let mut child = Command::new(program("supervisord"))
            .arg("-c")
            .arg(&file)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("supervisord runs");
        let log = Log::new(child.stdout.take().expect("it is piped"));
        let started = log.wait_from(0, "supervisord started with pid", DEADLINE);
        assert!(started.is_some(), "supervisord did not start:\n{}", log.text());
        Supervisord { child, url: format!("unix://{}", socket.display()), log }
    }

    /// What it has logged.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        wait_until("supervisord's end", DEADLINE, || !matches!(self.child.try_wait(), Ok(None)));
        self.child.wait().ok().and_then(|status| status.code())
    }
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            super::process::signal(self.child.id(), rustix::process::Signal::TERM);
            let _ = self.child.wait();
        }
    }
}
