//! Programs as the supervisor gets them: checked, expanded, one value for each process.
//!
//! Owns the types only; [`super::programs`] makes them. Names, defaults and meanings are supervisord's.

use std::path::PathBuf;
use std::time::Duration;

use super::access_log::SyslogConfig;
use super::address::Listen;
use crate::sys::cgroup::GroupLimits;
use crate::sys::restrict::Restrictions;
use crate::sys::users::User;

/// Processes that are named and ordered together: those of one `[program.NAME]`, or of all programs of a `[group.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Unique among the groups.
    pub name: String,
    /// Groups with lower numbers start first and stop last.
    pub priority: i32,
    /// Each with a name of its own within the group.
    pub processes: Vec<ProcessConfig>,
}

/// One process of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    /// The name of its `[program.NAME]`.
    pub program: String,
    /// Its group's name.
    pub group: String,
    /// Its own name, unique within the group.
    pub name: String,
    /// What is run.
    pub launch: LaunchConfig,
    /// How it is looked after.
    pub care: CareConfig,
    /// Where its standard output goes.
    pub stdout: OutputConfig,
    /// Where its standard error goes, unless it is redirected.
    pub stderr: OutputConfig,
}

impl ProcessConfig {
    /// The name by which people and tools call it: `group:name`, or the name alone where both are the same.
    pub fn full_name(&self) -> String {
        if self.group == self.name { self.name.clone() } else { format!("{}:{}", self.group, self.name) }
    }
}

/// What of a program's configuration takes a new process to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchConfig {
    /// Program and arguments; never empty. A name without a slash is looked for on `PATH`.
    pub command: Vec<String>,
    /// Variables that are added to those of maitred, later ones win.
    pub environment: Vec<(String, String)>,
    /// Its working directory; `None` = maitred's.
    pub directory: Option<PathBuf>,
    /// Its file mode creation mask; `None` = maitred's.
    pub umask: Option<u32>,
    /// Whose process it is; `None` = maitred's user.
    pub user: Option<User>,
    /// Its standard error goes where its standard output goes.
    pub redirect_stderr: bool,
    /// Where it is told that the control interface is.
    pub server_url: Option<String>,
    /// Limits of each of its processes.
    pub restrictions: Restrictions,
    /// Limits of all of them together, where control groups are there.
    pub group_limits: GroupLimits,
    /// It gets a `NOTIFY_SOCKET`, because it is to tell that it is ready or alive.
    pub notifies: bool,
}

/// How a process is started, watched and stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CareConfig {
    /// Within its group: lower numbers start first and stop last.
    pub priority: i32,
    /// Start it when maitred starts.
    pub autostart: bool,
    /// Whether it is started again after it ended by itself.
    pub autorestart: Autorestart,
    /// How long it must run for its start to count as a success; may be zero.
    pub startsecs: Duration,
    /// Failed starts after the first one before it is given up.
    pub startretries: u32,
    /// Exit codes that are expected.
    pub exitcodes: Vec<i32>,
    /// Number of the signal that asks it to stop.
    pub stopsignal: i32,
    /// How long it may take to stop before it is killed; may be zero.
    pub stopwaitsecs: Duration,
    /// Send the stop signal to its whole process group.
    pub stopasgroup: bool,
    /// The wait between failed starts.
    pub backoff: BackoffConfig,
    /// Once given up, it is tried again after so long; `None` = never.
    pub fatal_retry: Option<Duration>,
    /// What follows when it is given up.
    pub on_fatal: OnFatal,
    /// Names of programs or groups that must be up before it is started; there is no cycle among them.
    pub depends_on: Vec<String>,
    /// What shows that it is ready; `None` = that it has run for `startsecs`.
    pub ready: Option<CheckConfig>,
    /// What shows, again and again, that it still does its work.
    pub liveness: Option<CheckConfig>,
    /// With more memory than that, bytes of it and all that it has started, it is started anew.
    pub max_rss: Option<u64>,
    /// It is started anew after about so long.
    pub max_lifetime: Option<Duration>,
    /// Number of the signal that it gets when a reload leaves it running.
    pub reload_signal: Option<i32>,
}

/// How it is found out whether a process is ready or alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckConfig {
    /// What is tried.
    pub probe: Probe,
    /// From the end of one try to the next.
    pub interval: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// Failed tries in a row before a process that was up counts as dead.
    pub failures: u32,
    /// How long a start may take until the process is ready.
    pub within: Duration,
}

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection to this address.
    Connect(Listen),
    /// A request to this address, which must be answered with a status from 200 to 399.
    Http {
        /// Where to connect to.
        address: Listen,
        /// The request's Host.
        host: String,
        /// Its target.
        target: String,
    },
    /// A command that must exit with 0; run as the process's user, in its directory, with its variables.
    Command(Vec<String>),
    /// Nothing: the process tells by sd_notify(3).
    Notify,
}

/// Whether a process that ended by itself, after it was running, is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autorestart {
    /// No.
    Never,
    /// When its exit code is none of `exitcodes`, or a signal ended it.
    Unexpected,
    /// Always.
    Always,
}

/// The waits between starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackoffConfig {
    /// As supervisord: n seconds before the nth retry, none after a process that was running has ended.
    Linear,
    /// Doubling waits, also after a process that was running has ended before it had run stably.
    Exponential {
        /// The first wait.
        first: Duration,
        /// The longest wait, at least `first`.
        max: Duration,
        /// What ran as long as this had a good start: earlier failures are forgotten.
        stable: Duration,
    },
}

/// What becomes of what an earlier maitred has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphans {
    /// It is stopped, and started anew.
    End,
    /// It is looked after from there on, as far as that is possible; the rest is stopped.
    Adopt,
    /// Nothing.
    Leave,
}

/// What follows when a process is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFatal {
    /// Nothing: the rest goes on.
    Stay,
    /// maitred stops everything and exits.
    Exit,
}

/// Where one of a process's streams goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputConfig {
    /// Where to.
    pub target: OutputTarget,
    /// When a file is rotated, and what is kept.
    pub rotation: RotationConfig,
    /// What is written into a file.
    pub format: OutputFormat,
    /// Where each line goes too.
    pub syslog: Option<SyslogConfig>,
    /// Bytes that are kept of what stands between the marks of process communication; 0 = the marks mean nothing.
    pub capture_max_bytes: u64,
    /// Event listeners are told what is written.
    pub has_events: bool,
}

impl OutputConfig {
    /// Whether anybody wants what is written.
    pub fn is_wanted(&self) -> bool {
        self.target != OutputTarget::Nothing || self.syslog.is_some() || self.capture_max_bytes > 0 || self.has_events
    }
}

/// When a file is rotated, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationConfig {
    /// Once it has this many bytes; 0 = never.
    pub max_bytes: u64,
    /// Once its first line is so old; `None` = never.
    pub max_age: Option<Duration>,
    /// Rotated files that are kept.
    pub backups: u32,
    /// Rotated files are compressed.
    pub is_packed: bool,
}

/// What of a stream is written into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Its bytes as they are.
    Raw,
    /// Lines, with time, process and stream before each.
    Text,
    /// One JSON object for each line.
    Json,
}

/// The place of a stream's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputTarget {
    /// maitred's own log, line by line.
    Log,
    /// This file, byte for byte.
    File(PathBuf),
    /// A file in this directory, made anew at each start of maitred.
    Automatic(PathBuf),
    /// Nowhere.
    Nothing,
}
