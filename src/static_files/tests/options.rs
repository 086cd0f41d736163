//! What a route's options change.

use super::*;

#[test]
fn without_an_index_directories_are_not_served() {
    let options = StaticOptions { index: Vec::new(), ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        assert_eq!(bench.get("/docs/").await.status, 403);
    });
}

#[test]
fn symlinks_can_be_refused() {
    let options = StaticOptions { symlinks: false, ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        symlink("a.css", bench.path("link.css")).unwrap();
        symlink("docs", bench.path("link")).unwrap();
        symlink("../a.css", bench.path("docs/up.css")).unwrap();
        for (path, status) in
            [("/a.css", 200), ("/docs/", 200), ("/link.css", 403), ("/link/index.html", 403), ("/docs/up.css", 403)]
        {
            assert_eq!(bench.get(path).await.status, status, "{path}");
        }
    });
}

#[test]
fn dotfiles_can_be_allowed() {
    let options = StaticOptions { dotfiles: true, ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        fs::write(bench.path(".env"), "KEY=1").unwrap();
        assert_eq!(bench.get("/.env").await.body, b"KEY=1");
    });
}

#[test]
fn types_nosniff_and_expiry_of_the_route() {
    let options = StaticOptions {
        types: vec![("css".to_owned(), "text/x-css".to_owned())],
        nosniff: true,
        expires: Some(Expires::After(Duration::from_secs(60))),
        ..StaticOptions::default()
    };
    bench_with(CacheBounds::default(), options, |bench| async move {
        let expires = |seconds: u64| String::from_utf8(date::format(bench.started + seconds + 60).to_vec()).unwrap();
        let answer = bench.get("/a.css").await;
        assert_eq!(answer.field("Content-Type"), Some("text/x-css"));
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.field("Cache-Control"), Some("max-age=60"));
        assert_eq!(answer.field("Expires"), Some(&*expires(0)));
        bench.pass(1000);
        bench.get("/a.css").await;
        assert!(bench.hot("/a.css").unwrap().contains(&format!("\r\nExpires: {}\r\n", expires(1))));
        let unchanged = bench.ask("GET", "/a.css", "If-None-Match: *\r\n").await;
        assert_eq!(unchanged.status, 304);
        assert_eq!(
            (unchanged.field("Expires"), unchanged.field("Cache-Control")),
            (Some(&*expires(1)), Some("max-age=60"))
        );
    });
}
