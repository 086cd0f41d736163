//! Methods, preconditions and ranges.

use super::*;

#[test]
fn methods() {
    bench(|bench| async move {
        for path in ["/a.css", "/large.bin", "/nothing"] {
            let (get, head) = (bench.get(path).await, bench.ask("HEAD", path, "").await);
            assert_eq!((get.status, &get.fields, head.body.len()), (head.status, &head.fields, 0), "{path}");
        }
        let post = bench.ask("POST", "/a.css", "").await;
        assert_eq!((post.status, post.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
        let options = bench.ask("OPTIONS", "/a.css", "").await;
        assert_eq!((options.status, options.field("Allow"), options.body.len()), (204, Some("GET, HEAD, OPTIONS"), 0));
    });
}

#[test]
fn preconditions() {
    bench(|bench| async move {
        for path in ["/a.css", "/large.bin"] {
            let get = bench.get(path).await;
            let (etag, modified) = (get.field("ETag").unwrap(), get.field("Last-Modified").unwrap());
            for (fields, status) in [
                (format!("If-None-Match: {etag}\r\n"), 304),
                (format!("If-None-Match: \"x\", W/{etag}\r\n"), 304),
                ("If-None-Match: *\r\n".to_owned(), 304),
                ("If-None-Match: \"x\"\r\n".to_owned(), 200),
                (format!("If-Modified-Since: {modified}\r\n"), 304),
                ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), 200),
                (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"), 200),
                ("If-Match: \"x\"\r\n".to_owned(), 412),
                (format!("If-Match: {etag}\r\n"), 200),
            ] {
                let answer = bench.ask("GET", path, &fields).await;
                assert_eq!(answer.status, status, "{path} {fields}");
                if status == 304 {
                    assert_eq!((answer.fields, answer.body.len()), (format!("ETag: {etag}\r\n"), 0));
                }
            }
        }
    });
}

#[test]
fn ranges() {
    bench(|bench| async move {
        let etag = bench.get("/a.css").await.field("ETag").unwrap().to_owned();
        for (fields, status, content_range, body) in [
            ("Range: bytes=0-3\r\n", 206, Some("bytes 0-3/7"), "body"),
            ("Range: bytes=5-\r\n", 206, Some("bytes 5-6/7"), "{}"),
            ("Range: bytes=-2\r\n", 206, Some("bytes 5-6/7"), "{}"),
            ("Range: bytes=0-99\r\n", 206, Some("bytes 0-6/7"), "body {}"),
            ("Range: bytes=0-0,1-2\r\n", 206, Some("bytes 0-2/7"), "bod"),
            ("Range: bytes=0-0,9-\r\n", 206, Some("bytes 0-0/7"), "b"),
            ("Range: lines=0-0\r\n", 200, None, "body {}"),
            ("Range: bytes=0-3\r\nIf-Range: \"x\"\r\n", 200, None, "body {}"),
        ] {
            let answer = bench.ask("GET", "/a.css", fields).await;
            assert_eq!((answer.status, answer.field("Content-Range")), (status, content_range), "{fields}");
            assert_eq!(String::from_utf8(answer.body).unwrap(), body, "{fields}");
        }
        let matching = bench.ask("GET", "/a.css", &format!("Range: bytes=0-3\r\nIf-Range: {etag}\r\n")).await;
        assert_eq!((matching.status, matching.field("ETag")), (206, Some(&etag[..])));
        let beyond = bench.ask("GET", "/a.css", "Range: bytes=7-\r\n").await;
        assert_eq!((beyond.status, beyond.field("Content-Range")), (416, Some("bytes */7")));
        let large = bench.ask("GET", "/large.bin", "Range: bytes=99990-\r\n").await;
        assert_eq!((large.status, large.field("Content-Range")), (206, Some("bytes 99990-99999/100000")));
        assert_eq!((large.body, large.from_file), (vec![b'x'; 10], true));
    });
}

#[test]
fn several_ranges_come_as_multipart() {
    bench(|bench| async move {
        for (path, total, from_file) in [("/a.css", "7", false), ("/large.bin", "100000", true)] {
            let whole = bench.get(path).await;
            let answer = bench.ask("GET", path, "Range: bytes=5-,0-0,2-3\r\n").await;
            assert_eq!((answer.status, answer.from_file, answer.field("Content-Range")), (206, from_file, None));
            assert_eq!(answer.field("ETag"), whole.field("ETag"));
            let media = answer.field("Content-Type").unwrap();
            let boundary = media.strip_prefix("multipart/byteranges; boundary=").expect("the type of several parts");
            let body = std::str::from_utf8(&answer.body).unwrap();
            let delimiter = format!("\r\n--{boundary}");
            let mut parts = body.split(&delimiter);
            assert_eq!(parts.next(), Some(""));
            for range in [5..whole.body.len(), 0..1, 2..4] {
                let bytes = std::str::from_utf8(&whole.body[range.clone()]).unwrap();
                let (media, last) = (whole.field("Content-Type").unwrap(), range.end - 1);
                let head = format!("Content-Type: {media}\r\nContent-Range: bytes {}-{last}/{total}", range.start);
                assert!(parts.next() == Some(&format!("\r\n{head}\r\n\r\n{bytes}")), "{path} {range:?}");
            }
            assert_eq!((parts.next(), parts.next()), (Some("--\r\n"), None));
        }
        let many =
            format!("Range: bytes={}\r\n", (0..17).map(|n| format!("{0}-{0}", 2 * n)).collect::<Vec<_>>().join(","));
        assert_eq!(bench.ask("GET", "/large.bin", &many).await.status, 200);
        let head = bench.ask("HEAD", "/large.bin", "Range: bytes=0-0,2-3\r\n").await;
        assert_eq!((head.status, head.field("Content-Range")), (200, None));
    });
}
