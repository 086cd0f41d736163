//! `maitred check`: one line for everything that a start depends on, and how to mend what is wrong.
//!
//! Owns the list of checks and their order. Changes nothing on the host: sockets are closed at once, no byte code is
//! written.

use std::fmt;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{Access, access};

pub use super::environment::environment;
use super::environment::{basics, descriptors};
use super::{Asks, EXIT_UNUSABLE, Options, check_programs, pidfile, probe, rlimits};
use crate::acme::Plan;
use crate::config::{Action, Config, Listen, Listener, ServerConfig, gunicorn};
use crate::http::date;
use crate::tls;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server works, but less well than it could.
    Hint,
    /// The server does not work.
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it came out.
    pub verdict: Verdict,
    /// What was looked at, what is there, and how to mend it; one line.
    pub text: String,
}

impl Finding {
    pub(super) fn ok(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Ok, text: text.into() }
    }

    pub(super) fn hint(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Hint, text: text.into() }
    }

    pub(super) fn fail(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fail, text: text.into() }
    }
}

impl fmt::Display for Finding {
    /// `ok   kernel 6.1: io_uring available`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Hint => "hint",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict:<4} {}", self.text)
    }
}

/// Runs every check and prints what it found to stdout. Exit code 0, or 2 if something failed.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    rlimits::raise();
    let mut failed = false;
    let mut tell = |finding: Finding| {
        super::tell(&finding);
        failed |= finding.verdict == Verdict::Fail;
    };
    let config = super::read(options.flags());
    if let Err(messages) = &config {
        messages.lines().for_each(|line| tell(Finding::fail(line)));
    }
    basics().into_iter().for_each(&mut tell);
    if let Ok(config) = config {
        tell(Finding::ok(summary(&config)));
        tell(descriptors(&config.server));
        config.server.listen.iter().for_each(|listen| tell(bindable(listen, &config.server)));
        tls::warnings(&config.server, &config.tls).into_iter().map(Finding::hint).for_each(&mut tell);
        acme(&config).into_iter().for_each(&mut tell);
        directories(&config).into_iter().for_each(&mut tell);
        if let Some(app) = &config.app {
            probe::app(app, &mut tell);
        }
        config.left.iter().map(|line| Finding::hint(format!("not done: {line}"))).for_each(&mut tell);
        check_programs::programs(&config.programs).into_iter().for_each(&mut tell);
    }
    if failed { ExitCode::from(EXIT_UNUSABLE) } else { ExitCode::SUCCESS }
}

/// The quick checks of the environment, for `serve`: what failed goes to stderr.
///
/// # Errors
/// The exit code, if something failed.
pub fn require(config: &Config) -> Result<(), ExitCode> {
    let findings = environment(config);
    let failed: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).collect();
    failed.iter().for_each(|finding| super::complain(format_args!("maitred: {}", finding.text)));
    if failed.is_empty() { Ok(()) } else { Err(ExitCode::from(EXIT_UNUSABLE)) }
}

