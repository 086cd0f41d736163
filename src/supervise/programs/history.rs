//! What was of a process, as supervisord tells it: when it was begun and when it ended, how, and what went wrong.
//!
//! Kept from the machine's reports; decides nothing.

use super::machine::{Report, State};
use crate::base::clock;
use crate::sys::process::Exit;

/// One process's past.
#[derive(Clone, Debug, Default)]
pub(in crate::supervise) struct History {
    /// When it was last begun, seconds since 1970; 0: never.
    pub started: u64,
    /// When it last ended, seconds since 1970; 0: never.
    pub ended: u64,
    /// Why it is not running, in supervisord's words.
    pub error: Option<String>,
    /// Its last exit code; -1 after a signal.
    pub exit_status: Option<i32>,
    /// Its last end by itself was one of the expected ways.
    pub has_ended_well: bool,
    /// Failed starts in a row.
    pub tries: u32,
    /// The process that was begun last.
    pub pid: i32,
    /// What supervisord would say of the failed start that is reported next.
    pub next_error: Option<String>,
}

/// supervisord's number for the way in which a process has ended; -1 also where nobody knows.
pub(in crate::supervise) fn exit_status(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal { .. } | Exit::OutOfMemory | Exit::Unknown => -1,
    }
}

impl History {
    /// Takes note of a report.
    pub fn note(&mut self, report: &Report) {
        match report {
            Report::Became { to: State::Starting, .. } => {
                self.started = clock::wall_seconds();
                (self.error, self.exit_status) = (None, None);
            }
            Report::Became { to: State::Fatal | State::Stopped, .. } => self.tries = 0,
            Report::Adopted(pid, age) => {
                self.started = clock::wall_seconds().saturating_sub(age.as_secs());
                self.pid = pid.as_raw_nonzero().get();
            }
            Report::Started(pid) => self.pid = pid.as_raw_nonzero().get(),
            Report::IsUp => self.tries = 0,
            Report::StartFailed { error, .. } => {
                self.error = Some(self.next_error.take().unwrap_or_else(|| error.clone()));
                self.tries += 1;
            }
            Report::EndedEarly { .. } => {
                self.error = Some("Exited too quickly (process log may have details)".to_owned());
                self.exit_status = None;
                self.ended = clock::wall_seconds();
                self.tries += 1;
            }
            Report::Ended { exit, is_expected, .. } => {
                let status = exit_status(*exit);
                self.has_ended_well = *is_expected;
                if !is_expected {
                    self.error = Some(format!("Bad exit code {status}"));
                }
                self.exit_status = Some(status);
                self.ended = clock::wall_seconds();
            }
            Report::Stopped(exit) => {
                self.exit_status = Some(exit_status(*exit));
                self.ended = clock::wall_seconds();
            }
            _ => {}
        }
    }
}
