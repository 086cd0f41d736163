//! SIGUSR2: a new server takes the sockets over, the old one drains; if the new one does not get ready, the old one goes on.
//!
//! Where a test holds one worker there is another: the old server may have accepted a connection at the last moment, and answers it.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::process::Signal;
use support::{Builder, Client, DEADLINE, Server, process, python, wait_until};

/// The server in the pidfile, which is ended when the test is.
struct Successor(u32);

impl Successor {
    fn of(pidfile: &Path) -> Successor {
        let text = fs::read_to_string(pidfile).expect("the pidfile is there");
        Successor(text.trim().parse().expect("a process id"))
    }

    fn stop(self) {
        process::signal(self.0, Signal::TERM);
        assert!(process::wait_gone(self.0, DEADLINE));
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        process::signal(self.0, Signal::KILL);
    }
}

/// The number of the process that has become the new server.
fn started(server: &Server) -> u32 {
    let line = server.wait_for_line("a new server starts");
    support::value_of(&line, "pid").and_then(|pid| pid.parse().ok()).expect("the line names it")
}

fn ctl(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_maitred"))
        .arg("ctl")
        .args(arguments)
        .current_dir(server.folder())
        .env("XDG_RUNTIME_DIR", server.folder())
        .env_remove("RUNTIME_DIRECTORY")
        .output()
        .expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_new_server_takes_over_and_no_request_is_lost() {
    let builder = Builder::app("kitchen").workers(2).server_key("pidfile = \"site.pid\"");
    let (pidfile, socket) = (builder.folder().join("site.pid"), builder.folder().join("site.sock"));
    let mut server = builder.argument("-b").argument(&format!("unix:{}", socket.display())).start();
    let (old, address) = (server.pid(), server.address);
    let (ends, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (has_ended, counted) = (ends.clone(), count.clone());
    // One connection after the other, each refused one a failure.
    let load = std::thread::spawn(move || {
        while !has_ended.load(Ordering::Relaxed) {
            let mut client = Client::connect(address);
            client.request("GET", "/hello", "Connection: close\r\n");
            assert_eq!(client.response("GET").status, 200);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let gate = server.gate("held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    server.signal(Signal::USR2);
    let new = started(&server);
    server.wait_for_line("the new server serves; this one ends");
    assert_eq!(fs::read_to_string(&pidfile).expect("there").trim(), new.to_string());
    let successor = Successor::of(&pidfile);
    // What the old one has in hand it finishes.
    assert!(process::is_alive(old));
    gate.open();
    assert_eq!(held.join().expect("answered").status, 200);
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
    // Now all that is answered comes from the new one.
    let before = count.load(Ordering::Relaxed);
    wait_until("the new one serves alone", DEADLINE, || count.load(Ordering::Relaxed) > before + 20);
    ends.store(true, Ordering::Relaxed);
    load.join().expect("no request was lost");
    assert!(pidfile.exists() && socket.exists(), "they are the new server's");
    let (code, told) = ctl(&server, &["pid"]);
    assert_eq!((code, told.trim()), (Some(0), new.to_string().as_str()));
    successor.stop();
    assert!(!pidfile.exists() && !socket.exists());
}

/// Opens a socket at the given address, puts it at the given number, and becomes the rest of its arguments.
const NUMBERED: &str = "\
import os, socket, sys
one = socket.socket()
one.bind(('127.0.0.1', 0))
one.listen(16)
number = int(sys.argv[1])
if number != one.fileno():
    os.dup2(one.fileno(), number)
    one.close()
os.set_inheritable(number, True)
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn a_socket_is_served_by_its_number_also_by_a_successor() {
    let python = python::interpreter().display().to_string();
    for number in ["3", "9"] {
        let builder = Builder::app("kitchen").workers(2).server_key("pidfile = 'site.pid'");
        let pidfile = builder.folder().join("site.pid");
        let bind = format!("fd://{number}");
        let builder = builder.prefix(&[&python, "-c", NUMBERED, number]).argument("--bind").argument(&bind);
        let mut server = builder.silent().run();
        let line = server.wait_for_line("ready: listening on http://");
        let address = line.rsplit_once("http://").and_then(|(_, address)| address.trim().parse().ok());
        let address: SocketAddr = address.expect("the line ends with the address");
        let is_served = || assert_eq!(Client::connect(address).get("/hello").status, 200);
        is_served();
        let mark = server.log.mark();
        server.signal(Signal::HUP);
        server.wait_for_line_from(mark, "worker started");
        is_served();
        server.signal(Signal::USR2);
        server.wait_for_line("the new server serves; this one ends");
        let successor = Successor::of(&pidfile);
        assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
        is_served();
        successor.stop();
    }
}

#[test]
fn a_number_that_is_no_socket_which_listens_is_refused() {
    for (text, expected) in [
        ("fd://77", "descriptor 77 is no socket that listens"),
        ("fd://1", "descriptor 1 is a standard stream"),
        ("fd://x", "is not the number of a descriptor"),
    ] {
        let refusal = Builder::app("kitchen").argument("--bind").argument(text).refuse();
        assert!(refusal.code == Some(2) && refusal.stderr.contains(expected), "{text}: {}", refusal.stderr);
    }
}

#[test]
fn a_new_server_that_does_not_get_ready_leaves_the_old_one_in_its_place() {
    let builder = Builder::app("kitchen").workers(2).server_key("pidfile = \"site.pid\"");
    let (pidfile, file) = (builder.folder().join("site.pid"), builder.folder().join("maitred.toml"));
    let mut server = builder.start();
    let good = fs::read_to_string(&file).expect("written by the builder");
    fs::write(&file, good.replace("wsgi = \"kitchen\"", "wsgi = \"no_such_module\"")).expect("write");
    server.signal(Signal::USR2);
    let new = started(&server);
    server.wait_for_line("the new server has ended before it served; this one goes on exit=\"exit code 3\"");
    assert!(!process::is_alive(new));
    assert_eq!(server.get("/hello").status, 200);
    assert_eq!(fs::read_to_string(&pidfile).expect("there").trim(), server.pid().to_string());
    let (code, told) = ctl(&server, &["pid"]);
    assert_eq!((code, told.trim()), (Some(0), server.pid().to_string().as_str()));
    // It can be tried again.
    fs::write(&file, good).expect("write");
    server.signal(Signal::USR2);
    server.wait_for_line("the new server serves; this one ends");
    let successor = Successor::of(&pidfile);
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
    assert_eq!(Client::connect(server.address).get("/hello").status, 200);
    successor.stop();
}

#[test]
fn programs_are_started_by_the_new_server_when_the_old_one_has_ended() {
    let builder = Builder::app("kitchen").workers(2).server_key("pidfile = \"site.pid\"");
    let (pidfile, starts) = (builder.folder().join("site.pid"), builder.folder().join("starts"));
    let command = format!("command = \"sh -c 'echo start >> {}; exec sleep 1000'\"\nstartsecs = 0", starts.display());
    let mut server = builder.program("mailer", &command).start();
    let count = || fs::read_to_string(&starts).unwrap_or_default().lines().count();
    wait_until("the program runs", DEADLINE, || count() == 1);
    let gate = server.gate("held");
    let held = server.get_in_thread(&format!("/hold?{}", gate.query()));
    gate.wait_started();
    server.signal(Signal::USR2);
    server.wait_for_line("the new server serves; this one ends");
    let successor = Successor::of(&pidfile);
    assert_eq!(Client::connect(server.address).get("/hello").status, 200);
    assert_eq!(count(), 1, "there are never two of them");
    gate.open();
    assert_eq!(held.join().expect("answered").status, 200);
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
    wait_until("the new server has started it", DEADLINE, || count() == 2);
    successor.stop();
}

#[test]
fn a_restart_refuses_nobody_and_an_address_that_is_left_out_is_closed() {
    let builder = Builder::app("kitchen").workers(2);
    let (socket, file) = (builder.folder().join("site.sock"), builder.folder().join("maitred.toml"));
    let key = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", socket.display());
    let mut server = builder.silent().server_key(&key).run();
    let ready = |server: &Server, mark: usize| {
        let line = server.wait_for_line_from(mark, "ready: listening on http://");
        let address = line.split("http://").nth(1).expect("an address");
        address.trim().parse::<std::net::SocketAddr>().expect("an address")
    };
    let address = ready(&server, 0);
    let gate = server.gate("held");
    let mut held = Client::connect(address);
    held.request("GET", &format!("/hold?{}", gate.query()), "Connection: close\r\n");
    gate.wait_started();
    let good = fs::read_to_string(&file).expect("written by the builder");
    fs::write(&file, good.replace(&key, "listen = \"127.0.0.1:0\"")).expect("write");
    let mark = server.log.mark();
    assert_eq!(ctl(&server, &["reload", "server"]).0, Some(0));
    server.wait_for_line_from(mark, "asked to start anew");
    // In the queue of a socket that the next life has too.
    let mut early = Client::connect(address);
    early.request("GET", "/hello", "");
    gate.open();
    assert_eq!(held.response("GET").status, 200);
    assert_eq!(early.response("GET").status, 200);
    let mark = server.log.lines_from(0).iter().position(|line| line.contains("asked to start anew")).expect("it was");
    assert_eq!(ready(&server, mark), address, "the kernel had chosen it for the life before");
    assert!(!socket.exists(), "nobody asked for it any more");
    assert_eq!(ctl(&server, &["pid"]).0, Some(0), "the control socket is there");
    assert!(server.stop().success());
}
