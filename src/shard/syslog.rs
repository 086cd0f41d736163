//! The access log as messages to a syslog daemon (RFC 3164), one datagram a line.
//!
//! Owns the head of the messages and their sending. A daemon that is not there, or does not keep up, costs lines and never time: nothing
//! here waits. Each message names the daemon's address, so that one which was started anew is found again.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use memchr::memchr_iter;
use rustix::net::{SendFlags, SocketAddrUnix, sendto};

use crate::base::bounds::SYSLOG_BYTES_MAX;
use crate::config::{SyslogConfig, SyslogServer};
use crate::observe::access::Stamp;

/// A syslog daemon, and what it is told with each line.
pub(super) struct Syslog {
    socket: OwnedFd,
    server: SyslogServer,
    priority: u8,
    /// What stands between the time and the line.
    origin: Vec<u8>,
    /// The head of messages of one second.
    head: RefCell<(u64, Vec<u8>)>,
}

/// How a number of lines went.
pub(super) struct Outcome {
    /// Lines that were not taken.
    pub lost: u64,
    /// Why the last of them was not.
    pub error: Option<io::Error>,
}

impl Syslog {
    pub fn new(socket: OwnedFd, config: &SyslogConfig) -> Syslog {
        let mut origin = Vec::new();
        // As glibc's syslog(3) has it, messages to the host's own daemon do not name the host.
        if let SyslogServer::Udp(_) = config.server {
            origin.extend_from_slice(rustix::system::uname().nodename().to_bytes());
            origin.push(b' ');
        }
        origin.extend_from_slice(config.tag.as_bytes());
        origin.extend_from_slice(b": ");
        let head = RefCell::new((0, Vec::new()));
        Syslog { socket, server: config.server.clone(), priority: config.priority, origin, head }
    }

    /// Writes what stands before a line.
    pub fn begin(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = self.head.borrow_mut();
        if head.0 != stamp.second() || head.1.is_empty() {
            let mut text = vec![b'<'];
            text.extend_from_slice(itoa::Buffer::new().format(self.priority).as_bytes());
            text.push(b'>');
            text.extend_from_slice(stamp.syslog());
            text.push(b' ');
            text.extend_from_slice(&self.origin);
            *head = (stamp.second(), text);
        }
        out.extend_from_slice(&head.1);
    }

    /// Sends every line of `lines`, each of which has its head and ends in a line feed.
    pub fn send(&self, lines: &[u8]) -> Outcome {
        let mut outcome = Outcome { lost: 0, error: None };
        let mut start = 0;
        for end in memchr_iter(b'\n', lines) {
            let line = &lines[start..end];
            if let Err(error) = self.send_one(&line[..line.len().min(SYSLOG_BYTES_MAX)]) {
                outcome.lost += 1;
                outcome.error = Some(error);
            }
            start = end + 1;
        }
        outcome
    }

    fn send_one(&self, message: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match &self.server {
            SyslogServer::Unix(path) => sendto(&self.socket, message, flags, &SocketAddrUnix::new(path)?)?,
            SyslogServer::Udp(address) => sendto(&self.socket, message, flags, address)?,
        };
        Ok(())
    }
}
