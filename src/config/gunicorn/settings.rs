//! Every setting of Gunicorn (27.0), by its name there: its flags, what it takes, and what it means here.
//!
//! Owns the one declaration from which flags, their help, the reading of a `gunicorn.conf.py` and `--print-config` are made. What is done with a
//! setting is in [`super::apply`].

use super::show;
use crate::config::options::{self, Spec};
use crate::config::types::Config;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name in a `gunicorn.conf.py`.
    pub name: &'static str,
    /// Its flags, the long one last; none if `serve` has them anyway, or if Gunicorn has none.
    pub flags: &'static [&'static str],
    /// What its flags take.
    pub takes: Takes,
    /// What it means here.
    pub meaning: Meaning,
    /// Its value in force, for `--print-config`; `None`: it is not shown.
    pub shown: Option<fn(&Config) -> String>,
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A value, by the name that help gives it.
    Value(&'static str),
    /// A value each time that it is given.
    Values(&'static str),
    /// A value that may be left out, and what counts then.
    Optional(&'static str, &'static str),
    /// Nothing: to give it is to say this.
    Nothing(bool),
}

/// What a setting means here.
#[derive(Debug, Clone, Copy)]
pub enum Meaning {
    /// A key of `[server]`.
    Server(&'static Spec),
    /// The same, with a smaller bound than Gunicorn has: a larger number, and 0, mean the bound.
    Bounded(&'static Spec),
    /// A key of `[app]`.
    App(&'static Spec),
    /// Addresses to listen on.
    Bind,
    /// A duration of `[server]`: 0 is as short as can be, and what is longer than can be as long as can be.
    ServerTime(&'static Spec),
    /// The same of `[app]`; where the key has a meaning for 0, 0 has that.
    AppTime(&'static Spec),
    /// A user or a group of `[server]`, by name or number.
    Account(&'static Spec),
    /// Addresses of proxies, in one string or a list.
    Peers,
    /// The same, beside those that were named before.
    MorePeers,
    /// Whether connections begin with a PROXY header.
    ProxyProtocol,
    /// A mask, octal if it begins with 0.
    Umask,
    /// Where the access log goes.
    AccessLog,
    /// What its lines look like.
    AccessLogFormat,
    /// The kind of workers.
    WorkerClass,
    /// How files are watched.
    ReloadEngine,
    /// A key of the one `[[tls]]` that Gunicorn's settings make.
    Tls(&'static Spec),
    /// Whether clients are asked for certificates.
    CertReqs,
    /// A key of `[app.hooks]`.
    Hook(&'static Spec),
    /// What workers write goes into the log.
    CaptureOutput,
    /// What workers write goes to the server's standard streams.
    InheritOutput,
    /// It is so here whatever is said, or no more than a detail of Gunicorn's own.
    Always,
    /// It has no effect, and why.
    Without(&'static str),
}

impl Setting {
    /// A line for `--help`.
    pub fn help(&self) -> String {
        match self.meaning {
            Meaning::Server(spec) | Meaning::Bounded(spec) | Meaning::Account(spec) => {
                format!("The same as {} in [server]", spec.name)
            }
            Meaning::App(spec) => format!("The same as {} in [app]", spec.name),
            Meaning::Tls(spec) => format!("The same as {} in [[tls]]", spec.name),
            Meaning::Bind => "The same as listen in [server]".to_owned(),
            Meaning::ServerTime(spec) => format!("Seconds; the same as {} in [server]", spec.name),
            Meaning::AppTime(spec) => format!("Seconds; the same as {} in [app]", spec.name),
            Meaning::Peers => "The same as trusted_proxies in [server]".to_owned(),
            Meaning::MorePeers => "More of trusted_proxies in [server]".to_owned(),
            Meaning::ProxyProtocol => "The same as proxy_protocol of every address in listen".to_owned(),
            Meaning::Umask => "The same as umask in [server], octal if it begins with 0".to_owned(),
            Meaning::AccessLog => "Where the access log goes: a path, or - for stdout".to_owned(),
            Meaning::AccessLogFormat => "Its lines, in Gunicorn's notation".to_owned(),
            Meaning::WorkerClass => "sync and gthread are what there is".to_owned(),
            Meaning::ReloadEngine => "auto and inotify are what there is".to_owned(),
            Meaning::CertReqs => "0, 1 or 2; the same as client_auth in [[tls]]".to_owned(),
            Meaning::CaptureOutput => "What workers write goes into the log; output = \"log\" in [app]".to_owned(),
            Meaning::InheritOutput => {
                "What workers write goes to stdout and stderr as it is; output = \"raw\" in [app]".to_owned()
            }
            Meaning::Hook(spec) => format!("The same as {} in [app.hooks]", spec.name),
            Meaning::Always => "Always so".to_owned(),
            Meaning::Without(why) => format!("No effect: {why}"),
        }
    }
}

/// The setting of this name.
pub fn named(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// All settings, in the order of their flags' help.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter()
}

/// Those that have flags of their own.
pub fn with_flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.flags.is_empty())
}

const fn setting(name: &'static str, flags: &'static [&'static str], takes: Takes, meaning: Meaning) -> Setting {
    Setting { name, flags, takes, meaning, shown: None }
}

impl Setting {
    const fn shown(self, shown: fn(&Config) -> String) -> Setting {
        Setting { shown: Some(shown), ..self }
    }
}

const LOGGING: &str =
    "the log is the server's own and not Python's logging; the application's logging goes on as it is configured there";
const SYSLOG: &str =
    "access_log = \"syslog:server=…\" sends the access log to syslog; what stands on stderr is for journald";
const STRICT: &str = "requests that can be read in two ways are refused, always";
const ASGI: &str = "applications are WSGI";
const DIRTY: &str = "long tasks are for programs of their own, [program.NAME]";
const HTTP2: &str = "HTTP/1.1 is spoken";
const PASTE: &str = "Paste's files are not read; name the application as MODULE:ATTRIBUTE";
const UWSGI: &str = "HTTP is spoken, not uwsgi";
const CONTROL: &str = "[control] says where the server is controlled";

use Meaning::*;
use Takes::{Nothing, Optional, Value, Values};

/// All of them.
static SETTINGS: &[Setting] = &[
    setting("wsgi_app", &[], Value("APP"), App(&options::WSGI.spec)).shown(show::wsgi_app),
    setting("bind", &[], Values("ADDRESS"), Bind).shown(show::bind),
    setting("backlog", &["--backlog"], Value("N"), Server(&options::BACKLOG.spec)).shown(show::backlog),
    setting("workers", &[], Value("N"), App(&options::WORKERS.spec)).shown(show::workers),
    setting("worker_class", &["-k", "--worker-class"], Value("CLASS"), WorkerClass).shown(show::worker_class),
    setting("threads", &[], Value("N"), App(&options::THREADS.spec)).shown(show::threads),
    setting("worker_connections", &["--worker-connections"], Value("N"), Server(&options::MAX_CONNECTIONS.spec))
        .shown(show::worker_connections),
    setting("max_requests", &["--max-requests"], Value("N"), App(&options::MAX_REQUESTS.spec))
        .shown(show::max_requests),
    setting("max_requests_jitter", &["--max-requests-jitter"], Value("N"), App(&options::MAX_REQUESTS_JITTER.spec))
        .shown(show::max_requests_jitter),
    setting("timeout", &[], Value("SECONDS"), AppTime(&options::TIMEOUT.spec)).shown(show::timeout),
    setting("graceful_timeout", &[], Value("SECONDS"), AppTime(&options::GRACEFUL_TIMEOUT.spec))
        .shown(show::graceful_timeout),
    setting("keepalive", &["--keep-alive"], Value("SECONDS"), ServerTime(&options::KEEPALIVE_TIMEOUT.spec))
        .shown(show::keepalive),
    setting(
        "limit_request_line",
        &["--limit-request-line"],
        Value("BYTES"),
        Bounded(&options::LIMIT_REQUEST_LINE.spec),
    )
    .shown(show::limit_request_line),
    setting(
        "limit_request_fields",
        &["--limit-request-fields"],
        Value("N"),
        Bounded(&options::LIMIT_REQUEST_FIELDS.spec),
    )
    .shown(show::limit_request_fields),
    setting(
        "limit_request_field_size",
        &["--limit-request-field_size"],
        Value("BYTES"),
        Bounded(&options::LIMIT_REQUEST_FIELD_SIZE.spec),
    )
    .shown(show::limit_request_field_size),
    setting("reload", &["--reload"], Nothing(true), App(&options::RELOAD.spec)).shown(show::reload),
    setting("reload_engine", &["--reload-engine"], Value("ENGINE"), ReloadEngine),
    setting("reload_extra_files", &["--reload-extra-file"], Values("FILE"), App(&options::RELOAD_EXTRA_FILES.spec))
        .shown(show::reload_extra_files),
    setting("spew", &["--spew"], Nothing(true), Without("to trace lines, set sys.settrace in the application")),
    setting("check_config", &[], Nothing(true), Always),
    setting("print_config", &[], Nothing(true), Always),
    setting("config", &[], Value("FILE"), Always),
    setting("preload_app", &["--preload"], Nothing(true), App(&options::PRELOAD_APP.spec)).shown(show::preload_app),
    setting("sendfile", &["--no-sendfile"], Nothing(false), Without("the server sends files, by sendfile(2)")),
    setting("reuse_port", &["--reuse-port"], Nothing(true), Always),
    setting("chdir", &[], Value("DIRECTORY"), App(&options::CHDIR.spec)).shown(show::chdir),
    setting("raw_env", &[], Values("NAME=VALUE"), App(&options::RAW_ENV.spec)).shown(show::raw_env),
    setting("pidfile", &["-p", "--pid"], Value("FILE"), Server(&options::PIDFILE.spec)).shown(show::pidfile),
    setting("worker_tmp_dir", &["--worker-tmp-dir"], Value("DIRECTORY"), Without("workers write no heartbeat files")),
    setting("user", &["-u", "--user"], Value("USER"), Account(&options::USER.spec)).shown(show::user),
    setting("group", &["-g", "--group"], Value("GROUP"), Account(&options::SERVER_GROUP.spec)).shown(show::group),
    setting("initgroups", &["--initgroups"], Nothing(true), Always),
    setting("umask", &["-m", "--umask"], Value("MASK"), Umask).shown(show::umask),
    setting("tmp_upload_dir", &[], Value("DIRECTORY"), App(&options::SPOOL_DIR.spec)).shown(show::tmp_upload_dir),
    setting(
        "secure_scheme_headers",
        &[],
        Value("HEADERS"),
        Without("trusted_proxies and forwarded_headers say what proxies set"),
    ),
    setting("forwarded_allow_ips", &["--forwarded-allow-ips"], Value("ADDRESSES"), Peers)
        .shown(show::forwarded_allow_ips),
    setting("accesslog", &["--access-logfile"], Value("FILE"), AccessLog).shown(show::accesslog),
    setting("access_log_format", &["--access-logformat"], Value("FORMAT"), AccessLogFormat)
        .shown(show::access_log_format),
    setting("disable_redirect_access_to_syslog", &["--disable-redirect-access-to-syslog"], Nothing(true), Always),
    setting("errorlog", &["--log-file", "--error-logfile"], Value("FILE"), Server(&options::ERROR_LOG.spec))
        .shown(show::errorlog),
    setting("loglevel", &[], Value("LEVEL"), Server(&options::SERVER_LOG_LEVEL.spec)).shown(show::loglevel),
    setting("capture_output", &["--capture-output"], Nothing(true), CaptureOutput).shown(show::capture_output),
    setting("logger_class", &["--logger-class"], Value("CLASS"), Without(LOGGING)),
    setting("logconfig", &["--log-config"], Value("FILE"), Without(LOGGING)),
    setting("logconfig_dict", &[], Value("DICT"), Without(LOGGING)),
    setting("logconfig_json", &["--log-config-json"], Value("FILE"), Without(LOGGING)),
    setting("syslog_addr", &["--log-syslog-to"], Value("ADDRESS"), Without(SYSLOG)),
    setting("syslog", &["--log-syslog"], Nothing(true), Without(SYSLOG)),
    setting("syslog_prefix", &["--log-syslog-prefix"], Value("PREFIX"), Without(SYSLOG)),
    setting("syslog_facility", &["--log-syslog-facility"], Value("FACILITY"), Without(SYSLOG)),
    setting("enable_stdio_inheritance", &["-R", "--enable-stdio-inheritance"], Nothing(true), InheritOutput),
    setting("statsd_host", &["--statsd-host"], Value("HOST:PORT"), Server(&options::STATSD_HOST.spec))
        .shown(show::statsd_host),
    setting("dogstatsd_tags", &["--dogstatsd-tags"], Value("TAGS"), Server(&options::DOGSTATSD_TAGS.spec))
        .shown(show::dogstatsd_tags),
    setting("statsd_prefix", &["--statsd-prefix"], Value("PREFIX"), Server(&options::STATSD_PREFIX.spec))
        .shown(show::statsd_prefix),
    setting("enable_backlog_metric", &["--enable-backlog-metric"], Nothing(true), Always),
    setting("proc_name", &["-n", "--name"], Value("NAME"), Server(&options::PROC_NAME.spec)).shown(show::proc_name),
    setting("default_proc_name", &[], Value("NAME"), Always),
    setting("daemon", &["-D", "--daemon"], Nothing(true), Server(&options::DAEMON.spec)).shown(show::daemon),
    setting("pythonpath", &[], Value("DIRECTORIES"), App(&options::PYTHONPATH.spec)).shown(show::pythonpath),
    setting("paste", &["--paster", "--paste"], Value("FILE"), Without(PASTE)),
    setting("raw_paste_global_conf", &["--paste-global"], Values("CONF"), Without(PASTE)),
    setting("proxy_protocol", &["--proxy-protocol"], Optional("MODE", "auto"), ProxyProtocol)
        .shown(show::proxy_protocol),
    setting("proxy_allow_ips", &["--proxy-allow-from"], Value("ADDRESSES"), MorePeers),
    setting("protocol", &["--protocol"], Value("PROTOCOL"), Without(UWSGI)),
    setting("uwsgi_allow_ips", &["--uwsgi-allow-from"], Value("ADDRESSES"), Without(UWSGI)),
    setting("keyfile", &["--keyfile"], Value("FILE"), Tls(&options::KEY.spec)).shown(show::keyfile),
    setting("certfile", &["--certfile"], Value("FILE"), Tls(&options::CERT.spec)).shown(show::certfile),
    setting("ca_certs", &["--ca-certs"], Value("FILE"), Tls(&options::CLIENT_CA.spec)).shown(show::ca_certs),
    setting("cert_reqs", &["--cert-reqs"], Value("N"), CertReqs).shown(show::cert_reqs),
    setting("ssl_version", &["--ssl-version"], Value("VERSION"), Without("min_version in [[tls]] says it")),
    setting("ciphers", &["--ciphers"], Value("CIPHERS"), Without("preset in [[tls]] names the suites")),
    setting("suppress_ragged_eofs", &["--suppress-ragged-eofs"], Nothing(true), Always),
    setting("do_handshake_on_connect", &["--do-handshake-on-connect"], Nothing(true), Always),
    setting("ssl_context", &[], Value("CALLABLE"), Without("TLS is the server's own, without Python's ssl")),
    setting("http_protocols", &["--http-protocols"], Value("PROTOCOLS"), Without(HTTP2)),
    setting("permit_obsolete_folding", &["--permit-obsolete-folding"], Nothing(true), Without(STRICT)),
    setting("strip_header_spaces", &["--strip-header-spaces"], Nothing(true), Without(STRICT)),
    setting("permit_unconventional_http_method", &["--permit-unconventional-http-method"], Nothing(true), Always),
    setting(
        "permit_unconventional_http_version",
        &["--permit-unconventional-http-version"],
        Nothing(true),
        Without(STRICT),
    ),
    setting("casefold_http_method", &["--casefold-http-method"], Nothing(true), Without("methods are case-sensitive")),
    setting(
        "forwarder_headers",
        &["--forwarder-headers"],
        Value("NAMES"),
        Without("trusted_proxies says whom to believe"),
    ),
    setting(
        "header_map",
        &["--header-map"],
        Value("MODE"),
        Without("fields with underscores in their names are left out"),
    ),
    setting("http_parser", &["--http-parser"], Value("PARSER"), Always),
    setting("root_path", &["--root-path"], Value("PATH"), Without(ASGI)),
    setting("asgi_loop", &["--asgi-loop"], Value("LOOP"), Without(ASGI)),
    setting("asgi_lifespan", &["--asgi-lifespan"], Value("MODE"), Without(ASGI)),
    setting("asgi_disconnect_grace_period", &["--asgi-disconnect-grace-period"], Value("SECONDS"), Without(ASGI)),
    setting("websocket_max_message_size", &["--websocket-max-message-size"], Value("BYTES"), Without(ASGI)),
    setting("dirty_apps", &["--dirty-app"], Values("APP"), Without(DIRTY)),
    setting("dirty_workers", &["--dirty-workers"], Value("N"), Without(DIRTY)),
    setting("dirty_timeout", &["--dirty-timeout"], Value("SECONDS"), Without(DIRTY)),
    setting("dirty_threads", &["--dirty-threads"], Value("N"), Without(DIRTY)),
    setting("dirty_graceful_timeout", &["--dirty-graceful-timeout"], Value("SECONDS"), Without(DIRTY)),
    setting("on_dirty_starting", &[], Value("CALLABLE"), Without(DIRTY)),
    setting("dirty_post_fork", &[], Value("CALLABLE"), Without(DIRTY)),
    setting("dirty_worker_init", &[], Value("CALLABLE"), Without(DIRTY)),
    setting("dirty_worker_exit", &[], Value("CALLABLE"), Without(DIRTY)),
    setting("http2_cleartext", &["--http2-cleartext"], Value("MODE"), Without(HTTP2)),
    setting("http2_max_concurrent_streams", &["--http2-max-concurrent-streams"], Value("N"), Without(HTTP2)),
    setting("http2_initial_window_size", &["--http2-initial-window-size"], Value("BYTES"), Without(HTTP2)),
    setting("http2_max_frame_size", &["--http2-max-frame-size"], Value("BYTES"), Without(HTTP2)),
    setting("http2_max_header_list_size", &["--http2-max-header-list-size"], Value("BYTES"), Without(HTTP2)),
    setting("on_starting", &[], Value("CALLABLE"), Hook(&options::ON_STARTING.spec)),
    setting("on_reload", &[], Value("CALLABLE"), Hook(&options::ON_RELOAD.spec)),
    setting("when_ready", &[], Value("CALLABLE"), Hook(&options::WHEN_READY.spec)),
    setting("pre_fork", &[], Value("CALLABLE"), Hook(&options::PRE_FORK.spec)),
    setting("post_fork", &[], Value("CALLABLE"), Hook(&options::POST_FORK.spec)),
    setting("post_worker_init", &[], Value("CALLABLE"), Hook(&options::POST_WORKER_INIT.spec)),
    setting("worker_int", &[], Value("CALLABLE"), Hook(&options::WORKER_INT.spec)),
    setting("worker_abort", &[], Value("CALLABLE"), Hook(&options::WORKER_ABORT.spec)),
    setting("pre_request", &[], Value("CALLABLE"), Hook(&options::PRE_REQUEST.spec)),
    setting("post_request", &[], Value("CALLABLE"), Hook(&options::POST_REQUEST.spec)),
    setting("child_exit", &[], Value("CALLABLE"), Hook(&options::CHILD_EXIT.spec)),
    setting("worker_exit", &[], Value("CALLABLE"), Hook(&options::WORKER_EXIT.spec)),
    setting("nworkers_changed", &[], Value("CALLABLE"), Hook(&options::NWORKERS_CHANGED.spec)),
    setting("on_exit", &[], Value("CALLABLE"), Hook(&options::ON_EXIT.spec)),
    setting(
        "pre_exec",
        &[],
        Value("CALLABLE"),
        Without("nothing of Python is replaced when SIGUSR2 brings a new server"),
    ),
    setting("control_socket", &["--control-socket"], Value("PATH"), Without(CONTROL)),
    setting("control_socket_mode", &["--control-socket-mode"], Value("MODE"), Without(CONTROL)),
    setting("control_socket_disable", &["--no-control-socket"], Nothing(true), Without(CONTROL)),
];
