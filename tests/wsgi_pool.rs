//! The worker pool as a whole: requests side by side, the full queue, how the app is found, and `wsgiref.validate` over it.

mod support;

use support::builder::WORKER_LOOP;
use support::metrics::{page, with_admin};
use support::{Builder, DEADLINE, Response, apps, repository, wait_until};

#[test]
fn environ_says_truly_how_workers_run() {
    for (workers, threads) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
        let server = Builder::app("kitchen:application").workers(workers).threads(threads).start();
        let seen = server.get("/environ").json();
        assert_eq!(seen["wsgi.multithread"], threads > 1, "{workers} × {threads}");
        assert_eq!(seen["wsgi.multiprocess"], workers > 1, "{workers} × {threads}");
    }
}

#[test]
fn threads_of_a_worker_serve_at_the_same_time() {
    let server = Builder::app("kitchen:application").threads(2).start();
    let (one, two) = (server.gate("one"), server.gate("two"));
    let first = server.get_in_thread(&format!("/hold?{}", one.query()));
    let second = server.get_in_thread(&format!("/hold?{}", two.query()));
    assert_eq!(one.wait_started(), two.wait_started(), "one process");
    two.open();
    assert_eq!(second.join().expect("a response").status, 200);
    one.open();
    assert_eq!(first.join().expect("a response").status, 200);
}

/// With a thread for every second shard, some of the requests fall on the same shard.
#[test]
fn threads_that_are_idle_serve_whichever_shard_asks() {
    const REQUESTS: usize = 8;
    let server = Builder::app("kitchen:application").threads(REQUESTS as u32).shards(2 * REQUESTS as u32).start();
    let gates: Vec<_> = (0..REQUESTS).map(|n| server.gate(&n.to_string())).collect();
    let held: Vec<_> = gates.iter().map(|gate| server.get_in_thread(&format!("/hold?{}", gate.query()))).collect();
    for gate in &gates {
        gate.wait_started();
    }
    gates.iter().for_each(support::Gate::open);
    for response in held {
        assert_eq!(response.join().expect("a response").status, 200);
    }
}

#[test]
fn workers_serve_at_the_same_time() {
    let server = Builder::app("kitchen:application").workers(3).start();
    server.wait_workers(3);
    let gates: Vec<_> = (0..3).map(|n| server.gate(&n.to_string())).collect();
    let held: Vec<_> = gates.iter().map(|gate| server.get_in_thread(&format!("/hold?{}", gate.query()))).collect();
    let mut pids: Vec<_> = gates.iter().map(|gate| gate.wait_started()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    gates.iter().for_each(support::Gate::open);
    for response in held {
        assert_eq!(response.join().expect("a response").status, 200);
    }
}

/// Beyond the workers' share and the queue a request is shed at once, and told when to come again (RFC 9110 section 10.2.3).
#[test]
fn a_full_queue_is_503_with_retry_after() {
    let server = Builder::app("kitchen:application").shards(1).app_key("queue = 1").start();
    let gate = server.gate("first");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    // How many more fit depends on how deep the inbox is; that it ends does not.
    let mut waiting = Vec::new();
    let mut shed = None;
    for _ in 0..64 {
        let mut client = server.connect();
        client.request("GET", "/hello", "");
        client.read_timeout(std::time::Duration::from_millis(150));
        match client.try_response("GET") {
            Ok(response) => {
                shed = Some(response);
                break;
            }
            Err(_) => waiting.push(client),
        }
    }
    let shed: Response = shed.expect("one of 64 requests is shed");
    assert_eq!(shed.status, 503);
    let after = shed.field("retry-after").expect("a Retry-After");
    assert!(after.parse::<u32>().is_ok(), "{after}");
    gate.open();
    assert_eq!(held.join().expect("a response").status, 200);
    assert!(!waiting.is_empty(), "nothing was queued at all");
    for mut client in waiting {
        client.read_timeout(DEADLINE);
        assert_eq!(client.response("GET").status, 200);
    }
}

#[test]
fn a_client_that_leaves_the_queue_costs_no_worker() {
    let server = with_admin(Builder::app("kitchen:application").shards(1)).start();
    let gauge = |name: &str| page(&server).value(name, &[]);
    let (first, never) = (server.gate("first"), server.gate("never"));
    let held = server.get_in_thread(&format!("/hold?{}", first.query()));
    first.wait_started();
    // Enough that most of them wait in the shard's own queue, where they can still be taken back.
    let leaving: Vec<_> = (0..40)
        .map(|_| {
            let mut client = server.connect();
            client.request("GET", "/hello", "");
            client
        })
        .collect();
    let mut last = server.connect();
    last.request("GET", &format!("/hold?{}", never.query()), "");
    wait_until("all have come", DEADLINE, || gauge("maitred_requests_in_progress") == 42.0);
    assert!(gauge("maitred_requests_queued") > 0.0);
    drop((leaving, last));
    wait_until("it is noticed that they have left", DEADLINE, || gauge("maitred_requests_queued") == 0.0);
    first.open();
    assert_eq!(held.join().expect("a response").status, 200);
    assert_eq!(server.get("/hello").status, 200);
    assert!(!never.has_started(), "the app worked for a client that had left");
}

#[test]
fn a_client_that_half_closes_in_the_queue_is_taken_for_gone() {
    let server = Builder::app("kitchen:application").shards(1).start();
    let (first, never) = (server.gate("first"), server.gate("never"));
    let held = server.get_in_thread(&format!("/hold?{}", first.query()));
    first.wait_started();
    // Enough that the last ones wait in the shard's own queue.
    let mut waiting: Vec<_> = (0..40).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|client| client.request("GET", "/hello", ""));
    let mut last = server.connect();
    last.request("GET", &format!("/hold?{}", never.query()), "");
    last.half_close();
    last.expect_end();
    first.open();
    assert_eq!(held.join().expect("a response").status, 200);
    assert!(waiting.iter_mut().all(|client| client.response("GET").status == 200), "the others are served");
    assert!(!never.has_started(), "the app worked for a client that was taken for gone");
}

