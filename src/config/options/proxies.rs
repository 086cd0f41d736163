//! Options of `[server]`: whose word on the clients of requests counts.

use super::{Default, Opt, Spec, Unit};
use crate::config::proxies::{forwarded_headers, peers};
use crate::http::Trust;
use crate::http::trust::Family;

pub static TRUSTED_PROXIES: Opt<Trust> = Opt {
    spec: Spec::new(
        "trusted_proxies",
        Unit::Texts("an address or network, \"unix:\", or a list of them"),
        Default::Toml("[]"),
        "Peers that are proxies and say the truth about their clients, as in `[\"10.0.0.0/8\", \"::1\", \"unix:\"]`; \"unix:\" is every \
         peer of a unix socket, \"*\" everybody. What they say in X-Forwarded-For, -Proto, -Host and -Port, X-Real-IP or Forwarded is \
         believed, up to the first hop that is not one of them. From anybody else such fields never reach the application. A reload \
         takes changes over.",
    )
    .elsewhere(&["set_real_ip_from", "forwarded_allow_ips", "proxy_allow_ips", "proxy_allow_from"]),
    read: peers,
};
pub static FORWARDED_HEADERS: Opt<Family> = Opt {
    spec: Spec::new(
        "forwarded_headers",
        Unit::Text("\"auto\", \"x-forwarded\" or \"forwarded\""),
        Default::Toml("\"auto\""),
        "What `trusted_proxies` set: the fields that begin with X-Forwarded-, and X-Real-IP (\"x-forwarded\"), or Forwarded of RFC 7239 \
         (\"forwarded\"). \"auto\" takes the first where a request has any of them. For proxies that set Forwarded alone say so: they let \
         the others pass as clients send them.",
    )
    .elsewhere(&["real_ip_header", "secure_scheme_headers"]),
    read: forwarded_headers,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(TRUSTED_PROXIES FORWARDED_HEADERS);
    }
}
