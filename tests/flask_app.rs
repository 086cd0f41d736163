//! A Flask application, unchanged, as its users meet it: sessions, forms, uploads, streams, files, errors, and a path to be mounted at.

mod support;

use std::process::{Command, Stdio};

use aws_lc_rs::digest;
use serde_json::json;
use support::{Builder, Client, Response, Server, assert_same_bytes, pattern, python};

/// The application's server; `None` where the tests' interpreter has no Flask.
fn flasked(configure: impl FnOnce(Builder) -> Builder) -> Option<Server> {
    let python = python::interpreter();
    let found = Command::new(&python).args(["-c", "import flask"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("not shown: {} has no Flask (pip install -r tests/requirements.txt)", python.display());
        return None;
    }
    let builder = Builder::app("flasked:app");
    let file = builder.folder().join("download.bin");
    std::fs::write(&file, pattern(300_000)).expect("a writable folder");
    Some(configure(builder.environment("FLASKED_FILE", &file.display().to_string())).start())
}

/// The cookies that a response sets, as a request's line.
fn cookies(response: &Response) -> String {
    let pairs: Vec<_> = response.all("set-cookie").iter().filter_map(|cookie| cookie.split(';').next()).collect();
    format!("Cookie: {}\r\n", pairs.join("; "))
}

fn get(client: &mut Client, target: &str, fields: &str) -> Response {
    client.request("GET", target, fields);
    client.response("GET")
}

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn a_session_begins_shows_and_ends() {
    let Some(server) = flasked(|builder| builder) else { return };
    let mut client = server.connect();
    let page = client.get("/");
    assert_eq!((page.status, page.text()), (200, "<title>caf\u{e9} &amp; co</title>"));
    assert_eq!(client.post("/login", FORM, b"name=ann&password=wrong").status, 403);
    let login = client.post("/login", FORM, "name=%C3%A5nn&password=secret".as_bytes());
    assert_eq!((login.status, login.field("location")), (302, Some("/")));
    let page = get(&mut client, "/", &cookies(&login));
    assert!(page.text().ends_with("<p>welcome</p>\u{e5}nn"), "{}", page.text());
    // The message was shown; the name stays.
    let page = get(&mut client, "/", &cookies(&page));
    assert!(page.text().ends_with("</title>\u{e5}nn"), "{}", page.text());
    let streamed = get(&mut client, "/stream?n=3", &cookies(&login));
    assert_eq!(streamed.text(), "\u{e5}nn 0\n\u{e5}nn 1\n\u{e5}nn 2\n");
    let out = get(&mut client, "/logout", &cookies(&login));
    assert!(out.field("set-cookie").is_some_and(|cookie| cookie.starts_with("session=;")));
}

#[test]
fn uploads_arrive_as_they_were_sent() {
    let Some(server) = flasked(|builder| builder) else { return };
    let mut client = server.connect();
    let (small, large) = (pattern(100), pattern(3_000_000));
    let mut body = b"--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nTwo files\r\n".to_vec();
    for (name, bytes) in [("small", &small), ("large", &large)] {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}.bin\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    let wanted = json!({
        "files": { "small": ["small.bin", sha256(&small)], "large": ["large.bin", sha256(&large)] },
        "form": { "title": "Two files" },
    });
    let kind = "Content-Type: multipart/form-data; boundary=b\r\n";
    assert_eq!(client.post("/upload", kind, &body).json(), wanted);
    for size in [0, 1, 20_000, 3_000_000] {
        let body = pattern(size);
        let seen = client.post("/raw", "", &body).json();
        assert_eq!((&seen["total"], &seen["sha"]), (&json!(size), &json!(sha256(&body))), "{size}");
        let seen = client.post_chunked("/raw", &body, 7000).json();
        assert_eq!((&seen["total"], &seen["sha"]), (&json!(size), &json!(sha256(&body))), "{size} in chunks");
    }
    let text = "{\"a\": [1, null, \"\u{e9}\"]}";
    let echoed = client.post("/json", "Content-Type: application/json\r\n", text.as_bytes());
    assert_eq!(echoed.json(), json!({ "a": [1, null, "\u{e9}"] }));
    let too_large = client.post("/json", "Content-Type: application/json\r\n", &pattern(9 * 1024 * 1024));
    assert_eq!(too_large.status, 413);
}

#[test]
fn files_are_sent_whole_in_part_and_not_at_all() {
    let Some(server) = flasked(|builder| builder) else { return };
    let mut client = server.connect();
    let whole = client.get("/download");
    assert_same_bytes(&whole.body, &pattern(300_000));
    assert_eq!(whole.field("content-length"), Some("300000"));
    assert!(whole.field("content-disposition").is_some_and(|value| value.contains("filename*=UTF-8''f%C3%BCr.bin")));
    let part = get(&mut client, "/download", "Range: bytes=1000-1999\r\n");
    assert_eq!((part.status, part.field("content-range")), (206, Some("bytes 1000-1999/300000")));
    assert_same_bytes(&part.body, &pattern(300_000)[1000..2000]);
    let tag = whole.field("etag").expect("Flask makes a tag");
    let none = get(&mut client, "/download", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((none.status, none.body.len()), (304, 0));
    client.request("HEAD", "/download", "");
    let head = client.response("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("300000")));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn errors_cookies_and_paths_are_flask_s_own() {
    let Some(server) = flasked(|builder| builder) else { return };
    let mut client = server.connect();
    let missing = client.get("/caf%C3%A9");
    assert_eq!((missing.status, missing.text()), (404, "nothing at /caf\u{e9}"));
    let mark = server.log.mark();
    let failed = client.get("/fail");
    assert_eq!(failed.status, 500);
    assert!(failed.text().contains("Internal Server Error"), "{}", failed.text());
    server.wait_for_line_from(mark, "RuntimeError: fails on purpose");
    let answer = client.get("/cookies");
    assert_eq!(answer.all("set-cookie"), ["a=1; HttpOnly; Path=/", "b=2; Path=/; SameSite=Lax"]);
    assert_eq!(answer.all("link"), ["</a>; rel=preload", "</b>; rel=preload"]);
    assert_eq!(client.post("/", "", b"").status, 405);
    let seen = client.get("/of/a//b%2Fc%20d/%C3%A9?x=1&x=%26&y").json();
    assert_eq!(seen["rest"], "a//b/c d/\u{e9}");
    assert_eq!(seen["args"], json!({ "x": ["1", "&"], "y": [""] }));
    let seen = client.get("/notes/7").json();
    assert_eq!(seen["url"], "http://localhost/notes/7?q=a+b");
}

#[test]
fn script_name_mounts_the_application_beneath_a_path() {
    let Some(server) = flasked(|builder| builder.app_key("raw_env = [\"SCRIPT_NAME=/board\"]")) else { return };
    let mut client = server.connect();
    let seen = client.get("/board/notes/7").json();
    assert_eq!((&seen["root"], &seen["url"]), (&json!("/board"), &json!("http://localhost/board/notes/7?q=a+b")));
    let login = client.post("/board/login", FORM, b"name=ann&password=secret");
    assert_eq!(login.field("location"), Some("/board/"));
    for outside in ["/notes/7", "/", "/boards/notes/7"] {
        assert_eq!(client.get(outside).status, 404, "{outside}");
    }
}
