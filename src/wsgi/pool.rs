//! A shard's side of the worker pool: who waits, who is in the inbox, and which reply belongs to whom.
//!
//! Owns the shard's queue, its share of the pool's capacity and the calls in flight. Never decides how many workers there are
//! (`supervise` does) and never looks into a response (`shard` does). Called by `shard`.
//!
//! A call waits in the shard's own queue, where it can still be withdrawn, until the shard's share has room; then it goes into
//! the shard's request ring or, if it is large, the one inbox, from which all workers of the generation take. While answers take long, the shards take turns
//! (`turns`). Sends never wait.

mod call;
mod replies;
mod taking_back;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use super::credit::Credit;
use super::messages::Token;
pub use super::part::Part;
use super::queue::{Key, Queue};
use super::rings::Rings;
use super::share::Share;
use super::spool::BodyFile;
use super::turns::{Seat, Turn, Turns};
use super::unreleased::Unreleased;
use crate::base::clock::Monotonic;
use crate::config::Priority;
use crate::observe::{Shed, ShedCounts};
use crate::ring::{Descriptor, Ring};
use crate::sys::outbox::{Outbox, Reader};
use crate::sys::packets;
use crate::sys::reply_rings::ReplyRings;
use crate::sys::request_rings::{Feed, Lying, RequestRings};
pub use call::Call;

/// An inbox that takes nothing, or that was another's turn, is tried again after so long, whatever is heard of it.
const ROOM_PAUSE: Duration = Duration::from_millis(100);
/// An inbox that takes nothing is said to do so once in so long.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// The way into a generation of workers.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The generation's number; later ones are larger.
    pub generation: u32,
    /// The shards' end of the inbox. When the last holder lets go of it, the workers drain and exit.
    pub inbox: Arc<OwnedFd>,
    /// This shard's share of what the workers can have before them.
    pub share: Share,
    /// What the shards tell each other about it.
    pub turns: Arc<Turns>,
    /// Where its workers put what they lend.
    pub outbox: Arc<Outbox>,
    /// From which they take short requests, if they do.
    pub requests: Option<Arc<RequestRings>>,
}

/// Why a call could not even wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// What became of calls that never got to a worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unserved {
    /// Turned away.
    pub shed: ShedCounts,
    /// Withdrawn from the queue: their clients had left.
    pub withdrawn: u64,
}

#[derive(Debug)]
enum Phase {
    /// Its message is being made.
    Building,
    /// Waits in the shard's queue.
    Queued { key: Key, message: Vec<u8>, descriptor: Option<BodyFile> },
    /// In the request ring, where it lies, in the inbox, or in a worker's hands. Kept whole, to be sent again if no worker takes it.
    Sent { generation: u32, at: Monotonic, message: Vec<u8>, descriptor: Option<BodyFile>, lying: Option<Lying> },
    /// No worker will get it: its client had left. Whoever waits for the answer is told to look.
    TakenBack,
    /// The last part is in.
    Ended,
}

struct CallState {
    serial: u32,
    priority: Priority,
    phase: Phase,
    parts: VecDeque<Part>,
    waker: Option<Waker>,
    credit: Credit,
    /// When it was handed over, complete.
    submitted_at: Monotonic,
    /// When it was put into the inbox, if it is not in the queue again.
    sent_at: Option<Monotonic>,
    /// Nobody waits for the answer any more.
    abandoned: bool,
    /// Its client has left, or has finished sending: who waits gives it up if no worker has it.
    has_left: bool,
    /// It may be sent once more if its worker dies: nothing was heard of it, and it was not done before.
    may_run_again: bool,
}

