//! The checked configuration: what the rest of the program works with.
//!
//! Owns the types only. A value of these types has passed every check: nothing is validated again later, every path is
//! absolute, every default is filled in. Built by [`super::load`]; read by everyone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};

use crate::base::bounds::{REGEX_CACHE_BYTES_MAX, REGEX_PROGRAM_BYTES_MAX};
use crate::http::{HeadLimits, HeaderOps, Template, Trust};
use crate::limits::AllowedHosts;
use crate::sys::users::User;

use super::access_log::AccessLogConfig;
pub use super::acme::AcmeConfig;
pub use super::address::{Listen, Listener};
pub use super::compress::CompressConfig;
pub use super::control::ControlConfig;
pub use super::guard::GuardConfig;
use super::gunicorn::ConfProgram;
use super::hooks::Hooks;
pub use super::maintenance::MaintenanceConfig;
pub use super::pages::{ErrorPage, ErrorPages, Page};
use super::priority::Priority;
pub use super::process::{GroupConfig, Orphans};
pub use super::python::Interpreter;
pub use super::static_options::StaticOptions;
pub use super::tls::TlsEntry;
use super::warmup::WarmupConfig;

/// Everything that the server was told, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The HTTP front.
    pub server: ServerConfig,
    /// Certificates of the TLS listeners, the one for clients that name no host first; not empty if there is such a listener.
    pub tls: Vec<TlsEntry>,
    /// Where the certificates of entries that name no files come from; there if there is such an entry.
    pub acme: Option<AcmeConfig>,
    /// Addresses of the admin listener; often none.
    pub admin: Vec<Listen>,
    /// Where the running server is asked and told things.
    pub control: ControlConfig,
    /// The application; `None` for a server of static routes or programs alone.
    pub app: Option<AppConfig>,
    /// The programs' groups in the order in which they start; names are unique.
    pub programs: Vec<GroupConfig>,
    /// The routes in the order of the config file; empty with programs alone. Host and path together are unique.
    pub routes: Vec<RouteConfig>,
    /// Pages of the whole server; every route's hold them already.
    pub error_pages: ErrorPages,
    /// Maintenance mode.
    pub maintenance: MaintenanceConfig,
    /// The file that says what is run, or the working directory: what an earlier maitred with the same one has left is ours.
    pub origin: PathBuf,
    /// What becomes at the start of what an earlier maitred with this configuration has left when it was killed.
    pub orphans: Orphans,
    /// The rules of the whole server; every route's hold them already, as far as it has none of its own.
    pub guard: GuardConfig,
    /// What a `supervisord.conf`, or a setting of Gunicorn's, asks for that is not done, a line each.
    pub left: Vec<String>,
    /// The `gunicorn.conf.py` that was read, and the names of the settings that were taken from it.
    pub taken: Option<(String, Vec<String>)>,
}

impl Config {
    /// Whether programs run as somebody else than `user` of `[server]`: who starts them has to stay root.
    #[must_use]
    pub fn has_other_users(&self) -> bool {
        let own = self.server.user.as_ref().map(|user| user.uid);
        let mut processes = self.programs.iter().flat_map(|group| &group.processes);
        processes.any(|process| process.launch.user.as_ref().map(|user| user.uid) != own)
    }
}

