//! Whose requests are served and how often: the checked form of the keys that routes and `[server]` share, and how it is read.
//!
//! Owns their inheritance, which is nginx's: what a route does not say `[server]` says for it, and what it says stands alone. `limits` applies the
//! rules.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::guard_limits::{connections_of, limits_of};
use super::options;
use super::read::not;
use super::section::{Bases, Reader};
use super::types::HostPattern;
use super::value::{Place, Placed, Table, Value};
use crate::base::bounds::HTPASSWD_BYTES_MAX;
use crate::limits::{AccessRules, Rate, Whom};

/// What stands between a request and the handler of its route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardConfig {
    /// Who is let in by address.
    pub access: AccessRules,
    /// A good address or a password is enough; otherwise both are needed.
    pub satisfy_any: bool,
    /// Who is let in by password; `None`: none is asked for.
    pub auth: Option<AuthConfig>,
    /// How often requests may come.
    pub limits: Vec<LimitConfig>,
    /// How many may be in progress.
    pub connections: Option<ConnectionsConfig>,
    /// Bytes a second of a response; 0: any number.
    pub limit_rate: u64,
    /// Bytes of a response that go out before that.
    pub limit_rate_after: u64,
}

/// A password that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// The file of users; could be read when the configuration was.
    pub htpasswd: PathBuf,
    /// Visible ASCII without quotes and backslashes.
    pub realm: String,
}

/// A bound on how often requests come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitConfig {
    /// What it counts together with other limits of this name, which have the same rate and keys.
    pub zone: String,
    /// How often.
    pub rate: Rate,
    /// What requests are counted by; empty: all together.
    pub keys: Vec<LimitKey>,
    /// Keys that are remembered.
    pub keys_max: usize,
    /// The answer to what is over it.
    pub status: u16,
    /// Answers to what is within it say what is left.
    pub announce: bool,
    /// Nothing is refused and nothing waits.
    pub dry_run: bool,
    /// How the log tells of it.
    pub log: LimitLog,
}

/// A bound on how many requests are in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionsConfig {
    /// What it counts together with others of this name.
    pub zone: String,
    /// Of one address; `u64::MAX`: any number.
    pub per_address: u64,
    /// Of all; `u64::MAX`: any number.
    pub in_all: u64,
    /// The answer to one more.
    pub status: u16,
    /// Nothing is refused.
    pub dry_run: bool,
    /// How the log tells of it.
    pub log: LimitLog,
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// The client's address, its /64 if it is an IPv6 one.
    Address,
    /// The path in its normal form.
    Path,
    /// The host that is asked for.
    Host,
    /// The value of this field.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}

/// How the log tells of requests over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitLog {
    /// Not at all.
    Off,
    /// As information.
    Info,
    /// As a warning.
    Warn,
    /// As an error.
    Error,
}

/// The same before anything is inherited: `None` is what was not said.
#[derive(Debug, Clone, Default)]
pub(super) struct GuardOptions {
    access: Option<AccessRules>,
    satisfy_any: Option<bool>,
    auth: Option<Option<AuthConfig>>,
    limits: Option<Vec<LimitConfig>>,
    connections: Option<ConnectionsConfig>,
    limit_rate: Option<u64>,
    limit_rate_after: Option<u64>,
}

impl GuardOptions {
    /// With what `server` says of all that is not said here.
    pub fn or(self, server: &GuardOptions) -> GuardConfig {
        let server = server.clone();
        GuardConfig {
            access: self.access.or(server.access).unwrap_or_default(),
            satisfy_any: self.satisfy_any.or(server.satisfy_any).unwrap_or_default(),
            auth: self.auth.or(server.auth).unwrap_or_default(),
            limits: self.limits.or(server.limits).unwrap_or_default(),
            connections: self.connections.or(server.connections),
            limit_rate: self.limit_rate.or(server.limit_rate).unwrap_or_default(),
            limit_rate_after: self.limit_rate_after.or(server.limit_rate_after).unwrap_or_default(),
        }
    }
}

impl GuardOptions {
    /// Gives limits without a zone one that has its name from `base`.
    pub fn name_zones(mut self, base: &str) -> GuardOptions {
        for (index, limit) in self.limits.iter_mut().flatten().enumerate() {
            if limit.zone.is_empty() {
                limit.zone = if index == 0 { base.to_owned() } else { format!("{base} {}", index + 1) };
            }
        }
        if let Some(connections) = self.connections.as_mut().filter(|connections| connections.zone.is_empty()) {
            // Rates may have the plain name: what is counted is another thing.
            connections.zone = format!("{base} in progress");
        }
        self
    }
}

impl GuardConfig {
    /// Whether every request is let through as it comes.
    pub fn is_open(&self) -> bool {
        *self
            == GuardConfig {
                limit_rate_after: self.limit_rate_after,
                satisfy_any: self.satisfy_any,
                ..GuardConfig::default()
            }
    }
}

