//! Worker processes as the app's owner meets them: threads, imports without preload, deafness, what children inherit.
//! Deaths, hangs and stops in general are in `supervision.rs`.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::Signal;
use support::{Builder, DEADLINE, apps, process, wait_until};

#[test]
fn a_killed_worker_with_threads_costs_exactly_the_requests_that_it_held() {
    let server = Builder::app("kitchen:application")
        .threads(3)
        .shards(1)
        .static_route("/apps/", &apps(), "")
        .app_route("")
        .start();
    let gates = ["first", "second", "third"].map(|name| server.gate(name));
    let held = gates.each_ref().map(|gate| server.get_in_thread(&format!("/hold?{}", gate.query())));
    let pids: BTreeSet<u32> = gates.iter().map(|gate| gate.wait_started()).collect();
    let [pid] = pids.into_iter().collect::<Vec<_>>()[..] else { panic!("one process holds all three") };
    let mut queued = server.connect();
    queued.request("GET", "/pid", "");
    // The one shard answers this after it has read the request above.
    assert_eq!(server.get("/apps/kitchen.py").status, 200);
    process::signal(pid, Signal::KILL);
    for lost in held {
        assert_eq!(lost.join().expect("a response").status, 502);
    }
    let response = queued.response("GET");
    assert_eq!(response.status, 200);
    assert_ne!(response.text(), format!("{pid}\n"));
    server.wait_for_line("lost=3");
}

/// Each process that imports it leaves a file that is named after its pid.
const MARKING: &str = "
import os
open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'imported.%d' % os.getpid()), 'w').close()
def application(environ, start_response):
    body = b'%d' % os.getpid()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";

fn importers(folder: &Path) -> BTreeSet<u32> {
    fs::read_dir(folder)
        .expect("a readable folder")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_prefix("imported.")?.parse().ok())
        .collect()
}

#[test]
fn without_preload_each_worker_imports_the_app() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("marking.py"), MARKING).expect("a writable folder");
    fs::write(folder.path().join("broken.py"), "application = 1 / 0\n").expect("a writable folder");
    let builder = |wsgi| Builder::app(wsgi).chdir(folder.path()).app_key("preload_app = false");

    let server = builder("marking:application").workers(2).start();
    let pids = |server: &support::Server| server.wait_workers(2).iter().map(|worker| worker.pid).collect();
    let first: BTreeSet<u32> = pids(&server);
    wait_until("each worker has imported", DEADLINE, || importers(folder.path()).len() >= 2);
    let answered = server.get("/");
    assert_eq!(answered.status, 200);
    assert!(first.contains(&answered.text().parse().expect("a pid")), "{} is none of {first:?}", answered.text());
    assert_eq!(importers(folder.path()), first, "the workers, and not the zygote");

    let killed = *first.first().expect("two workers");
    process::signal(killed, Signal::KILL);
    server.wait_for_line(&format!("pid={killed} generation=1 exit="));
    let mut all: BTreeSet<u32> = pids(&server);
    all.extend(first);
    wait_until("the replacement has imported", DEADLINE, || importers(folder.path()) == all);

    let refusal = builder("broken:application").refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    for text in ["Traceback (most recent call last)", "broken.py", "ZeroDivisionError"] {
        assert!(refusal.stderr.contains(text), "no {text:?} in:\n{}", refusal.stderr);
    }
}

#[test]
fn a_worker_that_outlives_sigabrt_is_killed() {
    let server = Builder::app("kitchen:application").app_key("timeout = \"1s\"").start();
    let gate = server.gate("deaf");
    let lost = server.get_in_thread(&format!("/deaf?{}", gate.query()));
    let pid = gate.wait_started();
    let mark = server.log.mark();
    server.wait_for_line_from(mark, "sending SIGABRT");
    server.wait_for_line_from(mark, "worker outlived SIGABRT, sending SIGKILL");
    assert_eq!(lost.join().expect("a response").status, 504);
    let lines = server.log.lines_from(mark);
    let at = |signal: &str| lines.iter().position(|line| line.contains(signal)).expect("waited for");
    assert!(at("sending SIGABRT") < at("sending SIGKILL"), "{lines:?}");
    assert!(process::wait_gone(pid, DEADLINE));
    // The log comes a little later than the events: until this line the dead worker is the one that it knows of.
    server.wait_for_line_from(mark, &format!("pid={pid} generation=1 exit="));
    assert_eq!(server.get("/hello").status, 200);
    assert_ne!(server.wait_workers(1)[0].pid, pid);
}

#[test]
fn programs_started_by_the_app_inherit_no_sockets_of_the_server() {
    for threads in [1, 3] {
        let server = Builder::app("kitchen:application").threads(threads).start();
        let response = server.get("/inherited");
        assert_eq!(response.status, 200);
        let mut found: Vec<_> = response.text().lines().filter_map(|line| line.split_once(' ')).collect();
        found.sort_unstable();
        let numbers: Vec<&str> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, ["0", "1", "2"], "{found:?}");
        assert!(!found.iter().any(|(_, what)| what.starts_with("socket:")), "{found:?}");
    }
}

#[test]
fn the_log_says_which_loop_the_workers_run() {
    for worker_loop in ["native", "python"] {
        let builder = Builder::app("kitchen:application").app_key(&format!("worker_loop = {worker_loop:?}"));
        let server = builder.start();
        server.wait_for_line(&format!("loop={worker_loop}"));
        assert_eq!(server.get("/hello").status, 200);
    }
}

#[test]
fn an_interpreter_that_can_not_load_the_native_loop_runs_the_one_in_python_unless_told_otherwise() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("sitecustomize.py"), "import os\ndel os.memfd_create\n").expect("a writable folder");
    let builder = |worker_loop: &str| {
        Builder::app("kitchen:application")
            .app_key(&format!("raw_env = [\"PYTHONPATH={}\"]", folder.path().display()))
            .app_key(&format!("worker_loop = {worker_loop:?}"))
    };
    let server = builder("auto").start();
    server.wait_for_line("loop=python native_missing=\"module 'os' has no attribute 'memfd_create'\"");
    assert_eq!(server.get("/hello").status, 200);
    let refusal = builder("native").refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    assert!(
        refusal.stderr.contains("worker_loop = \"native\", but the native loop can't run here"),
        "{}",
        refusal.stderr
    );
}
