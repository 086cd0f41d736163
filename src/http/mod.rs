//! HTTP/1.1 as a pure core: bytes in, values out (RFC 9110, RFC 9112).
//!
//! Owns every decision about the bytes of HTTP: heads, targets, framing, chunked coding, ranges, preconditions, dates and the
//! heads of responses. It never does I/O, never asks for the time and never allocates on the way in. Called by the handlers and
//! by `shard`, which own the sockets.

pub mod accel;
pub mod app;
pub mod authority;
pub mod chunked;
pub mod conditional;
pub mod date;
pub mod encoding;
pub mod fields;
pub mod forwarded;
pub mod forwarded_element;
pub mod framing;
pub mod head;
pub mod head_limits;
pub mod header_ops;
pub mod media;
pub mod multipart;
pub mod proxy_header;
pub mod range;
pub mod reject;
pub mod response;
pub mod target;
pub mod template;
pub mod trust;

pub use authority::Authority;
pub use fields::{Field, Fields};
pub use forwarded::{Origin, Scheme};
pub use framing::BodyFraming;
pub use head::{Head, Method, Parse, Version};
pub use head_limits::HeadLimits;
pub use header_ops::HeaderOps;
pub use reject::{Fault, Reject};
pub use target::Target;
pub use template::Template;
pub use trust::{PeerAddress, Trust};
