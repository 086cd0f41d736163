//! What happens to requests and processes when workers die, hang or are stopped, and how the server itself ends.
//! Reloads and refused starts are in `supervision_reload.rs`.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::files::put;
use support::{Builder, DEADLINE, ReadError, Server, apps, process, wait_until};

fn kitchen(workers: u32) -> Server {
    let server = Builder::app("kitchen:application").workers(workers).start();
    server.wait_workers(workers as usize);
    server
}

/// Waits until `pid` is gone and, by the log, as many workers run as before.
#[track_caller]
fn wait_replaced(server: &Server, pid: u32, workers: usize) {
    wait_until("the worker is replaced", DEADLINE, || {
        let running = server.workers();
        running.len() == workers && running.iter().all(|worker| worker.pid != pid)
    });
}

#[test]
fn a_killed_worker_costs_exactly_the_request_that_it_held() {
    let server = kitchen(2);
    let (doomed, safe) = (server.gate("doomed"), server.gate("safe"));
    let lost = server.get_in_thread(&format!("/hold?{}", doomed.query()));
    let pid = doomed.wait_started();
    let kept = server.get_in_thread(&format!("/hold?{}", safe.query()));
    assert_ne!(safe.wait_started(), pid);
    process::signal(pid, Signal::KILL);
    assert_eq!(lost.join().expect("a response").status, 502);
    wait_replaced(&server, pid, 2);
    safe.open();
    assert_eq!(kept.join().expect("a response").status, 200);
    for _ in 0..20 {
        assert_eq!(server.get("/hello").status, 200);
    }
}

#[test]
fn a_worker_that_exits_inside_a_request_is_a_502() {
    let server = kitchen(1);
    let pid = server.workers()[0].pid;
    let mut client = server.connect();
    assert_eq!(client.get("/leave").status, 502);
    wait_replaced(&server, pid, 1);
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn a_safe_request_that_died_with_its_worker_is_run_once_more_if_asked() {
    let server = Builder::app("kitchen:application").workers(2).app_key("retry_safe = true").start();
    server.wait_workers(2);
    let gate = server.gate("held");
    let target = format!("/hold?{}", gate.query());
    let answer = server.get_in_thread(&target);
    let first = gate.wait_started();
    gate.forget_start();
    process::signal(first, Signal::KILL);
    let second = gate.wait_started();
    assert_ne!(second, first);
    server.wait_for_line(&format!("request=\"GET {target}\" cause=\"signal 9 (SIGKILL)\" runs_again=true"));
    gate.open();
    let answer = answer.join().expect("a response");
    assert_eq!((answer.status, answer.text()), (200, format!("{second}\n").as_str()));
}

#[test]
fn a_request_that_died_with_its_worker_is_never_run_a_third_time() {
    let server = Builder::app("kitchen:application").workers(2).app_key("retry_safe = true").start();
    server.wait_workers(2);
    // Each worker that has it exits.
    let mut client = server.connect();
    assert_eq!(client.get("/leave").status, 502);
    let end = |again| format!("request=\"GET /leave\" cause=\"exit code 7\" runs_again={again}");
    server.wait_for_line(&end(true));
    server.wait_for_line(&end(false));
}

#[test]
fn only_safe_requests_of_which_nothing_was_answered_are_run_again() {
    let server = Builder::app("kitchen:application").workers(2).app_key("retry_safe = true\ntimeout = \"1s\"").start();
    server.wait_workers(2);
    let held = server.gate("held");
    let mut client = server.connect();
    client.request("POST", &format!("/hold?{}", held.query()), "Content-Length: 0\r\n");
    process::signal(held.wait_started(), Signal::KILL);
    assert_eq!(client.response("POST").status, 502);
    let streaming = server.gate("streaming");
    let mut client = server.connect();
    client.request("GET", &format!("/stream?{}", streaming.query()), "");
    let head = client.head("GET");
    assert_eq!(head.status, 200);
    process::signal(streaming.wait_started(), Signal::KILL);
    while client.try_piece().is_ok_and(|piece| piece.is_some()) {}
    client.expect_end();
    // What took too long would do so again.
    let stuck = server.gate("stuck");
    let mut client = server.connect();
    client.request("GET", &format!("/stuck?{}", stuck.query()), "");
    assert_eq!(client.response("GET").status, 504);
    assert!(!server.log.text().contains("runs_again=true"), "{}", server.log.text());
}

#[test]
fn a_worker_killed_while_idle_costs_nothing() {
    let server = kitchen(2);
    for worker in server.workers() {
        process::signal(worker.pid, Signal::KILL);
        server.wait_for_line(&format!("worker exited worker={} pid={}", worker.number, worker.pid));
    }
    for _ in 0..20 {
        assert_eq!(server.get("/hello").status, 200);
    }
    server.wait_workers(2);
}

/// What no worker had taken is not lost with the worker that would have been next.
#[test]
fn queued_requests_survive_the_death_of_the_only_worker() {
    let server =
        Builder::app("kitchen:application").shards(1).static_route("/apps/", &apps(), "").app_route("").start();
    let doomed = server.gate("doomed");
    let lost = server.get_in_thread(&format!("/hold?{}", doomed.query()));
    let pid = doomed.wait_started();
    let mut queued: Vec<_> = (0..10)
        .map(|_| {
            let mut client = server.connect();
            client.request("GET", "/hello", "");
            client
        })
        .collect();
    // The one shard answers this after it has read the requests above.
    assert_eq!(server.get("/apps/kitchen.py").status, 200);
    process::signal(pid, Signal::KILL);
    assert_eq!(lost.join().expect("a response").status, 502);
    for client in &mut queued {
        assert_eq!(client.response("GET").status, 200);
    }
}

#[test]
fn a_worker_that_dies_in_mid_response_cuts_the_connection() {
    let server = kitchen(1);
    let gate = server.gate("stream");
    let mut client = server.connect();
    client.request("GET", &format!("/stream?{}", gate.query()), "");
    assert_eq!(client.head("GET").status, 200);
    assert_eq!(client.piece().as_deref(), Some(&b"first\n"[..]));
    process::signal(gate.wait_started(), Signal::KILL);
    assert_eq!(client.try_piece(), Err(support::ReadError::Cut));
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn kills_under_load_lose_no_request_but_those_that_were_held() {
    const KILLS: usize = 6;
    let server = kitchen(3);
    let stop = AtomicBool::new(false);
    let lost: usize = std::thread::scope(|scope| {
        let hammers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut lost = 0;
                    let mut client = server.connect();
                    while !stop.load(Ordering::Relaxed) {
                        let response = client.get("/hello");
                        match response.status {
                            200 => {}
                            502 => lost += 1,
                            other => panic!("{other}"),
                        }
                        if response.closes() {
                            client = server.connect();
                        }
                    }
                    lost
                })
            })
            .collect();
        for _ in 0..KILLS {
            let pid = server.wait_workers(3)[0].pid;
            process::signal(pid, Signal::KILL);
            wait_replaced(&server, pid, 3);
        }
        stop.store(true, Ordering::Relaxed);
        hammers.into_iter().map(|hammer| hammer.join().expect("no hang, no cut")).sum()
    });
    assert!(lost <= KILLS, "{lost} requests lost by {KILLS} kills");
}

