//! Options of `[server]`: where to listen, and what is spoken there.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::owner::{Owner, owner};
use crate::config::value::Value;
use crate::config::{program_values, read};

pub static LISTEN_TABLE: Section = Section {
    name: "server.listen",
    header: "listen = { … }",
    doc: "One address to listen on, in the form of a table: `listen = [{ address = \"0.0.0.0:443\" }, { address = \"10.0.0.5:8080\", proxy_protocol \
          = true }]`.",
    options: &[
        &LISTEN_ADDRESS.spec,
        &LISTEN_TLS.spec,
        &LISTEN_REDIRECT_HTTPS.spec,
        &LISTEN_PROXY_PROTOCOL.spec,
        &LISTEN_IPV6ONLY.spec,
        &LISTEN_MODE.spec,
        &LISTEN_OWNER.spec,
    ],
};

pub static LISTEN: Opt<Value> = Opt {
    spec: Spec::new(
        "listen",
        Unit::Texts("an address or a list of addresses, each a string or a table `{ address = \"…\", tls = true }`"),
        Default::Toml("\"127.0.0.1:8000\""),
        "Address to listen on: \"127.0.0.1:8000\", \"[::1]:8000\", \":8000\" (any IPv4 address), \"unix:/run/site.sock\", the name of a host with a port, or \"fd://3\", a socket that listens and was passed on by whoever started the server. TLS is \
         spoken on port 443, and where the address begins with `https://`. A table says more, see `listen = { … }`.",
    )
    .flag("--bind")
    .variable("PORT")
    .elsewhere(&["bind"]),
    read: read::raw,
};
pub static LISTEN_ADDRESS: Opt<String> = Opt {
    spec: Spec::new("address", Unit::Text("an address"), Default::Required, "Address to listen on."),
    read: read::text,
};
pub static LISTEN_TLS: Opt<bool> = Opt {
    spec: Spec::new(
        "tls",
        Unit::Bool,
        Default::Described("true for port 443"),
        "Whether TLS is spoken, with the certificates of `[[tls]]`.",
    )
    .elsewhere(&["ssl"]),
    read: read::boolean,
};
pub static LISTEN_REDIRECT_HTTPS: Opt<bool> = Opt {
    spec: Spec::new(
        "redirect_https",
        Unit::Bool,
        Default::Described("that of `[server]`"),
        "Whether requests are sent on to HTTPS.",
    ),
    read: read::boolean,
};
pub static LISTEN_PROXY_PROTOCOL: Opt<bool> = Opt {
    spec: Spec::new(
        "proxy_protocol",
        Unit::Bool,
        Default::Toml("false"),
        "Whether every connection begins with a PROXY header, version 1 or 2, in which a balancer (HAProxy's `send-proxy`, AWS' network load \
         balancers) says who its client is; that address then is the peer's for everything. Only `trusted_proxies` may connect: all others, and \
         connections without a good header of at most 4096 bytes within `head_timeout`, are closed.",
    )
    .elsewhere(&["accept-proxy"]),
    read: read::boolean,
};

pub static LISTEN_IPV6ONLY: Opt<bool> = Opt {
    spec: Spec::new(
        "ipv6only",
        Unit::Bool,
        Default::Described("true where the same port is listened on for IPv4 too, else false"),
        "Whether \"[::]:PORT\" leaves IPv4 alone. If it does not, clients over IPv4 connect there too, and are known by their IPv4 address.",
    ),
    read: read::boolean,
};
pub static LISTEN_MODE: Opt<u32> = Opt {
    spec: Spec::new(
        "mode",
        Unit::Text("a string of octal digits up to \"777\""),
        Default::Described("\"666\": whoever reaches the path may connect"),
        "Permissions of a unix socket.",
    ),
    read: program_values::octal,
};
pub static LISTEN_OWNER: Opt<Owner> = Opt {
    spec: Spec::new(
        "owner",
        Unit::Text("a user, a user and a group as in \"www-data:adm\", or a group as in \":adm\""),
        Default::Described("the user and group that the server was started as"),
        "Whose a unix socket is.",
    ),
    read: owner,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(LISTEN LISTEN_ADDRESS LISTEN_TLS LISTEN_REDIRECT_HTTPS LISTEN_PROXY_PROTOCOL LISTEN_IPV6ONLY LISTEN_MODE LISTEN_OWNER);
    }
}
