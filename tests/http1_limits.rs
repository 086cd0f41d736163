//! Bounds and timeouts of HTTP/1.1 connections: at the bound it works, over it the answer is defined, and the server closes.

mod support;

use std::fs::File;
use std::time::{Duration, Instant};

use support::{Builder, Client, ReadError, Server, assert_same_bytes, pattern, process, wait_until};

const TIMEOUT: Duration = Duration::from_millis(400);

fn with_timeout(key: &str) -> Server {
    Builder::app("kitchen:application").server_key(&format!("{key} = \"400ms\"")).start()
}

#[track_caller]
fn refused(server: &Server, request: &str, status: u16) {
    let mut client = server.connect();
    client.try_send(request);
    assert_eq!(client.response("GET").status, status);
    let (rest, end) = client.rest();
    assert_eq!((rest.len(), end), (0, ReadError::Closed));
}

#[test]
fn long_target_is_414() {
    let server = Builder::app("kitchen:anything").start();
    let request = |length: usize| {
        let target = format!("/{}", "a".repeat(length - 1));
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    };
    let mut client = server.connect();
    client.send(request(8 * 1024));
    assert_eq!(client.response("GET").status, 200);
    refused(&server, &request(8 * 1024 + 1), 414);
    refused(&server, &request(200 * 1024), 414);
}

#[test]
fn too_many_fields_are_431() {
    let server = Builder::app("kitchen:anything").start();
    // Host is one of them.
    let request = |count: usize| {
        let fields: String = (1..count).map(|n| format!("X-{n}: v\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
    };
    let mut client = server.connect();
    client.send(request(100));
    assert_eq!(client.response("GET").status, 200);
    refused(&server, &request(101), 431);
    refused(&server, &request(3000), 431);
}

#[test]
fn long_field_line_is_431() {
    let server = Builder::app("kitchen:anything").start();
    let request =
        |length: usize| format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "v".repeat(length));
    let mut client = server.connect();
    client.send(request(15 * 1024));
    assert_eq!(client.response("GET").status, 200);
    refused(&server, &request(17 * 1024), 431);
}

#[test]
fn long_head_is_431() {
    let server = Builder::app("kitchen:anything").start();
    let request = |fields: usize| {
        let lines: String = (0..fields).map(|n| format!("X-{n}: {}\r\n", "v".repeat(1000))).collect();
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
    };
    let mut client = server.connect();
    client.send(request(30));
    assert_eq!(client.response("GET").status, 200);
    refused(&server, &request(40), 431);
}

#[test]
fn head_without_end_is_431() {
    let server = Builder::app("kitchen:anything").start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n");
    while client.try_send("X-More: and more\r\n".repeat(100)) && !has_input(&client) {}
    assert_eq!(client.response("GET").status, 431);
}

fn has_input(client: &Client) -> bool {
    let mut byte = [0];
    client.stream().set_nonblocking(true).expect("a socket option");
    let found = matches!(client.stream().peek(&mut byte), Ok(1));
    client.stream().set_nonblocking(false).expect("a socket option");
    found
}

#[test]
fn large_body_is_413_by_length_and_by_chunks() {
    let server = Builder::app("kitchen:application").app_route("max_body = \"64K\"").start();
    let mut client = server.connect();
    let most = pattern(64 * 1024);
    assert_same_bytes(&client.post("/echo", "", &most).body, &most);
    assert_same_bytes(&client.post_chunked("/echo", &most, 9000).body, &most);
    refused(&server, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413);
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(3);
    refused(
        &server,
        &format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"),
        413,
    );
}

#[test]
fn long_chunk_line_is_400() {
    let server = Builder::app("kitchen:application").start();
    let extension = "e".repeat(5000);
    refused(
        &server,
        &format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\na\r\n0\r\n\r\n"),
        400,
    );
}

#[test]
fn large_trailer_is_431() {
    let server = Builder::app("kitchen:application").start();
    let trailer = format!("X-T: {}\r\n", "t".repeat(1000)).repeat(12);
    refused(
        &server,
        &format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailer}\r\n"),
        431,
    );
}

/// The connection ends after the timeout, not before, with at most a 408 (RFC 9110 section 15.5.9).
#[track_caller]
fn times_out(client: &mut Client, since: Instant) {
    let (bytes, end) = client.rest();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text:?}");
    assert_eq!(end, ReadError::Closed);
    assert!(since.elapsed() >= TIMEOUT.mul_f32(0.8), "closed after {:?}", since.elapsed());
}

