//! From the configuration to the machine's settings.
//!
//! Owns no decision: bounds that nobody configures are added to what was configured. Called by the loop, at the start and for a reload.

use std::time::Duration;

use super::backoff::Policy;
use super::machine::{PoolSettings, Settings};
use crate::base::bounds::{ABORT_GRACE_MS, BOOT_TIMEOUT_SECONDS, FAST_STOP_SECONDS, REAP_SECONDS};
use crate::config::{AppConfig, Config};

/// For the life of the program.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        pool: config.app.as_ref().map(pool_settings),
        graceful_timeout: config.app.as_ref().map_or(Duration::from_secs(30), |app| app.graceful_timeout),
        fast_timeout: Duration::from_secs(FAST_STOP_SECONDS),
        reap_timeout: Duration::from_secs(REAP_SECONDS),
    }
}

/// For the next generation.
pub(super) fn pool_settings(app: &AppConfig) -> PoolSettings {
    PoolSettings {
        workers: app.workers as u32,
        threads: app.threads as u32,
        timeout: app.timeout,
        abort_grace: Duration::from_millis(ABORT_GRACE_MS),
        boot_timeout: Duration::from_secs(BOOT_TIMEOUT_SECONDS),
        graceful_timeout: app.graceful_timeout,
        backoff: Policy::default(),
    }
}
