//! From the configuration to the machine's settings.
//!
//! Owns no decision: bounds that nobody configures are added to what was configured. Called by the loop, at the start and for a reload.

use std::time::Duration;

use super::backoff::Policy;
use super::machine::{PoolSettings, Recycle, Settings};
use crate::base::bounds::{ABORT_GRACE_MS, FAST_STOP_SECONDS, REAP_SECONDS};
use crate::base::clock::{self, Monotonic};
use crate::config::{AppConfig, Config, ReloadMode, ServerConfig};

/// For the life of the program.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        pool: config.app.as_ref().map(pool_settings),
        graceful_timeout: config.app.as_ref().map_or(Duration::from_secs(30), |app| app.graceful_timeout),
        fast_timeout: Duration::from_secs(FAST_STOP_SECONDS),
        reap_timeout: Duration::from_secs(REAP_SECONDS),
    }
}

/// The keys whose change from `old` to `new` waits for a start. Whoever adds an option to `[server]` has to say here which it is.
pub(super) fn restart_keys(old: &Config, new: &Config) -> Vec<&'static str> {
    let ServerConfig {
        listen,
        user,
        // Says no more than `listen`, once sockets are open.
        listen_is_default: _,
        shards,
        backlog,
        deferred,
        pidfile,
        daemon,
        umask,
        proc_name,
        error_log,
        log_level,
        statsd,
        max_connections_per_address,
        // Opened anew where it differs.
        access_log: _,
        // What the shards are told.
        keepalive_timeout: _,
        head_timeout: _,
        body_timeout: _,
        send_timeout: _,
        handshake_timeout: _,
        max_handshakes: _,
        max_connections: _,
        max_body_bytes: _,
        head_limits: _,
        min_body_rate: _,
        trusted_proxies: _,
        allowed_hosts: _,
        request_ids: _,
        request_id_echo: _,
        // In the routes.
        compress: _,
    } = &old.server;
    let spool = |config: &Config| config.app.as_ref().map(|app| app.spool_dir.clone());
    [
        ("server.listen", *listen != new.server.listen),
        ("server.user", *user != new.server.user),
        ("server.shards", *shards != new.server.shards),
        ("server.backlog", *backlog != new.server.backlog),
        ("server.deferred", *deferred != new.server.deferred),
        ("server.pidfile", *pidfile != new.server.pidfile),
        ("server.daemon", *daemon != new.server.daemon),
        ("server.umask", *umask != new.server.umask),
        ("server.proc_name", *proc_name != new.server.proc_name),
        ("server.error_log", *error_log != new.server.error_log),
        ("server.statsd_host", *statsd != new.server.statsd),
        ("server.log_level", *log_level != new.server.log_level),
        ("server.max_connections_per_address", *max_connections_per_address != new.server.max_connections_per_address),
        ("admin.listen", old.admin != new.admin),
        ("app.spool_dir", spool(old) != spool(new)),
        ("tls", old.tls.is_empty() && !new.tls.is_empty()),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// For the next generation.
pub(super) fn pool_settings(app: &AppConfig) -> PoolSettings {
    PoolSettings {
        workers: app.autoscale.map_or(app.workers, |autoscale| autoscale.max) as u32,
        filled: app.workers as u32,
        threads: app.threads as u32,
        timeout: app.timeout,
        liveness_timeout: app.liveness_timeout,
        abort_grace: Duration::from_millis(ABORT_GRACE_MS),
        boot_timeout: app.boot_timeout,
        graceful_timeout: app.graceful_timeout,
        rolling: app.reload_mode == ReloadMode::Rolling,
        warmup: app.warmup.as_ref().map(|warmup| warmup.timeout),
        backoff: Policy::default(),
        is_development: app.reload,
        recycle: Recycle {
            requests: app.max_requests,
            requests_jitter: app.max_requests_jitter,
            lifetime: app.max_lifetime,
            rss_bytes: app.max_rss_bytes,
            seed: clock::wall_seconds() ^ (Monotonic::now().as_nanos() << 20),
        },
    }
}