/// `[server]`: listeners, shards and what a connection may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Where to listen, and what is spoken there; no address twice, empty only with programs alone.
    pub listen: Vec<Listener>,
    /// Whom root becomes when everything is open; `None`: nobody else.
    pub user: Option<User>,
    /// Nobody has said where: sockets that are passed on are served in place of `listen`.
    pub listen_is_default: bool,
    /// Number of shards, at least 1; without an address none is started.
    pub shards: usize,
    /// How long an idle keep-alive connection stays open.
    pub keepalive_timeout: Duration,
    /// How long a client may take for one request head.
    pub head_timeout: Duration,
    /// How long a client may pause between two reads of a request body.
    pub body_timeout: Duration,
    /// How long a client may pause between two reads of its response.
    pub send_timeout: Duration,
    /// How long a TLS handshake may take, from the connection's beginning.
    pub handshake_timeout: Duration,
    /// TLS handshakes that one shard has under way at the same time.
    pub max_handshakes: usize,
    /// Connections that one shard keeps open at the same time.
    pub max_connections: usize,
    /// Largest request body, bytes; [`RouteConfig::max_body_bytes`] already takes it into account.
    pub max_body_bytes: u64,
    /// Hosts that are served.
    pub allowed_hosts: Arc<AllowedHosts>,
    /// Connections that one address may have, with all shards together; `None`: any number.
    pub max_connections_per_address: Option<u64>,
    /// Bytes a second that a request body must arrive with; 0: any number.
    pub min_body_rate: u64,
    /// Length of each listener's accept queue (listen(2)).
    pub backlog: u32,
    /// Whether connections are accepted once their first bytes are there (TCP_DEFER_ACCEPT, tcp(7)).
    pub deferred: bool,
    /// Bounds on request heads below those that always hold.
    pub head_limits: HeadLimits,
    /// Where to write the process id.
    pub pidfile: Option<PathBuf>,
    /// What is compressed where a route does not say it; every route's holds it already.
    pub compress: Option<CompressConfig>,
    /// Whether to go on in the background.
    pub daemon: bool,
    /// Permissions that files do not get; `None`: what was inherited.
    pub umask: Option<u32>,
    /// Name of the processes.
    pub proc_name: Option<String>,
    /// The file of the diagnostic log; `None`: stderr.
    pub error_log: Option<PathBuf>,
    /// Least serious messages in it, if that was said.
    pub log_level: Option<LogLevel>,
    /// A statsd server that is sent metrics.
    pub statsd: Option<StatsdConfig>,
    /// The access log, if there is to be one.
    pub access_log: Option<AccessLogConfig>,
    /// Peers whose word on their clients counts.
    pub trusted_proxies: Trust,
    /// Where requests have their ids from.
    pub request_ids: RequestIds,
    /// Whether responses carry the id of their request.
    pub request_id_echo: bool,
}

/// Metrics for statsd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsdConfig {
    /// Where they are sent.
    pub target: StatsdTarget,
    /// What stands before every name; often empty.
    pub prefix: String,
    /// DogStatsD's tags, separated by commas; often empty.
    pub tags: String,
}

/// Where a statsd server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsdTarget {
    /// A host's name or address, and a port.
    Udp(String, u16),
    /// A unix datagram socket.
    Unix(PathBuf),
}

impl std::fmt::Display for StatsdTarget {
    /// As it is written in the config file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StatsdTarget::Udp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            StatsdTarget::Udp(host, port) => write!(f, "{host}:{port}"),
            StatsdTarget::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Least serious messages in the diagnostic log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Starts, stops and reloads.
    Info,
    /// What helps to find a mistake.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// Where requests have their ids from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestIds {
    /// They have none.
    Off,
    /// Each is given one.
    Generate,
    /// From X-Request-ID, if the peer is trusted and the field holds a good one; else each is given one.
    Trust,
}

