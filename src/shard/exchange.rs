//! What a connection knows of the request in hand: for its line in the access log, its id, and the counters.
//!
//! Owns the facts from the request's arrival to its end, however it ends. A request that is answered at once leaves nothing here: its line
//! is made from the head where it lies. The head of any other is copied if, and only if, it will be logged. Called by `connection` (beginning
//! and end), `respond` and `answer` (the head of the answer).

use std::cell::{RefCell, RefMut};
use std::time::Duration;

use memchr::{memchr2, memmem};

use super::answer::Facts;
use super::connection::Connection;
use super::state::Shard;
use super::tls::Secure;
use super::told::Told;
use crate::base::bounds::TARGET_BYTES_MAX;
use crate::base::clock::Monotonic;
use crate::config::RequestIds;
use crate::http::head::Head;
use crate::http::{Fields, Version, target};
use crate::observe::access::{Record, Tls, Upstream, Wants};
use crate::observe::request_id::{self, RequestId};
use crate::observe::{Labels, LimitOutcome};
use crate::static_files::Hot;

/// The field that carries ids of requests, in both directions.
pub(super) const REQUEST_ID_FIELD: &str = "X-Request-ID";
/// nginx's status for a client that left before it was answered.
const CLIENT_GONE: u16 = 499;
/// What a task that panicked leaves in the log.
const PANICKED: u16 = 500;
/// nginx's status for a client that left in the middle of a head.
const HEAD_CUT: u16 = 400;

/// The request in hand.
#[derive(Default)]
pub(super) struct Exchange {
    labels: Labels,
    begun: Monotonic,
    started: Monotonic,
    /// 0: not answered yet.
    status: u16,
    is_pipelined: bool,
    /// Bytes that the connection had sent before the answer.
    sent_before: u64,
    head_bytes: u64,
    body_bytes_received: u64,
    /// How long it waited for a worker, if it had to do with one.
    queued: Option<Duration>,
    upstream: Option<Call>,
    id: Id,
    limited: Option<LimitOutcome>,
    kept: Option<Box<Kept>>,
}

/// Where a connection keeps its exchange: made with its first request that is not answered at once, and given back when it is idle.
#[derive(Default)]
pub(super) struct InHand(RefCell<Option<Box<Exchange>>>);

impl InHand {
    /// The exchange, to be changed.
    pub fn borrow_mut(&self) -> RefMut<'_, Exchange> {
        RefMut::map(self.0.borrow_mut(), |exchange| &mut **exchange.get_or_insert_default())
    }

    /// Takes what is known and leaves room for the next request.
    fn take(&self) -> Exchange {
        self.0.borrow_mut().as_deref_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Gives the room back.
    pub fn release(&self) {
        *self.0.borrow_mut() = None;
    }
}

/// The application's part.
#[derive(Clone, Copy)]
struct Call {
    sent: Monotonic,
    first: Option<Monotonic>,
    last: Option<Monotonic>,
}

/// What a line is made from later.
struct Kept {
    head: Vec<u8>,
    parts: Parts,
    wants: Wants,
    response: Vec<u8>,
}

/// The id of a request.
#[derive(Default)]
enum Id {
    #[default]
    None,
    Own(RequestId),
    Given(Box<[u8]>),
}

impl Id {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Id::None => b"",
            Id::Own(id) => id,
            Id::Given(id) => id,
        }
    }
}

/// Where the parts of a head lie in its bytes.
#[derive(Clone, Copy, Default)]
struct Parts {
    line: Span,
    method: Span,
    target: Span,
    path: Span,
    host: Span,
    fields: Span,
    version: Option<Version>,
    len: usize,
}

#[derive(Clone, Copy, Default)]
struct Span(usize, usize);

impl Span {
    /// Where `part`, which is a piece of `whole`, lies in it.
    fn of(whole: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        let end = start.wrapping_add(part.len());
        // Only a piece of something else is out of bounds, and that is nothing.
        if end <= whole.len() && start <= end { Span(start, end) } else { Span(0, 0) }
    }

    fn in_bytes(self, whole: &[u8]) -> &[u8] {
        &whole[self.0..self.1]
    }
}

