//! Answers in place of others: error pages and maintenance mode.

mod support;

use std::fs;

use support::files::put;
use support::{Builder, Client, DEADLINE, Response, wait_until};

fn get(client: &mut Client, target: &str, fields: &str) -> Response {
    client.request("GET", target, fields);
    client.response("GET")
}

#[test]
fn files_stand_in_place_of_the_server_s_own_pages() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    for (name, text) in [("404.html", "<p>server 404"), ("4xx.txt", "server 4xx"), ("50x.html", "<p>server 5xx")] {
        put(folder.path(), name, text);
    }
    put(folder.path(), "own.html", "<p>route 404");
    put(folder.path(), "files/a.txt", "a");
    let pages = folder.path().display();
    let server = Builder::app("kitchen:application")
        .server_key(&format!(
            "error_pages = {{ 404 = \"{pages}/404.html\", 4xx = \"{pages}/4xx.txt\", 5xx = \"{pages}/50x.html\" }}"
        ))
        .route("path = \"/app/\"\napp = true\nmax_body = 5")
        .route("path = \"/fail\"\napp = true")
        .route("path = \"/leave\"\napp = true")
        .static_route("/files/", &folder.path().join("files"), "")
        .static_route(
            "/own/",
            &folder.path().join("files"),
            &format!("error_pages = {{ 404 = \"{pages}/own.html\" }}\nheaders = {{ X-A = \"1\" }}"),
        )
        .start();
    let mut client = server.connect();
    for (target, status, text) in [
        ("/nowhere", 404, "<p>server 404"),
        ("/files/missing", 404, "<p>server 404"),
        ("/files/missing", 404, "<p>server 404"),
        ("/own/missing", 404, "<p>route 404"),
        ("/own/missing", 404, "<p>route 404"),
        ("/leave", 502, "<p>server 5xx"),
    ] {
        let response = client.get(target);
        assert_eq!((response.status, response.text()), (status, text), "{target}");
        assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{target}");
        assert_eq!(response.field("x-a").is_some(), target.starts_with("/own/"), "{target}");
    }
    // Fields that belong to the status stay.
    client.request("DELETE", "/files/a.txt", "");
    let response = client.response("DELETE");
    assert_eq!((response.status, response.text()), (405, "server 4xx"));
    assert!(response.field("allow").is_some());
    let response = get(&mut client, "/files/a.txt", "Range: bytes=9-\r\n");
    assert_eq!((response.status, response.field("content-range")), (416, Some("bytes */1")));
    client.request("HEAD", "/nowhere", "");
    let head = client.response("HEAD");
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (404, Some("13"), 0));
    // The application's own errors are its own.
    assert_eq!(client.get("/app/x").text(), "no such route\n");
    // A refused request gets the page as well, before its body.
    client.request("POST", "/app/echo", "Content-Length: 6\r\n");
    let response = client.response("POST");
    assert_eq!((response.status, response.text(), response.closes()), (413, "server 4xx", true));
}

#[test]
fn heads_that_can_not_be_read_get_the_server_s_pages() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "4xx.html", "<p>not understood");
    put(folder.path(), "505.txt", "another century");
    put(folder.path(), "files/a.txt", "a");
    let pages = folder.path().display();
    let server = Builder::app("kitchen:application")
        .server_key(&format!(
            "error_pages = {{ 4xx = \"{pages}/4xx.html\", 505 = \"{pages}/505.txt\", 501 = \"app:/hello\" }}\nhead_timeout = '500ms'"
        ))
        .app_route("")
        .static_route("/files/", &folder.path().join("files"), "headers = { X-A = \"1\" }")
        .start();
    let long = "a".repeat(20_000);
    for (request, status, text) in [
        ("nonsense\r\n\r\n", 400, "<p>not understood"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "<p>not understood"),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "<p>not understood"),
        (&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "<p>not understood"),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431, "<p>not understood"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "another century"),
        ("GET / HTT", 408, "<p>not understood"),
    ] {
        let mut client = server.connect();
        client.send(request);
        let response = client.response("GET");
        assert_eq!((response.status, response.text(), response.closes()), (status, text, true), "{request:.60}");
        let kind = if status == 505 { "text/plain; charset=utf-8" } else { "text/html; charset=utf-8" };
        assert_eq!(response.field("content-type"), Some(kind));
        client.expect_end();
    }
    // The application is not asked about what could not be read.
    let mut client = server.connect();
    client.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    let response = client.response("GET");
    assert_eq!((response.status, response.text().contains("501")), (501, true));
    // HEAD is told the page's length and no more, by a route with pages too.
    for request in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "HEAD /files/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /files/a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request);
        let response = client.response("HEAD");
        assert_eq!(response.field("content-length"), Some("17"), "{request}");
        client.expect_end();
    }
}

