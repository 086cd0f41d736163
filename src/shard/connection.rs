//! One connection: requests come in one after the other, each is handed to whoever answers it (RFC 9112 §9).
//!
//! Owns the socket, what has arrived on it and the order of responses. Straight-line code: a request is decided on as soon as
//! its head is complete; whatever needs to wait is done in a future that lives only as long as the request.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::Shutdown;

use super::action;
use super::answer::Facts;
use super::body::{Body, BodyError};
use super::exchange::{Exchange, Times};
use super::extras::Extras;
use super::input::Input;
use super::output::{Gone, Output};
use super::peer::Peer;
use super::site::Handler;
use super::state::{Phase, Shard};
use crate::base::bounds::{LINGER_BYTES_MAX, LINGER_MS_MAX};
use crate::base::clock::Monotonic;
use crate::http::head::{self, Head, Parse};
use crate::http::{BodyFraming, Method, Reject, Version, response};
use crate::observe::Labels;
use crate::ring::{Deadline, Descriptor, Payload, RecvStream, within};
use crate::route::RouteId;
use crate::static_files::Now;
use crate::wsgi::pool::Call;

/// The receiving half: what arrives, and how long it may take.
pub(super) struct Receiving {
    pub recv: RecvStream,
    pub input: Input,
    deadline: Deadline,
    body_timeout: Duration,
}

impl Receiving {
    /// Lets go of provided buffers before a wait for something else than input.
    pub fn set_aside(&mut self) {
        self.input.settle();
        self.recv.set_aside();
    }

    /// Waits for more of a body.
    pub async fn more_body(&mut self) -> Result<(), BodyError> {
        self.deadline.set(self.body_timeout);
        match within(&self.deadline, self.recv.next()).await {
            Ok(Ok(Some(chunk))) => {
                self.input.push(chunk);
                Ok(())
            }
            Ok(Ok(None) | Err(_)) => Err(BodyError::Gone),
            Err(_) => Err(BodyError::Refused(Reject::BodyTimeout)),
        }
    }
}

/// One client's connection.
pub(super) struct Connection {
    pub shard: Rc<Shard>,
    pub receiving: Receiving,
    pub output: Output,
    /// The request in hand, for the access log and the counters.
    pub exchange: RefCell<Exchange>,
    /// Its number among all connections of the server.
    pub number: u64,
    /// Its place among the shard's connections.
    key: usize,
    peer: Option<Box<Peer>>,
    requests: u32,
    /// Bytes of a partial head that were parsed in vain.
    seen: usize,
    /// When they were.
    begun: Monotonic,
    /// Something had come behind the last request before it was answered.
    is_pipelined: bool,
    /// What the route of the request in hand adds to its answer.
    extras: RefCell<Option<Rc<Extras>>>,
}

/// How a connection goes on after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next request.
    Request,
    /// With its end, after what was sent has arrived.
    Close,
}

/// What a complete head, or the want of one, calls for.
enum Step {
    /// More bytes.
    More,
    /// A response that is ready.
    Ready(Rc<Vec<u8>>),
    /// A call that a worker has to answer.
    Call(Call, Facts),
    /// Work that waits: the head in memory of its own, and the route.
    Work(Vec<u8>, Option<RouteId>, Facts),
    /// As many requests wait for a worker as are allowed to.
    Overloaded(Facts),
    Refuse(Reject),
}

impl Connection {
    pub fn new(shard: &Rc<Shard>, socket: Descriptor, key: usize) -> Connection {
        let receiving = Receiving {
            recv: shard.ring.recv(&socket, &shard.receive),
            input: Input::default(),
            deadline: shard.ring.deadline(),
            body_timeout: shard.timeouts.body,
        };
        let output = Output::new(&shard.ring, &socket, shard.timeouts.send);
        Connection {
            shard: shard.clone(),
            receiving,
            output,
            exchange: RefCell::default(),
            number: shard.connection_number(),
            key,
            peer: None,
            requests: 0,
            seen: 0,
            begun: Monotonic::ZERO,
            is_pipelined: false,
            extras: RefCell::default(),
        }
    }

    /// Serves the connection to its end.
    pub async fn run(&mut self) -> Result<(), Gone> {
        loop {
            let next = match self.step() {
                Step::More => {
                    if !self.more_head().await? {
                        return Ok(());
                    }
                    continue;
                }
                Step::Ready(bytes) => {
                    if self.output.has_to_wait() {
                        self.receiving.set_aside();
                    }
                    self.output.send(Payload::from(bytes)).await?;
                    Next::Request
                }
                step => {
                    self.receiving.set_aside();
                    let outcome = Box::pin(self.carry_out(step)).await;
                    self.end_exchange(outcome.is_err());
                    outcome?
                }
            };
            self.requests += 1;
            if next == Next::Close || self.shard.draining.get() {
                self.receiving.set_aside();
                self.output.settle().await?;
                return self.linger().await;
            }
            self.set_phase(Phase::Idle);
        }
    }