/// `[app]`: the Python application and its workers.
#[derive(Debug, Clone, PartialEq)]
pub struct AppConfig {
    /// Which WSGI callable to serve.
    pub wsgi: AppTarget,
    /// Working directory of the workers; first on their `sys.path`.
    pub chdir: PathBuf,
    /// Further directories for `sys.path`, in order.
    pub pythonpath: Vec<PathBuf>,
    /// The Python interpreter of the workers; existed when the configuration was read.
    pub python: Interpreter,
    /// Worker processes, at least 1; with `autoscale` those to begin with.
    pub workers: usize,
    /// Their number follows the load.
    pub autoscale: Option<AutoscaleConfig>,
    /// Threads of each worker, at least 1.
    pub threads: usize,
    /// How long a worker may hold one request before it is killed; `None` = for ever.
    pub timeout: Option<Duration>,
    /// How long an idle worker may leave requests in the inbox; `None` = for ever.
    pub liveness_timeout: Option<Duration>,
    /// Importing the application, forking a worker and its getting ready may each take so long.
    pub boot_timeout: Duration,
    /// How long requests in hand may take to finish at a stop or reload.
    pub graceful_timeout: Duration,
    /// Import the application once, before workers are forked.
    pub preload_app: bool,
    /// Keep a worker ready for the place of the next one that ends.
    pub spare_worker: bool,
    /// Load it anew when one of its files changes, and show what is wrong with it to whoever looks.
    pub reload: bool,
    /// Further files, and directories, whose changes count; absolute.
    pub reload_extra_files: Vec<PathBuf>,
    /// Static files come straight from the folders of Django's apps.
    pub dev: bool,
    /// How a new generation takes the place of the one before.
    pub reload_mode: ReloadMode,
    /// What a new generation has to answer before it is given requests.
    pub warmup: Option<WarmupConfig>,
    /// Replace a worker after so many requests; `None` = never.
    pub max_requests: Option<u64>,
    /// … and a random number of up to so many more.
    pub max_requests_jitter: u64,
    /// Replace a worker so long after its start; `None` = never.
    pub max_lifetime: Option<Duration>,
    /// Replace a worker that has so much memory, bytes; `None` = however much it has.
    pub max_rss_bytes: Option<u64>,
    /// Which inner loop the workers run.
    pub worker_loop: WorkerLoop,
    /// Where what the application writes goes.
    pub output: AppOutput,
    /// Least serious messages of Gunicorn's logger: the server's own level.
    pub log_level: LogLevel,
    /// Requests that may wait for a worker, per shard.
    pub queue: usize,
    /// How long a request may wait for a worker; `None` = for ever.
    pub queue_timeout: Option<Duration>,
    /// … while more requests come than the workers can serve; `None` = no shorter than ever.
    pub overload_timeout: Option<Duration>,
    /// Run a request with a safe method once more if its worker died with it.
    pub retry_safe: bool,
    /// Environment variables that are set for the workers, later ones win.
    pub raw_env: Vec<(String, String)>,
    /// Directory for request bodies that are too large for memory, and for responses whose clients are slow.
    pub spool_dir: PathBuf,
    /// Bytes of one response that are kept in memory for a slow client.
    pub response_buffer_bytes: usize,
    /// … and in a file; 0: none.
    pub response_spool_bytes_max: u64,
    /// Server hooks.
    pub hooks: Hooks,
    /// The `gunicorn.conf.py` that the settings came from: workers begin with what it does.
    pub program: Option<ConfProgram>,
}

/// How the number of workers follows the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoscaleConfig {
    /// Fewest workers, at least one.
    pub min: usize,
    /// Most workers, at least `min`.
    pub max: usize,
    /// Requests are to wait no longer than this on average.
    pub wait: Duration,
    /// So long one worker fewer must have been enough.
    pub idle: Duration,
}

/// Which inner loop the workers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerLoop {
    /// The native one if the interpreter can load it.
    Auto,
    /// The native one or none: an interpreter that can't load it fails the import.
    Native,
    /// The one in Python.
    Python,
}

impl WorkerLoop {
    /// As it is written in the configuration and told to the zygote.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Python => "python",
        }
    }
}

/// Where what the application writes to its standard output and error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppOutput {
    /// Line by line into the log.
    Log,
    /// To the server's own, as it is.
    Raw,
}

/// How a new generation of workers takes the place of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadMode {
    /// It is there in full before the other leaves.
    Switch,
    /// Worker by worker.
    Rolling,
}

/// How the WSGI callable is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppTarget {
    /// `module:attribute`, always with both parts.
    Named(String),
    /// The `WSGI_APPLICATION` of this Django settings module, asked for in the worker.
    Django {
        /// Dotted name, the value for `DJANGO_SETTINGS_MODULE`.
        settings: String,
    },
}