struct Inner {
    ring: Ring,
    shard: u32,
    retry_safe: Cell<bool>,
    gate: RefCell<Option<Gate>>,
    /// This shard's part in the gate's turns.
    seat: RefCell<Option<Seat>>,
    /// This shard's request ring of the gate's generation.
    feed: RefCell<Option<Feed>>,
    /// Requests of the gate's generation in the inbox or in workers' hands.
    taken: Cell<usize>,
    /// The sum of `taken` over time, up to a moment.
    load: Cell<(Duration, Monotonic)>,
    calls: RefCell<Slab<CallState>>,
    /// Who waits.
    queue: RefCell<Queue>,
    unserved: Cell<Unserved>,
    /// Bodies of calls that are answered.
    unreleased: RefCell<Unreleased>,
    /// The outboxes of generations that have workers, the newest last. Counted by this shard alone.
    outboxes: RefCell<Vec<(u32, Rc<Reader>)>>,
    /// Those of the same generations.
    rings: Rc<Rings>,
    serial: Cell<u32>,
    waits_for_room: Cell<bool>,
    waits_for_turn: Cell<bool>,
    looks_after_sent: Cell<bool>,
    /// How long a request may wait for a worker.
    queue_timeout: Cell<Option<Duration>>,
    complained: Cell<Option<Monotonic>>,
}

/// A shard's side of the worker pool. Cloning it is cheap.
#[derive(Clone)]
pub struct Pool(Rc<Inner>);

impl Pool {
    /// So many calls may wait from now on, and so long, also in an overload (`None`: as long as ever); those that wait already may go on. Who
    /// waits in the queue keeps to `timeout` by itself.
    pub fn set_queue_limits(&self, calls: usize, timeout: Option<Duration>, overload_timeout: Option<Duration>) {
        self.0.queue.borrow_mut().set_limits(calls, overload_timeout);
        self.0.queue_timeout.set(timeout);
    }

    /// Whether requests that [may](Call::allow_second_run) are sent once more when their worker has died; not, unless this says so.
    pub fn set_retry_safe(&self, wanted: bool) {
        self.0.retry_safe.set(wanted);
    }

    /// A pool without workers yet: calls wait.
    pub fn new(ring: Ring, shard: u32) -> Pool {
        let rings = Rc::<Rings>::default();
        ring.watch(rings.clone());
        Pool(Rc::new(Inner {
            ring,
            shard,
            retry_safe: Cell::new(false),
            gate: RefCell::new(None),
            seat: RefCell::new(None),
            feed: RefCell::new(None),
            taken: Cell::new(0),
            load: Cell::default(),
            calls: RefCell::new(Slab::new()),
            queue: RefCell::new(Queue::new(1)),
            unserved: Cell::default(),
            unreleased: RefCell::default(),
            outboxes: RefCell::default(),
            rings,
            serial: Cell::new(0),
            waits_for_room: Cell::new(false),
            waits_for_turn: Cell::new(false),
            looks_after_sent: Cell::new(false),
            queue_timeout: Cell::new(None),
            complained: Cell::new(None),
        }))
    }

    /// The number of the shard, as it stands in each message.
    pub fn shard(&self) -> u32 {
        self.0.shard
    }

    /// Sends what comes from now on to another generation. Letting go of the old gate's inbox is what drains it.
    pub fn switch(&self, gate: Gate) {
        let seat = Seat::new(gate.turns.clone(), self.0.shard as usize);
        drop(self.0.seat.replace(Some(seat)));
        let feed = gate.requests.clone().and_then(|rings| Feed::new(rings, self.0.shard as usize));
        self.0.feed.replace(feed);
        self.set_taken(0);
        self.0.outboxes.borrow_mut().push((gate.generation, Reader::new(gate.outbox.clone())));
        if let Some(rings) = ReplyRings::new(gate.outbox.clone(), self.0.shard as usize) {
            self.0.rings.add(gate.generation, rings);
        }
        let old = self.0.gate.replace(Some(gate));
        drop(old);
        self.dispatch();
    }

    /// What workers have had before them, summed up over time: one request for a second is a second.
    pub fn load(&self) -> Duration {
        let (load, up_to) = self.0.load.get();
        load + self.0.ring.now().since(up_to) * u32::try_from(self.0.taken.get()).unwrap_or(u32::MAX)
    }

