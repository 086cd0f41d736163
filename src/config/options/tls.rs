//! Options of `[[tls]]`: certificates, and what is agreed on with clients.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::read;
use crate::config::tls::{self, ClientAuth, Preset, TlsVersion};
use crate::config::types::HostPattern;
use std::path::PathBuf;

pub static TLS: Section = Section {
    name: "tls",
    header: "[[tls]]",
    doc: "Certificates of the TLS listeners. A client that names a host (SNI) gets the entry with that name, else the one with \
          the wildcard that fits, else the first. The files are read again on SIGHUP and when they change.",
    options: &[
        &NAMES.spec,
        &CERT.spec,
        &KEY.spec,
        &OCSP.spec,
        &TLS_ACME.spec,
        &PRESET.spec,
        &MIN_VERSION.spec,
        &ALPN.spec,
        &CLIENT_AUTH.spec,
        &CLIENT_CA.spec,
        &TICKETS.spec,
        &HSTS.spec,
    ],
};

pub static NAMES: Opt<Vec<HostPattern>> = Opt {
    spec: Spec::new(
        "names",
        Unit::Texts("a name or a list of names, each without port, or `*.` and a name"),
        Default::Described("those in its certificates"),
        "Hosts that the entry is for: \"example.com\", or \"*.example.com\" for the names one label below it.",
    )
    .elsewhere(&["server_name", "name"]),
    read: tls::names,
};
pub static CERT: Opt<Vec<PathBuf>> = Opt {
    spec: Spec::new(
        "cert",
        Unit::Texts("a path or a list of paths"),
        Default::Described("none; it or `acme` must be given"),
        "PEM file with the certificate and the intermediate ones behind it; a list for several keys, such as ECDSA and RSA.",
    )
    .elsewhere(&["ssl_certificate", "certfile", "certificate"]),
    read: tls::paths,
};
pub static KEY: Opt<Vec<PathBuf>> = Opt {
    spec: Spec::new(
        "key",
        Unit::Texts("a path or a list of paths"),
        Default::Described("none; given with `cert`"),
        "PEM file with the private key (PKCS#8, PKCS#1 or SEC1, not encrypted); a list in the order of `cert`.",
    )
    .elsewhere(&["ssl_certificate_key", "keyfile"]),
    read: tls::paths,
};
pub static OCSP: Opt<Vec<PathBuf>> = Opt {
    spec: Spec::new(
        "ocsp",
        Unit::Texts("a path or a list of paths"),
        Default::Described("none"),
        "File with a DER encoded OCSP response that is stapled; a list in the order of `cert`.",
    )
    .elsewhere(&["ssl_stapling_file"]),
    read: tls::paths,
};
pub static TLS_ACME: Opt<bool> = Opt {
    spec: Spec::new(
        "acme",
        Unit::Bool,
        Default::Toml("false"),
        "`true`: the server gets and renews the certificate by itself, as `[acme]` says, instead of `cert` and `key`. `names` must be \
         given, without wildcards.",
    )
    .elsewhere(&["acme_certificate"]),
    read: read::boolean,
};
pub static PRESET: Opt<Preset> = Opt {
    spec: Spec::new(
        "preset",
        Unit::Text("\"modern\" or \"intermediate\""),
        Default::Toml("\"intermediate\""),
        "Versions and cipher suites after Mozilla's lists: \"modern\" is TLS 1.3 alone, \"intermediate\" TLS 1.2 with forward \
         secrecy and AEAD as well.",
    )
    .elsewhere(&["ssl_ciphers", "ciphers"]),
    read: tls::preset,
};
pub static MIN_VERSION: Opt<TlsVersion> = Opt {
    spec: Spec::new(
        "min_version",
        Unit::Text("\"1.2\" or \"1.3\""),
        Default::Described("that of the preset"),
        "Oldest version of TLS that is spoken.",
    )
    .elsewhere(&["ssl_protocols", "ssl_version"]),
    read: tls::version,
};
pub static ALPN: Opt<Vec<String>> = Opt {
    spec: Spec::new(
        "alpn",
        Unit::Texts("\"http/1.1\", \"http/1.0\" or a list of them"),
        Default::Toml("\"http/1.1\""),
        "Protocols that are agreed on by ALPN; `[]` leaves ALPN out.",
    ),
    read: tls::alpn,
};
pub static CLIENT_AUTH: Opt<ClientAuth> = Opt {
    spec: Spec::new(
        "client_auth",
        Unit::Text("\"none\", \"optional\" or \"required\""),
        Default::Toml("\"none\""),
        "Whether clients are asked for a certificate; the application finds it in `SSL_CLIENT_VERIFY` and `SSL_CLIENT_S_DN`.",
    )
    .elsewhere(&["ssl_verify_client", "cert_reqs"]),
    read: tls::client_auth,
};
pub static CLIENT_CA: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "client_ca",
        Unit::Path,
        Default::Described("none"),
        "PEM file with the certificates that clients' certificates must be issued by.",
    )
    .elsewhere(&["ssl_client_certificate", "ca_certs"]),
    read: read::path,
};
pub static TICKETS: Opt<bool> = Opt {
    spec: Spec::new(
        "tickets",
        Unit::Bool,
        Default::Toml("true"),
        "Let clients resume sessions by tickets; their keys are in memory alone and change every six hours.",
    )
    .elsewhere(&["ssl_session_tickets"]),
    read: read::boolean,
};
pub static HSTS: Opt<String> = Opt {
    spec: Spec::new(
        "hsts",
        Unit::Text("a field value with `max-age`"),
        Default::Described("none"),
        "`Strict-Transport-Security` of all responses over TLS that have none of their own, such as \"max-age=31536000\".",
    ),
    read: tls::hsts,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(NAMES CERT KEY OCSP PRESET MIN_VERSION ALPN CLIENT_AUTH CLIENT_CA TICKETS HSTS);
    }
}
