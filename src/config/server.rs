//! `[server]`: from its table to [`ServerConfig`].

use std::sync::Arc;

use super::access_log::access_log;
use super::address::{Listen, Listener, PORT_HTTPS};
use super::compress;
use super::error::Problem;
use super::options;
use super::proxies::{request_ids, trusted_proxies};
use super::section::{Bases, Reader};
use super::types::ServerConfig;
use super::value::{Place, Placed, Table, Value};
use crate::base::bounds::LISTENERS_MAX;

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
    let config = ServerConfig {
        listen: Vec::new(),
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
        pidfile: reader.optional(&options::PIDFILE),
        compress: compress::of_server(&mut reader),
        access_log: None,
        request_ids: request_ids(&mut reader, &trusted_proxies),
        trusted_proxies,
        request_id_echo: reader.value(&options::REQUEST_ID_ECHO),
    };
    let log = reader.placed(&options::ACCESS_LOG).map(|(value, place)| Placed { place, value });
    reader.finish();
    let listen = match listens {
        Listens::Never(_) => Vec::new(),
        _ => listen(Placed { place, value: addresses }, has_tls, redirect_https, bases, problems),
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

/// One address or a list of them, each a string or a table.
fn listen(
    placed: Placed,
    has_tls: bool,
    redirect_https: bool,
    bases: Bases<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Listener> {
    const KEY: &str = "server.listen";
    let place = placed.place.clone();
    let items = match placed.value {
        Value::List(items) => items,
        _ => vec![placed],
    };
    if items.is_empty() || items.len() as u64 > LISTENERS_MAX {
        let message = format!("must have from 1 to {LISTENERS_MAX} addresses");
        problems.push(Problem { place, key: KEY.to_owned(), message });
        return Vec::new();
    }
    let mut found: Vec<Listener> = Vec::new();
    for item in items {
        let Some(entry) = entry_of(item, bases, problems) else {
            continue;
        };
        let place = entry.address.place.clone();
        match listener(entry, redirect_https, bases) {
            Ok(listener) if is_listed(&found, &listener.address) => {
                let message = format!("{} is listed twice", listener.address);
                problems.push(Problem { place, key: KEY.to_owned(), message });
            }
            Ok(listener) => {
                if listener.tls && !has_tls {
                    let message = format!(
                        "{listener} speaks TLS, but there is no [[tls]] with a certificate; `maitred cert` makes one for development"
                    );
                    problems.push(Problem { place, key: KEY.to_owned(), message });
                }
                found.push(listener);
            }
            Err(message) => problems.push(Problem { place, key: KEY.to_owned(), message }),
        }
    }
    found
}

fn is_listed(found: &[Listener], address: &Listen) -> bool {
    let chosen_by_kernel = matches!(address, Listen::Tcp(tcp) if tcp.port() == 0);
    !chosen_by_kernel && found.iter().any(|listener| listener.address == *address)
}

/// TLS is spoken where the table or the scheme says so, and otherwise on port 443.
fn listener(entry: Entry, redirect_https: bool, bases: Bases<'_>) -> Result<Listener, String> {
    let Placed { place, value } = entry.address;
    let base = if matches!(place, Place::File { .. }) { bases.file } else { bases.working };
    let Value::Text(text) = &value else {
        return Err(format!("must be {}, not {}", options::LISTEN.spec.unit, value.kind()));
    };
    let (text, scheme) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, Some(true)),
        (_, Some(rest)) => (rest, Some(false)),
        (None, None) => (text.as_str(), None),
    };
    let address = Listen::parse(text, base)?;
    if let (Some(tls), Some(scheme)) = (entry.tls, scheme)
        && tls != scheme
    {
        return Err("the scheme of \"address\" and \"tls\" contradict each other".to_owned());
    }
    let on_https_port = matches!(&address, Listen::Tcp(tcp) if tcp.port() == PORT_HTTPS);
    let tls = entry.tls.or(scheme).unwrap_or(on_https_port);
    if tls && entry.redirect_https == Some(true) {
        return Err("\"redirect_https\" has no meaning on a TLS listener".to_owned());
    }
    let by_default = redirect_https && matches!(address, Listen::Tcp(_));
    Ok(Listener { address, tls, redirect_https: !tls && entry.redirect_https.unwrap_or(by_default) })
}

/// One entry of `listen`.
struct Entry {
    address: Placed,
    tls: Option<bool>,
    redirect_https: Option<bool>,
}

/// Keys of a `listen` entry in the form of a table.
static LISTEN_KEYS: &[&options::Spec] =
    &[&options::LISTEN_ADDRESS.spec, &options::LISTEN_TLS.spec, &options::LISTEN_REDIRECT_HTTPS.spec];

fn entry_of(item: Placed, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Option<Entry> {
    let Value::Table(table) = item.value else {
        return Some(Entry { address: item, tls: None, redirect_https: None });
    };
    let mut reader = Reader::new(table, "server.listen", LISTEN_KEYS, bases, problems);
    let given = reader.has(&options::LISTEN_ADDRESS);
    let address = reader.placed(&options::LISTEN_ADDRESS);
    if !given {
        reader.problem(item.place, "", "must have an \"address\"");
    }
    let tls = reader.optional(&options::LISTEN_TLS);
    let redirect_https = reader.optional(&options::LISTEN_REDIRECT_HTTPS);
    reader.finish();
    let (text, place) = address?;
    Some(Entry { address: Placed { place, value: Value::Text(text) }, tls, redirect_https })
}
