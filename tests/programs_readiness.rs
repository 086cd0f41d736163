//! Readiness, liveness, order by dependencies, limits of size and age, and the signal of a reload, from the outside.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use rustix::process::Signal;
use support::{Builder, DEADLINE, Server, process, value_of, wait_until};

fn alone() -> Builder {
    Builder::bare().silent()
}

#[track_caller]
fn order(server: &Server, patterns: &[&str]) {
    let lines = server.log.lines_from(0);
    let found: Vec<_> = patterns
        .iter()
        .map(|pattern| lines.iter().position(|line| line.contains(pattern)).unwrap_or_else(|| panic!("no {pattern}")))
        .collect();
    assert!(found.is_sorted(), "{patterns:?}: {found:?}");
}

/// A listener that tells how often it was asked and answers with `status`.
fn http(status: &'static str) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap_or(0);
            if sender.send(String::from_utf8_lossy(&request[..length]).into_owned()).is_err() {
                return;
            }
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    });
    (address, receiver)
}

/// A port that is taken as long as the socket is there, so that nobody else listens on it either.
fn port_without_listener() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = getsockname(&socket).expect("bound").try_into().expect("an address of IPv4");
    (socket, address)
}

#[test]
fn a_program_waits_for_what_it_depends_on_to_be_ready() {
    let builder = alone();
    let flag = builder.folder().join("flag");
    let mut server = builder
        .program("web", "command = \"sleep 1000\"\npriority = 1\ndepends_on = [\"base\", \"late\"]")
        .program("base", "command = \"sleep 1000\"\nautostart = false\npriority = 2")
        .program(
            "late",
            &format!(
                "command = \"sleep 1000\"\nready = {{ command = \"test -e {}\", interval = \"100ms\" }}",
                flag.display()
            ),
        )
        .run();
    server.wait_for_line("program is up program=base");
    server.wait_for_line("program started program=late");
    assert!(!server.log.text().contains("program is up program=late"));
    fs::write(&flag, "").expect("the test's own folder");
    server.wait_for_line("program is up program=web");
    assert_eq!(server.stop().code(), Some(0));
    order(&server, &["program is up program=late", "program started program=web", "program stopped program=web"]);
    order(&server, &["program stopped program=web", "program stopped program=base"]);
    order(&server, &["program stopped program=web", "program stopped program=late"]);
}

#[test]
fn a_port_a_page_a_command_and_its_own_word_make_a_program_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let tcp = listener.local_addr().expect("bound");
    let (web, asked) = http("204 No Content");
    let builder = alone();
    let unix = builder.folder().join("it.sock");
    let _unix = std::os::unix::net::UnixListener::bind(&unix).expect("the test's own folder");
    let tell = "import os,socket,time; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); \
                s.connect(chr(0)+os.environ['NOTIFY_SOCKET'][1:]); s.send(b'STATUS=here' + bytes([10]) + b'READY=1'); time.sleep(1000)";
    fs::write(builder.folder().join("tell.py"), tell).expect("the test's own folder");
    let program = |ready: &str| format!("command = \"sleep 1000\"\nstartsecs = 0\nready = {ready}");
    let server = builder
        .program("tcp", &program(&format!("{{ tcp = \"{tcp}\" }}")))
        .program("unix", &program("{ tcp = \"unix:it.sock\" }"))
        .program("http", &program(&format!("{{ http = \"http://{web}/health?x=1\" }}")))
        .program("command", &program("{ command = \"sh -c 'test $SUPERVISOR_PROCESS_NAME = command'\" }"))
        .program("notify", "command = \"python3 tell.py\"\ndirectory = \".\"\nstartsecs = 0\nready = { notify = true }")
        .run();
    for program in ["tcp", "unix", "http", "command", "notify"] {
        server.wait_for_line(&format!("program is up program={program}"));
    }
    let request = asked.recv_timeout(DEADLINE).expect("it was asked");
    assert!(request.starts_with(&format!("GET /health?x=1 HTTP/1.1\r\nHost: {web}\r\n")), "{request}");
}

