//! The socket ring: one io_uring a shard, its operations, its buffers and its deadlines.
//!
//! Owns every descriptor and buffer that the kernel works on, until the kernel says that it is done. Never knows what the
//! bytes mean, never blocks and never calls a handler while it reaps. Called by everything that does I/O on a shard or on
//! the supervisor shard: `static_files`, `wsgi`, `shard` and `supervise`.
//!
//! One [`Ring`] belongs to one thread (`SINGLE_ISSUER`). A [`Driver`] task of that thread's glommio executor submits, reaps
//! and wakes; with nothing to do it parks on an eventfd that it reads through glommio, so that the thread sleeps in one
//! place. The kernel side is behind [`engine::Engine`], a seam on which the tests inject partial transfers, errors and
//! late completions.
#![allow(unsafe_code)]

mod accept;
mod buffers;
mod core;
mod deadline;
mod driver;
mod engine;
mod files;
mod kernel;
mod message;
mod payload;
mod recv;
mod send;
#[cfg(test)]
mod simulated;
mod single;
#[cfg(test)]
mod tests;
mod watched;

use std::os::fd::OwnedFd;
use std::rc::Rc;

pub use self::core::{Ring, RingConfig};
pub use accept::AcceptStream;
pub use buffers::{BufferGroup, Chunk};
pub use deadline::{Deadline, TimedOut, within};
pub use driver::{Driver, PREEMPT_TIMER, yield_now};
pub use files::{OpenFlags, Stat};
pub use kernel::probe;
pub use message::{Message, MessageStream};
pub use payload::Payload;
pub use recv::RecvStream;
pub use send::{SendOp, SendResult};
pub use single::Op;
pub use watched::Watched;

/// A descriptor as the ring holds it: operations keep it open until they are complete, whoever else has let go of it.
pub type Descriptor = Rc<OwnedFd>;
