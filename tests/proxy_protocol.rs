//! Balancers that say in a PROXY header who their client is: that address counts everywhere, and only trusted peers may say so.
//!
//! The balancer connects from 127.0.0.2. `tests/spoofing.rs` has the table of what it can't be made to say.

mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::PKCS_ECDSA_P256_SHA256;
use serde_json::Value;
use support::metrics::Page;
use support::proxy::{connect, start, v1, v2, v2_from};
use support::tls::{Authority, VERSIONS, session};
use support::{Builder, Client, DEADLINE, ReadError, Server, wait_until};

const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const TRUSTED: &str = "trusted_proxies = ['127.0.0.2', '2001:db8:1::/48']";
/// Who stands behind the balancer.
const CLIENT: &str = "203.0.113.9";

fn line(client: &str) -> Vec<u8> {
    v1(format_args!("TCP4 {client} 192.0.2.1 4711 443"))
}

fn kitchen() -> Builder {
    Builder::app("kitchen").server_key(TRUSTED)
}

/// `REMOTE_ADDR REMOTE_PORT`.
#[track_caller]
fn client_of(client: &mut Client) -> String {
    let environ: Value = client.get("/environ").json();
    let text = |key: &str| environ[key].as_str().expect("text").to_owned();
    assert!(environ.get("HTTP_X_FORWARDED_FOR").is_none(), "as of a client that has connected by itself");
    format!("{} {}", text("REMOTE_ADDR"), text("REMOTE_PORT"))
}

fn metrics(server: &Server) -> Page {
    let line = server.wait_for_line("admin: listening on http://");
    let address: SocketAddr = line.rsplit('/').next().and_then(|text| text.trim().parse().ok()).expect("an address");
    Page::parse(Client::connect(address).get("/metrics").text())
}

fn refused(server: &Server) -> f64 {
    metrics(server).value("maitred_proxy_headers_refused_total", &[])
}

