//! Static files as a client sees them: bytes, types, validators, ranges, names. What is refused and what changes on disk is in
//! `static_files_limits.rs`.

mod support;

use std::time::Duration;

use support::files::{files, put};
use support::{Builder, Response, Server, assert_same_bytes, pattern, wait_until};

const LARGE: usize = 5 * 1024 * 1024;

fn ask(server: &Server, method: &str, target: &str, fields: &str) -> Response {
    let mut client = server.connect();
    client.request(method, target, &format!("Connection: close\r\n{fields}"));
    let response = client.response(method);
    client.expect_end();
    response
}

#[test]
fn small_large_and_empty_files_come_byte_for_byte() {
    let (server, _folder) = files(|folder| {
        put(folder, "small.txt", "small\n");
        put(folder, "large.bin", pattern(LARGE));
        put(folder, "empty.txt", "");
        put(folder, "deep/er/file.txt", "deep\n");
    });
    let mut client = server.connect();
    // Twice each: from the disk and from the cache.
    for _ in 0..2 {
        assert_eq!(client.get("/files/small.txt").text(), "small\n");
        assert_eq!(client.get("/files/deep/er/file.txt").text(), "deep\n");
        let empty = client.get("/files/empty.txt");
        assert_eq!((empty.status, empty.field("content-length")), (200, Some("0")));
        let large = client.get("/files/large.bin");
        assert_eq!(large.field("content-length"), Some(LARGE.to_string().as_str()));
        assert_same_bytes(&large.body, &pattern(LARGE));
    }
}

#[test]
fn files_of_every_size_around_the_buffers_come_byte_for_byte() {
    let sizes: Vec<usize> = (10..=20).map(|n| 1 << n).flat_map(|n| [n - 1, n, n + 1]).collect();
    let (server, _folder) = files(|folder| {
        for size in &sizes {
            put(folder, &format!("{size}.bin"), pattern(*size));
        }
    });
    let mut client = server.connect();
    for size in &sizes {
        assert_same_bytes(&client.get(&format!("/files/{size}.bin")).body, &pattern(*size));
    }
}

#[test]
fn types_follow_the_names() {
    let types = [
        ("a.css", "text/css"),
        ("a.js", "text/javascript"),
        ("a.mjs", "text/javascript"),
        ("a.html", "text/html"),
        ("a.txt", "text/plain"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.JPG", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.unheardof", "application/octet-stream"),
        ("noname", "application/octet-stream"),
    ];
    let (server, _folder) = files(|folder| types.iter().for_each(|(name, _)| put(folder, name, "x")));
    let mut client = server.connect();
    for (name, kind) in types {
        let response = client.get(&format!("/files/{name}"));
        let found = response.field("content-type").unwrap_or_default();
        assert_eq!(found.split(';').next(), Some(kind), "{name}: {found}");
    }
}

#[test]
fn head_equals_get_without_its_body() {
    let (server, _folder) = files(|folder| put(folder, "a.css", "body {}\n"));
    let get = ask(&server, "GET", "/files/a.css", "");
    let head = ask(&server, "HEAD", "/files/a.css", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(head.field(name), get.field(name), "{name}");
    }
}

#[test]
fn if_none_match_gives_304_for_the_same_file_only() {
    let (server, _folder) = files(|folder| put(folder, "a.txt", "content"));
    let first = ask(&server, "GET", "/files/a.txt", "");
    let tag = first.field("etag").expect("an ETag").to_owned();
    for (fields, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"other\", {tag}\r\n"), 304),
        (format!("If-None-Match: W/{}\r\n", tag.trim_start_matches("W/")), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"other\"\r\n".to_owned(), 200),
    ] {
        let response = ask(&server, "GET", "/files/a.txt", &fields);
        assert_eq!(response.status, status, "{fields}");
        // RFC 9110 section 15.4.5: a 304 repeats the validator.
        assert_eq!(response.field("etag"), Some(tag.as_str()), "{fields}");
    }
}

#[test]
fn if_modified_since_gives_304_until_the_file_is_newer() {
    let (server, _folder) = files(|folder| put(folder, "a.txt", "content"));
    let first = ask(&server, "GET", "/files/a.txt", "");
    let modified = first.field("last-modified").expect("a Last-Modified").to_owned();
    let time = httpdate::parse_http_date(&modified).expect("an HTTP date");
    let earlier = httpdate::fmt_http_date(time - Duration::from_secs(60));
    let since = |date: &str| format!("If-Modified-Since: {date}\r\n");
    assert_eq!(ask(&server, "GET", "/files/a.txt", &since(&modified)).status, 304);
    assert_eq!(ask(&server, "GET", "/files/a.txt", &since(&earlier)).status, 200);
    assert_eq!(ask(&server, "GET", "/files/a.txt", &since("nonsense")).status, 200);
    // RFC 9110 section 13.1.3: ignored when If-None-Match is there.
    let both = format!("If-None-Match: \"other\"\r\n{}", since(&modified));
    assert_eq!(ask(&server, "GET", "/files/a.txt", &both).status, 200);
}

#[test]
fn single_ranges() {
    let (server, _folder) = files(|folder| {
        put(folder, "ten.txt", "0123456789");
        put(folder, "large.bin", pattern(LARGE));
    });
    for (range, content, body) in [
        ("bytes=0-3", "bytes 0-3/10", "0123"),
        ("bytes=4-4", "bytes 4-4/10", "4"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-2", "bytes 8-9/10", "89"),
        ("bytes=-50", "bytes 0-9/10", "0123456789"),
        ("bytes=8-500", "bytes 8-9/10", "89"),
    ] {
        let response = ask(&server, "GET", "/files/ten.txt", &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.text()), (206, body), "{range}");
        assert_eq!(response.field("content-range"), Some(content), "{range}");
    }
    let middle = ask(&server, "GET", "/files/large.bin", "Range: bytes=1000001-4000000\r\n");
    assert_eq!(middle.status, 206);
    assert_same_bytes(&middle.body, &pattern(LARGE)[1_000_001..=4_000_000]);
}

