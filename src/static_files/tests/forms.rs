//! Compressed forms: siblings, and what the server compresses itself.

use super::*;
use crate::config::Levels;
use std::path::Path;
use std::time::SystemTime;

const CSS: &str = "p { margin: 0 auto; padding: 0 }\n";
const BR: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";
const GZIP: &str = "Accept-Encoding: gzip\r\n";

/// Writes a file that was last changed `age` ago.
fn put(path: &Path, bytes: impl AsRef<[u8]>, age: u64) {
    fs::write(path, bytes).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
}

fn compressing() -> StaticOptions {
    StaticOptions { compress: Some(Levels::USUAL), ..StaticOptions::default() }
}

impl Bench {
    /// Asks until the answer has the coding: meanwhile the helper is at work.
    async fn ask_until_encoded(&self, path: &str, fields: &str, coding: &str) -> Answer {
        for _ in 0..100_000 {
            let answer = self.ask("GET", path, fields).await;
            assert_eq!((answer.status, answer.field("Vary")), (200, Some("Accept-Encoding")));
            if answer.field("Content-Encoding") == Some(coding) {
                return answer;
            }
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
        panic!("{path} never came as {coding}");
    }
}

#[test]
fn a_sibling_is_sent_to_who_accepts_it() {
    bench(|bench| async move {
        put(&bench.path("b.css"), CSS.repeat(50), 100);
        put(&bench.path("b.css.br"), "brotli", 100);
        put(&bench.path("b.css.gz"), "gzipped", 50);
        let mut tags = Vec::new();
        for (fields, coding, body) in [
            ("", None, &*CSS.repeat(50)),
            (BR, Some("br"), "brotli"),
            (GZIP, Some("gzip"), "gzipped"),
            ("Accept-Encoding: zstd, gzip;q=0.2\r\n", Some("gzip"), "gzipped"),
            ("Accept-Encoding: br;q=0, *\r\n", Some("gzip"), "gzipped"),
            ("Accept-Encoding: identity, br;q=0.5\r\n", None, &*CSS.repeat(50)),
        ] {
            let answer = bench.ask("GET", "/b.css", fields).await;
            assert_eq!((answer.status, answer.field("Content-Encoding")), (200, coding), "{fields}");
            assert_eq!(String::from_utf8(answer.body.clone()).unwrap(), body, "{fields}");
            assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(answer.field("Content-Type"), Some("text/css; charset=utf-8"));
            let etag = answer.field("ETag").unwrap().to_owned();
            // From memory, the same in every byte.
            let hot = bench.hot_for("/b.css", fields).expect("at hand");
            assert!(hot.ends_with(body) && hot.contains(&answer.fields), "{hot}");
            // Preconditions and ranges are about the form that is sent.
            let unchanged = bench.ask("GET", "/b.css", &format!("{fields}If-None-Match: {etag}\r\n")).await;
            assert_eq!((unchanged.status, unchanged.field("Vary")), (304, Some("Accept-Encoding")));
            let part = bench.ask("GET", "/b.css", &format!("{fields}Range: bytes=1-2\r\n")).await;
            assert_eq!(
                (part.status, part.field("Content-Encoding"), &part.body[..]),
                (206, coding, &body.as_bytes()[1..3])
            );
            let head = bench.ask("HEAD", "/b.css", fields).await;
            assert_eq!((head.status, head.fields), (200, answer.fields));
            tags.push(etag);
        }
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    });
}

#[test]
fn without_siblings_nothing_varies() {
    bench(|bench| async move {
        let answer = bench.ask("GET", "/a.css", BR).await;
        assert_eq!((answer.field("Vary"), answer.field("Content-Encoding")), (None, None));
        // A picture is not asked for a sibling.
        put(&bench.path("a.png"), "png", 100);
        put(&bench.path("a.png.gz"), "gzipped", 100);
        let answer = bench.ask("GET", "/a.png", GZIP).await;
        assert_eq!((answer.field("Vary"), &answer.body[..]), (None, &b"png"[..]));
        // By its own name a sibling is a file like others.
        put(&bench.path("a.css.gz"), "gzipped", 0);
        let answer = bench.ask("GET", "/a.css.gz", GZIP).await;
        assert_eq!((answer.field("Content-Type"), answer.field("Content-Encoding")), (Some("application/gzip"), None));
    });
}

#[test]
fn siblings_can_be_left_alone() {
    let options = StaticOptions { precompressed: false, ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        put(&bench.path("a.css.gz"), "gzipped", 0);
        let answer = bench.ask("GET", "/a.css", GZIP).await;
        assert_eq!((answer.field("Vary"), &answer.body[..]), (None, &b"body {}"[..]));
    });
}

