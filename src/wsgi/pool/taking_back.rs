//! Taking back what lies before the workers: requests that have waited for too long, and those whose clients have left.
//!
//! A few requests lie in the request ring behind those that workers have in hand. Mostly that is over sooner than anybody could look; with answers that
//! take seconds it is not, and then `queue_timeout` holds there, too. Owns when to look. What lies in the inbox can't be taken back.

use std::time::Duration;

use super::{Part, Phase, Pool};
use crate::observe::Shed;

/// How often to look, as long as workers have anything before them.
const PAUSE: Duration = Duration::from_millis(100);

impl Pool {
    /// Sees to what was sent, until everything is answered.
    pub(super) fn look_after_sent(&self) {
        if self.0.looks_after_sent.replace(true) {
            return;
        }
        let pool = self.clone();
        glommio::spawn_local(async move {
            while pool.0.taken.get() > 0 {
                pool.0.ring.sleep(PAUSE).await;
                pool.take_back();
            }
            pool.0.looks_after_sent.set(false);
        })
        .detach();
    }

    /// Takes back who should wait no longer, if no worker has taken it.
    fn take_back(&self) {
        let (now, limit) = (self.0.ring.now(), self.0.queue_timeout.get());
        let slots: Vec<usize> = self.0.calls.borrow().iter().map(|(slot, _)| slot).collect();
        let mut has_room = false;
        for slot in slots {
            let mut calls = self.0.calls.borrow_mut();
            let Some(call) = calls.get_mut(slot) else { continue };
            let Phase::Sent { generation, at, .. } = call.phase else { continue };
            let is_overdue = limit.is_some_and(|limit| now.since(call.submitted_at) >= limit);
            // A worker that is awake takes what has come just now, also for a client that sends no more but listens.
            let is_unwanted = (call.has_left || call.abandoned) && now.since(at) >= PAUSE;
            if !(is_overdue || is_unwanted) || !self.withdraw(&call.phase) {
                continue;
            }
            has_room = true;
            self.give_back(generation);
            if call.abandoned {
                calls.remove(slot);
                self.count_withdrawn();
                continue;
            }
            call.sent_at = None;
            call.phase = Phase::TakenBack;
            if !call.has_left {
                call.phase = Phase::Ended;
                call.parts.push_back(Part::Shed(Shed::Timeout));
                self.count_shed(Shed::Timeout);
            }
            let waker = call.waker.take();
            drop(calls);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        if has_room {
            self.dispatch();
        }
    }

    /// Takes a message out of the ring. `false`: it was sent another way, to another generation, or a worker has it.
    fn withdraw(&self, phase: &Phase) -> bool {
        let Phase::Sent { generation, lying: Some(lying), .. } = phase else { return false };
        let is_current = self.0.gate.borrow().as_ref().is_some_and(|gate| gate.generation == *generation);
        is_current && self.0.feed.borrow().as_ref().is_some_and(|feed| feed.withdraw(*lying))
    }
}
