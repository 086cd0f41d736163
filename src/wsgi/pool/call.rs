//! One request on its way through the pool, as who waits for its answer holds it.
//!
//! Owns a slot in the pool's table of calls. Called by `shard`.

use std::task::{Context, Poll};
use std::time::Duration;

use super::{Part, Phase, Pool};
use crate::base::clock::Monotonic;
use crate::observe::Shed;
use crate::wsgi::credit::Credit;
use crate::wsgi::messages::Token;
use crate::wsgi::spool::BodyFile;

/// One request on its way through the pool. Dropping it withdraws it: from the queue if it still waits there; a worker that
/// has it is told that the client is gone.
pub struct Call {
    pub(super) pool: Pool,
    pub(super) slot: usize,
    pub(super) serial: u32,
}

impl Call {
    /// What the worker's replies carry.
    pub fn token(&self) -> Token {
        Token { slot: u32::try_from(self.slot).expect("calls are bounded far below"), serial: self.serial }
    }

    /// Hands the request over, made by [`messages::encode_request`] with this call's token.
    pub fn submit(&self, message: Vec<u8>, descriptor: Option<BodyFile>) {
        let inner = &self.pool.0;
        let now = inner.ring.now();
        let priority = inner.calls.borrow()[self.slot].priority;
        let displaced = inner.queue.borrow_mut().displaced_by(priority);
        if let Some(token) = displaced {
            self.pool.shed(token, Shed::Displaced);
        }
        let key = inner.queue.borrow_mut().push(self.token(), priority, now);
        let mut calls = inner.calls.borrow_mut();
        calls[self.slot].submitted_at = now;
        calls[self.slot].phase = Phase::Queued { key, message, descriptor };
        drop(calls);
        self.pool.dispatch();
    }

    /// It has waited for as long as the configuration allows: it is turned away if it still waits.
    pub fn time_out(&self) {
        let Phase::Queued { key, .. } = self.pool.0.calls.borrow()[self.slot].phase else { return };
        self.pool.remove(self.slot, key);
        self.pool.shed(self.token(), Shed::Timeout);
    }

    /// Its client has left, or has finished sending. If no worker takes it for a while it is taken back.
    pub fn client_left(&self) {
        self.pool.0.calls.borrow_mut()[self.slot].has_left = true;
    }

    /// How long it has waited to be put into the inbox.
    pub fn waited(&self) -> Duration {
        let call = &self.pool.0.calls.borrow()[self.slot];
        call.sent_at.unwrap_or_else(|| self.pool.0.ring.now()).since(call.submitted_at)
    }

    /// Lets the request be sent once more, if the pool is set to, should its worker die before anything was heard of it. For requests whose
    /// repetition does no harm (RFC 9110 §9.2.1), and that have no body in a descriptor, which one worker has read from already.
    pub fn allow_second_run(&self) {
        let inner = &self.pool.0;
        inner.calls.borrow_mut()[self.slot].may_run_again = inner.retry_safe.get();
    }

    /// When the request was put into the inbox; `None`: it has not been, or was given back.
    pub fn sent_at(&self) -> Option<Monotonic> {
        self.pool.0.calls.borrow()[self.slot].sent_at
    }

    /// Whether no worker has been given the request yet, so that dropping the call undoes it.
    pub fn is_queued(&self) -> bool {
        matches!(self.pool.0.calls.borrow()[self.slot].phase, Phase::Queued { .. } | Phase::TakenBack)
    }

    /// The next part of the answer. Not to be called after a last part.
    pub fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let mut calls = self.pool.0.calls.borrow_mut();
        let call = &mut calls[self.slot];
        if let Some(part) = call.parts.pop_front() {
            return Poll::Ready(part);
        }
        assert!(!matches!(call.phase, Phase::Ended), "the last part is the last");
        match &mut call.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// `count` bytes of the body are on their way to the client: the worker may send as many more.
    pub fn passed_on(&self, count: usize) {
        self.pool.0.calls.borrow_mut()[self.slot].credit.pass(count);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let inner = &self.pool.0;
        let mut calls = inner.calls.borrow_mut();
        let call = &mut calls[self.slot];
        match call.phase {
            Phase::Building | Phase::Ended => drop(calls.remove(self.slot)),
            Phase::TakenBack => {
                drop(calls.remove(self.slot));
                self.pool.count_withdrawn();
            }
            Phase::Queued { key, .. } => {
                drop(calls);
                self.pool.remove(self.slot, key);
                drop(inner.calls.borrow_mut().remove(self.slot));
                self.pool.count_withdrawn();
            }
            Phase::Sent { .. } => {
                // Its worker hears of it through the end of the credit pipe.
                call.abandoned = true;
                call.waker = None;
                call.credit = Credit::default();
                let parts = std::mem::take(&mut call.parts);
                drop(calls);
                drop(parts);
            }
        }
    }
}
