//! Clients that take their response slowly, or not at all: what the worker, the memory and the disk have to do with it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{Builder, Client, DEADLINE, Server, assert_same_bytes, pattern, process, wait_until};

const MIB: usize = 1024 * 1024;
/// More than all socket buffers between server and client hold.
const LARGE: usize = 24 * MIB;
/// The most that a file may grow to, in the shell's units of 512 bytes: 1 MiB.
const SMALL_FILES: [&str; 4] = ["sh", "-c", "ulimit -f 2048; exec \"$@\"", "sh"];

/// A server with one worker on one shard, and the folder of its files.
fn one_worker(adjust: impl FnOnce(Builder) -> Builder) -> (Server, PathBuf) {
    let builder = Builder::app("kitchen:application").shards(1);
    let folder = builder.folder().join("spool");
    fs::create_dir(&folder).expect("the test's folder is writable");
    let builder = builder.app_key(&format!("spool_dir = {folder:?}"));
    (adjust(builder).start(), folder)
}

/// A client that has asked for `size` bytes and read the head only; the file that appears when the app has given all away.
fn ask(server: &Server, name: &str, size: usize, query: &str) -> (Client, PathBuf) {
    let made = server.folder().join(name);
    let mut client = server.connect();
    client.request("GET", &format!("/produce?n={size}&made={}{query}", made.display()), "");
    client.head("GET");
    (client, made)
}

fn read_all(client: &mut Client, size: usize) {
    let source = pattern(251 + MIB);
    let mut total = 0;
    while let Some(piece) = client.piece() {
        for part in piece.chunks(MIB) {
            assert_same_bytes(part, &source[total % 251..][..part.len()]);
            total += part.len();
        }
    }
    assert_eq!(total, size);
}

fn files(server: &Server, folder: &Path) -> usize {
    process::nameless_files(server.main(), folder)
}

#[test]
fn a_worker_is_free_while_its_client_still_reads() {
    let (server, folder) = one_worker(|builder| builder);
    for round in 0..2 {
        let (mut slow, made) = ask(&server, &round.to_string(), LARGE, "");
        wait_until("the app has given all away", DEADLINE, || made.exists());
        assert_eq!(files(&server, &folder), 1, "the rest is in a file");
        // The only worker serves others.
        assert_eq!(server.get("/hello").status, 200);
        read_all(&mut slow, LARGE);
        wait_until("the file is gone", DEADLINE, || files(&server, &folder) == 0);
        // The connection goes on.
        assert_eq!(slow.get("/hello").text(), "Hello, world!\n");
    }
    assert_eq!(fs::read_dir(&folder).expect("readable").count(), 0);
}

#[test]
fn a_response_that_keeps_to_a_rate_holds_no_worker() {
    let (server, folder) = one_worker(|builder| builder);
    // At its rate it would take minutes.
    let (paced, made) = ask(&server, "minutes", 8 * MIB, "&rate=16384");
    wait_until("the app has given all away", DEADLINE, || made.exists());
    assert_eq!(files(&server, &folder), 1, "the rest is in a file");
    assert_eq!(server.get("/hello").status, 200);
    drop(paced);
    wait_until("the file is gone", DEADLINE, || files(&server, &folder) == 0);
    // Every byte comes in its order, at the rate.
    let begun = Instant::now();
    let (mut paced, _) = ask(&server, "all", 3 * MIB, "&rate=1500000&size=70001");
    read_all(&mut paced, 3 * MIB);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(paced.get("/hello").text(), "Hello, world!\n");
    wait_until("the file is gone", DEADLINE, || files(&server, &folder) == 0);
}

#[test]
fn pieces_of_every_size_come_in_their_order() {
    let (server, _) = one_worker(|builder| builder.app_key("response_buffer = \"100K\""));
    for size in [4_999, 70_001, 1_000_003] {
        let total = 8 * MIB + size;
        let (mut slow, made) = ask(&server, &size.to_string(), total, &format!("&size={size}"));
        wait_until("the app has given all away", DEADLINE, || made.exists());
        read_all(&mut slow, total);
    }
}