#[test]
fn a_sibling_that_is_older_or_no_file_or_leads_out_is_not_served() {
    bench(|bench| async move {
        put(&bench.path("b.css"), "plain", 100);
        put(&bench.path("b.css.br"), "older", 101);
        fs::create_dir(bench.path("b.css.zst")).unwrap();
        put(&bench.site.path().join("secret"), "secret", 0);
        symlink("../secret", bench.path("b.css.gz")).unwrap();
        for fields in [BR, GZIP] {
            let answer = bench.ask("GET", "/b.css", fields).await;
            assert_eq!((answer.field("Content-Encoding"), &answer.body[..]), (None, &b"plain"[..]));
        }
    });
}

#[test]
fn changes_of_file_and_sibling_show_within_a_second() {
    bench(|bench| async move {
        put(&bench.path("b.css"), "plain", 100);
        put(&bench.path("b.css.gz"), "gzipped", 90);
        let body = async |bench: &Bench| String::from_utf8(bench.ask("GET", "/b.css", GZIP).await.body).unwrap();
        assert_eq!(body(&bench).await, "gzipped");
        // The sibling is made anew.
        put(&bench.path("b.css.gz"), "gzipped again", 80);
        bench.pass(1000);
        assert_eq!(body(&bench).await, "gzipped again");
        assert!(bench.hot_for("/b.css", GZIP).unwrap().ends_with("gzipped again"));
        // The file is: its sibling is older then.
        put(&bench.path("b.css"), "plain again", 70);
        bench.pass(1000);
        assert_eq!(body(&bench).await, "plain again");
        put(&bench.path("b.css.gz"), "third", 60);
        bench.pass(1000);
        assert_eq!(body(&bench).await, "third");
        // And goes.
        fs::remove_file(bench.path("b.css.gz")).unwrap();
        bench.pass(1000);
        assert_eq!(body(&bench).await, "plain again");
        assert!(bench.hot_for("/b.css", GZIP).unwrap().ends_with("plain again"));
    });
}

#[test]
fn large_files_may_have_small_siblings_and_large_ones() {
    bench(|bench| async move {
        put(&bench.path("b.js"), vec![b'x'; LARGE], 100);
        put(&bench.path("b.js.br"), "brotli", 100);
        put(&bench.path("b.js.gz"), vec![b'g'; LARGE - 1], 100);
        let answer = bench.ask("GET", "/b.js", BR).await;
        assert_eq!((&answer.body[..], answer.from_file), (&b"brotli"[..], false));
        assert!(bench.hot_for("/b.js", BR).unwrap().ends_with("brotli"));
        let answer = bench.ask("GET", "/b.js", GZIP).await;
        assert_eq!((answer.body.len(), answer.from_file), (LARGE - 1, true));
        assert_eq!(answer.field("Content-Encoding"), Some("gzip"));
        assert!(bench.hot_for("/b.js", "").is_none());
    });
}

#[test]
fn an_index_has_siblings_too() {
    bench(|bench| async move {
        put(&bench.path("docs/index.html"), "plain", 100);
        put(&bench.path("docs/index.html.gz"), "gzipped", 100);
        assert_eq!(bench.ask("GET", "/docs/", GZIP).await.body, b"gzipped");
        assert!(bench.hot_for("/docs/", GZIP).unwrap().ends_with("gzipped"));
    });
}

