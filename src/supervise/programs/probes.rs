//! Tries whether a program is ready or alive: by a connection, a request, or its own word.
//!
//! Owns the tasks that wait; what follows is the machine's to say. A try is bounded in time and in what it reads.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::machine::{Happened, ProcessId};
use super::orphans::Orphan;
use crate::base::bounds::{CHECK_ANSWER_BYTES_MAX, ORPHAN_SECONDS};
use crate::config::{CheckConfig, Listen, Probe};
use crate::ring::{Descriptor, Payload, Ring, within};
use crate::supervise::inbox::{Happening, Inbox};
use crate::sys::notify::NotifySocket;
use crate::sys::process::{self, Pid, Signal};

/// Tries once, and puts the outcome into the inbox. Not for commands, which are processes.
pub(super) fn begin(ring: &Ring, inbox: &Rc<Inbox>, id: ProcessId, pid: Pid, check: CheckConfig) {
    let (ring, inbox) = (ring.clone(), inbox.clone());
    glommio::spawn_local(async move {
        let deadline = ring.deadline();
        deadline.set(check.timeout);
        let outcome = within(&deadline, Box::pin(attempt(&ring, &check.probe))).await;
        let wrong = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(wrong)) => Some(wrong),
            Err(_) => Some(format!("no answer within {:?}", check.timeout)),
        };
        inbox.push(Happening::Program(id, Happened::Checked(pid, wrong)));
    })
    .detach();
}

/// Puts a failure into the inbox after `timeout`.
pub(super) fn time_out(ring: &Ring, inbox: &Rc<Inbox>, command: Pid, timeout: Duration) {
    let (ring, inbox) = (ring.clone(), inbox.clone());
    glommio::spawn_local(async move {
        ring.sleep(timeout).await;
        inbox.push(Happening::CheckTimedOut(command));
    })
    .detach();
}

/// Puts word into the inbox when a process that is no child of maitred has ended.
pub(super) fn await_end(ring: &Ring, inbox: &Rc<Inbox>, pid: Pid) {
    let (ring, inbox) = (ring.clone(), inbox.clone());
    let Ok(pidfd) = process::pidfd(pid) else { return inbox.push(Happening::OrphanGone) };
    let pidfd: Descriptor = Rc::new(pidfd);
    glommio::spawn_local(async move {
        // An error, too, is a reason to look.
        let _ = ring.poll(&pidfd, libc::POLLIN as u32).await;
        inbox.push(Happening::OrphanGone);
    })
    .detach();
}

/// Asks a process that nobody looks after to end, and kills it some time later.
pub(super) fn end(ring: &Ring, orphan: &Orphan) {
    let (ring, orphan) = (ring.clone(), orphan.clone());
    orphan.signal(Signal::TERM);
    glommio::spawn_local(async move {
        ring.sleep(Duration::from_secs(ORPHAN_SECONDS)).await;
        orphan.signal(Signal::KILL);
    })
    .detach();
}

async fn attempt(ring: &Ring, probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Connect(address) => {
            connect(ring, address).await.map(drop).map_err(|error| format!("{}: {error}", shown(address)))
        }
        Probe::Http { address, host, target } => {
            let status =
                ask(ring, address, host, target).await.map_err(|error| format!("{address}{target}: {error}"))?;
            match status {
                200..=399 => Ok(()),
                status => Err(format!("{address}{target}: status {status}")),
            }
        }
        Probe::Command(_) | Probe::Notify => Ok(()),
    }
}

fn shown(address: &Listen) -> String {
    match address {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
    }
}

async fn connect(ring: &Ring, address: &Listen) -> io::Result<Descriptor> {
    let stream =
        |family| -> io::Result<OwnedFd> { Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?) };
    match address {
        Listen::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = Rc::new(stream(family)?);
            ring.connect(&socket, address).await?;
            Ok(socket)
        }
        Listen::Unix(path) => {
            // It is connected at once or, with a full backlog, not at all.
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
            rustix::io::ioctl_fionbio(&socket, false)?;
            Ok(Rc::new(socket))
        }
    }
}

/// The status of the answer to a GET.
async fn ask(ring: &Ring, address: &Listen, host: &str, target: &str) -> io::Result<u16> {
    let socket = connect(ring, address).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: maitred\r\nConnection: close\r\n\r\n");
    ring.send(&socket, Payload::Owned(request.clone().into_bytes(), 0..request.len())).await.sent?;
    let mut answer = Vec::new();
    while answer.len() < CHECK_ANSWER_BYTES_MAX && !answer.contains(&b'\n') {
        let read = ring.read_at(&socket, Vec::new(), CHECK_ANSWER_BYTES_MAX, u64::MAX).await?;
        if read.is_empty() {
            break;
        }
        answer.extend_from_slice(&read);
    }
    status(&answer).ok_or_else(|| io::Error::other("the answer is no HTTP"))
}

/// The code of a status line (RFC 9112 §4).
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let code = rest.get(2..5).filter(|_| rest.get(1) == Some(&b' ') && rest[0].is_ascii_digit())?;
    let is_ended = rest.get(5).is_none_or(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    std::str::from_utf8(code).ok()?.parse().ok().filter(|code| (100..=599).contains(code) && is_ended)
}

/// Listens to what a process says of itself, until the task is dropped. `users`: whose word counts.
pub(super) fn listen(
    ring: &Ring,
    inbox: &Rc<Inbox>,
    socket: NotifySocket,
    id: ProcessId,
    pid: Pid,
    users: [u32; 3],
) -> io::Result<glommio::Task<()>> {
    let (ring, inbox) = (ring.clone(), inbox.clone());
    let descriptor: Descriptor = Rc::new(socket.as_fd().try_clone_to_owned()?);
    Ok(glommio::spawn_local(async move {
        let mut buffer = [0; CHECK_ANSWER_BYTES_MAX];
        while ring.poll(&descriptor, libc::POLLIN as u32).await.is_ok() {
            // One message a turn: somebody who floods it holds up nobody.
            let Ok(Some((message, user))) = socket.try_recv(&mut buffer) else { continue };
            if !users.contains(&user) {
                continue;
            }
            for line in message.split(|byte| *byte == b'\n') {
                let happened = match line {
                    b"READY=1" => Happened::Ready(pid),
                    b"WATCHDOG=1" => Happened::Beat(pid),
                    _ => continue,
                };
                inbox.push(Happening::Program(id, happened));
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_line() {
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 20", None),
            (b"HTTP/1.1 2000\r\n", None),
            (b"HTTP/1.1 999 x\r\n", None),
            (b"HTTP/2 200\r\n", None),
            (b"SSH-2.0\r\n", None),
            (b"", None),
        ] {
            assert_eq!(status(answer), expected, "{:?}", answer.escape_ascii().to_string());
        }
    }
}
