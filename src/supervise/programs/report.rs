//! What the machine reports, as lines of the diagnostic log.

use tracing::{debug, error, info, warn};

use super::machine::{Renewal, Report};
use crate::config::ProcessConfig;

impl Report {
    /// Writes the report to the diagnostic log, with the program's name.
    pub(super) fn log(&self, config: &ProcessConfig) {
        let program = config.full_name();
        match self {
            Report::Became { from, to } => debug!(program, %from, %to, "program's state"),
            Report::Started(pid) => info!(program, pid = pid.as_raw_nonzero().get(), "program started"),
            Report::Adopted(pid, age) => {
                let (pid, started) = (pid.as_raw_nonzero().get(), format!("{}s ago", age.as_secs()));
                info!(program, pid, started, "program was left by an earlier maitred, and is adopted");
            }
            Report::IsUp => info!(program, "program is up"),
            Report::StartFailed { error, retry_in } => {
                error!(program, retry_in = retry_in.map(tracing::field::debug), "program not started: {error}");
            }
            Report::EndedEarly { exit, retry_in } => {
                let up_after = config.care.startsecs;
                warn!(program, %exit, retry_in = retry_in.map(tracing::field::debug), "program exited within {up_after:?}, before it was up");
            }
            Report::Ended { exit, is_expected, restart_in } => {
                let restart_in = restart_in.map(tracing::field::debug);
                if *is_expected {
                    info!(program, %exit, restart_in, "program exited");
                } else {
                    warn!(program, %exit, restart_in, "program exited unexpectedly");
                }
            }
            Report::GivenUp { retry_in } => {
                error!(
                    program,
                    retry_in = retry_in.map(tracing::field::debug),
                    "program given up: too many starts have failed"
                );
            }
            Report::NotReady(wrong) => {
                let within = config.care.ready.as_ref().map(|ready| ready.within);
                warn!(
                    program,
                    within = within.map(tracing::field::debug),
                    "program is not ready in time, stopping it: {wrong}"
                );
            }
            Report::Renewed(Renewal::NotAlive(wrong)) => warn!(program, "program is not alive, restarting it: {wrong}"),
            Report::Renewed(Renewal::TooLarge(rss_bytes)) => {
                warn!(program, rss_bytes, max_rss = config.care.max_rss, "program has too much memory, restarting it");
            }
            Report::Renewed(Renewal::TooOld) => info!(program, "program has reached its max_lifetime, restarting it"),
            Report::Waits(name) => warn!(program, on = name, "program waits for one that is not running"),
            Report::Stopped(exit) => info!(program, %exit, "program stopped"),
            Report::Killing => {
                warn!(program, "program did not stop in time: killing it and all that it started");
            }
            Report::Orphans => {
                warn!(program, "processes of the program are left of an earlier maitred: stopping them first");
            }
            Report::Remains => warn!(program, "program left processes behind: killing them"),
            Report::LeftBehind => {
                error!(program, "processes of the program do not end although they were killed; going on without them");
            }
            Report::SignalFailed(error) => error!(program, "program can't be signalled: {error}"),
        }
    }
}
