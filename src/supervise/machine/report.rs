//! Reports as lines of the diagnostic log.

use super::{BootOutcome, KillReason, Report, Wear};
use crate::observe::WorkerFacts;
use crate::sys::process::signal_name;
use std::fmt::Display;
use tracing::{error, info, warn};

impl Report {
    /// Counts what it tells of.
    pub fn count(&self, facts: &mut WorkerFacts) {
        match self {
            Report::WorkerStarted { .. } => facts.started += 1,
            Report::RequestOverdue { .. } => facts.timed_out += 1,
            Report::WorkerSignalled { reason: KillReason::Worn(wear), .. } => match wear {
                Wear::Requests { .. } => facts.recycled_requests += 1,
                Wear::Lifetime { .. } => facts.recycled_lifetime += 1,
                Wear::Memory { .. } => facts.recycled_memory += 1,
                Wear::Stuck => {}
            },
            Report::WorkerExited { lost, .. } => {
                facts.exited += 1;
                facts.lost += *lost as u64;
            }
            _ => {}
        }
    }

    /// Writes the report to the diagnostic log. A failed boot's reason (a traceback) is logged with its line breaks, and the interpreter that was to
    /// import the application: another one than was meant lacks its modules.
    pub fn log(&self, interpreter: &dyn Display) {
        match self {
            Report::Booting { generation } => info!(%generation, "generation starting"),
            Report::TakesOver { generation } => info!(%generation, "generation serving"),
            Report::BootFailed { generation, reason, outcome } => match outcome {
                BootOutcome::Exit => {
                    error!(%generation, %interpreter, "the application could not be started:\n{reason}")
                }
                BootOutcome::KeepOld => {
                    error!(%generation, %interpreter, "reload failed, the running generation goes on:\n{reason}")
                }
                BootOutcome::Wait => {
                    error!(%generation, %interpreter, "the application could not be started; the next change tries again:\n{reason}")
                }
                BootOutcome::Retry(wait) => {
                    error!(%generation, retry_in = ?wait, %interpreter, "the application could not be started again:\n{reason}")
                }
            },
            Report::ReloadWaits => info!("reload waits for the one before"),
            Report::ZygoteExited { generation, pid, exit, restart_in } => {
                warn!(%generation, pid = pid.as_raw_nonzero(), ?restart_in, "zygote exited with {exit}");
            }
            Report::WorkerStarted { worker, pid, generation } => {
                info!(%worker, pid = pid.as_raw_nonzero(), %generation, "worker started");
            }
            Report::RequestOverdue { worker, pid, request, age } => {
                warn!(%worker, pid = pid.as_raw_nonzero(), shard = request.shard, ?age, "request timed out, interrupting its thread");
            }
            Report::WorkerWorn { worker, pid, generation, wear } => {
                let pid = pid.as_raw_nonzero();
                info!(%worker, pid, %generation, "worker is to be replaced: {wear}");
            }
            Report::WorkerSignalled { worker, pid, signal, reason } => {
                let (pid, signal) = (pid.as_raw_nonzero(), signal_name(signal.as_raw()).unwrap_or("a signal"));
                match reason {
                    KillReason::RequestTimeout(held) => {
                        error!(%worker, pid, shard = held.shard, "request timed out, its thread does not let go, sending {signal}");
                    }
                    KillReason::NotAlive => {
                        error!(%worker, pid, "worker is idle and takes no requests, sending {signal}");
                    }
                    KillReason::BootTimeout => {
                        error!(%worker, pid, "worker did not become ready in time, sending {signal}")
                    }
                    KillReason::Rolled => info!(%worker, pid, "worker makes room for a new one, sending {signal}"),
                    KillReason::WarmupTimeout => {
                        error!(%worker, pid, "the warm-up request was not answered in time, sending {signal}")
                    }
                    KillReason::AbortIgnored => {
                        error!(%worker, pid, "worker outlived SIGABRT, sending {signal}")
                    }
                    KillReason::Asked => info!(%worker, pid, "worker is to end, sending {signal}"),
                    KillReason::Worn(_) => info!(%worker, pid, "worker's replacement is up, sending {signal}"),
                    KillReason::AskIgnored => {
                        error!(%worker, pid, "worker did not end in time, sending {signal}")
                    }
                    KillReason::GenerationEnded => {
                        warn!(%worker, pid, "worker outlived its generation, sending {signal}")
                    }
                }
            }
            Report::WorkerExited { worker, pid, generation, exit, lost, restart_in } => {
                let pid = pid.as_raw_nonzero();
                if exit.is_success() && *lost == 0 {
                    info!(%worker, pid, %generation, "worker exited");
                } else {
                    let restart_in = restart_in.map(tracing::field::debug);
                    warn!(%worker, pid, %generation, %exit, lost, restart_in, "worker exited");
                }
            }
            Report::ForkFailed { generation, worker, error } => {
                error!(%generation, %worker, "could not fork a worker: {error}")
            }
            Report::Drained { generation } => info!(%generation, "generation drained"),
            Report::Stopping { fast: false } => info!("stopping"),
            Report::Stopping { fast: true } => warn!("stopping at once"),
            Report::LeftBehind { generations } => {
                error!(generations, "exiting although killed processes have not ended")
            }
        }
    }
}
