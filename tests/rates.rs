//! Limits of a running server: how often requests come, how many are in progress, how many connections an address has, how fast a response goes.

mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::Signal;
use support::files::put;
use support::metrics::Page;
use support::{Builder, Client, Response, Server, assert_same_bytes, pattern, wait_until};

/// A connection from this address of the loopback network.
fn from(host: u8, server: &Server) -> Client {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).expect("an address of this host");
    connect(&socket, &server.address).expect("the server accepts");
    Client::over(TcpStream::from(socket))
}

fn get(client: &mut Client, target: &str, fields: &str) -> Response {
    client.request("GET", target, fields);
    client.response("GET")
}

fn statuses(client: &mut Client, count: usize, fields: &str) -> Vec<u16> {
    (0..count).map(|_| get(client, "/", fields).status).collect()
}

/// With an admin listener on a port that the kernel chooses.
fn with_admin(builder: Builder) -> Server {
    builder.section("[admin]\nlisten = '127.0.0.1:0'").start()
}

fn metrics(server: &Server) -> Page {
    let line = server.wait_for_line("admin: listening on http://");
    let address = line.split("http://").nth(1).and_then(|address| address.trim().parse().ok()).expect("an address");
    Page::parse(get(&mut Client::connect(address), "/metrics", "").text())
}

fn limited(server: &Server, zone: &str, outcome: &str) -> f64 {
    metrics(server).value("maitred_limit_requests_total", &[("zone", zone), ("outcome", outcome)])
}

/// A server without application whose one route has these lines.
fn with_route(lines: &str) -> Builder {
    Builder::bare().route(&format!("path = \"/\"\nrespond = \"yes\"\n{lines}"))
}

#[test]
fn what_is_over_the_limit_is_told_when_to_come_back() {
    let server = with_admin(with_route("limit = { rate = \"2/h\", burst = 2 }"));
    let mut client = server.connect();
    assert_eq!(statuses(&mut client, 3, ""), [200, 200, 200]);
    let refused = get(&mut client, "/", "");
    assert_eq!(refused.status, 429);
    let number = |name: &str| {
        refused.field(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("{name}"))
    };
    assert!((1700..=1800).contains(&number("retry-after")), "{}", number("retry-after"));
    assert_eq!((number("ratelimit-limit"), number("ratelimit-remaining")), (3, 0));
    assert!((5300..=5400).contains(&number("ratelimit-reset")), "{}", number("ratelimit-reset"));
    assert_eq!(refused.field("ratelimit-policy"), Some("3;w=5400"));
    // The connection goes on, and a refusal costs nothing.
    assert_eq!(statuses(&mut client, 2, ""), [429, 429]);
    assert_eq!((limited(&server, "/", "passed"), limited(&server, "/", "rejected")), (3.0, 3.0));
    server.wait_for_line("limiting requests");
}

#[test]
fn all_shards_together_admit_exactly_what_is_allowed() {
    let server = with_route("limit = { rate = \"1/h\", burst = 19 }").shards(2).start();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let address = server.address;
            std::thread::spawn(move || {
                // Connections of their own come to both shards.
                let one = |_| statuses(&mut Client::connect(address), 1, "")[0];
                (0..20).map(one).filter(|status| *status == 200).count()
            })
        })
        .collect();
    let admitted: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert_eq!(admitted, 20);
}

