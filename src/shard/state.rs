//! What the tasks of one shard share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::auth::Passwords;
use super::buffered::Buffering;
use super::log::AccessLog;
use super::packing::Encoders;
use super::proxied::Complaints;
use super::site::Site;
use super::tls_handshake::Handshakes;
use crate::base::clock;
use crate::config::{Config, ErrorPages, MaintenanceConfig, RequestIds, ServerConfig};
use crate::http::date::{self, DateText};
use crate::http::{HeadLimits, Trust};
use crate::limits::{Counts, Shared};
use crate::observe::request_id::Generator;
use crate::observe::{Readiness, ShardMetrics};
use crate::ring::{BufferGroup, Descriptor, Ring};
use crate::static_files::StaticFiles;
use crate::tls::Challenges;
use crate::wsgi::pool::Pool;
use crate::wsgi::spool::SpoolFolder;

/// How long a client may take for what (all configured).
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub keepalive: Duration,
    pub head: Duration,
    pub body: Duration,
    pub send: Duration,
    pub handshake: Duration,
    /// How long a request may wait for a worker to take it; `None`: for ever.
    pub queue: Option<Duration>,
}

impl Timeouts {
    /// Those of `server`. `queue`: how long a request may wait for a worker.
    pub fn of(server: &ServerConfig, queue: Option<Duration>) -> Timeouts {
        Timeouts {
            keepalive: server.keepalive_timeout,
            head: server.head_timeout,
            body: server.body_timeout,
            send: server.send_timeout,
            handshake: server.handshake_timeout,
            queue,
        }
    }
}

/// What a connection is doing, as far as whoever wants to end some has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of its first request was read yet.
    New,
    /// Between requests.
    Idle,
    /// Between requests for longer than a moment.
    Settled,
    /// Told to end: what has arrived by then is answered.
    Ending,
    /// With a request in hand.
    Busy,
}

/// A connection as the shard sees it from outside.
pub(super) struct Entry {
    pub socket: Descriptor,
    pub phase: Phase,
}

/// The state of one shard.
pub(super) struct Shard {
    pub number: u32,
    pub ring: Ring,
    pub receive: Rc<BufferGroup>,
    pub timeouts: Cell<Timeouts>,
    pub connections_max: Cell<usize>,
    /// What the connections of each address count in, and how many it may have.
    pub per_address: Option<(Arc<Counts>, u64)>,
    pub min_body_rate: Cell<u64>,
    pub head_limits: Cell<HeadLimits>,
    pub site: RefCell<Rc<Site>>,
    /// Pages for requests that have no route yet.
    pub pages: RefCell<Arc<ErrorPages>>,
    /// While the site is closed: who gets through.
    pub maintenance: RefCell<Option<Arc<MaintenanceConfig>>>,
    /// Why the application can't be asked, while somebody is at work on it.
    pub broken: RefCell<Option<Arc<str>>>,
    /// What a certificate authority looks for now; mostly `None`.
    pub challenges: RefCell<Option<Arc<Challenges>>>,
    /// Which peers are proxies that say the truth.
    pub trust: RefCell<Arc<Trust>>,
    pub proxy_complaints: Complaints,
    /// Tables, users and hosts that all shards share.
    pub shared: RefCell<Arc<Shared>>,
    pub passwords: Passwords,
    pub statics: StaticFiles,
    pub pool: Pool,
    pub spool: Rc<SpoolFolder>,
    pub buffering: Rc<Buffering>,
    pub encoders: Encoders,
    pub connections: RefCell<Slab<Entry>>,
    pub draining: Cell<bool>,
    pub metrics: RefCell<ShardMetrics>,
    pub handshakes: Handshakes,
    /// Where redirects to HTTPS lead.
    pub https_port: u16,
    pub log: AccessLog,
    pub ids: RefCell<Generator>,
    pub request_ids: Cell<RequestIds>,
    pub request_id_echo: Cell<bool>,
    pub readiness: Arc<Readiness>,
    shards: u64,
    date: date::Present,
}

