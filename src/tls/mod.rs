//! TLS: rustls sessions as bytes in and bytes out, and the certificates that they are made with.
//!
//! Owns what is agreed on with clients, which certificate whom is shown, and what makes certificates change. Knows no ring and no
//! socket: `shard` feeds a [`ServerSession`] with what has arrived and sends what it asks to be sent. A [`Directory`] is
//! loaded off the shards, by `supervise` and `cli`, and shared by all of them without a lock.

mod challenges;
mod choice;
mod directory;
mod hello;
mod leaf;
mod session;
mod stamp;
mod subject;
#[cfg(test)]
mod tests;
mod warnings;

pub use challenges::Challenges;
pub use directory::{Directory, EntryId, LoadError};
pub use hello::{Asked, Hello, asked_for};
pub use leaf::Leaf;
pub use session::{ClientCertificate, Facts, Failure, ServerSession};
pub use stamp::Stamps;
pub use warnings::{names, warnings};
