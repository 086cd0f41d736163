//! The vocabulary of the programs' machine: what it is told, what it asks for, what it reports. Values only.

use super::state::State;
use crate::config::{CheckConfig, GroupConfig, ProcessConfig};
use crate::sys::process::{Exit, Pid};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A process that is looked after, through all its restarts. Never used again in the life of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened. The loop reports each thing once, in the order in which it learned of it.
#[derive(Clone, Debug)]
pub enum Event {
    /// Start what is to be started, in order. The first event.
    Begin,
    /// Something about one process.
    Process(ProcessId, Happened),
    /// `wake_at` has come.
    Tick,
    /// SIGHUP: these are the programs from now on.
    Reload(Vec<GroupConfig>),
    /// Stop everything, in order.
    End,
    /// … and without waiting for anybody for longer than this.
    Hasten(Duration),
    /// The worker pool has ended, or what there is in its place: what starts before it may stop now. Comes in any case.
    PoolGone,
}

/// What happened to one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It is to be started. While it stops: as soon as it has.
    Start,
    /// It is to be stopped.
    Stop,
    /// An earlier maitred has left processes of it, which are to end first.
    Found,
    /// An earlier maitred has left this main process, which started so long ago and is looked after from now on.
    Adopted(Pid, Duration),
    /// `Spawn` was done.
    Spawned(Pid),
    /// `Spawn` could not be done: why, naming what was to be run.
    SpawnFailed(String),
    /// Its main process was reaped.
    Exited {
        /// How.
        exit: Exit,
        /// Whether others that it started are still there.
        remains: bool,
    },
    /// None of those that it had started is there any more.
    RemainsGone,
    /// A signal could not be sent to it: why.
    SignalFailed(String),
    /// A check of this main process has come to its end: what was wrong.
    Checked(Pid, Option<String>),
    /// This main process has said that it is ready.
    Ready(Pid),
    /// This main process has said that it is alive.
    Beat(Pid),
    /// `Measure` was done: bytes.
    Measured(u64),
    /// Time has passed.
    Tick,
}

/// What the loop is to do, in this order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Start a process. Answered by `Spawned` or `SpawnFailed`.
    Spawn(ProcessId, Rc<ProcessConfig>),
    /// Send a signal. Answered by `SignalFailed` if that is not allowed.
    Signal(ProcessId, Target, i32),
    /// Try whether its main process is ready or alive. Answered by `Checked`.
    Check(ProcessId, Rc<ProcessConfig>, Pid, CheckConfig),
    /// Look how much memory it and all that it has started have. Answered by `Measured`.
    Measure(ProcessId),
    /// Its configuration has changed in parts that take no new process.
    Adjust(ProcessId, Rc<ProcessConfig>),
    /// It is no longer looked after; nothing of it is left.
    Forget(ProcessId),
    /// For the log and for whoever listens to events.
    Report(ProcessId, Rc<ProcessConfig>, Report),
    /// A process with `on_fatal = "exit"` was given up: stop everything.
    GiveUp,
    /// After `End`: nothing is left. The last action.
    Done,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The main process.
    Main,
    /// The main process's group.
    Group,
    /// What the main process has left behind.
    Remains,
    /// The main process and everything that it started.
    Tree,
}

/// Why a process that is up is stopped and started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It did not show that it is alive: what was wrong when it was last tried.
    NotAlive(String),
    /// It and what it has started have so many bytes of memory.
    TooLarge(u64),
    /// It has lived for as long as it may.
    TooOld,
}

/// What is worth telling a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its state changed.
    Became {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// It was begun.
    Started(Pid),
    /// It was left by an earlier maitred, and is looked after from now on. It started so long ago.
    Adopted(Pid, Duration),
    /// It has been up for `startsecs`.
    IsUp,
    /// It could not be begun.
    StartFailed {
        /// Why.
        error: String,
        /// The wait before the next try; None: there is none.
        retry_in: Option<Duration>,
    },
    /// It ended before it was up.
    EndedEarly {
        /// How.
        exit: Exit,
        /// The wait before the next try; None: there is none.
        retry_in: Option<Duration>,
    },
    /// It ended by itself after it was up.
    Ended {
        /// How.
        exit: Exit,
        /// Whether that is one of the expected ways.
        is_expected: bool,
        /// The wait before it is started again; None: it is not.
        restart_in: Option<Duration>,
    },
    /// Too many starts have failed.
    GivenUp {
        /// The wait before it is tried again; None: it is not.
        retry_in: Option<Duration>,
    },
    /// It did not become ready in time, and is stopped as if it had failed to start: what was wrong when it was last tried.
    NotReady(String),
    /// It is to be started anew.
    Renewed(Renewal),
    /// It waits for the program or group of this name, which was given up or is stopped.
    Waits(String),
    /// It ended on request.
    Stopped(Exit),
    /// It was given longer than `stopwaitsecs`, or was not asked: it is killed with all that it started.
    Killing,
    /// Processes of it that an earlier maitred has left are asked to stop.
    Orphans,
    /// It left processes behind, which are ended.
    Remains,
    /// Processes of it do not end although they were killed; they are not waited for any longer.
    LeftBehind,
    /// It could not be signalled.
    SignalFailed(String),
}
