//! Starts a program's process: its environment, its descriptors, its session.
//!
//! Keeps nothing and decides nothing: the loop owns the child and the ends of its pipes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::tree::MARK;
use crate::config::{OutputConfig, ProcessConfig};
use crate::sys::spawn::{Child, Spawn};

/// A process that was started.
pub(super) struct Started {
    pub child: Child,
    /// Its standard input, to be written to.
    pub stdin: OwnedFd,
    /// Its standard output; None: nobody is to read it.
    pub stdout: Option<OwnedFd>,
    /// Its standard error, unless that goes the way of its standard output.
    pub stderr: Option<OwnedFd>,
}

/// Starts it as the leader of a session of its own. The error names what could not be done.
pub(super) fn start(config: &ProcessConfig, mark: &str) -> io::Result<Started> {
    let null = || std::fs::File::options().write(true).open("/dev/null").map(OwnedFd::from);
    let end = |output: &OutputConfig| -> io::Result<(Option<OwnedFd>, OwnedFd)> {
        if !output.is_wanted() {
            return Ok((None, null()?));
        }
        let (ours, childs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok((Some(ours), childs))
    };
    let (childs_stdin, stdin) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (stdout, childs_stdout) = end(&config.stdout)?;
    let (stderr, childs_stderr) = match config.launch.redirect_stderr {
        true => (None, childs_stdout.try_clone()?),
        false => end(&config.stderr)?,
    };
    let launch = &config.launch;
    let (program, arguments) = launch.command.split_first().expect("a command has a first word");
    let child = Spawn {
        program: OsStr::new(program),
        args: &arguments.iter().map(OsString::from).collect::<Vec<_>>(),
        env: &environment(config, mark),
        directory: launch.directory.as_deref(),
        descriptors: &[(childs_stdin.as_fd(), 0), (childs_stdout.as_fd(), 1), (childs_stderr.as_fd(), 2)],
        new_session: true,
        // The supervisor's thread is not pinned.
        cpus: None,
        user: launch.user.as_ref(),
        umask: launch.umask,
    }
    .start()?;
    Ok(Started { child, stdin, stdout, stderr })
}

/// maitred's own environment, what tells a program that it is looked after, and its own variables.
fn environment(config: &ProcessConfig, mark: &str) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let given = [
        ("SUPERVISOR_ENABLED", "1"),
        ("SUPERVISOR_PROCESS_NAME", &config.name),
        ("SUPERVISOR_GROUP_NAME", &config.group),
        (MARK, mark),
    ];
    let url = config.launch.server_url.as_deref().map(|url| ("SUPERVISOR_SERVER_URL", url));
    let own = config.launch.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.into_iter().chain(url).chain(own) {
        environment.retain(|(other, _)| other != name);
        environment.push((name.into(), value.into()));
    }
    environment
}
