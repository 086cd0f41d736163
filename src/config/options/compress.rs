//! `compress`, of a route and of `[server]`.

use super::{Default, Opt, Spec, Unit};
use crate::config::compress::{self, CompressConfig};

const UNIT: Unit = Unit::Described(
    "true, false, a list of codings such as [\"zstd\", \"gzip\"], or a table of levels such as { gzip = 6, brotli = 5, zstd = 3 }",
);

pub static COMPRESS: Opt<Option<CompressConfig>> = Opt {
    spec: Spec::new(
        "compress",
        UNIT,
        Default::Described("`compress` of `[server]`"),
        "In a route with `static`: whether files that have no compressed sibling are compressed by the server, once, and kept in its \
         cache: text and the like, from 256 bytes to 2M. In a route with `app`: whether the application's answers are compressed on their way, \
         with levels up to 7 for gzip, 6 for brotli and 9 for zstd, and two more keys in the table: `min_length` (\"256\" bytes) for those whose length \
         is known, and `types`, a list such as [\"text/*\", \"application/json\"] in place of all that gets smaller. Streams are passed on chunk by chunk. \
         An answer that holds a secret (a CSRF token) beside what a stranger can choose (a search term) can betray the secret by its length \
         when it is compressed (BREACH); Django masks its CSRF tokens against that. `true` stands for the levels shown.",
    )
    .elsewhere(&["gzip", "brotli", "zstd", "gzip_comp_level", "gzip_min_length", "gzip_types"]),
    read: compress::compress,
};
pub static SERVER_COMPRESS: Opt<Option<CompressConfig>> = Opt {
    spec: Spec::new(
        "compress",
        UNIT,
        Default::Toml("false"),
        "What routes that say nothing of it compress: files and the application's answers, see `compress` of `[[route]]`.",
    )
    .elsewhere(&["gzip", "brotli", "zstd", "gzip_comp_level", "gzip_min_length", "gzip_types"]),
    read: compress::compress,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(COMPRESS SERVER_COMPRESS);
    }
}