#[test]
fn what_does_not_get_ready_is_stopped_and_given_up_with_the_reason() {
    let (_held, address) = port_without_listener();
    let (web, _asked) = http("503 Busy");
    let program = |ready: &str| {
        format!(
            "command = \"sleep 1000\"\nstartretries = 0\nready = {{ {ready}, interval = \"100ms\", within = \"3s\" }}"
        )
    };
    let server = alone()
        .program("closed", &program(&format!("tcp = \"{address}\"")))
        .program("busy", &program(&format!("http = \"http://{web}/\"")))
        .program("slow", &program("command = \"sleep 1000\", timeout = \"100ms\""))
        .program("silent", &program("notify = true"))
        .run();
    for (program, reason) in [
        ("closed", "Connection refused (os error 111)"),
        ("busy", "status 503"),
        ("slow", "the command took too long"),
        ("silent", "it has not said that it is ready"),
    ] {
        let line = server.wait_for_line(&format!("{reason} program={program}"));
        assert!(line.contains("program is not ready in time"), "{line}");
        server.wait_for_line(&format!("program given up: too many starts have failed program={program}"));
    }
}

#[test]
fn a_command_that_checks_ends_with_the_server_and_with_all_that_it_has_started() {
    let mut server = alone()
        .program(
            "slow",
            "command = \"sleep 1000\"\nready = { command = \"sh -c 'sleep 2000; true'\", timeout = \"1h\" }",
        )
        .run();
    // The server, the program, the shell that checks it and what that has started.
    wait_until("the command has started another", DEADLINE, || server.family().len() == 4);
    assert_eq!(server.stop().code(), Some(0));
    wait_until("nothing is left of it", DEADLINE, || server.family().is_empty());
}

#[test]
fn a_program_that_is_not_alive_is_started_anew() {
    let builder = alone();
    let flag = builder.folder().join("alive");
    fs::write(&flag, "").expect("the test's own folder");
    let check = format!("{{ command = \"test -e {}\", interval = \"100ms\", failures = 2 }}", flag.display());
    let server = builder
        .program("checked", &format!("command = \"sleep 1000\"\nstartsecs = 0\nliveness = {check}"))
        .program(
            "mute",
            "command = \"sleep 1000\"\nstartsecs = 0\nliveness = { notify = true, interval = \"100ms\", failures = 1 }",
        )
        .run();
    server.wait_for_line("program is up program=checked");
    server.wait_for_line("restarting it: it has not said that it is alive program=mute");
    assert!(!server.log.text().contains("program=checked exit"));
    let first = value_of(&server.wait_for_line("program started program=checked"), "pid").expect("a pid").to_owned();
    let mark = server.log.mark();
    fs::remove_file(&flag).expect("it was there");
    server.wait_for_line("program is not alive, restarting it: the command ended with exit code 1 program=checked");
    fs::write(&flag, "").expect("the test's own folder");
    let again = server.wait_for_line_from(mark, "program started program=checked");
    assert_ne!(value_of(&again, "pid").expect("a pid"), first);
}

#[test]
fn a_program_that_has_grown_too_large_is_started_anew_with_all_it_has_started() {
    let grow = "x = bytearray(60 << 20); import time; time.sleep(1000)";
    let builder = alone();
    fs::write(builder.folder().join("grow.py"), grow).expect("the test's own folder");
    let server = builder
        .program(
            "large",
            "command = \"sh -c 'python3 grow.py; true'\"\ndirectory = \".\"\nstartsecs = 0\nmax_rss = \"50M\"",
        )
        .program("small", "command = \"sleep 1000\"\nmax_rss = \"50M\"")
        .program("old", "command = \"sleep 1000\"\nstartsecs = 0\nmax_lifetime = \"300ms\"")
        .run();
    server.wait_for_line("program has too much memory, restarting it program=large");
    server.wait_for_line("program has reached its max_lifetime, restarting it program=old");
    wait_until("both are started again", DEADLINE, || {
        let text = server.log.text();
        ["large", "old"].iter().all(|name| text.matches(&format!("program started program={name} ")).count() >= 2)
    });
    assert!(!server.log.text().contains("restarting it program=small"));
}

#[test]
fn a_reload_sends_programs_the_signal_that_they_ask_for() {
    let script = "sh -c 'trap \"echo read anew\" HUP; echo ready; while :; do sleep 0.05; done'";
    let server = alone()
        .program("asks", &format!("command = {script:?}\nreload_signal = \"HUP\""))
        .program("other", "command = \"sleep 1000\"")
        .run();
    server.wait_for_line("ready program=asks");
    let line = server.wait_for_line("program started program=other");
    let pid: u32 = value_of(&line, "pid").expect("a pid").parse().expect("a number");
    server.signal(Signal::HUP);
    server.wait_for_line("read anew program=asks");
    assert!(process::is_alive(pid));
    assert_eq!(server.log.text().matches("program started").count(), 2);
}
