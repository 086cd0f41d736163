//! Signals by Gunicorn's meaning beside those of stops and reloads, and the exit codes of a start that fails.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use support::{Builder, DEADLINE, process, python, wait_until};

#[test]
fn ttin_and_ttou_add_a_worker_and_take_one_away_without_losing_a_request() {
    let server = Builder::app("kitchen").start();
    let gate = server.gate("held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    server.signal(Signal::TTIN);
    wait_until("there are two of the second generation", DEADLINE, || {
        server.workers().iter().filter(|worker| worker.generation == 2).count() == 2
    });
    assert_eq!(server.get("/hello").status, 200);
    gate.open();
    assert_eq!(held.join().expect("answered").status, 200);
    server.wait_for_line("generation drained");
    server.signal(Signal::TTOU);
    wait_until("there is one of the third generation", DEADLINE, || {
        let workers = server.workers();
        workers.len() == 1 && workers[0].generation == 3
    });
    // One is the least.
    server.signal(Signal::TTOU);
    server.wait_for_line("the number of workers stays as it is workers=1");
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn winch_is_for_daemons() {
    let server = Builder::app("kitchen").environment("MAITRED_LOG", "debug").start();
    server.signal(Signal::WINCH);
    server.wait_for_line("SIGWINCH means something to a daemon only");
    assert_eq!(server.get("/hello").status, 200);
}

/// A daemon of the kitchen app in `folder`, and its process id.
fn daemon(folder: &Path) -> u32 {
    let file = folder.join("maitred.toml");
    let text = format!(
        "[server]\ndaemon = true\npidfile = \"site.pid\"\nerror_log = \"err.log\"\nlisten = \"unix:site.sock\"\nshards = 1\n\
         [app]\nwsgi = \"kitchen\"\nchdir = {:?}\npython = {:?}\nworkers = 2\ngraceful_timeout = \"4s\"\n",
        support::apps(),
        python::interpreter(),
    );
    fs::write(&file, text).expect("write");
    let status = Command::new(env!("CARGO_BIN_EXE_maitred"))
        .arg("serve")
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .status()
        .expect("the binary runs");
    assert!(status.success(), "{}", fs::read_to_string(folder.join("err.log")).unwrap_or_default());
    fs::read_to_string(folder.join("site.pid")).expect("it runs").trim().parse().expect("a process id")
}

#[test]
fn winch_lets_a_daemon_s_workers_end_and_hup_brings_new_ones() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let main = daemon(folder.path());
    let log = || fs::read_to_string(folder.path().join("err.log")).unwrap_or_default();
    process::signal(main, Signal::WINCH);
    wait_until("both workers have ended", DEADLINE, || log().matches("worker exited").count() == 2);
    assert!(process::is_alive(main));
    process::signal(main, Signal::HUP);
    wait_until("a new generation serves", DEADLINE, || log().matches("worker started").count() == 4);
    assert!(log().contains("SIGHUP brings new ones"));
    process::signal(main, Signal::TERM);
    assert!(process::wait_gone(main, DEADLINE), "{}", log());
}

/// Runs a program to its end in `folder`, and returns its exit code.
fn code(program: &Path, folder: &Path, arguments: &[&str]) -> Option<i32> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("XDG_RUNTIME_DIR", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    command.output().expect("it runs").status.code()
}

#[test]
fn a_start_that_fails_has_gunicorn_s_exit_codes() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(
        folder.path().join("good.py"),
        "def application(environ, start): pass\nnumber = 7\ndef make(name): return None\n",
    )
    .expect("write");
    fs::write(folder.path().join("broken.py"), "raise ValueError('out of order')\n").expect("write");
    let gunicorn = support::repository().join(".venv-peers/bin/gunicorn");
    let python = python::interpreter().display().to_string();
    let cases = [
        ("broken", 3),
        ("absent", 3),
        ("good:absent", 4),
        ("good:number", 4),
        ("good:make(", 4),
        ("good:make(number)", 4),
        ("good:make(1, 2)", 4),
        ("good:make('x')", 4),
    ];
    for (application, expected) in cases {
        for preload in [true, false] {
            let mut arguments = vec!["serve", application, "-b", "127.0.0.1:0", "-w", "1", "--python", &python];
            arguments.extend((!preload).then_some("--no-preload"));
            let found = code(Path::new(env!("CARGO_BIN_EXE_maitred")), folder.path(), &arguments);
            assert_eq!(found, Some(expected), "{application}, preload: {preload}");
        }
        if gunicorn.exists() {
            let found = code(&gunicorn, folder.path(), &[application, "-b", "127.0.0.1:0", "--no-control-socket"]);
            assert_eq!(found, Some(expected), "{application}: what Gunicorn says");
        } else {
            println!("not shown: there is no .venv-peers/bin/gunicorn");
        }
    }
}
