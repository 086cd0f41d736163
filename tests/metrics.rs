//! The admin listener: metrics that add up, health and readiness at every stage of a server's life.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;

use rustix::process::Signal;
use support::files::put;
use support::metrics::{Page, admin, ask, page, with_admin};
use support::{Builder, Client, DEADLINE, Server, process, wait_until};

#[test]
fn metrics_are_well_formed_and_add_up() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "hello");
    let server = with_admin(
        Builder::app("kitchen")
            .static_route("/fi\"les\\/", folder.path(), "")
            .app_route("host = '*.example.com'")
            .app_route("")
            .server_key("access_log = { path = '/dev/full', flush = '100ms' }"),
    )
    .start();
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/fi%22les%5c/a.txt").status, 200);
    }
    client.request("HEAD", "/fi%22les%5c/absent", "");
    assert_eq!(client.response("HEAD").status, 404);
    client.request("POST", "/echo", "Content-Length: 3\r\n");
    client.send("abc");
    assert_eq!(client.response("POST").status, 200);
    client.request("BREW", "/status?code=503", "");
    assert_eq!(client.response("BREW").status, 503);
    client.send("GET /hello HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
    assert_eq!(client.response("GET").status, 200);
    let mut bad = server.connect();
    bad.send("nonsense\r\n\r\n");
    assert_eq!(bad.response("GET").status, 400);
    server.wait_for_line("lines of the access log were dropped");

    let mut seen = page(&server);
    let requests = "maitred_requests_total";
    let (files, any) = ("/fi\"les\\/", "");
    for (host, route, method, status, count) in [
        (any, files, "GET", "2xx", 3.0),
        (any, files, "HEAD", "4xx", 1.0),
        (any, "/", "POST", "2xx", 1.0),
        (any, "/", "other", "5xx", 1.0),
        ("*.example.com", "/", "GET", "2xx", 1.0),
    ] {
        let labels = [("host", host), ("route", route), ("method", method), ("status", status)];
        assert_eq!(seen.value(requests, &labels), count, "{labels:?}");
    }
    assert_eq!(seen.sum(requests, &[]), 7.0);
    assert_eq!(seen.value("maitred_requests_refused_total", &[("status", "4xx")]), 1.0);
    let duration = |by| seen.value("maitred_request_duration_seconds_count", &[("by", by)]);
    assert_eq!([duration("app"), duration("static"), duration("server")], [3.0, 4.0, 0.0]);
    assert_eq!(seen.value("maitred_queue_wait_seconds_count", &[]), 3.0);
    assert_eq!(seen.value("maitred_worker_time_seconds_count", &[]), 3.0);
    assert!(seen.value("maitred_worker_time_seconds_sum", &[]) > 0.0);
    assert_eq!(seen.sum("maitred_connections_accepted_total", &[]), 2.0);
    // The refused one may linger.
    assert!((1.0..=2.0).contains(&seen.sum("maitred_connections", &[])));
    assert!(seen.value("maitred_static_cache_hits_total", &[]) >= 1.0);
    assert!(seen.value("maitred_static_cache_misses_total", &[]) >= 2.0);
    wait_until("all eight lines are dropped", DEADLINE, || {
        seen = page(&server);
        seen.value("maitred_access_log_dropped_total", &[]) == 8.0
    });
    assert_eq!(seen.value("maitred_access_log_lines_total", &[]), 0.0);
    assert_eq!(seen.value("maitred_panics_total", &[]), 0.0);
    assert_eq!((seen.value("maitred_ready", &[]), seen.value("maitred_generation", &[])), (1.0, 1.0));
    assert_eq!(seen.value("maitred_workers", &[]), 1.0);
    assert!(seen.value("process_resident_memory_bytes", &[]) > 1e6 && seen.value("process_open_fds", &[]) > 10.0);
    assert!(seen.value("process_start_time_seconds", &[]) > 1.7e9);
}