#[test]
fn requests_are_counted_by_address_header_cookie_path_host_or_all_together() {
    let limit = |key: &str| with_route(&format!("limit = {{ rate = \"1/h\", key = {key} }}")).start();
    let server = limit("\"address\"");
    assert_eq!(statuses(&mut from(1, &server), 2, ""), [200, 429]);
    assert_eq!(statuses(&mut from(2, &server), 2, ""), [200, 429]);
    let server = limit("\"all\"");
    assert_eq!(statuses(&mut from(1, &server), 1, ""), [200]);
    assert_eq!(statuses(&mut from(2, &server), 1, ""), [429]);
    let server = limit("\"header:X-Key\"");
    let mut client = server.connect();
    assert_eq!(statuses(&mut client, 2, "X-Key: a\r\n"), [200, 429]);
    assert_eq!(statuses(&mut client, 2, "x-key: b\r\n"), [200, 429]);
    assert_eq!(statuses(&mut client, 3, ""), [200, 200, 200], "what has no key is not counted");
    let server = limit("\"cookie:sid\"");
    let mut client = server.connect();
    assert_eq!(statuses(&mut client, 2, "Cookie: a=b; sid=1\r\n"), [200, 429]);
    assert_eq!(statuses(&mut client, 1, "Cookie: sid=2\r\n"), [200]);
    let server = limit("[\"address\", \"path\"]");
    let mut client = server.connect();
    let of = |client: &mut Client, target: &str| get(client, target, "").status;
    assert_eq!([of(&mut client, "/a"), of(&mut client, "/x/../%61?q"), of(&mut client, "/b")], [200, 429, 200]);
    assert_eq!(get(&mut from(2, &server), "/a", "").status, 200);
}

#[test]
fn what_waits_for_its_turn_is_served_in_the_end() {
    let server = with_admin(with_route("limit = { rate = \"20/s\", burst = 5, delay = true, log_level = \"info\" }"));
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.request("GET", "/", ""));
    let served = clients.iter_mut().map(|client| client.response("GET").status).filter(|status| *status == 200).count();
    assert_eq!(served, 4);
    let (passed, delayed) = (limited(&server, "/", "passed"), limited(&server, "/", "delayed"));
    assert!(passed >= 1.0 && passed + delayed == 4.0, "{passed} {delayed}");
    // A client that leaves while it waits leaves nothing behind; the server's end would tell.
    let server = with_route("limit = { rate = \"1/h\", burst = 5, delay = 0 }").start();
    assert_eq!(server.get("/").status, 200);
    let mut waiting = server.connect();
    waiting.request("GET", "/", "");
    drop(waiting);
}

#[test]
fn several_limits_must_all_be_kept_to_and_a_refusal_counts_in_none() {
    let server = with_admin(with_route(
        "limit = [{ rate = \"1/h\", burst = 9, key = \"header:A\", zone = \"a\", announce = true }, { rate = \"1/h\", burst = 1, key = \"header:B\", zone = \"b\" }]",
    ));
    let mut client = server.connect();
    assert_eq!(statuses(&mut client, 4, "A: 1\r\nB: 1\r\n"), [200, 200, 429, 429]);
    let response = get(&mut client, "/", "A: 1\r\nB: 2\r\n");
    assert_eq!((response.status, response.field("ratelimit-remaining")), (200, Some("7")));
    assert_eq!((limited(&server, "a", "passed"), limited(&server, "b", "rejected")), (3.0, 2.0));
}

#[test]
fn a_dry_run_counts_and_serves() {
    let server = with_admin(with_route(
        "limit = { rate = \"1/h\", dry_run = true, zone = \"trial\" }\nconnections = { in_all = 1, dry_run = true }",
    ));
    assert_eq!(statuses(&mut server.connect(), 3, ""), [200, 200, 200]);
    assert_eq!((limited(&server, "trial", "passed"), limited(&server, "trial", "rejected_dry_run")), (1.0, 2.0));
}

#[test]
fn the_server_s_limit_holds_for_routes_without_one_and_where_there_is_no_route() {
    let server = Builder::bare()
        .server_key("limit = { rate = \"1/h\", burst = 1, status = 503 }")
        .route("path = \"/a/\"\nrespond = \"a\"")
        .route("path = \"/free/\"\nrespond = \"free\"\nlimit = []")
        .route("path = \"/own/\"\nrespond = \"own\"\nlimit = \"1/h\"")
        .start();
    let mut client = server.connect();
    let mut of = |target: &str| get(&mut client, target, "").status;
    assert_eq!([of("/a/"), of("/nowhere"), of("/a/"), of("/nowhere")], [200, 404, 503, 503]);
    assert_eq!([of("/free/"), of("/free/"), of("/own/"), of("/own/")], [200, 200, 200, 429]);
    let refused = get(&mut client, "/a/", "");
    assert_eq!(refused.all("retry-after").len(), 1);
}

