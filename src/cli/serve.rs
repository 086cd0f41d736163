//! `maitred serve`: from a checked configuration to a server that has stopped.

use std::process::ExitCode;

use crate::config::Config;

/// Serves until told to stop.
#[must_use]
pub fn run(config: Config) -> ExitCode {
    tracing::info!(shards = config.server.shards, "configured");
    ExitCode::SUCCESS
}