#[test]
fn a_request_that_no_worker_takes_in_time_is_503() {
    let server = Builder::app("kitchen:application").shards(1).app_key("timeout = \"1s\"").start();
    let gate = server.gate("stuck");
    let mut stuck = server.connect();
    stuck.request("GET", &format!("/stuck?{}", gate.query()), "");
    gate.wait_started();
    // More than lies before a worker while requests come back slowly, so the last of them waits in the shard's own queue.
    let mut waiting: Vec<_> = (0..40)
        .map(|_| {
            let mut client = server.connect();
            client.request("GET", "/hello", "");
            client
        })
        .collect();
    let last = waiting.last_mut().expect("a client").response("GET");
    assert_eq!(last.status, 503);
    assert!(last.field("retry-after").is_some());
    // So has what lay before the worker, which serves again once its time is up; from the inbox nobody takes it back.
    let expected = if WORKER_LOOP == "native" { 503 } else { 200 };
    assert_eq!(waiting[0].response("GET").status, expected);
    wait_until("a worker serves again", DEADLINE, || server.get("/hello").status == 200);
}

/// The probe app inside `wsgiref.validate.validator`: any breach of PEP 3333 on our side is an AssertionError, so a 500.
#[test]
fn wsgiref_validate_finds_nothing() {
    let probe = repository().join("examples/probe");
    let server = Builder::app("app:validated").chdir(&probe).start();
    let mut client = server.connect();
    for target in [
        "/hello",
        "/environ",
        "/stream?n=3&size=10",
        "/bytes?n=100000",
        "/file",
        "/write",
        "/headers",
        "/pid",
        "/errors",
        "/exc-info",
        "/close",
        "/closed",
        "/environ?a=b&c=%20",
        "/hello%20there",
    ] {
        for method in ["GET", "HEAD"] {
            client.request(method, target, "");
            let status = client.response(method).status;
            assert!(status != 500, "{method} {target}: {status}\n{}", server.log.text());
        }
    }
    for body in [&b""[..], b"a", b"one\ntwo\nthree\nfour\n", &support::pattern(100_000)] {
        for target in ["/echo", "/readline"] {
            let sent = client.post(target, "Content-Type: text/plain\r\n", body).status;
            assert_eq!(sent, 200, "{target} with {}", body.len());
        }
    }
    let log = server.log.text();
    assert!(!log.contains("AssertionError") && !log.contains("WSGIWarning"), "{log}");
}

#[test]
fn the_app_is_found_under_chdir_and_pythonpath() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    std::fs::write(folder.path().join("outer.py"), "from kitchen import application\n").expect("a writable folder");
    let apps = apps();
    let server = Builder::command_line(&[
        "outer",
        "--chdir",
        &folder.path().display().to_string(),
        "--pythonpath",
        &apps.display().to_string(),
        "-w",
        "1",
    ])
    .start();
    assert_eq!(server.get("/hello").text(), "Hello, world!\n");
    wait_until("one worker", DEADLINE, || server.workers().len() == 1);
}
