//! The WSGI side as the app sees it (PEP 3333): environ, header rules, start_response, errors, log. Bodies and streams are in
//! `wsgi_streams.rs`, the pool is in `wsgi_pool.rs`.

mod support;

use serde_json::{Value, json};
use support::{Builder, Server};

fn kitchen() -> Server {
    Builder::app("kitchen:application").start()
}

fn environ_of(server: &Server, request: &str) -> Value {
    let mut client = server.connect();
    client.send(request);
    let response = client.response("GET");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

#[test]
fn environ_has_every_key_of_pep_3333() {
    let server = kitchen();
    let mut client = server.connect();
    let port = client.stream().local_addr().expect("a connected socket").port();
    client.send(
        "POST /environ/caf%C3%A9%20x;y?a=1&b=%20c HTTP/1.1\r\nHost: example.com\r\nContent-Type: text/x-test; a=b\r\n\
         Content-Length: 4\r\nX-Custom-Field: some  value \r\nUser-Agent: test/1\r\n\r\nbody",
    );
    let seen = client.response("POST").json();
    let text = |key: &str| seen[key].as_str().map(str::to_owned);
    for (key, value) in [
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/environ/caf\u{c3}\u{a9} x;y"),
        ("RAW_URI", "/environ/caf%C3%A9%20x;y?a=1&b=%20c"),
        ("QUERY_STRING", "a=1&b=%20c"),
        ("CONTENT_TYPE", "text/x-test; a=b"),
        ("CONTENT_LENGTH", "4"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_PORT", &server.address.port().to_string()),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", &port.to_string()),
        ("HTTP_HOST", "example.com"),
        ("HTTP_X_CUSTOM_FIELD", "some  value"),
        ("HTTP_USER_AGENT", "test/1"),
        ("wsgi.url_scheme", "http"),
        ("test.environ_type", "dict"),
    ] {
        assert_eq!(text(key).as_deref(), Some(value), "{key}");
    }
    assert!(text("SERVER_NAME").is_some_and(|name| !name.is_empty()));
    assert!(text("SERVER_SOFTWARE").is_some_and(|name| name.starts_with("maitred/")));
    assert_eq!(seen["test.version"], json!([1, 0]));
    for key in ["test.input", "test.errors", "test.file_wrapper", "wsgi.input_terminated"] {
        assert_eq!(seen[key], true, "{key}");
    }
    assert_eq!(seen["wsgi.run_once"], false);
    for key in ["HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"] {
        assert_eq!(seen.get(key), None, "{key}");
    }
}

#[test]
fn environ_of_a_bare_request_has_no_stray_keys() {
    let server = kitchen();
    let seen = environ_of(&server, "GET /environ HTTP/1.0\r\n\r\n");
    assert_eq!(seen["SERVER_PROTOCOL"], "HTTP/1.0");
    assert_eq!(seen["QUERY_STRING"], "");
    let keys = seen.as_object().expect("an object").keys();
    let fields: Vec<_> = keys.filter(|key| key.starts_with("HTTP_")).collect();
    // The server's own.
    assert_eq!(fields, ["HTTP_X_FORWARDED_PROTO", "HTTP_X_REQUEST_ID"]);
    // PEP 3333: may be empty or absent.
    assert!(seen.get("CONTENT_LENGTH").is_none_or(|length| length == "" || length == "0"));
}

#[test]
fn environ_of_one_request_does_not_leak_into_the_next() {
    let server = kitchen();
    let mut client = server.connect();
    client.request("GET", "/environ?secret", "X-Secret: 1\r\nCookie: a=b\r\n");
    assert_eq!(client.response("GET").json()["HTTP_X_SECRET"], "1");
    let seen = client.get("/environ").json();
    assert_eq!((seen.get("HTTP_X_SECRET"), seen.get("HTTP_COOKIE")), (None, None));
    assert_eq!(seen["QUERY_STRING"], "");
}

/// `X_Real` and `X-Real` would be the same key: a client could forge what a proxy sets.
#[test]
fn names_with_underscores_are_dropped() {
    let server = kitchen();
    let seen = environ_of(&server, "GET /environ HTTP/1.1\r\nHost: a\r\nX_Real: forged\r\nX-Other: kept\r\n\r\n");
    assert_eq!(seen.get("HTTP_X_REAL"), None);
    assert_eq!(seen["HTTP_X_OTHER"], "kept");
}

/// HTTP_PROXY is taken for a setting by many HTTP clients ("httpoxy").
#[test]
fn the_proxy_field_is_dropped() {
    let server = kitchen();
    let seen = environ_of(&server, "GET /environ HTTP/1.1\r\nHost: a\r\nProxy: http://evil/\r\n\r\n");
    assert_eq!(seen.get("HTTP_PROXY"), None);
}

#[test]
fn repeated_fields_are_joined_in_order() {
    let server = kitchen();
    let seen = environ_of(
        &server,
        "GET /environ HTTP/1.1\r\nHost: a\r\nX-Many: one\r\nCookie: a=1\r\nx-many: two\r\nCookie: b=2\r\n\r\n",
    );
    // RFC 9110 section 5.3 allows blanks after the comma; RFC 9113 section 8.2.3 joins cookies by a semicolon.
    let many = seen["HTTP_X_MANY"].as_str().unwrap_or_default();
    assert_eq!(many.replace(' ', ""), "one,two");
    assert_eq!(seen["HTTP_COOKIE"], "a=1; b=2");
}

#[test]
fn field_values_are_latin_1_strings() {
    let server = kitchen();
    let mut client = server.connect();
    client.send(b"GET /environ HTTP/1.1\r\nHost: a\r\nX-Bytes: caf\xc3\xa9\r\n\r\n");
    assert_eq!(client.response("GET").json()["HTTP_X_BYTES"], "caf\u{c3}\u{a9}");
}

#[test]
fn response_fields_arrive_as_the_app_set_them() {
    let server = kitchen();
    let response = server.get("/headers");
    assert_eq!(response.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.field("x-odd"), Some("caf\u{e9}"));
}

#[test]
fn line_breaks_in_a_response_field_never_reach_the_wire() {
    let server = kitchen();
    let response = server.get("/injected");
    assert_eq!(response.status, 500);
    assert_eq!(response.field("x-injected"), None);
}

#[track_caller]
fn clean_500(server: &Server, target: &str, in_log: &str) {
    let mark = server.log.mark();
    let mut client = server.connect();
    let response = client.get(target);
    assert_eq!(response.status, 500, "{target}");
    assert!(!response.text().contains("secret") && !response.text().contains("Traceback"));
    server.wait_for_line_from(mark, "Traceback (most recent call last)");
    server.wait_for_line_from(mark, in_log);
    // The worker is as good as before.
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn an_exception_is_a_500_with_the_traceback_in_the_log_only() {
    let server = kitchen();
    clean_500(&server, "/fail", "ValueError: a secret of the app");
    clean_500(&server, "/fail-before-body", "ValueError: a secret before the body");
}

#[test]
fn misuse_of_start_response_is_a_500() {
    let server = kitchen();
    for target in ["/twice", "/never"] {
        let mark = server.log.mark();
        assert_eq!(server.get(target).status, 500, "{target}");
        server.wait_for_line_from(mark, "Traceback (most recent call last)");
    }
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn exc_info_replaces_a_head_that_has_not_been_sent() {
    let server = kitchen();
    let response = server.get("/exc-info");
    assert_eq!((response.status, response.text()), (503, "replaced\n"));
    assert_eq!(response.field("x-first"), None);
}

#[test]
fn responses_without_body_have_none_and_the_connection_goes_on() {
    let server = kitchen();
    let mut client = server.connect();
    for code in [204, 304] {
        let response = client.get(&format!("/status?code={code}"));
        assert_eq!((response.status, response.body.len()), (code, 0));
        assert_eq!(response.field("x-kept"), Some("yes"));
        // The strict client refuses Content-Length and Transfer-Encoding with a 204.
        assert_eq!(response.field("transfer-encoding"), None);
    }
    for target in ["/hello", "/stream", "/no-length"] {
        client.request("HEAD", target, "");
        assert_eq!(client.response("HEAD").status, 200, "{target}");
    }
    assert_eq!(client.get("/hello").text(), "Hello, world!\n");
}

#[test]
fn the_reason_phrase_of_the_app_may_be_anything() {
    let server = kitchen();
    let mut client = server.connect();
    for code in [201, 299, 418, 451, 599] {
        let response = client.get(&format!("/status?code={code}"));
        assert_eq!(response.reason, "Whatever");
        assert_eq!((response.status, response.body.len()), (code, 0));
    }
}

#[test]
fn wsgi_errors_and_print_go_to_the_log_with_the_workers_number() {
    let server = kitchen();
    assert_eq!(server.get("/errors?line=spilled-the-soup").status, 200);
    let worker = &server.wait_workers(1)[0];
    for text in ["spilled-the-soup", "printed spilled-the-soup"] {
        let line = server.wait_for_line(text);
        let before = line.split(text).next().unwrap_or_default();
        let after = line.rsplit(text).next().unwrap_or_default();
        let number = worker.number.to_string();
        assert!(before.contains(&number) || after.contains(&number), "no worker {number} in {line:?}");
        assert!(line.contains("worker"), "{line:?}");
    }
}

#[test]
fn an_asgi_application_is_refused_with_what_to_name_instead() {
    for name in ["function", "instance", "partial", "generator"] {
        for preload in [true, false] {
            let refusal = Builder::app(&format!("asgied:{name}")).app_key(&format!("preload_app = {preload}")).refuse();
            assert_eq!(refusal.code, Some(4), "{name}: {}", refusal.stderr);
            assert!(refusal.stderr.contains("is an ASGI application"), "{name}: {}", refusal.stderr);
            assert!(refusal.stderr.contains("PROJECT.wsgi:application"), "{name}: {}", refusal.stderr);
        }
    }
    assert_eq!(Builder::app("asgied:sync").start().get("/").text(), "sync\n");
}
