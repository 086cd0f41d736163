//! What is opened before anything runs: listening sockets, or those that were passed on, the access log, certificates.
//!
//! Owns the order of it, and what is said when something can't be had. Called by `serve`.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;

use super::control_sockets::{Control, SocketFile};
use super::passed::{Passed, deal, is_same};
use super::pidfile::Pidfile;
use crate::config::{Config, Listen, Listener};
use crate::shard::{Protocol, ShardListener};
use crate::supervise::access_log::AccessLogFile;
use crate::supervise::certificates::Certificates;
use crate::supervise::handover::Handover;
use crate::supervise::statsd::StatsdSender;
use crate::sys::listen::{self, TcpOptions, UnixOptions};

/// The port of HTTPS (RFC 9110 §4.2.2).
const PORT_HTTPS: u16 = 443;
/// Permissions of the admin listener's socket file, which not everybody on the host may ask.
const ADMIN_SOCKET_MODE: u32 = 0o660;

/// What is opened before anything runs.
pub(super) struct Opened {
    pub listeners: Listeners,
    pub admin: Listeners,
    pub control: Control,
    /// `None` until it is opened, see [`Opened::open_log`].
    pub access_log: Option<AccessLogFile>,
    pub certificates: Option<Certificates>,
    pub statsd: Option<StatsdSender>,
    /// Files of a predecessor's sockets that are served no longer.
    pub files_left: Vec<SocketFile>,
    /// Addresses of systemd's sockets.
    of_systemd: Vec<Listen>,
}

impl Opened {
    pub fn open(config: &Config, mut passed: Passed) -> Result<Opened, String> {
        let of_systemd = passed.of_systemd();
        let server = &config.server;
        let backlog = i32::try_from(server.backlog).unwrap_or(i32::MAX);
        let options = TcpOptions { backlog, deferred: server.deferred, ..TcpOptions::default() };
        let admin = |address: &Listen| Listener { mode: ADMIN_SOCKET_MODE, ..Listener::plain(address.clone()) };
        let admin: Vec<_> = config.admin.iter().map(admin).collect();
        // With programs alone there is nobody to accept.
        let shards = if server.listen.is_empty() { 0 } else { server.shards };
        let admin = Listeners::open(&admin, 1, TcpOptions::default(), &mut passed)?;
        let control = Control::open(&config.control, &mut passed)?;
        let listen = addresses(config, &passed);
        let listeners = Listeners::open(&listen, shards, options, &mut passed)?;
        for address in passed.of_systemd() {
            tracing::warn!("a socket for {address} was passed on, and nothing is served there");
        }
        Ok(Opened {
            listeners,
            admin,
            control,
            access_log: None,
            certificates: Certificates::open(config)?,
            files_left: passed.files_left(),
            of_systemd,
            statsd: server.statsd.as_ref().map(StatsdSender::open).transpose()?,
        })
    }

    /// Opens the access log, by whoever the server runs as.
    ///
    /// # Errors
    /// A sentence: it can't be opened.
    pub fn open_log(&mut self, config: &Config) -> Result<(), String> {
        self.access_log = config.server.access_log.as_ref().map(AccessLogFile::open).transpose()?;
        Ok(())
    }

    /// The files of the sockets, which go with them.
    pub fn take_files(&mut self) -> Vec<SocketFile> {
        let mut files = std::mem::take(&mut self.listeners.files);
        files.append(&mut self.admin.files);
        files.extend(self.control.file.take());
        files
    }

    /// What a server that replaces this one is given.
    pub fn handover(
        &self,
        pidfile: Option<&RefCell<Pidfile>>,
        variables: Vec<(OsString, OsString)>,
    ) -> io::Result<Handover> {
        let listeners = self.listeners.by_shard.iter().chain(&self.admin.by_shard).flatten();
        let control = self.control.sockets.trusted.iter().chain(&self.control.sockets.guarded);
        let mut sockets = Vec::new();
        for socket in listeners.map(|listener| &listener.socket).chain(control) {
            let address = listen::listening_address(socket)?.into();
            sockets.push((socket.try_clone()?, self.of_systemd.contains(&address)));
        }
        let pidfile = pidfile.map(|pidfile| pidfile.borrow().share()).transpose()?;
        Ok(Handover { sockets, pidfile, variables })
    }
}

