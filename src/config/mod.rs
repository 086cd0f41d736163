//! The configuration: from `maitred.toml`, the environment and flags to one checked [`Config`].
//!
//! Owns every option's name, unit, default and check. Reads files and directories, never opens a socket, never runs a
//! program. Called by `cli`, once per start.

mod access_log;
mod action;
mod address;
mod admin;
mod app;
mod build;
mod django;
mod error;
mod headers;
mod merge;
mod options;
mod python;
mod read;
mod reference;
mod routes;
mod section;
mod server;
mod sources;
mod static_options;
mod static_route;
mod types;
mod units;
mod value;

pub use access_log::{AccessLogConfig, LogTarget, Rotation, SkippedPath, SkippedStatus, SyslogConfig, SyslogServer};
pub use address::Listen;
pub use build::load;
pub use error::{ConfigErrors, Problem};
pub use options::{flags, help};
pub use python::{Interpreter, InterpreterSource};
pub use reference::reference;
pub use sources::{Flags, Surroundings};
pub use static_options::{Expires, Fallback, Levels, StaticOptions};
pub use types::{
    Action, AppConfig, AppTarget, Config, HostPattern, PathPattern, RequestIds, RouteConfig, ServerConfig,
    StaticConfig, compile,
};
