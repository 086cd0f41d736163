//! One server as its operator meets it: several shards, several addresses, flags, signals, a config file that changes.
//! What single requests get is in the other files.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Builder, Client, DEADLINE, ReadError, Response, Server, apps, process, python, value_of, wait_until};

fn two_shards() -> Server {
    let server = Builder::app("kitchen:application").shards(2).workers(2).start();
    server.wait_workers(2);
    server
}

/// So many connections that no shard is left out, each with an answer already.
fn connections(server: &Server) -> Vec<Client> {
    let mut clients: Vec<_> = (0..24).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello").status, 200);
    }
    clients
}

/// The number behind `key=` in the last words of each shard of a server that has stopped.
#[track_caller]
fn last_words(server: &mut Server, key: &str) -> Vec<u64> {
    assert!(server.log.wait_end(DEADLINE), "stderr stays open");
    let lines = server.log.lines_from(0);
    let reports = lines.iter().filter(|line| line.contains("shard stopped"));
    reports
        .map(|line| {
            value_of(line, key).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{key} in {line}"))
        })
        .collect()
}

#[test]
fn answers_reach_the_shard_that_asked() {
    const THREADS: usize = 8;
    const CONNECTIONS: usize = 5;
    const REQUESTS: usize = 5;
    let mut server = two_shards();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                for connection in 0..CONNECTIONS {
                    let mut client = server.connect();
                    for request in 0..REQUESTS {
                        let body = format!("thread {thread}, connection {connection}, request {request}");
                        let response = client.post("/echo", "", body.as_bytes());
                        assert_eq!((response.status, response.text()), (200, body.as_str()));
                    }
                }
            });
        }
    });
    assert_eq!(server.stop().code(), Some(0));
    let requests = last_words(&mut server, "requests");
    assert_eq!(requests.iter().sum::<u64>(), (THREADS * CONNECTIONS * REQUESTS) as u64);
    assert!(requests.len() == 2 && !requests.contains(&0), "no shard was left out: {requests:?}");
}

#[test]
fn a_killed_worker_costs_one_request_of_one_shard() {
    let server = two_shards();
    let mut others = connections(&server);
    // The kernel chooses the shard that holds the request; the others are connections of both.
    for round in 0..4 {
        let gate = server.gate(&format!("doomed-{round}"));
        let lost = server.get_in_thread(&format!("/hold?{}", gate.query()));
        let pid = gate.wait_started();
        process::signal(pid, Signal::KILL);
        assert_eq!(lost.join().expect("a response").status, 502);
        for client in &mut others {
            assert_eq!(client.get("/hello").status, 200);
        }
        wait_until("the worker is replaced", DEADLINE, || {
            let running = server.workers();
            running.len() == 2 && running.iter().all(|worker| worker.pid != pid)
        });
    }
}

#[test]
fn sighup_switches_every_shard() {
    let server = two_shards();
    let old: Vec<u32> = server.workers().iter().map(|worker| worker.pid).collect();
    let mut clients = connections(&server);
    server.signal(Signal::HUP);
    wait_until("two workers of the next generation", DEADLINE, || {
        for client in &mut clients {
            assert_eq!(client.get("/pid").status, 200);
        }
        let workers = server.workers();
        workers.len() == 2 && workers.iter().all(|worker| worker.generation == 2)
    });
    for client in &mut clients {
        let pid = client.get("/pid").text().trim().parse().expect("a pid");
        assert!(!old.contains(&pid), "{pid} is of the old generation");
    }
}

/// GET over a unix socket, whose connection has no address.
#[track_caller]
fn get_over_unix(path: &Path, target: &str) -> Response {
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server takes the bytes");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server ends the connection");
    let end = memchr::memmem::find(&bytes, b"\r\n\r\n").expect("a whole head");
    let mut response = Response::from_head(&bytes[..end]).expect("a head by the rules");
    response.body = bytes[end + 4..].to_vec();
    response
}

#[test]
fn several_addresses_and_a_unix_socket_are_served() {
    let builder = Builder::app("kitchen:application").shards(2);
    let path = builder.folder().join("web.sock");
    let unix = format!("unix:{}", path.display());
    let mut builder = builder.argument("-b").argument(&unix);
    // A machine may be without IPv6.
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    if has_ipv6 {
        builder = builder.argument("-b").argument("[::1]:0");
    }
    let mut server = builder.start();
    let seen = server.get("/environ").json();
    assert_eq!(seen["REMOTE_ADDR"], "127.0.0.1");
    assert_eq!(seen["SERVER_PORT"], server.address.port().to_string());
    if has_ipv6 {
        let line = server.wait_for_line("ready: listening on http://[::1]:");
        let address = line.split("http://").nth(1).expect("the pattern holds it").trim();
        let address: SocketAddr = address.parse().unwrap_or_else(|error| panic!("{address}: {error}"));
        let seen = Client::connect(address).get("/environ").json();
        assert_eq!(seen["REMOTE_ADDR"], "::1");
        assert_eq!(seen["SERVER_PORT"], address.port().to_string());
    }
    server.wait_for_line(&format!("ready: listening on {unix}"));
    let response = get_over_unix(&path, "/environ");
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["REMOTE_ADDR"], "");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!path.exists(), "the socket's file is left behind");
}

