//! Where the access log goes: reopened and rotated files, pipes, full disks, syslog; and that its end is complete.

mod support;

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use support::files::put;
use support::{Builder, DEADLINE, Server, value_of, wait_until};

/// A server for one small file with these keys in its table of the access log.
fn logging(folder: &Path, keys: &str) -> Builder {
    put(folder, "site/a.txt", "hello");
    Builder::bare()
        .static_route("/", &folder.join("site"), "")
        .server_key(&format!("access_log = {{ format = '$uri', flush = '100ms', {keys} }}"))
}

fn count_lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Asks for `/a.txt` so many times on one connection.
fn ask(server: &Server, times: usize) {
    let mut client = server.connect();
    for _ in 0..times {
        assert_eq!(client.get("/a.txt").status, 200);
    }
}

/// The number behind `key=` in the last words of all shards together.
fn told(server: &mut Server, key: &str) -> u64 {
    assert!(server.log.wait_end(DEADLINE), "the log ends with the server");
    let lines = server.log.lines_from(0);
    let stopped = lines.iter().filter(|line| line.contains("shard stopped"));
    stopped.filter_map(|line| value_of(line, key)?.parse::<u64>().ok()).sum()
}

#[test]
fn reopening_under_load_loses_no_line_and_tears_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    // Room for all that is asked within a write: with a buffer of a few lines a slow disk makes the shards drop some, as they should.
    let mut server = logging(folder.path(), &format!("path = {log:?}")).shards(2).start();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    ask(&server, 10);
                    asked.fetch_add(10, Ordering::Relaxed);
                }
            });
        }
        for round in 0..5 {
            wait_until("lines", DEADLINE, || count_lines(&log) > 0);
            fs::rename(&log, folder.path().join(format!("old.{round}"))).expect("renamed");
            let mark = server.log.mark();
            server.signal(Signal::USR1);
            server.wait_for_line_from(mark, "access log opened anew");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(server.stop().success());
    let old = (0..5).map(|round| folder.path().join(format!("old.{round}")));
    let text: String = old.chain([log]).map(|path| fs::read_to_string(path).expect("a log")).collect();
    assert!(text.lines().all(|line| line == "/a.txt"), "a torn line");
    assert_eq!(text.lines().count(), asked.into_inner());
    assert_eq!(told(&mut server, "log_dropped"), 0);
}

#[test]
fn a_file_that_can_not_be_opened_anew_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "logs/access.log", "");
    let mut server = logging(folder.path(), &format!("path = {:?}", folder.path().join("logs/access.log"))).start();
    fs::rename(folder.path().join("logs"), folder.path().join("moved")).expect("renamed");
    server.signal(Signal::USR1);
    server.wait_for_line("cannot open the access log anew");
    ask(&server, 3);
    assert!(server.stop().success());
    assert_eq!(count_lines(&folder.path().join("moved/access.log")), 3);
}

#[test]
fn a_place_that_can_not_be_opened_ends_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let refusal = logging(folder.path(), "path = 'absent/access.log'").refuse();
    assert_eq!(refusal.code, Some(2));
    assert!(refusal.stderr.contains("cannot open the access log") && refusal.stderr.contains("absent/access.log"));
}

#[test]
fn the_server_rotates_its_file_when_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let keys = format!("path = {log:?}, rotate_size = 50, rotate_keep = 2");
    let mut server = logging(folder.path(), &keys).start();
    for _ in 0..4 {
        ask(&server, 10);
        let mark = server.log.mark();
        server.wait_for_line_from(mark, "access log opened anew");
    }
    ask(&server, 1);
    assert!(server.stop().success());
    let count = |name: &str| count_lines(&folder.path().join(name));
    assert!(count("access.log.1") > 0 && count("access.log.2") > 0);
    assert!(!folder.path().join("access.log.3").exists());
}

#[test]
fn the_server_rotates_its_file_when_it_is_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let mut server = logging(folder.path(), &format!("path = {log:?}, rotate_age = '100ms'")).start();
    ask(&server, 3);
    server.wait_for_line("access log opened anew");
    assert!(server.stop().success());
    // What was not written yet when the file was renamed is in the new one.
    assert_eq!(count_lines(&log) + count_lines(&folder.path().join("access.log.1")), 3);
    assert!(count_lines(&folder.path().join("access.log.1")) > 0);
}

