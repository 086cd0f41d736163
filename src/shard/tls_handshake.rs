//! Handshakes: from a connection's first bytes to its session.
//!
//! Owns the bounds: how many are under way, how long one may take, and that one step at a time is taken between two turns of the
//! shard, since a step may cost a signature. Called by `connection` before the first request.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::net::Shutdown;

use super::connection::Connection;
use super::output::Gone;
use super::tls::Secure;
use crate::base::bounds::TLS_PENDING_BYTES_MAX;
use crate::http::Reject;
use crate::ring::{Chunk, Descriptor, within, yield_now};
use crate::tls::{Asked, Directory, Hello, asked_for};

/// A shard's certificates, and its handshakes.
pub(super) struct Handshakes {
    /// What new connections get; there before the first one is accepted.
    pub directory: RefCell<Option<Arc<Directory>>>,
    max: Cell<usize>,
    /// By the order in which they began.
    under_way: RefCell<BTreeMap<u64, Descriptor>>,
    begun: Cell<u64>,
    /// Somebody has the turn.
    is_taken: Cell<bool>,
    /// For their first step.
    new: RefCell<VecDeque<Rc<Waiting>>>,
    /// For a further one, which they come to by having answered the first.
    answered: RefCell<VecDeque<Rc<Waiting>>>,
    /// So many of these have had the turn since a new one had it.
    favoured: Cell<u32>,
}

/// So many that have answered may go before one that is new: they are the honest ones, and mostly one short step from their end. Not all of them: who
/// sends an answer byte by byte must not keep others out.
const FAVOURED_MAX: u32 = 8;

#[derive(Default)]
struct Waiting {
    is_granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Handshakes {
    pub fn new(max: usize) -> Handshakes {
        Handshakes {
            directory: RefCell::new(None),
            max: Cell::new(max),
            under_way: RefCell::default(),
            begun: Cell::new(0),
            is_taken: Cell::new(false),
            new: RefCell::default(),
            answered: RefCell::default(),
            favoured: Cell::new(0),
        }
    }

    /// So many may be under way from now on.
    pub fn set_max(&self, max: usize) {
        self.max.set(max);
    }

    /// Counts a handshake for as long as the guard lives. With too many under way the oldest is ended: those of honest clients take a
    /// few round trips, those that are there to take up room stay.
    fn begin(&self, socket: &Descriptor) -> UnderWay<'_> {
        let mut under_way = self.under_way.borrow_mut();
        if under_way.len() >= self.max.get()
            && let Some((_, oldest)) = under_way.pop_first()
        {
            // Its task wakes with an end of input. One that is gone already needs no end.
            let _ = rustix::net::shutdown(&oldest, Shutdown::Both);
        }
        let number = self.begun.get();
        self.begun.set(number + 1);
        under_way.insert(number, socket.clone());
        UnderWay { all: self, number }
    }

    /// Waits for the turn to take a step; it is passed on when the guard is dropped. `has_answered`: not the first one.
    fn turn(&self, has_answered: bool) -> TurnFuture<'_> {
        TurnFuture { all: self, queue: if has_answered { &self.answered } else { &self.new }, waiting: None }
    }

    /// Passes the turn on to the one that has waited longest and still does, mostly among those that have answered.
    fn pass_on(&self) {
        let first = |queue: &RefCell<VecDeque<Rc<Waiting>>>| {
            let next = std::iter::from_fn(|| queue.borrow_mut().pop_front());
            // What only the queue knows of has stopped waiting.
            { next }.find(|next| Rc::strong_count(next) > 1)
        };
        let favoured = if self.favoured.get() < FAVOURED_MAX { first(&self.answered) } else { None };
        self.favoured.set(if favoured.is_some() { self.favoured.get() + 1 } else { 0 });
        match favoured.or_else(|| first(&self.new)).or_else(|| first(&self.answered)) {
            Some(next) => {
                next.is_granted.set(true);
                if let Some(waker) = next.waker.take() {
                    waker.wake();
                }
            }
            None => self.is_taken.set(false),
        }
    }
}

struct UnderWay<'h> {
    all: &'h Handshakes,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.under_way.borrow_mut().remove(&self.number);
    }
}

struct Turn<'h>(&'h Handshakes);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

struct TurnFuture<'h> {
    all: &'h Handshakes,
    queue: &'h RefCell<VecDeque<Rc<Waiting>>>,
    waiting: Option<Rc<Waiting>>,
}

