//! `[server]`: from its table to [`ServerConfig`].

use super::access_log::access_log;
use super::address::Listen;
use super::error::Problem;
use super::options;
use super::section::{Bases, Reader};
use super::types::ServerConfig;
use super::value::{Place, Placed, Table, Value};
use crate::base::bounds::LISTENERS_MAX;

/// `shards = "auto"`, until it is known whether there is an application.
pub const AUTO: usize = 0;

/// Reads `[server]`; `shards` may be [`AUTO`].
pub fn server(table: Table, bases: Bases<'_>, problems: &mut Vec<Problem>) -> ServerConfig {
    let mut reader = Reader::new(table, "server", options::SERVER.options, bases, problems);
    let (addresses, place) = match reader.placed(&options::LISTEN) {
        Some((value, place)) => (value, place),
        None => (reader.value(&options::LISTEN), Place::Nowhere),
    };
    let config = ServerConfig {
        listen: Vec::new(),
        shards: reader.value(&options::SHARDS).unwrap_or(AUTO),
        keepalive_timeout: reader.value(&options::KEEPALIVE_TIMEOUT),
        head_timeout: reader.value(&options::HEAD_TIMEOUT),
        body_timeout: reader.value(&options::BODY_TIMEOUT),
        send_timeout: reader.value(&options::SEND_TIMEOUT),
        max_connections: reader.value(&options::MAX_CONNECTIONS),
        max_body_bytes: reader.value(&options::MAX_BODY),
        backlog: reader.value(&options::BACKLOG),
        pidfile: reader.optional(&options::PIDFILE),
        access_log: None,
        request_ids: reader.value(&options::REQUEST_ID),
        request_id_echo: reader.value(&options::REQUEST_ID_ECHO),
    };
    let log = reader.placed(&options::ACCESS_LOG).map(|(value, place)| Placed { place, value });
    reader.finish();
    let access_log = access_log(log, bases, problems);
    ServerConfig { listen: listen(Placed { place, value: addresses }, bases, problems), access_log, ..config }
}

/// One address or a list of them, each a string or a table.
fn listen(placed: Placed, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Vec<Listen> {
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
    let mut found = Vec::new();
    for item in items {
        let Some(Placed { place, value }) = address_of(item, bases, problems) else {
            continue;
        };
        let base = if matches!(place, Place::File { .. }) { bases.file } else { bases.working };
        let address = match &value {
            Value::Text(text) => Listen::parse(text, base),
            other => Err(format!("must be {}, not {}", options::LISTEN.spec.unit, other.kind())),
        };
        let unique = address.and_then(|address| {
            let chosen_by_kernel = matches!(&address, Listen::Tcp(tcp) if tcp.port() == 0);
            let twice = found.contains(&address) && !chosen_by_kernel;
            if twice { Err(format!("{address} is listed twice")) } else { Ok(address) }
        });
        match unique {
            Ok(address) => found.push(address),
            Err(message) => problems.push(Problem { place, key: KEY.to_owned(), message }),
        }
    }
    found
}

/// Keys of a `listen` entry in the form of a table.
static LISTEN_KEYS: &[&options::Spec] = &[&options::LISTEN_ADDRESS.spec];

/// The address of an entry in the form of a table; other entries as they are.
fn address_of(item: Placed, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Option<Placed> {
    let Value::Table(table) = item.value else {
        return Some(item);
    };
    let mut reader = Reader::new(table, "server.listen", LISTEN_KEYS, bases, problems);
    let given = reader.has(&options::LISTEN_ADDRESS);
    let address = reader.placed(&options::LISTEN_ADDRESS);
    if !given {
        reader.problem(item.place, "", "must have an \"address\"");
    }
    reader.finish();
    address.map(|(text, place)| Placed { place, value: Value::Text(text) })
}
