//! Large uploads: kept in a file by the server, read from it by the application in pieces of its own choice, or taken over as the file that they are.
//! Neither process has them in memory.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use support::{Builder, Client, Response, Server, assert_same_bytes, pattern, wait_until};

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

#[test]
fn what_is_kept_of_a_body_in_memory_is_that_body_for_ever() {
    let server = kitchen();
    let mut client = server.connect();
    let first = vec![b'1'; 500_000];
    assert_same_bytes(&client.post("/echo", "", &first).body, &first);
    // Shorter than what was in that memory before: nothing of it may be seen.
    let second = vec![b'2'; 200_000];
    assert_eq!(client.post("/keep-input", "", &second).text(), "200000");
    for bytes in [100_000, 300_000, 900_000] {
        let other = vec![b'3'; bytes];
        assert_same_bytes(&client.post("/echo", "", &other).body, &other);
    }
    assert_same_bytes(&client.get("/kept-input").body, &second);
}

#[test]
fn a_body_that_is_read_after_its_answer_is_not_overwritten() {
    let server = Builder::app("kitchen:application").shards(1).workers(2).start();
    server.wait_workers(2);
    let gate = server.gate("late");
    let late = vec![b'a'; 400_000];
    let path = server.folder().join("read");
    let mut client = server.connect();
    let target = format!("/late-input?{}&path={}", gate.query(), path.display());
    assert_eq!(client.post(&target, "", &late).text(), ".");
    gate.wait_started();
    for _ in 0..20 {
        let other = vec![b'b'; 400_000];
        assert_same_bytes(&client.post("/echo", "", &other).body, &other);
    }
    gate.open();
    wait_until("the body was read", support::DEADLINE, || path.exists());
    assert_same_bytes(&fs::read(&path).expect("the application wrote it"), &late);
}

#[test]
fn a_body_ends_where_it_ends_and_the_next_request_begins() {
    let server = kitchen();
    for bytes in [16_384, 20_000, 65_536, 300_000, MIB, MIB + 1] {
        let upload = pattern(bytes);
        let mut client = server.connect();
        let mut all = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
        all.extend(&upload);
        let one = all.clone();
        all.extend(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        all.extend(&one);
        // Twice on one connection, in one piece and then in many.
        client.send(&all);
        assert_same_bytes(&client.response("POST").body, &upload);
        assert_eq!(client.response("GET").text(), "Hello, world!\n");
        assert_same_bytes(&client.response("POST").body, &upload);
        client.send_pieces(&all, 4_000);
        assert_same_bytes(&client.response("POST").body, &upload);
        assert_eq!(client.response("GET").text(), "Hello, world!\n");
        assert_same_bytes(&client.response("POST").body, &upload);
    }
}

#[test]
fn clients_that_leave_in_the_middle_of_a_body_leave_nothing_behind() {
    let server = kitchen();
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs").count();
    let mut client = server.connect();
    let upload = pattern(800_000);
    assert_same_bytes(&client.post("/echo", "", &upload).body, &upload);
    let before = descriptors();
    for cut in [20_000, 100_000, 700_000, 799_999] {
        let mut leaving = server.connect();
        leaving.request("POST", "/echo", "Content-Length: 800000\r\n");
        leaving.send(&upload[..cut]);
        drop(leaving);
        assert_same_bytes(&client.post("/echo", "", &upload).body, &upload);
    }
    wait_until("the server has let go of them", support::DEADLINE, || descriptors() <= before + 4);
}

/// Regions that the server has.
fn regions(server: &Server) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs");
    let links = folder.map(|entry| fs::read_link(entry.expect("listed").path()));
    links.filter(|link| link.as_ref().is_ok_and(|link| link.to_string_lossy().contains("memfd:maitred-body"))).count()
}

#[test]
fn uploads_one_after_the_other_lie_in_the_same_memory() {
    let server = kitchen();
    let mut client = server.connect();
    let upload = pattern(300_000);
    for _ in 0..30 {
        assert_same_bytes(&client.post_chunked("/echo", &upload, 50_000).body, &upload);
    }
    // The next may begin before the worker has said that it has done with the last.
    let regions = regions(&server);
    assert!((1..10).contains(&regions), "{regions}");
}

#[test]
fn a_body_that_arrives_in_large_pieces_lies_nowhere_else() {
    let server = kitchen();
    let mut client = server.connect();
    for bytes in [20_000, 300_000, MIB] {
        let upload = pattern(bytes);
        for _ in 0..5 {
            assert_same_bytes(&client.post("/echo", "", &upload).body, &upload);
        }
    }
    assert_eq!(regions(&server), 0);
}

#[test]
fn a_body_in_more_pieces_than_a_pipe_takes_comes_whole() {
    let server = kitchen();
    let mut client = server.connect();
    let upload = pattern(200_000);
    // The kernel may put pieces together, but not always.
    for piece in [150, 1_500].into_iter().cycle().take(100) {
        client.request("POST", "/echo", &format!("Content-Length: {}\r\n", upload.len()));
        client.send_pieces(&upload, piece);
        assert_same_bytes(&client.response("POST").body, &upload);
        assert_eq!(client.get("/hello").text(), "Hello, world!\n");
        if regions(&server) > 0 {
            return;
        }
    }
    panic!("never was a body moved out of its pipe");
}

#[test]
fn a_spool_dir_that_cannot_be_written_to_is_told_of_at_the_start() {
    let server = Builder::app("kitchen").app_key("spool_dir = \"/proc\"").start();
    let line = server.wait_for_line("spool_dir /proc cannot be written to");
    assert!(line.contains("WARN") && line.contains("503") && line.contains("tmpfs"), "{line}");
    assert_eq!(server.get("/hello").status, 200);
    let server = Builder::app("kitchen").start();
    assert!(!server.log.text().contains("cannot be written to"), "{}", server.log.text());
}
