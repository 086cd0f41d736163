//! Deadlines on a coarse wheel: one kernel timer a shard, whatever the number of connections.
//!
//! Owns the wheel and its entries. Moving a deadline later costs a store; entries are sorted anew only when their tick comes.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::core::{Core, Ring};

/// The wheel's resolution. A deadline passes at most this much too late, and never too early.
const TICK_MS: u64 = 100;
/// Ticks on the wheel; what lies beyond is looked at again when the wheel has come round.
const TICKS: u64 = 1024;
/// No deadline.
const NEVER: u64 = u64::MAX;

struct Entry {
    due_ms: Cell<u64>,
    /// The tick of the earliest place on the wheel that refers to this entry.
    queued: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

pub(super) struct Wheel {
    now_ms: Cell<u64>,
    /// Ticks up to here have been seen to.
    done: Cell<u64>,
    ticks: RefCell<Vec<Vec<Rc<Entry>>>>,
    entries: Cell<usize>,
    /// When the kernel timer in flight fires.
    timer_ms: Cell<u64>,
}

impl Wheel {
    pub fn new(now_ms: u64) -> Wheel {
        Wheel {
            now_ms: Cell::new(now_ms),
            done: Cell::new(now_ms / TICK_MS),
            ticks: RefCell::new((0..TICKS).map(|_| Vec::new()).collect()),
            entries: Cell::new(0),
            timer_ms: Cell::new(NEVER),
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    fn queue(&self, entry: &Rc<Entry>) {
        // The first tick that begins at or after the deadline, so that nothing passes early.
        let wanted = entry.due_ms.get().div_ceil(TICK_MS);
        let tick = wanted.clamp(self.done.get() + 1, self.done.get() + TICKS - 1);
        if tick >= entry.queued.get() {
            return;
        }
        entry.queued.set(tick);
        self.ticks.borrow_mut()[(tick % TICKS) as usize].push(entry.clone());
        self.entries.set(self.entries.get() + 1);
    }

    /// Lets time pass. Returns whether a deadline did.
    pub fn advance(&self, now_ms: u64) -> bool {
        // The monotonic clock does not go back; a caller that does is a bug, not a reason to stop.
        debug_assert!(now_ms >= self.now_ms.get(), "time goes forward");
        self.now_ms.set(now_ms);
        if now_ms >= self.timer_ms.get() {
            self.timer_ms.set(NEVER);
        }
        let now_tick = now_ms / TICK_MS;
        let mut progress = false;
        // After a long stop each place on the wheel is looked at once, not once a tick.
        let first = (self.done.get() + 1).max((now_tick + 1).saturating_sub(TICKS));
        for tick in first..=now_tick {
            self.done.set(tick);
            if self.entries.get() == 0 {
                continue;
            }
            let due = std::mem::take(&mut self.ticks.borrow_mut()[(tick % TICKS) as usize]);
            self.entries.set(self.entries.get() - due.len());
            for entry in due {
                if entry.queued.get() != tick && entry.queued.get() > now_tick {
                    continue; // an older, later place: the entry has been queued earlier since and is looked after there
                }
                entry.queued.set(NEVER);
                if entry.due_ms.get() <= now_ms {
                    if let Some(waker) = entry.waker.borrow_mut().take() {
                        waker.wake();
                        progress = true;
                    }
                } else if entry.due_ms.get() != NEVER && Rc::strong_count(&entry) > 1 {
                    self.queue(&entry);
                }
            }
        }
        self.done.set(now_tick.max(self.done.get()));
        progress
    }

    /// When a kernel timer should fire that is not in flight yet. Marks it as in flight.
    pub fn timer_due(&self) -> Option<u64> {
        if self.entries.get() == 0 {
            return None;
        }
        let ticks = self.ticks.borrow();
        let next = (self.done.get() + 1..self.done.get() + TICKS).find(|tick| !ticks[(tick % TICKS) as usize].is_empty())?;
        let due_ms = next * TICK_MS;
        if due_ms >= self.timer_ms.get() {
            return None;
        }
        self.timer_ms.set(due_ms);
        Some(due_ms)
    }
}

/// A deadline that can be moved cheaply and often. Dropping it forgets it.
pub struct Deadline {
    core: Rc<Core>,
    entry: Rc<Entry>,
}

impl Ring {
    /// A deadline that is not set.
    pub fn deadline(&self) -> Deadline {
        let entry = Entry { due_ms: Cell::new(NEVER), queued: Cell::new(NEVER), waker: RefCell::new(None) };
        Deadline { core: self.core.clone(), entry: Rc::new(entry) }
    }

    /// Waits for `duration` (to the wheel's 100 ms).
    pub async fn sleep(&self, duration: Duration) {
        let deadline = self.deadline();
        deadline.set(duration);
        poll_fn(|cx| deadline.poll(cx)).await;
    }
}

impl Deadline {
    /// Lets it pass `from_now`, counted from this turn of the driver.
    pub fn set(&self, from_now: Duration) {
        let from_now_ms = u64::try_from(from_now.as_millis()).unwrap_or(NEVER);
        self.entry.due_ms.set(self.core.wheel.now_ms().saturating_add(from_now_ms));
        if self.entry.due_ms.get() != NEVER {
            self.core.wheel.queue(&self.entry);
        }
    }

    /// Takes it back.
    pub fn clear(&self) {
        self.entry.due_ms.set(NEVER);
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        self.entry.due_ms.get() <= self.core.wheel.now_ms()
    }

    /// Ready once it has passed.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_passed() {
            return Poll::Ready(());
        }
        match &mut *self.entry.waker.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// `future`, unless `deadline` passes first.
///
/// # Errors
/// [`TimedOut`]; the future is dropped then, which cancels its operation.
pub async fn within<F: Future>(deadline: &Deadline, future: F) -> Result<F::Output, TimedOut> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        deadline.poll(cx).map(|()| Err(TimedOut))
    })
    .await
}
