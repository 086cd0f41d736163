//! Static files where the disk or the client is difficult: what must stay out of reach, files that change while they are
//! served, readers that are slow.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::files::{files, put};
use support::{Builder, ReadError, assert_same_bytes, pattern, wait_until};

#[test]
fn nothing_outside_the_folder_can_be_reached() {
    let outer = tempfile::tempdir().expect("the temporary folder is writable");
    put(outer.path(), "secret.txt", "SECRET");
    put(outer.path(), "root-twin/secret.txt", "SECRET");
    put(outer.path(), "root/inside.txt", "inside");
    let root = outer.path().join("root");
    symlink("../secret.txt", root.join("out.txt")).expect("a writable folder");
    symlink(outer.path().join("secret.txt"), root.join("absolute.txt")).expect("a writable folder");
    symlink("..", root.join("up")).expect("a writable folder");
    symlink("inside.txt", root.join("within.txt")).expect("a writable folder");
    let server = Builder::bare().static_route("/files/", &root, "").start();
    for path in [
        "../secret.txt",
        "x/../../secret.txt",
        "%2e%2e/secret.txt",
        "%2E%2E%2Fsecret.txt",
        "..%2fsecret.txt",
        "..%5csecret.txt",
        "%252e%252e%252fsecret.txt",
        "....//secret.txt",
        "./../secret.txt",
        "inside.txt/../../secret.txt",
        "../root-twin/secret.txt",
        "/etc/passwd",
        "%2Fetc/passwd",
        "inside.txt%00.css",
        "out.txt",
        "absolute.txt",
        "up/secret.txt",
    ] {
        let mut client = server.connect();
        client.request("GET", &format!("/files/{path}"), "Connection: close\r\n");
        let response = client.response("GET");
        assert!((400..500).contains(&response.status), "{path}: {}", response.status);
        let body = String::from_utf8_lossy(&response.body);
        assert!(!body.contains("SECRET") && !body.contains("root:"), "{path}");
    }
    assert_eq!(server.get("/files/inside.txt").text(), "inside");
    assert_eq!(server.get("/files/within.txt").text(), "inside");
}

#[test]
fn only_regular_files_are_served() {
    let (server, folder) = files(|folder| put(folder, "a.txt", "x"));
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a writable folder");
    let response = server.get("/files/pipe");
    assert!(matches!(response.status, 403 | 404), "{}", response.status);
}

#[test]
fn unreadable_files_are_403() {
    if rustix::process::geteuid().is_root() {
        eprintln!("not shown as root, who may read everything");
        return;
    }
    let (server, folder) = files(|folder| put(folder, "closed/a.txt", "x"));
    let none = fs::Permissions::from_mode(0o000);
    let path = folder.path().join("closed/a.txt");
    fs::set_permissions(&path, none.clone()).expect("our own file");
    assert_eq!(server.get("/files/closed/a.txt").status, 403);
    fs::set_permissions(folder.path().join("closed"), none).expect("our own folder");
    assert_eq!(server.get("/files/closed/b.txt").status, 403);
    let all = fs::Permissions::from_mode(0o700);
    fs::set_permissions(folder.path().join("closed"), all).expect("our own folder");
}

#[test]
fn a_deploy_shows_within_a_second_or_so() {
    let (server, folder) = files(|folder| put(folder, "a.txt", "old content"));
    let mut client = server.connect();
    let old = client.get("/files/a.txt");
    assert_eq!(old.text(), "old content");
    put(folder.path(), "a.txt.new", "new, longer content");
    fs::rename(folder.path().join("a.txt.new"), folder.path().join("a.txt")).expect("our own file");
    let limit = Duration::from_millis(1500);
    wait_until("the new content", limit, || client.get("/files/a.txt").text() == "new, longer content");
    let new = client.get("/files/a.txt");
    assert_ne!(new.field("etag"), old.field("etag"));
    fs::remove_file(folder.path().join("a.txt")).expect("our own file");
    wait_until("the removal", limit, || client.get("/files/a.txt").status == 404);
}

#[test]
fn a_change_in_place_of_the_same_length_shows_too() {
    let (server, folder) = files(|folder| put(folder, "a.txt", "one"));
    let path = folder.path().join("a.txt");
    let past = SystemTime::now() - Duration::from_secs(100);
    File::options().write(true).open(&path).and_then(|f| f.set_modified(past)).expect("our own file");
    let mut client = server.connect();
    assert_eq!(client.get("/files/a.txt").text(), "one");
    fs::write(&path, "two").expect("our own file");
    wait_until("the new content", Duration::from_millis(1500), || client.get("/files/a.txt").text() == "two");
}

#[test]
fn more_files_than_any_cache_holds() {
    const COUNT: usize = 3000;
    let (server, _folder) = files(|folder| {
        (0..COUNT).for_each(|n| put(folder, &format!("{n}.txt"), format!("file {n} ").repeat(200)));
    });
    let mut client = server.connect();
    for n in (0..COUNT).chain(0..COUNT / 4) {
        let response = client.get(&format!("/files/{n}.txt"));
        assert_eq!(response.text(), format!("file {n} ").repeat(200));
        if response.closes() {
            client = server.connect();
        }
    }
}

#[test]
fn truncation_during_a_download_ends_it_and_nothing_else() {
    let (server, folder) = files(|folder| {
        let file = File::create(folder.join("large.bin")).expect("a writable folder");
        file.set_len(64 * 1024 * 1024).expect("a sparse file");
        put(folder, "a.txt", "alive");
    });
    let mut client = server.connect();
    client.request("GET", "/files/large.bin", "");
    assert_eq!(client.head("GET").status, 200);
    client.piece();
    let file = File::options().write(true).open(folder.path().join("large.bin"));
    file.and_then(|file| file.set_len(0)).expect("our own file");
    let end = loop {
        match client.try_piece() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("64 MiB came from a file that lost them"),
            Err(error) => break error,
        }
    };
    assert_eq!(end, ReadError::Cut);
    assert_eq!(server.get("/files/a.txt").text(), "alive");
}

#[test]
fn a_slow_reader_of_a_large_file_does_not_stop_others() {
    const SIZE: usize = 50 * 1024 * 1024;
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    put(folder.path(), "large.bin", pattern(SIZE));
    put(folder.path(), "a.txt", "quick");
    let server = Builder::bare().shards(1).static_route("/files/", folder.path(), "").start();
    let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut slow {
        client.request("GET", "/files/large.bin", "");
        assert_eq!(client.head("GET").status, 200);
    }
    let since = Instant::now();
    let mut quick = server.connect();
    for _ in 0..200 {
        assert_eq!(quick.get("/files/a.txt").text(), "quick");
    }
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let mut body = Vec::with_capacity(SIZE);
    while let Some(piece) = slow[0].piece() {
        body.extend_from_slice(&piece);
    }
    assert_same_bytes(&body, &pattern(SIZE));
}
