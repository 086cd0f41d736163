//! Options of `[acme]`: certificates that the server gets by itself.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::acme::{self, ChallengeChoice};
use crate::config::read;
use std::path::PathBuf;
use std::time::Duration;

pub static ACME: Section = Section {
    name: "acme",
    header: "[acme]",
    doc: "Certificates from Let's Encrypt or another authority that speaks ACME (RFC 8555), for every `[[tls]]` with `acme = true`. \
          They are renewed at two thirds of their lifetime; a failed renewal is tried again later, and the old certificate goes on. \
          The authority must reach this server: on port 80 for HTTP-01, on port 443 for TLS-ALPN-01.",
    options: &[
        &ACME_ACCEPT_TERMS.spec,
        &ACME_EMAIL.spec,
        &ACME_DIRECTORY.spec,
        &ACME_STORAGE.spec,
        &ACME_CHALLENGE.spec,
        &ACME_CA_FILE.spec,
        &ACME_EAB_KEY_ID.spec,
        &ACME_EAB_KEY_FILE.spec,
        &ACME_RETRY.spec,
    ],
};

pub static ACME_ACCEPT_TERMS: Opt<bool> = Opt {
    spec: Spec::new(
        "accept_terms",
        Unit::Bool,
        Default::Required,
        "`true`: you agree to the authority's terms of service. No account is made without it.",
    )
    .elsewhere(&["accept_terms_of_service", "agree_tos"]),
    read: read::boolean,
};
pub static ACME_EMAIL: Opt<Vec<String>> = Opt {
    spec: Spec::new(
        "email",
        Unit::Texts("an address or a list of addresses"),
        Default::Toml("[]"),
        "Where the authority may write to.",
    )
    .elsewhere(&["contact"]),
    read: acme::emails,
};
pub static ACME_DIRECTORY: Opt<String> = Opt {
    spec: Spec::new(
        "directory",
        Unit::Text("a URL that begins with https://"),
        Default::Toml("\"https://acme-v02.api.letsencrypt.org/directory\""),
        "The authority. To try things out: \"https://acme-staging-v02.api.letsencrypt.org/directory\".",
    )
    .elsewhere(&["uri", "server"]),
    read: acme::directory,
};
pub static ACME_STORAGE: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "storage",
        Unit::Path,
        Default::Toml("\"/var/lib/maitred/acme\""),
        "Directory for the account, keys and certificates. It is made with mode 0700, what is in it with 0600. It must outlive a \
         restart: authorities limit how often they issue.",
    )
    .elsewhere(&["state_path"]),
    read: read::path,
};
pub static ACME_CHALLENGE: Opt<ChallengeChoice> = Opt {
    spec: Spec::new(
        "challenge",
        Unit::Text("\"auto\", \"http-01\" or \"tls-alpn-01\""),
        Default::Toml("\"auto\""),
        "How the authority sees that a name leads here. `auto` takes what the listeners allow, and after a failure the other one.",
    ),
    read: acme::challenge,
};
pub static ACME_CA_FILE: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "ca_file",
        Unit::Path,
        Default::Described("the system's"),
        "PEM file with the certificates that the directory's own is verified against: for an authority of your own.",
    )
    .elsewhere(&["ssl_trusted_certificate"]),
    read: read::path,
};
pub static ACME_EAB_KEY_ID: Opt<String> = Opt {
    spec: Spec::new(
        "eab_key_id",
        Unit::Text("a word"),
        Default::Described("none"),
        "Identifier of the key that binds the account to one that you have with the authority (RFC 8555 §7.3.4).",
    ),
    read: acme::word,
};
pub static ACME_EAB_KEY_FILE: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "eab_key_file",
        Unit::Path,
        Default::Described("none"),
        "File with that key, as the authority shows it (base64url). It is read when the account is made.",
    ),
    read: read::path,
};
pub static ACME_RETRY: Opt<Duration> = Opt {
    spec: Spec::new(
        "retry",
        Unit::Duration,
        Default::Toml("\"2m\""),
        "Wait after a first failure. It doubles with each further one, up to a day; what the authority asks for (Retry-After) counts \
         if it is longer.",
    ),
    read: read::duration,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(ACME_EMAIL ACME_DIRECTORY ACME_STORAGE ACME_CHALLENGE ACME_RETRY ACME_ACCEPT_TERMS);
    }
}