impl Parts {
    fn of(bytes: &[u8], head: &Head<'_>, len: usize) -> Parts {
        let method = Span::of(bytes, head.method_name.as_bytes());
        let target = Span::of(bytes, head.raw_target.as_bytes());
        let path = head.target.path_query().map_or(Span::default(), |target| Span::of(bytes, target.path.as_bytes()));
        let host = head.authority.map_or(Span::default(), |authority| Span::of(bytes, authority.host.as_bytes()));
        let fields = Span::of(bytes, head.fields.as_bytes());
        // A space and eight bytes of version follow the target.
        let line = Span(method.0, target.1 + 1 + head.version.as_str().len());
        Parts { line, method, target, path, host, fields, version: Some(head.version), len }
    }

    /// Of what could not be read: as in nginx, the first line is all that is known.
    fn of_unread(bytes: &[u8]) -> Parts {
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let line = &bytes[start..];
        let end = memchr2(b'\r', b'\n', line).unwrap_or(line.len()).min(2 * TARGET_BYTES_MAX);
        Parts { line: Span(start, start + end), len: bytes.len(), ..Parts::default() }
    }
}

impl Exchange {
    /// A request whose head is complete and which will be answered later. Its id stays: it may have been asked for already.
    pub fn begin(
        &mut self,
        shard: &Shard,
        bytes: &[u8],
        head: &Head<'_>,
        len: usize,
        times: Times,
        is_trusted: impl Fn() -> bool,
    ) {
        self.note(times);
        let path = head.target.path_query().map_or(&b""[..], |target| target.path.as_bytes());
        if let Some(wants) = shard.log.wants(path) {
            let parts = Parts::of(bytes, head, len);
            self.keep(&bytes[..len], parts, wants);
            if wants.request_id {
                self.id(shard, head, &is_trusted);
            }
        }
        if shard.request_id_echo.get() {
            self.id(shard, head, is_trusted);
        }
    }

    /// There is to be no line about it.
    pub fn keep_out_of_log(&mut self) {
        self.kept = None;
    }

    /// What became of the request at a limit; what is worse counts.
    pub fn limited(&mut self, outcome: LimitOutcome) {
        if self.limited.is_none_or(|known| known < outcome) {
            self.limited = Some(outcome);
        }
    }

    /// What the request is counted as.
    pub fn label(&mut self, labels: Labels) {
        self.labels = labels;
    }

    /// A request that can't be read.
    pub fn begin_unread(&mut self, shard: &Shard, bytes: &[u8], times: Times) {
        self.labels = Labels::default();
        self.note(times);
        if let Some(wants) = shard.log.wants(b"") {
            let parts = Parts::of_unread(bytes);
            self.keep(&bytes[..parts.line.1], parts, wants);
            if wants.request_id {
                self.id = Id::Own(shard.ids.borrow_mut().id());
            }
        }
    }

    fn note(&mut self, times: Times) {
        self.begun = times.begun;
        self.started = times.started;
        self.is_pipelined = times.is_pipelined;
    }

    fn keep(&mut self, head: &[u8], parts: Parts, wants: Wants) {
        self.kept = Some(Box::new(Kept { head: head.to_vec(), parts, wants, response: Vec::new() }));
    }

    /// The request's id, made or taken over when it is first asked for; empty if requests have none. `is_trusted`: its peer is.
    pub fn id(&mut self, shard: &Shard, head: &Head<'_>, is_trusted: impl FnOnce() -> bool) -> &[u8] {
        if let Id::None = self.id {
            self.id = match shard.request_ids.get() {
                RequestIds::Off => Id::None,
                RequestIds::Trust if is_trusted() => {
                    match head.fields.only(REQUEST_ID_FIELD).filter(|id| request_id::is_acceptable(id)) {
                        Some(id) => Id::Given(id.into()),
                        None => Id::Own(shard.ids.borrow_mut().id()),
                    }
                }
                RequestIds::Trust | RequestIds::Generate => Id::Own(shard.ids.borrow_mut().id()),
            };
        }
        self.id.as_bytes()
    }

    /// So many bytes of a body came with the request.
    pub fn received(&mut self, bytes: u64) {
        self.body_bytes_received = bytes;
    }

    /// It waited so long for a worker, and its client has left.
    pub fn left_queue(&mut self, waited: Duration) {
        self.queued = Some(waited);
    }

    /// The answer's first part is there, to a call that `waited` and was handed over at `sent`; `None`: no worker was given it.
    pub fn upstream_began(&mut self, waited: Duration, sent: Option<Monotonic>, now: Monotonic) {
        self.queued = Some(waited);
        self.upstream = sent.map(|sent| Call { sent, first: Some(now), last: None });
    }