#[test]
fn what_was_counted_outlives_a_reload_and_zones_are_shared() {
    let server = Builder::bare()
        .route("path = \"/a\"\nrespond = \"a\"\nlimit = { rate = \"1/h\", burst = 1, zone = \"both\" }")
        .route("path = \"/b\"\nrespond = \"b\"\nlimit = { rate = \"1/h\", burst = 1, zone = \"both\" }")
        .start();
    let mut client = server.connect();
    assert_eq!([get(&mut client, "/a", "").status, get(&mut client, "/b", "").status], [200, 200]);
    let file = server.folder().join("maitred.toml");
    let text = fs::read_to_string(&file).expect("the config");
    put(server.folder(), "maitred.toml", format!("{text}\n[[route]]\npath = \"/c\"\nrespond = \"c\"\n"));
    server.signal(Signal::HUP);
    wait_until("the new route is there", support::DEADLINE, || get(&mut client, "/c", "").status == 200);
    assert_eq!([get(&mut client, "/a", "").status, get(&mut client, "/b", "").status], [429, 429]);
}

#[test]
fn limits_come_before_bodies_files_and_the_application() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "a");
    let server = Builder::app("kitchen:application")
        .app_route("limit = \"1/h\"")
        .static_route("/files/", folder.path(), "limit = { rate = \"1/h\", burst = 1 }")
        .start();
    let mut client = server.connect();
    assert_eq!(client.get("/hello").status, 200);
    // The body is not asked for.
    client.request("POST", "/echo", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    assert_eq!(client.response("POST").status, 429);
    client.expect_end();
    let mut client = server.connect();
    assert_eq!(client.post("/echo", "", b"12345").status, 429);
    let all: Vec<_> = (0..3).map(|_| client.get("/files/a.txt").status).collect();
    assert_eq!(all, [200, 200, 429]);
}

#[test]
fn requests_in_progress_are_bounded_by_address_and_in_all() {
    let server = Builder::app("kitchen:application")
        .workers(4)
        .shards(2)
        .app_route("connections = { per_address = 2, in_all = 3 }")
        .start();
    let gates = ["first", "second", "third"].map(|name| server.gate(name));
    let hold = |client: &mut Client, index: usize| {
        client.request("GET", &format!("/hold?{}", gates[index].query()), "");
        gates[index].wait_started();
    };
    let (mut first, mut second, mut third) = (from(1, &server), from(1, &server), from(2, &server));
    hold(&mut first, 0);
    hold(&mut second, 1);
    assert_eq!(get(&mut from(1, &server), "/hello", "").status, 503, "the address has two");
    hold(&mut third, 2);
    assert_eq!(get(&mut from(3, &server), "/hello", "").status, 503, "there are three");
    gates.iter().for_each(|gate| gate.open());
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.response("GET").status, 200);
        assert_eq!(client.get("/hello").status, 200, "a connection that is idle does not count");
    }
    assert_eq!(get(&mut from(1, &server), "/hello", "").status, 200);
}

#[test]
fn an_address_has_so_many_connections_on_all_shards_together() {
    let server = with_admin(with_route("").shards(2).server_key("max_connections_per_address = 3"));
    let mut kept: Vec<_> = (0..3).map(|_| from(9, &server)).collect();
    for client in &mut kept {
        assert_eq!(get(client, "/", "").status, 200);
    }
    from(9, &server).expect_end();
    assert_eq!(get(&mut from(8, &server), "/", "").status, 200, "another address");
    drop(kept.pop());
    wait_until("the place is free again", support::DEADLINE, || {
        let mut client = from(9, &server);
        client.request("GET", "/", "");
        client.try_response("GET").is_ok()
    });
    assert!(metrics(&server).value("maitred_connections_refused_total", &[]) >= 1.0);
}

