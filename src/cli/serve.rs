//! `maitred serve`: from a checked configuration to a server that has stopped.
//!
//! Owns the order of things: what can fail for reasons of the environment is tried before anything runs. Then every thread does
//! its part until the supervisor says that the program is to exit.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use super::control_sockets::{Control, SocketFile};
use super::privileges::{Standing, give_up};
use super::{EXIT_UNUSABLE, Options, complain, reconfigure};
use crate::base::bounds::{LIMIT_KEYS_MAX, LISTEN_BACKLOG, MAILBOX_CAPACITY};
use crate::base::mail::mailbox;
use crate::config::{Config, Listen, Listener};
use crate::limits::Counts;
use crate::observe::Readiness;
use crate::shard::{self, Protocol, ShardListener, ShardSetup};
use crate::supervise::access_log::AccessLogFile;
use crate::supervise::certificates::Certificates;
use crate::supervise::main_log::MainLog;
use crate::supervise::run::{Ending, SupervisorSetup, run as supervise};
use crate::sys::affinity::usable_cpus;
use crate::sys::listen::{self, TcpOptions, UnixOptions};
use crate::sys::{limits, packets, process};

/// The port of HTTPS (RFC 9110 §4.2.2).
const PORT_HTTPS: u16 = 443;
/// Permissions of the admin listener's socket file, which not everybody on the host may ask.
const ADMIN_SOCKET_MODE: u32 = 0o660;

/// How serving has ended.
#[must_use]
pub enum Ended {
    /// The program exits.
    Exit(ExitCode),
    /// The program is to start anew.
    Restart,
}

