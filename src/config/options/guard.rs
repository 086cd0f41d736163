//! Options that say whose requests are served and how often: of `[[route]]`, and of `[server]` for every route that says nothing of its own.

use super::{Default, Opt, Section, Spec, Unit};
use crate::base::bounds::{BODY_BYTES_MAX, LIMIT_KEYS_MAX, LIMIT_KEYS_MIN, RATE_BURST_MAX, ROUTE_CONNECTIONS_MAX};
use crate::config::guard::{LimitKey, LimitLog};
use crate::config::guard_values::{self, Delay, Period};
use crate::config::read;
use crate::config::value::Value;
use crate::limits::Whom;
use std::path::PathBuf;

/// The keys that both tables have.
pub static GUARD_KEYS: &[&Spec] = &[
    &ALLOW.spec,
    &DENY.spec,
    &ACCESS.spec,
    &SATISFY.spec,
    &AUTH.spec,
    &LIMIT.spec,
    &CONNECTIONS.spec,
    &LIMIT_RATE.spec,
    &LIMIT_RATE_AFTER.spec,
];

pub static LIMIT_TABLE: Section = Section {
    name: "route.limit",
    header: "limit = { … }",
    doc: "A bound on how often requests may come, in a route or in `[server]`; a list of tables bounds them in several ways, each of which must be \
          kept to. A request over it is answered with 429, `Retry-After` and the fields `RateLimit-Limit`, `RateLimit-Remaining` and \
          `RateLimit-Reset`. What is counted is shared by all shards and exact; it outlives a reload. `\"20/s\"` alone is a table with that \
          `rate`; `[]` in a route lifts the limits of `[server]`.",
    options: &[
        &RATE.spec,
        &BURST.spec,
        &DELAY.spec,
        &LIMIT_KEY.spec,
        &ZONE.spec,
        &KEYS.spec,
        &LIMIT_STATUS.spec,
        &ANNOUNCE.spec,
        &DRY_RUN.spec,
        &LOG_LEVEL.spec,
    ],
};
pub static CONNECTIONS_TABLE: Section = Section {
    name: "route.connections",
    header: "connections = { … }",
    doc: "A bound on how many requests may be in progress at the same time, in a route or in `[server]`; a number alone is `per_address`.",
    options: &[&PER_ADDRESS.spec, &IN_ALL.spec, &ZONE.spec, &CONNECTIONS_STATUS.spec, &DRY_RUN.spec, &LOG_LEVEL.spec],
};
pub static AUTH_TABLE: Section = Section {
    name: "route.auth",
    header: "auth = { … }",
    doc: "Users and passwords (HTTP's Basic scheme), in a route or in `[server]`; `false` in a route lets everybody in. The user's name reaches the \
          application as `REMOTE_USER`. Passwords are verified beside the shards, a bounded number at a time.",
    options: &[&HTPASSWD.spec, &REALM.spec],
};

