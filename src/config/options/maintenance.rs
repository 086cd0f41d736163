//! Options of `[server.maintenance]`: the site is closed for all but some.

use super::{Default, Opt, Section, Spec, Unit};
use crate::config::read;
use ipnet::IpNet;
use std::path::PathBuf;
use std::time::Duration;

pub static MAINTENANCE: Section = Section {
    name: "server.maintenance",
    header: "[server.maintenance]",
    doc: "Maintenance mode: every request is answered with 503 and Retry-After, but for clients and paths that are let through. It is \
          on as long as `file` exists, which is looked at once a second. A reload takes changes over.",
    options: &[
        &MAINTENANCE_FILE.spec,
        &MAINTENANCE_ALLOW.spec,
        &MAINTENANCE_PATHS.spec,
        &MAINTENANCE_RETRY_AFTER.spec,
        &MAINTENANCE_PAGE.spec,
    ],
};

pub static MAINTENANCE_FILE: Opt<PathBuf> = Opt {
    spec: Spec::new("file", Unit::Path, Default::Described("none"), "The mode is on while this file is there."),
    read: read::path,
};
pub static MAINTENANCE_ALLOW: Opt<Vec<IpNet>> = Opt {
    spec: Spec::new(
        "allow",
        Unit::Texts("an address or network, or a list of them"),
        Default::Toml("[]"),
        "Clients that are served as usual, as in `[\"10.0.0.0/8\", \"::1\"]`.",
    ),
    read: read::networks,
};
pub static MAINTENANCE_PATHS: Opt<Vec<String>> = Opt {
    spec: Spec::new(
        "paths",
        Unit::Texts("a path or a list of them"),
        Default::Toml("[]"),
        "Paths that are served as usual, and all that begin with them.",
    ),
    read: read::route_paths,
};
pub static MAINTENANCE_RETRY_AFTER: Opt<Duration> = Opt {
    spec: Spec::new(
        "retry_after",
        Unit::Duration,
        Default::Toml("\"5m\""),
        "When clients may come back: what `Retry-After` says, in whole seconds.",
    ),
    read: read::duration,
};
pub static MAINTENANCE_PAGE: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "page",
        Unit::Path,
        Default::Described("the route's error page for 503, else the server's own"),
        "File with the page; read when the configuration is.",
    ),
    read: read::path,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(MAINTENANCE_FILE MAINTENANCE_ALLOW MAINTENANCE_PATHS MAINTENANCE_RETRY_AFTER MAINTENANCE_PAGE);
    }
}
