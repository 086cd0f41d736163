//! One process as the machine sees it, through all its restarts: supervisord's states and transitions.
//!
//! Pure: events and the time in, actions out. Knows nothing of other processes.

use super::checks::Watch;
use super::event::{Happened, Renewal, Report, Target};
use super::state::State;
use crate::base::bounds::{REAP_SECONDS, RESTART_SPACING_MS};
use crate::base::clock::Monotonic;
use crate::config::{Autorestart, BackoffConfig, CareConfig, CheckConfig};
use crate::sys::process::{Exit, Pid};
use std::time::Duration;

/// How long what was killed is waited for before it is killed again.
const REAP: Duration = Duration::from_secs(REAP_SECONDS);
/// The least time between two starts.
const SPACING: Duration = Duration::from_millis(RESTART_SPACING_MS);

/// What is to be done for one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Spawn,
    Signal(Target, i32),
    Check(Pid, CheckConfig),
    Measure,
    Report(Report),
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) phase: Phase,
    /// Whether it is ready and alive, and when to look.
    pub(super) watch: Watch,
    /// It did not become ready: once it has stopped, that is a failed start.
    has_missed_start: bool,
    /// The last end by itself after it was up was one of the expected ways.
    has_ended_well: bool,
    /// What it left behind is there until then at most; None: nothing is.
    remains: Option<Monotonic>,
    /// Failed starts in a row.
    failures: u32,
    /// Lives in a row that were shorter than an exponential backoff asks for.
    short_lives: u32,
    /// Start it again once it has stopped.
    starts_again: bool,
    /// It may be started: false once everything ends.
    may_start: bool,
    random: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Stopped,
    /// `Spawn` is not answered yet.
    Spawning {
        stops: bool,
    },
    Starting {
        pid: Pid,
        since: Monotonic,
    },
    Running {
        pid: Pid,
        since: Monotonic,
    },
    Backoff {
        until: Monotonic,
    },
    Stopping {
        /// None once the main process is gone and only what it left behind is waited for.
        pid: Option<Pid>,
        kill_at: Monotonic,
        /// When it was first killed.
        killed: Option<Monotonic>,
    },
    Exited {
        restart_at: Option<Monotonic>,
    },
    Fatal {
        retry_at: Option<Monotonic>,
    },
    Unknown {
        pid: Pid,
    },
}

