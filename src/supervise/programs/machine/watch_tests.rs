//! Readiness, liveness, limits of size and age, and the order that dependencies make, as stories.

use super::tests::{BAD, Fleet, OK, Played, care, config, group, pid};
use super::*;
use crate::config::{Autorestart, CareConfig, CheckConfig, Probe};
use std::time::Duration;

fn check(probe: Probe) -> CheckConfig {
    let seconds = Duration::from_secs;
    CheckConfig { probe, interval: seconds(2), timeout: seconds(1), failures: 2, within: seconds(10) }
}

fn command() -> Probe {
    Probe::Command(vec!["check".to_owned()])
}

fn wrong() -> Option<String> {
    Some("no".to_owned())
}

#[test]
fn a_process_is_up_once_it_is_ready_and_not_before_startsecs() {
    let mut played = Played::new(CareConfig { ready: Some(check(command())), ..care() });
    played.play(Happened::Start, 0.0).play(Happened::Spawned(pid(7)), 0.0);
    assert_eq!(played.checks, 1, "it is tried at once");
    played.play(Happened::Checked(pid(7), wrong()), 0.5).play(Happened::Tick, 2.4);
    assert_eq!((played.checks, played.process.state()), (1, State::Starting), "not before the interval is over");
    played.play(Happened::Tick, 2.5).play(Happened::Checked(pid(8), None), 2.6);
    assert_eq!(
        (played.checks, played.process.state()),
        (2, State::Starting),
        "another process's answer is nothing to it"
    );
    played.play(Happened::Checked(pid(7), None), 2.7);
    assert_eq!(played.process.state(), State::Running);
    let mut early = Played::new(CareConfig { ready: Some(check(Probe::Notify)), ..care() });
    early.play(Happened::Start, 0.0).play(Happened::Spawned(pid(7)), 0.0).play(Happened::Ready(pid(7)), 0.1);
    assert_eq!((early.checks, early.process.state()), (0, State::Starting));
    assert_eq!(early.play(Happened::Tick, 1.0).process.state(), State::Running);
}

#[test]
fn what_does_not_become_ready_in_time_has_failed_to_start() {
    let mut played = Played::new(CareConfig { ready: Some(check(command())), startretries: 1, ..care() });
    for round in 0..2 {
        let start = f64::from(round) * 100.0;
        if round == 0 {
            played.play(Happened::Start, start);
        }
        played.play(Happened::Tick, start).play(Happened::Spawned(pid(7)), start);
        played.play(Happened::Checked(pid(7), wrong()), start + 9.0).play(Happened::Tick, start + 10.0);
        assert_eq!(played.process.state(), State::Stopping);
        played.exit(OK, false, start + 10.5);
    }
    use State::{Backoff, Fatal, Starting, Stopped, Stopping};
    let once = [Starting, Stopping, Stopped, Backoff];
    assert_eq!(played.states, [&once[..], &once[..], &[Fatal]].concat());
    assert_eq!(played.spawns, 2);
}

#[test]
fn a_process_that_ends_before_it_is_ready_has_failed_to_start() {
    let mut played = Played::new(CareConfig { ready: Some(check(Probe::Notify)), ..care() });
    played.play(Happened::Start, 0.0).play(Happened::Spawned(pid(7)), 0.0).exit(BAD, false, 5.0);
    assert_eq!(played.process.state(), State::Backoff);
}

#[test]
fn a_stop_while_it_is_not_ready_is_no_failure() {
    let mut played = Played::new(CareConfig { ready: Some(check(Probe::Notify)), ..care() });
    played.play(Happened::Start, 0.0).play(Happened::Spawned(pid(7)), 0.0).play(Happened::Tick, 10.0);
    played.play(Happened::Stop, 10.1).exit(OK, false, 10.2);
    assert_eq!(played.process.state(), State::Stopped);
}

#[test]
fn what_is_not_alive_so_many_times_is_started_anew() {
    let mut played = Played::brought(State::Running, CareConfig { liveness: Some(check(command())), ..care() });
    for (seconds, wrong) in [(2.0, wrong()), (5.0, None), (8.0, wrong()), (11.0, wrong())] {
        assert!(played.renewals.is_empty());
        played.play(Happened::Tick, seconds).play(Happened::Checked(pid(7), wrong), seconds + 0.5);
    }
    assert_eq!(
        played.renewals,
        [Renewal::NotAlive("no".to_owned())],
        "one answer in between counts from the beginning"
    );
    assert_eq!((played.checks, played.process.state()), (4, State::Stopping));
    played.exit(BAD, false, 12.0);
    assert_eq!((played.process.state(), played.spawns), (State::Starting, 1));
}

#[test]
fn a_process_that_says_that_it_lives_is_left_alone() {
    let mut played = Played::brought(State::Running, CareConfig { liveness: Some(check(Probe::Notify)), ..care() });
    for second in 1..20 {
        played.play(Happened::Tick, f64::from(second)).play(Happened::Beat(pid(7)), f64::from(second));
    }
    assert_eq!(played.process.state(), State::Running);
    played.play(Happened::Tick, 21.0).play(Happened::Tick, 23.0);
    assert_eq!(played.renewals.len(), 1);
}

