//! Clients that people use, over plain HTTP: curl, h2load and Chromium. Each is left out, with a message, where it is not installed.

mod support;

use std::fs;
use std::path::PathBuf;

use support::external::{find, run};
use support::{Builder, Server, pattern, python, repository, wait_until};

/// Files, and an application that gives back what it gets.
fn server() -> Server {
    let builder = Builder::app("kitchen:application").app_route("");
    let folder = builder.folder().to_owned();
    fs::create_dir(folder.join("files")).expect("the test's folder is writable");
    fs::write(folder.join("files/page.txt"), "page ".repeat(100)).expect("a writable folder");
    fs::write(folder.join("files/page.txt.gz"), GZIP).expect("a writable folder");
    fs::write(folder.join("files/large.bin"), pattern(3_000_000)).expect("a writable folder");
    builder.static_route("/files/", &folder.join("files"), "").start()
}

/// "page" as gzip (RFC 1952), in one stored block.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x04\0\xfb\xffpage\x20\xb6\x0a\x14\x04\0\0\0";

#[test]
fn curl() {
    let Some(curl) = find("curl", "curl") else { return };
    let server = server();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let get = |arguments: &[&str]| run(&curl, &[&["-sS", "--max-time", "100"], arguments].concat());

    let shown = "%{http_code} %{size_download} %{num_connects}\\n";
    let (page, large) = (url("/files/page.txt"), url("/files/large.bin"));
    let two = get(&["-o", "a", "-o", "b", "-w", shown, &page, &large]);
    assert_eq!(two, "200 500 1\n200 3000000 0\n", "two files over one connection");
    assert_eq!(get(&["--compressed", &page]), "page", "the packed file, unpacked by curl");
    assert_eq!(get(&["-r", "5-8", &page]), "page");
    assert!(get(&["-r", "0-3,10-13", &page]).matches("Content-Range: bytes ").count() == 2);
    assert_eq!(get(&["-0", "-o", "a", "-w", "%{http_version} %{http_code}", &page]), "1.1 200", "asked in HTTP/1.0");
    assert!(get(&["-I", &page]).starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(
        get(&["-o", "a", "-w", "%{http_code}", "-H", "If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT", &page]),
        "304"
    );
    assert_eq!(get(&["-o", "a", "-w", "%{http_code}", "-L", "--path-as-is", &url("/files/../../etc/passwd")]), "400");

    // Larger than curl sends without asking first (Expect: 100-continue).
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let body = folder.path().join("body");
    fs::write(&body, pattern(2_000_000)).expect("a writable folder");
    let (sent, chunked) = (format!("@{}", body.display()), "Transfer-Encoding: chunked");
    let echo = url("/echo");
    for arguments in
        [&["--data-binary", &sent][..], &["-H", chunked, "--data-binary", &sent], &["-T", &body.display().to_string()]]
    {
        let told = get(&[arguments, &["-o", "back", "-w", "%{http_code} %{size_download}", &echo]].concat());
        assert_eq!(told, "200 2000000", "{arguments:?}");
    }
}

#[test]
fn h2load_over_http_1() {
    let Some(h2load) = find("h2load", "nghttp2-client") else { return };
    let server = server();
    for path in ["/files/page.txt", "/files/large.bin", "/hello"] {
        let count = if path.ends_with(".bin") { "200" } else { "2000" };
        let url = format!("http://{}{path}", server.address);
        let told = run(&h2load, &["--h1", "-n", count, "-c", "20", "-m", "4", &url]);
        let all = format!("{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(told.contains(&all), "{path}: {told}");
    }
}

#[test]
fn chromium_loads_the_example_site() {
    let Some(chromium) = find("chromium", "chromium") else { return };
    let python = python::with_django();
    let site = repository().join("examples/site");
    let builder = Builder::app("mysite.wsgi:application").chdir(&site).python(&python);
    let (data, log) = (builder.folder().join("data"), builder.folder().join("access.log"));
    let data = data.display().to_string();
    for command in [
        &["manage.py", "migrate", "--verbosity", "0"][..],
        &["manage.py", "collectstatic", "--noinput", "--verbosity", "0"],
        &["manage.py", "seed", "--notes", "30"],
    ] {
        python::run(&python, &site, &[("SITE_DATA", data.as_str())], command);
    }
    let key = format!("access_log = {{ path = {:?}, flush = \"100ms\" }}", log.display().to_string());
    let server = builder.server_key(&key).environment("SITE_DATA", &data).start();

    // The picture is kept where somebody wants to look at it.
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let wanted = std::env::var_os("MAITRED_SCREENSHOT").map(PathBuf::from);
    let picture = wanted.unwrap_or_else(|| folder.path().join("page.png"));
    let (profile, shot) =
        (format!("--user-data-dir={}", folder.path().display()), format!("--screenshot={}", picture.display()));
    let url = format!("http://{}/", server.address);
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--window-size=1200,900",
    ];
    run(&chromium, &[&flags[..], &[&profile, &shot, &url]].concat());

    let bytes = fs::read(&picture).expect("a picture was taken");
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{} bytes", bytes.len());
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the page and its style are in the log", support::DEADLINE, || {
        let lines = lines();
        lines.contains("\"GET / HTTP/1.1\" 200 ") && lines.contains(".css HTTP/1.1\" 200 ")
    });
    let failed: Vec<String> = lines()
        .lines()
        // The browser may ask for the icon twice, the second time with its tag.
        .filter(|line| !line.contains("\" 200 ") && !line.contains("\" 304 ") && !line.contains("/favicon.ico"))
        .map(str::to_owned)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
