//! Who is served, how often and how many at a time: rates, counts of what is in progress, networks, hosts and passwords.
//!
//! Owns the rules and the bounded tables behind them; pure: addresses, names and the time come in, a decision comes out. Tables are shared by
//! all shards without a lock. Knows no request and no socket, never logs and never reads a file. Stands below `config`, which checks rules with the
//! code that applies them; asked by `shard`.

mod access;
mod counts;
mod hosts;
mod htpasswd;
mod key;
mod md5_crypt;
mod rate;
mod rate_table;
mod shared;
mod verified;
mod zone;

pub use access::{AccessRules, Whom};
pub use counts::{Claim, Counts, Held};
pub use hosts::AllowedHosts;
pub use htpasswd::{Fault, Htpasswd, Warning};
pub use key::Keys;
pub use rate::{Outcome, Rate, Verdict};
pub use rate_table::RateTable;
pub use shared::Shared;
pub use verified::Verified;
pub use zone::{Zone, ZoneRules, Zones};
