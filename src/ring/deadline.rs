//! Deadlines on a coarse wheel: one kernel timer a shard, whatever the number of connections.
//!
//! Owns the wheel and its entries. Moving a deadline later costs a store; entries are sorted anew only when their tick comes.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
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
    /// The tick of its place on the wheel, at or before its deadline; `NEVER` when it has none.
    tick: Cell<u64>,
    /// Where in that place.
    index: Cell<u32>,
    waker: Cell<Option<Waker>>,
}

pub(super) struct Wheel {
    now_ms: Cell<u64>,
    /// Ticks up to here have been seen to.
    done: Cell<u64>,
    ticks: RefCell<Vec<Vec<Rc<Entry>>>>,
    entries: Cell<usize>,
    /// No place before this tick is occupied.
    earliest: Cell<u64>,
    /// When the kernel timers in flight fire, the next one last. Each is earlier than the one before it, so there are at
    /// most as many as ticks.
    timers_ms: RefCell<Vec<u64>>,
}

impl Wheel {
    pub fn new(now_ms: u64) -> Wheel {
        Wheel {
            now_ms: Cell::new(now_ms),
            done: Cell::new(now_ms / TICK_MS),
            ticks: RefCell::new((0..TICKS).map(|_| Vec::new()).collect()),
            entries: Cell::new(0),
            earliest: Cell::new(NEVER),
            timers_ms: RefCell::new(Vec::new()),
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Takes note of the time without letting deadlines pass: [`Wheel::advance`] does that.
    pub fn note(&self, now_ms: u64) {
        self.now_ms.set(now_ms.max(self.now_ms.get()));
    }

    /// Gives `entry` its place, or an earlier one. A later deadline needs none: it is looked at when its place comes up.
    /// Returns whether the place is new.
    fn queue(&self, entry: &Rc<Entry>) -> bool {
        // The first tick that begins at or after the deadline, so that nothing passes early.
        let wanted = entry.due_ms.get().div_ceil(TICK_MS);
        let tick = wanted.clamp(self.done.get() + 1, self.done.get() + TICKS - 1);
        if tick >= entry.tick.get() {
            return false;
        }
        self.unqueue(entry);
        let mut ticks = self.ticks.borrow_mut();
        let place = &mut ticks[(tick % TICKS) as usize];
        entry.tick.set(tick);
        entry.index.set(u32::try_from(place.len()).expect("fewer deadlines than descriptors"));
        place.push(entry.clone());
        self.entries.set(self.entries.get() + 1);
        self.earliest.set(self.earliest.get().min(tick));
        true
    }

    /// Takes `entry` off the wheel.
    fn unqueue(&self, entry: &Entry) {
        let tick = entry.tick.replace(NEVER);
        if tick == NEVER {
            return;
        }
        let mut ticks = self.ticks.borrow_mut();
        let place = &mut ticks[(tick % TICKS) as usize];
        let index = entry.index.get();
        place.swap_remove(index as usize);
        if let Some(moved) = place.get(index as usize) {
            moved.index.set(index);
        }
        self.entries.set(self.entries.get() - 1);
    }

    /// Lets time pass. Returns whether a deadline did.
    pub fn advance(&self, now_ms: u64) -> bool {
        // The monotonic clock does not go back; a caller that does is a bug, not a reason to stop.
        debug_assert!(now_ms >= self.now_ms.get(), "time goes forward");
        self.now_ms.set(now_ms);
        let mut timers = self.timers_ms.borrow_mut();
        while timers.last().is_some_and(|due_ms| *due_ms <= now_ms) {
            timers.pop();
        }
        drop(timers);
        let now_tick = now_ms / TICK_MS;
        let mut progress = false;
        // After a long stop each place on the wheel is looked at once, not once a tick.
        let first = (self.done.get() + 1).max((now_tick + 1).saturating_sub(TICKS));
        for tick in first..=now_tick {
            if self.entries.get() == 0 {
                break;
            }
            self.done.set(tick);
            let due = std::mem::take(&mut self.ticks.borrow_mut()[(tick % TICKS) as usize]);
            self.entries.set(self.entries.get() - due.len());
            due.iter().for_each(|entry| entry.tick.set(NEVER));
            for entry in due {
                if entry.due_ms.get() > now_ms {
                    if entry.due_ms.get() != NEVER {
                        self.queue(&entry);
                    }
                } else if let Some(waker) = entry.waker.take() {
                    waker.wake();
                    progress = true;
                }
            }
        }
        self.done.set(now_tick.max(self.done.get()));
        progress
    }

    /// When a kernel timer should fire that is not in flight yet. Marks it as in flight.
    pub fn timer_due(&self) -> Option<u64> {
        if self.entries.get() == 0 {
            self.earliest.set(NEVER);
            return None;
        }
        let mut timers = self.timers_ms.borrow_mut();
        let covered = |tick: u64| timers.last().is_some_and(|due_ms| *due_ms <= tick * TICK_MS);
        let first = self.earliest.get().max(self.done.get() + 1);
        if covered(first) {
            return None;
        }
        let ticks = self.ticks.borrow();
        let next = (first..self.done.get() + TICKS).find(|tick| !ticks[(tick % TICKS) as usize].is_empty());
        let next = next.expect("entries lie at or after the earliest place, within the horizon");
        self.earliest.set(next);
        if covered(next) {
            return None;
        }
        timers.push(next * TICK_MS);
        Some(next * TICK_MS)
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
        let entry =
            Entry { due_ms: Cell::new(NEVER), tick: Cell::new(NEVER), index: Cell::new(0), waker: Cell::new(None) };
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
    /// Lets it pass `from_now`, counted from this turn of the driver, or from the present while the driver is parked.
    pub fn set(&self, from_now: Duration) {
        let from_now_ms = u64::try_from(from_now.as_millis()).unwrap_or(NEVER);
        self.entry.due_ms.set(self.core.now_ms().saturating_add(from_now_ms));
        if self.entry.due_ms.get() != NEVER && self.core.wheel.queue(&self.entry) {
            self.core.kick_if_parked(); // it may need a kernel timer
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
        let known = self.entry.waker.take().filter(|waker| waker.will_wake(cx.waker()));
        self.entry.waker.set(Some(known.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.core.wheel.unqueue(&self.entry);
    }
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// `future`, unless `deadline` passes first.
///
/// # Errors
/// [`TimedOut`]; the future is dropped then, which cancels its operation.
pub fn within<F: Future + Unpin>(deadline: &Deadline, future: F) -> Within<'_, F> {
    Within { deadline, future }
}

/// See [`within`]. Not an `async fn`: there the future would lie twice, and idle connections hold one of these each.
pub struct Within<'d, F> {
    deadline: &'d Deadline,
    future: F,
}

impl<F: Future + Unpin> Future for Within<'_, F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = Pin::new(&mut self.future).poll(cx) {
            return Poll::Ready(Ok(output));
        }
        self.deadline.poll(cx).map(|()| Err(TimedOut))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// A moment that is not a multiple of the tick.
    const START_MS: u64 = 1_234_567;
    const HORIZON_MS: u64 = TICKS * TICK_MS;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Waiter {
        entry: Rc<Entry>,
        count: Arc<Count>,
    }

    impl Waiter {
        fn new() -> Waiter {
            let count = Arc::new(Count::default());
            let entry = Rc::new(Entry {
                due_ms: Cell::new(NEVER),
                tick: Cell::new(NEVER),
                index: Cell::new(0),
                waker: Cell::new(Some(Waker::from(count.clone()))),
            });
            Waiter { entry, count }
        }

        fn set(&self, wheel: &Wheel, due_ms: u64) -> bool {
            self.entry.due_ms.set(due_ms);
            wheel.queue(&self.entry)
        }

        fn has_woken(&self) -> bool {
            self.count.0.load(Ordering::Relaxed) > 0
        }
    }

    /// Goes to sleep as a driver does, until each kernel timer in turn. Returns when `waiter` was woken, and how many timers
    /// that took.
    fn run(wheel: &Wheel, waiter: &Waiter) -> (u64, usize) {
        let (mut timers, mut fired) = (Vec::new(), 0);
        while !waiter.has_woken() {
            timers.extend(wheel.timer_due());
            timers.sort_by(|a, b| b.cmp(a));
            let next = timers.pop().expect("a deadline has a timer");
            assert!(next > wheel.now_ms(), "a timer lies ahead");
            fired += 1;
            wheel.advance(next);
        }
        (wheel.now_ms(), fired)
    }

    #[test]
    fn a_deadline_passes_within_a_tick_and_never_early() {
        for after_ms in [0, 1, 33, 99, 100, 101, 5_000, HORIZON_MS - 1, HORIZON_MS, HORIZON_MS + 1, 10 * HORIZON_MS] {
            let wheel = Wheel::new(START_MS);
            let waiter = Waiter::new();
            assert!(waiter.set(&wheel, START_MS + after_ms));
            let (woken_ms, fired) = run(&wheel, &waiter);
            // One that is due at once is seen to with the next tick.
            let late_ms = woken_ms - (START_MS + after_ms);
            assert!(late_ms <= TICK_MS, "{after_ms} ms: {late_ms} ms late");
            assert_eq!(fired as u64, 1 + after_ms.saturating_sub(1) / (HORIZON_MS - TICK_MS), "{after_ms} ms");
        }
    }

    #[test]
    fn moved_deadlines_pass_when_they_were_moved_to() {
        for (first_ms, then_ms) in [(500, 5_000), (5_000, 500), (500, 3 * HORIZON_MS), (3 * HORIZON_MS, 500)] {
            let wheel = Wheel::new(START_MS);
            let waiter = Waiter::new();
            waiter.set(&wheel, START_MS + first_ms);
            assert!(wheel.timer_due().is_some(), "the timer of its first place is in flight");
            waiter.set(&wheel, START_MS + then_ms);
            for now_ms in (START_MS..=START_MS + then_ms + TICK_MS).step_by(50) {
                wheel.advance(now_ms);
                assert!(!waiter.has_woken() || now_ms >= START_MS + then_ms, "early");
            }
            assert!(waiter.has_woken(), "{first_ms} then {then_ms}");
        }
    }

    #[test]
    fn moving_a_deadline_later_costs_no_place_and_no_timer() {
        let wheel = Wheel::new(START_MS);
        let waiter = Waiter::new();
        assert!(waiter.set(&wheel, START_MS + 1_000));
        assert!(wheel.timer_due().is_some());
        for step in 0..1_000 {
            assert!(!waiter.set(&wheel, START_MS + 1_000 + step * 10));
            assert_eq!(wheel.timer_due(), None);
        }
        assert_eq!(wheel.entries.get(), 1);
    }

    #[test]
    fn overtaken_timers_are_not_armed_again() {
        let wheel = Wheel::new(START_MS);
        let far = Waiter::new();
        far.set(&wheel, START_MS + 60_000);
        let mut timers = usize::from(wheel.timer_due().is_some());
        for round in 1..=100 {
            let near = Waiter::new();
            near.set(&wheel, START_MS + round * 200);
            timers += usize::from(wheel.timer_due().is_some());
            wheel.advance(START_MS + round * 200 + TICK_MS);
            assert!(near.has_woken());
            assert_eq!(wheel.timer_due(), None, "the far one's is still in flight");
        }
        assert_eq!(timers, 101);
        assert_eq!(wheel.timers_ms.borrow().len(), 1);
    }

    #[test]
    fn what_is_taken_off_leaves_nothing_and_needs_no_timer() {
        let wheel = Wheel::new(START_MS);
        // Many in one place, taken off in an order that moves the others about.
        let waiters: Vec<_> = (0..50).map(|_| Waiter::new()).collect();
        waiters.iter().for_each(|waiter| assert!(waiter.set(&wheel, START_MS + 1_000)));
        for index in (0..50).step_by(2).chain([1, 49]) {
            wheel.unqueue(&waiters[index].entry);
        }
        assert_eq!(wheel.entries.get(), 23);
        wheel.advance(START_MS + 1_000 + TICK_MS);
        for (index, waiter) in waiters.iter().enumerate() {
            assert_eq!(waiter.has_woken(), index % 2 == 1 && index != 1 && index != 49, "{index}");
        }
        assert_eq!((wheel.entries.get(), wheel.timer_due()), (0, None));
        assert!(waiters.iter().all(|waiter| Rc::strong_count(&waiter.entry) == 1));
    }

    #[test]
    fn a_long_stop_passes_everything_that_is_due_once() {
        let wheel = Wheel::new(START_MS);
        let waiters: Vec<_> = (0..2_000).map(|_| Waiter::new()).collect();
        for (index, waiter) in waiters.iter().enumerate() {
            waiter.set(&wheel, START_MS + index as u64 * 100);
        }
        let now_ms = START_MS + 150_000;
        wheel.advance(now_ms);
        for (index, waiter) in waiters.iter().enumerate() {
            // Those beyond the horizon have been given a place anew, which comes up one tick later at the latest.
            let due_ms = START_MS + index as u64 * 100;
            assert!(!waiter.has_woken() || due_ms <= now_ms);
            assert!(waiter.has_woken() || due_ms + TICK_MS > now_ms, "{index}");
        }
        wheel.advance(START_MS + 200_000);
        assert!(waiters.iter().all(Waiter::has_woken));
        assert_eq!(wheel.entries.get(), 0);
    }

    #[test]
    fn noting_the_time_lets_nothing_pass() {
        let wheel = Wheel::new(START_MS);
        let waiter = Waiter::new();
        waiter.set(&wheel, START_MS + 1_000);
        wheel.note(START_MS + 5_000);
        assert!(!waiter.has_woken());
        assert_eq!(wheel.now_ms(), START_MS + 5_000);
        wheel.advance(START_MS + 5_000);
        assert!(waiter.has_woken());
    }
}