#[test]
fn a_response_keeps_to_its_rate_after_its_first_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = pattern(300_000);
    fs::write(folder.path().join("a.bin"), &bytes).expect("a file");
    let server = Builder::bare()
        .static_route("/fast/", folder.path(), "")
        .static_route("/slow/", folder.path(), "limit_rate = \"100K\"\nlimit_rate_after = \"100K\"")
        .start();
    let mut client = server.connect();
    let begun = std::time::Instant::now();
    let response = client.get("/slow/a.bin");
    assert_same_bytes(&response.body, &bytes);
    // 100 KiB are free, 100 KiB more go at once, for the rest there is a second to wait.
    assert!(begun.elapsed().as_millis() >= 900, "{:?}", begun.elapsed());
    assert_same_bytes(&client.get("/fast/a.bin").body, &bytes);
}

#[test]
fn a_response_that_keeps_to_its_rate_holds_no_worker() {
    let server =
        Builder::app("kitchen:application").workers(1).threads(1).shards(1).app_route("limit_rate = \"1M\"").start();
    let made = server.folder().join("made");
    let mut slow = server.connect();
    slow.request("GET", &format!("/produce?n={}&made={}", 3 << 20, made.display()), "");
    slow.head("GET");
    wait_until("the app has given all away", support::DEADLINE, || made.exists());
    assert_eq!(server.get("/hello").status, 200, "the only worker serves others");
    let mut total = 0;
    while let Some(piece) = slow.piece() {
        total += piece.len();
    }
    assert_eq!(total, 3 << 20);
}

#[test]
fn limits_go_by_the_client_that_a_trusted_proxy_names() {
    let server =
        with_route("limit = \"1/h\"\nallow = \"192.0.2.0/24\"").server_key("trusted_proxies = \"127.0.0.1\"").start();
    let of =
        |host: u8, client: &str| get(&mut from(host, &server), "/", &format!("X-Forwarded-For: {client}\r\n")).status;
    assert_eq!([of(1, "192.0.2.1"), of(1, "192.0.2.1"), of(1, "192.0.2.2")], [200, 429, 200]);
    assert_eq!([of(1, "198.51.100.1"), of(2, "192.0.2.3")], [403, 403], "who is not trusted names nobody");
    let server = with_route("")
        .server_key("trusted_proxies = \"127.0.0.1\"")
        .server_key("max_connections_per_address = 1")
        .start();
    let mut kept: Vec<_> = (0..3).map(|_| from(1, &server)).collect();
    assert!(kept.iter_mut().all(|client| get(client, "/", "").status == 200), "a proxy's connections are not counted");
}

#[test]
fn a_body_that_drips_is_refused() {
    let server = Builder::app("kitchen:application")
        .server_key("body_timeout = \"500ms\"")
        .server_key("min_body_rate = 1000")
        .app_route("")
        .start();
    let mut client = server.connect();
    client.request("POST", "/echo", "Content-Length: 100000\r\n");
    // Each byte comes in time; together they are too slow.
    let dripping = client.stream().try_clone().expect("a second handle");
    let drip = std::thread::spawn(move || {
        use std::io::Write;
        let mut dripping = dripping;
        while dripping.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    assert_eq!(client.response("POST").status, 408);
    drop(client);
    drip.join().expect("no panic");
    // A body that is fast enough may pause now and then.
    for bytes in [8_000, 40_000] {
        let mut client = server.connect();
        client.request("POST", "/digest", &format!("Content-Length: {bytes}\r\n"));
        for piece in pattern(bytes).chunks(bytes / 4) {
            client.send(piece);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(client.response("POST").status, 200);
    }
}

#[test]
fn the_access_log_says_what_a_limit_did() {
    let server = with_route("limit = { rate = \"1/h\", log_level = \"off\" }")
        .server_key("access_log = { path = \"access.log\", format = \"$status $limit_req_status\", flush = \"100ms\" }")
        .start();
    assert_eq!(statuses(&mut server.connect(), 2, ""), [200, 429]);
    let log = server.folder().join("access.log");
    wait_until("both lines", support::DEADLINE, || {
        fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 2)
    });
    assert_eq!(fs::read_to_string(&log).expect("the log"), "200 PASSED\n429 REJECTED\n");
}