    /// Gives another share of the present generation, if it is this one.
    pub fn set_share(&self, generation: u32, share: Share) {
        if let Some(gate) = self.0.gate.borrow_mut().as_mut().filter(|gate| gate.generation == generation) {
            gate.share = share;
        }
        self.tell_taken();
        self.dispatch();
    }

    /// Lets go of the current generation: nothing is sent any more.
    pub fn close(&self) {
        drop(self.0.seat.take());
        drop(self.0.feed.take());
        drop(self.0.gate.take());
    }

    /// Another shard says that it may be this one's turn.
    pub fn look(&self) {
        self.dispatch();
    }

    /// Calls that wait in the shard's own queue.
    pub fn queued(&self) -> usize {
        self.0.queue.borrow().len()
    }

    /// Calls that never got to a worker so far.
    pub fn unserved(&self) -> Unserved {
        self.0.unserved.get()
    }

    /// Whether more comes than workers can serve, so that `overload_timeout` counts.
    pub fn is_overloaded(&self) -> bool {
        self.0.queue.borrow().is_overloaded()
    }

    /// Whether one more call may wait. One that may not is turned away.
    ///
    /// # Errors
    /// When as many calls wait as the configuration allows, and none is less urgent.
    pub fn admit(&self, priority: Priority) -> Result<(), QueueFull> {
        if self.0.queue.borrow().has_room(priority) {
            return Ok(());
        }
        self.count_shed(Shed::Full);
        Err(QueueFull)
    }

    fn count_withdrawn(&self) {
        let unserved = self.0.unserved.get();
        self.0.unserved.set(Unserved { withdrawn: unserved.withdrawn + 1, ..unserved });
    }

    fn count_shed(&self, shed: Shed) {
        let mut unserved = self.0.unserved.get();
        unserved.shed.count(shed);
        self.0.unserved.set(unserved);
    }

    /// Calls that are not finished: waiting, in the inbox or in workers' hands.
    pub fn unfinished(&self) -> usize {
        self.0.calls.borrow().len()
    }

    /// Begins a call.
    ///
    /// # Errors
    /// As [`Pool::admit`].
    pub fn call(&self, priority: Priority) -> Result<Call, QueueFull> {
        self.admit(priority)?;
        let serial = self.0.serial.get().checked_add(1).unwrap_or(1);
        self.0.serial.set(serial);
        let state = CallState {
            serial,
            priority,
            phase: Phase::Building,
            parts: VecDeque::new(),
            waker: None,
            credit: Credit::default(),
            submitted_at: Monotonic::ZERO,
            sent_at: None,
            abandoned: false,
            has_left: false,
            may_run_again: false,
        };
        let slot = self.0.calls.borrow_mut().insert(state);
        Ok(Call { pool: self.clone(), slot, serial })
    }

