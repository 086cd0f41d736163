//! What HTTP/1.1 refuses, how it says so, and that nothing comes after it. The raw files of `http1_corpus.rs` go further.

mod support;

use support::{Builder, Client, ReadError, Server, apps};

fn kitchen() -> Server {
    Builder::app("kitchen:application").start()
}

/// One request that must be refused: exactly one response with `status`, then the end of the connection.
#[track_caller]
fn refused(server: &Server, request: &[u8], status: u16) {
    let mut client = server.connect();
    client.try_send(request);
    let response = client.response("GET");
    let text = String::from_utf8_lossy(request);
    assert_eq!(response.status, status, "{text:?}");
    assert!(response.closes(), "{text:?}");
    client.expect_end();
}

#[test]
fn host_must_be_there_once_and_be_a_host() {
    let server = kitchen();
    refused(&server, b"GET /hello HTTP/1.1\r\n\r\n", 400);
    refused(&server, b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    refused(&server, b"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    refused(&server, b"GET /hello HTTP/1.1\r\nHost: user@a\r\n\r\n", 400);
    refused(&server, b"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    refused(&server, b"GET /hello HTTP/1.1\r\nHost: a:port\r\n\r\n", 400);
    refused(&server, b"GET /hello HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400);
}

/// RFC 9110 section 9.3.2.
#[test]
fn a_refusal_of_head_has_no_body() {
    let server = kitchen();
    for request in [
        "HEAD /hello HTTP/1.1\r\n\r\n",
        "HEAD /hello HTTP/1.1\r\nHost: a b\r\n\r\n",
        "HEAD /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.try_send(request);
        assert_eq!(client.response("HEAD").status, 400, "{request:?}");
        client.expect_end();
    }
}

#[test]
fn hosts_of_every_kind_reach_the_app() {
    let server = kitchen();
    let mut client = server.connect();
    for host in ["localhost", "example.com:8080", "127.0.0.1", "[::1]:80", "xn--bcher-kva.example"] {
        client.send(format!("GET /environ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response("GET").json()["HTTP_HOST"], host);
    }
}

/// RFC 9112 section 3.2.2: the target's authority replaces the Host field.
#[test]
fn absolute_form_target_replaces_host() {
    let server = kitchen();
    let mut client = server.connect();
    client.send("GET http://example.com:81/environ?a=b HTTP/1.1\r\nHost: other\r\n\r\n");
    let seen = client.response("GET").json();
    assert_eq!(seen["HTTP_HOST"], "example.com:81");
    assert_eq!(seen["PATH_INFO"], "/environ");
    assert_eq!(seen["QUERY_STRING"], "a=b");
}

#[test]
fn unsupported_method_on_files_is_405_with_allow() {
    let server = Builder::bare().static_route("/apps/", &apps(), "").start();
    let mut client = server.connect();
    let response = client.post("/apps/kitchen.py", "", b"body");
    assert_eq!(response.status, 405);
    let allow = response.field("allow").expect("RFC 9110 section 15.5.6 wants Allow");
    assert!(allow.contains("GET") && allow.contains("HEAD"), "{allow}");
}

/// RFC 9112 section 6.1: a transfer coding that the server doesn't know.
#[test]
fn unknown_transfer_coding_is_501() {
    let server = kitchen();
    refused(
        &server,
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    );
}

#[test]
fn other_http_versions_are_505() {
    let server = kitchen();
    refused(&server, b"GET /hello HTTP/2.0\r\nHost: localhost\r\n\r\n", 505);
}

/// Bytes that are still on their way when the server closes must not destroy its answer by a reset.
#[test]
fn error_response_survives_unread_bytes() {
    let server = kitchen();
    for _ in 0..10 {
        let mut client = server.connect();
        client.try_send("GET /hello HTTP/1.1\r\nno colon here\r\n\r\n");
        client.try_send(vec![b'x'; 256 * 1024]);
        assert_eq!(client.response("GET").status, 400);
        let (rest, end) = client.rest();
        assert_eq!((rest.len(), end), (0, ReadError::Closed));
    }
}

/// The attacks by name; the files under `tests/requests/invalid` hold many more.
#[test]
fn smuggled_bytes_get_no_response() {
    let server = kitchen();
    let tail = "\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "Content-Length: +1\r\n\r\na",
        "Content-Length: 1, 2\r\n\r\na",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n",
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n",
        "X: a\r\n folded: b\r\n\r\n",
        "X: a\rb\r\n\r\n",
        "X: a\0b\r\n\r\n",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{framing}{tail}");
        refused(&server, request.as_bytes(), 400);
    }
    assert_eq!(Client::connect(server.address).get("/hello").status, 200);
}