/// Lines that wait for their time are written before the program ends, also of requests that end last.
#[test]
fn the_last_lines_are_in_the_file_when_the_program_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let keys = format!("access_log = {{ path = {log:?}, format = '$uri $status', flush = '1h', buffer = '1M' }}");
    let mut server = Builder::app("kitchen").workers(2).server_key(&keys).start();
    let gate = server.gate("last");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    assert_eq!(server.get("/hello").status, 200);
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    assert_eq!(count_lines(&log), 0, "an hour has not passed");
    gate.open();
    assert_eq!(held.join().expect("answered").status, 200);
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
    assert_eq!(fs::read_to_string(&log).expect("a log"), "/hello 200\n/hold 200\n");
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = logging(folder.path(), "path = '/dev/full', buffer = 100").start();
    ask(&server, 100);
    server.wait_for_line("lines of the access log were dropped");
    ask(&server, 100);
    assert!(server.stop().success());
    assert_eq!((told(&mut server, "log_dropped"), told(&mut server, "log_lines")), (200, 0));
    let warnings = server.log.lines_from(0).iter().filter(|line| line.contains("were dropped")).count();
    // Each shard may say it once in ten seconds, and once more at its end if that is later.
    assert!(warnings <= 4, "{warnings} warnings");
}

#[test]
fn a_pipe_without_a_reader_holds_nothing_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    put(folder.path(), "site/a.txt", "hello");
    let keys = format!("path = {pipe:?}, buffer = '4K', flush = '100ms', format = '{}$uri'", "x".repeat(2000));
    let mut server = Builder::bare()
        .static_route("/", &folder.path().join("site"), "")
        .server_key(&format!("access_log = {{ {keys} }}"))
        .shards(1)
        .start();
    // More than a pipe and two buffers hold.
    ask(&server, 100);
    server.wait_for_line("lines of the access log were dropped");
    ask(&server, 10);
    assert!(server.stop().success());
    let (written, dropped) = (told(&mut server, "log_lines"), told(&mut server, "log_dropped"));
    assert!(dropped > 0 && written > 0, "{written} written, {dropped} dropped");
    assert_eq!(written + dropped, 110);
}

#[test]
fn a_reader_of_a_pipe_that_comes_later_gets_whole_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    let mut server = logging(folder.path(), &format!("path = {pipe:?}")).start();
    ask(&server, 20);
    let mut reader = fs::File::open(&pipe).expect("opened");
    let mut text = vec![0; "/a.txt\n".len() * 20];
    reader.read_exact(&mut text).expect("lines");
    assert_eq!(String::from_utf8(text).expect("text"), "/a.txt\n".repeat(20));
    assert!(server.stop().success());
}

#[test]
fn stdout_is_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("stdout");
    // A shell stands between, since the harness throws standard output away.
    let shell = ["sh", "-c", &format!("exec \"$@\" > {}", out.display()), "sh"];
    let mut server = logging(folder.path(), "path = 'stdout'").prefix(&shell).start();
    ask(&server, 5);
    assert!(server.stop().success());
    assert_eq!(count_lines(&out), 5);
}

/// The head of a message, with `#` for each digit.
fn shape(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
}

#[test]
fn syslog_over_a_unix_socket_also_after_it_was_started_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("syslog");
    let mut message = [0; 4096];
    let daemon = UnixDatagram::bind(&path).expect("bound");
    daemon.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let keys = format!("path = 'syslog:server=unix:{},facility=user,tag=site'", path.display());
    let mut server = logging(folder.path(), &keys).start();
    ask(&server, 2);
    for _ in 0..2 {
        let len = daemon.recv(&mut message).expect("a message");
        let text = shape(&message[..len]);
        // <14>Nov 24 13:55:36 site: /a.txt
        assert!(text.starts_with("<##>") && text.ends_with(":##:## site: /a.txt"), "{text}");
        assert!(message.starts_with(b"<14>"));
    }
    drop(daemon);
    fs::remove_file(&path).expect("removed");
    ask(&server, 1);
    server.wait_for_line("lines of the access log were dropped");
    let daemon = UnixDatagram::bind(&path).expect("bound");
    daemon.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    ask(&server, 1);
    let len = daemon.recv(&mut message).expect("a message");
    assert!(message[..len].ends_with(b"/a.txt"));
    assert!(server.stop().success());
    assert_eq!((told(&mut server, "log_dropped"), told(&mut server, "log_lines")), (1, 3));
}

#[test]
fn syslog_over_udp() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("bound");
    daemon.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let address = daemon.local_addr().expect("an address");
    let mut server = logging(folder.path(), &format!("path = 'syslog:server={address}'")).start();
    ask(&server, 1);
    let mut message = [0; 4096];
    let len = daemon.recv(&mut message).expect("a message");
    let text = shape(&message[..len]);
    assert!(text.starts_with("<###>") && text.ends_with(" maitred: /a.txt"), "{text}");
    assert!(server.stop().success());
}
