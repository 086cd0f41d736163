//! The ring's state: the slots of its operations, and the turn that submits, reaps and wakes.
//!
//! Owns the engine, the slots and the buffer groups. Reaping only records results and wakes tasks; it never runs a handler.
//! Called by the operations (`single.rs`, `recv.rs`, …) and by the driver.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use super::buffers::BufferGroup;
use super::deadline::Wheel;
use super::driver::Driver;
use super::engine::{Cqe, Engine, Sqe};
use super::kernel::Kernel;
use super::single::{Hold, Single};
use super::watched::Watch;
use super::{accept, message, recv};
use crate::base::{bounds, clock::Monotonic};

/// Completions without a slot: those of cancellations.
const IGNORED: u64 = u64::MAX;
/// The most completions that a sleeping ring waits for.
const BATCH_MAX: u32 = 16;
/// Completions reaped before their tasks are woken.
const REAP_BATCH: usize = 512;

/// The sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct RingConfig {
    /// Submission queue entries.
    pub entries: u32,
    /// Completion queue entries.
    pub completions: u32,
}

impl Default for RingConfig {
    fn default() -> Self {
        RingConfig { entries: bounds::RING_ENTRIES, completions: bounds::RING_COMPLETIONS }
    }
}

/// A handle to the ring of this thread. Cloning it is cheap.
#[derive(Clone)]
pub struct Ring {
    pub(super) core: Rc<Core>,
}

impl Ring {
    /// Makes a ring and the driver that has to run for it to do anything.
    ///
    /// # Errors
    /// What io_uring_setup(2) or eventfd(2) said.
    pub fn new(config: RingConfig) -> io::Result<(Ring, Driver)> {
        let wakeup = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        let engine = Kernel::new(config.entries, config.completions, wakeup.try_clone()?)?;
        let core = Rc::new(Core::new(Box::new(engine)));
        Ok((Ring { core: core.clone() }, Driver::new(core, wakeup)))
    }

    #[cfg(test)]
    pub(super) fn with_engine(engine: Box<dyn Engine>) -> Ring {
        Ring { core: Rc::new(Core::new(engine)) }
    }

    /// Makes a group of provided buffers: `entries` (a power of two) of `size` bytes each.
    ///
    /// # Errors
    /// No memory, or the kernel refused the registration.
    pub fn buffer_group(&self, size: usize, entries: u16) -> io::Result<Rc<BufferGroup>> {
        let group = BufferGroup::new(&self.core, size, entries)?;
        self.core.groups.borrow_mut().push(group.clone());
        Ok(group)
    }

    /// Cancels all that is in flight; the driver ends when the last completion is in.
    pub fn close(&self) {
        self.core.closing.set(true);
        self.core.uncancelled.set(true);
        self.core.kick();
    }

    /// Milliseconds on the monotonic clock as of this turn of the driver, or of the present while the driver is parked.
    pub fn now_ms(&self) -> u64 {
        self.core.now_ms()
    }

    /// The moment at which this turn of the driver began: for what happens in it, and cheaper than a look at the clock.
    pub fn now(&self) -> Monotonic {
        self.core.now_ms();
        self.core.now.get()
    }

