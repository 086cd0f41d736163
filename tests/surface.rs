//! What a person who runs the server sees of it: its flags, its signals, its addresses, several shards, its last words.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Builder, DEADLINE, apps, process, value_of, wait_until};

/// Connections enough that the kernel gives some to each of two shards.
const CONNECTIONS: usize = 40;

#[test]
fn answers_reach_the_shard_that_asked() {
    let server = Builder::app("kitchen:application").shards(2).workers(2).start();
    std::thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            let mut client = server.connect();
            scope.spawn(move || {
                for round in 0..5 {
                    let body = format!("connection {number}, round {round}");
                    assert_eq!(client.post("/echo", "", body.as_bytes()).text(), body);
                }
            });
        }
    });
    server.signal(Signal::HUP);
    server.wait_for_line("worker started worker=3");
    for _ in 0..CONNECTIONS {
        assert_eq!(server.get("/hello").status, 200);
    }
}

#[test]
fn with_two_shards_a_death_costs_one_request() {
    let server = Builder::app("kitchen:application").shards(2).workers(2).start();
    let gate = server.gate("doomed");
    let lost = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let pid = gate.wait_started();
    process::signal(pid, Signal::KILL);
    assert_eq!(lost.join().expect("a response").status, 502);
    for _ in 0..CONNECTIONS {
        assert_eq!(server.get("/hello").status, 200);
    }
}

#[test]
fn a_unix_socket_is_served_and_goes_with_the_server() {
    let builder = Builder::app("kitchen:application");
    let path = builder.folder().join("front.sock");
    let bind = format!("unix:{}", path.display());
    let mut server = builder.argument("-b").argument("127.0.0.1:0").argument("-b").argument(&bind).start();
    let mut stream = UnixStream::connect(&path).expect("the server listens");
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(server.get("/hello").status, 200);
    assert!(server.stop().success());
    assert!(!path.exists());
}

#[test]
fn files_named_on_the_command_line_are_served() {
    let files = format!("/files/={}", apps().display());
    let server = Builder::command_line(&["-b", "127.0.0.1:0", "--static", &files]).start();
    let response = server.get("/files/kitchen.py");
    assert_eq!(response.body, fs::read(apps().join("kitchen.py")).expect("readable"));
    assert_eq!(server.get("/other").status, 404);
}

#[test]
fn timeout_can_be_given_as_a_flag() {
    let server = Builder::app("kitchen:application").argument("--timeout").argument("1").start();
    let gate = server.gate("stuck");
    let lost = server.get_in_thread(&format!("/stuck?{}", gate.query()));
    gate.wait_started();
    assert_eq!(lost.join().expect("a response").status, 502);
}

#[test]
fn sigquit_does_not_wait_for_requests() {
    let mut server = Builder::app("kitchen:application").app_key("graceful_timeout = \"60s\"").start();
    let gate = server.gate("held");
    let mut client = server.connect();
    client.request("GET", &format!("/hold?{}", gate.query()), "");
    gate.wait_started();
    let since = Instant::now();
    server.signal(Signal::QUIT);
    assert!(server.wait_exit(DEADLINE).is_some(), "{}", server.log.text());
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
}

#[test]
fn sighup_reads_the_config_anew_and_an_unusable_one_leaves_what_runs() {
    let server = Builder::app("kitchen:application").shards(1).app_route("").start();
    let file = server.folder().join("maitred.toml");
    let text = fs::read_to_string(&file).expect("the test's own config");
    let route = format!("\n[[route]]\npath = \"/apps/\"\nstatic = \"{}\"\n", apps().display());
    assert_eq!(server.get("/apps/kitchen.py").status, 404, "the app knows no such path");
    fs::write(&file, format!("{text}{route}")).expect("writable");
    server.signal(Signal::HUP);
    wait_until("the new route", DEADLINE, || server.get("/apps/kitchen.py").status == 200);
    fs::write(&file, format!("{text}{route}\n[server]\nlissten = 1\n")).expect("writable");
    server.signal(Signal::HUP);
    server.wait_for_line("reload refused");
    assert_eq!(server.get("/apps/kitchen.py").status, 200);
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn a_shard_that_stops_says_what_it_did() {
    let mut server = Builder::app("kitchen:application").shards(1).start();
    for _ in 0..3 {
        assert_eq!(server.get("/hello").status, 200);
    }
    server.stop();
    let line = server.wait_for_line("shard stopped");
    assert_eq!(value_of(&line, "requests"), Some("3"), "{line}");
    let quantile = |key| value_of(&line, key).and_then(|text| text.parse::<u64>().ok()).expect("a number");
    assert!(quantile("p50_us") > 0 && quantile("p50_us") <= quantile("p99_us"), "{line}");
}

#[test]
fn shards_are_pinned_and_workers_are_not() {
    let server = Builder::app("kitchen:application").shards(1).start();
    let allowed = |status: &std::path::Path| {
        let text = fs::read_to_string(status).expect("a live thread");
        let line = text.lines().find(|line| line.starts_with("Cpus_allowed_list:")).expect("a line of its own");
        line.split_whitespace().nth(1).expect("a value").to_owned()
    };
    let tasks = format!("/proc/{}/task", server.main());
    let shard = fs::read_dir(tasks).expect("a live process").map(|entry| entry.expect("a thread").path());
    let shard: Vec<_> = shard
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "shard-0"))
        .map(|task| allowed(&task.join("status")))
        .collect();
    assert!(shard.iter().any(|cpus| cpus.parse::<u32>().is_ok()), "{shard:?} is not one CPU");
    let worker = server.wait_workers(1)[0].pid;
    let own = allowed(std::path::Path::new("/proc/self/status"));
    assert_eq!(allowed(&std::path::PathBuf::from(format!("/proc/{worker}/status"))), own);
}
