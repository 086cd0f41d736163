//! A shard: one executor on one CPU with its own ring, listeners, connections, caches and share of the worker pool.
//!
//! Owns all that is written while a request is served; shares nothing of it with other shards. Never blocks and never starts
//! a process. Started by `cli`, told what to do by `supervise` through [`crate::mail::ShardMail`].

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod accept;
mod action;
mod answer;
mod application;
mod auth;
mod body;
mod broken;
mod buffered;
mod challenge;
mod connection;
mod copied_file;
mod detour;
mod exchange;
mod extras;
mod file;
mod guard;
mod idle;
mod input;
mod log;
mod maintenance;
mod orders;
mod output;
mod pace;
mod packing;
mod panic;
mod peer;
mod proxied;
mod receiving;
mod respond;
mod run;
mod site;
mod snapshot;
mod state;
mod syslog;
mod tls;
mod tls_handshake;
mod tls_https;
mod told;

pub use accept::{Protocol, ShardListener};
pub use run::{ShardSetup, spawn};
