//! What every black-box test leans on: the real binary in a directory of its own, and a client that speaks raw bytes.
//!
//! Owns the processes that it starts and ends them by pid. It never looks inside the server: all that it knows comes from
//! sockets, from stderr and from `/proc`. Each `tests/*.rs` file includes it as a module and uses its own part.
#![allow(dead_code, unused_imports)]

pub mod builder;
pub mod client;
pub mod external;
pub mod files;
pub mod gate;
pub mod load;
pub mod log;
pub mod metrics;
pub mod process;
pub mod proxy;
pub mod python;
pub mod response;
pub mod server;
pub mod settings;
pub mod supervisor;
pub mod tls;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use builder::Builder;
pub use client::{Client, ReadError};
pub use gate::Gate;
pub use load::while_loaded;
pub use response::Response;
pub use server::Server;

/// How long anything may take that ought to happen at once, on a busy machine with a debug build.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the Python apps that belong to these tests.
pub fn apps() -> PathBuf {
    repository().join("tests/apps")
}

/// Looks at a state that has no event to wait for until it holds; panics with `what` when it doesn't within `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `length` bytes that repeat only after 251, so that a lost, doubled or shifted block shows.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Compares large bodies without printing them.
#[track_caller]
pub fn assert_same_bytes(found: &[u8], wanted: &[u8]) {
    let differs = found.iter().zip(wanted).position(|(f, w)| f != w);
    assert!(found == wanted, "{} bytes instead of {}; first difference at {differs:?}", found.len(), wanted.len());
}

/// The value of `key=` in a log line, up to the next space.
pub fn value_of<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
