//! `maitred serve`: from a checked configuration to a server that has stopped.
//!
//! Owns the order of things: what can fail for reasons of the environment is tried before anything runs. Then every thread does
//! its part until the supervisor says that the program is to exit.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use super::control_sockets::SocketFile;
use super::opened::Opened;
use super::passed::Passed;
use super::pidfile::Pidfile;
use super::privileges::{Standing, give_up};
use super::{EXIT_UNUSABLE, Options, complain, gunicorn_conf, reconfigure};
use crate::base::bounds::{LIMIT_KEYS_MAX, MAILBOX_CAPACITY};
use crate::base::mail::mailbox;
use crate::config::{Config, Source};
use crate::limits::Counts;
use crate::observe::Readiness;
use crate::shard::{self, ShardSetup};
use crate::supervise::handover::Handover;
use crate::supervise::launcher::Launcher;
use crate::supervise::main_log::MainLog;
use crate::supervise::run::{Ending, SupervisorSetup, run as supervise};
use crate::supervise::systemd::Systemd;
use crate::sys::affinity::usable_cpus;
use crate::sys::inherited::Inherited;
use crate::sys::notify::Notifier;
use crate::sys::{limits, packets, process};

/// How serving has ended.
#[must_use]
pub enum Ended {
    /// The program exits.
    Exit(ExitCode),
    /// The program is to start anew, with these sockets.
    Restart(Handover),
}

