//! Clients of a TLS listener that mean ill, are broken, or took the wrong port: afterwards the server serves as before.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustls::ClientConfig;
use support::tls::{Authority, VERSIONS, connect, session, start};
use support::{Builder, Client, ReadError, Server};

fn server(keys: &[&str]) -> (Server, SocketAddr, Arc<ClientConfig>, Authority) {
    let authority = Authority::new();
    authority.issue("a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let mut builder =
        Builder::bare().shards(1).section(&authority.table("a", "")).static_route("/", authority.folder(), "");
    for key in keys {
        builder = builder.server_key(key);
    }
    let (server, address) = start(builder);
    let config = Arc::new(authority.client(&VERSIONS));
    (server, address, config, authority)
}

#[track_caller]
fn serves(address: SocketAddr, config: &Arc<ClientConfig>) {
    for _ in 0..3 {
        assert_eq!(connect(address, config, "localhost").get("/ca.pem").status, 200);
    }
}

/// The first bytes of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut client = session(config, "localhost");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a Vec takes everything");
    bytes
}

#[test]
fn plain_http_is_told_that_this_port_speaks_tls() {
    let (_server, address, config, _authority) = server(&[]);
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = Client::connect(address);
        client.send(request);
        let response = client.response("GET");
        assert_eq!(response.status, 400);
        assert!(response.text().contains("this port serves HTTPS"), "{}", response.text());
        assert!(response.closes());
        client.expect_end();
    }
    serves(address, &config);
}

#[test]
fn tls_on_a_plain_port_is_told_so_too() {
    let (server, _, config, _authority) = server(&[]);
    let mut client = server.connect();
    client.send(hello(&config));
    let response = client.response("GET");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("plain HTTP"), "{}", response.text());
}

/// xorshift64: the same garbage for the same seed.
fn garbage(state: &mut u64, length: usize) -> Vec<u8> {
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn garbage_ends_connections_and_nothing_else() {
    let (_server, address, config, _authority) = server(&[]);
    let mut seed = u64::from(std::process::id()) | 1 << 40;
    eprintln!("seed {seed}");
    let hello = hello(&config);
    for round in 0..200 {
        let mut client = Client::connect(address);
        let mut bytes = match round % 4 {
            // Inside a good hello, behind one, as records, as nothing at all.
            0 => hello[..hello.len() / 2].to_vec(),
            1 => hello.clone(),
            2 => vec![22, 3, 1, 0, 200],
            _ => vec![0x16],
        };
        bytes.extend(garbage(&mut seed, 20 + round * 17));
        client.try_send(&bytes);
        client.half_close();
        let (answer, end) = client.rest();
        assert_ne!(end, ReadError::Timeout, "round {round}");
        assert!(answer.is_empty() || matches!(answer[0], 20..=23), "round {round}: {answer:?}");
    }
    serves(address, &config);
}

#[test]
fn a_record_that_was_tampered_with_ends_its_connection_with_an_alert() {
    let (_server, address, config, _authority) = server(&[]);
    let mut client = connect(address, &config, "localhost");
    assert_eq!(client.get("/ca.pem").status, 200);
    client.tls().writer().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("room");
    let mut bytes = Vec::new();
    client.tls().write_tls(&mut bytes).expect("a Vec takes everything");
    *bytes.last_mut().expect("a record") ^= 1;
    client.stream().write_all(&bytes).expect("sent");
    let (_, end) = client.rest();
    assert_eq!(end, ReadError::Reset, "the client's session ends with the alert");
    serves(address, &config);
}

#[test]
fn half_open_handshakes_end_in_time() {
    let (_server, address, config, _authority) = server(&["handshake_timeout = \"1s\""]);
    let hello = hello(&config);
    let mut clients: Vec<TcpStream> = Vec::new();
    for count in [0, 1, 3, hello.len() - 1, hello.len()] {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(support::DEADLINE)).expect("an option");
        stream.write_all(&hello[..count]).expect("sent");
        clients.push(stream);
    }
    serves(address, &config);
    for mut client in clients {
        let mut rest = Vec::new();
        // A reset is as good an end as any.
        let _ = client.read_to_end(&mut rest).map_err(|error| {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        });
        assert!(rest.is_empty() || rest[0] == 22, "the server's own flight, or nothing");
    }
}

#[test]
fn too_many_handshakes_end_the_oldest() {
    let (_server, address, config, _authority) = server(&["max_handshakes = 4", "handshake_timeout = \"1h\""]);
    let hello = hello(&config);
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(support::DEADLINE)).expect("an option");
        // Half a hello, or not a word: either takes up room.
        stream.write_all(&hello[..50 * (number % 2)]).expect("sent");
        clients.push(stream);
        // Honest clients get through all the while.
        assert_eq!(connect(address, &config, "localhost").get("/ca.pem").status, 200);
    }
    for client in &mut clients[..16] {
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)), "ended by a newer one");
        let timed_out = client.take_error().expect("a socket").is_some();
        assert!(!timed_out);
    }
}

#[test]
fn a_flood_of_hellos_does_not_keep_others_from_being_served() {
    let (_server, address, config, _authority) = server(&[]);
    let mut healthy = connect(address, &config, "localhost");
    assert_eq!(healthy.get("/ca.pem").status, 200);
    let hello = hello(&config);
    let flood: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("connects");
            stream.write_all(&hello).expect("sent");
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(healthy.get("/ca.pem").status, 200);
    }
    serves(address, &config);
    drop(flood);
    serves(address, &config);
}