#[test]
fn what_is_too_large_or_too_old_is_started_anew_and_that_is_no_failure() {
    let limits = CareConfig { max_rss: Some(100), autorestart: Autorestart::Never, ..care() };
    let mut large = Played::brought(State::Running, limits);
    large.play(Happened::Tick, 10.0).play(Happened::Measured(100), 10.0);
    assert_eq!((large.measures, large.process.state()), (1, State::Running));
    large.play(Happened::Measured(101), 15.0).exit(BAD, false, 16.0);
    assert_eq!(large.renewals, [Renewal::TooLarge(101)]);
    assert_eq!((large.process.state(), large.spawns), (State::Starting, 1));
    let mut old =
        Played::brought(State::Running, CareConfig { max_lifetime: Some(Duration::from_secs(100)), ..care() });
    old.play(Happened::Tick, 88.0);
    assert_eq!(old.process.state(), State::Running, "chance takes off a tenth at most");
    old.play(Happened::Tick, 99.0).exit(OK, false, 99.5);
    assert_eq!(old.renewals, [Renewal::TooOld]);
    assert_eq!(old.process.state(), State::Starting);
}

fn depending(name: &str, on: &[&str], more: CareConfig) -> GroupConfig {
    let depends_on = on.iter().map(|&name| name.to_owned()).collect();
    group(config(name, CareConfig { depends_on, ..more }))
}

#[test]
fn a_process_starts_after_what_it_depends_on_whatever_the_priorities() {
    let mut fleet = Fleet::new(&[
        depending("first", &["last"], CareConfig { priority: 1, ..care() }),
        depending("other", &[], CareConfig { priority: 2, ..care() }),
        depending("last", &[], CareConfig { priority: 3, autostart: false, ..care() }),
    ]);
    assert_eq!(fleet.ids.keys().collect::<Vec<_>>(), ["other"], "who waits holds up nobody");
    assert_eq!(fleet.play(Event::Tick, 1.0), ["+last"], "it is started although it does not start by itself");
    assert_eq!(fleet.play(Event::Tick, 1.5), [""; 0]);
    assert_eq!(fleet.play(Event::Tick, 2.0), ["+first"]);
    fleet.play(Event::Tick, 5.0);
    assert_eq!(
        fleet.play(Event::PoolGone, 6.0),
        ["-other:15"],
        "the end goes by priority, and from who depends to what is needed"
    );
    assert_eq!(fleet.exit("other", 6.1), ["-first:15"]);
    assert_eq!(fleet.exit("first", 6.2), ["-last:15"]);
    assert_eq!(fleet.exit("last", 6.3), ["done"]);
}

#[test]
fn a_task_that_is_done_satisfies_who_waits_for_it_and_one_that_was_given_up_is_told_of() {
    let once = CareConfig { startsecs: Duration::ZERO, autorestart: Autorestart::Never, ..care() };
    let mut fleet = Fleet::new(&[
        depending("migrate", &[], CareConfig { startsecs: Duration::from_secs(1), ..once.clone() }),
        depending("web", &["migrate"], care()),
    ]);
    assert_eq!(fleet.play(Event::Tick, 2.0), ["+web"]);
    let lost = CareConfig { startretries: 0, ..care() };
    let mut fleet = Fleet::new(&[depending("broken", &[], lost), depending("web", &["broken"], care())]);
    fleet.log.clear();
    let ended = Happened::Exited { exit: BAD, remains: false };
    let broken = fleet.ids["broken"];
    assert_eq!(fleet.play(Event::Process(broken, ended), 0.5), ["web waits for broken"]);
    assert_eq!(fleet.play(Event::Tick, 100.0), [""; 0], "it is said once");
    assert_eq!(fleet.play(Event::Process(broken, Happened::Start), 101.0), ["+broken"]);
    assert_eq!(fleet.play(Event::Tick, 103.0), ["+web"]);
}

#[test]
fn who_is_asked_to_start_brings_what_it_depends_on_with_it() {
    let manual = CareConfig { autostart: false, ..care() };
    let mut fleet = Fleet::new(&[
        depending("base", &[], manual.clone()),
        depending("middle", &["base"], manual.clone()),
        depending("top", &["middle"], manual),
    ]);
    assert!(fleet.log.is_empty());
    let top = fleet.machine.statuses()[2].id;
    assert_eq!(fleet.play(Event::Process(top, Happened::Start), 0.0), ["+base"]);
    assert_eq!(fleet.play(Event::Tick, 1.0), ["+middle"]);
    assert_eq!(fleet.play(Event::Tick, 2.0), ["+top"]);
}

#[test]
fn a_reload_that_leaves_a_process_running_sends_it_its_signal() {
    let signalled = || depending("a", &[], CareConfig { reload_signal: Some(1), ..care() });
    let mut fleet = Fleet::new(&[signalled(), depending("b", &[], care())]);
    fleet.log.clear();
    fleet.play(Event::Tick, 2.0);
    assert_eq!(fleet.play(Event::Reload(vec![signalled(), depending("b", &[], care())]), 3.0), ["-a:1"]);
    let mut changed = signalled();
    changed.processes[0].launch.command.push("more".to_owned());
    assert_eq!(fleet.play(Event::Reload(vec![changed]), 4.0), ["-a:15", "-b:15"]);
}