    /// Says how many completions are sure to come soon, such as answers of workers: a ring that sleeps need not be woken by each.
    pub fn expect(&self, count: usize) {
        self.core.expected.set(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Operations that the kernel has not completed.
    pub fn in_flight(&self) -> usize {
        self.core.in_flight.get()
    }
}

/// What the kernel is doing for one operation.
pub(super) enum Slot {
    Single(Single),
    Stream(Stream),
}

/// A multishot operation: armed again whenever it ended while somebody still wants its results.
pub(super) struct Stream {
    pub fd: super::Descriptor,
    pub queue: Queue,
    pub waker: Option<Waker>,
    /// The kernel has it.
    pub armed: bool,
    /// A cancellation is on its way: too much has arrived that nobody took.
    pub pausing: bool,
    /// Ended for want of a provided buffer; armed again when there is one.
    pub starved: bool,
    /// Nobody wants its results any more.
    pub orphan: bool,
    pub end: Option<End>,
}

/// What arrived and was not taken yet.
pub(super) enum Queue {
    /// Boxed, as the next: there are a handful, and a slot of theirs should be no larger than one of the many that receive.
    Accept(Box<accept::Queue>),
    Recv(recv::Queue),
    Message(Box<message::Queue>),
}

/// Why a stream has nothing more to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Eof,
    Error(i32),
}

pub(super) struct Core {
    engine: RefCell<Box<dyn Engine>>,
    pub slots: RefCell<Slab<Slot>>,
    /// Submissions for which the queue had no room, in order.
    unsubmitted: RefCell<VecDeque<(Sqe, u64)>>,
    reaped: RefCell<Vec<Cqe>>,
    groups: RefCell<Vec<Rc<BufferGroup>>>,
    pub wheel: Wheel,
    now: Cell<Monotonic>,
    parked: RefCell<Option<Waker>>,
    kicked: Cell<bool>,
    /// Completions that are sure to come soon.
    expected: Cell<u32>,
    pub watch: Watch,
    /// No turn is under way or has just been: tasks that run now were woken by something else.
    idle: Cell<bool>,
    pub in_flight: Cell<usize>,
    pub closing: Cell<bool>,
    /// Closing, and something is in flight that has not been asked to end yet.
    uncancelled: Cell<bool>,
}

impl Core {
    fn new(engine: Box<dyn Engine>) -> Core {
        Core {
            engine: RefCell::new(engine),
            slots: RefCell::new(Slab::new()),
            unsubmitted: RefCell::new(VecDeque::new()),
            reaped: RefCell::new(Vec::with_capacity(REAP_BATCH)),
            groups: RefCell::new(Vec::new()),
            wheel: Wheel::new(in_ms(Monotonic::now())),
            now: Cell::new(Monotonic::now()),
            parked: RefCell::new(None),
            kicked: Cell::new(false),
            expected: Cell::new(0),
            watch: Watch::default(),
            idle: Cell::new(true),
            in_flight: Cell::new(0),
            closing: Cell::new(false),
            uncancelled: Cell::new(false),
        }
    }

    pub fn add_group(&self, base: *mut u8, size: usize, entries: u16) -> io::Result<u16> {
        let id = u16::try_from(self.groups.borrow().len()).expect("a ring has a handful of groups");
        self.engine.borrow_mut().add_group(id, base, size, entries)?;
        Ok(id)
    }

    pub fn recycle(&self, group: u16, buffer: u16) {
        self.engine.borrow_mut().recycle(group, buffer);
    }

    /// Queues a submission; with the queue full, hands the queue over first. Nothing is ever lost or reordered.
    pub fn push(&self, sqe: Sqe, key: u64) {
        if key != IGNORED {
            self.in_flight.set(self.in_flight.get() + 1);
            self.uncancelled.set(self.closing.get());
        }
        let mut waiting = self.unsubmitted.borrow_mut();
        if !waiting.is_empty() || !self.push_or_enter(sqe, key) {
            waiting.push_back((sqe, key));
        }
        drop(waiting);
        self.kick();
    }

    fn push_or_enter(&self, sqe: Sqe, key: u64) -> bool {
        let mut engine = self.engine.borrow_mut();
        engine.push(sqe, key) || {
            engine.enter().expect("io_uring_enter refuses only malformed calls");
            engine.push(sqe, key)
        }
    }

    /// Asks the kernel to end the operation in slot `key`; its slot stays until the completion is in.
    pub fn cancel(&self, key: usize) {
        self.push(Sqe::Cancel { target: key as u64 }, IGNORED);
    }

    /// Wakes the driver if it is parked.
    pub fn kick(&self) {
        self.kicked.set(true);
        if let Some(waker) = self.parked.borrow_mut().take() {
            waker.wake();
        }
    }

    /// [`Core::kick`], unless the driver is going to look for itself.
    pub fn kick_if_parked(&self) {
        if self.parked.borrow().is_some() {
            self.kick();
        }
    }

