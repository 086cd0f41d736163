//! Bodies in both directions through the worker pool: every size around a bound, streams that leave at once, files,
//! clients that read slowly or leave.

mod support;

use std::fs;
use std::os::unix::fs::FileExt;

use support::{Builder, ReadError, Server, assert_same_bytes, pattern, process, wait_until};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Sizes around the inline bound (16 KiB), the message bound (64 KiB) and the memfd bound (1 MiB).
const SIZES: [usize; 14] = [
    0,
    1,
    1000,
    16 * KIB - 1,
    16 * KIB,
    16 * KIB + 1,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    MIB - 1,
    MIB,
    MIB + 1,
    3 * MIB,
    20 * MIB,
];

fn kitchen() -> Server {
    Builder::app("kitchen:application").app_route("max_body = \"64M\"").start()
}

#[test]
fn bodies_with_content_length_come_back_equal() {
    let server = kitchen();
    let mut client = server.connect();
    for size in SIZES {
        let body = pattern(size);
        assert_same_bytes(&client.post("/echo", "", &body).body, &body);
    }
}

#[test]
fn chunked_bodies_come_back_equal() {
    let server = kitchen();
    let mut client = server.connect();
    for size in SIZES {
        let body = pattern(size);
        assert_same_bytes(&client.post_chunked("/echo", &body, 50_021).body, &body);
    }
    // Chunks smaller than a read, and one as large as the body.
    let body = pattern(30_000);
    assert_same_bytes(&client.post_chunked("/echo", &body, 17).body, &body);
    assert_same_bytes(&client.post_chunked("/echo", &body, 30_000).body, &body);
}

#[test]
fn bodies_can_be_read_in_pieces() {
    let server = kitchen();
    let mut client = server.connect();
    let whole = client.post("/digest", "", &pattern(3 * MIB)).text().to_owned();
    assert!(whole.starts_with("3145728 "), "{whole}");
    assert_eq!(client.post_chunked("/digest", &pattern(3 * MIB), 100_000).text(), whole);
}

#[test]
fn every_method_of_wsgi_input_sees_the_body_in_order() {
    let server = kitchen();
    let mut client = server.connect();
    let body = b"12345\nabcdef\ng\nh\ni\nlast without end";
    // Inline, and spooled behind 20 KiB of one more line.
    let mut long = body.to_vec();
    long.extend_from_slice(&b"x".repeat(20 * KIB));
    for body in [&body[..], &long] {
        let seen = client.post("/input-methods", "", body).json();
        assert_eq!(seen["read"], "123");
        assert_eq!(seen["readline"], "45\n");
        assert_eq!(seen["readline_bounded"], "ab");
        assert_eq!(seen["readlines_hint"], serde_json::json!(["cdef\n"]));
        assert_eq!(seen["next"], "g\n");
        let last = String::from_utf8_lossy(&body[19..]).into_owned();
        assert_eq!(seen["iteration"], serde_json::json!(["h\n", "i\n", last]));
        assert_eq!(seen["after"], serde_json::json!(["", "", ""]));
    }
}

#[test]
fn a_body_that_the_app_ignores_does_not_disturb_the_next_request() {
    let server = kitchen();
    let mut client = server.connect();
    for size in [10, 16 * KIB + 1, 2 * MIB] {
        assert_eq!(client.post("/ignore", "", &pattern(size)).text(), "ignored\n");
        assert_eq!(client.get("/hello").text(), "Hello, world!\n");
    }
}

#[test]
fn a_client_that_leaves_in_its_upload_costs_nothing() {
    let server = kitchen();
    for size in [10, MIB / 2, 2 * MIB] {
        let mut client = server.connect();
        client.request("POST", "/echo", "Content-Length: 5000000\r\n");
        client.send(pattern(size));
        drop(client);
    }
    assert_eq!(server.get("/hello").status, 200);
}

/// The app waits at a gate that opens only after the client has seen the first piece.
#[test]
fn the_first_piece_arrives_while_the_app_still_works() {
    let server = kitchen();
    let gate = server.gate("stream");
    let mut client = server.connect();
    client.request("GET", &format!("/stream?{}", gate.query()), "");
    assert_eq!(client.head("GET").field("transfer-encoding"), Some("chunked"));
    assert_eq!(client.piece().as_deref(), Some(&b"first\n"[..]));
    gate.wait_started();
    gate.open();
    assert_eq!(client.piece().as_deref(), Some(&b"second\n"[..]));
    assert_eq!(client.piece(), None);
    assert_eq!(client.get("/hello").status, 200);
}

