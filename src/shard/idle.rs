//! Ends connections from outside: those between requests, at a stop and where there is room for no more.
//!
//! Never ends one with a request in hand. Called by [`accept`](super::accept) and by the drain.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use rustix::net::Shutdown;

use super::state::{Phase, Shard};

impl Shard {
    /// Ends up to `count` connections in `phase`. Returns how many there were.
    pub fn end_in(&self, phase: Phase, count: usize) -> usize {
        let mut connections = self.connections.borrow_mut();
        let found = connections.iter_mut().filter(|(_, entry)| entry.phase == phase).take(count);
        found
            .map(|(_, entry)| {
                // Wakes the connection's task with an end of input. A connection that is gone already needs none.
                let _ = rustix::net::shutdown(&entry.socket, Shutdown::Read);
                entry.phase = Phase::Ending;
            })
            .count()
    }

    /// Waits until a connection has ended, or for so long.
    pub async fn some_connection_ended(&self, limit: Duration) {
        let deadline = self.ring.deadline();
        deadline.set(limit);
        let mut is_first = true;
        poll_fn(|cx| {
            if !std::mem::replace(&mut is_first, false) || deadline.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut waiting = self.wait_for_room.borrow_mut();
            // Whoever has waited in vain before is there still.
            waiting.retain(|waker| !waker.will_wake(cx.waker()));
            waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Ends up to `count` connections that are between requests, those first that have been for longer than a moment, as nginx does when it has no
    /// connection left.
    pub fn end_idle(&self, count: usize) {
        let settled = self.end_in(Phase::Settled, count);
        self.end_in(Phase::Idle, count - settled);
    }
}
