//! Answers of the application that are compressed on their way: which, how, and what becomes of their fields.

mod support;

use std::fs;
use std::io::Read;

use support::{Builder, Client, DEADLINE, ReadError, Response, Server, assert_same_bytes, process, wait_until};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// As `tests/apps/pages.py` makes it.
fn page(size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 64);
    let mut number = 0u64;
    while text.len() < size {
        let line = format!("<li>{number}: what the page says of its item {}</li>\n", number * 7919 % 1000);
        text.extend_from_slice(line.as_bytes());
        number += 1;
    }
    text.truncate(size);
    text
}

fn server_with(lines: &str) -> Server {
    Builder::app("pages:application").app_route(lines).start()
}

fn server() -> Server {
    server_with("compress = true")
}

fn ask(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    client.request(method, target, fields);
    client.response(method)
}

fn accepting(client: &mut Client, target: &str, coding: &str) -> Response {
    ask(client, "GET", target, &format!("Accept-Encoding: {coding}\r\n"))
}

/// What can be read of `bytes` so far.
fn readable(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut decoder: Box<dyn Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(bytes).expect("a decoder")),
        other => panic!("no coding is called {other}"),
    };
    let (mut out, mut some) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = decoder.read(&mut some) {
        out.extend_from_slice(&some[..count]);
    }
    out
}

/// The whole of it, which has an end.
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes).expect("a decoder").read_to_end(&mut out),
        other => panic!("no coding is called {other}"),
    }
    .expect("complete and well-formed");
    out
}

