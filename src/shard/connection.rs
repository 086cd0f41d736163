//! One connection: requests come in one after the other, each is handed to whoever answers it (RFC 9112 §9).
//!
//! Owns the socket, what has arrived on it and the order of responses. Straight-line code: a request is decided on as soon as
//! its head is complete; whatever needs to wait is done in a future that lives only as long as the request.

use std::cell::{OnceCell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::Shutdown;

use super::accept::Protocol;
use super::action;
use super::answer::Facts;
use super::body::Body;
use super::detour::Held;
use super::exchange::{InHand, Times};
use super::extras::Extras;
use super::guard::Admission;
use super::input::Input;
use super::output::{Gone, Output};
use super::packing::Preference;
use super::peer::Peer;
use super::receiving::Receiving;
use super::site::Handler;
use super::state::{Phase, Shard};
use crate::base::bounds::{LINGER_BYTES_MAX, LINGER_MS_MAX};
use crate::base::clock::Monotonic;
use crate::config::{ErrorPage, Priority};
use crate::http::head::{self, Head, Parse};
use crate::http::{BodyFraming, Method, Reject, Version, response};
use crate::limits;
use crate::observe::{Labels, Shed, State};
use crate::response::Response;
use crate::ring::{Descriptor, Payload, within};
use crate::route::RouteId;
use crate::static_files::Now;
use crate::wsgi::pool::Call;

/// A connection that is idle for so long gives back what its last response holds.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// What a request takes that is waited for. Up to here malloc has room at hand (its threads' own caches); what is larger it looks for.
const WORK_BYTES_MAX: usize = 1032;

/// One client's connection.
pub(super) struct Connection {
    pub shard: Rc<Shard>,
    pub receiving: Receiving,
    pub output: Output,
    /// The request in hand, for the access log and the counters.
    pub exchange: InHand,
    pub protocol: Protocol,
    /// Its number among all connections of the server.
    pub number: u64,
    /// Its place among the shard's connections.
    key: u32,
    pub peer: OnceCell<Box<Peer>>,
    requests: u32,
    /// Bytes of a partial head that were parsed in vain; a head is far below 4 GiB.
    seen: u32,
    /// When the first byte of the head in hand was there.
    begun: Monotonic,
    /// The present request's method is HEAD, as far as it can be told: a refusal has no body then.
    is_head: bool,
    /// Something had come behind the last request before it was answered.
    is_pipelined: bool,
    /// The client has said that the present request is its last (RFC 9112 §9.6), and it has no body.
    is_last: bool,
    /// What the route of the request in hand adds to its answer.
    pub extras: RefCell<Option<Rc<Extras>>>,
    /// What is kept of that request since it was let in.
    pub admission: Option<Box<Admission>>,
    /// What is kept of that request for what may become of it.
    pub held: Option<Box<Held>>,
    /// Its place among the connections of its client's address, where those are bounded.
    pub counted: Option<Box<limits::Held>>,
}

/// How a connection goes on after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// With the next request.
    Request,
    /// With its end, after what was sent has arrived.
    Close,
}

/// What a head calls for.
enum Step {
    /// A response that is ready, and whether the connection goes on after it.
    Ready(Rc<Vec<u8>>, Next),
    /// A call that a worker has to answer.
    Call(Call, Facts),
    /// Work that waits: the head in memory of its own, and the route.
    Work(Vec<u8>, Option<RouteId>, Facts),
    /// As many requests wait for a worker as are allowed to.
    Overloaded(Facts),
    Refuse(Reject),
}

/// How far the answer to a request is.
enum Turn<'c> {
    /// It is with the kernel.
    Done(Next),
    /// This has to be waited for.
    Later(Pin<Box<dyn Future<Output = Result<Next, Gone>> + 'c>>),
}

