//! The transitions as a table, and the stories behind them: retries, waits, ordered starts and stops, reloads.

use super::process::{Process, Step};
use super::*;
use crate::base::bounds::REAP_SECONDS;
use crate::config::{
    Autorestart, BackoffConfig, CareConfig, LaunchConfig, OutputConfig, OutputFormat, OutputTarget, RotationConfig,
};
use crate::sys::process::Exit;
use std::time::Duration;

pub(super) fn care() -> CareConfig {
    CareConfig {
        priority: 999,
        autostart: true,
        autorestart: Autorestart::Unexpected,
        startsecs: Duration::from_secs(1),
        startretries: 3,
        exitcodes: vec![0],
        stopsignal: 15,
        stopwaitsecs: Duration::from_secs(10),
        stopasgroup: false,
        backoff: BackoffConfig::Linear,
        fatal_retry: None,
        on_fatal: OnFatal::Stay,
        depends_on: Vec::new(),
        ready: None,
        liveness: None,
        max_rss: None,
        max_lifetime: None,
        reload_signal: None,
    }
}

pub(super) fn config(name: &str, care: CareConfig) -> ProcessConfig {
    let output = OutputConfig {
        target: OutputTarget::Log,
        rotation: RotationConfig { max_bytes: 0, max_age: None, backups: 0, is_packed: false },
        format: OutputFormat::Raw,
        syslog: None,
        capture_max_bytes: 0,
        has_events: false,
    };
    ProcessConfig {
        program: name.to_owned(),
        group: name.to_owned(),
        name: name.to_owned(),
        launch: LaunchConfig {
            command: vec![name.to_owned()],
            environment: Vec::new(),
            directory: None,
            umask: None,
            user: None,
            redirect_stderr: false,
            server_url: None,
            restrictions: Default::default(),
            group_limits: Default::default(),
            notifies: false,
        },
        care,
        stdout: output.clone(),
        stderr: output,
    }
}

pub(super) fn group(config: ProcessConfig) -> GroupConfig {
    GroupConfig { name: config.group.clone(), priority: config.care.priority, processes: vec![config] }
}

pub(super) fn pid(number: i32) -> Pid {
    Pid::from_raw(number).expect("positive")
}

fn at(seconds: f64) -> Monotonic {
    Monotonic::ZERO + Duration::from_secs_f64(1000.0 + seconds)
}

pub(super) const OK: Exit = Exit::Code(0);
pub(super) const BAD: Exit = Exit::Code(1);

/// One process, its care, and the states that it went through.
pub(super) struct Played {
    pub process: Process,
    pub care: CareConfig,
    pub states: Vec<State>,
    pub spawns: usize,
    pub signals: Vec<(Target, i32)>,
    pub checks: usize,
    pub measures: usize,
    pub renewals: Vec<Renewal>,
}

impl Played {
    pub fn new(care: CareConfig) -> Played {
        Played {
            process: Process::new(1),
            care,
            states: Vec::new(),
            spawns: 0,
            signals: Vec::new(),
            checks: 0,
            measures: 0,
            renewals: Vec::new(),
        }
    }

    pub fn play(&mut self, happened: Happened, seconds: f64) -> &mut Played {
        let mut steps = Vec::new();
        self.process.handle(happened, &self.care, at(seconds), &mut steps);
        for step in steps {
            match step {
                Step::Spawn => self.spawns += 1,
                Step::Signal(target, signal) => self.signals.push((target, signal)),
                Step::Check(..) => self.checks += 1,
                Step::Measure => self.measures += 1,
                Step::Report(Report::Renewed(why)) => self.renewals.push(why),
                Step::Report(Report::Became { to, .. }) => self.states.push(to),
                Step::Report(_) => {}
            }
        }
        self
    }

    pub fn exit(&mut self, exit: Exit, remains: bool, seconds: f64) -> &mut Played {
        self.play(Happened::Exited { exit, remains }, seconds)
    }

