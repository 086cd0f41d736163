//! What systemd and the server say to each other: sockets that are passed on, and sd_notify's messages. systemd itself is played by the tests.

mod support;

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use rustix::process::Signal;
use support::{Builder, Client, DEADLINE, Server, wait_until};

/// Starts what follows with listening sockets in its descriptors from 3 on, as systemd does it.
const ACTIVATE: &str = "
import fcntl, os, socket, sys
where = sys.argv[1].split(',')
sockets = []
for place in where:
    if place.startswith('/'):
        one = socket.socket(socket.AF_UNIX)
        one.bind(place)
    else:
        one = socket.socket(socket.AF_INET6 if place.startswith('[') else socket.AF_INET)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host, _, port = place.rpartition(':')
        one.bind((host.strip('[]'), int(port)))
    one.listen(16)
    sockets.append(one)
held = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in sockets]
for at, number in enumerate(held):
    os.dup2(number, 3 + at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(held)), LISTEN_FDNAMES=':'.join(['web'] * len(held)))
os.execv(sys.argv[2], sys.argv[2:])
";

fn addresses(server: &Server) -> Vec<SocketAddr> {
    let lines = server.log.lines_from(0);
    let lines = lines.iter().filter_map(|line| line.split("ready: listening on http://").nth(1));
    lines.map(|address| address.trim().parse().expect("an address")).collect()
}

fn get(address: SocketAddr) -> u16 {
    let mut client = Client::connect(address);
    client.request("GET", "/hello", "");
    client.response("GET").status
}

#[test]
fn sockets_that_were_passed_on_are_served_in_place_of_the_default_address() {
    let builder = Builder::app("kitchen").silent().shards(2);
    let server = builder.prefix(&["python3", "-c", ACTIVATE, "127.0.0.1:0"]).run();
    let [address] = addresses(&server)[..] else { panic!("one address: {}", server.log.text()) };
    for _ in 0..8 {
        assert_eq!(get(address), 200);
    }
    let environment = fs::read(format!("/proc/{}/environ", server.wait_workers(1)[0].pid)).expect("it runs");
    assert!(!String::from_utf8_lossy(&environment).contains("LISTEN_"), "workers have nothing to do with it");
}

#[test]
fn an_address_that_is_configured_takes_its_socket_and_others_are_opened() {
    let builder = Builder::app("kitchen").silent().shards(1);
    let path = builder.folder().join("web.sock");
    let named = path.display().to_string();
    let builder = builder.argument("-b").argument("127.0.0.2:0").argument("-b").argument(&format!("unix:{named}"));
    let mut server = builder.prefix(&["python3", "-c", ACTIVATE, &format!("{named},127.0.0.1:0")]).run();
    server.wait_for_line(&format!("ready: listening on unix:{named}"));
    wait_until("both addresses are there", DEADLINE, || addresses(&server).len() == 2);
    assert!(addresses(&server).iter().all(|&address| get(address) == 200));
    assert!(server.stop().success());
    assert!(path.exists(), "whoever has made the socket removes it");
}

#[test]
fn what_is_no_listening_socket_is_refused() {
    let script = "import os, sys\nos.dup2(os.dup2(os.open('/dev/null', os.O_RDONLY), 9), 3)\n\
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\nos.execv(sys.argv[1], sys.argv[1:])";
    let refusal = Builder::app("kitchen").prefix(&["python3", "-c", script]).refuse();
    assert_eq!(refusal.code, Some(2));
    assert!(refusal.stderr.contains("no listening socket"), "{}", refusal.stderr);
    // Meant for somebody else: not looked at.
    let server = Builder::app("kitchen").environment("LISTEN_FDS", "1").environment("LISTEN_PID", "1").start();
    assert_eq!(server.get("/hello").status, 200);
}

/// The manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    /// What has come and nobody has waited for yet, the watchdog's messages apart.
    unread: RefCell<Vec<String>>,
}

impl Manager {
    fn new(builder: &Builder) -> (Manager, String) {
        let path = builder.folder().join("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        (Manager { socket, unread: RefCell::default() }, path.display().to_string())
    }

    /// The first message for which `wanted` holds, of those that nobody has waited for.
    #[track_caller]
    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut unread = self.unread.borrow_mut();
        if let Some(at) = unread.iter().position(|message| wanted(message)) {
            return unread.remove(at);
        }
        let mut buffer = [0; 4096];
        let end = Instant::now() + DEADLINE;
        while let Ok(length) = self.socket.recv(&mut buffer)
            && Instant::now() < end
        {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if wanted(&message) {
                return message;
            }
            if message != "WATCHDOG=1" {
                unread.push(message);
            }
        }
        panic!("not said: {unread:?}");
    }
}

fn value(message: &str, name: &str) -> Option<u64> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[test]
fn systemd_hears_of_readiness_reloads_life_and_the_end() {
    let builder = Builder::app("kitchen");
    let (manager, socket) = Manager::new(&builder);
    let mut server = builder.environment("NOTIFY_SOCKET", &socket).environment("WATCHDOG_USEC", "200000").start();
    let ready = manager.wait_for(|message| message.starts_with("READY=1"));
    assert_eq!(value(&ready, "MAINPID"), Some(u64::from(server.pid())));
    manager.wait_for(|message| message == "STATUS=Serving with 1 worker of generation 1");
    // It lives as long as that is said again and again.
    for _ in 0..3 {
        manager.wait_for(|message| message == "WATCHDOG=1");
    }
    let environment = fs::read(format!("/proc/{}/environ", server.wait_workers(1)[0].pid)).expect("it runs");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG_USEC"));

    server.signal(Signal::HUP);
    let reloading = manager.wait_for(|message| message.starts_with("RELOADING=1"));
    assert!(value(&reloading, "MONOTONIC_USEC").is_some_and(|at| at > 0));
    manager.wait_for(|message| message.starts_with("READY=1"));
    assert!(server.log.text().contains("generation=2"));

    // A reload that fails is over too.
    let file = server.folder().join("maitred.toml");
    fs::write(&file, "nonsense").expect("write");
    server.signal(Signal::HUP);
    manager.wait_for(|message| message.starts_with("RELOADING=1"));
    manager.wait_for(|message| message.starts_with("READY=1"));

    server.signal(Signal::TERM);
    manager.wait_for(|message| message == "STOPPING=1");
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
}

#[test]
fn a_watchdog_for_another_process_is_not_ours() {
    let builder = Builder::bare().route("path = \"/\"\nstatus = 404");
    let (manager, socket) = Manager::new(&builder);
    let builder = builder.environment("NOTIFY_SOCKET", &socket).environment("WATCHDOG_USEC", "1000");
    let mut server = builder.environment("WATCHDOG_PID", "1").start();
    manager.wait_for(|message| message.starts_with("READY=1"));
    server.signal(Signal::TERM);
    manager.wait_for(|message| {
        assert_ne!(message, "WATCHDOG=1");
        message == "STOPPING=1"
    });
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
}
