//! The configuration: from `maitred.toml`, the environment and flags to one checked [`Config`].
//!
//! Owns every option's name, unit, default and check. Reads files and directories, never opens a socket, never runs a
//! program. Called by `cli`, once per start.

mod address;
mod python;
mod types;

pub use address::Listen;
pub use python::{Interpreter, InterpreterSource};
pub use types::{
    Action, AppConfig, AppTarget, Config, HostPattern, RouteConfig, ServerConfig, StaticConfig,
};
