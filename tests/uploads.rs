//! Large uploads: kept in a file by the server, read from it by the application in pieces of its own choice, or taken over as the file that they are.
//! Neither process has them in memory.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use support::{Builder, Client, Response, Server, assert_same_bytes, pattern};

const MIB: usize = 1024 * 1024;
/// What a process may have more of memory after an upload, KiB: buffers and an allocator's reserves, whatever the upload's size.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

fn kitchen() -> Server {
    let builder = Builder::app("kitchen:application").shards(1).server_key("max_body = \"2G\"");
    let folder = builder.folder().join("spool");
    fs::create_dir(&folder).expect("a writable folder");
    let server = builder.app_key(&format!("spool_dir = {folder:?}")).start();
    server.wait_workers(1);
    server
}

/// Sends a body of so many MiB, of one pattern throughout, and reads the answer.
fn upload(server: &Server, target: &str, mib: usize) -> Response {
    let mut client: Client = server.connect();
    client.read_timeout(Duration::from_secs(120));
    let block = pattern(MIB);
    client.request("POST", target, &format!("Content-Length: {}\r\n", mib * MIB));
    for _ in 0..mib {
        client.send(&block);
    }
    client.response("POST")
}

/// The most memory that a process has had, KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn check_content(path: &Path, mib: usize) {
    let block = pattern(MIB);
    let mut file = File::open(path).expect("the application has kept it");
    let mut found = vec![0; MIB];
    for _ in 0..mib {
        file.read_exact(&mut found).expect("it is whole");
        assert_same_bytes(&found, &block);
    }
    assert_eq!(file.read(&mut found).expect("a readable file"), 0);
}

/// Both ways to deal with an upload of so many MiB: no process grows with it, and what is kept was not copied.
fn large_upload(mib: usize) {
    let server = kitchen();
    let worker = server.wait_workers(1)[0].pid;
    let processes = [("server", server.pid()), ("worker", worker)];
    // Whatever is made once is made now.
    let warm = server.folder().join("warm");
    assert_eq!(upload(&server, &format!("/save?path={}", warm.display()), 4).status, 200);
    assert_eq!(upload(&server, "/digest", 4).status, 200);
    let before = processes.map(|(_, pid)| peak_kib(pid));

    let kept = server.folder().join("kept");
    let seen = upload(&server, &format!("/save?path={}", kept.display()), mib).json();
    assert_eq!(
        (&seen["moved"], &seen["same"], seen["size"].as_u64()),
        (&true.into(), &true.into(), Some((mib * MIB) as u64))
    );
    let copied = seen["copied"].as_u64().expect("the kernel counts it");
    assert!(copied < 64 * 1024, "the worker has read and written {copied} bytes to keep a file");
    check_content(&kept, mib);
    let metadata = fs::metadata(&kept).expect("it is there");
    assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (1, 0o644));

    let digest = upload(&server, "/digest", mib);
    assert!(digest.text().starts_with(&format!("{} ", mib * MIB)), "{}", digest.text());
    for ((name, pid), before) in processes.into_iter().zip(before) {
        let grown = peak_kib(pid).saturating_sub(before);
        assert!(grown < GROWTH_KIB_MAX, "{mib} MiB have cost the {name} {grown} KiB");
    }
    // What nobody has kept is gone.
    assert_eq!(fs::read_dir(server.folder().join("spool")).expect("a folder").count(), 0);
}

#[test]
fn a_large_upload_is_in_nobody_s_memory_and_is_kept_without_a_copy() {
    large_upload(64);
}

/// cargo test --test uploads -- --ignored
#[test]
#[ignore = "writes 2 GiB"]
fn a_gigabyte_is_in_nobody_s_memory_and_is_kept_without_a_copy() {
    large_upload(1024);
}

#[test]
fn an_upload_is_copied_to_another_file_system() {
    let server = kitchen();
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        return eprintln!("not shown: /dev/shm is not writable");
    };
    let device = |path: &Path| fs::metadata(path).expect("it is there").dev();
    if device(folder.path()) == device(server.folder()) {
        return eprintln!("not shown: /dev/shm and the temporary folder are one file system");
    }
    let kept = folder.path().join("kept");
    let seen = upload(&server, &format!("/save?path={}", kept.display()), 3).json();
    assert_eq!((&seen["moved"], &seen["same"]), (&false.into(), &false.into()));
    check_content(&kept, 3);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}