impl Connection {
    pub fn new(
        shard: &Rc<Shard>,
        socket: Descriptor,
        key: usize,
        protocol: Protocol,
        counted: Option<Box<limits::Held>>,
    ) -> Connection {
        let output = Output::new(&shard.ring, &socket, shard.timeouts.get().send);
        Connection {
            shard: shard.clone(),
            receiving: Receiving::new(shard, &socket),
            output,
            exchange: InHand::default(),
            protocol,
            number: shard.connection_number(),
            key: u32::try_from(key).expect("fewer connections than descriptors"),
            peer: OnceCell::new(),
            requests: 0,
            seen: 0,
            is_head: false,
            begun: Monotonic::ZERO,
            is_pipelined: false,
            is_last: false,
            extras: RefCell::default(),
            admission: None,
            held: None,
            counted,
        }
    }

    /// Serves the connection to its end.
    pub async fn run(&mut self) -> Result<(), Gone> {
        if self.protocol.proxy_header && !Box::pin(self.take_proxy_header()).await {
            return Ok(());
        }
        if self.protocol.tls && !Box::pin(self.handshake()).await? {
            return Ok(());
        }
        self.serve().await?;
        if self.output.is_secure() { Box::pin(self.output.close()).await } else { Ok(()) }
    }

    async fn serve(&mut self) -> Result<(), Gone> {
        loop {
            // Found between two waits: an idle connection holds no room for it.
            let next = match self.turn() {
                Some(Turn::Done(next)) => Some(next),
                Some(Turn::Later(work)) => Some(work.await?),
                None => None,
            };
            let Some(next) = next else {
                if !self.more_head().await? {
                    return Ok(());
                }
                continue;
            };
            self.requests += 1;
            if next == Next::Close || self.shard.draining.get() {
                self.receiving.set_aside();
                self.output.settle().await?;
                // Nothing of the client's is unread and nothing more of it comes: closing sends no reset.
                if self.is_last && self.output.is_plain() && self.receiving.input.is_empty() {
                    return Ok(());
                }
                return Box::pin(self.linger()).await;
            }
            *self.extras.get_mut() = None;
            self.set_phase(Phase::Idle);
        }
    }