/// The app waits at a gate that opens only after the client has seen the hints.
#[test]
fn early_hints_arrive_while_the_app_still_works() {
    let server = kitchen();
    let gate = server.gate("hints");
    let mut client = server.connect();
    client.request("GET", &format!("/hints?{}", gate.query()), "");
    let hints = client.response("GET");
    assert_eq!((hints.status, hints.fields.len()), (103, 1), "{hints:?}");
    assert_eq!(hints.field("link"), Some("</style.css>; rel=preload; as=style"));
    gate.wait_started();
    gate.open();
    assert_eq!(client.response("GET").field("link"), Some("</app.js>; rel=preload; as=script"));
    let response = client.response("GET");
    assert_eq!((response.status, response.text()), (200, "hinted\n"));
    // Several on one connection, and in between what has none.
    for _ in 0..3 {
        assert_eq!(client.get("/hints").status, 103);
        assert_eq!(client.response("GET").status, 103);
        assert_eq!(client.response("GET").status, 200);
        assert_eq!(client.get("/hello").status, 200);
    }
}

/// RFC 9110 section 15.2: no interim response to HTTP/1.0.
#[test]
fn early_hints_are_not_sent_to_http_1_0() {
    let server = kitchen();
    let mut client = server.connect();
    client.send("GET /hints HTTP/1.0\r\n\r\n");
    let response = client.response("GET");
    assert_eq!((response.status, response.text()), (200, "hinted\n"));
    client.expect_end();
}

#[test]
fn write_sends_at_once_and_in_order() {
    let server = kitchen();
    let gate = server.gate("write");
    let mut client = server.connect();
    client.request("GET", &format!("/write?{}", gate.query()), "");
    client.head("GET");
    assert_eq!(client.piece().as_deref(), Some(&b"written\n"[..]));
    gate.open();
    let mut rest = Vec::new();
    while let Some(piece) = client.piece() {
        rest.extend_from_slice(&piece);
    }
    assert_eq!(rest, b"again\nreturned\n");
}

#[test]
fn the_length_of_a_single_block_is_known() {
    let server = kitchen();
    let mut client = server.connect();
    let one = client.get("/no-length");
    assert_eq!((one.text(), one.field("content-length")), ("one block\n", Some("10")));
    let none = client.get("/empty");
    assert_eq!((none.status, none.field("content-length")), (200, Some("0")));
}

#[test]
fn responses_of_every_size_come_byte_for_byte() {
    let server = kitchen();
    let mut client = server.connect();
    for size in SIZES {
        for open in ["", "&open=1"] {
            let response = client.get(&format!("/data?n={size}{open}"));
            assert_same_bytes(&response.body, &pattern(size));
        }
    }
    // Many small pieces, and one that needs many messages.
    assert_same_bytes(&client.get("/data?n=30000&size=7&open=1").body, &pattern(30_000));
    assert_same_bytes(&client.get("/data?n=5000000&size=5000000").body, &pattern(5_000_000));
}

#[test]
fn large_bodies_that_are_whole_reach_every_kind_of_client() {
    let server = kitchen();
    for bytes in [16 * KIB + 1, 64 * KIB, 100 * KIB, 128 * KIB, 128 * KIB + 1] {
        let body = pattern(bytes);
        let mut client = server.connect();
        for pieces in [1, 5] {
            let target = format!("/whole?n={bytes}&pieces={pieces}");
            assert_same_bytes(&client.get(&target).body, &body);
            client.request("HEAD", &target, "");
            let head = client.response("HEAD");
            assert_eq!((head.body.len(), head.field("content-length")), (0, Some(&*bytes.to_string())));
        }
        // More than was announced is cut off, and the connection goes on; less ends it.
        assert_same_bytes(&client.get(&format!("/whole?n={bytes}&declared=9000")).body, &body[..9_000]);
        client.request("GET", &format!("/whole?n={bytes}&declared=200000"), "");
        assert!(matches!(client.try_response("GET"), Err(ReadError::Cut)));
        let mut client = server.connect();
        client.send(format!("GET /whole?n={bytes} HTTP/1.0\r\n\r\n"));
        assert_same_bytes(&client.response("GET").body, &body);
        // Pipelined, and taken late: more of them than a thread has slots.
        let mut client = server.connect();
        let many: Vec<String> = (0..40).map(|_| format!("GET /whole?n={bytes} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        client.send(many.concat());
        for _ in 0..40 {
            assert_same_bytes(&client.response("GET").body, &body);
        }
    }
}

/// The outbox of the only generation of a server with one worker: its words, and whether the first slots were ever used.
fn outbox(server: &Server) -> (u32, bool) {
    let file = outbox_file(server);
    let (mut words, mut slot) = ([0; 4], [0; 4096]);
    file.read_exact_at(&mut words, 0).expect("a whole page");
    file.read_exact_at(&mut slot, 4096).expect("a whole page");
    (u32::from_le_bytes(words), slot.iter().any(|&byte| byte != 0))
}

/// How many answers have gone through the reply ring of the only worker of a server with one shard, and how many of them were read.
fn through_ring(server: &Server) -> [u64; 2] {
    // Behind the words, the slots of two threads (the second one is for a replacement) and the shard's page.
    const RING: u64 = 4096 + 2 * 16 * 128 * 1024 + 4096;
    let file = outbox_file(server);
    [0, 128].map(|word| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, RING + word).expect("a ring");
        u64::from_le_bytes(bytes)
    })
}

