//! The WSGI worker pool: what a shard and the Python workers say to each other, and the workers' own sources.
//!
//! Everything declared here is pure: bytes in, bytes out. Sockets, descriptors and memory maps belong to the callers.

pub mod environ;
mod marshal;
pub mod messages;
pub mod scoreboard_layout;
pub mod source;

pub use environ::Environ;
pub use messages::{BodyRef, MessageTooLarge, ProtocolError, Reply, ReplyKind, Token};
