//! Options of `[[route]]`: what is served where.

use super::COMPRESS;
use super::guard::*;
use super::static_route::*;
use super::{Default, Opt, Section, Spec, Unit};
use crate::base::bounds::BODY_BYTES_MAX;
use crate::config::priority::{Priority, priority};
use crate::config::read;
use crate::config::types::{Health, HostPattern};
use crate::config::value::Value;
use std::path::{Path, PathBuf};

pub static ROUTE: Section = Section {
    name: "route",
    header: "[[route]]",
    doc: "What is served where; exactly one of `static`, `app`, `redirect`, `respond` and `health` in each, or `status` alone. A request \
          goes to the routes of its host first, then to those of a wildcard that fits (longest first), then to those without \
          a host. Among them the order is nginx's: the exact path; else, if an expression matches, the first one that does; \
          else the longest path that the request's path begins with. Without any route to the application, one with the path \
          `/` is added; a Django project in the working directory is the application, unless a route for every host has that path. \
          Its `STATIC_URL` leads to its `STATIC_ROOT` where no route says what is there.",
    options: &[
        &PATH.spec,
        &EXACT.spec,
        &BEFORE_REGEX.spec,
        &REGEX.spec,
        &HOST.spec,
        &INTERNAL.spec,
        &STATIC.spec,
        &ROUTE_APP.spec,
        &REDIRECT.spec,
        &RESPOND.spec,
        &HEALTH.spec,
        &STATUS.spec,
        &CONTENT_TYPE.spec,
        &PROXY.spec,
        &HEADERS.spec,
        &ERROR_PAGES.spec,
        &INTERCEPT_ERRORS.spec,
        &SENDFILE_ROOT.spec,
        &PRIORITY.spec,
        &INDEX.spec,
        &LISTING.spec,
        &FALLBACK.spec,
        &NOT_FOUND.spec,
        &SYMLINKS.spec,
        &DOTFILES.spec,
        &PRECOMPRESSED.spec,
        &COMPRESS.spec,
        &TYPES.spec,
        &NOSNIFF.spec,
        &CACHE_CONTROL.spec,
        &EXPIRES.spec,
        &MANIFEST.spec,
        &ROUTE_MAX_BODY.spec,
        &ALLOW.spec,
        &DENY.spec,
        &ACCESS.spec,
        &SATISFY.spec,
        &AUTH.spec,
        &LIMIT.spec,
        &CONNECTIONS.spec,
        &LIMIT_RATE.spec,
        &LIMIT_RATE_AFTER.spec,
    ],
};