    /// Brings a fresh process into `state`.
    pub fn brought(state: State, care: CareConfig) -> Played {
        let mut played = Played::new(care);
        match state {
            State::Stopped => {}
            State::Starting => {
                played.play(Happened::Start, 0.0).play(Happened::Spawned(pid(7)), 0.0);
            }
            State::Running => {
                played.play(Happened::Start, -2.0).play(Happened::Spawned(pid(7)), -2.0).play(Happened::Tick, -1.0);
            }
            State::Backoff => {
                played.play(Happened::Start, 0.0).play(Happened::SpawnFailed("no".into()), 0.0);
            }
            State::Stopping => {
                played = Played::brought(State::Running, played.care);
                played.play(Happened::Stop, 0.0);
            }
            State::Exited => {
                played = Played::brought(State::Running, played.care);
                played.exit(OK, false, 0.0);
            }
            State::Fatal => {
                played.care.startretries = 0;
                played.play(Happened::Start, 0.0).play(Happened::SpawnFailed("no".into()), 0.0);
            }
            State::Unknown => {
                played = Played::brought(State::Stopping, played.care);
                played.play(Happened::SignalFailed("not allowed".into()), 0.0);
            }
        }
        assert_eq!(played.process.state(), state);
        (played.states, played.spawns, played.signals) = (Vec::new(), 0, Vec::new());
        played
    }
}

/// supervisord's transitions: the state, what happens and when (seconds), the states that follow, and how many starts.
#[test]
fn transitions() {
    use Happened::{Start, Stop, Tick};
    use State::{Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Unknown};
    let exited = |exit| Happened::Exited { exit, remains: false };
    let killed = Exit::Signal { signal: 9, core_dumped: false };
    let adopted = Happened::Adopted(Pid::from_raw(4000).expect("positive"), Duration::from_secs(60));
    let table: &[(State, Happened, f64, &[State], usize)] = &[
        (Stopped, Start, 0.0, &[Starting], 1),
        (Stopped, Stop, 0.0, &[], 0),
        (Stopped, Tick, 9.0, &[], 0),
        (Stopped, adopted.clone(), 0.0, &[Running], 0),
        (Starting, adopted, 0.5, &[], 0),
        (Starting, Start, 0.5, &[], 0),
        (Starting, Stop, 0.5, &[Stopping], 0),
        (Starting, Tick, 0.9, &[], 0),
        (Starting, Tick, 1.0, &[Running], 0),
        (Starting, exited(OK), 0.5, &[Backoff], 0),
        (Starting, exited(BAD), 0.5, &[Backoff], 0),
        (Starting, exited(OK), 1.5, &[Running, Exited], 0),
        (Starting, exited(BAD), 1.5, &[Running, Exited, Starting], 1),
        (Running, Start, 0.0, &[], 0),
        (Running, Stop, 0.0, &[Stopping], 0),
        (Running, Tick, 99.0, &[], 0),
        (Running, exited(OK), 0.0, &[Exited], 0),
        (Running, exited(BAD), 0.0, &[Exited, Starting], 1),
        (Running, exited(killed), 0.0, &[Exited, Starting], 1),
        (Running, exited(Exit::Unknown), 0.0, &[Exited, Starting], 1),
        (Backoff, Start, 0.5, &[], 0),
        (Backoff, Stop, 0.5, &[Stopped], 0),
        (Backoff, Tick, 0.9, &[], 0),
        (Backoff, Tick, 1.0, &[Starting], 1),
        (Stopping, Start, 0.5, &[], 0),
        (Stopping, Stop, 0.5, &[], 0),
        (Stopping, Tick, 99.0, &[], 0),
        (Stopping, exited(OK), 0.5, &[Stopped], 0),
        (Stopping, exited(killed), 0.5, &[Stopped], 0),
        (Stopping, Happened::SignalFailed("no".into()), 0.0, &[Unknown], 0),
        (Exited, Start, 0.0, &[Starting], 1),
        (Exited, Stop, 0.0, &[], 0),
        (Exited, Tick, 99.0, &[], 0),
        (Fatal, Start, 0.0, &[Starting], 1),
        (Fatal, Stop, 0.0, &[], 0),
        (Fatal, Tick, 99.0, &[], 0),
        (Unknown, Start, 0.0, &[], 0),
        (Unknown, Stop, 0.0, &[Stopping], 0),
        (Unknown, exited(OK), 0.0, &[Stopped], 0),
    ];
    for (state, happened, seconds, expected, spawns) in table {
        let mut played = Played::brought(*state, care());
        played.play(happened.clone(), *seconds);
        assert_eq!(played.states, *expected, "{state} {happened:?}");
        assert_eq!(played.spawns, *spawns, "{state} {happened:?}");
    }
}