fn outbox_file(server: &Server) -> fs::File {
    let folder = format!("/proc/{}/fd", server.pid());
    let links = fs::read_dir(folder).expect("it runs").map(|entry| entry.expect("listed").path());
    let is_it = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("memfd:maitred-outbox"))
    };
    let path = links.into_iter().find(is_it).expect("each generation has one");
    fs::File::open(path).expect("the server's own")
}

#[test]
fn short_answers_go_through_memory_and_come_in_full() {
    let server = Builder::app("kitchen:application").shards(1).workers(1).app_key("worker_loop = \"native\"").start();
    server.wait_workers(1);
    let [before, read] = through_ring(&server);
    assert_eq!(before, read);
    // One after the other, when the shard sleeps, and more at once than a ring takes.
    for _ in 0..10 {
        assert_eq!(server.get("/whole?n=500").body, pattern(500));
    }
    for _ in 0..5 {
        let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.request("GET", "/whole?n=400", ""));
        for client in &mut clients {
            assert_eq!(client.response("GET").body, pattern(400));
        }
    }
    let [written, read] = through_ring(&server);
    assert_eq!(written, read);
    assert!((10..=310).contains(&(written - before)), "{written} {before}");
    // What is longer, or has no length, or brings hints, goes another way.
    assert_eq!(server.get("/whole?n=2000").body.len(), 2000);
    assert_eq!(through_ring(&server), [written; 2]);
}

#[test]
fn what_a_worker_lends_is_given_back_whatever_becomes_of_it() {
    let server = Builder::app("kitchen:application").shards(1).workers(1).app_key("worker_loop = \"native\"").start();
    server.wait_workers(1);
    assert_eq!(outbox(&server), (0, false));
    let target = format!("/whole?n={}", 100 * KIB);
    for _ in 0..40 {
        assert_eq!(server.get(&target).body.len(), 100 * KIB);
    }
    // And what its client does not wait for.
    for _ in 0..20 {
        let mut leaving = server.connect();
        leaving.request("GET", &target, "");
        drop(leaving);
    }
    assert_eq!(server.get(&target).body.len(), 100 * KIB);
    wait_until("all slots are free", support::DEADLINE, || outbox(&server) == (0, true));
}

#[test]
fn slow_clients_do_not_keep_what_a_worker_lends() {
    let server = Builder::app("kitchen:application").shards(1).workers(1).start();
    let target = format!("/whole?n={}", 120 * KIB);
    let body = pattern(120 * KIB);
    // More than a thread has slots, and none of them reads.
    let mut slow: Vec<_> = (0..40)
        .map(|_| {
            let mut client = server.connect();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(60));
            client
        })
        .collect();
    let mut quick = server.connect();
    for _ in 0..50 {
        assert_same_bytes(&quick.get(&target).body, &body);
    }
    for client in &mut slow[..3] {
        for _ in 0..60 {
            assert_same_bytes(&client.response("GET").body, &body);
        }
    }
    drop(slow);
    assert_same_bytes(&quick.get(&target).body, &body);
}