pub static PATH: Opt<String> = Opt {
    spec: Spec::new(
        "path",
        Unit::Text("a path that starts with `/`"),
        Default::Described("given, or `regex` is"),
        "Path prefix, compared like nginx's `location`; a static route's path is given a closing `/`.",
    )
    .elsewhere(&["location", "prefix", "url"]),
    read: read::route_path,
};
pub static EXACT: Opt<bool> = Opt {
    spec: Spec::new(
        "exact",
        Unit::Bool,
        Default::Toml("false"),
        "`true`: the route is for this path alone (nginx's `location =`). A static route then has the file below its directory \
         under the whole path, like nginx's `root`.",
    ),
    read: read::boolean,
};
pub static BEFORE_REGEX: Opt<bool> = Opt {
    spec: Spec::new(
        "before_regex",
        Unit::Bool,
        Default::Toml("false"),
        "`true`: when this is the longest prefix, no expression is tried (nginx's `location ^~`).",
    ),
    read: read::boolean,
};
pub static REGEX: Opt<String> = Opt {
    spec: Spec::new(
        "regex",
        Unit::Text("a regular expression"),
        Default::Described("none"),
        "In place of `path`: the route is for every path in which the expression is found (nginx's `location ~`), as in \
         `'^/old/(?<rest>.*)$'`. The path is decoded and normal; expressions are tried in their order, in linear time. A static \
         route then has its files below its directory under the whole path.",
    ),
    read: read::expression,
};
pub static INTERNAL: Opt<bool> = Opt {
    spec: Spec::new(
        "internal",
        Unit::Bool,
        Default::Toml("false"),
        "`true`: a client's request for it is answered with 404. The application leads there with `X-Accel-Redirect`, which is followed as soon \
         as there is such a route, to any route.",
    ),
    read: read::boolean,
};
pub static REDIRECT: Opt<String> = Opt {
    spec: Spec::new(
        "redirect",
        Unit::Text("a URL or a path"),
        Default::Described("none"),
        "Sends the client there, with `status` 302 or the one given. Variables are nginx's: `$host`, `$uri`, `$args`, `$is_args`, \
         `$request_uri`, `$scheme`, and the groups of `regex` as `$1` or `$name`; `$$` is a dollar sign. What a request holds is \
         percent-encoded where it must be.",
    ),
    read: read::text,
};
pub static RESPOND: Opt<String> = Opt {
    spec: Spec::new(
        "respond",
        Unit::Text("a text"),
        Default::Described("none"),
        "Answers with this text, whatever the method, with `status` 200 or the one given.",
    ),
    read: read::text,
};
pub static HEALTH: Opt<Health> = Opt {
    spec: Spec::new(
        "health",
        Unit::Text("\"live\" or \"ready\""),
        Default::Described("none"),
        "Answers health checks as the admin listener does: \"live\" is `/healthz`, always 200; \"ready\" is `/readyz`, 503 with the reason in \
         a word while the server starts, has no worker or stops. No worker is asked. Maintenance mode, `redirect_https` and error \
         pages do not concern it.",
    ),
    read: health,
};
pub static STATUS: Opt<u16> = Opt {
    spec: Spec::new(
        "status",
        Unit::Count { min: 200, max: 599 },
        Default::Described("see `redirect` and `respond`"),
        "Status of a redirect (301, 302, 303, 307 or 308) or of a fixed answer. Alone it is the whole answer, with a page of the \
         server's own; 444 closes the connection without a word, as in nginx.",
    )
    .elsewhere(&["return"]),
    read: read::status,
};
pub static CONTENT_TYPE: Opt<String> = Opt {
    spec: Spec::new(
        "content_type",
        Unit::Text("a media type"),
        Default::Toml("\"text/plain; charset=utf-8\""),
        "`Content-Type` of a fixed answer.",
    )
    .elsewhere(&["default_type"]),
    read: read::field_value,
};
pub static PROXY: Opt<Value> = Opt {
    spec: Spec::new(
        "proxy",
        Unit::Text("nothing yet"),
        Default::Described("none"),
        "Reserved for passing requests on to other servers; refused.",
    ),
    read: read::raw,
};
/// Read by `config::headers`: its keys are names of fields.
pub static HEADERS: Opt<Value> = Opt {
    spec: Spec::new(
        "headers",
        Unit::Text("a table of field names and values, or of `set`, `add` and `remove`"),
        Default::Described("none"),
        "Changes to the fields of every response of the route: `{ \"X-Frame-Options\" = \"DENY\" }` sets fields over what the \
         response has, as `{ set = { … } }` does; `add = { … }` adds lines, a list adds several; `remove = [\"Server\"]` leaves fields \
         out. All statuses are meant, errors too; `always = false` keeps set and added fields to nginx's list (200, 201, 204, 206, \
         301, 302, 303, 304, 307, 308). Fields that frame the response or the connection are refused.",
    )
    .elsewhere(&["add_header"]),
    read: read::raw,
};
/// Read by `config::pages`: its keys are statuses.
pub static ERROR_PAGES: Opt<Value> = Opt {
    spec: Spec::new(
        "error_pages",
        Unit::Text("a table of statuses and pages"),
        Default::Described("those of `[server]`"),
        "Pages for errors that the server itself answers with: `{ 404 = \"404.html\", 5xx = \"app:/oops\" }`, a file or a path of the \
         application, which is asked for it with GET; the status stays. A status counts more than its class, the route's pages \
         more than the server's.",
    )
    .elsewhere(&["error_page"]),
    read: read::raw,
};
pub static INTERCEPT_ERRORS: Opt<bool> = Opt {
    spec: Spec::new(
        "intercept_errors",
        Unit::Bool,
        Default::Toml("false"),
        "`true`: the pages also stand in place of the application's answers with such a status.",
    )
    .elsewhere(&["proxy_intercept_errors", "uwsgi_intercept_errors"]),
    read: read::boolean,
};
pub static SENDFILE_ROOT: Opt<Vec<PathBuf>> = Opt {
    spec: Spec::new(
        "sendfile_root",
        Unit::Texts("a directory or a list of them"),
        Default::Toml("[]"),
        "Directories whose files the application may have sent by answering with `X-Sendfile: PATH`.",
    ),
    read: read::paths,
};
pub static PRIORITY: Opt<Priority> = Opt {
    spec: Spec::new(
        "priority",
        Unit::Text("\"high\", \"normal\" or \"low\""),
        Default::Toml("\"normal\""),
        "Which requests workers get first when several wait; those of one level come in their order. One in eight is the one that has waited \
         longest, whatever its level. In a full queue the last of the least urgent gives way to a more urgent one, and is answered with 503.",
    ),
    read: priority,
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

fn health(value: &Value, unit: Unit, base: &Path) -> Result<Health, String> {
    match read::text(value, unit, base)?.as_str() {
        "live" => Ok(Health::Live),
        "ready" => Ok(Health::Ready),
        other => Err(format!("must be \"live\" or \"ready\", not \"{}\"", other.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(PATH EXACT BEFORE_REGEX REGEX HOST INTERNAL STATIC ROUTE_APP REDIRECT RESPOND HEALTH STATUS CONTENT_TYPE PROXY HEADERS);
        assert_defaults!(ERROR_PAGES INTERCEPT_ERRORS SENDFILE_ROOT PRIORITY);
        assert_defaults!(ROUTE_MAX_BODY);
    }
}