#[test]
fn a_stuck_worker_is_dumped_killed_and_replaced() {
    let server = Builder::app("kitchen:application").app_key("timeout = \"1s\"").start();
    let gate = server.gate("stuck");
    let since = Instant::now();
    let lost = server.get_in_thread(&format!("/stuck?{}", gate.query()));
    let pid = gate.wait_started();
    // faulthandler's stack names the function that hangs.
    server.wait_for_line("in stuck_for_good");
    assert_eq!(lost.join().expect("a response").status, 504);
    assert!(since.elapsed() >= Duration::from_millis(900), "{:?}", since.elapsed());
    assert!(process::wait_gone(pid, DEADLINE));
    wait_replaced(&server, pid, 1);
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn a_stopped_worker_stalls_nobody_else() {
    let server = kitchen(2);
    let gate = server.gate("held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let busy = gate.wait_started();
    process::signal(busy, Signal::STOP);
    wait_until("the worker is stopped", DEADLINE, || process::state(busy) == Some('T'));
    for _ in 0..30 {
        assert_eq!(server.get("/hello").status, 200);
    }
    process::signal(busy, Signal::CONT);
    gate.open();
    assert_eq!(held.join().expect("a response").status, 200);
}

#[test]
fn an_idle_worker_that_is_stopped_takes_no_request() {
    let server = kitchen(2);
    let idle = server.workers()[0].pid;
    process::signal(idle, Signal::STOP);
    wait_until("the worker is stopped", DEADLINE, || process::state(idle) == Some('T'));
    for _ in 0..30 {
        assert_eq!(server.get("/hello").status, 200);
    }
    process::signal(idle, Signal::CONT);
}

#[track_caller]
fn stops_gracefully(signal: Signal) {
    let mut server = kitchen(1);
    let gate = server.gate("held");
    let mut idle = server.connect();
    assert_eq!(idle.get("/hello").status, 200);
    let mut held = server.connect();
    held.request("GET", &format!("/hold?{}", gate.query()), "");
    gate.wait_started();
    server.signal(signal);
    idle.expect_end();
    wait_until("no new connections", DEADLINE, || std::net::TcpStream::connect(server.address).is_err());
    gate.open();
    let response = held.response("GET");
    assert_eq!(response.status, 200);
    assert!(response.closes());
    held.expect_end();
    let status = server.wait_exit(DEADLINE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{status}\n{}", server.log.text());
    assert_eq!(server.family(), Vec::<u32>::new());
}

#[test]
fn sigterm_lets_requests_in_hand_finish() {
    stops_gracefully(Signal::TERM);
}

#[test]
fn sigint_lets_requests_in_hand_finish() {
    stops_gracefully(Signal::INT);
}

#[test]
fn requests_that_came_before_the_end_are_answered() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "a.txt", "a");
    for shards in [1, 2] {
        let mut server = Builder::app("kitchen:application")
            .static_route("/files/", folder.path(), "")
            .app_route("")
            .shards(shards)
            .start();
        // Nothing of what comes now is read before the server has been told to stop.
        let mut idle = server.connect();
        assert_eq!(idle.get("/hello").status, 200);
        let mut accepted: Vec<_> = (0..8).map(|_| server.connect()).collect();
        assert_eq!(server.get("/hello").status, 200);
        process::signal(server.main(), Signal::STOP);
        wait_until("it stands still", DEADLINE, || process::state(server.main()) == Some('T'));
        accepted.extend((0..32).map(|_| server.connect()));
        for (number, client) in accepted.iter_mut().chain([&mut idle]).enumerate() {
            client.request("GET", if number % 2 == 0 { "/hello" } else { "/files/a.txt" }, "");
        }
        server.signal(Signal::TERM);
        process::signal(server.main(), Signal::CONT);
        for (number, client) in accepted.iter_mut().chain([&mut idle]).enumerate() {
            let response = client.try_response("GET").unwrap_or_else(|error| panic!("number {number}: {error:?}"));
            assert_eq!(response.status, 200, "number {number}");
            client.expect_end();
        }
        assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()), "{}", server.log.text());
    }
}