/// Takes the keys out of a route's table, or `[server]`'s, called `name`, and reads them.
pub(super) fn guard(table: &mut Table, name: &str, bases: Bases<'_>, problems: &mut Vec<Problem>) -> GuardOptions {
    let mut own = Table::default();
    for spec in options::GUARD_KEYS {
        if let Some(placed) = table.take(spec.name) {
            own.set(spec.name, placed);
        }
    }
    let mut reader = Reader::new(own, name, options::GUARD_KEYS, bases, problems);
    let lists = (reader.placed(&options::ALLOW), reader.placed(&options::DENY));
    let access = match (reader.placed(&options::ACCESS), lists) {
        (Some((_, place)), (Some(_), _) | (_, Some(_))) => {
            reader.problem(place, "access", "stands in place of \"allow\" and \"deny\": remove either");
            None
        }
        (Some((rules, _)), _) => Some(AccessRules::new(rules)),
        (None, (None, None)) => None,
        (None, (allow, deny)) => {
            let list = |given: Option<(Vec<Whom>, Place)>| given.map(|(list, _)| list).unwrap_or_default();
            Some(AccessRules::of_lists(list(allow), list(deny)))
        }
    };
    let satisfy_any = reader.optional(&options::SATISFY);
    let limit_rate = reader.optional(&options::LIMIT_RATE);
    let limit_rate_after = reader.optional(&options::LIMIT_RATE_AFTER);
    let tables = [reader.placed(&options::AUTH), reader.placed(&options::LIMIT), reader.placed(&options::CONNECTIONS)];
    reader.finish();
    let [auth, limit, connections] = tables.map(|found| found.map(|(value, place)| Placed { place, value }));
    GuardOptions {
        access,
        satisfy_any,
        auth: auth.and_then(|placed| auth_of(placed, name, bases, problems)),
        limits: limit.map(|placed| limits_of(placed, name, bases, problems)),
        connections: connections.and_then(|placed| connections_of(placed, name, bases, problems)),
        limit_rate,
        limit_rate_after,
    }
}

/// The zone of a route's limits that name none: its host and path.
pub(super) fn zone_of(host: &HostPattern, path: &str) -> String {
    match host {
        HostPattern::Any => path.to_owned(),
        HostPattern::Exact(host) => format!("{host}{path}"),
        HostPattern::Suffix(suffix) => format!("*{suffix}{path}"),
    }
}

fn auth_of(placed: Placed, name: &str, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Option<Option<AuthConfig>> {
    let key = format!("{name}.auth");
    let table = match placed.value {
        Value::Bool(false) => return Some(None),
        Value::Table(table) => table,
        other => {
            let message = not(options::AUTH.spec.unit, &other);
            problems.push(Problem { place: placed.place, key, message });
            return None;
        }
    };
    let mut reader = Reader::new(table, &key, options::AUTH_TABLE.options, bases, problems);
    if !reader.has(&options::HTPASSWD) {
        reader.problem(placed.place, "", "must name a file with \"htpasswd\"");
    }
    let htpasswd = reader.placed(&options::HTPASSWD).and_then(|(path, place)| match read_htpasswd(&path) {
        Ok(_) => Some(path),
        Err(message) => {
            reader.problem(place, options::HTPASSWD.spec.name, message);
            None
        }
    });
    let realm = reader.value(&options::REALM);
    reader.finish();
    Some(Some(AuthConfig { htpasswd: htpasswd?, realm }))
}

/// The content of a file of users.
///
/// # Errors
/// A sentence: it can't be read, or is too large.
pub fn read_htpasswd(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("{} can't be read: {error}", path.display());
    let file = File::open(path).map_err(wrong)?;
    if !file.metadata().map_err(wrong)?.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    let mut content = Vec::new();
    file.take(HTPASSWD_BYTES_MAX + 1).read_to_end(&mut content).map_err(wrong)?;
    if content.len() as u64 > HTPASSWD_BYTES_MAX {
        return Err(format!("{} has more than {HTPASSWD_BYTES_MAX} bytes", path.display()));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_route_says_stands_alone_and_what_it_does_not_say_is_the_server_s() {
        let server = GuardOptions {
            access: Some(AccessRules::of_lists(vec![Whom::Unix], Vec::new())),
            auth: Some(Some(AuthConfig { htpasswd: PathBuf::from("/a"), realm: "r".to_owned() })),
            limit_rate: Some(7),
            ..GuardOptions::default()
        };
        let inherited = GuardOptions::default().or(&server);
        assert!(!inherited.access.is_empty() && inherited.auth.is_some() && inherited.limit_rate == 7);
        let own = GuardOptions {
            access: Some(AccessRules::default()),
            auth: Some(None),
            limits: Some(Vec::new()),
            limit_rate: Some(0),
            ..GuardOptions::default()
        };
        assert!(own.or(&server).is_open());
        assert!(!inherited.is_open());
    }
}
