//! `reload_mode = "rolling"`: new workers take the place of old ones one by one, and never are there more than one beside the usual number.

mod support;

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use support::{Builder, DEADLINE, Server, apps, process, wait_until, while_loaded};
use tempfile::TempDir;

fn edit(folder: &Path, name: &str, health: &str) {
    let health = format!("def health(environ, start_response):\n    {health}\n    return []\n");
    // There at once and whole: a worker may be importing it.
    let file = folder.join("edition.new");
    fs::write(&file, format!("NAME = {name:?}\n{health}")).expect("a writable folder");
    fs::rename(&file, folder.join("edition.py")).expect("a writable folder");
}

const WELL: &str = "start_response('200 OK', [])";

/// The app `proving` in a folder of its own, reloaded worker by worker.
fn rolling(workers: u32, more: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::copy(apps().join("proving.py"), folder.path().join("proving.py")).expect("a writable folder");
    edit(folder.path(), "one", WELL);
    let builder = Builder::app("proving:application").chdir(folder.path()).workers(workers);
    let server = builder.app_key("reload_mode = \"rolling\"").app_key("warmup = \"/healthz\"").app_key(more).start();
    server.wait_workers(workers as usize);
    (server, folder)
}

fn edition(server: &Server) -> String {
    let response = server.get("/");
    assert_eq!(response.status, 200);
    response.text().split(' ').next().unwrap_or_default().to_owned()
}

/// How many workers there were at most at a time, by the log: it tells of an end only when the process was reaped.
fn most(server: &Server) -> usize {
    let (mut alive, mut most) = (0, 0);
    for line in server.log.lines_from(0) {
        if line.contains("worker started") {
            alive += 1;
        } else if line.contains("worker exited") {
            alive -= 1;
        }
        most = most.max(alive);
    }
    most
}

#[test]
fn workers_are_replaced_one_by_one_under_load_and_no_request_is_lost() {
    for (workers, preload) in [(4, true), (3, false), (1, true)] {
        let (server, folder) = rolling(workers, &format!("preload_app = {preload}"));
        let served = while_loaded(&server, "/", || {
            for round in 1..=3 {
                let name = format!("round-{round}");
                edit(folder.path(), &name, WELL);
                server.signal(Signal::HUP);
                wait_until("all workers are new", 2 * DEADLINE, || {
                    let found = server.workers();
                    found.len() == workers as usize && found.iter().all(|worker| worker.generation == round + 1)
                });
                assert_eq!(edition(&server), name);
            }
        });
        assert!(served > 50, "{served}");
        assert!(most(&server) <= workers as usize + 1, "{} workers at a time:\n{}", most(&server), server.log.text());
        assert!(!server.log.text().contains("lost="), "{}", server.log.text());
    }
}

#[test]
fn a_deploy_that_does_not_prove_itself_leaves_every_old_worker() {
    let (server, folder) = rolling(3, "warmup_timeout = \"4s\"");
    let old = server.workers();
    while_loaded(&server, "/", || {
        let stuck = "import time; time.sleep(1000)";
        for (health, why) in
            [("1 / 0", "answered with 500"), ("this is no Python", "SyntaxError"), (stuck, "within 4s")]
        {
            edit(folder.path(), "broken", health);
            let mark = server.log.mark();
            server.signal(Signal::HUP);
            server.wait_for_line_from(mark, why);
            assert_eq!(edition(&server), "one");
        }
    });
    assert!(most(&server) <= 4, "{}", server.log.text());
    wait_until("the new ones are gone", DEADLINE, || server.workers().len() == 3);
    assert_eq!(server.workers(), old);
}

#[test]
fn a_busy_old_worker_finishes_before_the_last_new_one_comes() {
    let server = Builder::app("kitchen").workers(2).app_key("reload_mode = \"rolling\"").start();
    let old = server.wait_workers(2);
    let gate = server.gate("held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let busy = gate.wait_started();
    server.signal(Signal::HUP);
    let mark = server.log.wait_from(0, "generation serving generation=2", DEADLINE);
    assert!(mark.is_some(), "{}", server.log.text());
    let idle = old.iter().find(|worker| worker.pid != busy).expect("there are two");
    assert!(process::wait_gone(idle.pid, DEADLINE));
    assert_ne!(server.get("/pid").text(), format!("{busy}\n"));
    gate.open();
    assert_eq!(held.join().expect("a response").status, 200);
    wait_until("both are new", DEADLINE, || {
        let found = server.workers();
        found.len() == 2 && found.iter().all(|worker| worker.generation == 2)
    });
    assert!(most(&server) <= 3, "{}", server.log.text());
    let rolled = server.log.lines_from(0).iter().filter(|line| line.contains("makes room for a new one")).count();
    assert_eq!(rolled, 1, "one was asked, the other has seen the end of its inbox");
}