#[test]
fn autorestart_decides_by_the_exit_code() {
    let signal = Exit::Signal { signal: 15, core_dumped: false };
    for (autorestart, exit, restarts) in [
        (Autorestart::Never, BAD, 0),
        (Autorestart::Unexpected, OK, 0),
        (Autorestart::Unexpected, Exit::Code(2), 0),
        (Autorestart::Unexpected, BAD, 1),
        (Autorestart::Unexpected, signal, 1),
        (Autorestart::Always, OK, 1),
        (Autorestart::Always, BAD, 1),
    ] {
        let mut played = Played::brought(State::Running, CareConfig { autorestart, exitcodes: vec![0, 2], ..care() });
        assert_eq!(played.exit(exit, false, 0.0).spawns, restarts, "{autorestart:?} {exit}");
    }
}

/// Starts again as soon as it may until it is given up; the waits in between.
fn waits(care: CareConfig) -> Vec<Duration> {
    let mut played = Played::new(care);
    let mut now = at(0.0);
    let mut waits = Vec::new();
    let mut happened = Happened::Start;
    loop {
        let mut steps = Vec::new();
        played.process.handle(happened, &played.care, now, &mut steps);
        if steps.contains(&Step::Spawn) {
            happened = Happened::SpawnFailed("no".into());
            continue;
        }
        if played.process.state() == State::Fatal || waits.len() == 100 {
            return waits;
        }
        let due = played.process.wake_at(&played.care).expect("a wait has an end");
        waits.push(due.since(now));
        (now, happened) = (due, Happened::Tick);
    }
}

#[test]
fn a_start_is_retried_as_often_as_configured_with_longer_waits_each_time() {
    for retries in [0, 1, 3, 10] {
        let expected: Vec<Duration> = (1..=u64::from(retries)).map(Duration::from_secs).collect();
        assert_eq!(waits(CareConfig { startretries: retries, ..care() }), expected);
    }
}

#[test]
fn an_exponential_backoff_doubles_up_to_its_cap_with_some_of_it_taken_off() {
    let (first, max) = (Duration::from_secs(1), Duration::from_secs(10));
    let backoff = BackoffConfig::Exponential { first, max, stable: max };
    let waits = waits(CareConfig { startretries: 40, backoff, ..care() });
    assert_eq!(waits.len(), 40);
    for (retry, wait) in waits.iter().enumerate() {
        let full = (first * (1 << retry.min(20))).min(max);
        assert!(*wait <= full && *wait >= full.mul_f64(0.75), "retry {retry}: {wait:?} of {full:?}");
    }
    assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]), "waits differ");
}

#[test]
fn an_exponential_backoff_paces_crashes_until_one_life_was_long() {
    let second = Duration::from_secs(1);
    let backoff = BackoffConfig::Exponential { first: 4 * second, max: 100 * second, stable: 30 * second };
    let mut played = Played::brought(State::Running, CareConfig { backoff, ..care() });
    played.exit(BAD, false, 0.0);
    assert_eq!((played.spawns, played.process.state()), (0, State::Exited));
    played.play(Happened::Tick, 4.0).play(Happened::Spawned(pid(8)), 4.0).exit(BAD, false, 6.0);
    assert_eq!(played.spawns, 1);
    let due = played.process.wake_at(&played.care).expect("it is restarted");
    assert!(due >= at(12.0) && due <= at(14.0), "twice the first wait, less a quarter at most");
    played.play(Happened::Tick, 14.0).play(Happened::Spawned(pid(9)), 14.0).exit(BAD, false, 60.0);
    assert_eq!(played.spawns, 3, "it was stable: started again at once");
    assert_eq!(played.play(Happened::Stop, 60.0).play(Happened::Spawned(pid(10)), 60.0).signals, [(Target::Main, 15)]);
}