pub static ALLOW: Opt<Vec<Whom>> = Opt {
    spec: Spec::new(
        "allow",
        Unit::Texts("an address or network, \"unix:\" or \"all\", or a list of them"),
        Default::Described("everybody"),
        "Clients that are let in; others get 403. What `deny` names is tried first, so it can leave out a part of it.",
    ),
    read: guard_values::whom,
};
pub static DENY: Opt<Vec<Whom>> = Opt {
    spec: Spec::new(
        "deny",
        Unit::Texts("an address or network, \"unix:\" or \"all\", or a list of them"),
        Default::Described("nobody"),
        "Clients that get 403. \"all\" counts last: it means those whom `allow` does not name.",
    ),
    read: guard_values::whom,
};
pub static ACCESS: Opt<Vec<(bool, Whom)>> = Opt {
    spec: Spec::new(
        "access",
        Unit::Texts("a list of rules such as \"allow 10.0.0.0/8\" and \"deny all\""),
        Default::Described("`allow` and `deny`"),
        "In place of `allow` and `deny`: rules in an order, of which the first that fits decides, exactly as nginx's directives.",
    ),
    read: guard_values::access,
};
pub static SATISFY: Opt<bool> = Opt {
    spec: Spec::new(
        "satisfy",
        Unit::Text("\"all\" or \"any\""),
        Default::Toml("\"all\""),
        "Whether a client needs a good address and a password, or (\"any\") one of them.",
    ),
    read: guard_values::satisfy,
};
/// Read by `config::guard`: a table of its own.
pub static AUTH: Opt<Value> = Opt {
    spec: Spec::new(
        "auth",
        Unit::Described("a table of `htpasswd` and `realm`, or `false`"),
        Default::Described("none"),
        "Asks for a user and a password, see `auth = { … }`.",
    )
    .elsewhere(&["auth_basic", "auth_basic_user_file"]),
    read: read::raw,
};
/// Read by `config::guard_limits`: a table of its own, or several.
pub static LIMIT: Opt<Value> = Opt {
    spec: Spec::new(
        "limit",
        Unit::Described("a rate such as \"20/s\", a table, or a list of tables"),
        Default::Described("none"),
        "Bounds how often requests come, see `limit = { … }`.",
    )
    .elsewhere(&["limit_req", "limit_req_zone"]),
    read: read::raw,
};
/// Read by `config::guard`: a table of its own.
pub static CONNECTIONS: Opt<Value> = Opt {
    spec: Spec::new(
        "connections",
        Unit::Described("a number or a table"),
        Default::Described("none"),
        "Bounds how many requests are in progress, see `connections = { … }`.",
    )
    .elsewhere(&["limit_conn", "limit_conn_zone"]),
    read: read::raw,
};
pub static LIMIT_RATE: Opt<u64> = Opt {
    spec: Spec::new(
        "limit_rate",
        Unit::Size { max: BODY_BYTES_MAX },
        Default::Toml("0"),
        "Bytes a second of one response, as nginx's; 0 is as fast as the client takes them. What a second allows goes out at once. The \
         application's `X-Accel-Limit-Rate` counts more.",
    ),
    read: read::size,
};
pub static LIMIT_RATE_AFTER: Opt<u64> = Opt {
    spec: Spec::new(
        "limit_rate_after",
        Unit::Size { max: BODY_BYTES_MAX },
        Default::Toml("0"),
        "Bytes of a response that go out before its rate is limited.",
    ),
    read: read::size,
};