    /// Does what takes more than one look.
    async fn carry_out(&mut self, step: Step) -> Result<Next, Gone> {
        match step {
            Step::Call(call, facts) => self.answer_call(call, facts).await,
            Step::Work(head, route, facts) => self.work(head, route, facts).await,
            Step::Overloaded(facts) => self.error(facts, 503, "Too many requests wait already.").await,
            Step::Refuse(reject) => self.refuse(reject).await.map(|()| Next::Close),
            Step::More | Step::Ready(_) => unreachable!("seen to in `run`"),
        }
    }

    /// When what has arrived did so.
    fn times(&self, started: Monotonic) -> Times {
        Times { begun: if self.seen > 0 { self.begun } else { started }, started, is_pipelined: self.is_pipelined }
    }

    /// Requests that came before the one in hand.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Decides on what has arrived so far, without waiting.
    fn step(&mut self) -> Step {
        if self.shard.log.is_on() {
            self.look_up_peer();
        }
        let bytes = self.receiving.input.bytes();
        if bytes.is_empty() || (self.seen > 0 && !head::may_complete(bytes, self.seen)) {
            self.seen = bytes.len();
            return Step::More;
        }
        if self.seen == 0 {
            self.begun = self.shard.ring.now();
        }
        let (head, len) = match head::parse(bytes) {
            Ok(Parse::Complete { head, len }) => (head, len),
            Ok(Parse::Partial) => {
                self.seen = bytes.len();
                return Step::More;
            }
            Err(reject) => {
                let times = self.times(self.shard.ring.now());
                self.exchange.borrow_mut().begin_unread(&self.shard, bytes, times);
                return Step::Refuse(reject);
            }
        };
        let facts = Facts {
            method: head.method,
            version: head.version,
            keep_alive: head.keep_alive && !self.shard.draining.get(),
            started: self.shard.ring.now(),
        };
        let step = self.decide(&head, len, facts);
        if !matches!(step, Step::Ready(_)) {
            let times = self.times(facts.started);
            self.exchange.borrow_mut().begin(&self.shard, bytes, &head, len, times);
        }
        self.seen = 0;
        self.receiving.input.consume(len);
        self.is_pipelined = !self.receiving.input.is_empty();
        self.set_phase(Phase::Busy);
        step
    }

    fn decide(&self, head: &Head<'_>, len: usize, facts: Facts) -> Step {
        let mut labels = Labels { method: facts.method as usize, ..Labels::default() };
        self.exchange.borrow_mut().label(labels);
        let Some(target) = head.target.path_query() else {
            // CONNECT makes tunnels, which this server does not; `*` asks about the server as a whole.
            return match head.method {
                Method::Connect => Step::Refuse(Reject::MethodUnknown),
                _ => Step::Work(self.receiving.input.bytes()[..len].to_vec(), None, facts),
            };
        };
        let site = self.shard.site.borrow();
        let host = head.authority.map(|authority| authority.host.as_bytes());
        let route = match site.route(host, target.path) {
            Ok(route) => route,
            Err(reject) => return Step::Refuse(reject),
        };
        self.extras.replace(route.and_then(|route| site.extras(route).cloned()));
        if let Some(route) = route {
            labels.route = Some(route.index());
            labels.answerer = site.handler(route).answerer();
            self.exchange.borrow_mut().label(labels);
        }
        if head.framing == BodyFraming::None
            && let Some(route) = route
        {
            match site.handler(route) {
                Handler::Static(root, prefix)
                    if facts.method == Method::Get
                        && facts.keep_alive
                        && facts.version == Version::Http11
                        && !head.conditional
                        && !self.shard.request_id_echo =>
                {
                    let (wall_seconds, date) = self.shard.date();
                    let now = Now { monotonic: facts.started, wall_seconds, date: &date };
                    // A prefix that is spelt otherwise than the route's is looked at in `static_file`.
                    if let Some(path) = target.path.strip_prefix(prefix.as_str())
                        && let Some(hot) = self.shard.statics.hot(root, path.as_bytes(), head.fields, &now)
                    {
                        self.shard.metrics.borrow_mut().request(labels, hot.status, facts.started);
                        if self.shard.log.is_on() {
                            self.log_ready(head, len, &hot, self.times(facts.started));
                        }
                        return Step::Ready(hot.ready);
                    }
                }
                Handler::App if self.peer.is_some() => return self.call(head, facts),
                _ => {}
            }
        }
        Step::Work(self.receiving.input.bytes()[..len].to_vec(), route, facts)
    }

    /// A request without a body goes to the pool as soon as its head is there.
    fn call(&self, head: &Head<'_>, facts: Facts) -> Step {
        let peer = self.peer().expect("the caller looked");
        match self.encode_call(head, peer, None) {
            Ok(call) => Step::Call(call, facts),
            Err(Reject::QueueFull) => Step::Overloaded(facts),
            Err(reject) => Step::Refuse(reject),
        }
    }