#[test]
fn a_process_without_startsecs_does_not_spin() {
    let care = CareConfig { startsecs: Duration::ZERO, autorestart: Autorestart::Always, ..care() };
    let mut played = Played::new(care);
    played.play(Happened::Start, 0.0).play(Happened::Spawned(pid(7)), 0.0).exit(OK, false, 0.001);
    assert_eq!(played.states, [State::Starting, State::Running, State::Exited]);
    played.play(Happened::Tick, 0.09);
    assert_eq!(played.spawns, 1);
    assert_eq!(played.play(Happened::Tick, 0.1).spawns, 2);
}

#[test]
fn what_does_not_stop_is_killed_with_all_it_started_and_killed_again() {
    let mut played = Played::brought(State::Running, CareConfig { stopasgroup: true, ..care() });
    played.play(Happened::Stop, 0.0).play(Happened::Tick, 9.9);
    assert_eq!(played.signals, [(Target::Group, 15)]);
    played.play(Happened::Tick, 10.0);
    assert_eq!(played.signals[1..], [(Target::Tree, 9)]);
    assert!(!played.process.is_stuck(at(10.0)));
    played.play(Happened::Tick, 10.0 + REAP_SECONDS as f64);
    assert_eq!(played.signals[2..], [(Target::Tree, 9)]);
    assert!(played.process.is_stuck(at(10.0 + REAP_SECONDS as f64)));
    played.exit(Exit::Signal { signal: 9, core_dumped: false }, false, 20.0);
    assert_eq!(played.process.state(), State::Stopped);
}

#[test]
fn what_a_stopped_process_leaves_is_asked_then_killed_and_waited_for() {
    let mut played = Played::brought(State::Running, care());
    played.play(Happened::Stop, 0.0).exit(OK, true, 1.0);
    assert_eq!(played.process.state(), State::Stopping);
    assert_eq!(played.signals, [(Target::Main, 15), (Target::Remains, 15)]);
    played.play(Happened::Start, 2.0).play(Happened::Tick, 10.0);
    assert_eq!(played.signals[2..], [(Target::Remains, 9)]);
    assert_eq!((played.spawns, played.process.is_quiet()), (0, false));
    played.play(Happened::RemainsGone, 10.1);
    assert_eq!(
        played.states,
        [State::Stopping, State::Stopped, State::Starting],
        "then it is started, as was asked for"
    );
    let mut stuck = Played::brought(State::Running, care());
    stuck
        .play(Happened::Stop, 0.0)
        .exit(OK, true, 1.0)
        .play(Happened::Tick, 10.0)
        .play(Happened::Tick, 10.0 + REAP_SECONDS as f64);
    assert_eq!(stuck.process.state(), State::Stopped, "a stop has an end even if the kernel holds what is left");
}

#[test]
fn what_a_crashed_process_leaves_is_killed_before_the_next_start() {
    let mut played = Played::brought(State::Running, care());
    played.exit(BAD, true, 0.0);
    assert_eq!((played.signals.as_slice(), played.spawns), (&[(Target::Remains, 9)][..], 0));
    assert_eq!(played.play(Happened::RemainsGone, 0.1).spawns, 1);
    let mut stuck = Played::brought(State::Running, care());
    stuck.exit(BAD, true, 0.0).play(Happened::Tick, REAP_SECONDS as f64);
    assert_eq!(stuck.spawns, 1);
}