#[test]
fn workers_show_what_they_do_and_that_they_die() {
    let server = with_admin(Builder::app("kitchen").workers(2)).start();
    let gate = server.gate("busy");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    let pid = gate.wait_started();
    let threads = |seen: &Page, state| seen.value("maitred_worker_threads", &[("state", state)]);
    // The other worker may still be at its start.
    wait_until("the other worker is idle", DEADLINE, || threads(&page(&server), "idle") == 1.0);
    let seen = page(&server);
    assert_eq!((threads(&seen, "busy"), threads(&seen, "idle")), (1.0, 1.0));
    assert_eq!(seen.value("maitred_requests_in_progress", &[]), 1.0);
    process::signal(pid, Signal::KILL);
    assert_eq!(held.join().expect("answered").status, 502);
    wait_until("the worker is replaced", DEADLINE, || {
        let seen = page(&server);
        seen.value("maitred_workers_started_total", &[]) == 3.0 && threads(&seen, "idle") == 2.0
    });
    let seen = page(&server);
    assert_eq!(seen.value("maitred_workers_exited_total", &[]), 1.0);
    assert_eq!(seen.value("maitred_requests_lost_total", &[]), 1.0);
    server.signal(Signal::HUP);
    wait_until("the second generation serves", DEADLINE, || page(&server).value("maitred_generation", &[]) == 2.0);
}

#[test]
fn readiness_follows_the_server_s_life() {
    let mut server = with_admin(Builder::app("kitchen").app_key("graceful_timeout = '20s'")).spawn();
    let address = admin(&server);
    assert_eq!(ask(address, "/healthz").status, 200);
    // Whatever comes first, it gets ready in the end.
    wait_until("it is ready", DEADLINE, || ask(address, "/readyz").status == 200);
    assert_eq!(ask(address, "/readyz").text(), "ready\n");
    // Stuck workers do not hold the answer up.
    let line = server.wait_for_line("ready: listening on http://");
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("a port");
    server.address = SocketAddr::from(([127, 0, 0, 1], port));
    let gate = server.gate("stuck");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    assert_eq!(ask(address, "/healthz").text(), "ok\n");
    assert_eq!(ask(address, "/readyz").status, 200);
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    let response = ask(address, "/readyz");
    assert_eq!((response.status, response.text()), (503, "stopping\n"));
    assert_eq!(ask(address, "/healthz").status, 200);
    assert_eq!(page(&server).value("maitred_ready", &[]), 0.0);
    gate.open();
    assert_eq!(held.join().expect("answered").status, 200);
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
}

