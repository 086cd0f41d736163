//! The task that turns the ring: submits, reaps, wakes, and parks when there is nothing to do.
//!
//! Owns the eventfd on which the thread sleeps. Runs on the thread's glommio executor, beside the tasks that it wakes.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use glommio::io::BufferedFile;

use super::core::Core;

type Nap = Pin<Box<dyn Future<Output = ()>>>;

/// Turns a ring until it is closed and drained.
pub struct Driver {
    core: Rc<Core>,
    eventfd: Rc<BufferedFile>,
    /// The read of the eventfd that is still under way from an earlier park.
    nap: RefCell<Option<Nap>>,
}

impl Driver {
    pub(super) fn new(core: Rc<Core>, eventfd: OwnedFd) -> Driver {
        // SAFETY: the descriptor is ours and open; ownership passes to the file.
        let eventfd = unsafe { BufferedFile::from_raw_fd(eventfd.into_raw_fd()) };
        Driver { core, eventfd: Rc::new(eventfd), nap: RefCell::new(None) }
    }

    /// Runs until [`super::Ring::close`] was called and the last completion is in.
    pub async fn run(self) {
        loop {
            let progress = self.core.turn();
            if self.core.closing.get() && self.core.in_flight.get() == 0 {
                return;
            }
            if progress {
                yield_now().await;
            } else {
                self.park().await;
            }
        }
    }

    async fn park(&self) {
        if self.core.arm_timer() {
            return; // its submission goes with the next turn
        }
        if !self.core.arm_wakeup() {
            poll_fn(|cx| {
                if self.core.poll_kicked(cx.waker()) {
                    return Poll::Ready(());
                }
                let mut nap = self.nap.borrow_mut();
                let reading = nap.get_or_insert_with(|| {
                    let eventfd = self.eventfd.clone();
                    Box::pin(async move {
                        // An error would mean that the descriptor is gone, which only this driver could have done.
                        let _ = eventfd.read_at(0, 8).await;
                    })
                });
                match reading.as_mut().poll(cx) {
                    Poll::Ready(()) => {
                        *nap = None;
                        Poll::Ready(())
                    }
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
        }
        self.core.disarm_wakeup();
    }
}

/// Lets the tasks that were woken run before the next turn.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