    /// The time of the present turn. A parked driver has none, and neither has one that has not begun.
    pub fn now_ms(&self) -> u64 {
        if self.idle.get() {
            self.now.set(Monotonic::now());
            self.wheel.note(in_ms(self.now.get()));
        }
        self.wheel.now_ms()
    }

    /// Registers the parked driver; `true` when it has been kicked since the last call.
    pub fn poll_kicked(&self, waker: &Waker) -> bool {
        if self.kicked.replace(false) {
            return true;
        }
        *self.parked.borrow_mut() = Some(waker.clone());
        self.idle.set(true);
        false
    }

    /// One turn: hand over submissions, reap, wake. Returns whether anything came of it.
    pub fn turn(&self) -> bool {
        self.rearm_starved();
        // Once for all that is in flight, not once a turn: its own completion would keep the driver awake.
        if self.in_flight.get() > 0 && self.uncancelled.replace(false) {
            self.push(Sqe::CancelAll, IGNORED);
        }
        self.flush();
        // What was pushed up to here goes with this call; what reaping pushes needs another turn.
        self.kicked.set(false);
        let all = self.engine.borrow_mut().enter().expect("io_uring_enter refuses only malformed calls");
        let mut progress = self.reap() | self.watch.look();
        let now = Monotonic::now();
        self.now.set(now);
        progress |= self.wheel.advance(in_ms(now));
        self.idle.set(false);
        progress || !all || self.can_rearm() || !self.unsubmitted.borrow().is_empty()
    }

    fn flush(&self) {
        let mut waiting = self.unsubmitted.borrow_mut();
        while let Some(&(sqe, key)) = waiting.front() {
            if !self.push_or_enter(sqe, key) {
                break;
            }
            waiting.pop_front();
        }
    }

    fn reap(&self) -> bool {
        let mut progress = false;
        // Bounded by the completion queue: what overflowed comes with the next turn.
        for _ in 0..=(bounds::RING_COMPLETIONS as usize / REAP_BATCH) {
            let mut batch = self.reaped.take();
            let more = self.engine.borrow_mut().reap(&mut batch, REAP_BATCH);
            for cqe in batch.drain(..) {
                progress |= self.complete(cqe);
            }
            self.reaped.replace(batch);
            if !more {
                break;
            }
        }
        progress
    }

    /// Records one completion. Returns whether a task was woken.
    fn complete(&self, cqe: Cqe) -> bool {
        if cqe.key == IGNORED {
            return false;
        }
        if !cqe.more {
            self.in_flight.set(self.in_flight.get() - 1);
        }
        let key = cqe.key as usize;
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key).expect("a slot lives until its last completion");
        let (waker, finished) = match slot {
            Slot::Single(single) => single.complete(cqe),
            Slot::Stream(stream) => {
                let pause = stream.complete(cqe);
                if pause {
                    stream.pausing = true;
                    self.push(Sqe::Cancel { target: cqe.key }, IGNORED);
                }
                if stream.starved
                    && let Some(group) = stream.group()
                {
                    group.starved.borrow_mut().push_back(key);
                }
                let wanted = stream.has_news();
                (if wanted { stream.waker.take() } else { None }, stream.orphan && !stream.armed)
            }
        };
        let ended = finished.then(|| slots.remove(key));
        drop(slots);
        drop(ended);
        match waker {
            Some(waker) => {
                waker.wake();
                true
            }
            None => false,
        }
    }