    /// Answers what has arrived, or begins to; `None`: there is no whole head yet. What an answer takes lies in a box, not in the
    /// connection's own future: most connections are idle most of the time.
    fn turn(&mut self) -> Option<Turn<'_>> {
        match self.step()? {
            Step::Ready(bytes, next) => {
                if self.output.has_to_wait() {
                    self.receiving.set_aside();
                }
                let copy = self.with_hsts(&bytes);
                let payload = copy.map_or_else(|| Payload::from(bytes), Payload::from);
                let begun = match next {
                    Next::Request => self.output.begin_now(payload),
                    Next::Close => self.output.send_last(payload),
                };
                Some(match begun {
                    Ok(()) => Turn::Done(next),
                    Err(payload) => Turn::Later(Box::pin(async move {
                        self.output.send(payload).await?;
                        Ok(next)
                    })),
                })
            }
            step => {
                self.receiving.set_aside();
                let work = async move {
                    let outcome = self.carry_out(step).await;
                    self.end_exchange(outcome.is_err());
                    self.held = None;
                    self.admission = None;
                    self.output.set_rate(0, 0);
                    outcome
                };
                debug_assert!(size_of_val(&work) <= WORK_BYTES_MAX, "it takes {} bytes", size_of_val(&work));
                Some(Turn::Later(Box::pin(work)))
            }
        }
    }

    /// Does what takes more than one look.
    async fn carry_out(&mut self, step: Step) -> Result<Next, Gone> {
        match step {
            Step::Call(call, facts) => self.answer_call(call, facts).await,
            // In boxes of their own: a call should not pay for their size.
            Step::Work(head, route, facts) => Box::pin(self.work(head, route, facts)).await,
            Step::Overloaded(facts) => Box::pin(self.error(facts, 503, Shed::Full.detail())).await,
            Step::Refuse(reject) => Box::pin(self.refuse(reject)).await.map(|()| Next::Close),
            Step::Ready(..) => unreachable!("seen to in `turn`"),
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

    /// Decides on what has arrived so far, without waiting. `None`: there is no whole head yet.
    fn step(&mut self) -> Option<Step> {
        if self.shard.log.is_on() {
            // Before the client can be gone.
            self.peer();
        }
        let bytes = self.receiving.input.bytes();
        if bytes.is_empty() || (self.seen > 0 && !head::may_complete(bytes, self.seen as usize)) {
            self.seen = bytes.len() as u32;
            return None;
        }
        self.is_head = bytes.starts_with(b"HEAD ");
        if self.seen == 0 {
            self.begun = self.shard.ring.now();
        }
        let (head, len) = match head::parse(bytes) {
            Ok(Parse::Complete { head, len }) => match self.within_limits(&bytes[..len]) {
                Ok(()) => (head, len),
                Err(reject) => return Some(self.refuse_head(bytes, reject)),
            },
            Ok(Parse::Partial) => {
                self.seen = bytes.len() as u32;
                return None;
            }
            Err(reject) => return Some(self.refuse_head(bytes, reject)),
        };
        let facts = Facts {
            method: head.method,
            version: head.version,
            keep_alive: head.keep_alive && !self.shard.draining.get(),
            started: self.shard.ring.now(),
            preference: Preference::default(),
        };
        self.is_last = !head.keep_alive && head.framing == BodyFraming::None;
        let mut labels = Labels { method: facts.method as usize, ..Labels::default() };
        let step = self.decide(&head, len, facts, &mut labels);
        if !matches!(step, Step::Ready(..)) {
            let times = self.times(facts.started);
            let mut exchange = self.exchange.borrow_mut();
            exchange.label(labels);
            exchange.begin(&self.shard, bytes, &head, len, times, || self.is_trusted());
        }
        self.seen = 0;
        self.receiving.input.consume(len);
        self.is_pipelined = !self.receiving.input.is_empty();
        self.set_phase(Phase::Busy);
        Some(step)
    }

    /// Judges a whole head by the bounds that were configured, if there are any.
    fn within_limits(&self, head: &[u8]) -> Result<(), Reject> {
        let limits = self.shard.head_limits.get();
        if limits.is_any() { limits.check(head) } else { Ok(()) }
    }

    #[cold]
    fn refuse_head(&self, bytes: &[u8], reject: Reject) -> Step {
        let times = self.times(self.shard.ring.now());
        self.exchange.borrow_mut().begin_unread(&self.shard, bytes, times);
        Step::Refuse(reject)
    }

    fn decide(&self, head: &Head<'_>, len: usize, facts: Facts, labels: &mut Labels) -> Step {
        let Some(target) = head.target.path_query() else {
            // CONNECT makes tunnels, which this server does not; `*` asks about the server as a whole.
            return match head.method {
                Method::Connect => Step::Refuse(Reject::MethodUnknown),
                _ => Step::Work(self.receiving.input.bytes()[..len].to_vec(), None, facts),
            };
        };
        let site = self.shard.site.borrow();
        if let Err(reject) = site.admit_host(head.authority.map(|authority| authority.host)) {
            return Step::Refuse(reject);
        }
        let host = head.authority.map(|authority| authority.host.as_bytes());
        if let Some(Err(reject)) = self.receiving.secure.as_ref().map(|secure| secure.admit(host)) {
            return Step::Refuse(reject);
        }
        if self.is_challenge(head) {
            return Step::Work(self.receiving.input.bytes()[..len].to_vec(), None, facts);
        }
        let route = match site.route(host, target.path) {
            Ok(route) => route,
            Err(reject) => return Step::Refuse(reject),
        };
        self.extras.replace(route.and_then(|route| site.extras(route).cloned()));
        if let Some(route) = route {
            labels.route = Some(route.index());
            labels.answerer = site.handler(route).answerer();
        }
        if head.framing == BodyFraming::None
            && !self.protocol.redirect_https
            && let Some(route) = route
            && site.guard(route).is_none()
            && self.shard.maintenance.borrow().is_none()
        {
            match site.handler(route) {
                Handler::Static(root, prefix)
                    if facts.method == Method::Get
                        && (self.is_last || (facts.keep_alive && facts.version == Version::Http11))
                        && !head.conditional
                        && !self.shard.request_id_echo.get() =>
                {
                    let (wall_seconds, date) = self.shard.date();
                    let now = Now { monotonic: facts.started, wall_seconds, date: &date };
                    // A prefix that is spelt otherwise than the route's is looked at in `static_file`.
                    if let Some(path) = target.path.strip_prefix(prefix.as_str())
                        && let Some(mut hot) = self.shard.statics.hot(root, path.as_bytes(), head.fields, &now)
                    {
                        if self.is_last {
                            hot = hot.closing();
                        }
                        self.shard.metrics.borrow_mut().request(*labels, hot.status, facts.started);
                        if self.shard.log.is_on() {
                            self.log_ready(head, len, &hot, self.times(facts.started));
                        }
                        return Step::Ready(hot.ready, if self.is_last { Next::Close } else { Next::Request });
                    }
                }
                &Handler::App(priority) if !site.keeps_heads() && self.shard.broken.borrow().is_none() => {
                    return self.call(head, priority, facts);
                }
                _ => {}
            }
        }
        Step::Work(self.receiving.input.bytes()[..len].to_vec(), route, facts)
    }

    /// A request without a body goes to the pool as soon as its head is there.
    fn call(&self, head: &Head<'_>, priority: Priority, mut facts: Facts) -> Step {
        facts.preference = self.preference(head);
        match self.encode_call(head, None, priority) {
            Ok(call) => Step::Call(call, facts),
            Err(Reject::QueueFull) => Step::Overloaded(facts),
            Err(reject) => Step::Refuse(reject),
        }
    }

    /// A request whose answer takes more than one look.
    async fn work(&mut self, bytes: Vec<u8>, route: Option<RouteId>, mut facts: Facts) -> Result<Next, Gone> {
        let Ok(Parse::Complete { head, .. }) = head::parse(&bytes) else {
            unreachable!("these bytes were parsed before")
        };
        if let Some(answer) = self.challenge_answer(&head) {
            return self.respond_over_body(&head, answer, facts).await;
        }
        let site = self.shard.site.borrow().clone();
        if let Some(handler @ Handler::Health(_)) = route.map(|route| site.handler(route)) {
            // Whoever looks after the server wants to know how it stands, not what it tells everybody else.
            let response = self.simple(&head, handler).expect("health needs no more than a head");
            // The word to drain may still be on its way to this shard.
            facts.keep_alive &= self.shard.readiness.state() != State::Stopping;
            return self.respond_over_body(&head, response, facts).await;
        }
        if head.target.path_query().is_some_and(|target| self.is_redirected(&head, target.path)) {
            return self.redirect_to_https(&head, facts).await;
        }
        if site.keeps_heads() {
            self.held = Some(Box::new(Held::new(&bytes)));
        }
        if let Some(answered) = self.closed(&head, facts).await {
            return answered;
        }
        let Some(route) = route else {
            return match head.target.path_query() {
                Some(_) => self.respond_over_body(&head, action::missing(), facts).await,
                None => self.options(&head, facts).await,
            };
        };
        if let Some(guard) = site.guard(route)
            && let Some(answered) = Box::pin(self.admit(guard, &head, facts)).await
        {
            return answered;
        }
        // Before anything of the body is read or asked for.
        if matches!(head.framing, BodyFraming::Length(bytes) if bytes > site.max_body(route)) {
            self.refuse(Reject::BodyTooLarge).await?;
            return Ok(Next::Close);
        }
        self.handle(&head, site.handler(route), site.max_body(route), facts).await
    }

    /// Hands a request to whoever answers it.
    pub async fn handle(
        &mut self,
        head: &Head<'_>,
        handler: &Handler,
        body_bytes_max: u64,
        facts: Facts,
    ) -> Result<Next, Gone> {
        match handler {
            &Handler::App(priority) => self.application(head, priority, body_bytes_max, facts).await,
            Handler::Static(root, prefix) => self.static_file(head, root, prefix, body_bytes_max, facts).await,
            // Not a word, as nginx has it.
            Handler::Status(444) => Err(Gone),
            handler => {
                let response = self.simple(head, handler).expect("the others were told apart");
                self.answer_over_body(head, response, facts).await
            }
        }
    }

    /// What the request says of the form of its answer, if that matters on its route.
    pub fn preference(&self, head: &Head<'_>) -> Preference {
        match self.extras.borrow().as_ref().and_then(|extras| extras.compress.as_ref()) {
            Some(config) => Preference::of(head.fields, config),
            None => Preference::default(),
        }
    }

    /// What the route of the request in hand adds to its answer.
    pub fn extras(&self) -> Option<Rc<Extras>> {
        self.extras.borrow().clone()
    }

    /// Waits for more of a head. `false`: the connection has ended as it should.
    async fn more_head(&mut self) -> Result<bool, Gone> {
        // An empty line behind the last request is no beginning of the next one.
        let begun = !head::is_idle(self.receiving.input.bytes());
        let mut settled = false;
        if !begun {
            // A connection that has come before the end is heard once.
            if self.shard.draining.get() && self.requests > 0 {
                return Ok(false);
            }
            // The first request of a connection is due at once; later ones when the client feels like it.
            let timeouts = self.shard.timeouts.get();
            let timeout = if self.requests == 0 { timeouts.head } else { timeouts.keepalive.min(SETTLED_AFTER) };
            self.receiving.deadline.set(timeout);
        } else if self.phase() != Phase::Busy {
            self.set_phase(Phase::Busy);
            self.receiving.deadline.set(self.shard.timeouts.get().head);
        }
        self.receiving.input.settle();
        loop {
            match self.receiving.next().await {
                Ok(Ok(Some(chunk))) => {
                    self.receiving.input.push(chunk);
                    return Ok(true);
                }
                Ok(Ok(None) | Err(_)) => {
                    if begun {
                        self.end_unread(self.times(self.shard.ring.now()));
                    }
                    return Ok(false);
                }
                // Boxed like all that is rare: what this future may hold is held by every idle connection.
                Err(_) if begun => return Box::pin(self.refuse_unread(Reject::HeadTimeout)).await.map(|()| false),
                Err(_) => {
                    let left = self.shard.timeouts.get().keepalive.saturating_sub(SETTLED_AFTER);
                    if self.requests == 0 || left.is_zero() || std::mem::replace(&mut settled, true) {
                        return Ok(false);
                    }
                    if self.phase() == Phase::Idle {
                        self.set_phase(Phase::Settled);
                    }
                    self.output.release();
                    self.exchange.release();
                    self.receiving.deadline.set(left);
                }
            }
        }
    }

    /// Answers a request that can't be served; the connection ends after it.
    pub async fn refuse(&mut self, reject: Reject) -> Result<(), Gone> {
        tracing::debug!(shard = self.shard.number, status = reject.status(), %reject, "request refused");
        if self.extras.borrow().is_some() {
            let response = self.page_at_hand(Response::error(reject.status(), reject.reason()));
            let facts = Facts {
                method: if self.is_head { Method::Head } else { Method::Get },
                version: Version::Http11,
                keep_alive: false,
                started: self.shard.ring.now(),
                preference: Preference::default(),
            };
            return self.respond(response, facts).await.map(drop);
        }
        let mut out = Vec::new();
        // Without a route there are the pages of the whole server.
        match self.shard.pages.borrow().find(reject.status()) {
            Some(ErrorPage::File(page)) => {
                Response::error(reject.status(), "").with_page(page).write_last(
                    &mut out,
                    &self.shard.date().1,
                    self.is_head,
                );
            }
            Some(ErrorPage::App(_)) | None => {
                response::write_reject(&mut out, reject, &self.shard.date().1, self.is_head);
            }
        }
        self.add_hsts(&mut out);
        self.refused(reject.status(), &out);
        self.output.send(Payload::from(out)).await
    }

    /// Refuses a client before its first head was read; the connection ends.
    pub async fn refuse_unread(&mut self, reject: Reject) -> Result<(), Gone> {
        let times = self.times(self.shard.ring.now());
        self.exchange.borrow_mut().begin_unread(&self.shard, self.receiving.input.bytes(), times);
        let outcome = self.refuse(reject).await;
        self.end_exchange(outcome.is_err());
        outcome?;
        self.output.settle().await?;
        self.linger().await
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
    pub(super) async fn linger(&mut self) -> Result<(), Gone> {
        self.output.close().await?;
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
        self.shard.connections.borrow()[self.key as usize].phase
    }

    fn set_phase(&self, phase: Phase) {
        self.shard.connections.borrow_mut()[self.key as usize].phase = phase;
    }
}