    /// The answer's last part is there.
    pub fn upstream_ended(&mut self, now: Monotonic) {
        if let Some(call) = &mut self.upstream {
            call.last = Some(now);
        }
    }

    fn answered(&mut self, status: u16, head: &[u8], sent_before: u64) {
        self.status = status;
        self.sent_before = sent_before;
        self.head_bytes = head.len() as u64;
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.wants.response_fields) {
            kept.response.clear();
            kept.response.extend_from_slice(head);
        }
    }
}

/// The times of a request's arrival.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// Its first byte.
    pub begun: Monotonic,
    /// The last byte of its head.
    pub started: Monotonic,
    /// It had arrived before the one before it was answered.
    pub is_pipelined: bool,
}

/// Where a head at the beginning of `response` ends.
fn head_end(response: &[u8]) -> usize {
    memmem::find(response, b"\r\n\r\n").map_or(response.len(), |at| at + 4)
}

/// What a line is made from, wherever it lies.
struct Source<'a> {
    bytes: &'a [u8],
    parts: &'a Parts,
    response: &'a [u8],
    wants: Wants,
}

/// What is only known at the end.
struct End<'a> {
    status: u16,
    is_pipelined: bool,
    bytes_sent: u64,
    head_bytes: u64,
    body_bytes_received: u64,
    request_time: Duration,
    queue_time: Option<Duration>,
    upstream: Option<Upstream>,
    limited: Option<LimitOutcome>,
    id: &'a [u8],
}

impl Connection {
    /// The answer to the request in hand begins with `head`, of which none was sent yet.
    pub(super) fn answered(&self, status: u16, head: &[u8], facts: Facts) {
        let mut exchange = self.exchange.borrow_mut();
        self.shard.metrics.borrow_mut().request(exchange.labels, status, facts.started);
        exchange.answered(status, head, self.output.sent());
    }

    /// The request in hand is refused with `response`.
    pub(super) fn refused(&self, status: u16, response: &[u8]) {
        self.shard.metrics.borrow_mut().refused(status);
        let head = &response[..head_end(response)];
        self.exchange.borrow_mut().answered(status, head, self.output.sent());
    }

    /// The lines of response fields that say which request it answers and what a limit leaves; empty unless that is wanted.
    pub(super) fn echo(&self) -> Vec<u8> {
        let mut lines = match self.echoed_id() {
            Some(id) => [REQUEST_ID_FIELD.as_bytes(), b": ", &id, b"\r\n"].concat(),
            None => Vec::new(),
        };
        if let Some(admission) = &self.admission {
            lines.extend_from_slice(&admission.lines);
        }
        lines
    }

    /// The id of the request in hand, if responses carry it.
    pub(super) fn echoed_id(&self) -> Option<Vec<u8>> {
        let exchange = self.exchange.borrow_mut();
        let id = exchange.id.as_bytes();
        (self.shard.request_id_echo.get() && !id.is_empty()).then(|| id.to_vec())
    }

    /// The request in hand is at its end, or its client is `gone`.
    pub(super) fn end_exchange(&mut self, gone: bool) {
        let mut exchange = self.exchange.take();
        if exchange.status == 0 {
            if !gone {
                return;
            }
            exchange.status = CLIENT_GONE;
            exchange.sent_before = self.output.sent();
            self.shard.metrics.borrow_mut().request(exchange.labels, CLIENT_GONE, exchange.started);
        }
        self.finish(&exchange);
    }

    /// The client left in the middle of a head.
    pub(super) fn end_unread(&mut self, times: Times) {
        let mut exchange = Exchange::default();
        exchange.begin_unread(&self.shard, self.receiving.input.bytes(), times);
        exchange.status = HEAD_CUT;
        exchange.sent_before = self.output.sent();
        self.finish(&exchange);
    }

    /// The connection's task panicked.
    pub(super) fn end_panicked(&mut self) {
        let mut exchange = self.exchange.take();
        if exchange.status == 0 {
            exchange.status = PANICKED;
            exchange.sent_before = self.output.sent();
        }
        self.finish(&exchange);
    }

