//! The configuration: from `maitred.toml`, the environment and flags to one checked [`Config`].
//!
//! Owns every option's name, unit, default and check. Reads files and directories, never opens a socket, never runs a
//! program. Called by `cli`, once per start.

mod access_log;
mod acme;
mod action;
mod address;
mod admin;
mod app;
mod build;
pub mod certificate;
mod compress;
pub mod control;
mod django;
mod error;
mod events;
mod expand;
mod guard;
mod guard_limits;
mod guard_values;
pub mod gunicorn;
mod headers;
mod hooks;
mod listen;
mod listeners;
mod maintenance;
mod merge;
mod options;
#[cfg(test)]
mod original;
mod owner;
mod pages;
mod priority;
mod process;
mod process_wide;
mod program_care;
mod program_checks;
mod program_texts;
mod program_values;
mod programs;
mod proxies;
mod python;
mod read;
mod reference;
mod routes;
mod section;
mod server;
mod sources;
mod static_options;
mod static_route;
mod status;
mod supervisor;
mod supervisord;
mod tls;
mod types;
mod units;
mod value;
mod warmup;
mod words;

pub use access_log::{AccessLogConfig, LogTarget, Rotation, SkippedPath, SyslogConfig, SyslogServer};
pub use acme::{AcmeBinding, AcmeConfig, ChallengeChoice};
pub use address::{Listen, Listener};
pub use build::load;
pub use compress::CompressConfig;
pub use control::{ControlConfig, Credentials, SocketChoice, control_of};
pub use django::MANAGE_PY;
pub use error::{ConfigErrors, Problem};
pub use events::{EventSet, EventType, ListenConfig, event_names};
pub use guard::{AuthConfig, ConnectionsConfig, GuardConfig, LimitConfig, LimitKey, LimitLog, read_htpasswd};
pub use hooks::{HookPlace, Hooks};
pub use merge::FILE_DEFAULT;
pub use options::{flags, help};
pub use owner::Owner;
pub use priority::Priority;
pub use process::{
    Autorestart, BackoffConfig, CareConfig, CheckConfig, GroupConfig, LaunchConfig, OnFatal, Orphans, OutputConfig,
    OutputFormat, OutputTarget, Probe, ProcessConfig, RotationConfig,
};
pub use python::{Interpreter, InterpreterSource, interpreter_of};
pub use reference::reference;
pub use sources::{Flags, GivenFlag, Source, Surroundings};
pub use static_options::{Expires, Fallback, Levels, StaticOptions};
pub use status::StatusPattern;
pub use supervisord::{ClientConfig, Import, import};
pub use tls::{ClientAuth, Preset, TlsEntry, TlsPolicy, TlsVersion};
pub use types::{
    Action, AppConfig, AppOutput, AppTarget, AutoscaleConfig, Config, ErrorPage, ErrorPages, Health, HostPattern,
    LogLevel, MaintenanceConfig, Page, PathPattern, ReloadMode, RequestIds, RouteConfig, ServerConfig, StaticConfig,
    StatsdConfig, StatsdTarget, WorkerLoop, compile,
};
pub use value::is_toml;
pub use warmup::WarmupConfig;
pub use words::split as split_words;
