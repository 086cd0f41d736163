//! Listeners that are not TCP over IPv4: unix sockets, whose files have a mode and an owner, and IPv6, with IPv4 or without.

mod support;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::PKCS_ECDSA_P256_SHA256;
use serde_json::Value;
use support::tls::{Authority, VERSIONS, session};
use support::{Builder, Client, Server};

/// A server on a socket of its own in the test's folder; `more`: further keys of the listener.
fn on_unix(builder: Builder, more: &str) -> (Server, PathBuf) {
    let path = builder.folder().join("web.sock");
    let line = format!("listen = [{{ address = 'unix:web.sock'{more} }}]");
    (builder.silent().server_key(&line).run(), path)
}

fn kitchen() -> Builder {
    Builder::app("kitchen")
}

/// What the application sees under these keys, empty where there is nothing.
fn seen(environ: &Value, keys: [&str; 5]) -> [String; 5] {
    keys.map(|key| environ[key].as_str().unwrap_or_default().to_owned())
}

const KEYS: [&str; 5] = ["REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme", "HTTP_X_FORWARDED_FOR"];

/// The permissions, user and group of a socket's file.
fn file_of(path: &Path) -> (u32, u32, u32) {
    let found = fs::metadata(path).expect("the socket's file");
    assert!(found.file_type().is_socket());
    (found.mode() & 0o777, found.uid(), found.gid())
}

/// What a client over a unix socket is said to be; the client of the last one sends a body as well.
#[test]
fn requests_over_a_unix_socket_are_served_like_others() {
    let (_server, path) = on_unix(kitchen(), "");
    let mut client = Client::connect_unix(&path);
    for (host, name, port) in [("example.com", "example.com", "80"), ("example.com:8080", "example.com", "8080")] {
        client.send(format!("GET /environ HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"));
        assert_eq!(seen(&client.response("GET").json(), KEYS), ["", name, port, "http", ""]);
    }
    let body = support::pattern(300_000);
    support::assert_same_bytes(&client.post("/echo", "", &body).body, &body);
    client.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((client.response("GET").status, client.response("GET").status), (200, 200));
    client.expect_end();
}

#[test]
fn peers_of_a_unix_socket_are_proxies_only_where_that_is_said() {
    let lines = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n";
    for (trusted, expected) in [
        ("[]", ["", "localhost", "80", "http", ""]),
        ("'127.0.0.1'", ["", "localhost", "80", "http", ""]),
        ("'unix:'", ["203.0.113.9", "localhost", "443", "https", "203.0.113.9"]),
    ] {
        let (_server, path) = on_unix(kitchen().server_key(&format!("trusted_proxies = {trusted}")), "");
        let mut client = Client::connect_unix(&path);
        client.request("GET", "/environ", lines);
        assert_eq!(seen(&client.response("GET").json(), KEYS), expected, "{trusted}");
    }
}

