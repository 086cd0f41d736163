//! The task that turns the ring: submits, reaps, wakes, and parks when there is nothing to do.
//!
//! Owns the eventfd on which the thread sleeps. Runs on the thread's glommio executor, beside the tasks that it wakes.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::io::BufferedFile;

use super::core::Core;

type Nap = Pin<Box<dyn Future<Output = ()>>>;

/// What the preempt timer of an executor with a ring must be set to: out of reach. glommio 0.9 goes to sleep on runnable tasks
/// when that timer fires before it has begun to run them (`run_task_queues` then says that there was nothing to run), which
/// happens within minutes on a busy machine with a timer of a few milliseconds. The driver sees to it that glommio's own
/// reactor gets its turn; a task that yields in a loop without waiting for anything keeps it from that.
pub const PREEMPT_TIMER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a busy driver keeps glommio from its own reactor: its timers, channels and files.
const VISIT_MS: u64 = 10;

/// The longest sleep in the ring; then the driver parks through glommio, which looks at its own reactor first.
const DOZE: Duration = Duration::from_millis(5);

/// How deep tasks may wake each other without touching the ring before a sleep in the ring can hold one of them up.
const YIELDS: usize = 3;

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
        let mut visited_ms = self.core.now_ms();
        loop {
            let progress = self.core.turn();
            if self.core.closing.get() && self.core.in_flight.get() == 0 {
                return;
            }
            let now_ms = self.core.now_ms();
            if !progress {
                if self.doze().await {
                    continue;
                }
                self.park().await;
            } else if now_ms - visited_ms < VISIT_MS {
                yield_now().await;
                continue;
            } else {
                self.visit().await;
            }
            visited_ms = now_ms;
        }
    }

    /// Sleeps in the ring itself, for a moment: a busy server's pauses are short, and parking through glommio takes five system
    /// calls. `true`: there is something to do. `false`: all is quiet.
    ///
    /// While it sleeps no task of this thread runs. So those that are runnable get their turn first, and those that they wake.
    async fn doze(&self) -> bool {
        for _ in 0..YIELDS {
            yield_now().await;
            if self.core.is_kicked() {
                return true;
            }
        }
        self.core.arm_timer() || self.core.doze(DOZE)
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
                self.poll_nap(cx)
            })
            .await;
        }
        self.core.disarm_wakeup();
    }

    /// Waits for something that only glommio's reactor can bring, and that is there already: with no task runnable, the
    /// executor goes to look.
    async fn visit(&self) {
        // SAFETY: the file is open as long as the driver.
        let eventfd = unsafe { BorrowedFd::borrow_raw(self.eventfd.as_raw_fd()) };
        rustix::io::write(eventfd, &1u64.to_ne_bytes()).expect("an eventfd has room for more than all signals at once");
        poll_fn(|cx| self.poll_nap(cx)).await;
    }

    /// Reads the eventfd.
    fn poll_nap(&self, cx: &mut Context<'_>) -> Poll<()> {
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
    }
}

/// Lets the tasks that were woken run before the next turn.
pub async fn yield_now() {
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