#[test]
fn pages_come_in_the_coding_that_client_and_route_agree_on() {
    let server = server();
    let mut client = server.connect();
    let expected = page(20 * KIB);
    for (accepts, coding) in [
        ("gzip", "gzip"),
        ("gzip, br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("br;q=0.5, gzip", "gzip"),
        ("zstd;q=0, br;q=0, *", "gzip"),
    ] {
        let response = accepting(&mut client, "/?tag=a&field=Accept-Ranges:bytes", accepts);
        assert_eq!(response.field("content-encoding"), Some(coding), "{accepts}");
        assert_eq!(response.field("content-length"), Some(response.body.len().to_string().as_str()));
        assert_eq!((response.field("vary"), response.field("etag")), (Some("Accept-Encoding"), Some("W/\"a\"")));
        assert_eq!(response.field("accept-ranges"), None);
        assert!(response.body.len() < expected.len() / 4, "{coding}: {}", response.body.len());
        assert_same_bytes(&decoded(coding, &response.body), &expected);
    }
    for accepts in ["identity", "deflate", "gzip;q=0", "br;q=0.1, zstd;q=0.1, gzip;q=0.1, identity"] {
        let response = accepting(&mut client, "/?tag=a&field=Vary:Cookie", accepts);
        assert_eq!(response.field("content-encoding"), None, "{accepts}");
        assert_eq!((response.field("vary"), response.field("etag")), (Some("Cookie, Accept-Encoding"), Some("\"a\"")));
        assert_same_bytes(&response.body, &expected);
    }
}

#[test]
fn nothing_is_compressed_unless_it_is_asked_for() {
    for lines in ["", "compress = false"] {
        let server = server_with(lines);
        let response = accepting(&mut server.connect(), "/", "gzip");
        assert_eq!((response.field("content-encoding"), response.field("vary")), (None, None), "{lines}");
    }
}

#[test]
fn the_server_s_word_counts_where_a_route_has_none_of_its_own() {
    let builder = Builder::app("pages:application").server_key("compress = [\"gzip\"]");
    let server = builder.app_route("").route("path = \"/plain/\"\napp = true\ncompress = false").start();
    let mut client = server.connect();
    assert_eq!(accepting(&mut client, "/", "br, gzip").field("content-encoding"), Some("gzip"));
    assert_eq!(accepting(&mut client, "/plain/", "br, gzip").field("content-encoding"), None);
    // Also where the route to the application was not written down.
    let server = Builder::app("pages:application").server_key("compress = true").start();
    assert_eq!(accepting(&mut server.connect(), "/", "gzip").field("content-encoding"), Some("gzip"));
}

#[test]
fn some_answers_are_left_as_they_are() {
    let server = server();
    let mut client = server.connect();
    for target in [
        "/?size=255",
        "/?type=image/png",
        "/?field=Content-Encoding:gzip",
        "/?field=Content-Encoding:identity",
        "/?field=Cache-Control:public,%20no-transform",
        "/?status=206%20Partial%20Content&field=Content-Range:bytes%200-20479/50000",
        "/?field=Content-Digest:sha-256%3D:x:",
        "/?pieces=1000&type=image/png",
    ] {
        let response = accepting(&mut client, target, "gzip");
        let added = response.all("content-encoding").len() - usize::from(target.contains("Content-Encoding"));
        assert_eq!((added, response.field("vary")), (0, None), "{target}");
        assert!(page(20 * KIB).starts_with(&response.body), "{target}");
    }
    let none = accepting(&mut client, "/?status=204%20No%20Content&size=0", "gzip");
    assert_eq!((none.status, none.field("content-encoding"), none.body.len()), (204, None, 0));
    // What does not get smaller is said to depend on what was asked, and sent as it is.
    let server = server_with("compress = { gzip = 6, min_length = 1 }");
    let short = accepting(&mut server.connect(), "/?size=5", "gzip");
    assert_eq!((short.field("content-encoding"), short.field("vary")), (None, Some("Accept-Encoding")));
    assert_same_bytes(&short.body, &page(5));
}

#[test]
fn types_and_lengths_can_be_chosen() {
    let server = server_with("compress = { gzip = 1, min_length = 1000, types = [\"image/*\", \"text/css\"] }");
    let mut client = server.connect();
    for (query, is_compressed) in [
        ("size=1000&type=image/png", true),
        ("size=999&type=image/png", false),
        ("size=1000&type=text/css;x=y", true),
        ("size=1000&type=text/html", false),
    ] {
        let response = accepting(&mut client, &format!("/?{query}"), "gzip");
        assert_eq!(response.field("content-encoding").is_some(), is_compressed, "{query}");
    }
}

#[test]
fn head_says_what_get_would_say() {
    let server = server();
    let mut client = server.connect();
    let fields = "Accept-Encoding: gzip\r\n";
    let head = ask(&mut client, "HEAD", "/?tag=a&declared=", fields);
    let told = |response: &Response, name: &str| response.field(name).map(str::to_owned);
    let get = ask(&mut client, "GET", "/?tag=a&declared=", fields);
    for name in ["content-encoding", "vary", "etag"] {
        assert!(told(&head, name).is_some(), "{name}");
        assert_eq!(told(&head, name), told(&get, name), "{name}");
    }
    // RFC 9110 §9.3.2: what is only known once the content was made may be left out.
    assert_eq!(head.field("content-length"), None);
    let unknown = ask(&mut client, "HEAD", "/?tag=a", fields);
    assert_eq!((unknown.field("content-encoding"), unknown.field("vary")), (None, Some("Accept-Encoding")));
}

#[test]
fn a_stored_form_is_confirmed_under_the_tag_that_it_has() {
    let server = server();
    let mut client = server.connect();
    for (stored, coding) in [("W/\"a\"", "gzip"), ("\"a\"", "identity")] {
        assert_eq!(accepting(&mut client, "/?tag=a", coding).field("etag"), Some(stored));
        let fields = format!("Accept-Encoding: {coding}\r\nIf-None-Match: {stored}\r\n");
        let answer = ask(&mut client, "GET", "/?tag=a", &fields);
        assert_eq!(
            (answer.status, answer.field("etag"), answer.field("vary")),
            (304, Some(stored), Some("Accept-Encoding"))
        );
        assert_eq!((answer.field("content-encoding"), answer.body.len()), (None, 0));
    }
}

#[test]
fn streams_are_compressed_chunk_by_chunk_and_hold_nothing_back() {
    let server = server();
    for coding in CODINGS {
        for (kind, first) in [("text/html", 1), ("text/event-stream", 40), ("text/html", 50 * KIB)] {
            let gate = server.folder().join(format!("{coding}-{first}"));
            let mut client = server.connect();
            let target = format!("/?type={kind}&pieces={first}&size={}&gate={}", 2 * first, gate.display());
            client.request("GET", &target, &format!("Accept-Encoding: {coding}\r\n"));
            let head = client.head("GET");
            assert_eq!(head.field("content-encoding"), Some(coding));
            assert_eq!((head.field("transfer-encoding"), head.field("content-length")), (Some("chunked"), None));
            // The app waits until the first piece was read.
            let mut body = Vec::new();
            while readable(coding, &body).len() < first {
                body.extend_from_slice(&client.piece().expect("the first piece comes whole"));
            }
            assert_same_bytes(&readable(coding, &body), &page(first));
            fs::write(&gate, "").expect("the test's folder is writable");
            while let Some(piece) = client.piece() {
                body.extend_from_slice(&piece);
            }
            assert_same_bytes(&decoded(coding, &body), &page(2 * first));
            assert_eq!(client.get("/?size=5").body, page(5), "the connection goes on");
        }
    }
}

#[test]
fn bodies_of_every_size_and_in_every_sort_of_pieces_come_back() {
    let server = server();
    let mut client = server.connect();
    for coding in CODINGS {
        for size in [300, 16 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 3 * MIB] {
            for rest in ["", "&declared=", "&pieces=100000", "&pieces=100000&declared=", "&pieces=65536"] {
                let response = accepting(&mut client, &format!("/?size={size}{rest}"), coding);
                assert_eq!(response.field("content-encoding"), Some(coding), "{size}{rest}");
                assert_same_bytes(&decoded(coding, &response.body), &page(size));
            }
        }
        let response = accepting(&mut client, "/?size=30000&pieces=7", coding);
        assert_same_bytes(&decoded(coding, &response.body), &page(30_000));
    }
}

#[test]
fn files_of_the_application_are_compressed_too() {
    let server = server();
    let mut client = server.connect();
    for coding in CODINGS {
        for size in [1, 64 * KIB, 2 * MIB + 1] {
            let path = server.folder().join(format!("{coding}-{size}.html"));
            let target = format!("/file?size={size}&path={}", path.display());
            let response = accepting(&mut client, &target, coding);
            let length = fs::metadata(&path).expect("the app wrote it").len();
            let coded = response.field("content-encoding").map(str::to_owned);
            assert_eq!(coded.as_deref(), (length >= 256).then_some(coding), "{size}");
            let body = coded.map_or(response.body.clone(), |coding| decoded(&coding, &response.body));
            assert_same_bytes(&body, &page(size));
        }
    }
}

#[test]
fn a_client_of_http_1_0_reads_to_the_end_of_the_connection() {
    let server = server();
    for (query, length_is_known) in [("", true), ("&pieces=1000", false)] {
        let mut client = server.connect();
        client.send(format!(
            "GET /?size=30000{query} HTTP/1.0\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n"
        ));
        let response = client.response("GET");
        assert_eq!(response.field("content-encoding"), Some("gzip"), "{query}");
        assert_eq!(
            (response.field("content-length").is_some(), response.closes()),
            (length_is_known, !length_is_known)
        );
        assert_same_bytes(&decoded("gzip", &response.body), &page(30_000));
    }
}

#[test]
fn what_is_cut_short_is_not_made_to_look_whole() {
    let server = server();
    for (query, what) in [("&pieces=1000", "in pieces"), ("", "at once")] {
        let mut client = server.connect();
        // The app announces more than it gives.
        client.request("GET", &format!("/?size=5000&declared=6000{query}"), "Accept-Encoding: gzip\r\n");
        assert_eq!(client.try_response("GET").err(), Some(ReadError::Cut), "{what}");
        // And less.
        let mut client = server.connect();
        let response = accepting(&mut client, &format!("/?size=5000&declared=4000{query}"), "gzip");
        let body = match response.field("content-encoding") {
            Some(coding) => decoded(coding, &response.body),
            None => response.body.clone(),
        };
        assert_same_bytes(&body, &page(4000));
    }
}

#[test]
fn a_client_that_leaves_ends_the_stream_and_its_encoder() {
    let server = server();
    for coding in CODINGS {
        let mark = server.folder().join(coding);
        let mut client = server.connect();
        client.request(
            "GET",
            &format!("/endless?size=1000&mark={}", mark.display()),
            &format!("Accept-Encoding: {coding}\r\n"),
        );
        assert_eq!(client.head("GET").field("content-encoding"), Some(coding));
        client.piece();
        drop(client);
        wait_until("close() is called", DEADLINE, || mark.exists());
    }
    assert_eq!(server.get("/?size=5").body, page(5));
}

#[test]
fn a_slow_reader_of_a_compressed_stream_costs_no_memory() {
    let builder =
        Builder::app("pages:application").workers(2).shards(1).app_route("compress = { gzip = 1, types = [\"*\"] }");
    let builder = builder.app_key("spare_worker = false");
    let server = builder.start();
    let resident = || -> u64 { server.family().into_iter().map(process::resident_kib).sum() };
    server.wait_workers(2);
    for _ in 0..50 {
        assert_eq!(accepting(&mut server.connect(), "/", "gzip").status, 200);
    }
    let before = resident();
    let mut slow = server.connect();
    slow.request("GET", "/endless?size=60000", "Accept-Encoding: gzip\r\n");
    assert_eq!(slow.head("GET").field("content-encoding"), Some("gzip"));
    // The other worker goes on, and while it does nothing may pile up for the one that nobody reads.
    for _ in 0..200 {
        assert_eq!(accepting(&mut server.connect(), "/", "gzip").status, 200);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more than before");
}

#[test]
fn a_slow_reader_of_an_announced_body_frees_its_worker_and_gets_every_byte() {
    const SIZE: usize = 24 * MIB;
    // Of level 0 nothing gets smaller, so that the socket can't hold it.
    let server = server_with("compress = { brotli = 0 }");
    let mark = server.folder().join("done");
    let mut slow = server.connect();
    let target = format!("/?size={SIZE}&declared=&pieces=60000&mark={}", mark.display());
    slow.request("GET", &target, "Accept-Encoding: br\r\n");
    let head = slow.head("GET");
    assert_eq!((head.field("content-encoding"), head.field("content-length")), (Some("br"), None));
    wait_until("the app has given all away", DEADLINE, || mark.exists());
    assert_eq!(server.get("/?size=5").body, page(5), "the only worker serves others");
    let mut body = Vec::new();
    while let Some(piece) = slow.piece() {
        body.extend_from_slice(&piece);
    }
    assert_same_bytes(&decoded("br", &body), &page(SIZE));
}
