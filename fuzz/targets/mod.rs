//! What is fuzzed: for each parser of foreign bytes a function that takes any bytes and panics when the parser breaks one of its promises.
//!
//! Owns the promises and the seeds. Knows no engine: `fuzz/main.rs` runs the targets under libFuzzer, `tests/fuzz.rs` runs the seeds, and
//! all that was ever found, with every `cargo test`.

mod app_fields;
mod authority;
mod chunked;
mod config;
mod dates;
mod encoding;
mod head;
mod hello;
mod htpasswd;
mod log_format;
mod path;
mod preconditions;
mod proxy_header;
mod range;
mod reply;
mod supervisord;

use std::fs;
use std::path::{Path, PathBuf};

/// One parser under test.
pub struct Target {
    /// Also the name of its folder under `fuzz/seeds`.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to start from, written here.
    seeds: &'static [&'static [u8]],
    /// Folders of further inputs, relative to the repository.
    folders: &'static [&'static str],
}

/// Every target.
pub static ALL: &[Target] = &[
    app_fields::TARGET,
    authority::TARGET,
    chunked::TARGET,
    config::TARGET,
    dates::TARGET,
    encoding::TARGET,
    head::TARGET,
    hello::TARGET,
    htpasswd::TARGET,
    log_format::TARGET,
    path::TARGET,
    preconditions::TARGET,
    proxy_header::TARGET,
    range::TARGET,
    reply::TARGET,
    supervisord::TARGET,
];

impl Target {
    /// Every input to start from, with what made the target fail in the past (`fuzz/seeds/NAME`).
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let own = format!("fuzz/seeds/{}", self.name);
        let folders = self.folders.iter().copied().chain([own.as_str()]);
        let files = folders.flat_map(|folder| files(&repository().join(folder)));
        let read = |file: PathBuf| fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.seeds.iter().map(|seed| seed.to_vec()).chain(files.map(read)).collect()
    }
}

/// The repository, wherever this module is built into.
fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    if package.ends_with("fuzz") { package.parent().expect("the repository") } else { package }
}

/// The files in `folder`, sorted; none where there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|file| file.is_file() && file.extension().is_none_or(|extension| extension != "expect"));
    files.sort();
    files
}

/// `N` bytes at the start of `input` as numbers of the target's own use, and the rest; `None` when there are not as many.
fn choices<const N: usize>(input: &[u8]) -> Option<([usize; N], &[u8])> {
    let (numbers, rest) = input.split_first_chunk::<N>()?;
    Some((numbers.map(usize::from), rest))
}