#[test]
fn head_timeout_ends_a_connection_that_sends_half_a_head() {
    let server = with_timeout("head_timeout");
    let since = Instant::now();
    let mut client = server.connect();
    client.send("GET /hello HTTP/1.1\r\nHost: local");
    times_out(&mut client, since);
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn head_timeout_is_for_the_whole_head_however_often_a_byte_comes() {
    let server = with_timeout("head_timeout");
    let mut client = server.connect();
    client.send("GET /hello HTTP/1.1\r\nX-Drip: ");
    let since = Instant::now();
    wait_until("the server gives up", support::DEADLINE, || {
        std::thread::sleep(Duration::from_millis(20));
        !client.try_send("x") || has_input(&client) || closed(&client)
    });
    assert!(since.elapsed() >= TIMEOUT.mul_f32(0.8));
    assert!(since.elapsed() < TIMEOUT * 10, "{:?}", since.elapsed());
}

fn closed(client: &Client) -> bool {
    client.stream().set_nonblocking(true).expect("a socket option");
    let found = matches!(client.stream().peek(&mut [0]), Ok(0));
    client.stream().set_nonblocking(false).expect("a socket option");
    found
}

#[test]
fn head_timeout_ends_a_connection_that_never_says_anything() {
    let server = with_timeout("head_timeout");
    let since = Instant::now();
    times_out(&mut server.connect(), since);
}

#[test]
fn body_timeout_ends_a_connection_that_stops_in_its_body() {
    let server = with_timeout("body_timeout");
    // One that rides along, and one that is received to where it is to lie.
    for bytes in [100, 100_000] {
        let since = Instant::now();
        let mut client = server.connect();
        client.request("POST", "/echo", &format!("Content-Length: {bytes}\r\n"));
        client.send(&pattern(bytes)[..bytes / 2]);
        times_out(&mut client, since);
    }
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn body_timeout_is_between_reads_so_a_steady_slow_body_gets_through() {
    let server = with_timeout("body_timeout");
    for bytes in [8_000, 80_000] {
        let mut client = server.connect();
        let body = pattern(bytes);
        client.request("POST", "/echo", &format!("Content-Length: {bytes}\r\n"));
        let since = Instant::now();
        for piece in body.chunks(bytes / 8) {
            // The pace is the point of this test: each pause is shorter than the timeout, the whole is longer. It is above the least rate.
            std::thread::sleep(TIMEOUT / 5);
            client.send(piece);
        }
        assert!(since.elapsed() > TIMEOUT);
        assert_same_bytes(&client.response("POST").body, &body);
    }
}

#[test]
fn keepalive_timeout_ends_an_idle_connection_without_a_word() {
    let server = with_timeout("keepalive_timeout");
    let mut client = server.connect();
    assert_eq!(client.get("/hello").status, 200);
    let since = Instant::now();
    client.expect_end();
    assert!(since.elapsed() >= TIMEOUT.mul_f32(0.8), "closed after {:?}", since.elapsed());
}

#[test]
fn keepalive_timeout_does_not_cut_a_request_that_takes_longer() {
    let server = Builder::app("kitchen:application").workers(2).server_key("keepalive_timeout = \"400ms\"").start();
    let gate = server.gate("longer");
    let mut client = server.connect();
    client.request("GET", &format!("/hold?{}", gate.query()), "");
    gate.wait_started();
    // A connection that idles from now on shows when the timeout has passed.
    let mut idle = server.connect();
    assert_eq!(idle.get("/hello").status, 200);
    idle.expect_end();
    gate.open();
    assert_eq!(client.response("GET").status, 200);
}

#[test]
fn send_timeout_ends_a_download_that_nobody_reads() {
    let builder = Builder::bare().server_key("send_timeout = \"400ms\"");
    let files = tempfile::tempdir().expect("the temporary folder is writable");
    let large = 64 * 1024 * 1024;
    let file = File::create(files.path().join("large.bin")).expect("the folder is writable");
    file.set_len(large).expect("a sparse file");
    let server = builder.static_route("/files/", files.path(), "").start();
    let before = process::sockets(server.pid());
    let mut client = server.connect();
    client.request("GET", "/files/large.bin", "");
    let head = client.head("GET");
    assert_eq!(head.field("content-length"), Some(large.to_string().as_str()));
    wait_until("the server closes the connection", support::DEADLINE, || process::sockets(server.pid()) <= before);
    let cut = loop {
        match client.try_piece() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the whole file came"),
            Err(error) => break error,
        }
    };
    assert_eq!(cut, ReadError::Cut);
}
