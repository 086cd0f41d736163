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
use crate::wsgi::messages::{encode_lost, encode_requeue};
use crate::wsgi::{Loss, Token};

/// How long to wait for room in a reply socket.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice {
    /// Its worker died with it, of this.
    Lost(Held, Loss),
    /// It was taken out of the inbox again: no worker had taken it.
    Requeue(Held),
}

/// Notices under way.
pub(super) struct Notices {
    ring: Ring,
    replies: Vec<Arc<OwnedFd>>,
    /// For each shard its own, so that one whose socket is full holds up nobody else's.
    waiting: RefCell<Vec<VecDeque<Notice>>>,
    is_sending: Cell<bool>,
}

impl Notices {
    pub fn new(ring: Ring, replies: Vec<Arc<OwnedFd>>) -> Notices {
        let waiting = replies.iter().map(|_| VecDeque::new()).collect();
        Notices { ring, replies, waiting: RefCell::new(waiting), is_sending: Cell::new(false) }
    }

    /// Tells the shards in question. Bounded by their shares of the pool.
    pub fn give(self: &Rc<Self>, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            let (Notice::Lost(held, _) | Notice::Requeue(held)) = notice;
            // A shard number that is none of ours can only stem from memory that a worker wrote over.
            if let Some(waiting) = self.waiting.borrow_mut().get_mut(held.shard as usize) {
                waiting.push_back(notice);
            }
        }
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
        // Each shard gets what it has room for, whatever the others have.
        self.replies.iter().zip(&mut *waiting).fold(true, |all, (socket, waiting)| send_to(socket, waiting) && all)
    }
}

/// Sends what `socket` has room for; `true` when nothing waits any more.
fn send_to(socket: &OwnedFd, waiting: &mut VecDeque<Notice>) -> bool {
    while let Some(&notice) = waiting.front() {
        let (held, bytes) = match notice {
            Notice::Lost(held, loss) => (held, encode_lost(Token::from_bits(held.token), loss)),
            Notice::Requeue(held) => (held, encode_requeue(Token::from_bits(held.token))),
        };
        match packets::try_send(socket, &[IoSlice::new(&bytes)], &[]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => tracing::error!(shard = held.shard, %error, "cannot tell a shard of a request"),
            Ok(()) => {}
        }
        waiting.pop_front();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::packets::Packet;

    #[test]
    fn a_full_socket_of_one_shard_holds_up_nobody_else() {
        let (full, _reader) = packets::pair().expect("a pair");
        while packets::try_send(&full, &[IoSlice::new(&[0; 16 * 1024])], &[]).is_ok() {}
        let (free, reader) = packets::pair().expect("a pair");
        let notice = |shard| Notice::Lost(Held { shard, token: 7 }, Loss::Unknown);
        let mut waiting = [VecDeque::from([notice(0)]), VecDeque::from([notice(1), notice(1)])];
        assert!(!send_to(&full, &mut waiting[0]) && send_to(&free, &mut waiting[1]));
        assert_eq!((waiting[0].len(), waiting[1].len()), (1, 0));
        let (mut buffer, mut descriptors) = ([0; 64], Vec::new());
        for _ in 0..2 {
            let packet = packets::try_recv(&reader, &mut buffer, &mut descriptors).expect("a notice");
            assert!(matches!(packet, Packet::Message(_)));
        }
    }
}
