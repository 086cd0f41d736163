//! Clients that mean ill or are broken: afterwards the server serves as before. (That it never panicked and leaves no
//! process behind is checked whenever a test's server is dropped.)

mod support;

use std::fs::File;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use support::{Builder, Client, ReadError, Server, process, wait_until};
use tempfile::TempDir;

/// xorshift64: the same garbage for the same seed.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> usize {
        (self.next() % bound) as usize
    }
}

/// The kitchen and a folder with a file of 32 MiB at `/files/large.bin`.
fn server() -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let file = File::create(folder.path().join("large.bin")).expect("a writable folder");
    file.set_len(32 * 1024 * 1024).expect("a sparse file");
    let server = Builder::app("kitchen:application")
        .workers(2)
        .server_key("head_timeout = \"1s\"")
        .server_key("body_timeout = \"1s\"")
        .static_route("/files/", folder.path(), "")
        .app_route("")
        .start();
    (server, folder)
}

#[track_caller]
fn serves(server: &Server) {
    for _ in 0..5 {
        assert_eq!(server.get("/hello").text(), "Hello, world!\n");
    }
}

/// Closing then sends RST instead of FIN.
fn reset(client: Client) {
    set_socket_linger(client.stream(), Some(Duration::ZERO)).expect("a socket option");
    drop(client);
}

#[test]
fn garbage_on_200_connections() {
    let (server, _folder) = server();
    let seed = u64::from(std::process::id()) | 1 << 40;
    eprintln!("seed {seed}");
    let mut garbage = Garbage(seed);
    for round in 0..200 {
        let mut client = server.connect();
        let length = garbage.below(20_000);
        let mut bytes: Vec<u8> = match round % 4 {
            0 => b"GET /hello HTTP/1.1\r\nHost: a\r\n".to_vec(),
            1 => b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            _ => Vec::new(),
        };
        bytes.extend((0..length).map(|_| garbage.next() as u8));
        client.try_send(&bytes);
        client.half_close();
        let (answer, end) = client.rest();
        assert_ne!(end, ReadError::Timeout, "round {round} of seed {seed}");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "round {round} of seed {seed}: {answer}");
    }
    serves(&server);
}