    /// Sends from the queue what the share has room for.
    fn dispatch(&self) {
        self.shed_overdue();
        let gate = self.0.gate.borrow();
        let Some(gate) = &*gate else { return };
        while self.may_send(&gate.share) {
            let Some((key, token)) = self.0.queue.borrow().next() else { return };
            let mut calls = self.0.calls.borrow_mut();
            let call = &mut calls[token.slot as usize];
            debug_assert_eq!(call.serial, token.serial, "who is withdrawn leaves the queue");
            let Phase::Queued { message, descriptor, .. } = &call.phase else {
                unreachable!("only queued calls are in the queue")
            };
            match self.send(&gate.inbox, message, descriptor.as_ref()) {
                Ok(lying) => {
                    let Phase::Queued { message, descriptor, .. } = std::mem::replace(&mut call.phase, Phase::Ended)
                    else {
                        unreachable!("matched above")
                    };
                    let at = self.0.ring.now();
                    call.sent_at = Some(at);
                    call.phase = Phase::Sent { generation: gate.generation, at, message, descriptor, lying };
                    let priority = call.priority;
                    let taken = self.0.queue.borrow_mut().take(key, at);
                    if let Some(is_overloaded) = taken.turned {
                        self.tell_overload(is_overloaded, priority, taken.waited);
                    }
                    self.set_taken(self.0.taken.get() + 1);
                    self.look_after_sent();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room(&gate.inbox);
                    return;
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN)) => {
                    // The generation has no reader left. The supervisor replaces it and the queue goes to its successor.
                    self.complain(gate.generation, &error, "the inbox is closed");
                    return;
                }
                Err(error) => {
                    // ENOBUFS, ENOMEM, ETOOMANYREFS: it passes, and nothing tells when.
                    self.complain(gate.generation, &error, "cannot send to the inbox now");
                    self.wait_for_room(&gate.inbox);
                    return;
                }
            }
        }
    }

    /// Puts a message where workers take it: into the ring if it is short and all there is of the request, else into the inbox. Returns where in the
    /// ring.
    fn send(&self, inbox: &OwnedFd, message: &[u8], body: Option<&BodyFile>) -> io::Result<Option<Lying>> {
        let feed = self.0.feed.borrow();
        if body.is_none()
            && let Some(lying) = feed.as_ref().and_then(|feed| feed.push(message))
        {
            return Ok(Some(lying));
        }
        let riding: Vec<_> = body.iter().map(|body| body.as_fd()).collect();
        packets::try_send(inbox, &[IoSlice::new(message)], &riding).map(|()| None)
    }

    /// Whether the next of the queue may go to the workers now.
    fn may_send(&self, share: &Share) -> bool {
        let mut seat = self.0.seat.borrow_mut();
        let Some(seat) = &mut *seat else { return false };
        let next = self.0.queue.borrow().claim();
        match seat.ask(next, self.0.taken.get(), share, self.0.ring.now()) {
            Turn::Ours => return true,
            Turn::Nothing => return false,
            Turn::Wait => {}
            Turn::Theirs(shard) => seat.wake(shard),
        }
        if next.is_some() {
            self.look_later();
        }
        false
    }

    /// Looks whether it is this shard's turn after a pause, should nobody say so.
    fn look_later(&self) {
        if self.0.waits_for_turn.replace(true) {
            return;
        }
        let pool = self.clone();
        glommio::spawn_local(async move {
            pool.0.ring.sleep(ROOM_PAUSE).await;
            pool.0.waits_for_turn.set(false);
            pool.dispatch();
        })
        .detach();
    }

    #[cold]
    fn tell_overload(&self, is_overloaded: bool, priority: Priority, waited: Duration) {
        let (shard, priority, waiting) = (self.0.shard, priority.name(), self.queued());
        match is_overloaded {
            true => tracing::warn!(
                shard,
                priority,
                waiting,
                ?waited,
                "overload: more requests come than the workers can serve; those that have waited for overload_timeout are answered with 503"
            ),
            false => tracing::info!(shard, priority, waiting, "the overload is over"),
        }
    }

    /// Takes a call out of the queue to which no worker got.
    fn remove(&self, slot: usize, key: Key) {
        let now = self.0.ring.now();
        let is_overloaded = self.0.queue.borrow_mut().remove(key, now);
        if is_overloaded {
            let calls = self.0.calls.borrow();
            let call = &calls[slot];
            self.tell_overload(true, call.priority, now.since(call.submitted_at));
        }
    }

    /// Turns those away that have waited too long in an overload.
    fn shed_overdue(&self) {
        let now = self.0.ring.now();
        loop {
            // Not borrowed while it is dealt with.
            let overdue = self.0.queue.borrow_mut().overdue(now);
            let Some(token) = overdue else { return };
            self.shed(token, Shed::Overload);
        }
    }

    /// Turns away a call that has left the queue just now.
    fn shed(&self, token: Token, shed: Shed) {
        self.count_shed(shed);
        let mut calls = self.0.calls.borrow_mut();
        let call = &mut calls[token.slot as usize];
        debug_assert!(call.serial == token.serial && matches!(call.phase, Phase::Queued { .. }));
        call.phase = Phase::Ended;
        call.parts.push_back(Part::Shed(shed));
        let waker = call.waker.take();
        drop(calls);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says once in a while why requests do not get to workers.
    fn complain(&self, generation: u32, error: &io::Error, what: &str) {
        let now = self.0.ring.now();
        if self.0.complained.get().is_none_or(|last| now.since(last) >= COMPLAINT_PAUSE) {
            self.0.complained.set(Some(now));
            tracing::warn!(shard = self.0.shard, generation, %error, "{what}");
        }
    }

    /// Dispatches again once the inbox has room, or after a pause.
    fn wait_for_room(&self, inbox: &Arc<OwnedFd>) {
        if self.0.waits_for_room.replace(true) {
            return;
        }
        // Without a descriptor for it (EMFILE) the time alone is waited for.
        let inbox = inbox.try_clone().ok();
        let pool = self.clone();
        glommio::spawn_local(async move {
            // Room can be there without a signal for it on a socket that others fill too: look again after a while.
            let deadline = pool.0.ring.deadline();
            deadline.set(ROOM_PAUSE);
            match inbox {
                Some(inbox) => {
                    let inbox: Descriptor = Rc::new(inbox);
                    let _ = crate::ring::within(&deadline, pool.0.ring.poll(&inbox, libc::POLLOUT as u32)).await;
                }
                None => poll_fn(|cx| deadline.poll(cx)).await,
            }
            pool.0.waits_for_room.set(false);
            pool.dispatch();
        })
        .detach();
    }

    /// A call that no worker took is the first to be sent again.
    fn requeue(&self, calls: &mut Slab<CallState>, slot: usize) {
        let Phase::Sent { generation, message, descriptor, .. } =
            std::mem::replace(&mut calls[slot].phase, Phase::Ended)
        else {
            unreachable!("the caller looked")
        };
        self.give_back(generation);
        if calls[slot].abandoned {
            calls.remove(slot);
        } else {
            let token = Token { slot: slot as u32, serial: calls[slot].serial };
            let key = self.0.queue.borrow_mut().push_front(token, calls[slot].priority, self.0.ring.now());
            calls[slot].phase = Phase::Queued { key, message, descriptor };
            calls[slot].sent_at = None;
            // Whoever waits for it looks anew whether it still wants to.
            if let Some(waker) = calls[slot].waker.take() {
                waker.wake();
            }
        }
    }

    fn set_taken(&self, taken: usize) {
        self.0.load.set((self.load(), self.0.ring.now()));
        self.0.taken.set(taken);
        self.0.ring.expect(taken);
        self.tell_taken();
    }

    /// Tells the other shards of the gate how many requests are under way.
    fn tell_taken(&self) {
        if let (Some(seat), Some(gate)) = (&*self.0.seat.borrow(), &*self.0.gate.borrow()) {
            seat.tell(self.0.taken.get(), &gate.share);
        }
    }

    /// A place in the share is free again, if it was of the present generation's.
    fn give_back(&self, generation: u32) {
        if self.0.gate.borrow().as_ref().is_some_and(|gate| gate.generation == generation) {
            self.set_taken(self.0.taken.get().saturating_sub(1));
        }
    }

    /// The last part of a call is in: its place in the share is free, and its slot too if nobody waits.
    fn end(&self, calls: &mut Slab<CallState>, slot: usize) {
        let call = &mut calls[slot];
        if let Phase::Sent { generation, at, descriptor, .. } = std::mem::replace(&mut call.phase, Phase::Ended) {
            if let Some(body) = descriptor {
                let token = Token { slot: slot as u32, serial: call.serial };
                self.0.unreleased.borrow_mut().keep(token, body, self.0.ring.now());
            }
            if let Some(gate) = self.0.gate.borrow_mut().as_mut().filter(|gate| gate.generation == generation) {
                gate.share.learn(self.0.ring.now().since(at), self.0.taken.get());
            }
            self.give_back(generation);
        }
        if call.abandoned {
            calls.remove(slot);
        }
    }

    /// Gives memory back that bodies of answered requests have had for too long.
    pub fn trim(&self) {
        self.0.unreleased.borrow_mut().trim(self.0.ring.now());
    }
}