impl<'h> Future for TurnFuture<'h> {
    type Output = Turn<'h>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn<'h>> {
        let all = self.all;
        match &self.waiting {
            None if !all.is_taken.replace(true) => return Poll::Ready(Turn(all)),
            None => {
                let waiting = Rc::new(Waiting::default());
                *waiting.waker.borrow_mut() = Some(cx.waker().clone());
                self.queue.borrow_mut().push_back(waiting.clone());
                self.waiting = Some(waiting);
            }
            Some(waiting) if waiting.is_granted.get() => {
                self.waiting = None;
                return Poll::Ready(Turn(all));
            }
            Some(waiting) => *waiting.waker.borrow_mut() = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for TurnFuture<'_> {
    fn drop(&mut self) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_granted.get()) {
            self.all.pass_on();
        }
    }
}

/// How a connection's beginning came out.
enum Beginning {
    /// What HTTP has already got through it.
    Session(Rc<Secure>, Vec<u8>),
    /// The client is gone, or was too slow. `true`: it had sent something.
    Ended(bool),
    /// The client has seen a challenge's certificate; what it is told at the end.
    Validated(Vec<u8>),
    /// The client speaks HTTP; what it has sent.
    Plain(Vec<u8>),
    /// Nothing could be agreed on; what the client is told.
    Failed(Vec<u8>),
}

impl Connection {
    /// Shakes hands. `false`: the connection has ended.
    pub(super) async fn handshake(&mut self) -> Result<bool, Gone> {
        self.receiving.deadline.set(self.shard.timeouts.get().handshake);
        match self.begin_session().await? {
            Beginning::Session(secure, plain) => {
                self.shard.metrics.borrow_mut().handshake(secure.facts.resumed);
                self.output.secure(secure.clone());
                self.receiving.secure = Some(secure);
                if !plain.is_empty() {
                    self.receiving.input.push(Chunk::from(plain));
                }
                Ok(true)
            }
            Beginning::Ended(had_begun) => {
                if had_begun {
                    self.shard.metrics.borrow_mut().handshakes_failed += 1;
                }
                Ok(false)
            }
            Beginning::Validated(farewell) => {
                self.output.send_sealed(farewell, 0).await?;
                self.output.settle().await?;
                self.linger().await.map(|()| false)
            }
            Beginning::Plain(bytes) => {
                self.receiving.input.push(Chunk::from(bytes));
                self.refuse_unread(Reject::PlainOnTlsPort).await.map(|()| false)
            }
            Beginning::Failed(alert) => {
                self.shard.metrics.borrow_mut().handshakes_failed += 1;
                self.output.send_sealed(alert, 0).await?;
                self.output.settle().await?;
                self.linger().await.map(|()| false)
            }
        }
    }

    async fn begin_session(&mut self) -> Result<Beginning, Gone> {
        let shard = self.shard.clone();
        // From the beginning: those that never say a word take up room as well.
        let _under_way = shard.handshakes.begin(self.output.socket());
        // Behind a PROXY header they may be there already.
        let first = match self.receiving.input.take() {
            Some(first) => Some(first),
            None => self.arrival().await,
        };
        let Some(first) = first else { return Ok(Beginning::Ended(false)) };
        let mut bytes = first.to_vec();
        drop(first);
        // A TLS record begins with its type, of which none is a letter; a method begins with one.
        if bytes[0].is_ascii_alphabetic() {
            return Ok(Beginning::Plain(bytes));
        }
        let Asked { name, is_challenge } = loop {
            match asked_for(&bytes) {
                Hello::Complete(asked) => break asked,
                Hello::Partial if bytes.len() <= TLS_PENDING_BYTES_MAX => {}
                Hello::Partial | Hello::Other => break Asked::default(),
            }
            let Some(more) = self.arrival().await else { return Ok(Beginning::Ended(true)) };
            bytes.extend_from_slice(&more);
        };
        let directory = shard.handshakes.directory.borrow().clone().expect("a TLS listener has certificates");
        let entry = directory.select(name.as_deref());
        let challenges = shard.challenges.borrow().clone();
        let challenge = challenges.filter(|_| is_challenge).and_then(|all| all.session(name.as_deref()?));
        let is_challenge = challenge.is_some();
        let mut session = challenge.unwrap_or_else(|| directory.session(entry)).map_err(|_| Gone)?;
        let mut plain = Vec::new();
        let mut has_answered = false;
        loop {
            let Ok(turn) = within(&self.receiving.deadline, shard.handshakes.turn(has_answered)).await else {
                return Ok(Beginning::Ended(true));
            };
            let mut out = Vec::new();
            let received = session.receive(&mut bytes, &mut plain, &mut out);
            if let Err(error) = received {
                tracing::debug!(shard = shard.number, %error, "a TLS handshake failed");
                return Ok(Beginning::Failed(out));
            }
            if !out.is_empty() {
                self.output.send_sealed(out, 0).await?;
            }
            // Everybody else gets a turn before the next step is taken.
            yield_now().await;
            drop(turn);
            if !session.is_handshaking() && is_challenge {
                // The certificate was all that it wanted (RFC 8737 §3).
                let mut out = Vec::new();
                session.close(&mut out);
                return Ok(Beginning::Validated(out));
            }
            if !session.is_handshaking() {
                let secure = Secure::new(session, directory, entry, name);
                return Ok(Beginning::Session(Rc::new(secure), plain));
            }
            // Copied, so that whoever waits for the turn holds none of the shard's buffers.
            let Some(more) = self.arrival().await else { return Ok(Beginning::Ended(true)) };
            bytes.clear();
            bytes.extend_from_slice(&more);
            has_answered = true;
        }
    }