impl Process {
    /// One that was never started. `seed` makes its waits differ from those of others.
    pub fn new(seed: u64) -> Process {
        Process {
            phase: Phase::Stopped,
            watch: Watch::default(),
            has_missed_start: false,
            has_ended_well: false,
            remains: None,
            failures: 0,
            short_lives: 0,
            starts_again: false,
            may_start: true,
            random: seed | 1,
        }
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Spawning { .. } | Phase::Starting { .. } => State::Starting,
            Phase::Running { .. } => State::Running,
            Phase::Backoff { .. } => State::Backoff,
            Phase::Stopping { .. } => State::Stopping,
            Phase::Exited { .. } => State::Exited,
            Phase::Fatal { .. } => State::Fatal,
            Phase::Unknown { .. } => State::Unknown,
        }
    }

    /// Its main process, if it is there.
    pub fn pid(&self) -> Option<Pid> {
        match self.phase {
            Phase::Starting { pid, .. } | Phase::Running { pid, .. } | Phase::Unknown { pid } => Some(pid),
            Phase::Stopping { pid, .. } => pid,
            Phase::Stopped
            | Phase::Spawning { .. }
            | Phase::Backoff { .. }
            | Phase::Exited { .. }
            | Phase::Fatal { .. } => None,
        }
    }

    /// Nothing of it is there.
    pub fn is_quiet(&self) -> bool {
        self.state().is_stopped() && self.pid().is_none() && self.remains.is_none()
    }

    /// It is stopped or stops, and will be started by itself.
    pub fn is_to_start(&self) -> bool {
        let is_due = matches!(self.phase, Phase::Exited { restart_at: Some(_) } | Phase::Fatal { retry_at: Some(_) });
        self.may_start && (self.starts_again || is_due)
    }

    /// It was killed so long ago that the kernel must be holding it.
    pub fn is_stuck(&self, now: Monotonic) -> bool {
        match self.phase {
            Phase::Stopping { killed: Some(killed), .. } => now >= killed + REAP,
            Phase::Unknown { .. } => true,
            _ => false,
        }
    }

    /// Who waits for it need wait no longer: it is up, or has done what it was for.
    pub fn is_satisfied(&self) -> bool {
        match self.state() {
            State::Running => true,
            State::Exited => self.has_ended_well,
            _ => false,
        }
    }

    /// Failed starts in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It is not started any more, whatever happens.
    pub fn freeze(&mut self) {
        self.may_start = false;
        self.starts_again = false;
        self.has_missed_start = false;
    }

    /// While it stops: kill it in so long at the latest.
    pub fn hasten(&mut self, rest: Duration, now: Monotonic) {
        if let Phase::Stopping { kill_at, killed: None, .. } = &mut self.phase {
            *kill_at = (*kill_at).min(now + rest);
        }
    }

    /// When a tick is due for its sake.
    pub fn wake_at(&self, care: &CareConfig) -> Option<Monotonic> {
        let due = match self.phase {
            Phase::Starting { since, .. } => self.watch.start_at(since, care),
            Phase::Stopping { kill_at, .. } => Some(kill_at),
            _ if self.remains.is_some() || !self.may_start => None,
            Phase::Running { .. } => self.watch.next_at(),
            Phase::Backoff { until } => Some(until),
            Phase::Exited { restart_at } => restart_at,
            Phase::Fatal { retry_at } => retry_at,
            Phase::Stopped | Phase::Spawning { .. } | Phase::Unknown { .. } => None,
        };
        due.into_iter().chain(self.remains).min()
    }

    /// Takes note of what happened and says what to do, in order.
    pub fn handle(&mut self, happened: Happened, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        match happened {
            Happened::Start => self.start(now),
            Happened::Stop => self.stop(care, now, steps),
            Happened::Found => {
                if self.phase == Phase::Stopped {
                    steps.push(Step::Report(Report::Orphans));
                    self.become_(Phase::Stopping { pid: None, kill_at: now + care.stopwaitsecs, killed: None }, steps);
                    steps.push(Step::Signal(Target::Remains, care.stopsignal));
                }
            }
            Happened::Adopted(pid, age) => {
                if self.phase == Phase::Stopped {
                    steps.push(Step::Report(Report::Adopted(pid, age)));
                    self.become_(Phase::Running { pid, since: now.minus(age) }, steps);
                    let fraction = self.fraction();
                    self.watch.came_up(care, now, fraction);
                }
            }
            Happened::Spawned(pid) => self.spawned(pid, care, now, steps),
            Happened::SpawnFailed(error) => self.spawn_failed(error, care, now, steps),
            Happened::Exited { exit, remains } => self.exited(exit, remains, care, now, steps),
            Happened::RemainsGone => self.remains_gone(steps),
            Happened::SignalFailed(error) => {
                if let Phase::Stopping { pid: Some(pid), .. } = self.phase {
                    steps.push(Step::Report(Report::SignalFailed(error)));
                    self.become_(Phase::Unknown { pid }, steps);
                }
            }
            Happened::Checked(pid, wrong) if self.pid() == Some(pid) => self.checked(wrong, care, now, steps),
            Happened::Ready(pid) if self.pid() == Some(pid) => self.watch.is_ready = true,
            Happened::Beat(pid) if self.pid() == Some(pid) => self.watch.beat(care, now),
            Happened::Measured(bytes) => self.measured(bytes, care, now, steps),
            Happened::Checked(..) | Happened::Ready(_) | Happened::Beat(_) | Happened::Tick => {}
        }
        self.settle(care, now, steps);
    }

    fn become_(&mut self, phase: Phase, steps: &mut Vec<Step>) {
        let from = self.state();
        self.phase = phase;
        let to = self.state();
        if from != to {
            steps.push(Step::Report(Report::Became { from, to }));
        }
    }

    fn start(&mut self, now: Monotonic) {
        match &mut self.phase {
            Phase::Stopping { .. } | Phase::Unknown { .. } | Phase::Spawning { stops: true } => {
                self.starts_again = self.may_start;
                self.has_missed_start = false;
            }
            Phase::Exited { restart_at: due } | Phase::Fatal { retry_at: due } => {
                *due = Some(now);
                (self.failures, self.short_lives) = (0, 0);
            }
            Phase::Stopped => {
                // No other state than STOPPED is told of until it is begun, which follows at once.
                self.starts_again = self.may_start;
                (self.failures, self.short_lives) = (0, 0);
            }
            Phase::Spawning { stops: false }
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Backoff { .. } => {}
        }
    }

    fn stop(&mut self, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        self.starts_again = false;
        self.has_missed_start = false;
        match self.phase {
            Phase::Spawning { .. } => self.phase = Phase::Spawning { stops: true },
            Phase::Starting { pid, .. } | Phase::Running { pid, .. } | Phase::Unknown { pid } => {
                self.ask_to_stop(pid, care, now, steps);
            }
            // As long as it would be started again it is not at rest.
            Phase::Backoff { .. } | Phase::Exited { restart_at: Some(_) } | Phase::Fatal { retry_at: Some(_) } => {
                self.failures = 0;
                let phase = match self.remains.take() {
                    None => Phase::Stopped,
                    Some(until) => Phase::Stopping { pid: None, kill_at: until, killed: Some(now) },
                };
                self.become_(phase, steps);
            }
            Phase::Stopped | Phase::Stopping { .. } | Phase::Exited { .. } | Phase::Fatal { .. } => {}
        }
    }

    fn ask_to_stop(&mut self, pid: Pid, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        let target = if care.stopasgroup { Target::Group } else { Target::Main };
        self.become_(Phase::Stopping { pid: Some(pid), kill_at: now + care.stopwaitsecs, killed: None }, steps);
        steps.push(Step::Signal(target, care.stopsignal));
    }

    /// While it is up: stop it and start it anew, which is no failure.
    pub(super) fn renew(&mut self, why: Renewal, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        if let Phase::Running { pid, .. } = self.phase
            && self.may_start
        {
            steps.push(Step::Report(Report::Renewed(why)));
            self.starts_again = true;
            self.ask_to_stop(pid, care, now, steps);
        }
    }

    /// It was given all the time that it may take to become ready.
    pub(super) fn miss_start(&mut self, wrong: String, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        if let Phase::Starting { pid, .. } = self.phase {
            steps.push(Step::Report(Report::NotReady(wrong)));
            self.has_missed_start = true;
            self.ask_to_stop(pid, care, now, steps);
        }
    }

    fn spawned(&mut self, pid: Pid, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        let Phase::Spawning { stops } = self.phase else { return };
        steps.push(Step::Report(Report::Started(pid)));
        self.phase = Phase::Starting { pid, since: now };
        self.watch = Watch::of_start(care, now);
        if stops {
            self.ask_to_stop(pid, care, now, steps);
        }
    }

    fn spawn_failed(&mut self, error: String, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        let Phase::Spawning { stops } = self.phase else { return };
        if stops {
            steps.push(Step::Report(Report::StartFailed { error, retry_in: None }));
            return self.become_(Phase::Stopped, steps);
        }
        self.start_failed(care, now, steps, |retry_in| Report::StartFailed { error, retry_in });
    }

    /// To BACKOFF, and from there to FATAL after too many failures in a row.
    fn start_failed(
        &mut self,
        care: &CareConfig,
        now: Monotonic,
        steps: &mut Vec<Step>,
        report: impl FnOnce(Option<Duration>) -> Report,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.short_lives = self.short_lives.saturating_add(1);
        let retries = self.failures <= care.startretries && self.may_start;
        let wait = match care.backoff {
            BackoffConfig::Linear => Duration::from_secs(u64::from(self.failures)),
            BackoffConfig::Exponential { first, max, .. } => self.doubled(first, max),
        };
        steps.push(Step::Report(report(retries.then_some(wait))));
        self.become_(Phase::Backoff { until: now + wait }, steps);
        if self.failures > care.startretries {
            self.failures = 0;
            self.become_(Phase::Fatal { retry_at: care.fatal_retry.map(|after| now + after) }, steps);
            steps.push(Step::Report(Report::GivenUp { retry_in: care.fatal_retry }));
        }
    }

    fn exited(&mut self, exit: Exit, remains: bool, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        match self.phase {
            Phase::Starting { since, .. } if now < since + care.startsecs || !self.watch.is_ready(care) => {
                self.start_failed(care, now, steps, |retry_in| Report::EndedEarly { exit, retry_in });
                self.end_remains(remains, now, steps);
            }
            Phase::Starting { since, pid } | Phase::Running { since, pid } => {
                // It was up, though nobody had looked since.
                self.came_up(pid, since, care, now, steps);
                self.ended(exit, now.since(since), care, now, steps);
                self.end_remains(remains, now, steps);
            }
            Phase::Stopping { kill_at, killed, .. } => {
                steps.push(Step::Report(Report::Stopped(exit)));
                if !remains {
                    return self.become_(Phase::Stopped, steps);
                }
                let kill_at = if killed.is_some() { now + REAP } else { kill_at };
                self.phase = Phase::Stopping { pid: None, kill_at, killed };
                // With `stopasgroup` it was asked along with the main process.
                match (killed, care.stopasgroup) {
                    (Some(_), _) => steps.push(Step::Signal(Target::Remains, libc::SIGKILL)),
                    (None, false) => steps.push(Step::Signal(Target::Remains, care.stopsignal)),
                    (None, true) => {}
                }
            }
            Phase::Unknown { .. } => {
                steps.push(Step::Report(Report::Stopped(exit)));
                self.become_(Phase::Stopped, steps);
                self.end_remains(remains, now, steps);
            }
            Phase::Stopped
            | Phase::Spawning { .. }
            | Phase::Backoff { .. }
            | Phase::Exited { .. }
            | Phase::Fatal { .. } => {}
        }
    }

    fn came_up(&mut self, pid: Pid, since: Monotonic, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        if matches!(self.phase, Phase::Starting { .. }) {
            self.failures = 0;
            self.become_(Phase::Running { pid, since }, steps);
            let fraction = self.fraction();
            self.watch.came_up(care, now, fraction);
            steps.push(Step::Report(Report::IsUp));
        }
    }

    /// It ended by itself after it was up.
    fn ended(&mut self, exit: Exit, lived: Duration, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        let is_expected = matches!(exit, Exit::Code(code) if care.exitcodes.contains(&code));
        self.has_ended_well = is_expected;
        let restarts = match care.autorestart {
            Autorestart::Never => false,
            Autorestart::Unexpected => !is_expected,
            Autorestart::Always => true,
        };
        let wait = match care.backoff {
            BackoffConfig::Linear => Duration::ZERO,
            BackoffConfig::Exponential { stable, .. } if lived >= stable => {
                self.short_lives = 0;
                Duration::ZERO
            }
            BackoffConfig::Exponential { first, max, .. } => {
                self.short_lives = self.short_lives.saturating_add(1);
                self.doubled(first, max)
            }
        };
        let wait = wait.max(SPACING.saturating_sub(lived));
        let restart_at = (restarts && self.may_start).then_some(now + wait);
        let restart_in = restart_at.map(|_| wait);
        self.become_(Phase::Exited { restart_at }, steps);
        steps.push(Step::Report(Report::Ended { exit, is_expected, restart_in }));
    }

    /// Whatever a process that ended by itself has left is in nobody's hands: it is killed before anything is started.
    fn end_remains(&mut self, remains: bool, now: Monotonic, steps: &mut Vec<Step>) {
        if remains {
            self.remains = Some(now + REAP);
            steps.push(Step::Report(Report::Remains));
            steps.push(Step::Signal(Target::Remains, libc::SIGKILL));
        }
    }

    fn remains_gone(&mut self, steps: &mut Vec<Step>) {
        self.remains = None;
        if let Phase::Stopping { pid: None, .. } = self.phase {
            self.become_(Phase::Stopped, steps);
        }
    }

    /// Takes every step that follows from the state and the time.
    fn settle(&mut self, care: &CareConfig, now: Monotonic, steps: &mut Vec<Step>) {
        if self.remains.is_some_and(|until| now >= until) {
            steps.push(Step::Report(Report::LeftBehind));
            self.remains = None;
        }
        match self.phase {
            Phase::Starting { pid, since } if now >= since + care.startsecs && self.watch.is_ready(care) => {
                self.came_up(pid, since, care, now, steps);
            }
            Phase::Starting { pid, since } => self.watch_start(pid, since, care, now, steps),
            Phase::Running { pid, .. } if self.may_start => self.watch_life(pid, care, now, steps),
            Phase::Stopping { pid, kill_at, killed } if now >= kill_at => {
                if pid.is_none() && killed.is_some() {
                    steps.push(Step::Report(Report::LeftBehind));
                    self.become_(Phase::Stopped, steps);
                } else {
                    if killed.is_none() {
                        steps.push(Step::Report(Report::Killing));
                    }
                    let killed = Some(killed.unwrap_or(now));
                    self.phase = Phase::Stopping { pid, kill_at: now + REAP, killed };
                    let target = if pid.is_some() { Target::Tree } else { Target::Remains };
                    steps.push(Step::Signal(target, libc::SIGKILL));
                }
            }
            _ => {}
        }
        if self.phase == Phase::Stopped && std::mem::take(&mut self.has_missed_start) {
            self.start_failed(care, now, steps, |retry_in| Report::StartFailed {
                error: "it did not become ready".to_owned(),
                retry_in,
            });
        }
        let is_due = match self.phase {
            Phase::Backoff { until } => now >= until,
            Phase::Exited { restart_at: due } | Phase::Fatal { retry_at: due } => due.is_some_and(|due| now >= due),
            Phase::Stopped => self.starts_again,
            _ => false,
        };
        if is_due && self.may_start && self.remains.is_none() {
            self.starts_again = false;
            self.become_(Phase::Spawning { stops: false }, steps);
            steps.push(Step::Spawn);
        }
    }

    /// `first`, doubled with each short life, up to `max`, less a random part of up to a quarter.
    fn doubled(&mut self, first: Duration, max: Duration) -> Duration {
        let doublings = self.short_lives.saturating_sub(1).min(31);
        let wait = first.saturating_mul(1 << doublings).min(max);
        wait - wait.mul_f64(self.fraction() / 4.0)
    }

    /// From 0 to 1. xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
