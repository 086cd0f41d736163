//! A request that takes too long costs its client a 504 and its worker as little as can be; a worker that takes no work is replaced.

mod support;

use std::fs;

use rustix::process::Signal;
use support::{Builder, DEADLINE, ReadError, Server, process, wait_until};

const LOOPS: [&str; 2] = ["native", "python"];

fn kitchen(worker_loop: &str, threads: u32, timeout: &str) -> Server {
    let builder = Builder::app("kitchen:application").threads(threads);
    builder.app_key(&format!("worker_loop = {worker_loop:?}")).app_key(&format!("timeout = {timeout:?}")).start()
}

#[test]
fn a_request_over_its_time_is_interrupted_and_its_worker_goes_on() {
    for (worker_loop, threads) in LOOPS.into_iter().flat_map(|one| [(one, 1), (one, 3)]) {
        let server = kitchen(worker_loop, threads, "2s");
        let worker = server.wait_workers(1)[0].pid;
        let (gate, left) = (server.gate("held"), server.folder().join("left"));
        let response = server.get(&format!("/careful?{}&left={}", gate.query(), left.display()));
        assert_eq!(response.status, 504, "{worker_loop} {threads}");
        // What stands in `finally` has run, in the same process, which goes on.
        wait_until("it has let go", DEADLINE, || left.exists());
        assert_eq!(fs::read_to_string(&left).expect("just seen"), worker.to_string());
        for _ in 0..10 {
            assert_eq!(server.get("/pid").text(), format!("{worker}\n"));
        }
        let line = server.wait_for_line("a request took too long");
        assert!(line.contains("GET /careful?") && line.contains("age_ms="), "{line}");
        server.wait_for_line("the application was interrupted: GET /careful?");
        server.wait_for_line("most recent call first");
        server.wait_for_line("RequestTimeout");
        let text = server.log.text();
        assert!(text.contains("in wait_gate") && !text.contains("worker exited"), "{text}");
    }
}

#[test]
fn no_other_request_is_struck_however_close_it_comes() {
    for (worker_loop, threads) in LOOPS.into_iter().flat_map(|one| [(one, 1), (one, 4)]) {
        let server = kitchen(worker_loop, threads, "300ms");
        let worker = server.wait_workers(1)[0].pid;
        std::thread::scope(|scope| {
            for client in 0..threads {
                let server = &server;
                scope.spawn(move || {
                    for round in 0..8 {
                        // They end just before, at, and just after the moment at which they are interrupted.
                        let nap = 0.29 + f64::from(round * 5 + client) / 1000.0;
                        let status = server.get(&format!("/nap?seconds={nap}")).status;
                        assert!([200, 503, 504].contains(&status), "{status}");
                        let next = server.get("/hello");
                        assert!([200, 503, 504].contains(&next.status), "{}", next.status);
                    }
                });
            }
        });
        let own = format!("{worker}\n");
        for _ in 0..20 {
            wait_until("the same worker answers", DEADLINE, || server.get("/pid").text() == own);
        }
        assert_eq!(server.log.text().matches("worker started").count(), 1, "{worker_loop} {threads}");
    }
}

/// The thread swallows what is raised, or waits where nothing can be raised.
#[test]
fn a_process_whose_thread_does_not_let_go_ends_when_another_is_up_and_its_others_are_done() {
    for (worker_loop, path) in [("native", "/stuck"), ("python", "/stuck"), ("native", "/deadlock")] {
        let server = kitchen(worker_loop, 3, "5s");
        let worker = server.wait_workers(1)[0].pid;
        let stuck = server.gate("stuck");
        let lost = server.get_in_thread(&format!("{path}?{}", stuck.query()));
        assert_eq!(stuck.wait_started(), worker);
        server.wait_for_line("interrupting its thread");
        // In time of its own, and answered although the process has to end.
        let other = server.gate("other");
        let held = server.get_in_thread(&format!("/hold?{}", other.query()));
        assert_eq!(other.wait_started(), worker);
        assert_eq!(lost.join().expect("answered").status, 504, "{worker_loop} {path}");
        server.wait_for_line("worker is to be replaced: a thread does not let go");
        server.wait_for_line("replacement is up");
        wait_until("another worker serves", DEADLINE, || server.get("/pid").text() != format!("{worker}\n"));
        assert!(process::is_alive(worker));
        other.open();
        assert_eq!(held.join().expect("answered").status, 200, "{worker_loop} {path}");
        assert!(process::wait_gone(worker, DEADLINE));
        server.wait_for_line("its thread does not let go, sending SIGABRT");
        server.wait_for_line("most recent call first");
        assert_eq!(server.log.text().matches("a request took too long").count(), 1, "{}", server.log.text());
        assert_eq!(server.get("/hello").status, 200);
        assert_ne!(server.wait_workers(1)[0].pid, worker);
    }
}

/// A request to `path` takes too long and its thread does not let go.
fn ends_its_process(server: &Server, path: &str) {
    let gate = server.gate("held");
    let lost = server.get_in_thread(&format!("{path}?{}", gate.query()));
    let worker = gate.wait_started();
    assert_eq!(lost.join().expect("answered").status, 504);
    assert!(process::wait_gone(worker, DEADLINE));
    wait_until("another worker serves", DEADLINE, || server.get("/hello").status == 200);
}

#[test]
fn the_only_thread_does_not_let_go_and_its_process_ends() {
    for worker_loop in LOOPS {
        ends_its_process(&kitchen(worker_loop, 1, "1s"), "/stuck");
    }
}