impl Ended {
    /// The exit code; to start anew, this process becomes what it was started as.
    pub fn finish(self) -> ExitCode {
        match self {
            Ended::Exit(code) => code,
            Ended::Restart(handover) => {
                let error = handover.start_anew();
                complain(format_args!("maitred: cannot start anew: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// Serves until told to stop. `options` are read again for a reload.
pub fn run(config: Config, options: Options, main_log: Arc<MainLog>, inherited: Inherited) -> Ended {
    if let Some(mask) = config.server.umask {
        process::set_umask(mask);
    }
    if let Some(name) = &config.server.proc_name
        && let Err(error) = process::set_name(name)
    {
        tracing::warn!(%error, "the process keeps its name");
    }
    let mut inherited = inherited;
    let variables = inherited.variables();
    let passed = match Passed::of(std::mem::take(&mut inherited.listeners)) {
        Ok(passed) => passed,
        Err(message) => return unusable(&message),
    };
    let mut opened = match Opened::open(&config, passed) {
        Ok(opened) => opened,
        Err(message) => return unusable(&message),
    };
    if options.flags().has(Source::GunicornVariable) {
        tracing::info!("GUNICORN_CMD_ARGS: taken; MAITRED_CMD_ARGS and flags win over it");
    }
    if let Some((file, settings)) = &config.taken {
        tracing::info!("{file}: taken: {}", settings.join(", "));
    }
    if let Some(file) = gunicorn_conf::overlooked(&options.flags()) {
        tracing::warn!("{file} is there and is not read; --config {file} reads it");
    }
    for line in &config.left {
        tracing::warn!("not done: {line}");
    }
    let pidfile = match pidfile(&config, inherited.pidfile.take()) {
        Ok(pidfile) => pidfile.map(|pidfile| Rc::new(RefCell::new(pidfile))),
        Err(message) => return unusable(&message),
    };
    let files = Rc::new(RefCell::new(opened.take_files()));
    let handover = match opened.handover(pidfile.as_deref(), variables) {
        Ok(handover) => handover,
        Err(error) => return unusable(&format!("not enough descriptors: {error}")),
    };
    let own = (pidfile.clone(), files.clone(), std::mem::take(&mut opened.files_left));
    let at_ready = Box::new(move || {
        // Until now the files of a server that this one replaces were that one's.
        let (pidfile, files, mut left) = own;
        // Those that nobody serves any more go with this.
        left.iter_mut().for_each(SocketFile::claim);
        files.borrow_mut().iter_mut().for_each(SocketFile::claim);
        if let Some(pidfile) = pidfile
            && let Err(error) = pidfile.borrow_mut().claim()
        {
            tracing::error!(%error, "the pidfile could not be written");
        }
    });
    let systemd = Systemd::new(notifier(inherited.notify.as_deref()), inherited.watchdog);
    let launcher = Launcher::new(inherited.ready, inherited.is_background, at_ready);
    // As long as it may.
    if let Err(error) = limits::raise_descriptors() {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
    let standing = match give_up(&config).and_then(|standing| opened.open_log(&config).map(|()| standing)) {
        Ok(standing) => standing,
        Err(message) => return unusable(&message),
    };
    let hosting = Hosting { launcher, systemd, handover, is_successor: inherited.is_successor, standing };
    let ending = serve(config, options, opened, main_log, hosting);
    if matches!(ending, Ok(Ending::Succeeded(_) | Ending::Restart(_))) {
        files.borrow_mut().iter_mut().for_each(SocketFile::leave);
    }
    if let (Ok(Ending::Succeeded(_)), Some(pidfile)) = (&ending, &pidfile) {
        pidfile.borrow_mut().leave();
    }
    match ending {
        Ok(Ending::Restart(handover)) => Ended::Restart(handover),
        Ok(Ending::Exit(code) | Ending::Succeeded(code)) => {
            Ended::Exit(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        Err(error) => {
            tracing::error!(%error, "the server cannot run");
            Ended::Exit(ExitCode::FAILURE)
        }
    }
}

/// What connects the server with whoever has started it, and with whoever comes after it.
struct Hosting {
    launcher: Launcher,
    systemd: Systemd,
    handover: Handover,
    is_successor: bool,
    standing: Standing,
}

/// The pidfile, if there is to be one: the one of the server that is replaced, or one of our own.
fn pidfile(config: &Config, inherited: Option<OwnedFd>) -> Result<Option<Pidfile>, String> {
    let Some(path) = config.server.pidfile.as_deref() else { return Ok(None) };
    match inherited.and_then(|file| Pidfile::inherit(path, file)) {
        Some(pidfile) => Ok(Some(pidfile)),
        None => Pidfile::write(path).map(Some),
    }
}

/// The way to the service manager, if there is one.
fn notifier(address: Option<&OsStr>) -> Option<Notifier> {
    let address = address?;
    let connected = Notifier::connect(address);
    connected.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET {} can't be used", address.display())).ok()
}

fn unusable(message: &str) -> Ended {
    tracing::error!("{message}");
    Ended::Exit(ExitCode::from(EXIT_UNUSABLE))
}

fn serve(
    config: Config,
    options: Options,
    opened: Opened,
    main_log: Arc<MainLog>,
    hosting: Hosting,
) -> io::Result<Ending> {
    let Opened { listeners, admin, mut control, access_log, certificates, statsd, .. } = opened;
    for address in &admin.addresses {
        tracing::info!("admin: listening on {address}");
    }
    process::become_subreaper()?;
    let config = Arc::new(config);
    let server = Arc::new(config.server.clone());
    let readiness = Arc::new(Readiness::default());
    let cpus = usable_cpus();
    let (news, from_shards) = mailbox(MAILBOX_CAPACITY * config.server.shards)?;
    let (mut shards, mut replies, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    let spool = config.app.as_ref().map_or_else(std::env::temp_dir, |app| app.spool_dir.clone());
    // Four places for each connection that there can be.
    let keys_max = (server.max_connections * server.shards * 4).min(LIMIT_KEYS_MAX as usize);
    let per_address = server.max_connections_per_address.map(|_| Arc::new(Counts::new(keys_max)));
    for (number, own) in listeners.by_shard.into_iter().enumerate() {
        let (mail, letters) = mailbox(MAILBOX_CAPACITY)?;
        let (ours, workers) = packets::pair()?;
        threads.push(shard::spawn(ShardSetup {
            number: number as u32,
            // With more shards than CPUs pinning would only pile them up.
            cpu: (server.shards <= cpus.len()).then(|| cpus[number]),
            user: hosting.standing.shards.clone(),
            listeners: own,
            https_port: listeners.https_port,
            replies: ours,
            mail: letters,
            news: news.clone(),
            server: server.clone(),
            per_address: per_address.clone(),
            readiness: readiness.clone(),
            queue_max: config.app.as_ref().map_or(1, |app| app.queue),
            retry_safe: config.app.as_ref().is_some_and(|app| app.retry_safe),
            queue_timeout: config.app.as_ref().and_then(|app| app.queue_timeout),
            overload_timeout: config.app.as_ref().and_then(|app| app.overload_timeout),
            spool: spool.clone(),
            response_buffer_bytes: config.app.as_ref().map_or(0, |app| app.response_buffer_bytes),
            response_spool_bytes_max: config.app.as_ref().map_or(0, |app| app.response_spool_bytes_max),
        })?);
        shards.push(mail);
        replies.push(workers);
    }
    let ending = supervise(SupervisorSetup {
        config,
        reconfigure: Box::new(move |scales: &[(String, i64)]| reconfigure(&options, scales)),
        shards,
        news: from_shards,
        replies,
        addresses: listeners.addresses,
        readiness,
        admin: admin.by_shard.into_iter().flatten().map(|listener| listener.socket).collect(),
        control: std::mem::take(&mut control.sockets),
        main_log,
        access_log,
        certificates,
        statsd,
        launcher: hosting.launcher,
        systemd: hosting.systemd,
        handover: hosting.handover,
        is_successor: hosting.is_successor,
        has_given_up_root: hosting.standing.is_final,
    })?;
    for thread in threads {
        // A shard that has not stopped by now, or never began, is not waited for.
        if thread.is_finished() && thread.join().is_err() {
            return Ok(Ending::Exit(1));
        }
    }
    Ok(ending)
}
