//! `maitred check`: one line for everything that a start depends on, and how to mend what is wrong.
//!
//! Owns the list of checks and their order, and the exit code. Changes nothing on the host: sockets are closed at once, no byte code is
//! written.

use std::fmt;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use rustix::fs::{Access, access};

pub use super::environment::environment;
use super::environment::{basics, descriptors};
use super::{Asks, EXIT_UNUSABLE, Options, check_programs, pidfile, privileges, probe, rlimits};
use crate::acme::Plan;
use crate::config::{Action, Config, Listen, Listener, ServerConfig, gunicorn};
use crate::django::{Facts, Level, Lint, contradictions};
use crate::http::date;
use crate::supervise::routes;
use crate::tls;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server works, but less well than it could.
    Hint,
    /// Something is not as it is meant to be, or not safe.
    Warn,
    /// The server does not work.
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it came out.
    pub verdict: Verdict,
    /// What contradicts a Django project's settings has an id.
    pub id: Option<&'static str>,
    /// What was looked at, what is there, and how to mend it; one line.
    pub text: String,
}

impl Finding {
    pub(super) fn ok(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Ok, id: None, text: text.into() }
    }

    pub(super) fn hint(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Hint, id: None, text: text.into() }
    }

    pub(super) fn fail(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fail, id: None, text: text.into() }
    }
}

impl fmt::Display for Finding {
    /// `ok   kernel 6.1: io_uring available`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fail => "FAIL",
            other => other.name(),
        };
        write!(f, "{verdict:<4} {}", self.text)
    }
}

impl Verdict {
    /// As JSON has it.
    fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Hint => "hint",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        }
    }
}

/// Flags of `check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    #[command(flatten)]
    options: Options,
    /// Print one JSON array of all that was looked at, each with verdict (ok, hint, warn, fail), id and text
    #[arg(long)]
    json: bool,
    /// What counts as failed besides what fails
    #[arg(long, value_name = "VERDICT", default_value = "fail")]
    fail_level: FailLevel,
}

/// The least serious verdict for which the exit code is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailLevel {
    /// What fails
    Fail,
    /// Warnings too
    Warn,
    /// Hints too
    Hint,
}

impl FailLevel {
    fn verdict(self) -> Verdict {
        match self {
            FailLevel::Fail => Verdict::Fail,
            FailLevel::Warn => Verdict::Warn,
            FailLevel::Hint => Verdict::Hint,
        }
    }
}

/// Runs every check and prints what it found to stdout. Exit code 0, or 2 if something failed or is as serious as `--fail-level` says.
#[must_use]
pub fn run(asked: CheckOptions) -> ExitCode {
    let options = match asked.options.over_environment() {
        Ok(options) => options,
        Err(message) => {
            super::complain(message);
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    let mut worst = Verdict::Ok;
    let mut told = Vec::new();
    look(&options, &mut |finding: Finding| {
        worst = worst.max(finding.verdict);
        if asked.json {
            let Finding { verdict, id, text } = finding;
            told.push(serde_json::json!({ "verdict": verdict.name(), "id": id, "text": text }));
        } else {
            super::tell(&finding);
        }
    });
    if asked.json {
        super::tell(format_args!("{:#}", serde_json::Value::Array(told)));
    }
    if worst >= asked.fail_level.verdict() { ExitCode::from(EXIT_UNUSABLE) } else { ExitCode::SUCCESS }
}

/// Every check in its order.
fn look(options: &Options, mut tell: &mut dyn FnMut(Finding)) {
    rlimits::raise();
    let config = super::read(options.flags()).map(|(config, printed)| {
        super::repeat(&printed);
        config
    });
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
        let parent = config.server.pidfile.as_deref().and_then(Path::parent);
        parent.into_iter().for_each(|parent| tell(directory("pidfile", parent, Access::WRITE_OK, None)));
        match privileges::as_user(&config, || used(&config)) {
            Ok(findings) => findings.into_iter().for_each(&mut tell),
            Err(text) => tell(Finding::fail(text)),
        }
        config.left.iter().map(|line| Finding::hint(format!("not done: {line}"))).for_each(&mut tell);
        check_programs::programs(&config.programs).into_iter().for_each(&mut tell);
    }
}

/// What the server's user has to do with: directories and the application.
fn used(config: &Config) -> Vec<Finding> {
    let mut findings = directories(config);
    if let Some(app) = &config.app {
        let facts = probe::app(app, config.server.user.as_ref(), &mut |finding| findings.push(finding));
        findings.extend(facts.iter().flat_map(|facts| django(config, facts)));
    }
    findings
}

/// What of a Django project's settings contradicts the configuration.
fn django(config: &Config, facts: &Facts) -> Vec<Finding> {
    let found = contradictions(config, &routes::complete(config, Some(facts)), facts);
    let finding = |lint: Lint| {
        let verdict = match lint.level() {
            Level::Error => Verdict::Fail,
            Level::Warning => Verdict::Warn,
            Level::Note => Verdict::Hint,
        };
        Finding { verdict, id: Some(lint.id), text: lint.to_string() }
    };
    match found.is_empty() {
        true => vec![Finding::ok(format!("settings of Django {}: in accord with the configuration", facts.version))],
        false => found.into_iter().map(finding).collect(),
    }
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
    let Some(app) = &config.app else { return ExitCode::SUCCESS };
    let mut failed = Vec::new();
    let tried = privileges::as_user(config, || {
        probe::app(app, config.server.user.as_ref(), &mut |finding| {
            if finding.verdict == Verdict::Fail {
                failed.push(finding.text);
            }
        })
    });
    failed.extend(tried.err());
    failed.iter().for_each(|text| super::complain(format_args!("maitred: {text}")));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    findings.push(directory("acme.storage", there, Access::WRITE_OK, None));
    for (file, renewal) in plan.standing() {
        let shown = file.display();
        findings.push(Finding::ok(match renewal {
            Some(at) => format!("acme: {shown}: renewed after {}", String::from_utf8_lossy(&date::format(at))),
            None => format!("acme: {shown}: will be asked for"),
        }));
    }
    findings
}

/// Directories that are read from or written to as the server's user.
fn directories(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let user = config.server.user.as_ref().map(|user| user.name.as_str());
    for route in &config.routes {
        if let Action::Static(files) = &route.action {
            findings.push(directory(&format!("static {}", route.path.text()), &files.directory, Access::READ_OK, user));
        }
    }
    if let Some(app) = &config.app {
        findings.push(directory("spool_dir", &app.spool_dir, Access::WRITE_OK, user));
    }
    findings
}

/// `user`: whose eyes look, if not this process's user's.
fn directory(what: &str, path: &Path, wanted: Access, user: Option<&str>) -> Finding {
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
            Err(_) => Finding::fail(format!(
                "{what}: {shown} cannot be {unable} by {}; change its permissions",
                user.unwrap_or("this user")
            )),
        },
    }
}
