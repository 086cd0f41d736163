//! Files and directories that change, and requests that meet while they are looked at.

use super::*;

#[test]
fn a_replaced_file_shows_within_a_second() {
    bench(|bench| async move {
        let old = bench.get("/a.css").await;
        fs::write(bench.path("new"), "h1 {}  ").unwrap();
        fs::rename(bench.path("new"), bench.path("a.css")).unwrap();
        bench.pass(999);
        assert_eq!(bench.get("/a.css").await.body, b"body {}");
        bench.pass(1);
        assert_eq!(bench.hot("/a.css"), None);
        let new = bench.get("/a.css").await;
        assert_eq!(new.body, b"h1 {}  ");
        assert_ne!(new.field("ETag"), old.field("ETag"));
        assert!(bench.hot("/a.css").unwrap().ends_with("h1 {}  "));
        // Grown beyond the bound, and small again.
        for (bytes, from_file) in [(vec![b'y'; LARGE], true), (b"z".to_vec(), false)] {
            fs::write(bench.path("a.css"), &bytes).unwrap();
            bench.pass(1000);
            let answer = bench.get("/a.css").await;
            assert_eq!((answer.body == bytes, answer.from_file), (true, from_file));
            assert_eq!(bench.hot("/a.css").is_some(), !from_file);
        }
    });
}

#[test]
fn bytes_read_right_after_a_change_are_read_again() {
    bench(|mut bench| async move {
        Rc::get_mut(&mut bench).unwrap().started = clock::wall_seconds();
        bench.get("/a.css").await;
        // A change that the modification time doesn't show.
        let path = bench.path("a.css");
        let times = fs::metadata(&path).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"BODY", 0).unwrap();
        file.set_modified(times).unwrap();
        bench.pass(1000);
        assert_eq!(bench.get("/a.css").await.body, b"BODY {}");
    });
}

#[test]
fn a_missing_file_is_remembered_for_a_second() {
    bench(|bench| async move {
        let raw = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let Ok(Parse::Complete { head, .. }) = head::parse(raw) else { panic!("a whole head") };
        let ready = |path: &str| bench.at(|now| bench.files.hot(&bench.root, path.as_bytes(), head.fields, now));
        assert!(ready("/new.txt").is_none());
        let answer = bench.get("/new.txt").await;
        assert_eq!(answer.status, 404);
        let hot = ready("/new.txt").expect("what is known is at hand");
        let date = String::from_utf8(date::format(bench.started).to_vec()).unwrap();
        let length = answer.body.len();
        let page = String::from_utf8(answer.body).unwrap();
        let (head, fields) = ("HTTP/1.1 404 Not Found", answer.fields);
        let wanted =
            format!("{head}\r\nDate: {date}\r\nServer: maitred\r\nContent-Length: {length}\r\n{fields}\r\n{page}");
        assert_eq!((hot.status, String::from_utf8(hot.ready.to_vec()).unwrap()), (404, wanted));
        fs::write(bench.path("new.txt"), "new").unwrap();
        bench.pass(999);
        assert_eq!(bench.get("/new.txt").await.status, 404);
        bench.pass(1);
        assert_eq!(bench.get("/new.txt").await.body, b"new");
    });
}

#[test]
fn a_root_that_a_deploy_swaps_is_followed() {
    bench(|mut bench| async move {
        let current = bench.site.path().join("current");
        symlink("root", &current).unwrap();
        let root = StaticRoot::open(&current, StaticOptions::default()).unwrap();
        Rc::get_mut(&mut bench).unwrap().root = root;
        assert_eq!(bench.get("/a.css").await.body, b"body {}");
        bench.pass(900);
        assert_eq!(bench.get("/docs/").await.body, b"<p>docs");
        let release = bench.site.path().join("release");
        fs::create_dir(&release).unwrap();
        fs::write(release.join("a.css"), "p {}").unwrap();
        symlink("release", bench.site.path().join("next")).unwrap();
        fs::rename(bench.site.path().join("next"), &current).unwrap();
        bench.pass(100);
        // The root is looked at again, so that what was learnt beneath the old one lately doesn't count either.
        assert_eq!(bench.hot("/docs/"), None);
        assert_eq!(bench.get("/docs/").await.status, 404);
        assert_eq!(bench.hot("/a.css"), None);
        assert_eq!(bench.get("/a.css").await.body, b"p {}");
        // Gone altogether: what is open is served on.
        fs::remove_file(&current).unwrap();
        bench.pass(1000);
        assert_eq!(bench.get("/a.css").await.body, b"p {}");
    });
}

