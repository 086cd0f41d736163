//! SIGHUP brings new code without losing a request, and what cannot run is refused with a reason and an exit code.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use support::{Builder, DEADLINE, Server, apps, process, wait_until, while_loaded};
use tempfile::TempDir;

/// `reloadable:application` in a folder of its own, as edition `one`.
fn reloadable(workers: u32) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::copy(apps().join("reloadable.py"), folder.path().join("reloadable.py")).expect("a writable folder");
    edit(folder.path(), "NAME = 'one'\n");
    let server = Builder::app("reloadable:application").chdir(folder.path()).workers(workers).start();
    server.wait_workers(workers as usize);
    (server, folder)
}

fn edit(folder: &Path, code: &str) {
    fs::write(folder.join("edition.py"), code).expect("a writable folder");
}

fn edition(server: &Server) -> String {
    let response = server.get("/");
    assert_eq!(response.status, 200);
    response.text().split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn sighup_brings_new_code_and_ends_the_old_generation() {
    let (server, folder) = reloadable(2);
    let old = server.workers();
    let zygote = server.zygote();
    assert!(old.iter().all(|worker| worker.generation == 1), "{old:?}");
    edit(folder.path(), "NAME = 'two'\n");
    server.signal(Signal::HUP);
    wait_until("the new edition", DEADLINE, || edition(&server) == "two");
    for pid in old.iter().map(|worker| worker.pid).chain([zygote]) {
        assert!(process::wait_gone(pid, DEADLINE), "process {pid} of generation 1 goes on");
    }
    let new = server.wait_workers(2);
    assert!(new.iter().all(|worker| worker.generation == 2), "{new:?}");
    for _ in 0..10 {
        assert_eq!(edition(&server), "two");
    }
}

#[test]
fn reloads_under_load_lose_no_request() {
    const RELOADS: usize = 3;
    let (server, folder) = reloadable(2);
    let served = while_loaded(&server, "/", || {
        for round in 1..=RELOADS {
            let name = format!("round-{round}");
            edit(folder.path(), &format!("NAME = '{name}'\n"));
            server.signal(Signal::HUP);
            wait_until("the next edition", DEADLINE, || edition(&server) == name);
        }
    });
    assert!(served > 50, "{served}");
}

#[test]
fn a_request_in_hand_outlives_the_reload() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let server = Builder::app("kitchen:application").workers(1).start();
    let gate = support::Gate::new(folder.path(), "held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let pid = gate.wait_started();
    server.signal(Signal::HUP);
    wait_until("a worker of the next generation", DEADLINE, || {
        server.workers().iter().any(|worker| worker.generation == 2)
    });
    assert_eq!(server.get("/hello").status, 200);
    gate.open();
    let response = held.join().expect("a response");
    assert_eq!((response.status, response.text()), (200, format!("{pid}\n").as_str()));
    assert!(process::wait_gone(pid, DEADLINE));
}

#[test]
fn requests_that_wait_behind_a_busy_worker_go_to_the_next_generation() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let server =
        Builder::app("kitchen:application").shards(1).static_route("/apps/", &apps(), "").app_route("").start();
    let gate = support::Gate::new(folder.path(), "held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let busy = gate.wait_started();
    // The only worker is busy: these are in the inbox, with nobody to take them.
    let waiting: Vec<_> = (0..3).map(|_| server.get_in_thread("/pid")).collect();
    // The one shard answers this after it has read the requests above.
    assert_eq!(server.get("/apps/kitchen.py").status, 200);
    server.signal(Signal::HUP);
    for response in waiting {
        let response = response.join().expect("a response");
        assert_eq!(response.status, 200);
        assert_ne!(response.text(), format!("{busy}\n"));
    }
    gate.open();
    assert_eq!(held.join().expect("a response").status, 200);
}

#[test]
fn a_reload_that_cannot_be_imported_leaves_the_old_generation_at_work() {
    let (server, folder) = reloadable(2);
    let old = server.workers();
    edit(folder.path(), "NAME = this is no Python\n");
    let mark = server.log.mark();
    server.signal(Signal::HUP);
    server.wait_for_line_from(mark, "SyntaxError");
    for _ in 0..10 {
        assert_eq!(edition(&server), "one");
    }
    assert_eq!(server.workers(), old);
    // Mended, the next reload works.
    edit(folder.path(), "NAME = 'mended'\n");
    server.signal(Signal::HUP);
    wait_until("the mended edition", DEADLINE, || edition(&server) == "mended");
}

/// A worker that dies after the files have changed must come back as the generation that it belonged to.
#[test]
fn a_replacement_runs_the_code_of_its_generation() {
    let (server, folder) = reloadable(1);
    edit(folder.path(), "NAME = 'not yet'\n");
    let pid = server.workers()[0].pid;
    process::signal(pid, Signal::KILL);
    wait_until("the worker is replaced", DEADLINE, || server.workers().first().is_some_and(|worker| worker.pid != pid));
    assert_eq!(edition(&server), "one");
}

#[test]
fn an_app_that_cannot_be_imported_at_first_start_is_exit_3_with_the_traceback() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("broken.py"), "application = 1 / 0\n").expect("a writable folder");
    let refusal = Builder::app("broken:application").chdir(folder.path()).refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    for text in ["Traceback (most recent call last)", "broken.py", "ZeroDivisionError"] {
        assert!(refusal.stderr.contains(text), "no {text:?} in:\n{}", refusal.stderr);
    }
}

#[test]
fn a_missing_module_is_exit_3_and_a_missing_attribute_4_and_each_is_named() {
    let cases = [("nosuchmodule:application", "nosuchmodule", 3), ("kitchen:nosuchname", "nosuchname", 4)];
    for (wsgi, name, code) in cases {
        let refusal = Builder::app(wsgi).refuse();
        assert_eq!(refusal.code, Some(code), "{wsgi}: {}", refusal.stderr);
        assert!(refusal.stderr.contains(name), "{wsgi}: {}", refusal.stderr);
    }
}

#[track_caller]
fn refused_as_configuration(builder: Builder, names: &[&str]) {
    let refusal = builder.refuse();
    assert_eq!(refusal.code, Some(2), "{}", refusal.stderr);
    for name in names {
        assert!(refusal.stderr.contains(name), "no {name:?} in:\n{}", refusal.stderr);
    }
}

#[test]
fn a_missing_interpreter_is_exit_2_and_named() {
    let missing = PathBuf::from("/nonexistent/bin/python");
    let builder = Builder::app("kitchen:application").python(&missing);
    refused_as_configuration(builder, &["/nonexistent/bin/python"]);
}

#[test]
fn a_missing_app_folder_is_exit_2_and_named() {
    let builder = Builder::app("kitchen:application").chdir(Path::new("/nonexistent/site"));
    refused_as_configuration(builder, &["/nonexistent/site"]);
}

#[test]
fn an_unknown_key_is_exit_2_with_the_nearest_one() {
    let builder = Builder::app("kitchen:application").app_key("worker = 2");
    refused_as_configuration(builder, &["maitred.toml", "worker", "workers"]);
}

#[test]
fn an_address_in_use_is_refused_and_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket").to_string();
    let refusal = Builder::app("kitchen:application").argument("-b").argument(&address).refuse();
    assert!(matches!(refusal.code, Some(1 | 2)), "{:?}: {}", refusal.code, refusal.stderr);
    assert!(refusal.stderr.contains(&address), "{}", refusal.stderr);
}
