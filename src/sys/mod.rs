//! The system calls that the program needs, behind safe functions: signals, processes, sockets, shared memory, limits.
//!
//! rustix where it has the call; libc with `unsafe`, and the reason why it is sound, where it has not. Nothing here
//! decides anything or waits unless its name says so. Called by everything above; `ring/` is the only other place
//! with `unsafe`.
#![allow(unsafe_code)]

pub mod affinity;
pub mod body_pipe;
pub mod cgroup;
pub mod code;
pub mod family;
mod fork;
pub mod inherited;
pub mod limits;
pub mod listen;
pub mod memory;
pub mod notify;
pub mod outbox;
pub mod packets;
pub mod page_cache;
pub mod privileges;
pub mod process;
pub mod region;
pub mod reply_rings;
pub mod request_rings;
pub mod restrict;
pub mod signals;
pub mod spawn;
pub mod users;
pub mod zone;