/// One `[[route]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// Which hosts it applies to.
    pub host: HostPattern,
    /// Which paths.
    pub path: PathPattern,
    /// Only reached from within, never by a client's request.
    pub internal: bool,
    /// What happens to a request that it matches.
    pub action: Action,
    /// Largest request body, bytes (the route's own bound, else the server's).
    pub max_body_bytes: u64,
    /// What happens to the fields of its responses, if anything does.
    pub headers: Option<HeaderOps>,
    /// Pages in place of the server's own; the server's are among them.
    pub error_pages: ErrorPages,
    /// The pages also stand in place of the application's.
    pub intercept_errors: bool,
    /// Directories whose files the application may have sent by X-Sendfile.
    pub sendfile_root: Vec<PathBuf>,
    /// What stands between a request and its handler; the server's rules are in it.
    pub guard: GuardConfig,
    /// How the application's answers are compressed, if they are. Files have levels of their own.
    pub compress: Option<CompressConfig>,
    /// How urgent its requests are to the application.
    pub priority: Priority,
}

impl RouteConfig {
    /// A route with nothing but an action.
    pub fn new(host: HostPattern, path: PathPattern, action: Action, max_body_bytes: u64) -> RouteConfig {
        RouteConfig {
            host,
            path,
            internal: false,
            action,
            max_body_bytes,
            headers: None,
            error_pages: ErrorPages::default(),
            intercept_errors: false,
            sendfile_root: Vec::new(),
            guard: GuardConfig::default(),
            compress: None,
            priority: Priority::default(),
        }
    }
}

/// Hosts that a route applies to. Names are lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// This host only.
    Exact(String),
    /// Every host that ends with this; it starts with a dot (`*.example.com` is kept as `.example.com`).
    Suffix(String),
}

impl std::fmt::Display for HostPattern {
    /// As it is written in the config file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostPattern::Any => f.write_str("*"),
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl HostPattern {
    /// The name, or what follows the star.
    pub fn text(&self) -> &str {
        match self {
            HostPattern::Any => "",
            HostPattern::Exact(text) | HostPattern::Suffix(text) => text,
        }
    }
}

/// Paths that a route applies to, compared with the decoded and normal path of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// Every path that begins with this; starts with `/`. That of a static route also ends with `/`.
    Prefix {
        /// The prefix.
        path: String,
        /// It is taken before expressions are tried (nginx's `^~`).
        before_regex: bool,
    },
    /// This path only; starts with `/`.
    Exact(String),
    /// Every path in which this expression is found; [`compile`] takes it.
    Regex(String),
}

impl PathPattern {
    /// A plain prefix.
    pub fn prefix(path: impl Into<String>) -> PathPattern {
        PathPattern::Prefix { path: path.into(), before_regex: false }
    }

    /// As it was written: the path or the expression.
    pub fn text(&self) -> &str {
        match self {
            PathPattern::Prefix { path, .. } | PathPattern::Exact(path) | PathPattern::Regex(path) => path,
        }
    }

    /// Whether it is the plain prefix `wanted`.
    pub fn is_prefix(&self, wanted: &str) -> bool {
        matches!(self, PathPattern::Prefix { path, .. } if path == wanted)
    }
}

/// The expression of a route, compiled. It works on bytes, in time linear in the path's length.
///
/// # Errors
/// A sentence: it is malformed, or too large.
pub fn compile(expression: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(expression)
        .unicode(false)
        .size_limit(REGEX_PROGRAM_BYTES_MAX)
        .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is an expression that would take too much memory".to_owned(),
        other => {
            // The last line says what is wrong, those before it draw where.
            let text = other.to_string();
            let what = text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("is not a regular expression: {what}")
        }
    })
}

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Serve files.
    Static(Box<StaticConfig>),
    /// Hand over to the application; [`Config::app`] is there.
    App,
    /// Send the client elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where.
        target: Template,
    },
    /// Answer with a fixed text.
    Respond {
        /// A final status that may have a body.
        status: u16,
        /// Value of Content-Type.
        content_type: String,
        /// The body.
        body: String,
    },
    /// Answer with a status and the server's own page for it.
    Status(u16),
    /// Say how the server stands.
    Health(Health),
}

/// What a health check wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// That the server answers.
    Live,
    /// Whether it serves requests.
    Ready,
}

/// A static route's particulars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticConfig {
    /// The directory that the route's path stands for (like nginx's `alias`; for an exact path and an expression, like its `root`). Need not
    /// exist yet.
    pub directory: PathBuf,
    /// How its files are served.
    pub options: StaticOptions,
}
