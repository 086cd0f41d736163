//! A new generation proves itself by its answer to a warm-up request; one that does not leaves the old one at work.

mod support;

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use support::supervisor::maitredctl;
use support::{Builder, DEADLINE, Server, apps, wait_until, while_loaded};
use tempfile::TempDir;

/// Answers as is expected only to what the warm-up is to look like.
const WELL: &str = "
def health(environ, start_response):
    is_right = (environ['HTTP_HOST'], environ['SERVER_NAME'], environ['SERVER_PORT']) == ('example.com', 'example.com', '80')
    is_right &= (environ['RAW_URI'], environ['QUERY_STRING']) == ('/healthz?deep=1', 'deep=1')
    is_right &= (environ['REMOTE_ADDR'], environ['wsgi.url_scheme']) == ('127.0.0.1', 'http')
    start_response('204 No Content' if is_right else '400 Bad Request', [])
    return []
";
const WRONG: &str = "
def health(environ, start_response):
    start_response('500 Internal Server Error', [('Content-Type', 'text/plain')])
    return [b'the database is away']
";
const STUCK: &str = "
import time
def health(environ, start_response):
    while True:
        time.sleep(1000)
";
const DEADLY: &str = "
import os
def health(environ, start_response):
    os._exit(7)
";
const BROKEN: &str = "1 / 0\n";
/// Much more than a worker may send ahead, and then an error that nobody hears of any more.
const LONG: &str = "
def health(environ, start_response):
    start_response('200 OK', [])
    for _ in range(64):
        yield b'x' * 65536
    raise RuntimeError('never asked for')
";

fn edit(folder: &Path, name: &str, health: &str) {
    fs::write(folder.join("edition.py"), format!("NAME = {name:?}\n{health}")).expect("a writable folder");
}

/// The app `proving` in a folder of its own, whose warm-up request is answered like this.
fn proving(health: &str) -> (Builder, TempDir) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::copy(apps().join("proving.py"), folder.path().join("proving.py")).expect("a writable folder");
    edit(folder.path(), "one", health);
    let builder = Builder::app("proving:application")
        .chdir(folder.path())
        .workers(2)
        .app_key("warmup = \"/healthz?deep=1\"")
        .app_key("warmup_timeout = \"5s\"")
        .server_key("allowed_hosts = [\"example.com\", \"localhost\"]");
    (builder, folder)
}

fn edition(server: &Server) -> String {
    let response = server.get("/");
    assert_eq!(response.status, 200);
    response.text().split(' ').next().unwrap_or_default().to_owned()
}

fn status(server: &Server) -> String {
    let url = format!("unix://{}", server.folder().join("maitred.sock").display());
    maitredctl(&url, &["status", "--json"]).text
}

#[test]
fn deploys_that_do_not_prove_themselves_leave_the_old_one_at_work_and_status_says_why() {
    let (builder, folder) = proving(WELL);
    let server = builder.start();
    let old = server.wait_workers(2);
    server.wait_for_line("warm-up: GET /healthz?deep=1 (Host: example.com)");
    let served = while_loaded(&server, "/", || {
        for (health, why) in [
            (
                WRONG,
                "was answered with 500: another status is expected (warmup_status); the answer begins with \"the database is away\"",
            ),
            (BROKEN, "ZeroDivisionError"),
            (STUCK, "the warm-up request was not answered within 5s"),
            (DEADLY, "the worker that had the warm-up request died: exit code 7"),
        ] {
            edit(folder.path(), "broken", health);
            let mark = server.log.mark();
            server.signal(Signal::HUP);
            server.wait_for_line_from(mark, why);
            assert!(server.log.lines_from(mark).iter().any(|line| line.contains("reload failed")), "{why}");
            let told = serde_json::Value::String(why.to_owned()).to_string();
            let told = told.trim_matches('"').to_owned();
            wait_until("status says why", DEADLINE, || status(&server).contains(&told));
            assert_eq!(edition(&server), "one");
        }
    });
    assert!(served > 50, "{served}");
    assert_eq!(server.workers().iter().filter(|worker| worker.generation == 1).count(), 2);
    assert!(old.iter().all(|worker| server.workers().contains(worker)), "{old:?}");
    // The stacks of those that hung are in the log.
    let text = server.log.text();
    assert!(text.contains("most recent call first") && text.contains("in health"), "{text}");

    edit(folder.path(), "mended", WELL);
    server.signal(Signal::HUP);
    wait_until("the mended edition", DEADLINE, || edition(&server) == "mended");
    wait_until("status forgets", DEADLINE, || !status(&server).contains("exit code 7"));
}

#[test]
fn a_first_start_that_does_not_prove_itself_is_exit_3_with_the_reason() {
    for (health, why) in [(WRONG, "the database is away"), (STUCK, "not answered within 5s")] {
        let (builder, _folder) = proving(health);
        let refusal = builder.refuse();
        assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
        assert!(refusal.stderr.contains(why), "{}", refusal.stderr);
    }
}

#[test]
fn a_long_answer_to_the_warm_up_proves_enough_and_harms_no_worker() {
    for worker_loop in ["native", "python"] {
        for threads in [1, 2] {
            let (builder, _folder) = proving(LONG);
            let builder = builder.threads(threads).app_key(&format!("worker_loop = {worker_loop:?}"));
            let server = builder.app_key("preload_app = false").start();
            assert_eq!(edition(&server), "one");
            assert_eq!(server.wait_workers(2).iter().map(|worker| worker.number).max(), Some(2), "nobody has died");
        }
    }
}

#[test]
fn status_and_host_of_the_warm_up_can_be_chosen() {
    let (builder, _folder) = proving(WRONG);
    let server =
        builder.app_key("warmup_status = [204, \"5xx\"]").app_key("warmup_host = \"shop.example:8000\"").start();
    server.wait_for_line("warm-up: GET /healthz?deep=1 (Host: shop.example:8000)");
    assert_eq!(edition(&server), "one");
    let (builder, _folder) = proving(WELL);
    let refusal = builder.app_key("warmup_host = \"other.example\"").refuse();
    assert!(refusal.stderr.contains("was answered with 400"), "{}", refusal.stderr);
    let (builder, _folder) = proving(WELL);
    let refusal = builder.app_key("warmup = \"healthz\"").refuse();
    assert_eq!(refusal.code, Some(2), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("app.warmup: must be a path that begins with /"), "{}", refusal.stderr);
}
