//! Static files where there is no file: the application, a front end's single page, an own page, a listing; and Django's hashed names.

mod support;

use support::files::put;
use support::{Builder, wait_until};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "about.html", "about");
    put(folder.path(), "404.html", "lost?");
    put(folder.path(), "css/a.css", "body {}");
    folder
}

#[test]
fn the_application_answers_where_there_is_no_file() {
    let folder = folder();
    let lines = "fallback = [\"{path}.html\", \"@app\"]";
    let server = Builder::app("kitchen:anything").static_route("/", folder.path(), lines).start();
    let mut client = server.connect();
    // Twice: what is known to be no file is left to the application too.
    for _ in 0..2 {
        assert_eq!(client.get("/css/a.css").text(), "body {}");
        assert_eq!(client.get("/about").text(), "about");
        assert_eq!(client.get("/anything/else").text(), "GET /anything/else 0\n");
        assert_eq!(client.post("/anything", "", b"12345").text(), "POST /anything 5\n");
        assert_eq!(client.post_chunked("/anything", b"12345", 2).text(), "POST /anything 5\n");
        assert_eq!(client.get("/").text(), "GET / 0\n");
        assert_eq!(client.get("/.env").text(), "GET /.env 0\n");
    }
    let refused = client.post("/css/a.css", "", b"12345");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(client.get("/about").text(), "about");
}

#[test]
fn a_fallback_to_an_application_that_is_not_there_is_refused() {
    let folder = folder();
    let refusal = Builder::bare().static_route("/", folder.path(), "fallback = \"@app\"").refuse();
    assert_eq!(refusal.code, Some(2), "{}", refusal.stderr);
    assert!(refusal.stderr.contains("wsgi"), "{}", refusal.stderr);
}

#[test]
fn a_single_page_front_end() {
    let folder = folder();
    let server = Builder::bare().static_route("/", folder.path(), "fallback = \"/about.html\"").start();
    for target in ["/", "/orders/17?tab=2", "/about.html", "/css/none.css"] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (200, "about"), "{target}");
    }
    assert_eq!(server.get("/css/a.css").text(), "body {}");
}

#[test]
fn an_own_page_and_a_listing() {
    let folder = folder();
    let server = Builder::bare()
        .static_route("/lost/", folder.path(), "not_found = \"/404.html\"")
        .static_route("/list/", folder.path(), "listing = true")
        .start();
    let lost = server.get("/lost/nothing");
    assert_eq!((lost.status, lost.text()), (404, "lost?"));
    assert_eq!(server.get("/lost/").status, 403);
    let list = server.get("/list/?sort=size&order=desc");
    assert_eq!(list.status, 200);
    let text = list.text();
    assert!(text.find("css/") < text.find("about.html") && text.contains("Index of /list/"), "{text}");
    assert_eq!(server.get("/list/css").field("location"), Some("/list/css/"));
}

#[test]
fn django_s_hashed_names_are_immutable() {
    let folder = folder();
    put(folder.path(), "css/a.55e7cbb9ba48.css", "body {}");
    put(folder.path(), "staticfiles.json", r#"{"paths": {"css/a.css": "css/a.55e7cbb9ba48.css"}, "version": "1.1"}"#);
    let server = Builder::bare().static_route("/static/", folder.path(), "").start();
    let mut client = server.connect();
    let hashed = client.get("/static/css/a.55e7cbb9ba48.css");
    assert_eq!(hashed.field("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(client.get("/static/css/a.css").field("cache-control"), None);
    std::fs::remove_file(folder.path().join("staticfiles.json")).expect("our own file");
    wait_until("the manifest's end", support::DEADLINE, || {
        client.get("/static/css/a.55e7cbb9ba48.css").field("cache-control").is_none()
    });
}
