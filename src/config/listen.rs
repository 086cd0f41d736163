//! `listen` of `[server]`: from addresses and tables to [`Listener`]s.
//!
//! Owns what holds between an address and what is spoken there. Called by [`super::server`].

use super::address::{Listen, Listener, PORT_HTTPS};
use super::error::Problem;
use super::options;
use super::owner::Owner;
use super::section::{Bases, Reader};
use super::value::{Placed, Value};
use crate::base::bounds::LISTENERS_MAX;
use crate::http::Trust;

/// What the rest of the configuration says about every listener.
pub(super) struct Common {
    /// There are certificates.
    pub has_tls: bool,
    /// Plain TCP listeners redirect by default.
    pub redirect_https: bool,
    /// Whose word on clients counts.
    pub trust: Trust,
    /// Permissions that sockets do not get unless they are said to have them.
    pub umask: u32,
}

impl Common {
    /// Whether anybody who is trusted could connect there.
    fn trusts_peers_of(&self, address: &Listen) -> bool {
        match address {
            Listen::Tcp(_) => !self.trust.networks.is_empty(),
            Listen::Unix(_) => self.trust.unix,
        }
    }
}

/// One address or a list of them, each a string or a table.
pub(super) fn listen(placed: Placed, common: &Common, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Vec<Listener> {
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
    let mut ipv6_only = Vec::new();
    for item in items {
        let Some(entry) = entry_of(item, bases, problems) else {
            continue;
        };
        let place = entry.address.place.clone();
        let said = entry.ipv6_only;
        match listener(entry, common, bases) {
            Ok(listener) if is_listed(&found, &listener.address) => {
                let message = format!("{} is listed twice", listener.address);
                problems.push(Problem { place, key: KEY.to_owned(), message });
            }
            Ok(listener) => {
                let mut wrong = |message| problems.push(Problem { place: place.clone(), key: KEY.to_owned(), message });
                if listener.tls && !common.has_tls {
                    wrong(format!(
                        "{listener} speaks TLS, but there is no [[tls]] with a certificate; `maitred cert` makes one for development"
                    ));
                }
                if listener.proxy_protocol && !common.trusts_peers_of(&listener.address) {
                    wrong(format!(
                        "{listener} takes PROXY headers from \"trusted_proxies\", none of which can connect there; name your balancer in them"
                    ));
                }
                found.push(listener);
                ipv6_only.push(said);
            }
            Err(message) => problems.push(Problem { place, key: KEY.to_owned(), message }),
        }
    }
    let ipv4_ports: Vec<_> = found.iter().filter_map(|listener| port(&listener.address, false)).collect();
    for (listener, said) in found.iter_mut().zip(ipv6_only) {
        let is_shared = port(&listener.address, true).is_some_and(|port| ipv4_ports.contains(&port));
        listener.ipv6_only = said.unwrap_or(is_shared);
    }
    found
}

fn is_ipv6(address: &Listen) -> bool {
    matches!(address, Listen::Tcp(tcp) if tcp.is_ipv6())
}

/// The port of an address of that family; `None` where the kernel chooses it.
fn port(address: &Listen, ipv6: bool) -> Option<u16> {
    match address {
        Listen::Tcp(tcp) if tcp.is_ipv6() == ipv6 => Some(tcp.port()).filter(|&port| port != 0),
        Listen::Tcp(_) | Listen::Unix(_) => None,
    }
}

fn is_listed(found: &[Listener], address: &Listen) -> bool {
    let chosen_by_kernel = matches!(address, Listen::Tcp(tcp) if tcp.port() == 0);
    !chosen_by_kernel && found.iter().any(|listener| listener.address == *address)
}

/// TLS is spoken where the table or the scheme says so, and otherwise on port 443.
fn listener(entry: Entry, common: &Common, bases: Bases<'_>) -> Result<Listener, String> {
    let Placed { place, value } = entry.address;
    let base = if place.is_in_file() { bases.file } else { bases.working };
    let Value::Text(text) = &value else {
        return Err(format!("must be {}, not {}", options::LISTEN.spec.unit, value.kind()));
    };
    let (text, scheme) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, Some(true)),
        (_, Some(rest)) => (rest, Some(false)),
        (None, None) => (text.as_str(), None),
    };
    let address = Listen::resolve(text, base)?;
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
    let by_default = common.redirect_https && matches!(address, Listen::Tcp(_));
    let redirect_https = !tls && entry.redirect_https.unwrap_or(by_default);
    let is_unix = matches!(address, Listen::Unix(_));
    if (entry.mode.is_some() || entry.owner.is_some()) && !is_unix {
        return Err("\"mode\" and \"owner\" are for unix sockets".to_owned());
    }
    if entry.ipv6_only.is_some() && !is_ipv6(&address) {
        return Err("\"ipv6only\" is for IPv6 addresses".to_owned());
    }
    let (proxy_protocol, owner) = (entry.proxy_protocol, entry.owner);
    let plain = Listener::plain(address);
    let mode = entry.mode.unwrap_or(plain.mode & !common.umask);
    Ok(Listener { tls, redirect_https, proxy_protocol, mode, owner, ..plain })
}

/// One entry of `listen`.
struct Entry {
    address: Placed,
    tls: Option<bool>,
    redirect_https: Option<bool>,
    proxy_protocol: bool,
    ipv6_only: Option<bool>,
    mode: Option<u32>,
    owner: Option<Owner>,
}

fn entry_of(item: Placed, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Option<Entry> {
    let Placed { place, value } = item;
    let Value::Table(table) = value else {
        let address = Placed { place, value };
        let (tls, redirect_https, ipv6_only, mode, owner) = (None, None, None, None, None);
        return Some(Entry { address, tls, redirect_https, proxy_protocol: false, ipv6_only, mode, owner });
    };
    let mut reader = Reader::new(table, options::LISTEN_TABLE.name, options::LISTEN_TABLE.options, bases, problems);
    let given = reader.has(&options::LISTEN_ADDRESS);
    let address = reader.placed(&options::LISTEN_ADDRESS);
    if !given {
        reader.problem(place, "", "must have an \"address\"");
    }
    let tls = reader.optional(&options::LISTEN_TLS);
    let redirect_https = reader.optional(&options::LISTEN_REDIRECT_HTTPS);
    let proxy_protocol = reader.value(&options::LISTEN_PROXY_PROTOCOL);
    let ipv6_only = reader.optional(&options::LISTEN_IPV6ONLY);
    let mode = reader.optional(&options::LISTEN_MODE);
    let owner = reader.optional(&options::LISTEN_OWNER);
    reader.finish();
    let (text, place) = address?;
    let address = Placed { place, value: Value::Text(text) };
    Some(Entry { address, tls, redirect_https, proxy_protocol, ipv6_only, mode, owner })
}
