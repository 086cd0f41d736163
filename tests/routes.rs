//! Routes on a running server: which one a request goes to, and what each action answers.

mod support;

use support::files::put;
use support::{Builder, Client, ReadError, Response, Server};

/// One request on a connection of its own.
fn ask(server: &Server, method: &str, host: &str, target: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let response = client.response(method);
    client.expect_end();
    response
}

fn named(lines: &str, name: &str) -> String {
    format!("{lines}\nrespond = {name:?}")
}

#[test]
fn hosts_decide_before_paths() {
    let server = Builder::bare()
        .route(&named("path = \"/\"", "any"))
        .route(&named("path = \"/\"\nhost = \"a.example\"", "exact"))
        .route(&named("path = \"/\"\nhost = \"*.example\"", "wildcard"))
        .route(&named("path = \"/\"\nhost = \"*.b.example\"", "longer wildcard"))
        .route(&named("path = \"/long/er/\"", "any, longer path"))
        .route(&named("path = \"/only/\"\nhost = \"c.test\"", "only a path"))
        .start();
    for (host, target, expected) in [
        ("a.example", "/", "exact"),
        ("A.EXAMPLE:8000", "/", "exact"),
        ("a.example.", "/", "exact"),
        ("x.example", "/", "wildcard"),
        ("x.b.example", "/", "longer wildcard"),
        ("b.example", "/", "wildcard"),
        ("example", "/", "any"),
        ("other", "/", "any"),
        ("127.0.0.1", "/", "any"),
        ("[::1]:80", "/", "any"),
        ("a.example", "/long/er/", "exact"),
        ("other", "/long/er/x", "any, longer path"),
        ("c.test", "/only/x", "only a path"),
        ("c.test", "/", "any"),
    ] {
        assert_eq!(ask(&server, "GET", host, target).text(), expected, "{host} {target}");
    }
    // The target's authority counts more than Host (RFC 9112 section 3.2.2); HTTP/1.0 need not name a host.
    assert_eq!(ask(&server, "GET", "other", "http://a.example/").text(), "exact");
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response("GET").text(), "any");
}

#[test]
fn paths_are_found_in_nginx_s_order() {
    let server = Builder::bare()
        .route(&named("path = \"/\"", "prefix"))
        .route(&named("path = \"/exact\"\nexact = true", "exact"))
        .route(&named("path = \"/firm/\"\nbefore_regex = true", "firm"))
        .route(&named("regex = '\\.png$'", "png"))
        .route(&named("regex = '^/a/'", "second expression"))
        .start();
    for (target, expected) in [
        ("/", "prefix"),
        ("/exact", "exact"),
        ("/exact?q", "exact"),
        ("/%65xact", "exact"),
        ("/x/../exact", "exact"),
        ("/exact/", "prefix"),
        ("/exacter", "prefix"),
        ("/b.png", "png"),
        ("/a/b.png", "png"),
        ("/a/b.%70ng?x.jpg", "png"),
        ("/a/b", "second expression"),
        ("/firm/b.png", "firm"),
        ("/b.png/", "prefix"),
        ("/x?b.png", "prefix"),
    ] {
        assert_eq!(ask(&server, "GET", "h", target).text(), expected, "{target}");
    }
}

#[test]
fn an_expression_costs_no_more_than_its_path() {
    // Exponential for an engine that backtracks.
    let server = Builder::bare().route(&named("regex = '^/(a+)+(a+)+(a+)+$'", "found")).start();
    let target = format!("/{}b", "a".repeat(8000));
    assert_eq!(ask(&server, "GET", "h", &target).status, 404);
    assert_eq!(ask(&server, "GET", "h", "/aaaa").text(), "found");
}

#[test]
fn files_of_exact_paths_and_expressions_lie_under_the_whole_path() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "favicon.ico", "icon");
    put(folder.path(), "deep/x.pdf", "document");
    let directory = folder.path();
    let server = Builder::bare()
        .route(&format!("path = \"/favicon.ico\"\nexact = true\nstatic = {directory:?}"))
        .route(&format!("regex = '\\.pdf$'\nstatic = {directory:?}"))
        .start();
    // Twice each: from the disk and from the cache.
    for _ in 0..2 {
        assert_eq!(ask(&server, "GET", "h", "/favicon.ico").text(), "icon");
        assert_eq!(ask(&server, "GET", "h", "/deep/x.pdf").text(), "document");
        assert_eq!(ask(&server, "GET", "h", "/deep/").status, 404);
    }
}

