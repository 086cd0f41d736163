//! Static files against real directories and the real kernel; the time is the tests' own.

mod changes;
mod forms;
mod names;
mod options;
mod ranges;

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::rc::Rc;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};
use tempfile::TempDir;

use super::*;
use crate::base::clock;
use crate::config::{Expires, StaticOptions};
use crate::http::date;
use crate::http::head::{self, Parse};
use crate::response::Part;
use crate::ring::RingConfig;

const LARGE: usize = 100_000;
/// The status that stands for a request that is left to the application.
const PASSED: u16 = 299;

fn bytes_of(file: &FileRange) -> Vec<u8> {
    let mut bytes = vec![0; file.length() as usize];
    let open = fs::File::from(file.file.try_clone().expect("a descriptor"));
    open.read_exact_at(&mut bytes, file.range.start).expect("the whole range");
    bytes
}

/// A root with files in it, a cache, and a clock.
struct Bench {
    site: TempDir,
    files: StaticFiles,
    root: StaticRoot,
    ring: Ring,
    elapsed: Cell<Duration>,
    started: u64,
}

struct Answer {
    status: u16,
    fields: String,
    body: Vec<u8>,
    from_file: bool,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Bench {
    fn new(ring: Ring, bounds: CacheBounds, options: StaticOptions) -> Bench {
        let site = tempfile::tempdir().expect("a temporary directory");
        let at = site.path();
        fs::create_dir_all(at.join("root/docs")).unwrap();
        fs::write(at.join("root/a.css"), "body {}").unwrap();
        fs::write(at.join("root/large.bin"), vec![b'x'; LARGE]).unwrap();
        fs::write(at.join("root/docs/index.html"), "<p>docs").unwrap();
        fs::write(at.join("secret"), "secret").unwrap();
        let root = StaticRoot::open(&at.join("root"), options).expect("the root is there");
        let files = StaticFiles::new(ring.clone(), bounds);
        Bench { site, files, root, ring, elapsed: Cell::default(), started: clock::wall_seconds() + 10 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.site.path().join("root").join(name)
    }

    fn pass(&self, milliseconds: u64) {
        self.elapsed.set(self.elapsed.get() + Duration::from_millis(milliseconds));
    }

    fn at<T>(&self, body: impl FnOnce(&Now<'_>) -> T) -> T {
        let wall_seconds = self.started + self.elapsed.get().as_secs();
        let monotonic = Monotonic::from_nanos(1 << 40) + self.elapsed.get();
        body(&Now { monotonic, wall_seconds, date: &date::format(wall_seconds) })
    }

    fn hot(&self, path: &str) -> Option<String> {
        self.hot_for(path, "")
    }

    fn hot_for(&self, path: &str, fields: &str) -> Option<String> {
        let raw = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let Ok(Parse::Complete { head, .. }) = head::parse(raw.as_bytes()) else { panic!("a whole head") };
        let hot = self.at(|now| self.files.hot(&self.root, path.as_bytes(), head.fields, now))?;
        (hot.status == 200).then(|| String::from_utf8_lossy(&hot.ready).into_owned())
    }

    async fn ask(&self, method: &str, path: &str, fields: &str) -> Answer {
        let raw = format!("{method} /static{path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let Parse::Complete { head, .. } = head::parse(raw.as_bytes()).expect("a valid head") else {
            panic!("a whole head")
        };
        let target = head.target.path_query().expect("a path");
        let request = StaticRequest {
            method: head.method,
            path: &target.path["/static".len()..],
            full_path: target.path,
            query: target.query,
            fields: head.fields,
            conditional: head.conditional,
        };
        let wall_seconds = self.started + self.elapsed.get().as_secs();
        let monotonic = Monotonic::from_nanos(1 << 40) + self.elapsed.get();
        let now = Now { monotonic, wall_seconds, date: &date::format(wall_seconds) };
        let response = match self.files.serve(&self.root, &request, &now).await {
            super::Answer::Response(response) => response,
            super::Answer::Pass => Response::new(PASSED),
        };
        let (body, from_file) = match response.body {
            Body::Empty { .. } => (Vec::new(), false),
            Body::Bytes(payload) => (payload.to_vec(), false),
            Body::File(file) => (bytes_of(&file), true),
            Body::Parts(parts) => {
                let from_file = parts.iter().any(|part| matches!(part, Part::File(_)));
                let bytes = parts.iter().flat_map(|part| match part {
                    Part::Bytes(payload) => payload.to_vec(),
                    Part::File(file) => bytes_of(file),
                });
                (bytes.collect(), from_file)
            }
        };
        Answer { status: response.status, fields: String::from_utf8(response.fields).expect("text"), body, from_file }
    }

    fn spawn_find(self: &Rc<Self>, path: &'static str) -> glommio::Task<Found> {
        let bench = self.clone();
        glommio::spawn_local(async move {
            let wall_seconds = bench.started;
            let now =
                Now { monotonic: Monotonic::from_nanos(1 << 40), wall_seconds, date: &date::format(wall_seconds) };
            bench.files.cache.find(&bench.root, path.as_bytes(), &now).await
        })
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
}

fn bench<F: Future<Output = ()> + 'static>(body: impl FnOnce(Rc<Bench>) -> F + Send + 'static) {
    bench_with(CacheBounds::default(), StaticOptions::default(), body);
}

/// Runs `body` on an executor with a ring.
pub(super) fn on_a_ring<F: Future<Output = ()> + 'static>(body: impl FnOnce(Ring) -> F + Send + 'static) {
    LocalExecutorBuilder::new(Placement::Unbound)
        // Out of reach: glommio may go to sleep on runnable tasks when this timer fires.
        .preempt_timer(Duration::from_secs(24 * 60 * 60))
        .spawn(move || async move {
            let (ring, driver) = Ring::new(RingConfig::default()).expect("io_uring is permitted here");
            let driver = glommio::spawn_local(driver.run());
            body(ring.clone()).await;
            ring.close();
            driver.await;
        })
        .expect("an executor")
        .join()
        .expect("no panic on the executor");
}

fn bench_with<F: Future<Output = ()> + 'static>(
    bounds: CacheBounds,
    options: StaticOptions,
    body: impl FnOnce(Rc<Bench>) -> F + Send + 'static,
) {
    on_a_ring(move |ring| async move { body(Rc::new(Bench::new(ring, bounds, options))).await });
}

#[test]
fn a_small_file_becomes_a_ready_response() {
    let options = StaticOptions { cache_control: Some("max-age=60".to_owned()), ..StaticOptions::default() };
    bench_with(CacheBounds::default(), options, |bench| async move {
        assert_eq!(bench.hot("/a.css"), None);
        let answer = bench.get("/a.css").await;
        assert_eq!((answer.status, &answer.body[..], answer.from_file), (200, &b"body {}"[..], false));
        assert_eq!(answer.field("Content-Type"), Some("text/css; charset=utf-8"));
        assert_eq!(answer.field("Accept-Ranges"), Some("bytes"));
        assert_eq!(answer.field("Cache-Control"), Some("max-age=60"));
        let modified = fs::metadata(bench.path("a.css")).unwrap();
        let modified_ns = i128::from(modified.mtime()) * 1_000_000_000 + i128::from(modified.mtime_nsec());
        assert_eq!(answer.field("ETag").unwrap(), format!("\"{modified_ns:x}-7\""));
        assert_eq!(answer.field("Last-Modified").unwrap().as_bytes(), date::format(modified.mtime() as u64));
        let date = String::from_utf8(date::format(bench.started).to_vec()).unwrap();
        let head =
            format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nServer: maitred\r\nContent-Length: 7\r\n{}\r\n", answer.fields);
        assert_eq!(bench.hot("/a.css").unwrap(), head + "body {}");
        assert_eq!(bench.hot("a.css"), bench.hot("/a.css"));
        assert_eq!(
            (bench.hot("/a%2ecss"), bench.hot("//a.css"), bench.hot("/./a.css"), bench.hot("/b.css")),
            (None, None, None, None)
        );
        bench.pass(999);
        assert!(bench.hot("/a.css").is_some());
        bench.pass(1);
        assert_eq!(bench.hot("/a.css"), None);
        assert_eq!(bench.get("/%61.css").await.status, 200);
        let date = String::from_utf8(date::format(bench.started + 1).to_vec()).unwrap();
        assert!(bench.hot("/a.css").unwrap().contains(&date));
    });
}

#[test]
fn a_large_file_stays_open() {
    bench(|bench| async move {
        let answer = bench.get("/large.bin").await;
        assert_eq!((answer.status, answer.body.len(), answer.from_file), (200, LARGE, true));
        assert_eq!(answer.field("Content-Type"), Some("application/octet-stream"));
        // Gone from the directory, but what was known counts for a second.
        fs::remove_file(bench.path("large.bin")).unwrap();
        bench.pass(900);
        assert_eq!(bench.get("/large.bin").await.status, 200);
        bench.pass(100);
        assert_eq!(bench.get("/large.bin").await.status, 404);
        assert_eq!(bench.hot("/large.bin"), None);
    });
}

#[test]
fn idle_descriptors_are_closed() {
    bench(|bench| async move {
        bench.get("/large.bin").await;
        bench.at(|now| bench.files.trim(now));
        assert_eq!(bench.files.cache.open_files(), 1);
        bench.pass(10_000);
        bench.at(|now| bench.files.trim(now));
        assert_eq!(bench.files.cache.open_files(), 0);
    });
}

#[test]
fn nothing_outside_the_root() {
    bench(|bench| async move {
        let secret = bench.site.path().join("secret");
        symlink("../secret", bench.path("out")).unwrap();
        symlink(&secret, bench.path("absolute")).unwrap();
        symlink("..", bench.path("up")).unwrap();
        symlink("a.css", bench.path("inside.css")).unwrap();
        symlink("loop", bench.path("loop")).unwrap();
        for (path, status) in [
            ("/../secret", 400),
            ("/%2e%2e/secret", 400),
            ("/%2e%2e%2fsecret", 400),
            ("/docs/../../secret", 400),
            ("/docs/..%2f..%2fsecret", 400),
            ("/%00", 400),
            ("/%zz", 400),
            ("/%2fetc/passwd", 404),
            ("//etc/passwd", 404),
            ("/..\\secret", 404),
            ("/out", 404),
            ("/absolute", 404),
            ("/up/secret", 404),
            ("/loop", 404),
            ("/a.css/", 404),
            ("/a.css/b", 404),
            ("/inside.css", 200),
            ("/docs/../a.css", 200),
        ] {
            let answer = bench.get(path).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(!answer.body.windows(6).any(|bytes| bytes == b"secret"), "{path}");
        }
        let long = format!("/{}", "n".repeat(300));
        assert_eq!(bench.get(&long).await.status, 404);
    });
}

#[test]
fn directories() {
    bench(|bench| async move {
        let redirect = bench.get("/docs?a=1").await;
        assert_eq!((redirect.status, redirect.field("Location")), (301, Some("/static/docs/?a=1")));
        let index = bench.get("/docs/").await;
        assert_eq!((index.status, index.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
        assert!(bench.hot("/docs/").unwrap().ends_with("<p>docs"));
        assert_eq!(bench.get("/").await.status, 403);
        fs::write(bench.path("index.html"), "home").unwrap();
        bench.pass(1000);
        assert_eq!(bench.get("/").await.body, b"home");
        assert!(bench.hot("").is_some() && bench.hot("/").is_some());
    });
}

#[test]
fn what_is_no_file_for_everybody() {
    bench(|bench| async move {
        fs::create_dir_all(bench.path(".well-known")).unwrap();
        fs::write(bench.path(".well-known/security.txt"), "Contact").unwrap();
        fs::create_dir_all(bench.path(".git")).unwrap();
        fs::write(bench.path(".git/config"), "[core]").unwrap();
        fs::write(bench.path(".env"), "KEY=1").unwrap();
        let fifo = std::ffi::CString::new(bench.path("fifo").to_str().unwrap()).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &*fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
        for (path, status) in [
            ("/.well-known/security.txt", 200),
            ("/.git/config", 404),
            ("/%2egit/config", 404),
            ("/.env", 404),
            ("/fifo", 404),
            ("/socket", 404),
        ] {
            assert_eq!(bench.get(path).await.status, status, "{path}");
        }
    });
}

#[test]
fn an_unreadable_file_is_forbidden() {
    if rustix::process::geteuid().is_root() {
        // Root may read everything; `errors_and_their_statuses` covers the mapping.
        return;
    }
    bench(|bench| async move {
        fs::set_permissions(bench.path("a.css"), fs::Permissions::from_mode(0o000)).unwrap();
        assert_eq!(bench.get("/a.css").await.status, 403);
    });
}

#[test]
fn errors_and_their_statuses() {
    for (error, status) in [
        (libc::EACCES, 403),
        (libc::ENOENT, 404),
        (libc::ENOTDIR, 404),
        (libc::ENAMETOOLONG, 404),
        (libc::ELOOP, 404),
        (libc::EXDEV, 404),
        (libc::EMFILE, 503),
        (libc::EIO, 500),
    ] {
        let error = std::io::Error::from_raw_os_error(error);
        assert_eq!(resolve::Failure::of(&error, b"x", true).status(), status, "{error}");
    }
}

#[test]
fn a_root_that_is_not_there_is_named() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("file"), "").unwrap();
    for name in ["nowhere", "file"] {
        let error = StaticRoot::open(&site.path().join(name), StaticOptions::default()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn the_cache_is_bounded() {
    let bounds = CacheBounds { entries: 2, file_max: 10, ..CacheBounds::default() };
    bench_with(bounds, StaticOptions::default(), |bench| async move {
        for name in ["1", "2", "3"] {
            fs::write(bench.path(name), "0123456789").unwrap();
        }
        fs::write(bench.path("4"), "0123456789+").unwrap();
        for path in ["/1", "/2", "/3"] {
            assert!(!bench.get(path).await.from_file);
        }
        assert_eq!(
            (bench.hot("/1").is_some(), bench.hot("/2").is_some(), bench.hot("/3").is_some()),
            (false, true, true)
        );
        assert_eq!(bench.files.size().0, 2);
        assert!(bench.get("/4").await.from_file);
        assert_eq!(bench.get("/1").await.body, b"0123456789");
        assert_eq!(bench.hot("/2"), None);
    });
}

#[test]
fn a_cache_without_room_still_serves() {
    let bounds = CacheBounds { bytes: 0, ..CacheBounds::default() };
    bench_with(bounds, StaticOptions::default(), |bench| async move {
        assert_eq!(bench.get("/a.css").await.body, b"body {}");
        assert_eq!((bench.hot("/a.css"), bench.files.size()), (None, (0, 0)));
    });
}

/// `cargo test --release --lib static_files -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn hot_path_cost() {
    bench(|bench| async move {
        bench.get("/a.css").await;
        let started = Monotonic::now();
        const ROUNDS: u32 = 1_000_000;
        let raw = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let Ok(Parse::Complete { head, .. }) = head::parse(raw) else { panic!("a whole head") };
        let fields = head.fields;
        bench.at(|now| {
            for _ in 0..ROUNDS {
                std::hint::black_box(bench.files.hot(&bench.root, std::hint::black_box(b"/a.css"), fields, now))
                    .expect("hot");
            }
        });
        println!("{:?} a lookup", Monotonic::now().since(started) / ROUNDS);
    });
}