/// Where to listen: where the configuration says, and where systemd has passed sockets on for. If it says nothing these are all there is.
fn addresses(config: &Config, passed: &Passed) -> Vec<Listener> {
    let server = &config.server;
    if server.listen.is_empty() {
        return Vec::new();
    }
    let of_systemd = passed.of_systemd();
    let is_replaced = server.listen_is_default && !of_systemd.is_empty();
    let mut listen = if is_replaced { Vec::new() } else { server.listen.clone() };
    for address in of_systemd {
        if !listen.iter().any(|listener| is_same(&address, &listener.address)) {
            let tls = !config.tls.is_empty() && matches!(&address, Listen::Tcp(tcp) if tcp.port() == PORT_HTTPS);
            listen.push(Listener { tls, ..Listener::plain(address) });
        }
    }
    listen
}

/// The listening sockets, sorted by shard.
pub(super) struct Listeners {
    pub by_shard: Vec<Vec<ShardListener>>,
    /// Where redirects to HTTPS lead.
    pub https_port: u16,
    pub addresses: Vec<String>,
    /// Socket files, which go with the listeners.
    files: Vec<SocketFile>,
}

impl Listeners {
    fn open(listen: &[Listener], shards: usize, options: TcpOptions, passed: &mut Passed) -> Result<Listeners, String> {
        let mut https_ports = Vec::new();
        let mut by_shard: Vec<Vec<ShardListener>> = (0..shards).map(|_| Vec::new()).collect();
        let (mut addresses, mut files) = (Vec::new(), Vec::new());
        for listener in listen {
            let failed = |error: io::Error| format!("cannot listen on {listener}: {error}");
            let taken = passed.take(&listener.address);
            let is_passed = !taken.is_empty();
            let is_of_systemd = taken.iter().any(|(_, of_systemd)| *of_systemd);
            let taken: Vec<_> = taken.into_iter().map(|(socket, _)| socket).collect();
            let sockets = match &listener.address {
                Listen::Tcp(tcp) => {
                    let sockets = match is_passed {
                        true => taken,
                        false => {
                            let options = TcpOptions { v6_only: listener.ipv6_only, ..options };
                            listen::tcp(*tcp, shards, options).map_err(failed)?
                        }
                    };
                    let local = listen::local_addr(&sockets[0]).map_err(failed)?;
                    if listener.tls {
                        https_ports.push(local.port());
                    }
                    addresses.push(format!("{}://{local}", if listener.tls { "https" } else { "http" }));
                    sockets
                }
                Listen::Unix(path) => {
                    let sockets = match is_passed {
                        true => taken,
                        false => {
                            let (uid, gid) = listener.owner.map_or((None, None), |owner| (owner.uid, owner.gid));
                            let options = UnixOptions { backlog: options.backlog, mode: listener.mode, uid, gid };
                            vec![listen::unix(path, options).map_err(failed)?]
                        }
                    };
                    if is_passed && !is_of_systemd {
                        files.push(SocketFile::of_another(path.clone()));
                    } else if !is_passed {
                        files.push(SocketFile::new(path.clone()));
                    }
                    addresses.push(format!("unix:{}", path.display()));
                    sockets
                }
            };
            let is_shared = sockets.len() < shards;
            let dealt = deal(sockets, shards).map_err(failed)?;
            for (own, sockets) in by_shard.iter_mut().zip(dealt) {
                let protocol = Protocol {
                    tls: listener.tls,
                    redirect_https: listener.redirect_https,
                    proxy_header: listener.proxy_protocol,
                };
                own.extend(sockets.into_iter().map(|socket| ShardListener { socket, protocol, is_shared }));
            }
        }
        // Where browsers look by themselves, if that is one of them.
        let https_port = https_ports.iter().copied().find(|&port| port == PORT_HTTPS).or(https_ports.first().copied());
        let https_port = https_port.unwrap_or(PORT_HTTPS);
        Ok(Listeners { by_shard, https_port, addresses, files })
    }
}