#[test]
fn the_application_can_be_asked_for_pages_and_its_errors_intercepted() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "500.html", "<p>broken");
    let pages = format!(
        "error_pages = {{ 404 = \"app:/fields?f=X-Page:yes\", 500 = \"{}/500.html\", 502 = \"app:/leave\", 410 = \"app:/nothing-here\", 401 = \"app:/hello\" }}",
        folder.path().display()
    );
    let server = Builder::app("kitchen:application")
        .app_route(&format!("{pages}\nintercept_errors = true"))
        .route(&format!("path = \"/gone\"\nstatus = 410\n{pages}"))
        .static_route("/files/", folder.path(), &pages)
        .start();
    let mut client = server.connect();
    for target in ["/files/missing", "/nothing", "/files/also-missing"] {
        let response = client.get(target);
        assert_eq!((response.status, response.text()), (404, "GET /fields\n"), "{target}");
        assert_eq!(response.field("x-page"), Some("yes"), "{target}");
    }
    // The page is asked for with GET, whatever the request was; HEAD stays HEAD.
    assert_eq!(client.post("/nothing", "", b"body").text(), "GET /fields\n");
    client.request("HEAD", "/nothing", "");
    assert_eq!((client.response("HEAD").status, client.get("/hello").status), (404, 200));
    let response = client.get("/fail");
    assert_eq!((response.status, response.text()), (500, "<p>broken"));
    // What an error has to say stays with the page.
    let response = client.get("/fields?status=401%20Unauthorized&f=WWW-Authenticate:Basic&f=X-Lost:1&f=Set-Cookie:a=b");
    assert_eq!((response.status, response.text()), (401, "Hello, world!\n"));
    assert_eq!(response.field("www-authenticate"), Some("Basic"));
    assert_eq!((response.field("x-lost"), response.field("set-cookie")), (None, Some("a=b")));
    // A page that is not there, or fails, leaves the server's own.
    for (target, status) in [("/gone", 410), ("/leave", 502)] {
        let response = client.get(target);
        assert!(response.status == status && response.text().contains(&status.to_string()), "{target}: {response:?}");
    }
}

#[test]
fn a_flag_file_closes_the_site_but_for_some() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "page.html", "<p>soon");
    put(folder.path(), "files/a.txt", "a");
    let flag = folder.path().join("maintenance.on");
    let rules = format!(
        "maintenance = {{ file = {flag:?}, paths = [\"/healthz\"], retry_after = \"2m\", page = {:?} }}",
        folder.path().join("page.html")
    );
    let server = Builder::app("kitchen:application")
        .server_key(&rules)
        .app_route("headers = { X-A = \"1\" }")
        .route("path = \"/healthz\"\nrespond = \"ok\"")
        .static_route("/files/", &folder.path().join("files"), "")
        .start();
    let mut client = server.connect();
    assert_eq!(client.get("/hello").status, 200);
    assert_eq!((client.get("/files/a.txt").status, client.get("/files/a.txt").status), (200, 200));
    fs::write(&flag, "").expect("a writable folder");
    wait_until("the closed site", DEADLINE, || client.get("/hello").status == 503);
    for target in ["/hello", "/files/a.txt", "/nowhere", "/x/../hello"] {
        let response = client.get(target);
        assert_eq!((response.status, response.text()), (503, "<p>soon"), "{target}");
        assert_eq!(response.field("retry-after"), Some("120"), "{target}");
    }
    assert_eq!(client.get("/hello").field("x-a"), Some("1"));
    assert_eq!(client.post("/echo", "", b"body").status, 503);
    assert_eq!(client.get("/healthz").text(), "ok");
    fs::remove_file(&flag).expect("the flag is there");
    wait_until("the open site", DEADLINE, || client.get("/hello").status == 200);
    assert_eq!(client.get("/files/a.txt").text(), "a");
}

#[test]
fn networks_get_through_a_closed_site_and_a_start_finds_the_flag() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "on", "");
    let closed = |allow: &str| {
        let flag = folder.path().join("on");
        Builder::bare()
            .server_key(&format!("maintenance = {{ file = {flag:?}, allow = [{allow}] }}"))
            .route("path = \"/\"\nrespond = \"open\"")
            .start()
    };
    let server = closed("\"127.0.0.0/8\"");
    assert_eq!(server.connect().get("/").text(), "open");
    let server = closed("\"10.0.0.0/8\", \"::1\"");
    let response = server.connect().get("/");
    assert_eq!((response.status, response.field("retry-after")), (503, Some("300")));
    assert!(response.text().contains("503"));
}
