//! Downloads of large files: what happens to the file meanwhile, several ranges, and where the bytes go.

mod support;

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use support::files::{files, put};
use support::{Client, ReadError, Server, assert_same_bytes, pattern};

/// More than the sockets between server and client hold.
const SIZE: usize = 24 * 1024 * 1024;

fn large(folder: &Path) {
    put(folder, "large.bin", pattern(SIZE));
    // Long settled: what has just changed may be a log that grows.
    let past = SystemTime::now() - Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(folder.join("large.bin"))
        .and_then(|f| f.set_modified(past))
        .expect("our own file");
    put(folder, "a.txt", "alive");
}

/// Where clients connect from: the server's own address, and another one, as if they were elsewhere. The first get a large file from memory, the
/// others by sendfile(2).
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::LOCALHOST;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A download of which something has arrived and most has not been sent.
fn begun(server: &Server, source: Ipv4Addr) -> (Client, Vec<u8>) {
    let mut client = Client::connect_from(source, server.address);
    client.request("GET", "/files/large.bin", "");
    let head = client.head("GET");
    assert_eq!((head.status, head.field("content-length")), (200, Some(SIZE.to_string().as_str())));
    let body = client.piece().expect("a beginning");
    (client, body)
}

fn whole(mut client: Client, mut body: Vec<u8>) -> Vec<u8> {
    while let Some(piece) = client.piece() {
        body.extend_from_slice(&piece);
    }
    body
}

#[test]
fn a_file_that_is_replaced_during_its_download_comes_as_it_was() {
    for source in [NEIGHBOUR, STRANGER] {
        let (server, folder) = files(large);
        let (client, body) = begun(&server, source);
        put(folder.path(), "new", vec![b'n'; SIZE]);
        fs::rename(folder.path().join("new"), folder.path().join("large.bin")).expect("our own file");
        assert_same_bytes(&whole(client, body), &pattern(SIZE));
        assert_eq!(server.get("/files/a.txt").text(), "alive");
    }
}

#[test]
fn a_file_that_is_deleted_during_its_download_comes_as_it_was() {
    for source in [NEIGHBOUR, STRANGER] {
        let (server, folder) = files(large);
        let (client, body) = begun(&server, source);
        fs::remove_file(folder.path().join("large.bin")).expect("our own file");
        assert_same_bytes(&whole(client, body), &pattern(SIZE));
    }
}

#[test]
fn a_file_that_is_overwritten_during_its_download_ends_it() {
    for source in [NEIGHBOUR, STRANGER] {
        let (server, folder) = files(large);
        let tag = server.get("/files/large.bin").field("etag").expect("an ETag").to_owned();
        let (mut client, _) = begun(&server, source);
        {
            use std::os::unix::fs::FileExt;
            let file = File::options().write(true).open(folder.path().join("large.bin")).expect("our own file");
            file.write_all_at(&vec![b'n'; 4096], (SIZE - 4096) as u64).expect("our own file");
        }
        let end = loop {
            match client.try_piece() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("bytes of two files came under one tag"),
                Err(error) => break error,
            }
        };
        assert_eq!(end, ReadError::Cut);
        // The next request gets what is there now, and a tag of its own, at once.
        let new = server.get("/files/large.bin");
        assert_ne!(new.field("etag"), Some(tag.as_str()));
        assert!(new.body.ends_with(&[b'n'; 4096]) && new.body.len() == SIZE);
    }
}

#[test]
fn several_ranges_of_a_large_file() {
    let (server, _folder) = files(large);
    let mut client = server.connect();
    // Twice on one connection: the length that was announced is the one that was sent.
    for _ in 0..2 {
        client.request("GET", "/files/large.bin", "Range: bytes=0-1048575, 20000000-23000000, -3\r\n");
        let response = client.response("GET");
        assert_eq!((response.status, response.field("content-range")), (206, None));
        let media = response.field("content-type").expect("a type");
        let boundary = media.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
        let wanted = [(0, 1_048_575), (20_000_000, 23_000_000), (SIZE - 3, SIZE - 1)];
        let mut body = Vec::new();
        for (first, last) in wanted {
            let kind = "Content-Type: application/octet-stream";
            body.extend(
                format!("\r\n--{boundary}\r\n{kind}\r\nContent-Range: bytes {first}-{last}/{SIZE}\r\n\r\n").bytes(),
            );
            body.extend_from_slice(&pattern(SIZE)[first..=last]);
        }
        body.extend(format!("\r\n--{boundary}--\r\n").bytes());
        assert_same_bytes(&response.body, &body);
    }
}

/// Bytes that a process has moved by read(2), write(2) and sendfile(2) (proc_pid_io(5), `wchar`). What is sent from memory through a ring,
/// or received by one, is not among them.
fn moved(server: &Server) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/io", server.main())).expect("our own child");
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("proc_pid_io(5) names it");
    line.parse().expect("a number")
}

#[test]
fn bytes_of_large_files_never_pass_through_user_space() {
    let (server, _folder) = files(|folder| {
        large(folder);
        put(folder, "small.bin", pattern(32 * 1024));
    });
    // From memory: nothing is counted but a line of the log or two.
    let mut client = server.connect();
    let before = moved(&server);
    for _ in 0..200 {
        assert_eq!(client.get("/files/small.bin").body.len(), 32 * 1024);
    }
    let small = moved(&server) - before;
    assert!(small < 1024 * 1024, "{small} bytes were moved by calls for 200 files of 32 KiB from memory");
    // From the file: every byte is moved by sendfile(2).
    let mut client = Client::connect_from(STRANGER, server.address);
    let before = moved(&server);
    assert_eq!(client.get("/files/large.bin").body.len(), SIZE);
    let large = moved(&server) - before;
    assert!(large >= SIZE as u64, "{large} bytes of {SIZE} were moved within the kernel");
}
