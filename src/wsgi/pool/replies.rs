//! What workers say, and what the supervisor says of them: from a reply to its call.
//!
//! Owns the order in which rings and socket are read, and what becomes of a call whose worker died. Called by `shard`, which waits for replies.

use std::task::Context;
use std::time::Duration;

use super::{CallState, Phase, Pool};
use crate::base::bounds::REPLY_RECORDS;
use crate::ring::{Chunk, Message};
use crate::sys::outbox::Lent;
use crate::wsgi::Loss;
use crate::wsgi::credit::Credit;
use crate::wsgi::messages::{self, Reply, ReplyKind, Token};
use crate::wsgi::part::{part, queue_part};

/// How long the answers of workers that have exited may take through the reply socket.
const LAST_WORDS_PAUSE: Duration = Duration::from_millis(200);
/// Messages of the reply rings that are taken in before other tasks of the shard have their turn.
const REPLIES_AT_ONCE: usize = 256;
/// Messages that are looked through for the last words of a worker: as many as 1,000 threads can have written.
const LAST_WORDS_MAX: usize = 1000 * REPLY_RECORDS;

impl Pool {
    /// Takes in what workers have written to the reply rings, and wakes the task of `cx` when there is more. `true`: all was read. Only then may a message of the
    /// reply socket be taken: it may be the supervisor's word that a worker has died, and in the rings is what that one has said before.
    pub fn poll_rings(&self, cx: &Context<'_>) -> bool {
        self.0.ring.wait_for_news(cx.waker());
        self.read_rings(REPLIES_AT_ONCE)
    }

    /// Reads as many messages at most. Returns whether all were read.
    fn read_rings(&self, most: usize) -> bool {
        for _ in 0..most {
            let Some(bytes) = self.0.rings.pop() else { return true };
            self.take_in(Message { bytes: Chunk::from(bytes), descriptor: None, truncated: false });
        }
        false
    }

    /// What workers have said that are dead now, heard or not.
    fn read_last_words(&self) {
        self.0.rings.look_everywhere();
        self.read_rings(LAST_WORDS_MAX);
    }

    /// Takes in one message from the reply socket.
    pub fn receive(&self, message: Message) {
        if messages::is_lost(&message.bytes) {
            self.read_last_words();
        }
        self.take_in(message);
    }

    fn take_in(&self, message: Message) {
        let Message { bytes, descriptor, truncated } = message;
        let reply = match Reply::parse(&bytes) {
            // Cut short, or without the descriptor for which there was no room (EMFILE): the response can't be completed.
            Ok(reply) if truncated && reply.kind != ReplyKind::Credit => {
                tracing::error!(shard = self.0.shard, "a reply came incomplete");
                Reply { kind: ReplyKind::Abort, ..reply }
            }
            Ok(reply) => reply,
            Err(error) => return tracing::error!(shard = self.0.shard, %error, "dropped a malformed reply"),
        };
        match reply.kind {
            ReplyKind::Release => return self.0.unreleased.borrow_mut().end(reply.token),
            // It has done so.
            ReplyKind::Wake => return,
            _ => {}
        }
        // Taken first: whoever wants the answer or not, its worker gets the slot back.
        let lent = match reply.kind {
            ReplyKind::Lent { generation, offset, count, .. } => self.lent(generation, offset, count),
            _ => None,
        };
        let slot = reply.token.slot as usize;
        let mut calls = self.0.calls.borrow_mut();
        // Replies of calls that were given up on are not news.
        let Some(call) = calls.get_mut(slot).filter(|call| call.serial == reply.token.serial) else { return };
        if !matches!(call.phase, Phase::Sent { .. }) {
            return;
        }
        let runs_again = match reply.kind {
            ReplyKind::Requeue => true,
            ReplyKind::Lost(loss) => self.is_worth_another_run(call, loss),
            _ => false,
        };
        if runs_again {
            if let ReplyKind::Lost(_) = reply.kind {
                call.waits_since = self.0.ring.now();
            }
            self.requeue(&mut calls, slot);
            drop(calls);
            return self.dispatch();
        }
        let end = reply.kind != ReplyKind::Credit
            && (reply.end || matches!(reply.kind, ReplyKind::Abort | ReplyKind::Lost(_)));
        if let ReplyKind::Credit = reply.kind {
            if let (Some(pipe), false) = (descriptor, call.abandoned) {
                call.credit.open(pipe);
            }
        } else if !call.abandoned {
            // A message may stay in the buffer in which it arrived if somebody is there to send it at once.
            let is_awaited = call.parts.is_empty() && call.waker.is_some();
            let bytes = if is_awaited { bytes } else { bytes.into_owned() };
            if let Some(part) = part(reply.kind, bytes, descriptor, lent, end) {
                call.may_run_again = false;
                queue_part(&mut call.parts, part);
            }
        }
        let waker = call.waker.take();
        if end {
            self.end(&mut calls, slot);
        }
        drop(calls);
        if let Some(waker) = waker {
            waker.wake();
        }
        if end {
            self.dispatch();
        }
    }

    /// What a worker of `generation` says that it has lent.
    fn lent(&self, generation: u32, offset: u64, count: u64) -> Option<Lent> {
        let outboxes = self.0.outboxes.borrow();
        let lent =
            outboxes.iter().rev().find(|(of, _)| *of == generation).and_then(|(_, outbox)| outbox.lent(offset, count));
        if lent.is_none() {
            tracing::error!(shard = self.0.shard, generation, offset, count, "a reply lends what is not there");
        }
        lent
    }

    /// What to do about a request whose worker died. Says what became of it.
    fn is_worth_another_run(&self, call: &mut CallState, loss: Loss) -> bool {
        let Phase::Sent { message, .. } = &call.phase else { unreachable!("the caller looked") };
        // What took too long would do so again.
        let runs_again = std::mem::take(&mut call.may_run_again) && !call.abandoned && loss != Loss::Overdue;
        // Its client must not be able to write lines of its own.
        let request = messages::describe_request(message);
        let request = request.escape_default();
        let age_ms = call.sent_at.map_or(0, |sent| self.0.ring.now().since(sent).as_millis() as u64);
        if loss == Loss::Overdue {
            tracing::warn!(shard = self.0.shard, %request, age_ms, "a request took too long");
        } else {
            tracing::warn!(shard = self.0.shard, %request, cause = %loss, runs_again, age_ms, "a worker died with a request");
        }
        if runs_again {
            call.credit = Credit::default();
        }
        runs_again
    }

    /// No worker of `generation` is left: what none of them has answered is lost. Waits a moment first, so that answers which
    /// are still in the reply socket count.
    pub async fn lose_generation(&self, generation: u32) {
        self.0.ring.sleep(LAST_WORDS_PAUSE).await;
        self.read_last_words();
        let lost: Vec<Token> = self
            .0
            .calls
            .borrow()
            .iter()
            .filter(|(_, call)| matches!(call.phase, Phase::Sent { generation: of, .. } if of == generation))
            .map(|(slot, call)| Token { slot: slot as u32, serial: call.serial })
            .collect();
        for token in lost {
            self.lose(token);
        }
        self.0.outboxes.borrow_mut().retain(|(of, _)| *of != generation);
        self.0.rings.remove(generation);
    }

    fn lose(&self, token: Token) {
        let bytes = Chunk::from(messages::encode_lost(token, Loss::Unknown).to_vec());
        self.take_in(Message { bytes, descriptor: None, truncated: false });
    }
}
