//! Options of `[server]`: listeners, shards, and what one connection may cost.

use super::guard::*;
use super::process_wide::*;
use super::{Default, FORWARDED_HEADERS, LISTEN, Opt, SERVER_COMPRESS, Section, Spec, TRUSTED_PROXIES, Unit};
use crate::base::bounds::{
    ALLOWED_HOSTS_MAX, BODY_BYTES_MAX, CONNECTIONS_MAX, FIELD_LINE_BYTES_MAX, FIELDS_MAX, LISTEN_BACKLOG_MAX,
    SHARDS_MAX, TARGET_BYTES_MAX,
};
use crate::config::owner::group;
use crate::config::read;
use crate::config::types::RequestIds;
use crate::config::value::Value;
use crate::limits::AllowedHosts;
use std::path::Path;
use std::time::Duration;

pub static SERVER: Section = Section {
    name: "server",
    header: "[server]",
    doc: "Listeners, shards, and what one connection may cost.",
    options: &[
        &LISTEN.spec,
        &REDIRECT_HTTPS.spec,
        &USER.spec,
        &SERVER_GROUP.spec,
        &SHARDS.spec,
        &KEEPALIVE_TIMEOUT.spec,
        &HEAD_TIMEOUT.spec,
        &BODY_TIMEOUT.spec,
        &SEND_TIMEOUT.spec,
        &HANDSHAKE_TIMEOUT.spec,
        &MAX_HANDSHAKES.spec,
        &MAX_CONNECTIONS.spec,
        &MAX_BODY.spec,
        &BACKLOG.spec,
        &DEFERRED.spec,
        &LIMIT_REQUEST_LINE.spec,
        &LIMIT_REQUEST_FIELDS.spec,
        &LIMIT_REQUEST_FIELD_SIZE.spec,
        &PIDFILE.spec,
        &DAEMON.spec,
        &UMASK.spec,
        &PROC_NAME.spec,
        &ERROR_LOG.spec,
        &SERVER_LOG_LEVEL.spec,
        &STATSD_HOST.spec,
        &STATSD_PREFIX.spec,
        &DOGSTATSD_TAGS.spec,
        &ACCESS_LOG.spec,
        &SERVER_COMPRESS.spec,
        &SERVER_ERROR_PAGES.spec,
        &MAINTENANCE_KEY.spec,
        &TRUSTED_PROXIES.spec,
        &FORWARDED_HEADERS.spec,
        &REQUEST_ID.spec,
        &REQUEST_ID_ECHO.spec,
        &ALLOWED_HOSTS.spec,
        &MAX_CONNECTIONS_PER_ADDRESS.spec,
        &MIN_BODY_RATE.spec,
        &ALLOW.spec,
        &DENY.spec,
        &ACCESS.spec,
        &SATISFY.spec,
        &AUTH.spec,
        &LIMIT.spec,
        &CONNECTIONS.spec,
        &LIMIT_RATE.spec,
        &LIMIT_RATE_AFTER.spec,
    ],
};

