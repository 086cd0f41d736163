//! A new server in the place of this one: what it is given, and how it is started.
//!
//! Owns copies of the listening sockets, which are given up as soon as this server stops for good: nobody may connect to a server that will not
//! answer. The way in which they are passed on is told by `sys::inherited`.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::inherited::{LISTENERS_VARIABLE, PIDFILE_VARIABLE, READY_VARIABLE, listed};
use crate::sys::spawn::{Child, Spawn};

/// The first descriptor that a successor gets beside the standard ones: the pipe over which it says that it serves.
const READY: RawFd = 3;

/// What a successor is given.
#[derive(Debug, Default)]
pub struct Handover {
    /// Every listening socket, and whether it is systemd's.
    pub sockets: Vec<(OwnedFd, bool)>,
    /// The pidfile, with its lock.
    pub pidfile: Option<OwnedFd>,
    /// What this server has taken out of its environment.
    pub variables: Vec<(OsString, OsString)>,
}

impl Handover {
    /// This process becomes the program anew, by its command line and with the sockets: whoever connects meanwhile waits in their queues. Returns
    /// only with what kept it from that.
    pub fn start_anew(self) -> io::Error {
        for (socket, _) in &self.sockets {
            if let Err(error) = fcntl_setfd(socket, FdFlags::empty()) {
                return error.into();
            }
        }
        let numbers: Vec<_> =
            self.sockets.iter().map(|(socket, of_systemd)| (socket.as_raw_fd(), *of_systemd)).collect();
        let mut line = std::env::args_os();
        let mut command = Command::new(line.next().unwrap_or_else(|| "maitred".into()));
        command.args(line).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env(LISTENERS_VARIABLE, listed(&numbers)).exec()
    }

    /// Starts the program anew by the command line of this one, beside it. Returns it, and the pipe on which it says that it serves.
    ///
    /// # Errors
    /// It can't be run.
    pub fn start(&self) -> io::Result<(Child, OwnedFd)> {
        let (heard, told) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut line = std::env::args_os();
        let program = line.next().unwrap_or_else(|| "maitred".into());
        let args: Vec<OsString> = line.collect();
        let mut descriptors: Vec<(BorrowedFd<'_>, RawFd)> = vec![(told.as_fd(), READY)];
        let mut numbers = (READY + 1)..;
        let mut give = |descriptor| {
            let number = numbers.next().expect("there is always a next number");
            descriptors.push((descriptor, number));
            number
        };
        let sockets: Vec<_> =
            self.sockets.iter().map(|(socket, of_systemd)| (give(socket.as_fd()), *of_systemd)).collect();
        let pidfile = self.pidfile.as_ref().map(|file| give(file.as_fd()));
        let mut env: Vec<(OsString, OsString)> = std::env::vars_os().chain(self.variables.iter().cloned()).collect();
        env.push((READY_VARIABLE.into(), READY.to_string().into()));
        env.push((LISTENERS_VARIABLE.into(), listed(&sockets).into()));
        env.extend(pidfile.map(|number| (PIDFILE_VARIABLE.into(), number.to_string().into())));
        let child = Spawn { args: &args, env: &env, descriptors: &descriptors, ..Spawn::of(&program) }.start()?;
        Ok((child, heard))
    }
}
