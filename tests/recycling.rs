//! Workers that are replaced although they are well: after so many requests, at an age, when they have grown. Nobody notices.

mod support;

use std::fs;

use rustix::process::Signal;
use support::metrics::Page;
use support::{Builder, Client, DEADLINE, Server, process, value_of, wait_until, while_loaded};

/// Waits until so many workers were asked to end because their replacements were up, and have ended.
#[track_caller]
fn wait_replaced(server: &Server, count: usize) {
    wait_until("workers are replaced", 2 * DEADLINE, || {
        let lines = server.log.lines_from(0);
        let asked = lines.iter().filter(|line| line.contains("replacement is up"));
        let gone =
            |pid: &str| lines.iter().any(|line| line.contains("worker exited") && value_of(line, "pid") == Some(pid));
        asked.filter_map(|line| value_of(line, "pid")).filter(|pid| gone(pid)).count() >= count
    });
}

/// Looks at the whole log: each replacement was there before anybody was asked to end, one at a time, and nobody died.
#[track_caller]
fn check_order(server: &Server, workers: usize) {
    let (mut alive, mut worn, mut has_successor) = (0, None, false);
    for line in server.log.lines_from(0) {
        let pid = value_of(&line, "pid").map(str::to_owned);
        if line.contains("worker started") {
            alive += 1;
            has_successor |= worn.is_some();
        } else if line.contains("worker is to be replaced") {
            assert!(worn.is_none(), "two at once: {line}\n{}", server.log.text());
            (worn, has_successor) = (pid, false);
        } else if line.contains("replacement is up") {
            assert!(worn == pid && has_successor, "nobody has replaced it: {line}\n{}", server.log.text());
        } else if line.contains("worker exited") {
            assert!(!line.contains("lost="), "a worker died: {line}\n{}", server.log.text());
            alive -= 1;
            worn = worn.filter(|worn| Some(worn) != pid.as_ref());
        }
        assert!(alive <= workers + 1, "{alive} workers at {line}\n{}", server.log.text());
    }
}

#[test]
fn workers_that_answer_one_request_each_are_replaced_under_load_and_no_request_is_lost() {
    for (threads, worker_loop) in [(1, "native"), (3, "native"), (1, "python"), (3, "python")] {
        let server = Builder::app("kitchen")
            .workers(2)
            .threads(threads)
            .app_key(&format!("worker_loop = {worker_loop:?}"))
            .argument("--max-requests")
            .argument("1")
            .start();
        let served = while_loaded(&server, "/pid", || wait_replaced(&server, 5));
        assert!(served > 10, "{served}");
        check_order(&server, 2);
        server.wait_for_line("requests answered, max_requests is 1 for it");
        assert_eq!(server.wait_workers(2).len(), 2);
    }
}

#[test]
fn workers_without_preload_are_replaced_under_load_and_no_request_is_lost() {
    let server = Builder::app("kitchen")
        .workers(2)
        .app_key("preload_app = false")
        .app_key("max_requests = 20")
        .app_key("max_requests_jitter = 20")
        .start();
    while_loaded(&server, "/pid", || wait_replaced(&server, 4));
    check_order(&server, 2);
}

/// Its modules are cleared away when the interpreter has already given signals their default meaning back, and that takes long.
const SLOW_TO_END: &str = "
import os, time
class Slow:
    def __init__(self):
        self.pid, self.getpid, self.sleep = os.getpid(), os.getpid, time.sleep
    def __del__(self):
        if self.getpid() != self.pid:
            self.sleep(2.5)
KEPT = Slow()
def application(environ, start_response):
    body = b'%d' % os.getpid()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";

#[test]
fn a_worker_that_takes_long_to_end_is_not_struck_by_the_signal_that_asks_it_again() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("slow.py"), SLOW_TO_END).expect("a writable folder");
    for threads in [1, 2] {
        let builder = Builder::app("slow:application").chdir(folder.path()).workers(1).threads(threads);
        let server = builder.app_key("max_requests = 5").start();
        while_loaded(&server, "/", || wait_replaced(&server, 1));
        check_order(&server, 1);
    }
}

#[test]
fn workers_of_an_age_are_replaced_under_load_one_after_another() {
    let server = Builder::app("kitchen").workers(3).app_key("max_lifetime = \"1s\"").start();
    while_loaded(&server, "/pid", || wait_replaced(&server, 6));
    check_order(&server, 3);
    let line = server.wait_for_line("max_lifetime is");
    assert!(line.contains("worker is to be replaced: started "), "{line}");
}

/// Each request for `/grow` takes some memory for good.
const GROWING: &str = "
import os
KEPT = []
def application(environ, start_response):
    if environ['PATH_INFO'] == '/grow':
        KEPT.append(b'x' * 4_000_000)
    body = b'%d' % os.getpid()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";

#[test]
fn workers_that_have_grown_are_replaced_under_load_and_small_ones_are_not() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("growing.py"), GROWING).expect("a writable folder");
    let server = Builder::app("growing:application")
        .chdir(folder.path())
        .workers(2)
        .app_key("max_rss = \"100M\"")
        .section("[admin]\nlisten = \"127.0.0.1:0\"")
        .start();
    let small = server.wait_workers(2);
    while_loaded(&server, "/", || {
        let sizes = || small.iter().map(|worker| process::resident_kib(worker.pid)).max().unwrap_or(0);
        wait_until("a worker has grown", DEADLINE, || server.get("/grow").status == 200 && sizes() > 100 * 1024);
        wait_replaced(&server, 1);
    });
    check_order(&server, 2);
    let line = server.wait_for_line("bytes of memory, max_rss is 104857600");
    let pid: u32 = value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names the worker");
    assert!(small.iter().any(|worker| worker.pid == pid), "{line}");
    let line = server.wait_for_line("admin: listening on http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.trim().parse().ok()).expect("an address");
    let page = Client::connect(address).get("/metrics");
    let page = Page::parse(page.text());
    assert!(page.value("maitred_workers_recycled_total", &[("reason", "memory")]) >= 1.0);
    assert_eq!(page.value("maitred_workers_recycled_total", &[("reason", "requests")]), 0.0);
}

#[test]
fn a_worn_worker_finishes_what_it_has_while_its_replacement_serves() {
    let server = Builder::app("kitchen").threads(2).app_key("max_requests = 1").start();
    let gate = server.gate("held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let old = gate.wait_started();
    assert_eq!(server.get("/pid").status, 200);
    let asked = server.wait_for_line("replacement is up");
    assert_eq!(value_of(&asked, "pid"), Some(old.to_string().as_str()), "{asked}");
    wait_until("the replacement alone takes requests", DEADLINE, || server.get("/pid").text() != format!("{old}\n"));
    gate.open();
    let response = held.join().expect("a response");
    assert_eq!((response.status, response.text()), (200, format!("{old}\n").as_str()));
    assert!(process::wait_gone(old, DEADLINE));
}

#[test]
fn reloads_and_crashes_while_workers_are_replaced_lose_only_what_was_killed() {
    let server = Builder::app("kitchen").workers(2).app_key("max_requests = 1").app_key("retry_safe = true").start();
    while_loaded(&server, "/pid", || {
        for _ in 0..3 {
            let mark = server.log.mark();
            let line = server.wait_for_line_from(mark, "worker is to be replaced");
            let pid = value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names the worker");
            process::signal(pid, Signal::KILL);
            assert!(process::wait_gone(pid, DEADLINE));
            server.signal(Signal::HUP);
            server.wait_for_line_from(mark, "generation drained");
        }
    });
    assert_eq!(server.wait_workers(2).len(), 2);
}