/// A wait for a lock: no line of Python runs in the meantime, but the only thread is also the main one, which signals interrupt.
#[test]
fn a_single_thread_that_waits_in_c_is_interrupted() {
    for worker_loop in LOOPS {
        let server = kitchen(worker_loop, 1, "1s");
        let gate = server.gate("locked");
        let lost = server.get_in_thread(&format!("/deadlock?{}", gate.query()));
        let worker = gate.wait_started();
        assert_eq!(lost.join().expect("answered").status, 504);
        assert_eq!(server.get("/pid").text(), format!("{worker}\n"), "{worker_loop}");
    }
}

#[test]
fn an_answer_that_has_begun_breaks_off_and_its_worker_goes_on() {
    for (worker_loop, threads) in LOOPS.into_iter().flat_map(|one| [(one, 1), (one, 3)]) {
        let server = kitchen(worker_loop, threads, "2s");
        let worker = server.wait_workers(1)[0].pid;
        let gate = server.gate("stream");
        let mut client = server.connect();
        client.request("GET", &format!("/stream?{}", gate.query()), "");
        assert_eq!(client.head("GET").status, 200);
        let (heard, end) = client.rest();
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.contains("first") && matches!(end, ReadError::Closed | ReadError::Reset), "{heard} {end:?}");
        assert!(!heard.ends_with("0\r\n\r\n"), "what is not whole does not look so: {heard}");
        server.wait_for_line("the application was interrupted: GET /stream?");
        assert_eq!(server.get("/pid").text(), format!("{worker}\n"), "{worker_loop} {threads}");
    }
}

#[test]
fn a_call_that_lets_no_thread_run_ends_its_process() {
    for worker_loop in LOOPS {
        let server = kitchen(worker_loop, 2, "1s");
        ends_its_process(&server, "/grip");
        // The interpreter's own handler of SIGABRT needs no thread that runs.
        server.wait_for_line("in grip");
    }
}

#[test]
fn a_stopped_worker_with_a_request_is_killed_for_it() {
    let server = kitchen("native", 1, "1s");
    let gate = server.gate("held");
    let lost = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let worker = gate.wait_started();
    process::signal(worker, Signal::STOP);
    assert_eq!(lost.join().expect("answered").status, 504);
    assert!(process::wait_gone(worker, DEADLINE));
    wait_until("another worker serves", DEADLINE, || server.get("/hello").status == 200);
}

#[test]
fn an_idle_worker_that_takes_no_work_is_replaced_and_the_work_is_done() {
    for (worker_loop, threads) in [("native", 1), ("python", 1), ("native", 2), ("python", 2)] {
        let builder = Builder::app("kitchen:application").threads(threads);
        let builder = builder.app_key(&format!("worker_loop = {worker_loop:?}")).app_key("liveness_timeout = \"4s\"");
        let server = builder.start();
        let worker = server.wait_workers(1)[0].pid;
        process::signal(worker, Signal::STOP);
        wait_until("the worker is stopped", DEADLINE, || process::is_stopped(worker));
        let waiting = server.get_in_thread("/pid");
        assert!(process::wait_gone(worker, DEADLINE), "{worker_loop} {threads}");
        server.wait_for_line("takes no requests, sending SIGABRT");
        let answered = waiting.join().expect("answered");
        assert_eq!(answered.status, 200, "{worker_loop} {threads}");
        assert_ne!(answered.text(), format!("{worker}\n"));
    }
}

/// The others take all the work, so that none waits.
#[test]
fn a_stopped_worker_among_others_is_found_and_no_request_is_lost() {
    for (worker_loop, threads) in [("native", 1), ("native", 2), ("python", 2)] {
        let builder = Builder::app("kitchen:application").workers(2).threads(threads);
        let builder = builder.app_key(&format!("worker_loop = {worker_loop:?}")).app_key("liveness_timeout = \"4s\"");
        let server = builder.start();
        let stopped = server.wait_workers(2)[0].pid;
        process::signal(stopped, Signal::STOP);
        wait_until("the worker is stopped", DEADLINE, || process::is_stopped(stopped));
        wait_until("it is gone", 2 * DEADLINE, || {
            assert_eq!(server.get("/hello").status, 200, "{worker_loop} {threads}");
            !process::is_alive(stopped)
        });
        server.wait_for_line("takes no requests, sending SIGABRT");
        wait_until("another one is in its place", DEADLINE, || {
            let workers = server.workers();
            workers.len() == 2 && workers.iter().all(|worker| worker.pid != stopped)
        });
    }
}

#[test]
fn a_worker_that_is_not_needed_is_left_alone() {
    let builder = Builder::app("kitchen:application").workers(2).threads(2).app_key("liveness_timeout = \"6s\"");
    let server = builder.start();
    let workers = server.wait_workers(2);
    // They share a worker, or not: one of the four threads at least has nothing to do, and is asked whether it lives.
    for _ in 0..35 {
        assert_eq!(server.get("/nap?seconds=0.2").status, 200);
    }
    assert_eq!(server.wait_workers(2), workers);
}

#[test]
fn an_import_that_takes_longer_than_boot_timeout_is_exit_3() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::write(folder.path().join("slow.py"), "import time\ntime.sleep(1000)\n").expect("a writable folder");
    let refusal = Builder::app("slow:application").chdir(folder.path()).app_key("boot_timeout = \"1s\"").refuse();
    assert_eq!(refusal.code, Some(3), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("the application was not imported within 1s"), "{}", refusal.stderr);
}