    /// What arrives next within the handshake's time; never empty.
    async fn arrival(&mut self) -> Option<Chunk> {
        match within(&self.receiving.deadline, self.receiving.recv.next()).await {
            Ok(Ok(Some(chunk))) => Some(chunk),
            Ok(Ok(None) | Err(_)) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn poll<'h>(future: &mut Pin<Box<TurnFuture<'h>>>) -> Option<Turn<'h>> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_at_a_time_in_order_and_over_those_that_gave_up() {
        let all = Handshakes::new(10);
        let mut futures: Vec<_> = (0..5).map(|_| Box::pin(all.turn(false))).collect();
        let first = poll(&mut futures[0]).expect("nobody has it");
        assert!(futures[1..].iter_mut().all(|future| poll(future).is_none()));
        drop(futures.remove(1));
        drop(first);
        assert!(poll(&mut futures[2]).is_none(), "it is the third one's");
        let third = poll(&mut futures[1]).expect("the second gave up");
        drop(third);
        // Granted, and dropped before it was taken.
        drop(futures.remove(2));
        let last = poll(&mut futures[2]).expect("passed on");
        drop(last);
        let mut another = Box::pin(all.turn(false));
        assert!(poll(&mut another).is_some());
    }

    #[test]
    fn those_that_have_answered_go_first_but_not_for_ever() {
        let all = Handshakes::new(10);
        let mut turn = poll(&mut Box::pin(all.turn(false))).expect("nobody has it");
        let mut waiting: Vec<_> = (0..2).map(|_| (false, Box::pin(all.turn(false)))).collect();
        waiting.extend((0..=FAVOURED_MAX).map(|_| (true, Box::pin(all.turn(true)))));
        assert!(waiting.iter_mut().all(|(_, future)| poll(future).is_none()));
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(turn);
            let (at, granted) = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(at, (_, future))| Some((at, poll(future)?)))
                .expect("passed on");
            order.push(waiting.remove(at).0);
            turn = granted;
        }
        let favoured = vec![true; FAVOURED_MAX as usize];
        assert_eq!(order, [favoured, vec![false, true, false]].concat());
    }

    #[test]
    fn the_oldest_ends_when_there_are_too_many() {
        use std::io::Read;
        use std::os::unix::net::UnixStream;
        let all = Handshakes::new(2);
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().expect("sockets")).collect();
        let (ours, mut theirs): (Vec<Descriptor>, Vec<_>) =
            pairs.into_iter().map(|(ours, theirs)| (Rc::new(ours.into()), theirs)).unzip();
        let mut guards: Vec<_> = ours[..2].iter().map(|socket| all.begin(socket)).collect();
        drop(guards.remove(0));
        guards.push(all.begin(&ours[2]));
        assert_eq!(all.under_way.borrow().len(), 2);
        let newest = all.begin(&ours[0]);
        theirs[1].set_nonblocking(false).expect("an option");
        assert_eq!(theirs[1].read(&mut [0]).expect("an end"), 0, "the second was the oldest");
        drop((guards, newest));
        assert!(all.under_way.borrow().is_empty());
    }
}