pub static REDIRECT_HTTPS: Opt<bool> = Opt {
    spec: Spec::new(
        "redirect_https",
        Unit::Bool,
        Default::Toml("false"),
        "Answer requests on plain TCP listeners with a redirect (308) to the same URL with `https`; a `listen` entry in the form \
         of a table can say otherwise. Paths below `/.well-known/acme-challenge/` are served.",
    ),
    read: read::boolean,
};
pub static USER: Opt<String> = Opt {
    spec: Spec::new(
        "user",
        Unit::Text("a user"),
        Default::Described("the one that starts the server"),
        "Whom the server, its workers and its programs run as, with all groups of that account. Only root can become somebody else; it does so \
         once listeners, certificates and control sockets are open, and for good: see [security.md](security.md). If a program has another \
         `user`, the supervisor has to stay root, and only shards, workers and the other programs run as this one. Workers get its `HOME`, `USER` \
         and `LOGNAME`. A number that no account has needs a `group` beside it.",
    )
    .flag("--user"),
    read: read::text,
};
/// Not `GROUP`: that is a table of its own.
pub static SERVER_GROUP: Opt<u32> = Opt {
    spec: Spec::new(
        "group",
        Unit::Text("a group"),
        Default::Described("that of `user`"),
        "Group in place of the user's own; needs `user`.",
    )
    .flag("--group"),
    read: group,
};
pub static HANDSHAKE_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "handshake_timeout",
        Unit::Duration,
        Default::Toml("\"10s\""),
        "How long a TLS handshake may take, from the connection's beginning.",
    )
    .elsewhere(&["ssl_handshake_timeout"]),
    read: read::duration,
};
pub static MAX_HANDSHAKES: Opt<usize> = Opt {
    spec: Spec::new(
        "max_handshakes",
        Unit::Count { min: 1, max: CONNECTIONS_MAX },
        Default::Toml("1024"),
        "TLS handshakes that one shard has under way at the same time, from the connection's beginning: also those of clients that have not said a word yet. \
         One more ends the oldest.",
    ),
    read: read::count,
};
pub static SHARDS: Opt<Option<usize>> = Opt {
    spec: Spec::new(
        "shards",
        Unit::CountOrAuto { min: 1, max: SHARDS_MAX },
        Default::Toml("\"auto\""),
        "Threads that serve connections, each with its own io_uring; \"auto\" is one per usable CPU, or one per two with an application.",
    )
    .flag("--shards")
    .elsewhere(&["worker_processes"]),
    read: read::count_or_auto,
};
pub static KEEPALIVE_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "keepalive_timeout",
        Unit::Duration,
        Default::Toml("\"75s\""),
        "How long an idle keep-alive connection stays open.",
    )
    .elsewhere(&["keepalive"]),
    read: read::duration,
};
pub static HEAD_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "head_timeout",
        Unit::Duration,
        Default::Toml("\"10s\""),
        "How long a client may take to send one request head.",
    )
    .elsewhere(&["client_header_timeout"]),
    read: read::duration,
};
pub static BODY_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "body_timeout",
        Unit::Duration,
        Default::Toml("\"30s\""),
        "How long a client may pause while it sends a request body.",
    )
    .elsewhere(&["client_body_timeout"]),
    read: read::duration,
};
pub static SEND_TIMEOUT: Opt<Duration> = Opt {
    spec: Spec::new(
        "send_timeout",
        Unit::Duration,
        Default::Toml("\"60s\""),
        "How long a client may pause while it takes a response.",
    ),
    read: read::duration,
};
pub static MAX_CONNECTIONS: Opt<usize> = Opt {
    spec: Spec::new(
        "max_connections",
        Unit::Count { min: 1, max: CONNECTIONS_MAX },
        Default::Toml("16384"),
        "Connections that one shard keeps open at the same time. For one more, those that are between requests are ended, the idlest first.",
    )
    .elsewhere(&["worker_connections"]),
    read: read::count,
};
pub static MAX_BODY: Opt<u64> = Opt {
    spec: Spec::new(
        "max_body",
        Unit::Size { max: BODY_BYTES_MAX },
        Default::Toml("\"100M\""),
        "Largest request body; a larger one is answered with 413.",
    )
    .elsewhere(&["client_max_body_size"]),
    read: read::size,
};
/// Read by `config::pages`: its keys are statuses.
pub static SERVER_ERROR_PAGES: Opt<Value> = Opt {
    spec: Spec::new(
        "error_pages",
        Unit::Text("a table of statuses and pages"),
        Default::Described("the server's own"),
        "Pages for errors, on every route and where there is none: `{ 404 = \"404.html\", 5xx = \"50x.html\" }`. A file is read when the \
         configuration is; \"app:/PATH\" asks the application for that path instead. A route's own come first. A request whose head can't \
         be read (400, 408, 414, 431, 501, 505) gets the file too; no application is asked about it.",
    )
    .elsewhere(&["error_page"]),
    read: read::raw,
};
/// Read by `config::maintenance`: a table of its own.
pub static MAINTENANCE_KEY: Opt<Value> = Opt {
    spec: Spec::new(
        "maintenance",
        Unit::Text("a table"),
        Default::Described("as its keys say"),
        "Maintenance mode, see `[server.maintenance]`.",
    ),
    read: read::raw,
};
pub static BACKLOG: Opt<u32> = Opt {
    spec: Spec::new(
        "backlog",
        Unit::Count { min: 1, max: LISTEN_BACKLOG_MAX },
        Default::Toml("2048"),
        "Connections that wait to be accepted, per listener and shard; the kernel's net.core.somaxconn bounds it too.",
    ),
    read: read::count_u32,
};
pub static DEFERRED: Opt<bool> = Opt {
    spec: Spec::new(
        "deferred",
        Unit::Bool,
        Default::Toml("true"),
        "Take a TCP connection over once its first bytes are there (TCP_DEFER_ACCEPT): until then it costs no more than the kernel's \
         note, and what connects and stays silent is taken over after a second. As nginx's `listen … deferred`.",
    ),
    read: read::boolean,
};
pub static LIMIT_REQUEST_LINE: Opt<usize> = Opt {
    spec: Spec::new(
        "limit_request_line",
        Unit::Count { min: 0, max: TARGET_BYTES_MAX as u64 },
        Default::Toml("0"),
        "Longest request line, bytes; a longer one is answered with 414. 0: only what the server bounds anyway, a target of 8 KiB.",
    ),
    read: read::count,
};
pub static LIMIT_REQUEST_FIELDS: Opt<usize> = Opt {
    spec: Spec::new(
        "limit_request_fields",
        Unit::Count { min: 0, max: FIELDS_MAX as u64 },
        Default::Toml("0"),
        "Most field lines of a request; more are answered with 431. 0: only what the server bounds anyway, 100.",
    ),
    read: read::count,
};
pub static LIMIT_REQUEST_FIELD_SIZE: Opt<usize> = Opt {
    spec: Spec::new(
        "limit_request_field_size",
        Unit::Count { min: 0, max: FIELD_LINE_BYTES_MAX as u64 },
        Default::Toml("0"),
        "Longest field line of a request, bytes; a longer one is answered with 431. 0: only what the server bounds anyway, 16 KiB.",
    ),
    read: read::count,
};
pub static ACCESS_LOG: Opt<Value> = Opt {
    spec: Spec::new(
        "access_log",
        Unit::Text("\"off\", a path, \"stdout\", \"syslog\" or a table"),
        Default::Toml("\"off\""),
        "A line for each request: where to, or a table as `[server.access_log]` describes it. Unlike nginx, and like gunicorn, there is \
         none unless asked for.",
    )
    .elsewhere(&["accesslog"]),
    read: read::raw,
};
pub static REQUEST_ID: Opt<RequestIds> = Opt {
    spec: Spec::new(
        "request_id",
        Unit::Text("\"off\", \"generate\" or \"trust\""),
        Default::Toml("\"generate\""),
        "Ids of requests, for the log's `$request_id` and the application's `HTTP_X_REQUEST_ID`: made here, or (\"trust\") taken from the \
         `X-Request-ID` of requests that come from one of `trusted_proxies`, where it is a good one. A client's own field never \
         reaches the application.",
    ),
    read: request_ids,
};
pub static REQUEST_ID_ECHO: Opt<bool> = Opt {
    spec: Spec::new(
        "request_id_echo",
        Unit::Bool,
        Default::Toml("false"),
        "Whether responses carry the id of their request as `X-Request-ID`.",
    ),
    read: read::boolean,
};