impl Ended {
    /// The exit code; to start anew, this process becomes what it was started as.
    pub fn finish(self) -> ExitCode {
        match self {
            Ended::Exit(code) => code,
            Ended::Restart => {
                let mut line = std::env::args_os();
                let error = Command::new(line.next().unwrap_or_else(|| "maitred".into())).args(line).exec();
                complain(format_args!("maitred: cannot start anew: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// Serves until told to stop. `options` are read again for a reload.
pub fn run(config: Config, options: Options, main_log: Arc<MainLog>) -> Ended {
    let opened = match Opened::open(&config) {
        Ok(opened) => opened,
        Err(message) => return unusable(&message),
    };
    for line in &config.left {
        tracing::warn!("not done: {line}");
    }
    let pidfile = match config.server.pidfile.as_deref().map(Pidfile::write).transpose() {
        Ok(pidfile) => pidfile,
        Err(message) => return unusable(&message),
    };
    // As long as it may.
    if let Err(error) = limits::raise_descriptors() {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
    let prepared = give_up(&config).and_then(|standing| {
        let access_log = config.server.access_log.as_ref().map(AccessLogFile::open).transpose()?;
        Ok((standing, access_log))
    });
    let (standing, access_log) = match prepared {
        Ok(prepared) => prepared,
        Err(message) => return unusable(&message),
    };
    let ending = serve(config, options, Prepared { opened, access_log, standing }, main_log);
    drop(pidfile);
    match ending {
        Ok(Ending::Restart) => Ended::Restart,
        Ok(Ending::Exit(code)) => Ended::Exit(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        Err(error) => {
            tracing::error!(%error, "the server cannot run");
            Ended::Exit(ExitCode::FAILURE)
        }
    }
}

fn unusable(message: &str) -> Ended {
    tracing::error!("{message}");
    Ended::Exit(ExitCode::from(EXIT_UNUSABLE))
}

/// What there is before anything runs.
struct Prepared {
    opened: Opened,
    access_log: Option<AccessLogFile>,
    standing: Standing,
}

fn serve(config: Config, options: Options, prepared: Prepared, main_log: Arc<MainLog>) -> io::Result<Ending> {
    let Prepared { opened: Opened { listeners, admin, mut control, certificates }, access_log, standing } = prepared;
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
            user: standing.shards.clone(),
            listeners: own,
            https_port: listeners.https_port,
            replies: ours,
            mail: letters,
            news: news.clone(),
            server: server.clone(),
            per_address: per_address.clone(),
            readiness: readiness.clone(),
            queue_max: config.app.as_ref().map_or(1, |app| app.queue),
            // A request that waits longer than it may take once it is taken is of no use to anybody.
            queue_timeout: config.app.as_ref().and_then(|app| app.timeout),
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
        has_given_up_root: standing.is_final,
    })?;
    for thread in threads {
        // A shard that has not stopped by now, or never began, is not waited for.
        if thread.is_finished() && thread.join().is_err() {
            return Ok(Ending::Exit(1));
        }
    }
    Ok(ending)
}

/// What is opened before anything runs, with the rights that the process was started with.
struct Opened {
    listeners: Listeners,
    admin: Listeners,
    control: Control,
    certificates: Option<Certificates>,
}

impl Opened {
    fn open(config: &Config) -> Result<Opened, String> {
        let server = &config.server;
        let backlog = i32::try_from(server.backlog).unwrap_or(i32::MAX);
        let admin = |address: &Listen| Listener { mode: ADMIN_SOCKET_MODE, ..Listener::plain(address.clone()) };
        let admin: Vec<_> = config.admin.iter().map(admin).collect();
        // With programs alone there is nobody to accept.
        let shards = if server.listen.is_empty() { 0 } else { server.shards };
        Ok(Opened {
            listeners: Listeners::open(&server.listen, shards, backlog)?,
            admin: Listeners::open(&admin, 1, LISTEN_BACKLOG)?,
            control: Control::open(&config.control)?,
            certificates: Certificates::open(config)?,
        })
    }
}

/// The listening sockets, sorted by shard.
struct Listeners {
    by_shard: Vec<Vec<ShardListener>>,
    /// Where redirects to HTTPS lead.
    https_port: u16,
    addresses: Vec<String>,
    /// Socket files, which go with the listeners.
    _files: Vec<SocketFile>,
}

impl Listeners {
    fn open(listen: &[Listener], shards: usize, backlog: i32) -> Result<Listeners, String> {
        let mut https_ports = Vec::new();
        let mut by_shard: Vec<Vec<ShardListener>> = (0..shards).map(|_| Vec::new()).collect();
        let (mut addresses, mut files) = (Vec::new(), Vec::new());
        for listener in listen {
            let failed = |error: io::Error| format!("cannot listen on {listener}: {error}");
            let sockets = match &listener.address {
                Listen::Tcp(tcp) => {
                    let options = TcpOptions { backlog, v6_only: listener.ipv6_only };
                    let sockets = listen::tcp(*tcp, shards, options).map_err(failed)?;
                    let local = listen::local_addr(&sockets[0]).map_err(failed)?;
                    if listener.tls {
                        https_ports.push(local.port());
                    }
                    addresses.push(format!("{}://{local}", if listener.tls { "https" } else { "http" }));
                    sockets
                }
                Listen::Unix(path) => {
                    let (uid, gid) = listener.owner.map_or((None, None), |owner| (owner.uid, owner.gid));
                    let options = UnixOptions { backlog, mode: listener.mode, uid, gid };
                    let first = listen::unix(path, options).map_err(failed)?;
                    files.push(SocketFile::new(path.clone()));
                    addresses.push(format!("unix:{}", path.display()));
                    let others: io::Result<Vec<_>> = (1..shards).map(|_| first.try_clone()).collect();
                    std::iter::once(first).chain(others.map_err(failed)?).collect()
                }
            };
            for (own, socket) in by_shard.iter_mut().zip(sockets) {
                let protocol = Protocol {
                    tls: listener.tls,
                    redirect_https: listener.redirect_https,
                    proxy_header: listener.proxy_protocol,
                };
                own.push(ShardListener { socket, protocol });
            }
        }
        // Where browsers look by themselves, if that is one of them.
        let https_port = https_ports.iter().copied().find(|&port| port == PORT_HTTPS).or(https_ports.first().copied());
        let https_port = https_port.unwrap_or(PORT_HTTPS);
        Ok(Listeners { by_shard, https_port, addresses, _files: files })
    }
}

/// The file with the server's process id, for as long as it runs.
struct Pidfile(PathBuf);

impl Pidfile {
    fn write(path: &Path) -> Result<Pidfile, String> {
        let text = format!("{}\n", std::process::id());
        match std::fs::write(path, text) {
            Ok(()) => Ok(Pidfile(path.to_owned())),
            Err(error) => Err(format!("cannot write the pidfile {}: {error}", path.display())),
        }
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Not another server's that has put itself in our place.
        let own = std::fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == std::process::id().to_string());
        if own {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
