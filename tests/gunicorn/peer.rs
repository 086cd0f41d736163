//! Gunicorn as a peer: the one of the tests' interpreter, on a port that the kernel chose, ended with its workers by its process id.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::log::Log;
use crate::support::{DEADLINE, python, wait_until};

/// A running Gunicorn.
pub struct Gunicorn {
    child: Child,
    pub address: SocketAddr,
}

/// Whether the tests' interpreter has Gunicorn; says so if not.
pub fn is_installed() -> bool {
    let python = python::interpreter();
    let found = Command::new(&python).args(["-c", "import gunicorn"]).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("not shown: {} has no gunicorn (pip install -r tests/requirements.txt)", python.display());
    }
    found
}

impl Gunicorn {
    /// Serves `wsgi`, a module in `folder`.
    pub fn start(folder: &Path, wsgi: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Gunicorn {
        let mut child = Command::new(python::interpreter())
            .args(["-m", "gunicorn", wsgi, "--bind", "127.0.0.1:0", "--worker-class", "gthread", "--no-control-socket"])
            // Whoever looks at a kept connection may be late on a busy machine.
            .args(["--keep-alive", "60", "--timeout", "120"])
            .args(arguments)
            .current_dir(folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        let log = Log::new(child.stderr.take().expect("stderr is piped"));
        let line = log.wait_from(0, "Listening at: http://", DEADLINE);
        let booted = log.wait_from(0, "Booting worker", DEADLINE);
        let address = line.as_deref().and_then(|line| line.split("http://").nth(1)?.split(' ').next()?.parse().ok());
        let (Some(address), Some(_)) = (address, booted) else {
            let _gone = child.kill();
            let _gone = child.wait();
            panic!("gunicorn does not start:\n{}", log.text());
        };
        Gunicorn { child, address }
    }
}

impl Drop for Gunicorn {
    fn drop(&mut self) {
        // SIGQUIT: at once, with the workers.
        let pid = Pid::from_child(&self.child);
        let _gone = kill_process(pid, Signal::QUIT);
        let mut ended = false;
        if !std::thread::panicking() {
            wait_until("gunicorn ends", DEADLINE, || {
                ended = self.child.try_wait().is_ok_and(|status| status.is_some());
                ended
            });
        }
        if !ended {
            let _gone = self.child.wait();
        }
    }
}
