//! Options of `[[route]]`: what is served where.

use super::static_route::*;
use super::{Default, Opt, Section, Spec, Unit};
use crate::base::bounds::BODY_BYTES_MAX;
use crate::config::read;
use crate::config::types::HostPattern;
use std::path::PathBuf;

pub static ROUTE: Section = Section {
    name: "route",
    header: "[[route]]",
    doc: "What is served where; exactly one of `static` and `app` in each. A request goes to the routes of its host first, \
          then to those of a wildcard that fits (longest first), then to those without a host; among them to the one with \
          the longest path that the request's path begins with. Without any route to the application, one with the path \
          `/` is added.",
    options: &[
        &PATH.spec,
        &HOST.spec,
        &STATIC.spec,
        &ROUTE_APP.spec,
        &INDEX.spec,
        &SYMLINKS.spec,
        &DOTFILES.spec,
        &PRECOMPRESSED.spec,
        &COMPRESS.spec,
        &TYPES.spec,
        &NOSNIFF.spec,
        &CACHE_CONTROL.spec,
        &EXPIRES.spec,
        &ROUTE_MAX_BODY.spec,
    ],
};

pub static PATH: Opt<String> = Opt {
    spec: Spec::new(
        "path",
        Unit::Text("a path that starts with `/`"),
        Default::Required,
        "Path prefix, compared like nginx's `location`; a static route's path is given a closing `/`.",
    )
    .elsewhere(&["location", "prefix", "url"]),
    read: read::route_path,
};
pub static HOST: Opt<HostPattern> = Opt {
    spec: Spec::new(
        "host",
        Unit::Text("a name without port, or `*.` and a name"),
        Default::Described("every host"),
        "Host that the route is for: \"example.com\", or \"*.example.com\" for all names below it.",
    )
    .elsewhere(&["server_name"]),
    read: read::host,
};
pub static STATIC: Opt<PathBuf> = Opt {
    spec: Spec::new(
        "static",
        Unit::Path,
        Default::Described("none"),
        "Directory whose files are served; the route's path stands for it, like nginx's `alias`.",
    )
    .flag("--static")
    .elsewhere(&["root", "alias", "directory", "dir"]),
    read: read::path,
};
pub static ROUTE_APP: Opt<bool> = Opt {
    spec: Spec::new("app", Unit::Bool, Default::Described("none"), "`true` hands the request to the application.")
        .elsewhere(&["proxy_pass"]),
    read: read::only_true,
};
pub static ROUTE_MAX_BODY: Opt<u64> = Opt {
    spec: Spec::new(
        "max_body",
        Unit::Size { max: BODY_BYTES_MAX },
        Default::Described("`max_body` of `[server]`"),
        "Largest request body on this route.",
    )
    .elsewhere(&["client_max_body_size"]),
    read: read::size,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(PATH HOST STATIC ROUTE_APP ROUTE_MAX_BODY);
    }
}
