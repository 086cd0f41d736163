//! The supervisor: owns every child process, from its start to its reaping.
//!
//! `machine` decides (pure, with the time passed in); `backoff` paces restarts; `generation` and `spawn` start zygotes; `logs` cuts the
//! output of children into lines; `run` is the loop that feeds the machine and performs its actions. Called by the command
//! line; reaches shards only by mail.

pub mod access_log;
mod acme;
mod admin;
pub mod autoscale;
mod backoff;
pub mod certificates;
pub mod control;
mod doors;
mod events;
mod generation;
pub mod handover;
mod inbox;
pub mod launcher;
pub mod limits;
mod logs;
pub mod machine;
pub mod main_log;
mod maintenance;
mod notices;
pub(crate) mod output;
pub mod programs;
pub mod routes;
mod rpc;
pub mod run;
mod settings;
mod spawn;
pub mod statsd;
pub mod systemd;
mod warmup;
mod watch;