#[test]
fn an_exception_after_the_start_cuts_the_connection() {
    let server = kitchen();
    let gate = server.gate("fail");
    let mut client = server.connect();
    client.request("GET", &format!("/fail-after-start?{}", gate.query()), "");
    client.head("GET");
    assert_eq!(client.piece().as_deref(), Some(&b"so far\n"[..]));
    gate.open();
    // The last chunk of size zero would make a lie of it.
    assert_eq!(client.try_piece(), Err(ReadError::Cut));
    server.wait_for_line("ValueError: a secret after the start");
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn exc_info_after_the_head_was_sent_raises_it_again() {
    let server = kitchen();
    let gate = server.gate("late");
    let mut client = server.connect();
    client.request("GET", &format!("/exc-info-late?{}", gate.query()), "");
    client.head("GET");
    assert_eq!(client.piece().as_deref(), Some(&b"so far\n"[..]));
    gate.open();
    assert_eq!(client.try_piece(), Err(ReadError::Cut));
    server.wait_for_line("late mistake");
}

#[test]
fn a_body_shorter_than_its_content_length_cuts_the_connection() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("GET", "/too-short", "");
    assert_eq!(client.try_response("GET").err(), Some(ReadError::Cut));
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn a_body_longer_than_its_content_length_is_cut_to_it() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("GET", "/too-long", "");
    assert_eq!(client.response("GET").text(), "four");
    // Either the connection ends, or it goes on with a response that is ours.
    client.try_send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    match client.try_response("GET") {
        Ok(next) => assert_eq!(next.text(), "Hello, world!\n"),
        Err(error) => assert!(matches!(error, ReadError::Closed | ReadError::Reset), "{error:?}"),
    }
}

#[test]
fn close_is_called_at_the_end_and_after_a_failure() {
    let server = kitchen();
    for (name, query) in [("end", ""), ("failure", "&fail=1"), ("head", "")] {
        let mark = server.folder().join(name);
        let method = if name == "head" { "HEAD" } else { "GET" };
        let mut client = server.connect();
        client.request(method, &format!("/close?mark={}{query}", mark.display()), "");
        let response = client.try_response(method);
        assert_eq!(response.is_ok(), name != "failure", "{name}");
        wait_until("close() is called", support::DEADLINE, || mark.exists());
    }
}

#[test]
fn file_wrapper_sends_the_file_from_its_offset() {
    let server = kitchen();
    let mut client = server.connect();
    for size in [0, 1, 16 * KIB, MIB + 1, 12 * MIB] {
        let path = server.folder().join(format!("{size}.bin"));
        fs::write(&path, pattern(size)).expect("the test's folder is writable");
        let target = format!("/file?path={}", path.display());
        let whole = client.get(&target);
        assert_eq!(whole.field("content-length"), Some(size.to_string().as_str()));
        assert_same_bytes(&whole.body, &pattern(size));
        assert_same_bytes(&client.get(&format!("{target}&open=1")).body, &pattern(size));
        let from = size / 3;
        assert_same_bytes(&client.get(&format!("{target}&at={from}")).body, &pattern(size)[from..]);
        client.request("HEAD", &target, "");
        assert_eq!(client.response("HEAD").status, 200);
    }
    assert_same_bytes(&client.get("/file-in-memory").body, &pattern(100_000));
}

#[test]
fn a_slow_reader_of_a_large_response_costs_no_memory_and_gets_every_byte() {
    const SIZE: usize = 64 * MIB;
    let server = Builder::app("kitchen:application").workers(2).app_key("spare_worker = false").start();
    let resident = || -> u64 { server.family().into_iter().map(process::resident_kib).sum() };
    server.wait_workers(2);
    for _ in 0..100 {
        assert_eq!(server.get("/hello").status, 200);
    }
    let before = resident();
    let mut slow = server.connect();
    slow.request("GET", &format!("/data?n={SIZE}&open=1"), "");
    slow.head("GET");
    // The other worker goes on, and while it does nothing may pile up for the one that nobody reads.
    for _ in 0..300 {
        assert_eq!(server.get("/hello").status, 200);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 12 * 1024, "{grown} KiB more than before");
    let source = pattern(251 + MIB);
    let mut total = 0;
    while let Some(piece) = slow.piece() {
        assert_same_bytes(&piece, &source[total % 251..][..piece.len()]);
        total += piece.len();
    }
    assert_eq!(total, SIZE);
}

#[test]
fn a_client_that_leaves_mid_stream_ends_the_iteration() {
    let server = kitchen();
    let mark = server.folder().join("left");
    let mut client = server.connect();
    client.request("GET", &format!("/endless?mark={}", mark.display()), "");
    client.head("GET");
    client.piece();
    drop(client);
    wait_until("close() is called", support::DEADLINE, || mark.exists());
    assert_eq!(server.get("/hello").status, 200);
}

/// The worker waits for credit of a client that never reads; when that client leaves, the worker must be free again.
#[test]
fn a_client_that_leaves_without_reading_frees_the_worker() {
    let server = kitchen();
    let mark = server.folder().join("left");
    let mut client = server.connect();
    client.request("GET", &format!("/endless?mark={}", mark.display()), "");
    client.head("GET");
    let mut other = server.connect();
    other.request("GET", "/hello", "");
    drop(client);
    wait_until("close() is called", support::DEADLINE, || mark.exists());
    assert_eq!(other.response("GET").status, 200);
}