    /// Arms starved streams again, the longest waiting first: as many as there are buffers, so that the rest is not told
    /// again and again that there is none.
    fn rearm_starved(&self) {
        for index in 0..self.groups.borrow().len() {
            let group = self.groups.borrow()[index].clone();
            let closing = self.closing.get();
            let most = if closing { usize::MAX } else { usize::from(group.free.get()) };
            let count = group.starved.borrow().len().min(most);
            let keys: Vec<usize> = group.starved.borrow_mut().drain(..count).collect();
            for key in keys {
                let mut slots = self.slots.borrow_mut();
                let Some(Slot::Stream(stream)) = slots.get_mut(key) else {
                    unreachable!("a released stream starves no more")
                };
                stream.starved = false;
                if closing {
                    stream.end = Some(End::Error(libc::ECANCELED));
                    let waker = stream.waker.take();
                    drop(slots);
                    waker.into_iter().for_each(Waker::wake);
                } else {
                    let sqe = stream.arm();
                    drop(slots);
                    self.push(sqe, key as u64);
                }
            }
        }
    }

    /// Whether a starved stream could go on.
    fn can_rearm(&self) -> bool {
        self.groups.borrow().iter().any(|group| group.free.get() > 0 && !group.starved.borrow().is_empty())
    }

    /// Sees to a kernel timer for the next occupied tick of the wheel. Returns whether a submission was queued.
    pub fn arm_timer(&self) -> bool {
        if self.closing.get() {
            return false;
        }
        let Some(due_ms) = self.wheel.timer_due() else { return false };
        let at = Box::new(io_uring::types::Timespec::new().sec(due_ms / 1000).nsec((due_ms % 1000) as u32 * 1_000_000));
        let sqe = Sqe::Timeout { at: &raw const *at };
        self.start_single(Hold::Timespec(at), None, sqe, true);
        true
    }

    /// Starts an operation with one completion; `orphan` when nobody waits for its result. Returns its slot.
    pub fn start_single(&self, hold: Hold, fd: Option<super::Descriptor>, sqe: Sqe, orphan: bool) -> usize {
        let single = Single { waker: None, result: None, hold, _fd: fd, orphan };
        let key = self.slots.borrow_mut().insert(Slot::Single(single));
        self.push(sqe, key as u64);
        key
    }

    /// Enables the eventfd; `true` when there is work already and the driver must not sleep.
    pub fn arm_wakeup(&self) -> bool {
        self.kicked.get() || self.engine.borrow_mut().arm_wakeup() || self.watch.sleep()
    }

    /// Sleeps in the ring until something completes, at most for `limit`. `true`: there is something, or the driver was kicked.
    pub fn doze(&self, limit: Duration) -> bool {
        if self.kicked.get() {
            return true;
        }
        if self.watch.sleep() {
            self.watch.wake();
            return true;
        }
        let mut engine = self.engine.borrow_mut();
        let want = (self.expected.get() / 2).clamp(1, BATCH_MAX);
        engine.doze(want, limit).expect("io_uring_enter refuses only malformed calls");
        self.watch.wake() | engine.has_completions()
    }

    /// Whether the driver was kicked since its last turn.
    pub fn is_kicked(&self) -> bool {
        self.kicked.get()
    }

    pub fn disarm_wakeup(&self) {
        self.engine.borrow_mut().disarm_wakeup();
        self.watch.wake();
    }
}

impl Stream {
    pub fn new(fd: super::Descriptor, queue: Queue) -> Stream {
        Stream { fd, queue, waker: None, armed: false, pausing: false, starved: false, orphan: false, end: None }
    }

    fn group(&self) -> Option<&Rc<BufferGroup>> {
        match &self.queue {
            Queue::Accept(_) => None,
            Queue::Recv(queue) => Some(&queue.group),
            Queue::Message(queue) => Some(&queue.group),
        }
    }

    /// Whether all that has arrived was taken.
    pub fn is_taken(&self) -> bool {
        match &self.queue {
            Queue::Accept(queue) => queue.is_empty(),
            Queue::Recv(queue) => queue.is_empty(),
            Queue::Message(queue) => queue.is_empty(),
        }
    }

    fn has_news(&self) -> bool {
        self.end.is_some()
            || !self.is_taken()
            // Ended without a word (the kernel may do that at any time): whoever waits arms it again.
            || !(self.armed || self.starved)
    }

