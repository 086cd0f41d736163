//! Trying out the interpreter and the application, and what else Python is asked for, each in a process of its own that is killed when it takes too long.
//!
//! Never imports anything into this process and goes through no shell.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::check::Finding;
use crate::config::{AppConfig, AppTarget, Interpreter};
use crate::django::Facts;
use crate::sys::memory;
use crate::sys::users::User;
use crate::wsgi::source;

/// An interpreter starts within this.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);
/// An application is imported within this.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(60);
/// After the process's end its output is waited for this long: a child of its own may hold the pipe open.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// What is kept of a process's output, bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Minor versions of Python 3 that the workers run on.
const MINORS: std::ops::RangeInclusive<u32> = 9..=14;

const VERSION_SCRIPT: &str = "import sys; print(sys.implementation.name, *sys.version_info[:3])";

/// Checks interpreter and application, in this order; the second only if the first is good. Returns what a Django project says of itself. `user` is whose
/// the workers will be; the caller has become that one.
pub fn app(app: &AppConfig, user: Option<&User>, tell: &mut dyn FnMut(Finding)) -> Option<Facts> {
    match interpreter(&app.python) {
        Ok(text) => {
            tell(Finding::ok(text));
            let (finding, facts) = importable(app, user);
            tell(finding);
            facts
        }
        Err(text) => {
            tell(Finding::fail(text));
            None
        }
    }
}

fn interpreter(python: &Interpreter) -> Result<String, String> {
    let name = format!("interpreter {python}");
    let mut command = Command::new(&python.path);
    command.args(["-S", "-c", VERSION_SCRIPT]);
    let outcome = run(&mut command, VERSION_TIMEOUT).map_err(|error| format!("{name}: {error}"))?;
    let mut words = outcome.stdout.split_whitespace();
    let (implementation, numbers): (_, Vec<u32>) =
        (words.next().unwrap_or_default(), words.map_while(|word| word.parse().ok()).collect());
    let &[major, minor, patch] = numbers.as_slice() else {
        return Err(format!("{name}: does not tell its version ({}); is it Python?", outcome.last_line()));
    };
    let wanted = format!("CPython 3.{} to 3.{} is needed; set app.python", MINORS.start(), MINORS.end());
    match implementation {
        "cpython" if major == 3 && MINORS.contains(&minor) => Ok(format!("{name}: Python {major}.{minor}.{patch}")),
        "cpython" => Err(format!("{name}: Python {major}.{minor}.{patch}; {wanted}")),
        _ => Err(format!("{name}: {implementation} {major}.{minor}.{patch}; {wanted}")),
    }
}

/// Imports the application as the workers do.
fn importable(app: &AppConfig, user: Option<&User>) -> (Finding, Option<Facts>) {
    let (name, target) = match &app.wsgi {
        AppTarget::Named(target) => (format!("application {target}"), Some(target)),
        AppTarget::Django { settings } => (format!("application of Django settings {settings}"), None),
    };
    match try_out(app, user, target) {
        Ok(outcome) if outcome.status.success() => {
            let told = outcome.stdout.trim_end().lines().next_back().unwrap_or_default();
            (Finding::ok(format!("{name}: importable")), serde_json::from_str(told).ok().flatten())
        }
        Ok(outcome) => {
            let text = format!("{name}: {} (imported from {})", outcome.last_line(), app.chdir.display());
            (Finding::fail(text), None)
        }
        Err(error) => (Finding::fail(format!("{name}: {error}")), None),
    }
}

