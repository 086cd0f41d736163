//! The desk at which control connections ask the supervisor's loop: a piece of work goes in, its result comes back.
//!
//! Owns the waiting on both sides. The work itself runs in the loop, between two things that happen, and never waits; a call that lasts is
//! a row of such pieces, made again whenever something has changed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::supervise::inbox::{Happening, Inbox};
use crate::supervise::run::Supervisor;

/// Work for the loop.
pub(in crate::supervise) type Work = Box<dyn FnOnce(&mut Supervisor)>;

/// Where the loop is asked.
pub(in crate::supervise) struct Desk {
    inbox: Rc<Inbox>,
    changes: Rc<Changes>,
}

/// Where the result of a piece of work is left.
struct Slot<T> {
    result: Cell<Option<T>>,
    waiting: RefCell<Option<Waker>>,
}

/// Tells those who wait that something may have changed.
#[derive(Default)]
pub(in crate::supervise) struct Changes {
    count: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Changes {
    /// Something has happened.
    pub fn tell(&self) {
        self.count.set(self.count.get().wrapping_add(1));
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

impl Desk {
    pub fn new(inbox: Rc<Inbox>, changes: Rc<Changes>) -> Desk {
        Desk { inbox, changes }
    }

    /// Has the loop do `work`, and waits for what comes of it.
    pub async fn ask<T: 'static>(&self, work: impl FnOnce(&mut Supervisor) -> T + 'static) -> T {
        let slot = Rc::new(Slot { result: Cell::new(None), waiting: RefCell::default() });
        let answer = slot.clone();
        self.inbox.push(Happening::Work(Box::new(move |supervisor| {
            answer.result.set(Some(work(supervisor)));
            if let Some(waker) = answer.waiting.borrow_mut().take() {
                waker.wake();
            }
        })));
        poll_fn(|cx| match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                *slot.waiting.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// What has happened so far: to be taken before looking at something that is then waited for.
    pub fn seen(&self) -> u64 {
        self.changes.count.get()
    }

    /// Waits until something has happened that was not `seen`.
    pub async fn changed(&self, seen: u64) {
        poll_fn(|cx| {
            if self.changes.count.get() != seen {
                return Poll::Ready(());
            }
            self.changes.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