#[test]
fn tls_and_proxy_headers_come_over_unix_sockets_too() {
    let authority = Authority::new();
    authority.issue("site", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let builder = kitchen().section(&authority.table("site", "")).server_key("trusted_proxies = 'unix:'");
    let (_server, path) = on_unix(builder, ", tls = true, proxy_protocol = true");
    let config = Arc::new(authority.client(&VERSIONS));
    let mut client = Client::connect_unix(&path);
    client.send("PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n");
    let mut client = client.with_tls(session(&config, "localhost"));
    assert_eq!(seen(&client.get("/environ").json(), KEYS), ["203.0.113.9", "192.0.2.1", "443", "https", ""]);
}

#[test]
fn a_socket_has_the_mode_and_the_owner_that_are_asked_for() {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let (_open, path) = on_unix(Builder::bare().route("path = '/'\nstatus = 204"), "");
    assert_eq!(file_of(&path), (0o666, uid, gid), "as nginx and gunicorn make it");
    let (_closed, path) =
        on_unix(Builder::bare().route("path = '/'\nstatus = 204"), &format!(", mode = '600', owner = '{uid}:{gid}'"));
    assert_eq!(file_of(&path), (0o600, uid, gid));
    assert_eq!(Client::connect_unix(&path).get("/").status, 204);
    if uid != 0 {
        eprintln!("not shown: only root can give a socket to somebody else");
        let refusal = unix_refusal(", owner = 'root'");
        assert!(refusal.contains("the socket can't be given to another owner"), "{refusal}");
        return;
    }
    let (_given, path) =
        on_unix(Builder::bare().route("path = '/'\nstatus = 204"), ", mode = '660', owner = 'nobody:4343'");
    assert_eq!(file_of(&path), (0o660, NOBODY, 4343));
    let (_group, path) =
        on_unix(Builder::bare().route("path = '/'\nstatus = 204"), ", mode = '0o620', owner = ':4343'");
    assert_eq!(file_of(&path), (0o620, 0, 4343));
}

/// The user that every system has to own nothing.
const NOBODY: u32 = 65_534;

/// What a server says that must not start with this listener.
#[track_caller]
fn unix_refusal(more: &str) -> String {
    let line = format!("listen = [{{ address = 'unix:web.sock'{more} }}]");
    let builder = Builder::bare().route("path = '/'\nstatus = 204").silent().server_key(&line);
    let refusal = builder.refuse();
    assert_eq!(refusal.code, Some(2), "{}", refusal.stderr);
    refusal.stderr
}

#[test]
fn a_socket_that_a_dead_server_has_left_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join("web.sock");
    let start = || {
        let line = format!("listen = 'unix:{}'", path.display());
        Builder::bare().route("path = '/'\nstatus = 204").silent().server_key(&line)
    };
    drop(UnixListener::bind(&path).expect("a server that dies"));
    assert!(UnixStream::connect(&path).is_err(), "nobody listens there any more");
    let mut server = start().run();
    assert_eq!(Client::connect_unix(&path).get("/").status, 204);
    let refusal = start().refuse();
    assert!(refusal.code == Some(2) && refusal.stderr.contains("another server listens"), "{}", refusal.stderr);
    assert_eq!(Client::connect_unix(&path).get("/").status, 204, "the first one goes on");
    server.stop();
    assert!(!path.exists(), "it has taken its socket away");
    fs::write(&path, "keep me").expect("a writable folder");
    let refusal = start().refuse();
    assert!(refusal.code == Some(2) && refusal.stderr.contains("not a socket"), "{}", refusal.stderr);
    assert_eq!(fs::read_to_string(&path).expect("still there"), "keep me");
}

/// Whether this machine has IPv6; says so where it does not.
fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("not shown: this machine has no IPv6");
    }
    has
}

/// The port of the listener whose line contains `host`.
fn port_of(server: &Server, host: &str) -> u16 {
    let line = server.wait_for_line(&format!("ready: listening on http://{host}:"));
    line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("the line ends in a port")
}

#[test]
fn an_ipv6_wildcard_serves_both_families_unless_it_is_told_not_to() {
    if !has_ipv6() {
        return;
    }
    for (more, serves_ipv4) in [("", true), (", ipv6only = false", true), (", ipv6only = true", false)] {
        let line = format!("listen = [{{ address = '[::]:0'{more} }}]");
        let server = kitchen().silent().server_key(&line).run();
        let port = port_of(&server, "[::]");
        let own = port.to_string();
        let environ = Client::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).get("/environ").json();
        assert_eq!(seen(&environ, KEYS), ["::1", "::1", &own, "http", ""]);
        let ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(TcpStream::connect(ipv4).is_ok(), serves_ipv4, "{more}");
        if serves_ipv4 {
            let environ = Client::connect(ipv4).get("/environ").json();
            assert_eq!(seen(&environ, KEYS), ["127.0.0.1", "127.0.0.1", &own, "http", ""], "not ::ffff:127.0.0.1");
        }
    }
}

#[test]
fn one_port_may_be_listened_on_for_each_family_by_itself() {
    if !has_ipv6() {
        return;
    }
    // The port is free for both now, and mostly still so in a moment.
    for attempt in 0.. {
        let port = TcpListener::bind("[::]:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let line = format!("listen = ['0.0.0.0:{port}', '[::]:{port}']");
        let server = Builder::bare().route("path = '/'\nstatus = 204").silent().server_key(&line).spawn();
        if server.log.wait_from(0, "ready: listening on http://[::]", support::DEADLINE).is_none() {
            let text = server.log.text();
            assert!(text.contains("in use") && attempt < 5, "{text}");
            continue;
        }
        for host in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))] {
            assert_eq!(Client::connect(host).get("/").status, 204, "{host}");
        }
        return;
    }
}

#[test]
fn an_ipv6_address_in_a_redirect_has_its_brackets() {
    if !has_ipv6() {
        return;
    }
    let route = "path = '/'\nredirect = 'https://$host$request_uri'";
    let server = Builder::bare().route(route).silent().server_key("listen = '[::1]:0'").run();
    let mut client = Client::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port_of(&server, "[::1]"))));
    client.send("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!(client.response("GET").field("Location"), Some("https://[::1]/a"));
}
