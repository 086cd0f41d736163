//! Starts a program's process: its environment, its descriptors, its session.
//!
//! Keeps nothing and decides nothing: the loop owns the child and the ends of its pipes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::tree::MARK;
use crate::config::{OutputConfig, Probe, ProcessConfig};
use crate::sys::notify::NotifySocket;
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

/// What a process is told by its environment beside what its configuration says.
#[derive(Clone, Copy, Default)]
pub(super) struct Told<'a> {
    /// What marks all that it starts.
    pub mark: Option<&'a str>,
    /// Where it can tell how it is.
    pub notify: Option<&'a NotifySocket>,
    /// Where the control interface is, unless its configuration says otherwise.
    pub server_url: Option<&'a str>,
}

/// Starts it as the leader of a session of its own. The error names what could not be done.
pub(super) fn start(config: &ProcessConfig, told: Told<'_>, group: Option<&Path>) -> io::Result<Started> {
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
        env: &environment(config, told),
        directory: launch.directory.as_deref(),
        descriptors: &[(childs_stdin.as_fd(), 0), (childs_stdout.as_fd(), 1), (childs_stderr.as_fd(), 2)],
        new_session: true,
        // The supervisor's thread is not pinned.
        cpus: None,
        user: launch.user.as_ref(),
        umask: launch.umask,
        restrictions: launch.restrictions.clone(),
        group,
    }
    .start()?;
    Ok(Started { child, stdin, stdout, stderr })
}

/// Starts a command that checks a program: as its user, in its directory, with its variables.
pub(super) fn start_check(config: &ProcessConfig, command: &[String], told: Told<'_>) -> io::Result<Child> {
    let null: OwnedFd = std::fs::File::options().write(true).open("/dev/null")?.into();
    let (program, arguments) = command.split_first().expect("a command has a first word");
    let launch = &config.launch;
    Spawn {
        program: OsStr::new(program),
        args: &arguments.iter().map(OsString::from).collect::<Vec<_>>(),
        env: &environment(config, told),
        directory: launch.directory.as_deref(),
        descriptors: &[(null.as_fd(), 1), (null.as_fd(), 2)],
        new_session: true,
        cpus: None,
        user: launch.user.as_ref(),
        umask: launch.umask,
        restrictions: launch.restrictions.clone(),
        group: None,
    }
    .start()
}

/// maitred's own environment, what tells a program that it is looked after, and its own variables.
fn environment(config: &ProcessConfig, told: Told<'_>) -> Vec<(OsString, OsString)> {
    let Told { mark, notify, server_url } = told;
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    // What a service manager has told maitred is not meant for its programs.
    environment
        .retain(|(name, _)| !["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", MARK].iter().any(|own| name == own));
    let socket = notify.map(NotifySocket::variable);
    let liveness = config.care.liveness.as_ref().filter(|check| check.probe == Probe::Notify);
    let interval = liveness.map(|check| check.interval.as_micros().to_string());
    let given = [
        ("SUPERVISOR_ENABLED", "1"),
        ("SUPERVISOR_PROCESS_NAME", &config.name),
        ("SUPERVISOR_GROUP_NAME", &config.group),
    ];
    let told = [
        ("SUPERVISOR_SERVER_URL", config.launch.server_url.as_deref().or(server_url)),
        (MARK, mark),
        ("NOTIFY_SOCKET", socket.as_deref()),
        ("WATCHDOG_USEC", interval.as_deref().filter(|_| notify.is_some())),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let own = config.launch.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.into_iter().chain(told).chain(own) {
        environment.retain(|(other, _)| other != name);
        environment.push((name.into(), value.into()));
    }
    environment
}
