//! Where there is no file: fallbacks, pages for 404, listings; and names that change with their content.

use super::*;
use crate::config::Fallback;

fn around(before: &str, after: &str) -> Fallback {
    Fallback::Around { before: before.to_owned(), after: after.to_owned() }
}

#[test]
fn fallbacks_are_tried_in_their_order() {
    let fallback = vec![around("", ".html"), around("pages/", ".txt"), Fallback::File("app.html".to_owned())];
    let options = StaticOptions { fallback, ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        fs::write(bench.path("about.html"), "about").unwrap();
        fs::create_dir_all(bench.path("pages/deep")).unwrap();
        fs::create_dir_all(bench.path("folder.html")).unwrap();
        fs::write(bench.path("pages/deep/x.txt"), "deep").unwrap();
        fs::write(bench.path("app.html"), "the app").unwrap();
        for (path, body) in [
            ("/a.css", "body {}"),
            ("/about", "about"),
            ("/about/", "about"),
            ("/deep/x", "deep"),
            ("/no/such/thing", "the app"),
            ("/folder", "the app"),
            // A directory without an index is no file either; one with an index is shown.
            ("/pages", "the app"),
            ("/pages/", "the app"),
            ("/docs/", "<p>docs"),
            ("/", "the app"),
            ("/.env", "the app"),
            ("/.git/about", "the app"),
        ] {
            // Twice: from the disk and from memory.
            for _ in 0..2 {
                let answer = bench.get(path).await;
                let text = String::from_utf8(answer.body).unwrap();
                assert_eq!((answer.status, &*text), (200, body), "{path}");
            }
        }
        let page = bench.get("/no/such/thing").await;
        assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
        let tag = page.field("ETag").unwrap();
        assert_eq!(bench.ask("GET", "/other", &format!("If-None-Match: {tag}\r\n")).await.status, 304);
        assert_eq!(bench.get("/docs?x").await.field("Location"), Some("/static/docs/?x"));
        assert_eq!((bench.get("/%00").await.status, bench.get("/..").await.status), (400, 400));
        assert_eq!(bench.ask("POST", "/no/such/thing", "").await.status, 405);
    });
}

#[test]
fn what_has_no_file_can_be_left_to_the_application() {
    let fallback = vec![around("", ".html"), Fallback::App];
    let options = StaticOptions { fallback, ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        fs::write(bench.path("about.html"), "about").unwrap();
        for (method, path, status) in [
            ("GET", "/about", 200),
            ("GET", "/", PASSED),
            ("HEAD", "/", PASSED),
            ("POST", "/", PASSED),
            ("OPTIONS", "/", PASSED),
            ("GET", "/login", PASSED),
            ("POST", "/login", PASSED),
            ("DELETE", "/.env", PASSED),
            ("POST", "/a.css", 405),
            ("OPTIONS", "/a.css", 204),
            ("GET", "/docs", 301),
            ("GET", "/%zz", 400),
        ] {
            assert_eq!(bench.ask(method, path, "").await.status, status, "{method} {path}");
        }
    });
}

#[test]
fn a_route_has_its_own_page_for_what_is_not_there() {
    let options = StaticOptions { not_found: Some("404.html".to_owned()), ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        assert!(String::from_utf8(bench.get("/nothing").await.body).unwrap().contains("404 Not Found"));
        fs::write(bench.path("404.html"), "lost?").unwrap();
        bench.pass(1000);
        for fields in ["", "If-None-Match: *\r\n", "Range: bytes=0-0\r\n"] {
            let answer = bench.ask("GET", "/nothing", fields).await;
            assert_eq!((answer.status, &answer.body[..]), (404, &b"lost?"[..]), "{fields}");
            assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
        }
        assert_eq!(bench.ask("HEAD", "/nothing", "").await.status, 404);
        assert_eq!(bench.get("/404.html").await.status, 200);
        // No plain page from memory in its place.
        assert!(bench.hot("/nothing").is_none());
    });
}

#[test]
fn directories_are_listed_where_that_is_asked_for() {
    let options = StaticOptions { listing: true, ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        fs::create_dir_all(bench.path("list/sub & <b>")).unwrap();
        fs::write(bench.path("list/a \"quoted\".txt"), "12345").unwrap();
        fs::write(bench.path("list/.hidden"), "").unwrap();
        symlink("../../secret", bench.path("list/out")).unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"\xff.txt");
        fs::write(bench.path("list").join(odd), "").unwrap();
        assert_eq!(bench.get("/list").await.field("Location"), Some("/static/list/"));
        let answer = bench.get("/list/").await;
        assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
        let page = String::from_utf8(answer.body).unwrap();
        for part in [
            "Index of /static/list/",
            "<a href=\"sub%20%26%20%3Cb%3E/\">sub &amp; &lt;b&gt;/</a>",
            "<a href=\"a%20%22quoted%22.txt\">a &quot;quoted&quot;.txt</a></td><td>5</td>",
            "<a href=\"%FF.txt\">\u{fffd}.txt</a>",
            "<a href=\"out\">out</a>",
            "<a href=\"?sort=name&amp;order=desc\">",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("hidden"), "{page}");
        // The links lead to what they name.
        assert_eq!(bench.get("/list/a%20%22quoted%22.txt").await.body, b"12345");
        assert_eq!(bench.get("/list/out").await.status, 404);
        let sorted = String::from_utf8(bench.get("/list/?sort=size&order=desc").await.body).unwrap();
        assert!(sorted.find("quoted") < sorted.find("FF.txt"));
        let head = bench.ask("HEAD", "/list/", "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        // An index is shown in its place.
        assert_eq!(bench.get("/docs/").await.body, b"<p>docs");
    });
}