/// `serve --check-config` and `--print-config`: tries interpreter and application out. What failed goes to stderr; exit code 0, or 1 as with
/// Gunicorn.
pub fn ask(config: &Config, asks: Asks) -> ExitCode {
    if asks == Asks::Print {
        super::tell(gunicorn::print(config));
    }
    config.left.iter().for_each(|line| super::complain(format_args!("not done: {line}")));
    let mut failed = false;
    if let Some(app) = &config.app {
        probe::app(app, &mut |finding| {
            if finding.verdict == Verdict::Fail {
                failed = true;
                super::complain(format_args!("maitred: {}", finding.text));
            }
        });
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn summary(config: &Config) -> String {
    let count = |number: usize, thing: &str| format!("{number} {thing}{}", if number == 1 { "" } else { "s" });
    let mut text =
        format!("configuration: {}, {}", count(config.server.shards, "shard"), count(config.routes.len(), "route"));
    if let Some(app) = &config.app {
        text += &format!(", {} of {}", count(app.workers, "worker"), count(app.threads, "thread"));
    }
    if !config.programs.is_empty() {
        let processes: usize = config.programs.iter().map(|group| group.processes.len()).sum();
        text += &format!(", processes of programs: {processes}");
    }
    text
}

fn bindable(listen: &Listener, server: &ServerConfig) -> Finding {
    let result = match &listen.address {
        Listen::Tcp(address) => TcpListener::bind(address).map(drop),
        Listen::Unix(path) => bindable_unix(path),
    };
    let Err(error) = result else {
        return Finding::ok(format!("listen {listen}: free"));
    };
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            if let Some(pid) = server.pidfile.as_deref().and_then(pidfile::running) {
                return Finding::ok(format!("listen {listen}: in use by maitred, process {pid}"));
            }
            "stop the program that listens there (`ss -ltnp` names it) or choose another address"
        }
        ErrorKind::PermissionDenied if matches!(listen.address, Listen::Tcp(_)) => {
            "choose a port from 1024, or grant the right (AmbientCapabilities=CAP_NET_BIND_SERVICE of the systemd unit)"
        }
        ErrorKind::PermissionDenied => "make its directory writable for this user",
        ErrorKind::AddrNotAvailable => "this host has no such address (`ip address` lists them)",
        ErrorKind::NotFound => "create its directory",
        _ => "choose another address",
    };
    Finding::fail(format!("listen {listen}: {error}; {remedy}"))
}

/// A socket that nobody answers on is left over from an earlier run, and will be replaced.
fn bindable_unix(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
    match UnixStream::connect(path) {
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What can be said of certificates that the server gets by itself, without asking for any.
fn acme(config: &Config) -> Vec<Finding> {
    let (Some(plan), Some(acme)) = (Plan::of(config), &config.acme) else { return Vec::new() };
    let mut findings: Vec<_> = plan.warnings(config).into_iter().map(Finding::hint).collect();
    // It need not be there yet; what it is made in must be.
    let folder = acme.folder();
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    findings.push(directory("acme.storage", there, Access::WRITE_OK));
    for (file, renewal) in plan.standing() {
        let shown = file.display();
        findings.push(Finding::ok(match renewal {
            Some(at) => format!("acme: {shown}: renewed after {}", String::from_utf8_lossy(&date::format(at))),
            None => format!("acme: {shown}: will be asked for"),
        }));
    }
    findings
}

/// Directories that are read from or written to.
fn directories(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for route in &config.routes {
        if let Action::Static(files) = &route.action {
            findings.push(directory(&format!("static {}", route.path.text()), &files.directory, Access::READ_OK));
        }
    }
    if let Some(parent) = config.server.pidfile.as_deref().and_then(Path::parent) {
        findings.push(directory("pidfile", parent, Access::WRITE_OK));
    }
    if let Some(app) = &config.app {
        findings.push(directory("spool_dir", &app.spool_dir, Access::WRITE_OK));
    }
    findings
}

fn directory(what: &str, path: &Path, wanted: Access) -> Finding {
    let shown = path.display();
    let (able, unable) = if wanted == Access::READ_OK { ("readable", "read") } else { ("writable", "written to") };
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::fail(format!("{what}: {shown} does not exist; create it or correct the path"))
        }
        Err(error) => Finding::fail(format!("{what}: {shown}: {error}")),
        Ok(meta) if !meta.is_dir() => {
            Finding::fail(format!("{what}: {shown} is not a directory; name the one that it is in"))
        }
        Ok(_) => match access(path, wanted | Access::EXEC_OK) {
            Ok(()) => Finding::ok(format!("{what}: {shown} is {able}")),
            Err(_) => Finding::fail(format!("{what}: {shown} cannot be {unable} by this user; change its permissions")),
        },
    }
}
