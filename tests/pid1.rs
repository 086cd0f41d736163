//! Orphans: what a worker's children leave behind is adopted and reaped, by the server as a subreaper and as PID 1 of a
//! container. The latter needs the right to make a PID namespace and is passed over without it.

mod support;

use std::process::Command;

use rustix::process::Signal;
use support::{Builder, DEADLINE, Server, process, wait_until};

const CONTAINER: [&str; 4] = ["unshare", "--pid", "--fork", "--mount-proc"];

fn may_unshare() -> bool {
    let tried = Command::new(CONTAINER[0]).args(&CONTAINER[1..]).arg("true").output();
    let works = tried.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("not shown: no right to make a PID namespace");
    }
    works
}

fn contained() -> Option<Server> {
    may_unshare().then(|| Builder::app("kitchen:application").prefix(&CONTAINER).start())
}

/// Leaves an orphan behind, waits until the server has adopted it, lets it end and waits until nothing is left of it.
#[track_caller]
fn orphan_is_adopted_and_reaped(server: &Server) {
    let main = server.main();
    wait_until("zygote, worker, and one that waits", DEADLINE, || process::children(main).len() == 3);
    let gate = server.gate("orphan");
    let before = process::children(main);
    assert_eq!(server.get(&format!("/orphan?{}", gate.query())).status, 200);
    wait_until("the orphan runs", DEADLINE, || gate.has_started());
    let mut orphan = None;
    wait_until("the orphan is adopted", DEADLINE, || {
        orphan = process::children(main).into_iter().find(|pid| !before.contains(pid));
        orphan.is_some()
    });
    let orphan = orphan.expect("it was just found");
    gate.open();
    // A zombie would still have a state.
    wait_until("the orphan is reaped", DEADLINE, || process::state(orphan).is_none());
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn orphans_are_reaped_by_the_subreaper() {
    orphan_is_adopted_and_reaped(&Builder::app("kitchen:application").start());
}

#[test]
fn orphans_are_reaped_by_pid_1() {
    let Some(server) = contained() else { return };
    orphan_is_adopted_and_reaped(&server);
}

#[test]
fn pid_1_stops_on_sigterm_with_status_0() {
    let Some(mut server) = contained() else {
        return;
    };
    assert_eq!(server.get("/hello").status, 200);
    // unshare passes its child's exit status on.
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "{}", server.log.text());
}

#[test]
fn pid_1_replaces_a_killed_worker() {
    let Some(server) = contained() else { return };
    let main = server.main();
    wait_until("zygote, worker, and one that waits", DEADLINE, || process::children(main).len() == 3);
    let gate = server.gate("held");
    let lost = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    // Pids in the log are the namespace's own, so the worker is found from outside: the second child.
    let mut children = process::children(main);
    children.sort_unstable();
    let worker = children[1];
    process::signal(worker, Signal::KILL);
    assert_eq!(lost.join().expect("a response").status, 502);
    assert_eq!(server.get("/hello").status, 200);
}