#[test]
fn a_process_that_was_given_up_is_tried_again_if_so_configured() {
    let care = CareConfig { fatal_retry: Some(Duration::from_secs(60)), ..care() };
    let mut played = Played::brought(State::Fatal, care);
    assert_eq!(played.play(Happened::Tick, 59.0).spawns, 0);
    assert_eq!(played.play(Happened::Tick, 60.0).spawns, 1);
    assert_eq!(played.play(Happened::SpawnFailed("no".into()), 60.0).process.state(), State::Fatal);
    assert_eq!(played.play(Happened::Stop, 61.0).process.state(), State::Stopped);
    assert_eq!(played.play(Happened::Tick, 999.0).spawns, 1);
}

/// A machine, and who was started and signalled in which order.
pub(super) struct Fleet {
    pub machine: Machine,
    pub next_pid: i32,
    pub log: Vec<String>,
    pub ids: HashMap<String, ProcessId>,
}

impl Fleet {
    pub fn new(groups: &[GroupConfig]) -> Fleet {
        let machine = Machine::new(groups, 1);
        let mut fleet = Fleet { machine, next_pid: 100, log: Vec::new(), ids: HashMap::new() };
        fleet.play(Event::Begin, 0.0);
        fleet
    }

    /// Every start succeeds; the log since the last call.
    pub fn play(&mut self, event: Event, seconds: f64) -> Vec<String> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.handle(event, at(seconds)) {
                match action {
                    Action::Spawn(id, config) => {
                        self.ids.insert(config.name.clone(), id);
                        self.log.push(format!("+{}", config.launch.command[0]));
                        self.next_pid += 1;
                        events.push(Event::Process(id, Happened::Spawned(pid(self.next_pid))));
                    }
                    Action::Signal(id, _, signal) => {
                        let name = self.ids.iter().find(|(_, known)| **known == id).expect("it was started").0;
                        self.log.push(format!("-{name}:{signal}"));
                    }
                    Action::Done => self.log.push("done".into()),
                    Action::GiveUp => self.log.push("give up".into()),
                    Action::Forget(_) => self.log.push("forget".into()),
                    Action::Adjust(..) => self.log.push("adjust".into()),
                    Action::Report(_, config, Report::Waits(name)) => {
                        self.log.push(format!("{} waits for {name}", config.name))
                    }
                    Action::Report(..) | Action::Check(..) | Action::Measure(_) => {}
                }
            }
        }
        std::mem::take(&mut self.log)
    }

    pub fn exit(&mut self, name: &str, seconds: f64) -> Vec<String> {
        self.play(Event::Process(self.ids[name], Happened::Exited { exit: OK, remains: false }), seconds)
    }
}

fn at_priority(name: &str, priority: i32) -> GroupConfig {
    group(config(name, CareConfig { priority, ..care() }))
}

#[test]
fn priorities_order_starts_and_stops() {
    let groups = [at_priority("low", 1), at_priority("a", 5), at_priority("b", 5), at_priority("high", 1000)];
    let mut fleet = Fleet::new(&groups);
    let statuses = |fleet: &Fleet| fleet.machine.statuses().iter().map(|status| status.state).collect::<Vec<_>>();
    use State::{Running, Starting, Stopped};
    assert_eq!(statuses(&fleet), [Starting, Stopped, Stopped, Stopped]);
    assert_eq!(fleet.play(Event::Tick, 1.0), ["+a", "+b"]);
    assert_eq!(fleet.play(Event::Tick, 2.0), ["+high"]);
    fleet.play(Event::Tick, 3.0);
    assert_eq!(statuses(&fleet), [Running; 4]);
    assert_eq!(fleet.play(Event::End, 4.0), ["-high:15"]);
    assert_eq!(fleet.exit("high", 5.0), [""; 0], "the workers, of priority 999, come before");
    assert_eq!(fleet.play(Event::PoolGone, 6.0), ["-a:15", "-b:15"]);
    assert_eq!(fleet.exit("b", 7.0), [""; 0]);
    assert_eq!(fleet.exit("a", 7.0), ["-low:15"]);
    assert_eq!(fleet.exit("low", 7.0), ["done"]);
}