#[test]
fn many_requests_look_once() {
    bench(|bench| async move {
        let tasks: Vec<_> = (0..50).map(|_| bench.spawn_find("a.css")).collect();
        let mut bodies = Vec::new();
        for task in tasks {
            let Found::Small(small) = task.await else { panic!("a small file") };
            bodies.push(small.ready);
        }
        assert!(bodies.iter().all(|body| Rc::ptr_eq(body, &bodies[0])));
    });
}

#[test]
fn while_one_looks_again_others_are_answered_from_what_was_known() {
    bench(|bench| async move {
        bench.get("/a.css").await;
        fs::write(bench.path("a.css"), "new {}").unwrap();
        for (elapsed, others) in [(1500, &b"body {}"[..]), (5000, b"newer")] {
            bench.pass(elapsed);
            // The root is fresh, so that both meet at the file.
            bench.get("/nothing").await;
            let looking = {
                let bench = bench.clone();
                glommio::spawn_local(async move { bench.get("/a.css").await.body })
            };
            while bench.files.cache.is_idle() {
                glommio::executor().yield_task_queue_now().await;
            }
            let other = bench.get("/a.css").await.body;
            assert_eq!(other, others, "after {elapsed} ms");
            looking.await;
            assert_eq!(bench.get("/a.css").await.body, if elapsed == 1500 { &b"new {}"[..] } else { b"newer" });
            fs::write(bench.path("a.css"), "newer").unwrap();
        }
    });
}

#[test]
fn who_leaves_in_the_middle_leaves_the_look_to_another() {
    bench(|bench| async move {
        // First in the look at the root, then, with the root just looked at, in the look at the file.
        for path in ["docs/", "a.css"] {
            let leader = bench.spawn_find(path);
            let follower = bench.spawn_find(path);
            while bench.ring.in_flight() == 0 {
                glommio::executor().yield_task_queue_now().await;
            }
            leader.cancel().await;
            assert!(matches!(follower.await, Found::Small(_)), "{path}");
        }
        assert!(bench.files.cache.is_idle());
    });
}

#[test]
fn a_file_that_changes_while_it_is_read_never_gets_a_tag_of_its_own() {
    bench(|bench| async move {
        let path = bench.path("log.txt");
        fs::write(&path, "0").unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (path, stop) = (path.clone(), stop.clone());
            move || {
                let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
                let mut written = 1;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) && written < 60_000 {
                    written += file.write(b"0").unwrap();
                }
            }
        });
        for _ in 0..200 {
            bench.pass(1000);
            let answer = bench.get("/log.txt").await;
            assert_eq!(answer.status, 200);
            match answer.field("ETag") {
                Some(etag) => {
                    let size = u64::from_str_radix(etag.trim_matches('"').split_once('-').unwrap().1, 16).unwrap();
                    assert_eq!(size, answer.body.len() as u64);
                }
                None => assert_eq!((answer.field("Cache-Control"), answer.from_file), (Some("no-store"), true)),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn a_large_file_that_is_overwritten_shows_at_once() {
    bench(|bench| async move {
        let old = bench.get("/large.bin").await;
        let past = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = fs::OpenOptions::new().write(true).open(bench.path("large.bin")).unwrap();
        file.set_modified(past).unwrap();
        bench.pass(1000);
        let settled = bench.get("/large.bin").await;
        file.write_all_at(b"y", 0).unwrap();
        let new = bench.get("/large.bin").await;
        assert_eq!((settled.body[0], new.body[0]), (b'x', b'y'));
        let tags = [&old, &settled, &new].map(|answer| answer.field("ETag").unwrap());
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    });
}