#[test]
fn memory_stays_within_its_bounds_with_many_slow_clients() {
    const CLIENTS: usize = 40;
    let (server, folder) = one_worker(|builder| builder);
    let resident = || process::resident_kib(server.main());
    for _ in 0..50 {
        assert_eq!(server.get("/hello").status, 200);
    }
    let before = resident();
    let asked: Vec<_> = (0..CLIENTS).map(|n| ask(&server, &n.to_string(), 8 * MIB, "")).collect();
    for (_, made) in &asked {
        wait_until("the app has given all away", DEADLINE, || made.exists());
    }
    assert_eq!(files(&server, &folder), CLIENTS);
    let grown = resident().saturating_sub(before);
    // 64 KiB for each, and what a piece more and the allocator take.
    assert!(grown < CLIENTS as u64 * 192 + 2048, "{grown} KiB more than before");
    for (mut client, _) in asked.into_iter().take(3) {
        read_all(&mut client, 8 * MIB);
    }
    wait_until("the files are gone", DEADLINE, || files(&server, &folder) == 0);
}

#[test]
fn without_files_the_worker_waits_for_its_client() {
    let (server, folder) = one_worker(|builder| builder.workers(2).app_key("response_spool_max = 0"));
    let (mut slow, made) = ask(&server, "made", LARGE, "");
    for _ in 0..200 {
        assert_eq!(server.get("/hello").status, 200);
    }
    assert!(!made.exists() && files(&server, &folder) == 0);
    read_all(&mut slow, LARGE);
    wait_until("the app has given all away", DEADLINE, || made.exists());
}

#[test]
fn the_largest_file_is_bounded() {
    let (server, _) = one_worker(|builder| builder.workers(2).app_key("response_spool_max = \"1M\""));
    let (mut slow, made) = ask(&server, "made", LARGE, "");
    for _ in 0..200 {
        assert_eq!(server.get("/hello").status, 200);
    }
    assert!(!made.exists(), "24 MiB do not fit into 1 MiB and the sockets");
    read_all(&mut slow, LARGE);
    wait_until("the app has given all away", DEADLINE, || made.exists());
}

/// EFBIG stands for ENOSPC: a file may grow to 1 MiB only.
#[test]
fn a_disk_that_refuses_costs_no_byte() {
    let (server, folder) = one_worker(|builder| builder.workers(2).prefix(&SMALL_FILES));
    let (mut slow, made) = ask(&server, "made", LARGE, "");
    server.wait_for_line("cannot keep a response in spool_dir");
    for _ in 0..50 {
        assert_eq!(server.get("/hello").status, 200);
    }
    assert!(!made.exists());
    read_all(&mut slow, LARGE);
    wait_until("the file is gone", DEADLINE, || files(&server, &folder) == 0);
    assert_eq!(slow.get("/hello").status, 200);
}

#[test]
fn what_the_app_wants_to_pass_through_is_not_kept() {
    for query in ["&unbuffered=1", "&type=text/event-stream"] {
        let (server, folder) = one_worker(|builder| builder.workers(2));
        let (mut slow, made) = ask(&server, "made", LARGE, query);
        for _ in 0..200 {
            assert_eq!(server.get("/hello").status, 200);
        }
        assert!(!made.exists() && files(&server, &folder) == 0, "{query}");
        read_all(&mut slow, LARGE);
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let (server, folder) = one_worker(|builder| builder);
    let (first, made) = ask(&server, "first", LARGE, "");
    wait_until("the app has given all away", DEADLINE, || made.exists());
    drop(first);
    let (mut second, made) = ask(&server, "second", LARGE, "");
    second.piece();
    drop(second);
    wait_until("the files are gone", DEADLINE, || files(&server, &folder) == 0);
    // Whether the app was cut off or had given all away, the worker is free.
    assert_eq!(server.get("/hello").status, 200);
    drop(made);
}

#[test]
fn a_worker_that_dies_cuts_the_response_after_what_it_had_given() {
    let (server, _) = one_worker(|builder| builder);
    let gate = server.gate("fail");
    let mut client = server.connect();
    client.request("GET", &format!("/produce-and-leave?n={LARGE}&{}", gate.query()), "");
    client.head("GET");
    gate.wait_started();
    let (body, _) = client.rest();
    let source = pattern(251 + MIB);
    assert_eq!(body.len(), LARGE / 2);
    for (number, part) in body.chunks(MIB).enumerate() {
        assert_same_bytes(part, &source[number * MIB % 251..][..part.len()]);
    }
}