#[test]
fn what_starts_later_waits_until_the_former_is_up_or_was_given_up() {
    let never = CareConfig { startretries: 1_000, priority: 1, ..care() };
    let groups = [group(config("never", never)), at_priority("later", 2)];
    let mut machine = Machine::new(&groups, 1);
    let mut actions = machine.handle(Event::Begin, at(0.0));
    let mut failures = 0;
    let mut now = at(0.0);
    loop {
        let spawned = actions.iter().find_map(|action| match action {
            Action::Spawn(id, config) => Some((*id, config.name.clone())),
            _ => None,
        });
        match spawned {
            Some((_, name)) if name == "later" => break,
            Some((id, _)) => {
                failures += 1;
                actions = machine.handle(Event::Process(id, Happened::SpawnFailed("no".into())), now);
            }
            None => {
                now = machine.wake_at().expect("a wait has an end");
                actions = machine.handle(Event::Tick, now);
            }
        }
    }
    assert_eq!(failures, 4);
}

#[test]
fn a_fast_end_waits_for_nobody() {
    let mut fleet = Fleet::new(&[at_priority("first", 1), at_priority("second", 2)]);
    fleet.play(Event::Tick, 1.0);
    fleet.play(Event::Tick, 2.0);
    assert_eq!(fleet.play(Event::End, 3.0), [""; 0]);
    let mut told = fleet.play(Event::Hasten(Duration::from_secs(2)), 3.0);
    told.sort();
    assert_eq!(told, ["-first:15", "-second:15"]);
    assert_eq!(fleet.play(Event::Tick, 5.0).len(), 2, "both are killed");
    fleet.exit("first", 5.1);
    fleet.exit("second", 5.1);
    assert_eq!(fleet.play(Event::PoolGone, 5.2), ["done"]);
}

#[test]
fn a_critical_process_that_is_given_up_ends_everything() {
    let critical = CareConfig { startretries: 0, on_fatal: OnFatal::Exit, ..care() };
    let mut fleet = Fleet::new(&[group(config("critical", critical))]);
    assert_eq!(fleet.exit("critical", 0.5), ["give up"]);
    assert_eq!(fleet.play(Event::End, 0.5), [""; 0]);
    assert_eq!(fleet.play(Event::PoolGone, 0.5), ["done"]);
}

#[test]
fn a_reload_touches_only_the_difference() {
    let groups =
        [at_priority("same", 5), at_priority("changed", 5), at_priority("gone", 5), at_priority("adjusted", 5)];
    let mut fleet = Fleet::new(&groups);
    fleet.play(Event::Tick, 1.0);
    let mut changed = at_priority("changed", 5);
    changed.processes[0].launch.command = vec!["changed2".into()];
    let mut adjusted = at_priority("adjusted", 5);
    adjusted.processes[0].care.stopwaitsecs = Duration::ZERO;
    let next = vec![at_priority("same", 5), changed, adjusted, at_priority("new", 5)];
    let mut told = fleet.play(Event::Reload(next.clone()), 2.0);
    told.sort();
    assert_eq!(told, ["+new", "-changed:15", "-gone:15", "adjust"]);
    assert_eq!(fleet.exit("gone", 3.0), ["forget"]);
    assert_eq!(fleet.exit("changed", 3.0), ["adjust", "+changed2"]);
    assert_eq!(fleet.play(Event::Reload(next.clone()), 4.0), [""; 0], "nothing has changed since");
    // Taken away and brought back while it stops: it stops, and comes back.
    assert_eq!(fleet.play(Event::Reload(next[1..].to_vec()), 5.0), ["-same:15"]);
    assert_eq!(fleet.play(Event::Reload(next), 5.0), [""; 0]);
    assert_eq!(fleet.exit("same", 6.0), ["adjust", "+same"]);
}
