//! Lines of programs as messages to a syslog daemon (RFC 3164), one datagram a line.
//!
//! Owns the sockets and the form of the messages. Nothing here waits: what a daemon does not take is counted and dropped, and told of when it
//! begins and ends.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};

use crate::base::bounds::SYSLOG_BYTES_MAX;
use crate::base::clock;
use crate::config::{SyslogConfig, SyslogServer};
use crate::observe::access::Stamp;
use crate::sys::zone;

/// The way to syslog, for all programs.
#[derive(Debug, Default)]
pub(super) struct Syslog {
    unix: OnceCell<OwnedFd>,
    v4: OnceCell<OwnedFd>,
    v6: OnceCell<OwnedFd>,
    stamp: Cell<Option<Stamp>>,
    lost: Cell<u64>,
}

impl Syslog {
    /// Sends one line of the process `name`.
    pub fn send(&self, config: &SyslogConfig, name: &str, line: &str) {
        let message = message(config, name, line, &self.stamp());
        match self.send_bytes(config, &message) {
            Ok(()) => {
                let lost_lines = self.lost.replace(0);
                if lost_lines > 0 {
                    tracing::warn!(lost_lines, "syslog takes lines of programs again");
                }
            }
            Err(error) => {
                let lost = self.lost.get();
                if lost == 0 {
                    tracing::warn!(program = name, %error, "lines of programs are lost: syslog does not take them");
                }
                self.lost.set(lost.saturating_add(1));
            }
        }
    }

    /// Made once a second.
    fn stamp(&self) -> Stamp {
        let second = clock::wall_seconds();
        match self.stamp.get().filter(|stamp| stamp.second() == second) {
            Some(stamp) => stamp,
            None => {
                let stamp = Stamp::new(second, zone::offset_minutes(second));
                self.stamp.set(Some(stamp));
                stamp
            }
        }
    }

    fn send_bytes(&self, config: &SyslogConfig, message: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match &config.server {
            SyslogServer::Unix(path) => {
                let socket = made(&self.unix, AddressFamily::UNIX)?;
                sendto(socket, message, flags, &SocketAddrUnix::new(path)?)?;
            }
            SyslogServer::Udp(address) if address.is_ipv4() => {
                sendto(made(&self.v4, AddressFamily::INET)?, message, flags, address)?;
            }
            SyslogServer::Udp(address) => {
                sendto(made(&self.v6, AddressFamily::INET6)?, message, flags, address)?;
            }
        }
        Ok(())
    }
}

fn made(socket: &OnceCell<OwnedFd>, family: AddressFamily) -> io::Result<&OwnedFd> {
    if socket.get().is_none() {
        let _ = socket.set(socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?);
    }
    Ok(socket.get().expect("it was just made"))
}

/// `<14>Nov 24 10:00:00 celery: line`; with the host's name behind the time where another host reads it.
fn message(config: &SyslogConfig, name: &str, line: &str, stamp: &Stamp) -> Vec<u8> {
    let mut message = format!("<{}>", config.priority).into_bytes();
    message.extend_from_slice(stamp.syslog());
    message.push(b' ');
    if let SyslogServer::Udp(_) = config.server {
        message.extend_from_slice(rustix::system::uname().nodename().to_bytes());
        message.push(b' ');
    }
    message.extend_from_slice(if config.tag.is_empty() { name } else { &config.tag }.as_bytes());
    message.extend_from_slice(b": ");
    message.extend_from_slice(line.as_bytes());
    message.truncate(SYSLOG_BYTES_MAX);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_process_unless_it_has_a_tag() {
        let mut config =
            SyslogConfig { server: SyslogServer::Unix("/dev/log".into()), priority: 14, tag: String::new() };
        let stamp = Stamp::new(1_795_514_400, 0);
        let text = |config: &SyslogConfig| String::from_utf8(message(config, "web:a", "hello", &stamp)).expect("text");
        assert_eq!(text(&config), "<14>Nov 24 10:00:00 web:a: hello");
        config.tag = "site".to_owned();
        assert_eq!(text(&config), "<14>Nov 24 10:00:00 site: hello");
    }
}
