//! Accepting connections, and letting each live in a task of its own.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::connection::Connection;
use super::panic::contained;
use super::state::{Entry, Phase, Shard};
use crate::ring::Descriptor;

/// How long to wait before accepting again when descriptors or connections have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// What a shard listens on.
pub struct ShardListener {
    /// The socket.
    pub socket: OwnedFd,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// TLS.
    pub tls: bool,
    /// Plain HTTP, and only to send clients on to HTTPS.
    pub redirect_https: bool,
}

/// Accepts on `listener` until the task is dropped.
pub(super) async fn accept(shard: Rc<Shard>, listener: Descriptor, protocol: Protocol) {
    let mut incoming = shard.ring.accept(&listener);
    let mut exhausted = false;
    loop {
        while shard.connections.borrow().len() >= shard.connections_max {
            // A few more are accepted meanwhile, up to a bound of the stream's own; the others wait in the kernel's queue.
            tracing::warn!(shard = shard.number, connections = shard.connections_max, "all connections are in use");
            shard.ring.sleep(PAUSE).await;
        }
        match incoming.next().await {
            Ok(socket) => {
                exhausted = false;
                begin(&shard, Rc::new(socket), protocol).detach();
            }
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => return,
            Err(error) => {
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: said once, tried again until it has passed.
                if !std::mem::replace(&mut exhausted, true) {
                    tracing::error!(shard = shard.number, %error, "cannot accept connections");
                }
                shard.ring.sleep(PAUSE).await;
            }
        }
    }
}

fn begin(shard: &Rc<Shard>, socket: Descriptor, protocol: Protocol) -> glommio::Task<()> {
    let key = shard.connections.borrow_mut().insert(Entry { socket: socket.clone(), phase: Phase::Idle });
    shard.metrics.borrow_mut().connection();
    glommio::spawn_local(live(shard.clone(), socket, key, protocol))
}

async fn live(shard: Rc<Shard>, socket: Descriptor, key: usize, protocol: Protocol) {
    let mut connection = Connection::new(&shard, socket, key, protocol);
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