    /// A request whose answer takes more than one look.
    async fn work(&mut self, bytes: Vec<u8>, route: Option<RouteId>, facts: Facts) -> Result<Next, Gone> {
        let Ok(Parse::Complete { head, .. }) = head::parse(&bytes) else {
            unreachable!("these bytes were parsed before")
        };
        let site = self.shard.site.borrow().clone();
        let Some(route) = route else {
            return match head.target.path_query() {
                Some(_) => self.respond_over_body(&head, action::missing(), facts).await,
                None => self.options(&head, facts).await,
            };
        };
        // Before anything of the body is read or asked for.
        if matches!(head.framing, BodyFraming::Length(bytes) if bytes > site.max_body(route)) {
            self.refuse(Reject::BodyTooLarge).await?;
            return Ok(Next::Close);
        }
        match site.handler(route) {
            Handler::App => self.application(&head, site.max_body(route), facts).await,
            Handler::Static(root, prefix) => self.static_file(&head, root, prefix, site.max_body(route), facts).await,
            // Not a word, as nginx has it.
            Handler::Status(444) => Err(Gone),
            handler => {
                let response = self.simple(&head, handler).expect("the others were told apart");
                self.respond_over_body(&head, response, facts).await
            }
        }
    }

    /// What the route of the request in hand adds to its answer.
    pub fn extras(&self) -> Option<Rc<Extras>> {
        self.extras.borrow().clone()
    }

    /// Looks the addresses of both ends up, once.
    pub fn look_up_peer(&mut self) {
        let socket = self.output.socket();
        self.peer.get_or_insert_with(|| Box::new(Peer::of(socket)));
    }

    /// The addresses of both ends, if they were looked up.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_deref()
    }

    /// Waits for more of a head. `false`: the connection has ended as it should.
    async fn more_head(&mut self) -> Result<bool, Gone> {
        // An empty line behind the last request is no beginning of the next one.
        let begun = !head::is_idle(self.receiving.input.bytes());
        if !begun {
            if self.shard.draining.get() {
                return Ok(false);
            }
            // The first request of a connection is due at once; later ones when the client feels like it.
            let timeouts = self.shard.timeouts;
            let timeout = if self.requests == 0 { timeouts.head } else { timeouts.keepalive };
            self.receiving.deadline.set(timeout);
        } else if self.phase() == Phase::Idle {
            self.set_phase(Phase::Busy);
            self.receiving.deadline.set(self.shard.timeouts.head);
        }
        self.receiving.input.settle();
        match within(&self.receiving.deadline, self.receiving.recv.next()).await {
            Ok(Ok(Some(chunk))) => {
                self.receiving.input.push(chunk);
                Ok(true)
            }
            Ok(Ok(None) | Err(_)) => {
                if begun {
                    self.end_unread(self.times(self.shard.ring.now()));
                }
                Ok(false)
            }
            Err(_) if begun => {
                let times = self.times(self.shard.ring.now());
                self.exchange.borrow_mut().begin_unread(&self.shard, self.receiving.input.bytes(), times);
                let outcome = self.refuse(Reject::HeadTimeout).await;
                self.end_exchange(outcome.is_err());
                outcome?;
                self.output.settle().await?;
                self.linger().await.map(|()| false)
            }
            Err(_) => Ok(false),
        }
    }

    /// Answers a request that can't be served; the connection ends after it.
    pub async fn refuse(&mut self, reject: Reject) -> Result<(), Gone> {
        tracing::debug!(shard = self.shard.number, status = reject.status(), %reject, "request refused");
        let mut out = Vec::new();
        response::write_reject(&mut out, reject, &self.shard.date().1);
        self.refused(reject.status(), &out);
        self.output.send(Payload::from(out)).await
    }

    /// Reads over the body of a request whose response is already on its way, so that the connection can go on.
    pub async fn skip_body(&mut self, framing: BodyFraming) -> Next {
        match Body::new(framing).skip(&mut self.receiving).await {
            Ok(true) => Next::Request,
            Ok(false) | Err(_) => Next::Close,
        }
    }

    /// Ends the connection so that the last response arrives: closing with unread input makes the kernel send a reset, which
    /// takes back what the client has not read yet (RFC 9112 §9.6).
    async fn linger(&mut self) -> Result<(), Gone> {
        if rustix::net::shutdown(self.output.socket(), Shutdown::Write).is_err() {
            return Err(Gone);
        }
        self.receiving.input = Input::default();
        self.receiving.deadline.set(Duration::from_millis(LINGER_MS_MAX));
        let mut bytes = 0;
        while bytes < LINGER_BYTES_MAX {
            let next = within(&self.receiving.deadline, self.receiving.recv.next()).await;
            let Ok(Ok(Some(chunk))) = next else { break };
            bytes += chunk.len();
        }
        Ok(())
    }

    fn phase(&self) -> Phase {
        self.shard.connections.borrow()[self.key].phase
    }

    fn set_phase(&self, phase: Phase) {
        self.shard.connections.borrow_mut()[self.key].phase = phase;
    }
}