/// The parts of a [`Shard`] that are made outside.
pub(super) struct Parts {
    pub number: u32,
    pub ring: Ring,
    pub receive: Rc<BufferGroup>,
    pub timeouts: Timeouts,
    pub connections_max: usize,
    pub per_address: Option<(Arc<Counts>, u64)>,
    pub min_body_rate: u64,
    pub head_limits: HeadLimits,
    pub pool: Pool,
    pub statics: StaticFiles,
    pub spool: Rc<SpoolFolder>,
    pub buffering: Rc<Buffering>,
    /// Random bytes, for request ids.
    pub seed: [u8; 32],
    /// Random bytes, for the credentials that are known.
    pub secret: [u8; 32],
    pub request_ids: RequestIds,
    pub request_id_echo: bool,
    pub handshakes_max: usize,
    pub https_port: u16,
    /// How many shards there are.
    pub shards: u64,
    pub readiness: Arc<Readiness>,
}

impl Shard {
    pub fn new(parts: Parts) -> Shard {
        let log = AccessLog::new(parts.number, parts.ring.clone());
        Shard {
            number: parts.number,
            ring: parts.ring,
            receive: parts.receive,
            timeouts: Cell::new(parts.timeouts),
            connections_max: Cell::new(parts.connections_max),
            per_address: parts.per_address,
            min_body_rate: Cell::new(parts.min_body_rate),
            head_limits: Cell::new(parts.head_limits),
            site: RefCell::new(Rc::new(Site::empty())),
            pages: RefCell::default(),
            maintenance: RefCell::default(),
            broken: RefCell::default(),
            challenges: RefCell::default(),
            trust: RefCell::default(),
            proxy_complaints: Complaints::default(),
            shared: RefCell::default(),
            passwords: Passwords::new(&parts.secret),
            statics: parts.statics,
            pool: parts.pool,
            spool: parts.spool,
            buffering: parts.buffering,
            encoders: Encoders::new(),
            connections: RefCell::new(Slab::new()),
            draining: Cell::new(false),
            handshakes: Handshakes::new(parts.handshakes_max),
            https_port: parts.https_port,
            metrics: RefCell::new(ShardMetrics::default()),
            log,
            ids: RefCell::new(Generator::new(parts.seed)),
            request_ids: Cell::new(parts.request_ids),
            request_id_echo: Cell::new(parts.request_id_echo),
            readiness: parts.readiness,
            shards: parts.shards,
            date: date::Present::default(),
        }
    }

    /// Takes over what of `config` can change while the shard runs. Connections keep the times that they began with for what they are at.
    pub fn adopt(&self, config: &Config) {
        let server = &config.server;
        let app = config.app.as_ref();
        self.timeouts.set(Timeouts::of(server, app.and_then(|app| app.queue_timeout)));
        self.connections_max.set(server.max_connections);
        self.handshakes.set_max(server.max_handshakes);
        self.min_body_rate.set(server.min_body_rate);
        self.head_limits.set(server.head_limits);
        self.request_ids.set(server.request_ids);
        self.request_id_echo.set(server.request_id_echo);
        if let Some(app) = app {
            self.pool.set_queue_limits(app.queue, app.queue_timeout, app.overload_timeout);
            self.pool.set_retry_safe(app.retry_safe);
            self.buffering.set_bounds(app.response_buffer_bytes, app.response_spool_bytes_max);
        }
    }

    /// The number of the connection that was counted last: no two of the server's have the same.
    pub fn connection_number(&self) -> u64 {
        self.metrics.borrow().connections * self.shards + u64::from(self.number)
    }

    /// The Date field's value and the second that it stands for, made once a second.
    pub fn date(&self) -> (u64, DateText) {
        self.date.at(clock::wall_seconds_coarse())
    }
}