#[test]
fn what_has_no_sibling_is_compressed_once() {
    bench_with(CacheBounds::default(), compressing(), |bench| async move {
        let text = CSS.repeat(100);
        put(&bench.path("b.css"), &text, 100);
        let plain = bench.get("/b.css").await;
        assert_eq!((plain.field("Vary"), plain.body.len()), (Some("Accept-Encoding"), text.len()));
        let mut tags = vec![plain.field("ETag").unwrap().to_owned()];
        for (fields, coding) in [(BR, "br"), (GZIP, "gzip"), ("Accept-Encoding: zstd\r\n", "zstd")] {
            let answer = bench.ask_until_encoded("/b.css", fields, coding).await;
            let mut out = Vec::new();
            use std::io::Read;
            match coding {
                "br" => brotli::Decompressor::new(&answer.body[..], 4096).read_to_end(&mut out),
                "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut out),
                _ => zstd::stream::read::Decoder::new(&answer.body[..]).unwrap().read_to_end(&mut out),
            }
            .unwrap();
            assert!(out == text.as_bytes() && answer.body.len() < text.len());
            tags.push(answer.field("ETag").unwrap().to_owned());
            assert!(bench.hot_for("/b.css", fields).is_some());
            // It stays what it is while the file does.
            bench.pass(1000);
            let again = bench.ask("GET", "/b.css", fields).await;
            assert!(again.body == answer.body && again.fields == answer.fields);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4);
        // What was compressed of the old file is never sent for the new one.
        put(&bench.path("b.css"), "q {}\n".repeat(100), 50);
        bench.pass(1000);
        assert!(bench.ask("GET", "/b.css", GZIP).await.body == "q {}\n".repeat(100).as_bytes());
        assert!(bench.ask_until_encoded("/b.css", GZIP, "gzip").await.field("ETag") != Some(&tags[2]));
    });
}

#[test]
fn large_files_are_compressed_from_the_disk() {
    bench_with(CacheBounds::default(), compressing(), |bench| async move {
        put(&bench.path("b.js"), vec![b'x'; 10 * LARGE], 100);
        let answer = bench.ask_until_encoded("/b.js", BR, "br").await;
        assert!(!answer.from_file && answer.body.len() < LARGE);
        assert!(bench.hot_for("/b.js", BR).is_some());
    });
}

#[test]
fn what_is_small_huge_random_or_no_text_is_not_compressed() {
    bench_with(CacheBounds::default(), compressing(), |bench| async move {
        put(&bench.path("small.css"), "x".repeat(255), 100);
        put(&bench.path("picture.png"), "x".repeat(1000), 100);
        fs::File::create(bench.path("huge.txt")).unwrap().set_len(bounds::COMPRESSED_BYTES_MAX + 1).unwrap();
        for path in ["/small.css", "/picture.png", "/huge.txt"] {
            assert_eq!(bench.ask("GET", path, BR).await.field("Vary"), None, "{path}");
        }
        let mut state = 1u64;
        let random: Vec<u8> = (0..1000)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        put(&bench.path("random.txt"), &random, 100);
        // Once that is known, the file is at hand as it is.
        let mut tries = 0;
        while bench.hot_for("/random.txt", GZIP).is_none() {
            let answer = bench.ask("GET", "/random.txt", GZIP).await;
            assert!(answer.field("Content-Encoding").is_none() && answer.body == random);
            tries += 1;
            assert!(tries < 20_000, "it is not known to be useless");
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_sibling_is_sent_while_a_better_form_is_made() {
    bench_with(CacheBounds::default(), compressing(), |bench| async move {
        put(&bench.path("b.css"), CSS.repeat(100), 100);
        put(&bench.path("b.css.gz"), "gzipped", 100);
        let answer = bench.ask("GET", "/b.css", BR).await;
        assert_eq!((answer.field("Content-Encoding"), &answer.body[..]), (Some("gzip"), &b"gzipped"[..]));
        assert!(bench.ask_until_encoded("/b.css", BR, "br").await.body.len() > 7);
    });
}