#[test]
fn connections_that_say_nothing_do_not_hold_up_the_end() {
    for deferred in [false, true] {
        let mut server = Builder::app("kitchen:application")
            .server_key(&format!("head_timeout = \"1h\"\ndeferred = {deferred}"))
            .app_key("graceful_timeout = \"1h\"")
            .start();
        let mut silent = server.connect();
        assert_eq!(server.get("/hello").status, 200);
        server.signal(Signal::TERM);
        if !deferred {
            silent.expect_end();
        }
        assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()), "{}", server.log.text());
        // What was never accepted hears of the end when it speaks.
        if deferred {
            silent.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(matches!(silent.try_response("GET"), Err(ReadError::Reset)));
        }
    }
}

#[test]
fn sigterm_ends_within_graceful_timeout_whatever_a_request_does() {
    let mut server = Builder::app("kitchen:application").workers(2).app_key("graceful_timeout = \"1s\"").start();
    let gate = server.gate("stuck");
    let mut client = server.connect();
    client.request("GET", &format!("/stuck?{}", gate.query()), "");
    gate.wait_started();
    let since = Instant::now();
    server.signal(Signal::TERM);
    assert!(server.wait_exit(DEADLINE).is_some(), "{}", server.log.text());
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    if let Ok(response) = client.try_response("GET") {
        assert!(matches!(response.status, 502..=504), "{}", response.status);
    }
    assert_eq!(server.family(), Vec::<u32>::new());
}

#[test]
fn a_second_sigterm_does_not_wait_for_requests() {
    let mut server = Builder::app("kitchen:application").app_key("graceful_timeout = \"60s\"").start();
    let gate = server.gate("held");
    let mut client = server.connect();
    client.request("GET", &format!("/hold?{}", gate.query()), "");
    gate.wait_started();
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    server.signal(Signal::TERM);
    assert!(server.wait_exit(DEADLINE).is_some(), "{}", server.log.text());
    assert_eq!(server.family(), Vec::<u32>::new());
}

#[test]
fn an_idle_server_stops_at_once_with_0() {
    let mut server = kitchen(2);
    let since = Instant::now();
    assert_eq!(server.stop().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[test]
fn a_killed_zygote_is_replaced_and_no_request_is_lost() {
    let server = kitchen(2);
    let zygote = server.zygote();
    let gate = server.gate("held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    process::signal(zygote, Signal::KILL);
    assert!(process::wait_gone(zygote, DEADLINE));
    for _ in 0..10 {
        assert_eq!(server.get("/hello").status, 200);
    }
    gate.open();
    assert_eq!(held.join().expect("a response").status, 200);
    // Healed means: a worker that dies now is replaced.
    let workers = server.wait_workers(2);
    let pid = workers[0].pid;
    process::signal(pid, Signal::KILL);
    wait_replaced(&server, pid, 2);
    assert_ne!(server.zygote(), zygote);
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn when_the_server_is_killed_its_workers_end_by_themselves() {
    let mut server = kitchen(2);
    let family = server.family();
    assert!(family.len() >= 4, "server, zygote and two workers: {family:?}");
    server.signal(Signal::KILL);
    assert!(server.wait_exit(DEADLINE).is_some());
    for pid in family {
        assert!(process::wait_gone(pid, DEADLINE), "process {pid} goes on");
    }
}

#[test]
fn when_the_server_is_killed_a_busy_worker_ends_after_its_request() {
    let mut server = kitchen(1);
    let gate = server.gate("held");
    let mut client = server.connect();
    client.request("GET", &format!("/hold?{}", gate.query()), "");
    let pid = gate.wait_started();
    server.signal(Signal::KILL);
    assert!(server.wait_exit(DEADLINE).is_some());
    gate.open();
    assert!(process::wait_gone(pid, DEADLINE), "worker {pid} goes on");
}
