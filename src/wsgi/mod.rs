//! The WSGI worker pool: what a shard and the Python workers say to each other, and the workers' own sources.
//!
//! Owns the messages and a shard's side of the pool. Processes belong to `supervise`, connections to `shard`.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod credit;
pub mod environ;
mod loss;
mod marshal;
pub mod messages;
mod part;
pub mod pool;
mod queue;
mod region_pool;
mod rings;
pub mod share;
pub mod source;
pub mod spool;
pub mod turns;
mod unreleased;

pub use environ::Environ;
pub use loss::Loss;
pub use messages::{BodyRef, MessageTooLarge, ProtocolError, Reply, ReplyKind, Token};
