//! X-Accel-Redirect, its companions, and X-Sendfile: what the application orders instead of an answer.

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;

use support::files::put;
use support::{Builder, Client, Response, Server, assert_same_bytes, pattern};

const LARGE: usize = 300_000;

fn server(folder: &Path) -> Server {
    put(folder, "protected/a.txt", "0123456789");
    put(folder, "protected/with space.txt", "space");
    put(folder, "protected/.hidden", "hidden");
    put(folder, "protected/large.bin", pattern(LARGE));
    put(folder, "secret.txt", "secret");
    put(folder, "other/b.txt", "other");
    symlink("/etc/passwd", folder.join("protected/passwd")).expect("a writable folder");
    let roots = [folder.join("protected"), folder.join("other")];
    Builder::app("kitchen:application")
        .app_route(&format!("sendfile_root = {roots:?}"))
        .static_route("/protected/", &folder.join("protected"), "internal = true\nheaders = { X-Route = \"inner\" }")
        .route("path = \"/fixed\"\nrespond = \"fixed\"\ninternal = true")
        .start()
}

fn ordered(client: &mut Client, fields: &[&str], more: &str) -> Response {
    let query: Vec<String> = fields
        .iter()
        .map(|field| {
            format!("f={}", field.replace('%', "%25").replace(' ', "%20").replace('&', "%26").replace('#', "%23"))
        })
        .collect();
    client.request("GET", &format!("/fields?{}", query.join("&")), more);
    client.response("GET")
}

#[track_caller]
fn assert_silent(response: &Response) {
    for (name, _) in &response.fields {
        let name = name.to_ascii_lowercase();
        assert!(!name.starts_with("x-accel-") && name != "x-sendfile", "{response:?}");
    }
}

#[test]
fn the_application_leads_to_internal_files() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let server = server(folder.path());
    let mut client = server.connect();
    for _ in 0..2 {
        let response = ordered(
            &mut client,
            &[
                "X-Accel-Redirect:/protected/a.txt",
                "Content-Type:application/x-own",
                "Content-Disposition:attachment",
                "Set-Cookie:a=b",
                "Set-Cookie:c=d",
                "Cache-Control:private",
                "Expires:0",
                "X-Lost:1",
                "ETag:\"x\"",
            ],
            "",
        );
        assert_eq!((response.status, response.text()), (200, "0123456789"));
        assert_eq!(response.field("content-type"), Some("application/x-own"));
        assert_eq!(response.field("content-disposition"), Some("attachment"));
        assert_eq!(response.all("set-cookie"), ["a=b", "c=d"]);
        assert_eq!((response.field("cache-control"), response.field("expires")), (Some("private"), Some("0")));
        assert_eq!((response.field("x-lost"), response.field("x-route")), (None, Some("inner")));
        assert_ne!(response.field("etag"), Some("\"x\""));
        assert_silent(&response);
    }
    // Without a type of the application's, the file's.
    let response = ordered(&mut client, &["X-Accel-Redirect:/protected/a.txt", "Content-Type:"], "");
    assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
    // Ranges and conditions are about the file.
    let part = ordered(&mut client, &["X-Accel-Redirect:/protected/a.txt"], "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.text(), part.field("content-range")), (206, "234", Some("bytes 2-4/10")));
    let tag = part.field("etag").expect("an ETag").to_owned();
    let same = ordered(
        &mut client,
        &["X-Accel-Redirect:/protected/a.txt", "Set-Cookie:a=b"],
        &format!("If-None-Match: {tag}\r\n"),
    );
    assert_eq!((same.status, same.field("set-cookie")), (304, Some("a=b")));
    let large = ordered(&mut client, &["X-Accel-Redirect:/protected/large.bin"], "");
    assert_same_bytes(&large.body, &pattern(LARGE));
    // Any method becomes GET; HEAD stays HEAD.
    let response = client.post("/fields?f=X-Accel-Redirect:/protected/a.txt", "", b"body");
    assert_eq!((response.status, response.text()), (200, "0123456789"));
    client.request("HEAD", "/fields?f=X-Accel-Redirect:/protected/a.txt", "");
    let head = client.response("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    // Other actions, and the application itself.
    assert_eq!(ordered(&mut client, &["X-Accel-Redirect:/fixed"], "").text(), "fixed");
    let again = ordered(&mut client, &["X-Accel-Redirect:/anything?f=X-Inner:yes"], "");
    assert_eq!(again.status, 404);
    let inner = ordered(&mut client, &["X-Accel-Redirect:/fields/inner?f=X-Inner:yes", "Set-Cookie:a=b"], "");
    assert_eq!(
        (inner.text(), inner.field("x-inner"), inner.field("set-cookie")),
        ("GET /fields/inner\n", Some("yes"), Some("a=b"))
    );
    assert_eq!(client.get("/protected/a.txt").status, 404);
}

#[test]
fn hostile_targets_lead_nowhere() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let server = server(folder.path());
    let mut client = server.connect();
    let long = format!("X-Accel-Redirect:/protected/{}", "a".repeat(9000));
    for target in [
        "X-Accel-Redirect:/protected/../secret.txt",
        "X-Accel-Redirect:/protected/%2e%2e/secret.txt",
        "X-Accel-Redirect:/protected/..%2fsecret.txt",
        "X-Accel-Redirect:/../../etc/passwd",
        "X-Accel-Redirect:/protected/passwd",
        "X-Accel-Redirect:/protected/a.txt%00",
        "X-Accel-Redirect:/protected/%zz",
        "X-Accel-Redirect:/protected",
        "X-Accel-Redirect:protected/a.txt",
        "X-Accel-Redirect:http://127.0.0.1/protected/a.txt",
        "X-Accel-Redirect:@named",
        "X-Accel-Redirect:/protected/missing",
        "X-Sendfile:/etc/passwd",
        "X-Sendfile:secret.txt",
        "X-Sendfile:@/../secret.txt",
        "X-Sendfile:@/%2e%2e/secret.txt",
        "X-Sendfile:@/passwd",
        "X-Sendfile:@x/a.txt",
        "X-Sendfile:@",
        "X-Sendfile:@/",
        "X-Sendfile:@/missing",
    ] {
        let root = folder.path().join("protected").display().to_string();
        let target = target.replace("X-Sendfile:@", &format!("X-Sendfile:{root}"));
        let response = ordered(&mut client, &[&target, "Content-Disposition:attachment"], "");
        assert!(matches!(response.status, 400 | 403 | 404), "{target}: {response:?}");
        assert!(!response.text().contains("secret") && !response.text().contains("root:"), "{target}: {response:?}");
        assert_eq!(response.field("content-disposition"), None, "{target}");
        assert_silent(&response);
    }
    let mut other = server.connect();
    other.request("GET", "/fields?f=X-Accel-Redirect:%2Fa%0D%0AX-B:c", "");
    let response = other.response("GET");
    assert!(response.status >= 400 && response.field("x-b").is_none(), "{response:?}");
    assert_eq!(ordered(&mut client, &[&long[..7000]], "").status, 404);
    // A circle ends.
    let circle = "X-Accel-Redirect:/circle";
    let response = ordered(&mut client, &[circle], "");
    assert_eq!(response.status, 404);
    client.request("GET", "/circle_of_redirects", "");
    assert_eq!(client.response("GET").status, 500);
    // Files are still served.
    assert_eq!(ordered(&mut client, &["X-Accel-Redirect:/protected/a.txt"], "").text(), "0123456789");
}