pub static RATE: Opt<Period> = Opt {
    spec: Spec::new(
        "rate",
        Unit::Text("requests and a period, such as \"20/s\", \"300/m\" or \"5/10m\""),
        Default::Required,
        "Requests that may come in a period. They are spread evenly: \"600/m\" is one every 100 ms, and what may come faster says `burst`.",
    ),
    read: guard_values::rate,
};
pub static BURST: Opt<u64> = Opt {
    spec: Spec::new(
        "burst",
        Unit::Count { min: 0, max: RATE_BURST_MAX },
        Default::Toml("0"),
        "Requests that may come ahead of the rate, as nginx's.",
    ),
    read: read::count_u64,
};
pub static DELAY: Opt<Delay> = Opt {
    spec: Spec::new(
        "delay",
        Unit::Described("true, false, or a number"),
        Default::Toml("false"),
        "Whether requests within the burst wait for their turn, so that they go on evenly: `true` is what nginx does without `nodelay`; a number says \
         how many do not wait, as nginx's `delay=`.",
    )
    .elsewhere(&["nodelay"]),
    read: guard_values::delay,
};
pub static LIMIT_KEY: Opt<Vec<LimitKey>> = Opt {
    spec: Spec::new(
        "key",
        Unit::Texts("\"address\", \"path\", \"host\", \"header:NAME\", \"cookie:NAME\" or \"all\", or a list of them"),
        Default::Toml("\"address\""),
        "What requests are counted by. An IPv6 client is its /64; behind a proxy the address is that of the proxy's client, if the proxy is trusted. A \
         list counts by all of it together; \"all\" counts every request. A request without the header or cookie is not counted, as in nginx.",
    ),
    read: guard_values::keys,
};
pub static ZONE: Opt<String> = Opt {
    spec: Spec::new(
        "zone",
        Unit::Text("a name"),
        Default::Described("one of its own for each route, and \"server\""),
        "Limits with the same zone count together. Metrics and the log name it.",
    ),
    read: guard_values::zone,
};
pub static KEYS: Opt<usize> = Opt {
    spec: Spec::new(
        "keys",
        Unit::Count { min: LIMIT_KEYS_MIN, max: LIMIT_KEYS_MAX },
        Default::Toml("65536"),
        "Keys that are remembered, for 16 bytes each; with more, those whose debt is over first are forgotten first.",
    ),
    read: read::count,
};
pub static LIMIT_STATUS: Opt<u16> = Opt {
    spec: Spec::new(
        "status",
        Unit::Count { min: 400, max: 599 },
        Default::Toml("429"),
        "The answer to a request over the limit; nginx's default is 503.",
    )
    .elsewhere(&["limit_req_status"]),
    read: read::status,
};
pub static ANNOUNCE: Opt<bool> = Opt {
    spec: Spec::new(
        "announce",
        Unit::Bool,
        Default::Toml("false"),
        "Whether the answers to requests within the limit say how much is left, too.",
    ),
    read: read::boolean,
};
pub static DRY_RUN: Opt<bool> = Opt {
    spec: Spec::new(
        "dry_run",
        Unit::Bool,
        Default::Toml("false"),
        "`true`: requests over the limit are counted and logged, and served.",
    )
    .elsewhere(&["limit_req_dry_run", "limit_conn_dry_run"]),
    read: read::boolean,
};
pub static LOG_LEVEL: Opt<LimitLog> = Opt {
    spec: Spec::new(
        "log_level",
        Unit::Text("\"error\", \"warn\", \"info\" or \"off\""),
        Default::Toml("\"warn\""),
        "How the log tells of requests over the limit, at most once a second, with how many there were; of delayed ones it tells one level lower.",
    )
    .elsewhere(&["limit_req_log_level", "limit_conn_log_level"]),
    read: guard_values::log_level,
};
pub static PER_ADDRESS: Opt<u64> = Opt {
    spec: Spec::new(
        "per_address",
        Unit::Count { min: 1, max: ROUTE_CONNECTIONS_MAX },
        Default::Described("any number"),
        "Requests of one client (of one /64 for IPv6).",
    ),
    read: read::count_u64,
};
pub static IN_ALL: Opt<u64> = Opt {
    spec: Spec::new(
        "in_all",
        Unit::Count { min: 1, max: ROUTE_CONNECTIONS_MAX },
        Default::Described("any number"),
        "Requests of all clients.",
    ),
    read: read::count_u64,
};
pub static CONNECTIONS_STATUS: Opt<u16> = Opt {
    spec: Spec::new(
        "status",
        Unit::Count { min: 400, max: 599 },
        Default::Toml("503"),
        "The answer to one request more.",
    )
    .elsewhere(&["limit_conn_status"]),
    read: read::status,
};
pub static HTPASSWD: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "htpasswd",
        Unit::Path,
        Default::Required,
        "File of users and hashed passwords: bcrypt (`htpasswd -B`), argon2, MD5 (`$apr1$`, `$1$`) and SHA-1 (`{SHA}`, `{SSHA}`). It is looked at \
         every two seconds, and read again when it has changed.",
    )
    .elsewhere(&["auth_basic_user_file", "file", "users"]),
    read: read::path,
};
pub static REALM: Opt<String> = Opt {
    spec: Spec::new(
        "realm",
        Unit::Text("a text"),
        Default::Toml("\"Restricted\""),
        "What the client's dialogue names.",
    ),
    read: guard_values::realm,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(ALLOW DENY ACCESS SATISFY AUTH LIMIT CONNECTIONS LIMIT_RATE LIMIT_RATE_AFTER RATE BURST DELAY LIMIT_KEY ZONE KEYS);
        assert_defaults!(LIMIT_STATUS ANNOUNCE DRY_RUN LOG_LEVEL PER_ADDRESS IN_ALL CONNECTIONS_STATUS HTPASSWD REALM);
    }
}
