//! `daemon = true`: the server goes on in the background, and the command ends with what became of its start.
//!
//! Owns the wait. The server in the background is this program started anew, in a session of its own; it says over a pipe when it is ready.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::pipe::{PipeFlags, pipe_with};

use super::complain;
use crate::sys::inherited::{BACKGROUND_VARIABLE, Inherited, READY_VARIABLE};
use crate::sys::process::{Exit, wait_for};
use crate::sys::spawn::Spawn;

/// The number that the pipe has in the server.
const READY: i32 = 3;

/// Starts the server in the background. The exit code is 0 once it is ready, else its own.
#[must_use]
pub fn start(inherited: &Inherited) -> ExitCode {
    if inherited.notify.is_some() || !inherited.listeners.is_empty() {
        // It neither finds its main process in the background nor passes its sockets on there.
        complain("maitred: systemd looks after programs in the foreground; leave daemon out");
    }
    match started() {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("maitred: cannot go on in the background: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn started() -> io::Result<ExitCode> {
    let (heard, told) = pipe_with(PipeFlags::CLOEXEC)?;
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    env.push((BACKGROUND_VARIABLE.into(), "1".into()));
    env.push((READY_VARIABLE.into(), READY.to_string().into()));
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let program = std::env::current_exe()?;
    let child = Spawn {
        args: &args,
        env: &env,
        // Standard error until it is ready, so that what keeps it from that is seen.
        descriptors: &[(null.as_fd(), 1), (told.as_fd(), READY)],
        new_session: true,
        ..Spawn::of(program.as_os_str())
    }
    .start()?;
    drop(told);
    let mut byte = [0];
    if rustix::io::retry_on_intr(|| rustix::io::read(&heard, &mut byte))? > 0 {
        return Ok(ExitCode::SUCCESS);
    }
    match wait_for(child.pid)? {
        Exit::Code(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        Exit::Signal { .. } | Exit::OutOfMemory | Exit::Unknown => Ok(ExitCode::FAILURE),
    }
}