    /// Marks it as the kernel's and describes the submission.
    pub fn arm(&mut self) -> Sqe {
        use std::os::fd::AsRawFd;
        debug_assert!(!self.armed && self.end.is_none(), "only an idle stream is armed");
        self.armed = true;
        self.pausing = false;
        self.starved = false;
        let fd = self.fd.as_raw_fd();
        match &self.queue {
            Queue::Accept(queue) => Sqe::Accept { fd, multishot: queue.is_greedy },
            Queue::Recv(queue) => Sqe::Recv { fd, group: queue.group.id, multishot: queue.has_received },
            Queue::Message(queue) => Sqe::RecvMsg { fd, group: queue.group.id, msg: queue.header() },
        }
    }

    /// Records a completion. Returns whether the kernel should be told to pause.
    fn complete(&mut self, cqe: Cqe) -> bool {
        if !cqe.more {
            self.armed = false;
        }
        let waiting = self.waker.is_some() && !self.orphan;
        if cqe.result < 0
            && let (Some(buffer), Some(group)) = (cqe.buffer, self.group())
        {
            drop(group.take(buffer, 0)); // a failed receive may have picked its buffer before it failed
        }
        match cqe.result {
            result if result >= 0 => {
                let eof = match &mut self.queue {
                    Queue::Accept(queue) => queue.push(result),
                    Queue::Recv(queue) => queue.push(result as usize, cqe.buffer, waiting),
                    Queue::Message(queue) => queue.push(result as usize, cqe.buffer),
                };
                if eof {
                    self.end = Some(End::Eof);
                }
            }
            // One with enough waiting for it is not in want, nor one that is to pause: whoever takes more arms it again.
            error if error == -libc::ENOBUFS && self.group().is_some() => {
                self.starved = !self.orphan && !self.pausing && !self.is_over_bound()
            }
            // Our own pause, or an orphan's end.
            error if error == -libc::ECANCELED && (self.pausing || self.orphan) => {}
            error => self.end = Some(End::Error(-error)),
        }
        if !cqe.more && self.pausing {
            self.pausing = false;
        }
        self.armed && !self.pausing && !self.orphan && self.is_over_bound()
    }

    /// Whether so much waits to be taken that the kernel should bring no more.
    fn is_over_bound(&self) -> bool {
        match &self.queue {
            Queue::Accept(queue) => queue.is_over_bound(),
            Queue::Recv(queue) => queue.is_over_bound(),
            Queue::Message(_) => false, // each holds a buffer of the group, which is bound enough
        }
    }
}

/// Ends a stream's slot when its handle is dropped: at once when idle, else with its last completion.
pub(super) fn release_stream(core: &Core, key: usize) {
    let mut slots = core.slots.borrow_mut();
    let Some(Slot::Stream(stream)) = slots.get_mut(key) else {
        unreachable!("a handle's slot lives as long as the handle")
    };
    let armed = stream.armed;
    let pausing = stream.pausing;
    if stream.starved
        && let Some(group) = stream.group()
    {
        group.starved.borrow_mut().retain(|starved| *starved != key);
    }
    stream.orphan = true;
    stream.waker = None;
    let ended = if armed { None } else { Some(slots.remove(key)) };
    drop(slots);
    drop(ended);
    if armed && !pausing {
        core.cancel(key);
    }
}

impl Drop for Core {
    /// Waits until the kernel has let go of every buffer: a ring that is dropped in mid-flight must not free memory that is
    /// still written to.
    fn drop(&mut self) {
        const ROUNDS_MAX: usize = 1_000;
        self.closing.set(true);
        self.uncancelled.set(true);
        for _ in 0..ROUNDS_MAX {
            if self.in_flight.get() == 0 {
                return;
            }
            self.turn();
            if self.in_flight.get() > 0 && self.engine.borrow_mut().wait().is_err() {
                break;
            }
        }
        // The kernel did not answer: what it may still write to is leaked rather than freed.
        std::mem::forget(self.slots.take());
        std::mem::forget(self.groups.take());
    }
}

fn in_ms(moment: Monotonic) -> u64 {
    moment.as_nanos() / 1_000_000
}