/// The sources come by standard input.
fn try_out(app: &AppConfig, user: Option<&User>, target: Option<&String>) -> Result<Outcome, String> {
    // The process starts in `chdir`, whatever its name is made of.
    let pythonpath: Vec<_> = app.pythonpath.iter().map(|path| path.to_string_lossy()).collect();
    let names: Vec<_> = app.raw_env.iter().map(|(name, _)| name).collect();
    let program = app.program.as_ref().map(|program| {
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let file = program.file.as_deref().map(text);
        serde_json::json!({ "file": file, "module": program.module, "directory": text(&program.directory) })
    });
    let settings = serde_json::json!({
        "wsgi": target, "chdir": null, "pythonpath": pythonpath, "program": program, "env": names,
    });
    let sources = memory::filled_memfd("maitred-trial", &source::trial(settings.to_string().as_bytes()));
    let sources = sources.map_err(|error| format!("cannot be tried out: {error}"))?;
    let mut command = Command::new(&app.python.path);
    command.args(["-c", source::BOOTSTRAP, "code=0"]).current_dir(&app.chdir).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(user) = user {
        command.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    }
    if let AppTarget::Django { settings } = &app.wsgi {
        command.env("DJANGO_SETTINGS_MODULE", settings);
    }
    command.envs(app.raw_env.iter().map(|(name, value)| (name, value)));
    run_with(&mut command, sources.into(), IMPORT_TIMEOUT)
}

/// How a process ended and what it said.
pub(super) struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The last line of stderr, where Python puts the exception; else the exit status.
    fn last_line(&self) -> String {
        let line = self.stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
        line.map_or_else(
            || self.status.to_string(),
            |line| line.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""),
        )
    }
}

/// Runs `command` to its end, or kills it with all that it has started.
///
/// # Errors
/// It could not be run, or did not end in time.
pub(super) fn run(command: &mut Command, timeout: Duration) -> Result<Outcome, String> {
    run_with(command, Stdio::null(), timeout)
}

fn run_with(command: &mut Command, stdin: Stdio, timeout: Duration) -> Result<Outcome, String> {
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cannot be run: {error}"))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let ended = ends_within(&child, timeout);
    // Before it is waited for, so that its id still stands for it; what it left behind goes with it.
    stop(&child);
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    match ended {
        Ok(true) => Ok(Outcome { status, stdout: received(stdout), stderr: received(stderr) }),
        Ok(false) => Err(format!("did not end within {} s", timeout.as_secs())),
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn ends_within(child: &Child, timeout: Duration) -> io::Result<bool> {
    let pid = pid(child).ok_or(io::ErrorKind::NotFound)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout))? > 0)
}

/// Kills what is left of the process group of `child`.
fn stop(child: &Child) {
    if let Some(pid) = pid(child) {
        // There may be nothing left to kill.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Reads all of `source` in a thread of its own, keeps the last [`OUTPUT_BYTES_MAX`] bytes.
fn collect(mut source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 8 * 1024];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            let excess = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
            kept.drain(..excess);
        }
        // Nobody waits any more after a timeout.
        let _ = sender.send(kept);
    });
    receiver
}

fn received(output: Option<Receiver<Vec<u8>>>) -> String {
    let bytes = output.and_then(|receiver| receiver.recv_timeout(OUTPUT_TIMEOUT).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_hangs_is_killed() {
        let error = run(Command::new("sleep").arg("600"), Duration::from_millis(50)).map(|outcome| outcome.status);
        assert!(error.is_err_and(|error| error.contains("did not end")));
    }

    #[test]
    fn a_grandchild_does_not_outlive_the_probe() {
        let script = "import subprocess; print('out'); subprocess.Popen(['sleep', '20'])";
        let mut command = Command::new("python3");
        command.args(["-c", script]);
        // Were it alive, it would hold the pipe, and the output would not be there in time.
        let outcome = run(&mut command, Duration::from_secs(20)).expect("python3 runs");
        assert_eq!(outcome.stdout, "out\n");
    }

    #[test]
    fn a_flood_of_output_keeps_its_end() {
        let mut command = Command::new("python3");
        command.args(["-c", "import sys; sys.stderr.write('x' * 1000000 + '\\nValueError: end\\n'); sys.exit(1)"]);
        let outcome = run(&mut command, Duration::from_secs(20)).expect("python3 runs");
        assert_eq!(outcome.last_line(), "ValueError: end");
        assert!(outcome.stderr.len() <= OUTPUT_BYTES_MAX);
    }
}