pub static ALLOWED_HOSTS: Opt<AllowedHosts> = Opt {
    spec: Spec::new(
        "allowed_hosts",
        Unit::Texts("a host or a list of them"),
        Default::Toml("[]"),
        "Hosts that are served, as Django's ALLOWED_HOSTS: \"example.com\", \"*.example.com\" (names below it), \".example.com\" (both), addresses and \
         networks for clients that name one (\"10.0.0.0/8\", \"[::1]\"), \"*\" (all). A request for another host is answered with 421, one that names \
         none with 400, before anything else is looked at. None given: all.",
    )
    .elsewhere(&["ALLOWED_HOSTS"]),
    read: allowed_hosts,
};
pub static MAX_CONNECTIONS_PER_ADDRESS: Opt<Option<u64>> = Opt {
    spec: Spec::new(
        "max_connections_per_address",
        Unit::Count { min: 0, max: CONNECTIONS_MAX },
        Default::Toml("0"),
        "Connections that one address (one /64 for IPv6) has open at the same time, with all shards together; one more is closed at once. 0: any number. \
         A connection of a trusted proxy is not counted.",
    ),
    read: count_or_none,
};
pub static MIN_BODY_RATE: Opt<u64> = Opt {
    spec: Spec::new(
        "min_body_rate",
        Unit::Size { max: BODY_BYTES_MAX },
        Default::Toml("100"),
        "Bytes a second that a request body must arrive with, once it has taken `body_timeout`: a client that sends a byte now and then is answered with 408. \
         0: however slowly.",
    ),
    read: read::size,
};

fn allowed_hosts(value: &Value, unit: Unit, _: &Path) -> Result<AllowedHosts, String> {
    let entries = read::strings(value, unit)?;
    if entries.len() > ALLOWED_HOSTS_MAX {
        return Err(format!("has more than {ALLOWED_HOSTS_MAX} entries"));
    }
    AllowedHosts::new(entries).map_err(|entry| {
        let shown = entry.escape_debug();
        format!("\"{shown}\" is no host: a name, \"*.NAME\", \".NAME\", an address, a network or \"*\", without scheme and port")
    })
}

fn count_or_none(value: &Value, unit: Unit, base: &Path) -> Result<Option<u64>, String> {
    read::count_u64(value, unit, base).map(|count| Some(count).filter(|count| *count > 0))
}

fn request_ids(value: &Value, unit: Unit, base: &Path) -> Result<RequestIds, String> {
    match read::text(value, unit, base)?.as_str() {
        "off" => Ok(RequestIds::Off),
        "generate" => Ok(RequestIds::Generate),
        "trust" => Ok(RequestIds::Trust),
        other => Err(format!("must be \"off\", \"generate\" or \"trust\", not \"{}\"", other.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(USER SERVER_GROUP REDIRECT_HTTPS HANDSHAKE_TIMEOUT MAX_HANDSHAKES SHARDS KEEPALIVE_TIMEOUT HEAD_TIMEOUT BODY_TIMEOUT SEND_TIMEOUT MAX_CONNECTIONS MAX_BODY BACKLOG DEFERRED ACCESS_LOG REQUEST_ID REQUEST_ID_ECHO);
        assert_defaults!(LIMIT_REQUEST_LINE LIMIT_REQUEST_FIELDS LIMIT_REQUEST_FIELD_SIZE);
        assert_defaults!(ALLOWED_HOSTS MAX_CONNECTIONS_PER_ADDRESS MIN_BODY_RATE);
    }
}
