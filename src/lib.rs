//! maitred: HTTP front, WSGI workers and process supervision in one program.
//!
//! The modules stand in layer order; each imports only from layers above it in this list (`tests/tidy.rs` checks that).
#![deny(unsafe_code, clippy::undocumented_unsafe_blocks)]
#![warn(missing_docs)]

// L0: bounds, clock, mail; system calls behind safe functions
pub mod base;
pub mod sys;
// pure: counters and lines of the access log, HTTP, limits; `config` checks with them what will be written and applied
pub mod http;
pub mod limits;
pub mod observe;
// L1: each knows nothing of the others
pub mod config;
pub mod control;
pub mod ring;
// L2
pub mod compress;
pub mod response;
pub mod route;
pub mod tls;
// L3: handlers, and who gets certificates
pub mod acme;
pub mod django;
pub mod static_files;
pub mod wsgi;
// what the next layer's two halves tell each other
pub mod mail;
// L4: where handlers meet
pub mod shard;
pub mod supervise;
// L5
pub mod cli;
