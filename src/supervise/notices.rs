//! Telling shards what became of requests that no worker will answer.
//!
//! Owns the supervisor's use of the reply sockets. A notice goes the same way as the workers' own answers, so that it can't
//! overtake them: a request that was answered in full before its worker's death is not lost.

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
use crate::wsgi::messages::{encode_lost, encode_requeue};

/// How long to wait for room in a reply socket.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice {
    /// Its worker died with it.
    Lost(Held),
    /// It was taken out of the inbox again: no worker had taken it.
    Requeue(Held),
}

/// Notices under way.
pub(super) struct Notices {
    ring: Ring,
    replies: Vec<Arc<OwnedFd>>,
    waiting: RefCell<VecDeque<Notice>>,
    is_sending: Cell<bool>,
}

impl Notices {
    pub fn new(ring: Ring, replies: Vec<Arc<OwnedFd>>) -> Notices {
        Notices { ring, replies, waiting: RefCell::default(), is_sending: Cell::new(false) }
    }

    /// Tells the shards in question. Bounded by their shares of the pool.
    pub fn give(self: &Rc<Self>, notices: impl IntoIterator<Item = Notice>) {
        self.waiting.borrow_mut().extend(notices);
        if self.send() || self.is_sending.replace(true) {
            return;
        }
        let notices = self.clone();
        glommio::spawn_local(async move {
            while !notices.send() {
                notices.ring.sleep(PAUSE).await;
            }
            notices.is_sending.set(false);
        })
        .detach();
    }

    /// Sends what there is room for; `true` when nothing waits any more.
    fn send(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(&notice) = waiting.front() {
            let (held, bytes) = match notice {
                Notice::Lost(held) => (held, encode_lost(Token::from_bits(held.token))),
                Notice::Requeue(held) => (held, encode_requeue(Token::from_bits(held.token))),
            };
            // A shard number that is none of ours can only stem from memory that a worker wrote over.
            let sent = match self.replies.get(held.shard as usize) {
                Some(socket) => packets::try_send(&**socket, &[IoSlice::new(&bytes)], &[]),
                None => Ok(()),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => tracing::error!(shard = held.shard, %error, "cannot tell a shard of a request"),
                Ok(()) => {}
            }
            waiting.pop_front();
        }
        true
    }
}