/// A valid request with one byte changed must give some answer or the end, never silence.
#[test]
fn mutated_requests() {
    let (server, _folder) = server();
    let seed = u64::from(std::process::id()) | 1 << 41;
    eprintln!("seed {seed}");
    let mut garbage = Garbage(seed);
    let valid =
        b"POST /echo?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\n\r\n";
    for round in 0..300 {
        let mut bytes = valid.to_vec();
        for _ in 0..=garbage.below(3) {
            let at = garbage.below(bytes.len() as u64);
            bytes[at] = garbage.next() as u8;
        }
        let mut client = server.connect();
        client.try_send(&bytes);
        client.half_close();
        let (_, end) = client.rest();
        assert_ne!(end, ReadError::Timeout, "round {round} of seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
    }
    serves(&server);
}

#[test]
fn many_slow_clients_do_not_stop_others_and_are_ended() {
    let (server, _folder) = server();
    let mut slow: Vec<_> = (0..150).map(|_| server.connect()).collect();
    for (n, client) in slow.iter_mut().enumerate() {
        match n % 3 {
            0 => client.send("GET /hello HTTP/1.1\r\nHo"),
            1 => client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"),
            _ => {}
        }
    }
    serves(&server);
    for mut client in slow {
        let (bytes, end) = client.rest();
        assert_eq!(end, ReadError::Closed);
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408 "));
    }
    serves(&server);
}

#[test]
fn half_open_connections() {
    let (server, _folder) = server();
    for part in [
        "",
        "GET",
        "GET /hello HTTP/1.1\r\nHost: a\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ] {
        let mut client = server.connect();
        client.send(part);
        client.half_close();
        let (bytes, end) = client.rest();
        assert_eq!(end, ReadError::Closed, "{part:?}");
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 4"), "{part:?}");
    }
    serves(&server);
}

/// A client may close its own side once it has asked (`printf … | nc`).
#[test]
fn a_client_that_half_closes_after_its_request_gets_the_answer() {
    let (server, _folder) = server();
    for target in ["/hello", "/files/large.bin", "/data?n=3000000&open=1"] {
        let mut client = server.connect();
        client.request("GET", target, "");
        client.half_close();
        assert_eq!(client.response("GET").status, 200, "{target}");
        client.expect_end();
    }
}

#[test]
fn resets_in_mid_response() {
    let (server, _folder) = server();
    for round in 0..60 {
        let mut client = server.connect();
        let target = ["/files/large.bin", "/data?n=8000000&open=1", "/hello"][round % 3];
        client.request("GET", target, "");
        if round % 2 == 0 {
            client.head("GET");
        }
        reset(client);
    }
    serves(&server);
}

#[test]
fn resets_in_mid_request() {
    let (server, _folder) = server();
    for round in 0..60 {
        let mut client = server.connect();
        client.send(["GET /he", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\npart", ""][round % 3]);
        reset(client);
    }
    serves(&server);
}

#[test]
fn nothing_of_left_connections_stays_open() {
    let (server, _folder) = server();
    serves(&server);
    wait_until("the first connections are gone", support::DEADLINE, || {
        let now = process::sockets(server.pid());
        std::thread::sleep(Duration::from_millis(50));
        process::sockets(server.pid()) == now
    });
    let before = process::sockets(server.pid());
    for round in 0..50 {
        let mut client = server.connect();
        client.request("GET", ["/files/large.bin", "/hello"][round % 2], "");
        client.head("GET");
        if round % 4 < 2 {
            reset(client);
        }
    }
    wait_until("their descriptors are closed", support::DEADLINE, || process::sockets(server.pid()) <= before);
}

/// Pipelining without ever reading: the server must stop reading, not collect responses.
#[test]
fn a_pipelining_client_that_never_reads_is_held_back() {
    let (server, _folder) = server();
    serves(&server);
    let before = process::resident_kib(server.pid());
    let mut client = server.connect();
    client.stream().set_write_timeout(Some(Duration::from_millis(300))).expect("a socket option");
    let requests = "GET /data?n=60000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    let mut held_back = false;
    for _ in 0..2000 {
        if !client.try_send(&requests) {
            held_back = true;
            break;
        }
    }
    assert!(held_back, "42 MB of requests were taken without one response being read");
    let grown = process::resident_kib(server.pid()).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more than before");
    serves(&server);
}

/// Accepting fails with EMFILE while 200 clients hold what 128 descriptors allow; afterwards all is as before.
#[test]
fn running_out_of_descriptors() {
    let server =
        Builder::app("kitchen:application").shards(1).prefix(&["sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"]).start();
    let crowd: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(server.address).expect("the accept queue takes them")).collect();
    // Whoever was accepted is still served.
    let mut first = Client::over(crowd[0].try_clone().expect("a descriptor of our own"));
    assert_eq!(first.get("/hello").status, 200);
    drop((first, crowd));
    serves(&server);
    let last: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for mut client in last {
        assert_eq!(client.get("/hello").status, 200);
    }
}

/// Idle connections hold all descriptors, and give way to who has something to ask.
#[test]
fn idle_connections_make_room_when_descriptors_run_out() {
    let server =
        Builder::app("kitchen:application").shards(1).prefix(&["sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"]).start();
    let clients: Vec<Client> = (0..200)
        .map(|number| {
            let mut client = server.connect();
            assert_eq!(client.get("/hello").status, 200, "client {number}");
            client
        })
        .collect();
    let told = server.log.text().matches("cannot accept connections").count();
    assert_eq!(told, 1, "it is said once in a while:\n{}", server.log.text());
    drop(clients);
    serves(&server);
}