    fn finish(&self, exchange: &Exchange) {
        let Some(kept) = &exchange.kept else { return };
        let now = Monotonic::now();
        let bytes_sent = self.output.sent().saturating_sub(exchange.sent_before);
        let upstream = exchange.upstream.map(|call| Upstream {
            header_time: call.first.map(|first| first.since(call.sent)),
            response_time: call.last.unwrap_or(now).since(call.sent),
        });
        let source = Source { bytes: &kept.head, parts: &kept.parts, response: &kept.response, wants: kept.wants };
        self.write_line(
            &source,
            &End {
                status: exchange.status,
                is_pipelined: exchange.is_pipelined,
                bytes_sent,
                head_bytes: exchange.head_bytes.min(bytes_sent),
                body_bytes_received: exchange.body_bytes_received,
                request_time: now.since(exchange.begun),
                queue_time: exchange.queued,
                upstream,
                limited: exchange.limited,
                id: exchange.id.as_bytes(),
            },
        );
    }

    /// The line of a request that is answered at once with a response that is ready.
    pub(super) fn log_ready(&self, head: &Head<'_>, len: usize, hot: &Hot, times: Times) {
        let path = head.target.path_query().map_or(&b""[..], |target| target.path.as_bytes());
        let Some(wants) = self.shard.log.wants(path) else { return };
        let response: &[u8] = &hot.ready;
        let bytes = self.receiving.input.bytes();
        let parts = Parts::of(bytes, head, len);
        let id = match wants.request_id {
            true => {
                let mut exchange = Exchange::default();
                exchange.id(&self.shard, head, || self.is_trusted());
                exchange.id
            }
            false => Id::None,
        };
        let request_time = if wants.times { Monotonic::now().since(times.begun) } else { Duration::ZERO };
        self.write_line(
            &Source { bytes, parts: &parts, response, wants },
            &End {
                status: hot.status,
                is_pipelined: times.is_pipelined,
                bytes_sent: response.len() as u64,
                head_bytes: hot.body_at as u64,
                body_bytes_received: 0,
                request_time,
                queue_time: None,
                upstream: None,
                limited: None,
                id: id.as_bytes(),
            },
        );
    }

    fn write_line(&self, source: &Source<'_>, end: &End<'_>) {
        if !self.shard.log.admits(end.status, || self.shard.ids.borrow_mut().number()) {
            return;
        }
        let Source { bytes, parts, response, wants } = *source;
        let uri = if wants.uri { uri(parts.path.in_bytes(bytes)) } else { Vec::new() };
        let record = Record {
            scheme: if self.protocol.tls { "https" } else { "http" },
            tls: self.receiving.secure.as_deref().map_or(Tls::default(), Secure::logged),
            connection: self.number,
            connection_requests: self.requests() + 1,
            is_pipelined: end.is_pipelined,
            request_line: parts.line.in_bytes(bytes),
            method: parts.method.in_bytes(bytes),
            target: parts.target.in_bytes(bytes),
            uri: &uri,
            protocol: parts.version.map_or("", Version::as_str),
            host: parts.host.in_bytes(bytes),
            fields: parts.fields.in_bytes(bytes),
            response_fields: if wants.response_fields { response } else { b"" },
            status: end.status,
            bytes_sent: end.bytes_sent,
            body_bytes_sent: end.bytes_sent - end.head_bytes,
            request_length: parts.len as u64 + end.body_bytes_received,
            request_time: end.request_time,
            queue_time: end.queue_time,
            upstream: end.upstream,
            request_id: end.id,
            limit_status: end.limited.map_or("", LimitOutcome::status),
            ..Record::default()
        };
        let peer = self.peer();
        // Whose client can't be known is logged by the peer.
        let origin = self.origin(Fields::of_checked(parts.fields.in_bytes(bytes))).unwrap_or_default();
        let told = Told::of(&origin);
        let (realip_remote_addr, realip_remote_port) = peer.connected_from();
        let record = Record {
            remote_addr: told.client(peer),
            remote_port: told.port(peer),
            realip_remote_addr,
            realip_remote_port,
            server_addr: &peer.local_address,
            server_port: &peer.local_port,
            ..record
        };
        self.shard.log.write(&record, self.shard.date().0);
    }
}

/// The path as routes see it: decoded, without dot segments.
fn uri(path: &[u8]) -> Vec<u8> {
    // `OPTIONS *` has no path.
    let text = std::str::from_utf8(path).ok().filter(|text| text.starts_with('/'));
    let Some(text) = text else { return path.to_vec() };
    let Ok(decoded) = target::decode_path(text) else { return path.to_vec() };
    target::normalise(&decoded).map_or_else(|_| path.to_vec(), |normal| normal.to_vec())
}