#[test]
fn files_named_on_the_command_line_are_served() {
    let server = Builder::command_line(&["--static", &format!("/files/={}", apps().display())]).start();
    let response = server.get("/files/kitchen.py");
    assert_eq!(response.status, 200);
    support::assert_same_bytes(&response.body, &fs::read(apps().join("kitchen.py")).expect("our own file"));
    for target in ["/kitchen.py", "/files/missing.py", "/"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    assert_eq!(process::children(server.pid()), Vec::<u32>::new(), "there is nothing to run");
}

#[test]
fn timeout_can_be_given_as_a_flag() {
    let server = Builder::app("kitchen:application").argument("--timeout").argument("1").start();
    let gate = server.gate("stuck");
    let lost = server.get_in_thread(&format!("/stuck?{}", gate.query()));
    let pid = gate.wait_started();
    // faulthandler's stack names the function that hangs.
    server.wait_for_line("in stuck_for_good");
    assert_eq!(lost.join().expect("a response").status, 504);
    assert!(process::wait_gone(pid, DEADLINE));
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn sigquit_stops_at_once() {
    let mut server = Builder::app("kitchen:application").app_key("graceful_timeout = \"60s\"").start();
    let gate = server.gate("held");
    let mut client = server.connect();
    client.request("GET", &format!("/hold?{}", gate.query()), "");
    gate.wait_started();
    server.signal(Signal::QUIT);
    assert!(server.wait_exit(DEADLINE).is_some(), "{}", server.log.text());
    match client.try_response("GET") {
        Ok(response) => assert!(matches!(response.status, 502..=504), "{}", response.status),
        Err(error) => assert!(matches!(error, ReadError::Closed | ReadError::Reset), "{error:?}"),
    }
    assert_eq!(server.family(), Vec::<u32>::new());
}

/// A config file with an `[app]` of these lines, and whatever else the test wants.
fn write_config(file: &Path, app: &str, more: &str) {
    let text = format!(
        "[app]\nwsgi = \"kitchen:application\"\nchdir = {:?}\npython = {:?}\n{app}\n{more}\n",
        apps(),
        python::interpreter()
    );
    fs::write(file, text).expect("a writable folder");
}

#[test]
fn sighup_reads_the_config_anew() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let file = folder.path().join("site.toml");
    write_config(&file, "workers = 1", "");
    let server = Builder::command_line(&["--config", &file.display().to_string()]).start();
    let old = server.wait_workers(1);
    assert_eq!(server.get("/files/kitchen.py").status, 404);

    write_config(&file, "workers = 2", &format!("[[route]]\npath = \"/files/\"\nstatic = {:?}", apps()));
    server.signal(Signal::HUP);
    wait_until("two workers of the next generation", DEADLINE, || {
        let workers = server.workers();
        workers.len() == 2 && workers.iter().all(|worker| worker.generation == 2)
    });
    assert!(process::wait_gone(old[0].pid, DEADLINE));
    assert_eq!(server.get("/files/kitchen.py").status, 200);
    assert_eq!(server.get("/hello").status, 200);

    let workers = server.workers();
    let mark = server.log.mark();
    write_config(&file, "wrokers = 3", "");
    server.signal(Signal::HUP);
    server.wait_for_line_from(mark, "reload refused");
    let lines = server.log.lines_from(mark);
    assert!(lines.iter().any(|line| line.contains("wrokers")), "the key is not named: {lines:?}");
    assert_eq!(server.get("/files/kitchen.py").status, 200);
    assert_eq!(server.get("/hello").status, 200);
    assert_eq!(server.workers(), workers);
}

#[test]
fn sighup_changes_what_can_change_and_names_what_can_not() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let file = folder.path().join("site.toml");
    let [first_log, log, spool] = ["first.log", "access.log", "spool"].map(|name| folder.path().join(name));
    let first = format!("[server]\naccess_log = {{ path = {first_log:?}, format = \"json\", flush = \"1m\" }}");
    write_config(&file, "workers = 1", &first);
    let server = Builder::command_line(&["--config", &file.display().to_string()]).start();
    assert!(server.get("/hello?first").field("x-request-id").is_none());

    fs::create_dir(&spool).expect("the temporary folder is writable");
    let waits = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nshards = 3\nbacklog = 99\npidfile = {:?}\n",
        folder.path().join("pid")
    );
    let live = format!("request_id_echo = true\nmax_body = 5\nkeepalive_timeout = \"500ms\"\naccess_log = {log:?}");
    let mark = server.log.mark();
    write_config(&file, &format!("graceful_timeout = \"7s\"\nqueue = 9\nspool_dir = {spool:?}"), &(waits + &live));
    server.signal(Signal::HUP);
    wait_until("the next generation", DEADLINE, || server.workers().iter().any(|worker| worker.generation == 2));
    wait_until("its routes", DEADLINE, || server.get("/hello").field("x-request-id").is_some());
    let lines = server.log.lines_from(mark);
    let named: Vec<_> = lines.iter().filter(|line| line.contains("takes effect at the next start")).collect();
    for key in ["server.shards", "server.backlog", "server.pidfile", "admin.listen", "app.spool_dir"] {
        assert!(named.iter().any(|line| line.contains(&format!("{key} has changed"))), "{key}: {named:?}");
    }
    assert_eq!(named.len(), 5, "{named:?}");

    let mut client = server.connect();
    wait_until("the bound of bodies", DEADLINE, || {
        let mut client = server.connect();
        client.request("POST", "/echo", "Content-Length: 6\r\n");
        client.send("123456");
        client.response("POST").status == 413
    });
    assert_eq!(client.get("/hello?logged").status, 200);
    // It would be a minute and more.
    client.expect_end();
    wait_until("the line is written", DEADLINE, || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("/hello?logged"))
    });
    // What waited in the first log's buffers is in that log.
    let [first, second] = [&first_log, &log].map(|file| fs::read_to_string(file).expect("written"));
    assert!(first.contains("/hello?first") && first.lines().all(|line| line.starts_with('{')), "{first}");
    assert!(!second.contains('{'), "{second}");
}

