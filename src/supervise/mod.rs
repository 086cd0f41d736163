//! The supervisor: owns every child process, from its start to its reaping.
//!
//! `machine` decides (pure, with the time passed in); `backoff` paces restarts; `spawn` starts the zygote; `logs` cuts the output of
//! children into lines; `run` is the loop that feeds the machine and performs its actions. Called by the command line; reaches shards only by mail.

pub mod backoff;
pub mod logs;
pub mod machine;
pub mod spawn;