#[test]
fn health_routes_of_the_site_say_what_the_admin_listener_says() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "503.html", "<p>a page");
    let mut server = with_admin(Builder::app("kitchen"))
        .server_key(&format!(
            "error_pages = {{ 5xx = \"{}/503.html\" }}\nmaintenance = {{ file = \"{}/closed\" }}",
            folder.path().display(),
            folder.path().display()
        ))
        .app_key("graceful_timeout = '20s'")
        .route("path = \"/healthz\"\nexact = true\nhealth = \"live\"")
        .route("path = \"/readyz\"\nexact = true\nhealth = \"ready\"\nheaders = { X-Route = \"yes\" }")
        .app_route("")
        .start();
    let address = admin(&server);
    let both = |server: &Server| {
        let (own, theirs) = (server.get("/readyz"), ask(address, "/readyz"));
        assert_eq!((own.status, own.text()), (theirs.status, theirs.text()));
        assert_eq!(own.field("x-route"), Some("yes"));
        own.text().to_owned()
    };
    assert_eq!(both(&server), "ready\n");
    let live = server.get("/healthz");
    assert_eq!((live.status, live.text(), live.field("cache-control")), (200, "ok\n", Some("no-store")));
    let mut client = server.connect();
    client.request("HEAD", "/readyz", "");
    let head = client.response("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("6")));
    client.request("POST", "/readyz", "Content-Length: 2\r\n");
    client.send("hi");
    let refused = client.response("POST");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")));
    assert_eq!(client.get("/readyz/x").status, 404);
    // A closed site is as healthy as an open one.
    put(folder.path(), "closed", "");
    wait_until("the site is closed", DEADLINE, || server.get("/hello").status == 503);
    assert_eq!(both(&server), "ready\n");
    fs::remove_file(folder.path().join("closed")).expect("removed");
    wait_until("the site is open", DEADLINE, || server.get("/hello").status == 200);
    // No worker answers for it, and no page stands in place of the reason.
    let zygote = server.zygote();
    process::signal(zygote, Signal::STOP);
    process::signal(server.workers()[0].pid, Signal::KILL);
    wait_until("it is not ready", DEADLINE, || ask(address, "/readyz").status == 503);
    assert_eq!(both(&server), "no worker is left\n");
    process::signal(zygote, Signal::CONT);
    wait_until("it is ready again", DEADLINE, || ask(address, "/readyz").status == 200);
    assert_eq!(both(&server), "ready\n");
    // While it stops nothing new is accepted; who is connected and was not heard yet is told.
    let gate = server.gate("stuck");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    let mut waiting = server.connect();
    waiting.send("GET /readyz HTTP/1.1\r\nHo");
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    wait_until("the admin listener says so", DEADLINE, || ask(address, "/readyz").text() == "stopping\n");
    waiting.send("st: a\r\n\r\n");
    let response = waiting.response("GET");
    assert_eq!((response.status, response.text(), response.closes()), (503, "stopping\n", true));
    gate.open();
    assert_eq!(held.join().expect("answered").status, 200);
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
}

#[test]
fn without_a_living_worker_it_is_not_ready() {
    let server = with_admin(Builder::app("kitchen")).start();
    let address = admin(&server);
    // The zygote is held, so that the dead worker is not replaced at once.
    let zygote = server.zygote();
    process::signal(zygote, Signal::STOP);
    process::signal(server.workers()[0].pid, Signal::KILL);
    wait_until("it is not ready", DEADLINE, || ask(address, "/readyz").status == 503);
    assert_eq!(ask(address, "/readyz").text(), "no worker is left\n");
    process::signal(zygote, Signal::CONT);
    wait_until("it is ready again", DEADLINE, || ask(address, "/readyz").status == 200);
}

#[test]
fn the_admin_listener_speaks_http() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "hello");
    let server = with_admin(Builder::bare().static_route("/", folder.path(), "")).start();
    let address = admin(&server);
    let mut client = Client::connect(address);
    // Several on one connection, pipelined.
    client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nHEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response("GET").text(), "ok\n");
    let head = client.response("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("6")));
    assert_eq!(client.response("GET").status, 404);
    client.request("POST", "/metrics", "Content-Length: 1\r\n");
    let refused = client.response("POST");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")));
    client.expect_end();
    let mut client = Client::connect(address);
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.response("GET").status, 400);
    // More connections than are served at a time wait for those that leave.
    let idle: Vec<_> = (0..40).map(|_| Client::connect(address)).collect();
    drop(idle);
    assert_eq!(ask(address, "/healthz").status, 200);
    // Without an application there are no workers to speak of.
    assert!(!ask(address, "/metrics").text().contains("maitred_workers"));
    // The site knows none of these pages.
    assert_eq!(server.get("/metrics").status, 404);
}

#[test]
fn the_admin_listener_may_be_a_unix_socket() {
    let server = Builder::app("kitchen").section("[admin]\nlisten = 'unix:admin.sock'").start();
    let path = server.folder().join("admin.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("connected");
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("ready\n"), "{text}");
}

#[test]
fn an_admin_address_that_is_taken_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address");
    let refusal = Builder::app("kitchen").section(&format!("[admin]\nlisten = '{address}'")).refuse();
    assert_eq!(refusal.code, Some(2));
    assert!(refusal.stderr.contains(&format!("cannot listen on http://{address}")), "{}", refusal.stderr);
}
