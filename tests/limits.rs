//! Bounds that no other file proves: what a client may go on sending, and how many connections a shard serves. `docs/limits.md` has them all.

mod support;

use std::time::{Duration, Instant};

use maitred::base::bounds::{BODY_SKIPPED_BYTES_MAX, LINGER_BYTES_MAX};
use support::{Builder, Client, DEADLINE, ReadError, Server};

fn files() -> Server {
    let builder = Builder::bare();
    let folder = builder.folder().to_owned();
    std::fs::write(folder.join("file.txt"), "file").expect("the test's folder is writable");
    builder.static_route("/", &folder, "").start()
}

#[test]
fn a_body_that_nobody_wants_is_read_over_up_to_the_bound() {
    let server = files();
    let mut client = server.connect();
    let bound = BODY_SKIPPED_BYTES_MAX as usize;
    assert_eq!(client.post("/file.txt", "", &vec![b'x'; bound]).status, 405);
    assert_eq!(client.get("/file.txt").text(), "file", "the connection goes on behind a body of the bound's size");

    client.request("POST", "/file.txt", &format!("Content-Length: {}\r\n", bound + 1));
    assert_eq!(client.response("POST").status, 405);
    client.expect_end();

    let mut client = server.connect();
    client.request("POST", "/file.txt", "Transfer-Encoding: chunked\r\n");
    assert_eq!(client.response("POST").status, 405);
    for _ in 0..=bound / 65_536 {
        client.try_send(format!("10000\r\n{}\r\n", "x".repeat(65_536)));
    }
    assert_ne!(client.rest().1, ReadError::Timeout, "a body in chunks that goes beyond the bound ends the connection");
}

/// A connection that the server has ended with its last response.
fn ended(server: &Server) -> Client {
    let mut client = server.connect();
    client.request("GET", "/file.txt", "Connection: close\r\n");
    assert_eq!(client.response("GET").text(), "file");
    client.expect_end();
    client
}

#[test]
fn a_client_that_sends_much_after_the_last_response_is_cut_off() {
    let server = files();
    let mut client = ended(&server);
    // What the sockets' buffers hold is taken at any rate; past the bound somebody has to read it, and nobody does.
    let piece = vec![b'x'; LINGER_BYTES_MAX];
    let cut = (0..64).any(|_| !client.try_send(&piece));
    assert!(cut, "everything was taken");
}

#[test]
fn a_client_that_goes_on_after_the_last_response_is_cut_off() {
    let server = files();
    let mut client = ended(&server);
    let limit = Instant::now() + DEADLINE;
    while client.try_send("x") {
        assert!(Instant::now() < limit, "the connection is still read");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_full_shard_leaves_a_common_listener_to_the_others() {
    let builder = Builder::bare().shards(2).server_key("max_connections = 2").argument("-b").argument("127.0.0.1:0");
    let (folder, socket) = (builder.folder().to_owned(), builder.folder().join("site.sock"));
    std::fs::write(folder.join("file.txt"), "file").expect("the test's folder is writable");
    let builder = builder.argument("-b").argument(&format!("unix:{}", socket.display()));
    let _server = builder.static_route("/", &folder, "").start();
    // As many as both may have, and each is there until the end: the kernel wakes whom it likes.
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect_unix(&socket)).collect();
    for client in &mut clients {
        client.read_timeout(DEADLINE);
        assert_eq!(client.get("/file.txt").status, 200);
        // In the middle of a request: who is between two would make room.
        client.send("GET /file.txt HTTP/1.1\r\n");
    }
    let mut last = Client::connect_unix(&socket);
    last.request("GET", "/file.txt", "");
    last.read_timeout(Duration::from_millis(300));
    assert_eq!(last.try_response("GET").err(), Some(ReadError::Timeout));
    drop(clients.swap_remove(1));
    last.read_timeout(DEADLINE);
    assert_eq!(last.response("GET").status, 200);
}

#[test]
fn connections_beyond_the_bound_wait_to_be_accepted() {
    let builder = Builder::bare().shards(1).server_key("max_connections = 2");
    let folder = builder.folder().to_owned();
    std::fs::write(folder.join("file.txt"), "file").expect("the test's folder is writable");
    let server = builder.static_route("/", &folder, "").start();
    let mut first = server.connect();
    let mut second = server.connect();
    assert_eq!((first.get("/file.txt").status, second.get("/file.txt").status), (200, 200));
    for client in [&mut first, &mut second] {
        client.send("GET /file.txt HTTP/1.1\r\n");
    }
    let mut third = server.connect();
    third.request("GET", "/file.txt", "");
    server.wait_for_line("all connections are in use");
    third.read_timeout(Duration::from_millis(300));
    assert_eq!(third.try_response("GET").err(), Some(ReadError::Timeout));
    second.send("Host: x\r\n\r\n");
    assert_eq!(second.response("GET").status, 200, "those that are served go on");
    second.send("GET /file.txt HTTP/1.1\r\n");
    drop(first);
    third.read_timeout(DEADLINE);
    assert_eq!(third.response("GET").status, 200);
}

#[test]
fn a_connection_between_requests_makes_room_for_one_that_waits() {
    let builder = Builder::bare().shards(1).server_key("max_connections = 2");
    let folder = builder.folder().to_owned();
    std::fs::write(folder.join("file.txt"), "file").expect("the test's folder is writable");
    let server = builder.static_route("/", &folder, "").start();
    let mut busy = server.connect();
    assert_eq!(busy.get("/file.txt").status, 200);
    busy.send("GET /file.txt HTTP/1.1\r\n");
    let mut before = server.connect();
    assert_eq!(before.get("/file.txt").status, 200);
    for _ in 0..3 {
        let mut next = server.connect();
        next.read_timeout(DEADLINE);
        assert_eq!(next.get("/file.txt").status, 200);
        before.expect_end();
        before = next;
    }
    busy.send("Host: x\r\n\r\n");
    assert_eq!(busy.response("GET").status, 200, "nobody ends a request in hand");
}