/// The CPUs that a thread or process may use, as proc_pid_status(5) lists them.
#[track_caller]
fn cpus_allowed(folder: &str) -> String {
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.expect("every kernel says so").trim().to_owned()
}

#[test]
fn shards_are_pinned_and_workers_are_not() {
    let shards = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    let server = Builder::app("kitchen:application").shards(shards as u32).workers(2).start();
    let mut cpus = BTreeSet::new();
    for task in fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the server runs").flatten() {
        let folder = task.path().display().to_string();
        let name = fs::read_to_string(format!("{folder}/comm")).unwrap_or_default();
        if name.starts_with("shard-") {
            let cpu = cpus_allowed(&folder);
            assert!(cpu.bytes().all(|byte| byte.is_ascii_digit()), "{name} may use {cpu}");
            cpus.insert(cpu);
        }
    }
    assert_eq!(cpus.len(), shards, "one CPU for each shard: {cpus:?}");
    let own = cpus_allowed("/proc/self");
    for worker in server.wait_workers(2) {
        assert_eq!(cpus_allowed(&format!("/proc/{}", worker.pid)), own, "{worker:?}");
    }
}

#[test]
fn a_shard_that_stops_says_what_it_did() {
    let mut server = Builder::app("kitchen:application").shards(1).start();
    let mut client = server.connect();
    for _ in 0..7 {
        assert_eq!(client.get("/hello").status, 200);
    }
    client.send("no request at all\r\n\r\n");
    assert_eq!(client.response("GET").status, 400);
    assert_eq!(server.stop().code(), Some(0));
    for (key, value) in [("shard", 0), ("connections", 1), ("requests", 7), ("refused", 1), ("panics", 0)] {
        assert_eq!(last_words(&mut server, key), [value], "{key}");
    }
    let (p50, p99) = (last_words(&mut server, "p50_us"), last_words(&mut server, "p99_us"));
    assert!(p50.len() == 1 && p50[0] > 0 && p50 <= p99, "{p50:?} {p99:?}");
}

#[test]
fn send_timeout_ends_an_app_response_that_nobody_reads() {
    let server = Builder::app("kitchen:application").server_key("send_timeout = \"1s\"").start();
    let mark = server.folder().join("closed");
    let mut client = server.connect();
    let since = Instant::now();
    client.request("GET", &format!("/endless?mark={}", mark.display()), "");
    wait_until("the app's close() was called", DEADLINE, || mark.exists());
    assert!(since.elapsed() >= Duration::from_millis(900), "{:?}", since.elapsed());
    let (bytes, end) = client.rest();
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "what had been sent arrives");
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "it looks complete");
    assert!(matches!(end, ReadError::Closed | ReadError::Reset), "{end:?}");
    assert_eq!(server.get("/hello").status, 200, "the worker is free again");
}
