//! Telling shards that a worker died with their requests.
//!
//! Owns the supervisor's use of the reply sockets. The notice goes the same way as the worker's own answers, so that it can't
//! overtake them: a request that was answered in full before the death is not lost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::machine::Held;
use crate::ring::Ring;
use crate::sys::packets;
use crate::wsgi::Token;
use crate::wsgi::messages::encode_lost;

/// How long to wait for room in a reply socket.
const PAUSE: Duration = Duration::from_millis(100);

/// Notices under way.
pub(super) struct Lost {
    ring: Ring,
    replies: Vec<Arc<OwnedFd>>,
    waiting: RefCell<VecDeque<Held>>,
    is_sending: Cell<bool>,
}

impl Lost {
    pub fn new(ring: Ring, replies: Vec<Arc<OwnedFd>>) -> Lost {
        Lost { ring, replies, waiting: RefCell::default(), is_sending: Cell::new(false) }
    }

    /// Tells the shards in question that nobody works on `held` any more. Bounded by the number of worker threads.
    pub fn report(self: &Rc<Self>, held: &[Held]) {
        self.waiting.borrow_mut().extend(held);
        if self.send() || self.is_sending.replace(true) {
            return;
        }
        let lost = self.clone();
        glommio::spawn_local(async move {
            while !lost.send() {
                lost.ring.sleep(PAUSE).await;
            }
            lost.is_sending.set(false);
        })
        .detach();
    }

    /// Sends what there is room for; `true` when nothing waits any more.
    fn send(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(held) = waiting.front() {
            let notice = encode_lost(Token::from_bits(held.token));
            // A shard number that is none of ours can only stem from memory that a worker wrote over.
            let sent = match self.replies.get(held.shard as usize) {
                Some(socket) => packets::try_send(&**socket, &[IoSlice::new(&notice)], &[]),
                None => Ok(()),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => tracing::error!(shard = held.shard, %error, "cannot report a lost request"),
                Ok(()) => {}
            }
            waiting.pop_front();
        }
        true
    }
}
