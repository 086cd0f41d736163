//! One look at a file at a time: whoever comes second waits for the first.
//!
//! Owns the waiting. It never decides what is looked at. Called by the cache and by `root`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A look that is under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    landed: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Flight {
    /// Waits until the look is over, however it went.
    pub async fn landed(&self) {
        poll_fn(|cx| match self.landed.get() {
            true => Poll::Ready(()),
            false => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await;
    }
}

/// Held by whoever looks; `end` runs when it is dropped, also in the middle, because the client has left.
pub(super) struct Pilot<F: FnMut()> {
    flight: Rc<Flight>,
    end: F,
}

impl<F: FnMut()> Pilot<F> {
    pub fn new(flight: Rc<Flight>, end: F) -> Pilot<F> {
        Pilot { flight, end }
    }
}

impl<F: FnMut()> Drop for Pilot<F> {
    fn drop(&mut self) {
        (self.end)();
        self.flight.landed.set(true);
        self.flight.waiting.take().into_iter().for_each(Waker::wake);
    }
}
