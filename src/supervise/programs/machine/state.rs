//! The states of a process, with supervisord's names and numbers. Values only.

use std::fmt;

/// What a process is doing, as people and tools are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum State {
    /// Stopped on request, or never started.
    Stopped = 0,
    /// Begun, and not yet up for `startsecs`.
    Starting = 10,
    /// Up.
    Running = 20,
    /// A start has failed; another one follows.
    Backoff = 30,
    /// Asked to stop.
    Stopping = 40,
    /// It ended by itself after it was up.
    Exited = 100,
    /// Given up: it could not be started.
    Fatal = 200,
    /// It could not be signalled.
    Unknown = 1000,
}

impl State {
    /// supervisord's number for it.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// No process of it is there, and none will be unless asked for or due.
    pub fn is_stopped(self) -> bool {
        matches!(self, State::Stopped | State::Exited | State::Fatal | State::Unknown)
    }

    /// There is a process that can be signalled.
    pub fn is_signallable(self) -> bool {
        matches!(self, State::Running | State::Starting | State::Stopping)
    }

    /// It is up, or on its way there.
    pub fn is_up(self) -> bool {
        matches!(self, State::Running | State::Starting | State::Backoff)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Stopped => "STOPPED",
            State::Starting => "STARTING",
            State::Running => "RUNNING",
            State::Backoff => "BACKOFF",
            State::Stopping => "STOPPING",
            State::Exited => "EXITED",
            State::Fatal => "FATAL",
            State::Unknown => "UNKNOWN",
        })
    }
}