#[test]
fn redirects_fill_in_what_the_request_holds() {
    let server = Builder::bare()
        .route("path = \"/moved\"\nexact = true\nredirect = \"https://example.com/new\"\nstatus = 301")
        .route("regex = '^/old/(?<rest>.*)$'\nredirect = \"https://example.com/$1?from=$rest\"\nstatus = 308")
        .route("path = \"/secure/\"\nredirect = \"https://$host$request_uri\"")
        .route("path = \"/uri/\"\nredirect = \"$scheme://www.$host$uri$is_args$args\"\nstatus = 307")
        .start();
    for (target, status, location) in [
        ("/moved", 301, "https://example.com/new"),
        ("/moved?q", 301, "https://example.com/new"),
        ("/old/a%20b/%C3%A9", 308, "https://example.com/a%20b/%C3%A9?from=a%20b/%C3%A9"),
        ("/secure/x%2fy?a=b&c=%0d", 302, "https://example.com/secure/x%2fy?a=b&c=%0d"),
        ("/uri/./a//b?", 307, "http://www.example.com/uri/a/b"),
        ("/uri/?a=b", 307, "http://www.example.com/uri/?a=b"),
    ] {
        let response = ask(&server, "GET", "Example.com:8000", target);
        assert_eq!((response.status, response.field("location")), (status, Some(location)), "{target}");
    }
    // A body is read over and the connection goes on; HEAD has none.
    let mut client = server.connect();
    assert_eq!(client.post("/moved", "", b"body").status, 301);
    client.request("HEAD", "/moved", "");
    assert_eq!(client.response("HEAD").status, 301);
    // Without a host, the address that was connected to.
    let mut client = server.connect();
    client.send("GET /secure/ HTTP/1.0\r\n\r\n");
    assert_eq!(client.response("GET").field("location"), Some("https://127.0.0.1/secure/"));
}

#[test]
fn nothing_in_a_request_gets_out_of_its_redirect() {
    let server = Builder::bare()
        .route("regex = '^/go(?s:(.*))$'\nredirect = \"$1\"")
        .route("path = \"/\"\nredirect = \"https://example.com$uri$is_args$args\"")
        .start();
    for (target, location) in [
        ("/x%0d%0aSet-Cookie:%20a=b", "https://example.com/x%0D%0ASet-Cookie:%20a=b"),
        ("/x%0a?%0d%0ay", "https://example.com/x%0A?%0d%0ay"),
        ("/%22%3Cscript%3E", "https://example.com/%22%3Cscript%3E"),
        ("/%3fq%23f%25", "https://example.com/%3Fq%23f%25"),
        ("/a?\"<>\\^`{|}", "https://example.com/a?%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/go//evil.example/", "/evil.example/"),
        ("/go%2f%2fevil.example/", "/evil.example/"),
        ("/go/%5cevil.example/%0a", "/%5Cevil.example/%0A"),
    ] {
        let response = ask(&server, "GET", "h", target);
        assert_eq!((response.status, response.field("location")), (302, Some(location)), "{target}");
        assert_eq!(response.field("set-cookie"), None);
    }
    // Bytes that no URI holds either don't get in or come out encoded.
    let mut client = server.connect();
    client.send("GET /\u{e9}?\u{e9} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let response = client.response("GET");
    let location = response.field("location").unwrap_or_default();
    assert!(location.is_ascii() && (response.status == 400 || location.contains("%C3%A9")), "{response:?}");
}

#[test]
fn fixed_responses_and_statuses() {
    let server = Builder::bare()
        .route(&named("path = \"/hello\"\nexact = true", "hello\n"))
        .route(&named("path = \"/gone\"\nstatus = 410\ncontent_type = \"application/json\"", "{}"))
        .route("path = \"/teapot\"\nstatus = 418")
        .route("path = \"/nothing\"\nstatus = 204")
        .route("path = \"/silence\"\nstatus = 444")
        .start();
    let mut client = server.connect();
    let hello = client.get("/hello");
    assert_eq!((hello.status, hello.text()), (200, "hello\n"));
    assert_eq!(hello.field("content-type"), Some("text/plain; charset=utf-8"));
    let gone = client.get("/gone");
    assert_eq!((gone.status, gone.text(), gone.field("content-type")), (410, "{}", Some("application/json")));
    let teapot = client.get("/teapot");
    assert!(teapot.status == 418 && teapot.text().contains("418"), "{teapot:?}");
    assert_eq!(client.get("/nothing").status, 204);
    assert_eq!(client.post("/hello", "", b"ignored").text(), "hello\n");
    client.request("HEAD", "/hello", "");
    let head = client.response("HEAD");
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("6"), 0));
    client.request("GET", "/silence", "");
    assert_eq!(client.try_response("GET").err(), Some(ReadError::Closed));
}

