//! Certificates that the server gets by itself (ACME, RFC 8555).
//!
//! Owns the account with the authority, the files of keys and certificates, and when a certificate is renewed. Runs on a thread of its
//! own that may block: nothing waits for it, and what it makes reaches the shards through [`Host`] (challenges) and through files
//! (certificates, which are looked at for changes like all others). Never touches a certificate that is good before a better one is
//! there. Called by `supervise`, and by `cli` for what can be said before the start.

mod client;
mod keeper;
mod order;
mod schedule;
mod store;

pub use keeper::{Host, Outcome, Plan, Wanted, keep};
pub use store::Store;