#[test]
fn the_client_is_whom_the_header_names_in_either_version() {
    let (server, address) = start(kitchen(), "");
    let many = [&[4, 0, 200][..], &[0; 200], b"\x02\x00\x09shop.test\x20\x00\x05\x01\0\0\0\0"].concat();
    for (header, expected) in [
        (line(CLIENT), "203.0.113.9 4711"),
        (v1("TCP6 2001:db8::9 2001:db8::1 4711 443"), "2001:db8::9 4711"),
        (v1("TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 4711 443"), "203.0.113.9 4711"),
        (v2_from("203.0.113.9:4711", "192.0.2.1:443", b""), "203.0.113.9 4711"),
        (v2_from("203.0.113.9:4711", "192.0.2.1:443", &many), "203.0.113.9 4711"),
        (v2_from("[2001:db8::9]:4711", "[2001:db8::1]:443", b""), "2001:db8::9 4711"),
    ] {
        // In one piece and byte by byte, a second request over the same connection, and all at once with the request.
        let mut whole = connect(BALANCER, address, &header);
        assert_eq!((client_of(&mut whole), client_of(&mut whole)), (expected.to_owned(), expected.to_owned()));
        let mut pieces = Client::connect_from(BALANCER, address);
        pieces.send_pieces(&header, 1);
        assert_eq!(client_of(&mut pieces), expected);
        let mut all = Client::connect_from(BALANCER, address);
        all.send([&header[..], b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat());
        assert_eq!(all.response("GET").status, 200);
    }
    drop(server);
}

#[test]
fn the_header_comes_before_the_tls_handshake() {
    let authority = Authority::new();
    authority.issue("site", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let (_server, address) = start(kitchen().section(&authority.table("site", "")), "tls = true");
    let config = Arc::new(authority.client(&VERSIONS));
    for header in [line(CLIENT), v2_from("203.0.113.9:4711", "192.0.2.1:443", &[4; 300])] {
        // The header alone, then the handshake; then both in one segment.
        let mut secure = connect(BALANCER, address, &header).with_tls(session(&config, "localhost"));
        assert_eq!(client_of(&mut secure), "203.0.113.9 4711");
        assert_eq!(secure.get("/environ").json()["wsgi.url_scheme"], "https");

        let mut client = Client::connect_from(BALANCER, address);
        let mut tls = session(&config, "localhost");
        let mut both = header.clone();
        tls.write_tls(&mut both).expect("a Vec takes everything");
        client.send(&both);
        let mut secure = client.with_tls(tls);
        assert_eq!(client_of(&mut secure), "203.0.113.9 4711");
    }
    // HTTP behind the header is told what this port speaks, as without one.
    let mut plain = connect(BALANCER, address, &line(CLIENT));
    plain.request("GET", "/", "");
    assert_eq!(plain.response("GET").status, 400);
}

#[test]
fn a_header_of_the_balancers_own_leaves_the_connection_what_it_is() {
    let (_server, address) = start(kitchen(), "");
    for header in [v2(0, 0, b""), v2(0, 0x11, &[1; 12]), v2(0, 0xff, &[1; 30])] {
        let mut client = connect(BALANCER, address, &header);
        let port = client.stream().local_addr().expect("an address").port();
        assert_eq!(client_of(&mut client), format!("127.0.0.2 {port}"));
    }
}

#[test]
fn a_client_without_an_address_has_none() {
    let (_server, address) = start(kitchen(), "");
    for header in [v1("UNKNOWN"), v1("UNKNOWN 1.2.3.4 5.6.7.8 9 10"), v2(1, 0, b""), v2(1, 0x31, &[b'a'; 216])] {
        assert_eq!(client_of(&mut connect(BALANCER, address, &header)), " ");
    }
}

#[test]
fn what_is_no_header_of_a_trusted_peer_is_closed_counted_and_said_once() {
    let (server, address) = start(kitchen().shards(1).section("[admin]\nlisten = '127.0.0.1:0'"), "");
    let good = line(CLIENT);
    let stranger = Ipv4Addr::new(127, 0, 0, 3);
    let oversized = v2_from("203.0.113.9:4711", "192.0.2.1:443", &[0; 4096]);
    let long_line = v1(format_args!("UNKNOWN {}", "x".repeat(100)));
    let request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let cases: [(Ipv4Addr, &[u8], bool); 8] = [
        (stranger, &good, false),
        (stranger, b"", false),
        (BALANCER, request, false),
        (BALANCER, b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\n", true),
        (BALANCER, b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n", false),
        (BALANCER, &good[..20], true),
        (BALANCER, &oversized, false),
        (BALANCER, &long_line, false),
    ];
    let mark = server.log.mark();
    for (at, &(source, bytes, ends)) in cases.iter().enumerate() {
        let mut client = connect(source, address, bytes);
        if ends {
            client.half_close();
        }
        let (answer, end) = client.rest();
        assert!(answer.is_empty() && end != ReadError::Timeout, "case {at}: {answer:?} {end:?}");
        assert_eq!(refused(&server), (at + 1) as f64, "case {at}");
    }
    assert_eq!(client_of(&mut connect(BALANCER, address, &good)), "203.0.113.9 4711");
    let said = server.log.lines_from(mark);
    let said: Vec<_> = said.iter().filter(|line| line.contains("refused a PROXY header")).collect();
    assert!(said.len() == 1 && said[0].contains("127.0.0.3"), "{said:?}");
}

#[test]
fn looks_whether_somebody_answers_are_no_refusals() {
    let (server, address) = start(kitchen().section("[admin]\nlisten = '127.0.0.1:0'"), "");
    for _ in 0..3 {
        let mut client = connect(BALANCER, address, b"");
        client.half_close();
        client.expect_end();
    }
    assert_eq!(refused(&server), 0.0);
}

#[test]
fn a_header_has_the_time_of_a_head() {
    let (server, address) =
        start(kitchen().server_key("head_timeout = '1s'").section("[admin]\nlisten = '127.0.0.1:0'"), "");
    let begun = Instant::now();
    let mut silent = connect(BALANCER, address, b"");
    let mut slow = connect(BALANCER, address, &line(CLIENT)[..10]);
    silent.expect_end();
    assert!(matches!(slow.rest(), (answer, ReadError::Closed | ReadError::Reset) if answer.is_empty()));
    assert!((Duration::from_millis(900)..DEADLINE).contains(&begun.elapsed()));
    assert_eq!(refused(&server), 1.0, "the one that had begun");
    // The time for the head begins anew behind it.
    assert_eq!(client_of(&mut connect(BALANCER, address, &line(CLIENT))), "203.0.113.9 4711");
}

#[test]
fn limits_rules_and_the_log_go_by_the_address_of_the_header() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let log = folder.path().join("access.log");
    let format = "$remote_addr:$remote_port $realip_remote_addr $server_addr:$server_port $status";
    let builder = kitchen()
        .server_key(&format!("access_log = {{ path = {log:?}, flush = '100ms', format = '{format}' }}"))
        .server_key("limit = { rate = '1/h', burst = 0 }\ndeny = '198.51.100.0/24'");
    let (_server, address) = start(builder, "");
    let status = |client: &str| connect(BALANCER, address, &line(client)).get("/hello").status;
    assert_eq!([status(CLIENT), status(CLIENT), status("203.0.113.10")], [200, 429, 200]);
    assert_eq!(status("198.51.100.1"), 403);
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("all lines", DEADLINE, || lines().lines().count() == 4);
    let mut lines: Vec<_> = lines().lines().map(str::to_owned).collect();
    lines.sort();
    let expected = [("198.51.100.1", 403), ("203.0.113.10", 200), (CLIENT, 200), (CLIENT, 429)];
    assert_eq!(lines, expected.map(|(client, status)| format!("{client}:4711 127.0.0.2 192.0.2.1:443 {status}")));
}

#[test]
fn connections_are_counted_by_the_address_of_the_header() {
    let (_server, address) = start(kitchen().shards(1).server_key("max_connections_per_address = 2"), "");
    let mut kept: Vec<_> = (0..2).map(|_| connect(BALANCER, address, &line(CLIENT))).collect();
    for client in &mut kept {
        assert_eq!(client_of(client), "203.0.113.9 4711");
    }
    let (answer, _) = connect(BALANCER, address, &line(CLIENT)).rest();
    assert!(answer.is_empty(), "closed without a word");
    assert_eq!(client_of(&mut connect(BALANCER, address, &line("203.0.113.10"))), "203.0.113.10 4711");
    drop(kept.pop());
    wait_until("the place is free again", DEADLINE, || {
        let mut client = connect(BALANCER, address, &line(CLIENT));
        client.try_send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n") && client.try_response("GET").is_ok()
    });
}

#[test]
fn a_stop_waits_for_no_connection_that_has_sent_no_request() {
    let (mut server, address) = start(kitchen(), "");
    let silent = TcpStream::connect(address).expect("connects");
    let mut named = connect(BALANCER, address, &line(CLIENT));
    let mut busy = connect(BALANCER, address, &line(CLIENT));
    assert_eq!(client_of(&mut busy), "203.0.113.9 4711");
    server.signal(rustix::process::Signal::TERM);
    named.expect_end();
    busy.expect_end();
    assert!(server.wait_exit(DEADLINE).is_some_and(|status| status.success()));
    drop(silent);
}