#[test]
fn ranges_beyond_the_end_are_416_and_broken_ones_are_ignored() {
    let (server, _folder) = files(|folder| put(folder, "ten.txt", "0123456789"));
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let response = ask(&server, "GET", "/files/ten.txt", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 416, "{range}");
        assert_eq!(response.field("content-range"), Some("bytes */10"), "{range}");
    }
    // RFC 9110 section 14.2: another unit must be ignored; what is no valid range may be refused or ignored.
    for range in ["bytes=5-2", "bytes=a-b", "bytes="] {
        let response = ask(&server, "GET", "/files/ten.txt", &format!("Range: {range}\r\n"));
        assert!(matches!(response.status, 200 | 416), "{range}: {}", response.status);
    }
    for range in ["lines=1-2", "nonsense"] {
        let response = ask(&server, "GET", "/files/ten.txt", &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.text()), (200, "0123456789"), "{range}");
    }
}

#[test]
fn if_range_decides_whether_the_range_counts() {
    let (server, _folder) = files(|folder| put(folder, "ten.txt", "0123456789"));
    let tag = ask(&server, "GET", "/files/ten.txt", "").field("etag").expect("an ETag").to_owned();
    let range = |tag: &str| format!("Range: bytes=0-3\r\nIf-Range: {tag}\r\n");
    // RFC 9110 section 13.1.5: a weak validator never matches.
    let matched = if tag.starts_with("W/") { 200 } else { 206 };
    assert_eq!(ask(&server, "GET", "/files/ten.txt", &range(&tag)).status, matched);
    assert_eq!(ask(&server, "GET", "/files/ten.txt", &range("\"other\"")).status, 200);
}

#[test]
fn missing_files_and_paths_through_files_are_404() {
    let (server, _folder) = files(|folder| put(folder, "a.txt", "x"));
    let mut client = server.connect();
    for target in ["/files/missing", "/files/no/such/folder", "/files/a.txt/b", "/elsewhere"] {
        assert_eq!(client.get(target).status, 404, "{target}");
    }
    // A name that was missing can appear.
    put(_folder.path(), "missing", "now");
    wait_until("the new file", Duration::from_millis(1500), || client.get("/files/missing").status == 200);
}

#[test]
fn names_are_percent_decoded_once() {
    let (server, _folder) = files(|folder| {
        put(folder, "with space.txt", "space");
        put(folder, "h\u{fc}lle.txt", "umlaut");
        put(folder, "100%25.txt", "percent");
        put(folder, "a?b.txt", "question");
    });
    let mut client = server.connect();
    for (target, body) in [
        ("/files/with%20space.txt", "space"),
        ("/files/h%C3%BClle.txt", "umlaut"),
        ("/files/100%2525.txt", "percent"),
        ("/files/a%3Fb.txt", "question"),
        ("/files/with%20space.txt?v=2", "space"),
    ] {
        assert_eq!(client.get(target).text(), body, "{target}");
    }
}

#[test]
fn index_is_served_for_a_folder_when_the_route_names_one() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "with/index.html", "the index");
    put(folder.path(), "without/other.html", "x");
    let server = Builder::bare()
        .static_route("/files/", folder.path(), "index = [\"index.html\"]")
        .static_route("/plain/", folder.path(), "index = []")
        .start();
    let mut client = server.connect();
    let index = client.get("/files/with/");
    assert_eq!((index.status, index.text()), (200, "the index"));
    assert!(index.field("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    for target in ["/files/without/", "/plain/with/", "/plain/"] {
        let status = client.get(target).status;
        assert!(matches!(status, 403 | 404), "{target}: {status}");
    }
}

#[test]
fn cache_control_of_the_route_is_sent_with_200_and_304() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "a.css", "x");
    let lines = "cache_control = \"public, max-age=31536000, immutable\"";
    let server = Builder::bare().static_route("/files/", folder.path(), lines).start();
    for (fields, status) in [("", 200), ("If-None-Match: *\r\n", 304)] {
        let response = ask(&server, "GET", "/files/a.css", fields);
        assert_eq!(response.status, status);
        assert_eq!(response.field("cache-control"), Some("public, max-age=31536000, immutable"));
    }
}

#[test]
fn the_last_response_of_a_connection_comes_whole_with_its_end() {
    let body = pattern(1500);
    let (server, _folder) = files(|folder| put(folder, "small.bin", &body));
    for version in ["1.1", "1.0"] {
        // The first fills the cache, the others come out of it.
        for _ in 0..3 {
            let mut client = server.connect();
            let line = if version == "1.1" { "Connection: close\r\n" } else { "" };
            client.send(format!("GET /files/small.bin HTTP/{version}\r\nHost: a\r\n{line}\r\n"));
            let response = client.response("GET");
            assert_eq!((response.status, response.field("connection")), (200, Some("close")));
            assert_same_bytes(&response.body, &body);
            client.expect_end();
        }
    }
    // Behind others on the same connection.
    let mut client = server.connect();
    let request = "GET /files/small.bin HTTP/1.1\r\nHost: a\r\n";
    client.send(format!("{request}\r\n{request}\r\n{request}Connection: close\r\n\r\n"));
    for connection in [None, None, Some("close")] {
        let response = client.response("GET");
        assert_eq!((response.status, response.field("connection")), (200, connection));
        assert_same_bytes(&response.body, &body);
    }
    client.expect_end();
}
