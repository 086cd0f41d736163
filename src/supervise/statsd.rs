//! Sends metrics to a statsd server, once a second.
//!
//! Owns the socket and the pace. What is sent is worked out by [`crate::observe::Statsd`]; a server that is not there costs nothing but the datagrams.

use std::io;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::config::{StatsdConfig, StatsdTarget};
use crate::observe::{Snapshot, Statsd};

/// Between two times.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The way to the server, and what it was told.
#[derive(Debug)]
pub struct StatsdSender {
    socket: Socket,
    statsd: Statsd,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram, std::path::PathBuf),
}

impl StatsdSender {
    /// Opens a socket, and looks a host's name up, which may wait for the name service.
    ///
    /// # Errors
    /// A sentence: the name is unknown, or there is no way to the host.
    pub fn open(config: &StatsdConfig) -> Result<StatsdSender, String> {
        let failed = |error: io::Error| format!("cannot send to statsd at {}: {error}", config.target);
        let socket = match &config.target {
            StatsdTarget::Udp(host, port) => {
                // A name of both families stands for its IPv4 address, as with Gunicorn: there is no answer by which to tell which one is right.
                let mut found: Vec<_> = (host.as_str(), *port).to_socket_addrs().map_err(failed)?.collect();
                found.sort_by_key(|address| address.is_ipv6());
                let address = found.first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).map_err(failed)?;
                socket.connect(address).map_err(failed)?;
                socket.set_nonblocking(true).map_err(failed)?;
                Socket::Udp(socket)
            }
            StatsdTarget::Unix(path) => {
                let socket = UnixDatagram::unbound().map_err(failed)?;
                socket.set_nonblocking(true).map_err(failed)?;
                Socket::Unix(socket, path.clone())
            }
        };
        Ok(StatsdSender { socket, statsd: Statsd::new(&config.prefix, &config.tags) })
    }

    /// Tells of what these copies count.
    pub(super) fn send(&mut self, snapshots: &[Box<Snapshot>], workers: u64) {
        for datagram in self.statsd.datagrams(snapshots, workers) {
            let sent = match &self.socket {
                Socket::Udp(socket) => socket.send(datagram.as_bytes()),
                Socket::Unix(socket, path) => socket.send_to(datagram.as_bytes(), path),
            };
            // Who is not there now may be later; metrics are nothing to wait for.
            if let Err(error) = sent {
                return tracing::debug!(%error, "statsd was not told");
            }
        }
    }
}
