//! Accepting connections, and letting each live in a task of its own.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::connection::Connection;
use super::panic::contained;
use super::state::{Entry, Phase, Shard};
use crate::base::clock::Monotonic;
use crate::http::PeerAddress;
use crate::limits::{Claim, Held};
use crate::ring::{AcceptStream, Descriptor};

/// How long to wait before accepting again when descriptors or connections have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// How soon to look whether a connection that was told to end has done so.
const ENDING_PAUSE: Duration = Duration::from_millis(2);

/// Connections between requests that are ended at once for those that wait to be accepted.
const ENDED_AT_ONCE: usize = 32;

/// That connections or descriptors have run out is said once in so long.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// What a shard listens on.
pub struct ShardListener {
    /// The socket.
    pub socket: OwnedFd,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Whether other shards accept on it too.
    pub is_shared: bool,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// TLS.
    pub tls: bool,
    /// Plain HTTP, and only to send clients on to HTTPS.
    pub redirect_https: bool,
    /// Before either, a PROXY header.
    pub proxy_header: bool,
}

/// A listener on which a task accepts.
pub(super) struct Accepting {
    shard: Rc<Shard>,
    protocol: Protocol,
    incoming: Rc<RefCell<AcceptStream>>,
    task: glommio::Task<()>,
}

impl Accepting {
    pub fn begin(shard: &Rc<Shard>, listener: ShardListener) -> Accepting {
        let ShardListener { socket, protocol, is_shared } = listener;
        let socket = Rc::new(socket);
        let incoming = if is_shared { shard.ring.accept_in_turn(&socket) } else { shard.ring.accept(&socket) };
        let incoming = Rc::new(RefCell::new(incoming));
        let task = glommio::spawn_local(accept(shard.clone(), incoming.clone(), protocol));
        Accepting { shard: shard.clone(), protocol, incoming, task }
    }

    /// Whether connections wait in the kernel's queue.
    pub fn has_backlog(&self) -> bool {
        self.incoming.borrow().has_backlog()
    }

    /// Looks into the kernel's queue: another has ended that was woken for what came there.
    pub fn look(&self) {
        self.incoming.borrow_mut().pause();
    }

    /// Accepts no more and closes the listener. What waits there by then is served, beyond the bound on connections too: nobody else
    /// might know of it, and no more will come.
    pub async fn end(self) {
        let Accepting { shard, protocol, incoming, task } = self;
        // It would begin anew to accept. Its future, and with it the other handle, is gone when this is over.
        task.cancel().await;
        let mut incoming = Rc::into_inner(incoming).expect("its task is gone").into_inner();
        for socket in incoming.finish().await {
            begin(&shard, Rc::new(socket), protocol);
        }
    }
}

/// Takes what has come in until the task is dropped.
async fn accept(shard: Rc<Shard>, incoming: Rc<RefCell<AcceptStream>>, protocol: Protocol) {
    let mut complained: Option<Monotonic> = None;
    let mut may_complain = |now: Monotonic| {
        let may = complained.is_none_or(|last| now.since(last) >= COMPLAINT_PAUSE);
        complained = if may { Some(now) } else { complained };
        may
    };
    loop {
        let mut ended = 0;
        while shard.connections.borrow().len() >= shard.connections_max.get() {
            // On a listener of its own a few more are accepted meanwhile, up to a bound of the stream's; the others wait in the
            // kernel's queue, and on a listener that is shared they are for whichever shard asks for them.
            if may_complain(shard.ring.now()) {
                let connections = shard.connections_max.get();
                tracing::warn!(shard = shard.number, connections, "all connections are in use; idle ones make room");
            }
            shard.ring.sleep(if ended > 0 { ENDING_PAUSE } else { PAUSE }).await;
            // Whoever waits still is nobody's whom another shard has room for.
            let wanted = if ended == 0 && incoming.borrow().has_waiting() { ENDED_AT_ONCE } else { 0 };
            ended = shard.end_idle(wanted);
        }
        match poll_fn(|cx| incoming.borrow_mut().poll_next(cx)).await {
            Ok(socket) => begin(&shard, Rc::new(socket), protocol),
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => return,
            Err(error) => {
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: said once in a while, tried again until it has passed.
                if may_complain(shard.ring.now()) {
                    tracing::error!(shard = shard.number, %error, "cannot accept connections; idle ones make room");
                }
                let ended = shard.end_idle(ENDED_AT_ONCE);
                shard.ring.sleep(if ended > 0 { ENDING_PAUSE } else { PAUSE }).await;
            }
        }
    }
}

/// Counts a connection by its peer's address. One without an address, and that of a trusted proxy, which brings everybody's requests, is not
/// counted.
///
/// # Errors
/// The address has as many as it may have.
pub(super) fn count(shard: &Shard, peer: PeerAddress) -> Result<Option<Box<Held>>, TooMany> {
    let Some((counts, max)) = &shard.per_address else { return Ok(None) };
    let Some(address) = peer.ip().filter(|_| !shard.trust.borrow().covers(peer)) else { return Ok(None) };
    match counts.claim(Some(counts.keys().of_address(address)), *max, u64::MAX) {
        Claim::Held(held) => Ok(Some(Box::new(held))),
        Claim::KeyFull | Claim::AllFull => Err(TooMany),
    }
}

/// An address has as many connections as it may have.
pub(super) struct TooMany;

/// Who is at the other end of a socket, if connections are counted by that.
fn peer_of(shard: &Shard, socket: &Descriptor) -> PeerAddress {
    let peer = shard.per_address.as_ref().and_then(|_| rustix::net::getpeername(socket).ok().flatten());
    peer.and_then(|any| SocketAddr::try_from(any).ok()).map_or(PeerAddress::Unknown, PeerAddress::of)
}

fn begin(shard: &Rc<Shard>, socket: Descriptor, protocol: Protocol) {
    let Ok(counted) = count(shard, peer_of(shard, &socket)) else {
        // Closed without a word: it costs the server least, and a client that is told would only come again.
        shard.metrics.borrow_mut().limited.connections += 1;
        return;
    };
    let key = shard.connections.borrow_mut().insert(Entry { socket: socket.clone(), phase: Phase::New });
    shard.metrics.borrow_mut().connection();
    glommio::spawn_local(live(shard.clone(), socket, key, protocol, counted)).detach();
}

async fn live(shard: Rc<Shard>, socket: Descriptor, key: usize, protocol: Protocol, counted: Option<Box<Held>>) {
    let mut connection = Connection::new(&shard, socket, key, protocol, counted);
    let outcome = {
        // By reference: a future that is an argument lies twice in the future that awaits it.
        let mut run = pin!(connection.run());
        contained(run.as_mut()).await
    };
    if let Err(panic) = outcome {
        connection.end_panicked();
        shard.metrics.borrow_mut().panics += 1;
        tracing::error!(shard = shard.number, panic, "a connection's task panicked; the connection is closed");
    }
    drop(connection);
    shard.connections.borrow_mut().remove(key);
}
