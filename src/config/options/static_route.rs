//! Options of `[[route]]` that only a route with `static` has: how its files are served.

use super::{Default, Opt, Spec, Unit};
use crate::config::static_options::{Expires, Fallback};
use crate::config::{read, static_route};

pub static INDEX: Opt<Vec<String>> = Opt {
    spec: Spec::new(
        "index",
        Unit::Texts("a file name or a list of them"),
        Default::Toml("\"index.html\""),
        "Files of a static route that stand for their directory, first match first; `[]` is none.",
    ),
    read: read::file_names,
};
pub static LISTING: Opt<bool> = Opt {
    spec: Spec::new(
        "listing",
        Unit::Bool,
        Default::Toml("false"),
        "Whether a static route lists directories without an index; otherwise they are 403. `?sort=name|size|time` and \
         `&order=asc|desc` sort.",
    )
    .elsewhere(&["autoindex"]),
    read: read::boolean,
};
pub static FALLBACK: Opt<Vec<Fallback>> = Opt {
    spec: Spec::new(
        "fallback",
        Unit::Texts("candidates, such as [\"{path}.html\", \"@app\"]"),
        Default::Described("none"),
        "What a static route tries, in this order, where there is no file: a file whose name is made from the request's path \
         (`\"{path}.html\"`), a certain file (`\"/index.html\"`, for single-page front ends), or, last, the application (`\"@app\"`).",
    )
    .elsewhere(&["try_files"]),
    read: static_route::fallback,
};
pub static NOT_FOUND: Opt<String> = Opt {
    spec: Spec::new(
        "not_found",
        Unit::Text("a path below the directory, such as \"/404.html\""),
        Default::Described("a page of the server's own"),
        "File that a static route sends with 404 where nothing is found.",
    ),
    read: static_route::file_beneath,
};
pub static SYMLINKS: Opt<bool> = Opt {
    spec: Spec::new(
        "symlinks",
        Unit::Bool,
        Default::Toml("true"),
        "Whether a static route follows symlinks. None ever leads out of the directory; with `false` every path through one is 403.",
    )
    .elsewhere(&["disable_symlinks"]),
    read: read::boolean,
};
pub static DOTFILES: Opt<bool> = Opt {
    spec: Spec::new(
        "dotfiles",
        Unit::Bool,
        Default::Toml("false"),
        "Whether a static route serves names that begin with a dot; otherwise they are 404, but for `.well-known`.",
    ),
    read: read::boolean,
};
pub static PRECOMPRESSED: Opt<bool> = Opt {
    spec: Spec::new(
        "precompressed",
        Unit::Bool,
        Default::Toml("true"),
        "Whether `NAME.br`, `NAME.zst` and `NAME.gz`, which `maitred precompress` makes, are sent in the place of `NAME` to \
         clients that accept them. One that is older than its file is not.",
    )
    .elsewhere(&["gzip_static", "brotli_static"]),
    read: read::boolean,
};
pub static TYPES: Opt<Vec<(String, String)>> = Opt {
    spec: Spec::new(
        "types",
        Unit::Described("a table such as { \".foo\" = \"text/x-foo\" }"),
        Default::Toml("{}"),
        "`Content-Type` by extension on a static route, over the built-in table. Text without a charset is given UTF-8.",
    )
    .elsewhere(&["mime_types"]),
    read: static_route::types,
};
pub static NOSNIFF: Opt<bool> = Opt {
    spec: Spec::new(
        "nosniff",
        Unit::Bool,
        Default::Toml("false"),
        "Whether files of a static route carry `X-Content-Type-Options: nosniff`.",
    ),
    read: read::boolean,
};
pub static CACHE_CONTROL: Opt<String> = Opt {
    spec: Spec::new(
        "cache_control",
        Unit::Text("a field value"),
        Default::Described("none"),
        "`Cache-Control` of the files of a static route.",
    ),
    read: read::field_value,
};
pub static EXPIRES: Opt<Option<Expires>> = Opt {
    spec: Spec::new(
        "expires",
        Unit::Described("a duration up to ten years, \"max\", \"epoch\" or \"off\""),
        Default::Described("off"),
        "`Expires` of the files of a static route, with the `Cache-Control` that fits where `cache_control` says nothing; \
         like nginx's `expires`.",
    ),
    read: static_route::expires,
};

pub static MANIFEST: Opt<Option<String>> = Opt {
    spec: Spec::new(
        "manifest",
        Unit::Text("a file name, or \"\" for none"),
        Default::Toml("\"staticfiles.json\""),
        "File in the directory of a static route that lists names which change with their content, as Django's \
         ManifestStaticFilesStorage writes it. Those are sent with `Cache-Control: public, max-age=31536000, immutable`.",
    ),
    read: static_route::manifest,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(INDEX LISTING FALLBACK NOT_FOUND MANIFEST SYMLINKS DOTFILES PRECOMPRESSED TYPES NOSNIFF CACHE_CONTROL EXPIRES);
    }
}
