//! `[server]`: from its table to [`ServerConfig`].

use std::sync::Arc;

use rustix::process::{getegid, geteuid};

use super::access_log::access_log;
use super::compress;
use super::error::Problem;
use super::listen::{Common, listen};
use super::options;
use super::owner::server_user;
use super::proxies::{request_ids, trusted_proxies};
use super::section::{Bases, Reader};
use super::types::{ServerConfig, StatsdConfig};
use super::value::{Place, Placed, Table, Value};
use crate::http::HeadLimits;

/// `shards = "auto"`, until it is known whether there is an application.
pub const AUTO: usize = 0;

/// What was said about listening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listens {
    /// Nothing, or only a variable of the environment that many programs read.
    ByDefault,
    /// On these addresses.
    AsToldTo,
    /// Not at all: `listen = []`, written there.
    Never(Place),
}

/// Reads `[server]`; `shards` may be [`AUTO`]. `has_tls`: there are certificates. `may_be_silent`: there may be no address at all.
pub fn server(
    table: Table,
    has_tls: bool,
    may_be_silent: bool,
    bases: Bases<'_>,
    problems: &mut Vec<Problem>,
) -> (ServerConfig, Listens) {
    let mut reader = Reader::new(table, "server", options::SERVER.options, bases, problems);
    let (addresses, place) = match reader.placed(&options::LISTEN) {
        Some((value, place)) => (value, place),
        None => (reader.value(&options::LISTEN), Place::Nowhere),
    };
    let listens = match (&place, &addresses) {
        (Place::Nowhere | Place::Variable(_), _) => Listens::ByDefault,
        (_, Value::List(items)) if items.is_empty() && may_be_silent => Listens::Never(place.clone()),
        _ => Listens::AsToldTo,
    };
    let redirect = reader.placed(&options::REDIRECT_HTTPS);
    let redirect_https = redirect.as_ref().is_some_and(|(redirect, _)| *redirect);
    let trusted_proxies = trusted_proxies(&mut reader);
    let umask = reader.optional(&options::UMASK);
    let common = Common { has_tls, redirect_https, trust: trusted_proxies.clone(), umask: umask.unwrap_or(0) };
    let group = reader.placed(&options::SERVER_GROUP);
    let user = match (reader.placed(&options::USER), group) {
        (Some((name, place)), group) => match server_user(&name, group.map(|(group, _)| group)) {
            Ok(user) => Some(user),
            Err(message) => {
                reader.problem(place, options::USER.spec.name, message);
                None
            }
        },
        // Whoever is to stay in the group that he is in asks for nothing; root would stay root.
        (None, Some((group, _))) if !geteuid().is_root() && group == getegid().as_raw() => None,
        (None, Some((_, place))) => {
            let message = "needs a \"user\": whom else should the group be for?";
            reader.problem(place, options::SERVER_GROUP.spec.name, message);
            None
        }
        (None, None) => None,
    };
    let config = ServerConfig {
        user,
        listen: Vec::new(),
        listen_is_default: listens == Listens::ByDefault,
        shards: reader.value(&options::SHARDS).unwrap_or(AUTO),
        keepalive_timeout: reader.value(&options::KEEPALIVE_TIMEOUT),
        head_timeout: reader.value(&options::HEAD_TIMEOUT),
        body_timeout: reader.value(&options::BODY_TIMEOUT),
        send_timeout: reader.value(&options::SEND_TIMEOUT),
        handshake_timeout: reader.value(&options::HANDSHAKE_TIMEOUT),
        max_handshakes: reader.value(&options::MAX_HANDSHAKES),
        max_connections: reader.value(&options::MAX_CONNECTIONS),
        max_body_bytes: reader.value(&options::MAX_BODY),
        allowed_hosts: Arc::new(reader.value(&options::ALLOWED_HOSTS)),
        max_connections_per_address: reader.value(&options::MAX_CONNECTIONS_PER_ADDRESS),
        min_body_rate: reader.value(&options::MIN_BODY_RATE),
        backlog: reader.value(&options::BACKLOG),
        deferred: reader.value(&options::DEFERRED),
        head_limits: HeadLimits {
            line_bytes: reader.value(&options::LIMIT_REQUEST_LINE),
            fields: reader.value(&options::LIMIT_REQUEST_FIELDS),
            field_bytes: reader.value(&options::LIMIT_REQUEST_FIELD_SIZE),
        },
        pidfile: reader.optional(&options::PIDFILE),
        compress: compress::of_server(&mut reader),
        daemon: reader.value(&options::DAEMON),
        umask,
        proc_name: reader.optional(&options::PROC_NAME),
        error_log: reader.value(&options::ERROR_LOG),
        log_level: reader.optional(&options::SERVER_LOG_LEVEL),
        statsd: statsd(&mut reader),
        access_log: None,
        request_ids: request_ids(&mut reader, &trusted_proxies),
        trusted_proxies,
        request_id_echo: reader.value(&options::REQUEST_ID_ECHO),
    };
    let log = reader.placed(&options::ACCESS_LOG).map(|(value, place)| Placed { place, value });
    reader.finish();
    let listen = match listens {
        Listens::Never(_) => Vec::new(),
        _ => listen(Placed { place, value: addresses }, &common, bases, problems),
    };
    let leads_nowhere =
        listen.iter().any(|listener| listener.redirect_https) && !listen.iter().any(|listener| listener.tls);
    if leads_nowhere {
        let place = redirect.map_or(Place::Nowhere, |(_, place)| place);
        let message =
            "there is no TLS listener to redirect to; add one to \"listen\", such as \"0.0.0.0:443\"".to_owned();
        problems.push(Problem { place, key: "server.redirect_https".to_owned(), message });
    }
    let access_log = access_log(log, bases, problems);
    (ServerConfig { listen, access_log, ..config }, listens)
}

/// Where metrics are sent, if anywhere.
fn statsd(reader: &mut Reader<'_>) -> Option<StatsdConfig> {
    let (prefix, tags) = (reader.value(&options::STATSD_PREFIX), reader.value(&options::DOGSTATSD_TAGS));
    reader.optional(&options::STATSD_HOST).map(|target| StatsdConfig { target, prefix, tags })
}