#[test]
fn internal_routes_are_not_for_clients() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "secret.txt", "secret");
    let server = Builder::bare()
        .static_route("/protected/", folder.path(), "internal = true")
        .route(&named("path = \"/fixed\"\ninternal = true", "secret"))
        .route(&named("path = \"/\"", "open"))
        .start();
    let mut client = server.connect();
    for target in
        ["/protected/secret.txt", "/%70rotected/secret.txt", "/x/../protected//secret.txt", "/fixed", "/protected/"]
    {
        for _ in 0..2 {
            let response = client.get(target);
            assert!(response.status == 404 && !response.text().contains("secret"), "{target}: {response:?}");
        }
    }
    assert_eq!(client.get("/").text(), "open");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let server = Builder::app("kitchen:application")
        .route("path = \"/echo\"\napp = true\nmax_body = 10")
        .route("path = \"/\"\napp = true")
        .route("path = \"/fixed\"\nrespond = \"x\"\nmax_body = 10")
        .static_route("/files/", folder.path(), "max_body = 10")
        .start();
    for target in ["/echo", "/fixed", "/files/x"] {
        // The body never comes: the answer does not wait for it, and is no invitation to send it.
        for expect in ["", "Expect: 100-continue\r\n"] {
            let mut client = server.connect();
            client.request("POST", target, &format!("Content-Length: 11\r\n{expect}"));
            let response = client.response("POST");
            assert!(response.status == 413 && response.closes(), "{target}: {response:?}");
            client.expect_end();
        }
    }
    let mut client = server.connect();
    assert_eq!(client.post("/echo", "", b"0123456789").text(), "0123456789");
    assert_eq!(client.post("/", "", &[b'x'; 100]).status, 404);
    // A body of unknown length is cut off where it becomes too long.
    client.request("POST", "/echo", "Transfer-Encoding: chunked\r\n");
    client.send("6\r\nabcdef\r\n5\r\nghijk\r\n");
    assert_eq!(client.response("POST").status, 413);
    // One that is small enough is asked for.
    let mut client = server.connect();
    client.request("POST", "/echo", "Content-Length: 2\r\nExpect: 100-continue\r\n");
    assert_eq!(client.response("POST").status, 100);
    client.send("ok");
    assert_eq!(client.response("POST").text(), "ok");
}

/// A server with the same changes on every kind of route.
fn changed(lines: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "a.txt", "0123456789");
    put(folder.path(), "large.bin", vec![b'x'; 200_000]);
    let server = Builder::app("kitchen:application")
        .app_route(lines)
        .static_route("/files/", folder.path(), lines)
        .route(&format!("path = \"/away\"\nredirect = \"/x\"\n{lines}"))
        .route(&format!("path = \"/text\"\nrespond = \"x\"\n{lines}"))
        .route(&format!("path = \"/status\"\nstatus = 503\n{lines}"))
        .start();
    (server, folder)
}

#[test]
fn fields_are_changed_on_every_answer_of_a_route() {
    let (server, _folder) = changed(
        "headers = { X-Frame-Options = \"DENY\", set = { Content-Type = \"text/x\" }, add = { Vary = [\"A\", \"B\"] }, remove = [\"Server\", \"ETag\"] }",
    );
    let mut client = server.connect();
    let check = |client: &mut Client, method: &str, target: &str, fields: &str, status: u16| {
        client.request(method, target, fields);
        let response = client.response(method);
        let what = format!("{method} {target} {fields}: {response:?}");
        assert_eq!(response.status, status, "{what}");
        assert_eq!(response.field("x-frame-options"), Some("DENY"), "{what}");
        assert_eq!(response.field("content-type"), Some("text/x"), "{what}");
        assert!(response.all("vary").ends_with(&["A", "B"]), "{what}");
        assert_eq!((response.field("server"), response.field("etag")), (None, None), "{what}");
        assert!(response.field("date").is_some(), "{what}");
    };
    // The second and third time from the cache's ready response.
    for _ in 0..3 {
        check(&mut client, "GET", "/files/a.txt", "", 200);
    }
    for (method, target, fields, status) in [
        ("HEAD", "/files/a.txt", "", 200),
        ("GET", "/files/large.bin", "", 200),
        ("GET", "/files/a.txt", "Range: bytes=1-3\r\n", 206),
        ("GET", "/files/a.txt", "Range: bytes=99-\r\n", 416),
        ("GET", "/files/a.txt", "If-None-Match: *\r\n", 304),
        ("GET", "/files/a.txt", "If-Match: \"x\"\r\n", 412),
        ("GET", "/files/missing", "", 404),
        ("DELETE", "/files/a.txt", "", 405),
        ("OPTIONS", "/files/a.txt", "", 204),
        ("GET", "/hello", "", 200),
        ("GET", "/unheard-of", "", 404),
        ("GET", "/status?code=204%20No%20Content", "", 503),
        ("GET", "/fail", "", 500),
        ("GET", "/never", "", 500),
        ("GET", "/away", "", 302),
        ("GET", "/text", "", 200),
        ("GET", "/status", "", 503),
    ] {
        check(&mut client, method, target, fields, status);
    }
}

#[test]
fn added_fields_can_keep_to_nginx_s_statuses() {
    let (server, _folder) = changed("headers = { X-A = \"1\", always = false }");
    let mut client = server.connect();
    for (target, fields, expected) in [
        ("/files/a.txt", "", Some("1")),
        ("/files/a.txt", "", Some("1")),
        ("/files/a.txt", "If-None-Match: *\r\n", Some("1")),
        ("/hello", "", Some("1")),
        ("/away", "", Some("1")),
        ("/files/missing", "", None),
        ("/unheard-of", "", None),
        ("/status", "", None),
    ] {
        client.request("GET", target, fields);
        assert_eq!(client.response("GET").field("x-a"), expected, "{target}");
    }
}