#[test]
fn a_listing_is_bounded() {
    let options = StaticOptions { listing: true, ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        fs::create_dir_all(bench.path("many")).unwrap();
        (0..bounds::LISTING_ENTRIES_MAX + 5)
            .for_each(|n| drop(fs::File::create(bench.path("many").join(n.to_string()))));
        let page = String::from_utf8(bench.get("/many/").await.body).unwrap();
        assert_eq!(page.matches("<tr><td>").count(), bounds::LISTING_ENTRIES_MAX + 1);
        assert!(page.contains("There are more than these"));
    });
}

#[test]
fn hashed_names_are_immutable_by_themselves() {
    let options = StaticOptions {
        cache_control: Some("max-age=60".to_owned()),
        expires: Some(Expires::Epoch),
        ..StaticOptions::default()
    };
    bench_with(CacheBounds::default(), options, |bench| async move {
        const FOREVER: Option<&str> = Some("public, max-age=31536000, immutable");
        fs::write(bench.path("a.1234.css"), "hashed").unwrap();
        fs::write(bench.path("b.5678.css"), "hashed").unwrap();
        fs::write(bench.path("large.9abc.bin"), vec![b'x'; LARGE]).unwrap();
        let manifest =
            |names: &str| fs::write(bench.path("staticfiles.json"), format!("{{\"paths\": {{{names}}}}}")).unwrap();
        manifest(r#""a.css": "a.1234.css", "large.bin": "large.9abc.bin""#);
        for (path, cache_control) in [
            ("/a.css", Some("max-age=60")),
            ("/a.1234.css", FOREVER),
            ("/large.9abc.bin", FOREVER),
            ("/b.5678.css", Some("max-age=60")),
        ] {
            let answer = bench.get(path).await;
            assert_eq!((answer.status, answer.field("Cache-Control")), (200, cache_control), "{path}");
            assert_eq!(answer.field("Expires").is_none(), cache_control == FOREVER, "{path}");
            let unchanged = bench.ask("GET", path, "If-None-Match: *\r\n").await;
            assert_eq!((unchanged.status, unchanged.field("Cache-Control")), (304, cache_control), "{path}");
        }
        assert!(bench.hot("/a.1234.css").unwrap().contains("immutable"));
        // The next deploy has another manifest.
        manifest(r#""b.css": "b.5678.css""#);
        bench.pass(1000);
        assert_eq!(bench.get("/b.5678.css").await.field("Cache-Control"), FOREVER);
        assert_eq!(bench.get("/a.1234.css").await.field("Cache-Control"), Some("max-age=60"));
        // A broken one changes nothing; one that is gone names nothing.
        fs::write(bench.path("staticfiles.json"), "{").unwrap();
        bench.pass(1000);
        assert_eq!(bench.get("/b.5678.css").await.field("Cache-Control"), FOREVER);
        fs::remove_file(bench.path("staticfiles.json")).unwrap();
        bench.pass(1000);
        assert_eq!(bench.get("/b.5678.css").await.field("Cache-Control"), Some("max-age=60"));
    });
}

#[test]
fn compressed_forms_of_hashed_names_are_immutable_too() {
    bench(|bench| async move {
        fs::write(bench.path("a.1234.css"), "hashed").unwrap();
        fs::write(bench.path("a.1234.css.gz"), "gzipped").unwrap();
        let get = async |bench: &Bench| bench.ask("GET", "/a.1234.css", "Accept-Encoding: gzip\r\n").await;
        assert_eq!(get(&bench).await.field("Cache-Control"), None);
        fs::write(bench.path("staticfiles.json"), r#"{"paths": {"a.css": "a.1234.css"}}"#).unwrap();
        bench.pass(1000);
        let answer = get(&bench).await;
        assert_eq!((answer.field("Content-Encoding"), &answer.body[..]), (Some("gzip"), &b"gzipped"[..]));
        assert!(answer.field("Cache-Control").unwrap().contains("immutable"));
        assert!(bench.hot_for("/a.1234.css", "Accept-Encoding: gzip\r\n").unwrap().contains("immutable"));
    });
}

#[test]
fn a_manifest_that_is_too_large_is_not_read() {
    bench(|bench| async move {
        fs::write(bench.path("a.1234.css"), "hashed").unwrap();
        let text = r#"{"paths": {"a.css": "a.1234.css"}}"#;
        fs::write(bench.path("staticfiles.json"), text).unwrap();
        let file = fs::OpenOptions::new().write(true).open(bench.path("staticfiles.json")).unwrap();
        file.set_len(bounds::MANIFEST_BYTES_MAX + 1).unwrap();
        assert_eq!(bench.get("/a.1234.css").await.field("Cache-Control"), None);
    });
}
