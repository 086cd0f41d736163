//! A new server in the place of this one: what it is given, and how it is started.
//!
//! Owns copies of the listening sockets, which are given up as soon as this server stops: nobody may connect to a server that will not answer. The
//! way in which they are passed on is told by `sys::inherited`.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::inherited::{LISTENERS_VARIABLE, PIDFILE_VARIABLE, READY_VARIABLE, listed};
use crate::sys::restrict::Restrictions;
use crate::sys::spawn::{Child, Spawn};

/// The first descriptor that a successor gets beside the standard ones: the pipe over which it says that it serves.
const READY: RawFd = 3;

/// What a successor is given.
#[derive(Debug, Default)]
pub struct Handover {
    /// Every listening socket, and whether its file is this server's to remove.
    pub sockets: Vec<(OwnedFd, bool)>,
    /// The pidfile, with its lock.
    pub pidfile: Option<OwnedFd>,
    /// What this server has taken out of its environment.
    pub variables: Vec<(OsString, OsString)>,
}

impl Handover {
    /// Starts the program anew by the command line of this one. Returns it, and the pipe on which it says that it serves.
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
        let sockets: Vec<_> = self.sockets.iter().map(|(socket, is_ours)| (give(socket.as_fd()), *is_ours)).collect();
        let pidfile = self.pidfile.as_ref().map(|file| give(file.as_fd()));
        let mut env: Vec<(OsString, OsString)> = std::env::vars_os().chain(self.variables.iter().cloned()).collect();
        env.push((READY_VARIABLE.into(), READY.to_string().into()));
        env.push((LISTENERS_VARIABLE.into(), listed(&sockets).into()));
        env.extend(pidfile.map(|number| (PIDFILE_VARIABLE.into(), number.to_string().into())));
        let child = Spawn {
            program: &program,
            args: &args,
            env: &env,
            directory: None,
            descriptors: &descriptors,
            new_session: false,
            cpus: None,
            user: None,
            umask: None,
            restrictions: Restrictions::default(),
            group: None,
        }
        .start()?;
        Ok((child, heard))
    }
}
