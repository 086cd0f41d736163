//! HTTP/1.1 on the wire: connections that stay and close, framing of requests, and what a server must refuse.
//! Bounds and timeouts are in `http1_limits.rs`.

mod support;

use std::time::{Duration, SystemTime};

use support::{Builder, ReadError, Server, apps, assert_same_bytes, pattern};

fn kitchen() -> Server {
    Builder::app("kitchen:application").start()
}

#[test]
fn keep_alive_serves_many_requests_on_one_connection() {
    let server = kitchen();
    let mut client = server.connect();
    for _ in 0..50 {
        let response = client.get("/hello");
        assert_eq!((response.status, response.text()), (200, "Hello, world!\n"));
        assert_eq!(response.version, "HTTP/1.1");
        assert!(!response.closes());
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Builder::app("kitchen:anything").workers(2).start();
    let mut client = server.connect();
    let requests: String = (0..40).map(|n| format!("GET /number/{n} HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..40 {
        assert_eq!(client.response("GET").text(), format!("GET /number/{n} 0\n"));
    }
}

#[test]
fn pipelined_requests_with_bodies_keep_their_bodies_apart() {
    let server = kitchen();
    let mut client = server.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\none\
         POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n\
         GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(client.response("POST").text(), "one");
    assert_eq!(client.response("POST").text(), "two");
    assert_eq!(client.response("GET").text(), "Hello, world!\n");
}

/// A slow first answer must not be overtaken by quick ones from another handler.
#[test]
fn pipelined_static_file_waits_for_the_app_response_before_it() {
    let server = Builder::app("kitchen:application").static_route("/apps/", &apps(), "").app_route("").start();
    let gate = server.gate("slow");
    let mut client = server.connect();
    client.request("GET", &format!("/hold?{}", gate.query()), "");
    client.request("GET", "/apps/kitchen.py", "");
    gate.wait_started();
    gate.open();
    assert!(client.response("GET").text().trim().parse::<u32>().is_ok());
    assert!(client.response("GET").text().starts_with("\"\"\"The app behind"));
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("HEAD", "/hello", "");
    let head = client.response("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("14")));
    // Any byte of a body would be taken for the next status line.
    assert_eq!(client.get("/hello").field("content-length"), Some("14"));
}

#[test]
fn http_1_0_closes_by_default() {
    let server = kitchen();
    let mut client = server.connect();
    client.send("GET /hello HTTP/1.0\r\n\r\n");
    assert_eq!(client.response("GET").text(), "Hello, world!\n");
    client.expect_end();
}

#[test]
fn http_1_0_keeps_alive_when_asked_to() {
    let server = kitchen();
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response("GET");
        assert_eq!(response.text(), "Hello, world!\n");
        let connection = response.field("connection").map(str::to_ascii_lowercase);
        assert_eq!(connection.as_deref(), Some("keep-alive"));
    }
}

/// RFC 9112 section 6.1: no transfer coding may be sent to an HTTP/1.0 client.
#[test]
fn http_1_0_gets_a_body_of_unknown_length_without_chunks() {
    let server = kitchen();
    let mut client = server.connect();
    client.send("GET /data?n=100000&open=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response("GET");
    assert_eq!(response.field("transfer-encoding"), None);
    assert_same_bytes(&response.body, &pattern(100_000));
    client.expect_end();
}

#[test]
fn connection_close_is_said_and_done() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("GET", "/hello", "Connection: close\r\n");
    let response = client.response("GET");
    assert!(response.closes());
    client.expect_end();
}

#[test]
fn connection_close_among_other_options_counts() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("GET", "/hello", "Connection: te , CLOSE\r\n");
    assert_eq!(client.response("GET").status, 200);
    client.expect_end();
}

#[test]
fn requests_after_connection_close_are_not_answered() {
    let server = kitchen();
    let mut client = server.connect();
    client.send(
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n\
         GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(client.response("GET").status, 200);
    client.expect_end();
}

#[test]
fn head_may_be_split_anywhere() {
    let server = kitchen();
    let mut client = server.connect();
    let request = "GET /environ HTTP/1.1\r\nHost: localhost\r\nX-Long: abcdefghijklmnop\r\n\r\n";
    for size in [1, 2, 3, 7, 16, 50] {
        client.send_pieces(request, size);
        let response = client.response("GET");
        assert_eq!(response.json()["HTTP_X_LONG"], "abcdefghijklmnop", "pieces of {size}");
    }
}

#[test]
fn chunked_body_may_be_split_anywhere() {
    let server = kitchen();
    let mut client = server.connect();
    let request = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;name=value\r\nhello\r\n00A\r\n, chunks!!\r\n0\r\nX-Trailer: seen\r\n\r\n";
    for size in [1, 2, 3, 7, 16, 50] {
        client.send_pieces(request, size);
        assert_eq!(client.response("POST").text(), "hello, chunks!!", "pieces of {size}");
    }
}

#[test]
fn content_length_body_may_be_split_anywhere() {
    let server = kitchen();
    let mut client = server.connect();
    let request = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\nhello, lengths!";
    for size in [1, 2, 3, 7, 16, 50] {
        client.send_pieces(request, size);
        assert_eq!(client.response("POST").text(), "hello, lengths!", "pieces of {size}");
    }
}

/// RFC 9112 section 2.2: a server should ignore at least one empty line before the request line.
#[test]
fn an_empty_line_before_the_request_line_is_ignored() {
    let server = kitchen();
    let mut client = server.connect();
    client.send("\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.response("GET").status, 200);
}

#[test]
fn unread_request_body_does_not_become_a_request() {
    let server = kitchen();
    let mut client = server.connect();
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let response = client.post("/ignore", "", &smuggled.repeat(3));
    assert_eq!(response.text(), "ignored\n");
    assert_eq!(client.get("/hello").text(), "Hello, world!\n");
}

#[test]
fn expect_100_continue_is_answered_before_the_body_is_sent() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("POST", "/echo", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    assert_eq!(client.response("POST").status, 100);
    client.send("hello");
    assert_eq!(client.response("POST").text(), "hello");
    assert_eq!(client.get("/hello").status, 200);
}

#[test]
fn expect_100_continue_works_with_chunks_and_any_case() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("POST", "/echo", "Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n");
    assert_eq!(client.response("POST").status, 100);
    client.send("3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.response("POST").text(), "abc");
}

#[test]
fn expect_100_continue_is_not_sent_when_the_body_is_there_already() {
    let server = kitchen();
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    let response = client.response("POST");
    assert_eq!((response.status, response.text()), (200, "hello"));
}

/// RFC 9110 section 10.1.1: a request that is refused by its head alone gets the final status at once.
#[test]
fn expect_100_continue_is_not_sent_when_the_request_is_refused() {
    let server = Builder::app("kitchen:application").app_route("max_body = \"1K\"").start();
    let mut client = server.connect();
    client.request("POST", "/echo", "Content-Length: 5000\r\nExpect: 100-continue\r\n");
    assert_eq!(client.response("POST").status, 413);
    client.expect_end();
}

/// RFC 9110 section 10.1.1: an HTTP/1.0 client doesn't understand 100.
#[test]
fn expect_100_continue_is_not_sent_to_http_1_0() {
    let server = kitchen();
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    client.read_timeout(Duration::from_millis(200));
    assert_eq!(client.try_response("POST").err(), Some(ReadError::Timeout));
    client.read_timeout(support::DEADLINE);
    client.send("hello");
    assert_eq!(client.response("POST").text(), "hello");
}

#[test]
fn date_is_present_once_and_now() {
    let server = Builder::app("kitchen:application").static_route("/apps/", &apps(), "").app_route("").start();
    for target in ["/hello", "/apps/kitchen.py", "/apps/missing"] {
        let response = server.get(target);
        let date = response.field("date").expect("a Date field (RFC 9110 section 6.6.1)");
        let seen = httpdate::parse_http_date(date).expect("an HTTP date");
        assert_eq!(httpdate::fmt_http_date(seen), date, "IMF-fixdate");
        let now = SystemTime::now();
        let off = now.duration_since(seen).or_else(|_| seen.duration_since(now));
        assert!(off.expect("one of both is later") < Duration::from_secs(3), "{date}");
    }
}

#[test]
fn any_method_token_reaches_the_app() {
    let server = Builder::app("kitchen:anything").start();
    let mut client = server.connect();
    for method in ["DELETE", "OPTIONS", "PATCH", "PROPFIND", "X-OWN"] {
        client.request(method, "/thing", "");
        assert_eq!(client.response(method).text(), format!("{method} /thing 0\n"));
    }
}
