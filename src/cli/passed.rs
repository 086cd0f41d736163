//! Listening sockets that were passed on, by systemd or by the server that is being replaced: found by their addresses.
//!
//! Owns which socket serves which configured address. Opens nothing.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::control_sockets::SocketFile;
use crate::config::Listen;
use crate::sys::listen;

/// Sockets that nobody has claimed yet.
#[derive(Debug, Default)]
pub(super) struct Passed(Vec<(Listen, Socket)>);

/// A socket, and whether it is systemd's, or somebody else's who has started the server. If it is not, it is of the server that is being replaced, and its file is ours to remove.
pub(super) type Socket = (OwnedFd, bool);

impl Passed {
    /// Looks at each socket's address.
    ///
    /// # Errors
    /// A sentence: one is no socket on which connections can be accepted.
    pub fn of(sockets: Vec<Socket>) -> Result<Passed, String> {
        let address = |socket: Socket| match listen::listening_address(&socket.0) {
            Ok(address) => Ok((address.into(), socket)),
            Err(error) => Err(format!("a descriptor was passed on that is no listening socket: {error}")),
        };
        Ok(Passed(sockets.into_iter().map(address).collect::<Result<_, _>>()?))
    }

    /// Every socket of this address; of the first that there is where the kernel may choose the port.
    pub fn take(&mut self, wanted: &Listen) -> Vec<Socket> {
        let Some(found) = self.0.iter().map(|(address, _)| address).find(|found| is_same(found, wanted)).cloned()
        else {
            return Vec::new();
        };
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(address, _)| *address == found);
        self.0 = left;
        let taken: Vec<(Listen, Socket)> = taken;
        taken.into_iter().map(|(_, socket)| socket).collect()
    }

    /// The files of the predecessor's sockets that nobody has taken.
    pub fn files_left(&self) -> Vec<SocketFile> {
        let left = self.0.iter().filter_map(|(address, (_, of_systemd))| match address {
            Listen::Unix(path) if !of_systemd => Some(SocketFile::of_another(path.clone())),
            _ => None,
        });
        left.collect()
    }

    /// The addresses of systemd's sockets, each once: they are served whatever the configuration says.
    pub fn of_systemd(&self) -> Vec<Listen> {
        let mut found: Vec<Listen> = Vec::new();
        for (address, (_, of_systemd)) in &self.0 {
            if *of_systemd && !found.contains(address) {
                found.push(address.clone());
            }
        }
        found
    }
}

/// Whether a socket of the address `found` is one for `wanted`. A socket for every address of IPv6 accepts those of IPv4 too, and is what systemd
/// makes of a port alone.
pub(super) fn is_same(found: &Listen, wanted: &Listen) -> bool {
    let is_any = |address: &SocketAddr| address.ip().is_unspecified();
    match (found, wanted) {
        (Listen::Tcp(found), Listen::Tcp(wanted)) => {
            let is_for_all = found.is_ipv6() && is_any(found) && is_any(wanted);
            let is_port = wanted.port() == 0 || found.port() == wanted.port();
            is_port && (found.ip() == wanted.ip() || is_for_all)
        }
        _ => found == wanted,
    }
}

/// One socket for each of `shards`, all that there are: a socket of a group that nobody accepts on would keep the connections that the kernel gives it.
/// Shards without a socket of their own share those of others.
///
/// # Errors
/// There is no descriptor left.
pub(super) fn deal(sockets: Vec<OwnedFd>, shards: usize) -> std::io::Result<Vec<Vec<OwnedFd>>> {
    let mut dealt: Vec<Vec<OwnedFd>> = (0..shards).map(|_| Vec::new()).collect();
    for number in sockets.len()..shards {
        dealt[number].push(sockets[number % sockets.len()].try_clone()?);
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        dealt[number % shards].push(socket);
    }
    Ok(dealt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::listen::{TcpOptions, UnixOptions, tcp, unix};

    fn local(socket: &OwnedFd) -> Listen {
        Listen::Tcp(listen::local_addr(socket).expect("an address"))
    }

    #[test]
    fn sockets_are_found_by_their_addresses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.sock");
        let group = tcp("127.0.0.1:0".parse().expect("an address"), 2, TcpOptions::default()).expect("a port");
        let address = local(&group[0]);
        let mut sockets: Vec<Socket> = group.into_iter().map(|socket| (socket, false)).collect();
        sockets.push((
            unix(&path, UnixOptions { backlog: 8, mode: 0o600, uid: None, gid: None }).expect("a socket"),
            true,
        ));
        let mut passed = Passed::of(sockets).expect("all of them listen");
        assert_eq!(passed.take(&address).len(), 2);
        assert!(passed.take(&address).is_empty());
        assert_eq!(passed.of_systemd(), [Listen::Unix(path.clone())]);
        assert_eq!(passed.take(&Listen::Unix(path)).len(), 1);
        assert!(passed.of_systemd().is_empty());
        let (other, _) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert!(Passed::of(vec![(other.into(), false)]).is_err());
    }

    #[test]
    fn any_address_of_ipv6_is_any_address() {
        let tcp = |text: &str| Listen::Tcp(text.parse().expect("an address"));
        assert!(is_same(&tcp("[::]:80"), &tcp("0.0.0.0:80")));
        assert!(is_same(&tcp("127.0.0.1:80"), &tcp("127.0.0.1:0")), "the kernel has chosen it before");
        assert!(!is_same(&tcp("[::]:80"), &tcp("0.0.0.0:81")) && !is_same(&tcp("0.0.0.0:80"), &tcp("[::]:80")));
        assert!(!is_same(&tcp("[::1]:80"), &tcp("127.0.0.1:80")));
    }

    #[test]
    fn every_socket_has_a_shard_and_every_shard_a_socket() {
        let sockets =
            |count| tcp("127.0.0.1:0".parse().expect("an address"), count, TcpOptions::default()).expect("a port");
        for (count, shards, expected) in [(1, 3, vec![1, 1, 1]), (3, 2, vec![2, 1]), (2, 2, vec![1, 1])] {
            let dealt = deal(sockets(count), shards).expect("descriptors");
            assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{count} for {shards}");
        }
    }
}
