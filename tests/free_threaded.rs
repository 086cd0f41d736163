//! Workers on a free-threaded CPython (PEP 703): the loop in Python, threads of one process, no GIL.
//!
//! `MAITRED_TEST_FREE_THREADED` names the interpreter, else `python3.14t` or `python3.13t` on PATH is taken. Without one the tests say 'not shown'.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use maitred::wsgi::source;
use support::{Builder, DEADLINE, wait_until};

/// An interpreter without a GIL.
fn interpreter() -> Option<PathBuf> {
    let named = std::env::var_os("MAITRED_TEST_FREE_THREADED").map(PathBuf::from);
    let usual = ["python3.14t", "python3.13t"].map(PathBuf::from);
    let found = named.clone().into_iter().chain(usual).find(|python| {
        let program = "import sys; sys.exit(sys._is_gil_enabled())";
        let status = Command::new(python).args(["-c", program]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    });
    assert!(named.is_none() || found == named, "{named:?} is no free-threaded interpreter");
    if found.is_none() {
        eprintln!(
            "not shown: there is no free-threaded CPython (MAITRED_TEST_FREE_THREADED, python3.14t, python3.13t)"
        );
    }
    found
}

#[test]
fn the_worker_keeps_its_side_of_the_protocol_without_a_gil() {
    let Some(python) = interpreter() else { return };
    let code = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(code.path(), source::code()).expect("the code is written");
    let output = Command::new(&python)
        .args(["-B", "-m", "unittest"])
        .current_dir(support::repository().join("tests/worker"))
        .env("MAITRED_CODE", code.path())
        .env("MAITRED_BOOTSTRAP", source::BOOTSTRAP)
        .env("MAITRED_LOOP", "python")
        .output()
        .expect("it started a moment ago");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Tells whether there is a GIL, and meets another request of the same process: each waits for the other, whichever thread it is in.
const MEETING: &str = "\
import os, sys, threading
meeting = threading.Barrier(4, timeout=30)
def application(environ, start_response):
    if environ['PATH_INFO'] == '/meet':
        meeting.wait()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'%d %d %r' % (os.getpid(), sys._is_gil_enabled(), environ['wsgi.multithread'])]
";

#[test]
fn threads_serve_in_one_process_without_a_gil_and_the_log_says_so() {
    let Some(python) = interpreter() else { return };
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("meeting.py"), MEETING).expect("a writable folder");
    let server = Builder::app("meeting:application")
        .chdir(folder.path())
        .python(&python)
        .app_key("worker_loop = \"auto\"")
        .threads(4)
        .start();
    let line = server.wait_for_line("application imported");
    assert!(line.contains("loop=python") && line.contains("free-threaded"), "{line}");
    server.wait_for_line("the interpreter has no GIL");
    let answers: Vec<_> = (0..4).map(|_| server.get_in_thread("/meet")).collect();
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.join().expect("an answer")).collect();
    let worker = server.wait_workers(1)[0].pid;
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (200, format!("{worker} 0 True").as_str()));
    }
    // The native loop has another ABI: asked for, it is refused with the reason.
    let refusal = Builder::app("meeting:application")
        .chdir(folder.path())
        .python(&python)
        .app_key("worker_loop = \"native\"")
        .refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("free-threaded"), "{}", refusal.stderr);
}

#[test]
fn an_application_that_brings_the_gil_back_is_told_of() {
    let Some(python) = interpreter() else { return };
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("meeting.py"), MEETING).expect("a writable folder");
    // As an extension module that is not made for it would.
    let server =
        Builder::app("meeting:application").chdir(folder.path()).python(&python).app_key("worker_loop = \"auto\"");
    let server = server.environment("PYTHON_GIL", "1").threads(2).start();
    server.wait_for_line("the GIL is on in a free-threaded interpreter");
    assert!(server.get("/").text().ends_with(" 1 True"));
}

/// Computes for as long as it is told, at the rate of the others.
const BUSY: &str = "\
import os, time
def application(environ, start_response):
    end = time.monotonic() + float(environ['QUERY_STRING'] or 0)
    while time.monotonic() < end:
        sum(range(1000))
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'%d' % os.getpid()]
";

#[test]
fn a_request_over_its_time_is_interrupted_and_no_other_without_a_gil() {
    let Some(python) = interpreter() else { return };
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("busy.py"), BUSY).expect("a writable folder");
    let builder = Builder::app("busy:application").chdir(folder.path()).python(&python);
    let server = builder.app_key("worker_loop = \"auto\"").app_key("timeout = \"400ms\"").threads(4).start();
    let worker = server.get("/").text().to_owned();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let server = &server;
            scope.spawn(move || {
                assert_eq!(server.get("/?60").status, 504);
                for round in 0..8 {
                    // They end just before, at, and just after the moment at which they are interrupted.
                    let status = server.get(&format!("/?{}", 0.39 + f64::from(round * 4 + client) / 1000.0)).status;
                    assert!([200, 503, 504].contains(&status), "{status}");
                    assert!([200, 503, 504].contains(&server.get("/").status));
                }
            });
        }
    });
    server.wait_for_line("the application was interrupted: GET /?60");
    wait_until("the same worker answers", DEADLINE, || server.get("/").text() == worker);
    assert_eq!(server.log.text().matches("worker started").count(), 1, "{}", server.log.text());
}
