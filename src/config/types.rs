//! The checked configuration: what the rest of the program works with.
//!
//! Owns the types only. A value of these types has passed every check: nothing is validated again later, every path is
//! absolute, every default is filled in. Built by [`super::load`]; read by everyone.

use std::path::PathBuf;
use std::time::Duration;

pub use super::access_log::AccessLogConfig;
pub use super::address::Listen;
pub use super::python::Interpreter;
pub use super::static_options::StaticOptions;

/// Everything that the server was told, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The HTTP front.
    pub server: ServerConfig,
    /// The application; `None` for a server of static routes alone.
    pub app: Option<AppConfig>,
    /// The routes in the order of the config file; never empty. Host and path together are unique.
    pub routes: Vec<RouteConfig>,
    /// No static route was configured, so `STATIC_URL` → `STATIC_ROOT` is taken over from Django if the application's
    /// worker reports them. Always false without an app.
    pub static_from_django: bool,
}

/// `[server]`: listeners, shards and what a connection may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Addresses to listen on; never empty, no duplicates.
    pub listen: Vec<Listen>,
    /// Number of shards, at least 1.
    pub shards: usize,
    /// How long an idle keep-alive connection stays open.
    pub keepalive_timeout: Duration,
    /// How long a client may take for one request head.
    pub head_timeout: Duration,
    /// How long a client may pause between two reads of a request body.
    pub body_timeout: Duration,
    /// How long a client may pause between two reads of its response.
    pub send_timeout: Duration,
    /// Connections that one shard keeps open at the same time.
    pub max_connections: usize,
    /// Largest request body, bytes; [`RouteConfig::max_body_bytes`] already takes it into account.
    pub max_body_bytes: u64,
    /// Length of each listener's accept queue (listen(2)).
    pub backlog: u32,
    /// Where to write the process id.
    pub pidfile: Option<PathBuf>,
    /// The access log, if there is to be one.
    pub access_log: Option<AccessLogConfig>,
    /// Where requests have their ids from.
    pub request_ids: RequestIds,
    /// Whether responses carry the id of their request.
    pub request_id_echo: bool,
}

/// Where requests have their ids from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestIds {
    /// They have none.
    Off,
    /// Each is given one.
    Generate,
    /// From X-Request-ID, if that holds a good one; else each is given one.
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
    /// Worker processes, at least 1.
    pub workers: usize,
    /// Threads of each worker, at least 1.
    pub threads: usize,
    /// How long a worker may hold one request before it is killed; `None` = for ever.
    pub timeout: Option<Duration>,
    /// How long requests in hand may take to finish at a stop or reload.
    pub graceful_timeout: Duration,
    /// Import the application once, before workers are forked.
    pub preload_app: bool,
    /// Which inner loop the workers run.
    pub worker_loop: WorkerLoop,
    /// Requests that may wait for a worker, per shard.
    pub queue: usize,
    /// Environment variables that are set for the workers, later ones win.
    pub raw_env: Vec<(String, String)>,
    /// Directory for request bodies that are too large for memory.
    pub spool_dir: PathBuf,
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
    /// Path prefix; starts with `/`. The path of a static route also ends with `/`.
    pub path: String,
    /// What happens to a request that it matches.
    pub action: Action,
    /// Largest request body, bytes (the route's own bound, else the server's).
    pub max_body_bytes: u64,
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

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Serve files.
    Static(StaticConfig),
    /// Hand over to the application; [`Config::app`] is there.
    App,
}

/// A static route's particulars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticConfig {
    /// The directory that the route's path stands for (like nginx's `alias`). Need not exist yet.
    pub directory: PathBuf,
    /// How its files are served.
    pub options: StaticOptions,
}
