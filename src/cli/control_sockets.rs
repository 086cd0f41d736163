//! Opens the control sockets before anything runs.
//!
//! Owns what follows when the socket that nobody has asked for can't be had: a warning, and a server without it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::passed::Passed;

use crate::base::bounds::LISTEN_BACKLOG;
use crate::config::control::{automatic_sockets, prepare_directory};
use crate::config::{ControlConfig, Listen, SocketChoice};
use crate::supervise::run::ControlSockets;
use crate::sys::listen::{self, TcpOptions, UnixOptions};

/// The control sockets, and the file of the unix one for as long as this lives.
#[derive(Default)]
pub(super) struct Control {
    pub sockets: ControlSockets,
    pub file: Option<SocketFile>,
}

impl Control {
    /// Opens what is configured.
    ///
    /// # Errors
    /// A sentence: what was asked for can't be had.
    pub fn open(config: &ControlConfig, passed: &mut Passed) -> Result<Control, String> {
        let mut control = Control::default();
        match &config.socket {
            SocketChoice::Off => {}
            SocketChoice::Path(path) => control.open_unix(path.clone(), config, passed)?,
            SocketChoice::Automatic => {
                let path = automatic_sockets().into_iter().next().expect("the last resort is always there");
                let opened = prepare_directory(&path).and_then(|()| control.open_unix(path, config, passed));
                if let Err(reason) = opened {
                    tracing::warn!("{reason}; the server runs without a control socket (set socket in [control])");
                }
            }
        }
        for address in &config.listen {
            let Listen::Tcp(tcp) = address else { unreachable!("[control] listens on TCP") };
            let failed = |error| format!("cannot listen on {address} for control: {error}");
            let taken: Vec<_> = passed.take(address).into_iter().map(|(socket, _)| socket).collect();
            let sockets = match taken.is_empty() {
                true => listen::tcp(*tcp, 1, TcpOptions::default()).map_err(failed)?,
                false => taken,
            };
            let local = listen::local_addr(&sockets[0]).map_err(failed)?;
            tracing::info!("control: listening on http://{local}");
            control.sockets.guarded.extend(sockets);
        }
        control.sockets.credentials = config.credentials.clone();
        Ok(control)
    }

    fn open_unix(&mut self, path: PathBuf, config: &ControlConfig, passed: &mut Passed) -> Result<(), String> {
        let failed = |error| format!("cannot listen on the control socket {}: {error}", path.display());
        let (socket, file) = match passed.take(&Listen::Unix(path.clone())).pop() {
            Some((socket, of_systemd)) => (socket, (!of_systemd).then(|| SocketFile::of_another(path.clone()))),
            None => {
                let (uid, gid) = config.owner.map_or((None, None), |owner| (owner.uid, owner.gid));
                let options = UnixOptions { backlog: LISTEN_BACKLOG, mode: config.mode, uid, gid };
                (listen::unix(&path, options).map_err(failed)?, Some(SocketFile::new(path.clone())))
            }
        };
        tracing::info!("control: listening on unix:{}", path.display());
        self.sockets.url = Some(format!("unix://{}", path.display()));
        self.sockets.trusted.push(socket);
        self.file = file;
        Ok(())
    }
}

/// Removes a socket's file when the server ends, unless it is another server's by then.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl SocketFile {
    /// The socket there is still another server's: its file stays until [`SocketFile::claim`].
    pub fn of_another(path: PathBuf) -> SocketFile {
        SocketFile { path, inode: None }
    }

    /// It is this server's from now on.
    pub fn claim(&mut self) {
        self.inode = inode(&self.path);
    }

    /// The file stays: it is another server's by now.
    pub fn leave(&mut self) {
        self.inode = None;
    }

    /// The socket that was just made there.
    pub fn new(path: PathBuf) -> SocketFile {
        let inode = inode(&path);
        SocketFile { path, inode }
    }
}

fn inode(path: &std::path::Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            // Somebody else may have removed it already.
            let _ = fs::remove_file(&self.path);
        }
    }
}