#[test]
fn named_files_are_sent_from_their_directories_only() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let server = server(folder.path());
    let mut client = server.connect();
    for (path, body) in [
        ("protected/a.txt", "0123456789"),
        ("protected/with space.txt", "space"),
        ("protected/with%20space.txt", "space"),
        ("protected/.hidden", "hidden"),
        ("other/b.txt", "other"),
    ] {
        let order = format!("X-Sendfile:{}/{path}", folder.path().display());
        let response = ordered(&mut client, &[&order, "Content-Disposition:attachment"], "");
        assert_eq!((response.status, response.text()), (200, body), "{path}");
        assert_eq!(response.field("content-disposition"), Some("attachment"));
        assert_silent(&response);
    }
    let order = format!("X-Sendfile:{}/protected/a.txt", folder.path().display());
    assert_eq!(ordered(&mut client, &[&order], "Range: bytes=-2\r\n").text(), "89");
}

#[test]
fn other_orders_change_the_answer_and_stay_inside() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let server = server(folder.path());
    let mut client = server.connect();
    let response = ordered(
        &mut client,
        &[
            "X-Accel-Charset:koi8-r",
            "Content-Type:text/html; charset=utf-8",
            "X-Accel-Expires:60",
            "X-Accel-Buffering:no",
            "X-Accel-Limit-Rate:100000",
            "X-Kept:1",
        ],
        "",
    );
    assert_eq!((response.status, response.field("x-kept")), (200, Some("1")));
    assert_eq!(response.field("content-type"), Some("text/html; charset=koi8-r"));
    assert_silent(&response);
    // The rate holds for redirects and for the application's own bytes, and ends with the response.
    let started = std::time::Instant::now();
    let paced = ordered(&mut client, &["X-Accel-Redirect:/protected/large.bin", "X-Accel-Limit-Rate:200000"], "");
    assert_same_bytes(&paced.body, &pattern(LARGE));
    // A second's worth goes at once; the rest takes half a second, less a tick.
    assert!(started.elapsed().as_millis() >= 350, "{:?}", started.elapsed());
    assert_same_bytes(&ordered(&mut client, &["X-Accel-Redirect:/protected/large.bin"], "").body, &pattern(LARGE));
}

#[test]
fn without_an_internal_route_nothing_is_followed() {
    let server = Builder::app("kitchen:application").app_route("").start();
    let mut client = server.connect();
    let response = ordered(&mut client, &["X-Accel-Redirect:/hello"], "");
    assert_eq!(response.status, 500);
    assert_silent(&response);
    let response = ordered(&mut client, &["X-Sendfile:/etc/passwd"], "");
    assert_eq!(response.status, 404);
    assert_silent(&response);
    let response = ordered(&mut client, &["X-Accel-Expires:0"], "");
    assert_eq!(response.text(), "GET /fields\n");
    assert_silent(&response);
}
