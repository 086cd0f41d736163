//! TLS as clients see it: versions, names, certificates, resumption, bodies, records split anywhere, ends.

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion, SignatureScheme};
use support::tls::{Authority, VERSIONS, connect, start};
use support::{Builder, Client, Server, assert_same_bytes, pattern};

/// A key of 2048 bits for RSA: making one takes too long in a debug build.
const RSA_KEY: &str = include_str!("tls_files/rsa.key");

fn kitchen(authority: &Authority, tables: &str) -> (Server, SocketAddr) {
    start(Builder::app("kitchen:application").shards(2).section(tables).app_route("").static_route(
        "/files/",
        authority.folder(),
        "",
    ))
}

/// One certificate for `localhost`.
fn simple() -> (Authority, Server, SocketAddr) {
    let authority = Authority::new();
    authority.issue("a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let (server, address) = kitchen(&authority, &authority.table("a", ""));
    (authority, server, address)
}

/// The common name of the certificate that the server has shown: the name of its file.
fn shown(client: &mut Client) -> String {
    client.handshake().expect("a handshake");
    let chain = client.tls().peer_certificates().expect("a certificate");
    let (_, parsed) = x509_parser::parse_x509_certificate(&chain[0]).expect("well-formed");
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.expect("a common name").to_owned()
}

#[test]
fn both_versions_serve_the_application_and_files() {
    let (authority, _server, address) = simple();
    for version in VERSIONS {
        let config = Arc::new(authority.client(&[version]));
        let mut client = connect(address, &config, "localhost");
        assert_eq!(client.get("/hello").text(), "Hello, world!\n");
        assert_eq!(client.tls().protocol_version(), Some(version.version));
        let environ = client.get("/environ").json();
        assert_eq!(environ["wsgi.url_scheme"], "https");
        assert_eq!(environ["HTTPS"], "on");
        assert_eq!(environ["SERVER_PORT"], address.port().to_string());
        assert_eq!(environ["HTTP_X_FORWARDED_PROTO"], "https");
        assert_eq!(environ["SSL_TLS_SNI"], "localhost");
        let is_13 = version.version == ProtocolVersion::TLSv1_3;
        assert_eq!(environ["SSL_PROTOCOL"], if is_13 { "TLSv1.3" } else { "TLSv1.2" });
        assert_eq!(environ.get("SSL_CLIENT_VERIFY"), None);
        let file = client.get("/files/ca.pem");
        assert_eq!(file.body, std::fs::read(authority.root()).expect("readable"));
        client.request("GET", "/hello", "Connection: close\r\nX-Forwarded-Proto: http\r\n");
        assert_eq!(client.response("GET").text(), "Hello, world!\n");
        client.expect_end();
    }
}

#[test]
fn a_forged_scheme_does_not_reach_the_application() {
    let (authority, _server, address) = simple();
    let mut client = connect(address, &Arc::new(authority.client(&VERSIONS)), "localhost");
    client.request("GET", "/environ", "X-Forwarded-Proto: http\r\nx-forwarded-proto: ftp\r\n");
    assert_eq!(client.response("GET").json()["HTTP_X_FORWARDED_PROTO"], "https");
}

#[test]
fn names_choose_certificates() {
    let authority = Authority::new();
    authority.issue("default", &["default.test"], &PKCS_ECDSA_P256_SHA256);
    authority.issue("exact", &["example.test"], &PKCS_ECDSA_P256_SHA256);
    authority.issue("wild", &["*.example.test"], &PKCS_ED25519);
    let tables = authority.table("default", "")
        + &authority.table("exact", "names = \"example.test\"")
        + &authority.table("wild", "names = [\"*.example.test\"]");
    let (_server, address) = kitchen(&authority, &tables);
    let mut config = authority.client(&VERSIONS);
    // Who asks for an unknown name gets the first certificate, which does not fit: as with every server.
    let anything = Arc::new(Only(config.crypto_provider().clone()));
    config.dangerous().set_certificate_verifier(anything);
    let config = Arc::new(config);
    for (name, expected) in [
        ("example.test", "exact"),
        ("Www.Example.test", "wild"),
        ("a.b.example.test", "default"),
        ("default.test", "default"),
        ("unknown.test", "default"),
        // No name is sent for an address.
        ("127.0.0.1", "default"),
    ] {
        assert_eq!(shown(&mut connect(address, &config, name)), expected, "{name}");
    }
}

#[test]
fn clients_get_the_kind_of_key_that_they_can_verify() {
    let authority = Authority::new();
    authority.issue_for(
        "rsa",
        &["localhost"],
        &KeyPair::from_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).expect("a key"),
    );
    authority.issue("ecdsa", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    // RSA stands first; ECDSA is preferred all the same.
    let tables = authority.table("rsa", "names = \"localhost\"") + &authority.table("ecdsa", "names = \"localhost\"");
    let (_server, address) = kitchen(&authority, &tables);
    let with = |keep: fn(&SignatureScheme) -> bool, suites: fn(CipherSuite) -> bool, version| -> Arc<ClientConfig> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| suites(suite.suite()));
        let algorithms = &mut provider.signature_verification_algorithms;
        let mapping: Vec<_> = algorithms.mapping.iter().copied().filter(|(scheme, _)| keep(scheme)).collect();
        algorithms.mapping = mapping.leak();
        let provider = Arc::new(provider);
        let config = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]);
        let config = config.expect("versions").dangerous().with_custom_certificate_verifier(Arc::new(Only(provider)));
        Arc::new(config.with_no_client_auth())
    };
    let is_rsa = |scheme: &SignatureScheme| format!("{scheme:?}").starts_with("RSA");
    for version in VERSIONS {
        let both = with(|_| true, |_| true, version);
        assert_eq!(shown(&mut connect(address, &both, "localhost")), "ecdsa");
        let rsa = with(is_rsa, |_| true, version);
        assert_eq!(shown(&mut connect(address, &rsa, "localhost")), "rsa");
    }
    let suites = |suite: CipherSuite| format!("{suite:?}").contains("ECDHE_RSA");
    let old = with(|_| true, suites, &rustls::version::TLS12);
    assert_eq!(shown(&mut connect(address, &old, "localhost")), "rsa", "the suites of TLS 1.2 name the key");
}

/// Trusts every certificate, and offers the schemes that its provider was left with.
#[derive(Debug)]
struct Only(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn sessions_are_resumed_on_whatever_shard() {
    let (authority, _server, address) = simple();
    for version in VERSIONS {
        let config = Arc::new(authority.client(&[version]));
        for round in 0..12 {
            let mut client = connect(address, &config, "localhost");
            assert_eq!(client.get("/hello").status, 200);
            let resumed = client.tls().handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, round > 0, "round {round} of {:?}", version.version);
        }
    }
}

#[test]
fn without_tickets_every_handshake_is_a_full_one() {
    let authority = Authority::new();
    authority.issue("a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let (_server, address) = kitchen(&authority, &authority.table("a", "tickets = false\npreset = \"modern\""));
    let config = Arc::new(authority.client(&VERSIONS));
    for _ in 0..2 {
        let mut client = connect(address, &config, "localhost");
        assert_eq!(client.get("/hello").status, 200);
        assert_eq!(client.tls().handshake_kind(), Some(HandshakeKind::Full));
    }
    let old = Arc::new(authority.client(&[&rustls::version::TLS12]));
    let error = connect(address, &old, "localhost").handshake().expect_err("TLS 1.3 alone");
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[test]
fn clients_show_their_certificates_where_they_are_asked() {
    let authority = Authority::new();
    for file in ["open", "asks", "staff", "alice"] {
        authority.issue(file, &[&format!("{file}.test")], &PKCS_ECDSA_P256_SHA256);
    }
    let ca = format!("client_ca = {:?}", authority.root());
    let tables = authority.table("open", "")
        + &authority.table("asks", &format!("client_auth = \"optional\"\n{ca}"))
        + &authority.table("staff", &format!("client_auth = \"required\"\n{ca}"));
    let (_server, address) = kitchen(&authority, &tables);
    let nobody = Arc::new(authority.client(&VERSIONS));
    let alice = Arc::new(authority.client_with("alice"));
    let environ = |config: &Arc<ClientConfig>, name: &str| {
        let mut client = connect(address, config, name);
        client.send(format!("GET /environ HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        client.try_response("GET").map(|response| response.json())
    };
    assert_eq!(environ(&nobody, "open.test").expect("served").get("SSL_CLIENT_VERIFY"), None);
    assert_eq!(environ(&nobody, "asks.test").expect("served")["SSL_CLIENT_VERIFY"], "NONE");
    for name in ["asks.test", "staff.test"] {
        // The second time the session is resumed, and the certificate is still known.
        for _ in 0..2 {
            let seen = environ(&alice, name).expect("served");
            assert_eq!(seen["SSL_CLIENT_VERIFY"], "SUCCESS");
            assert_eq!(seen["SSL_CLIENT_S_DN"], "CN=alice,O=Kitchen\\, Ltd");
            assert!(seen["SSL_CLIENT_I_DN"].as_str().is_some_and(|issuer| issuer.contains("CN=Tests")), "{seen}");
        }
    }
    assert!(environ(&nobody, "staff.test").is_err(), "no certificate, no connection");
    // A session that was begun for a host that does not ask is no way around one that does.
    let mut client = connect(address, &nobody, "open.test");
    client.send("GET /environ HTTP/1.1\r\nHost: staff.test\r\n\r\n");
    assert_eq!(client.response("GET").status, 421);
    // A certificate of somebody else's is none.
    let stranger = Authority::new();
    stranger.issue("mallory", &["mallory.test"], &PKCS_ECDSA_P256_SHA256);
    for ending in ["pem", "key"] {
        let name = format!("mallory.{ending}");
        std::fs::copy(stranger.folder().join(&name), authority.folder().join(&name)).expect("a writable folder");
    }
    let mallory = Arc::new(authority.client_with("mallory"));
    assert!(environ(&mallory, "asks.test").is_err() && environ(&mallory, "staff.test").is_err());
}

#[test]
fn alpn_agrees_on_http_1_1_or_fails() {
    let (authority, _server, address) = simple();
    let offering = |protocols: &[&[u8]]| {
        let mut config = authority.client(&VERSIONS);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        connect(address, &Arc::new(config), "localhost")
    };
    let mut client = offering(&[b"h2", b"http/1.1"]);
    assert_eq!(client.get("/hello").status, 200);
    assert_eq!(client.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(offering(&[]).get("/hello").status, 200);
    let error = offering(&[b"h2"]).handshake().expect_err("nothing in common");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn large_bodies_go_both_ways() {
    let (authority, server, address) = simple();
    let config = Arc::new(authority.client(&VERSIONS));
    let mut client = connect(address, &config, "localhost");
    let body = pattern(3_000_001);
    assert_same_bytes(&client.post("/echo", "", &body).body, &body);
    assert_same_bytes(&client.post_chunked("/echo", &body[..300_000], 7_001).body, &body[..300_000]);
    assert_same_bytes(&client.get("/data?n=5000000&open=1").body, &pattern(5_000_000));
    let large = authority.folder().join("large.bin");
    std::fs::write(&large, &body).expect("a writable folder");
    assert_same_bytes(&client.get("/files/large.bin").body, &body);
    client.request("GET", "/files/large.bin", "Range: bytes=1000-2000999\r\n");
    assert_same_bytes(&client.response("GET").body, &body[1000..2_001_000]);
    let path = format!("/file?path={}&at=5", large.display());
    assert_same_bytes(&client.get(&path).body, &body[5..]);
    // Up to the end of the connection, which the session announces.
    client.send("GET /data?n=200000&open=1 HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_same_bytes(&client.response("GET").body, &pattern(200_000));
    drop(server);
}

#[test]
fn requests_may_be_split_over_records_and_segments_anywhere() {
    let (authority, _server, address) = simple();
    let config = Arc::new(authority.client(&VERSIONS));
    let requests = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n\
                     POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
    for at in 1..requests.len() {
        let mut client = connect(address, &config, "localhost");
        client.handshake().expect("a handshake");
        // Two records, sent so that the first segment ends in the middle of the second record.
        let tls = client.tls();
        tls.writer().write_all(&requests[..at]).expect("room");
        tls.writer().write_all(&requests[at..]).expect("room");
        let mut records = Vec::new();
        while client.tls().wants_write() {
            client.tls().write_tls(&mut records).expect("a Vec takes everything");
        }
        let middle = records.len() - (requests.len() - at) / 2 - 9;
        let mut stream = client.stream();
        stream.write_all(&records[..middle]).expect("sent");
        std::thread::yield_now();
        stream.write_all(&records[middle..]).expect("sent");
        assert_eq!(client.response("GET").text(), "Hello, world!\n", "split at {at}");
        assert_eq!(client.response("POST").text(), "body", "split at {at}");
    }
}

#[test]
fn ends_are_announced_and_those_of_clients_need_not_be() {
    let (authority, server, address) = simple();
    let config = Arc::new(authority.client(&VERSIONS));
    // The server's end, when it stops: idle connections too are told.
    let mut idle = connect(address, &config, "localhost");
    assert_eq!(idle.get("/hello").status, 200);
    // A client that says so and half-closes still gets its answer.
    let mut client = connect(address, &config, "localhost");
    client.request("GET", "/hello", "");
    client.tls().send_close_notify();
    client.handshake().expect("sent");
    client.half_close();
    assert_eq!(client.response("GET").text(), "Hello, world!\n");
    client.expect_end();
    // One that does not say so is taken for one that has left.
    let mut client = connect(address, &config, "localhost");
    assert_eq!(client.get("/hello").status, 200);
    client.half_close();
    client.expect_end();
    let mut server = server;
    server.stop();
    idle.expect_end();
}

#[test]
fn key_updates_are_answered() {
    let (authority, _server, address) = simple();
    let config = Arc::new(authority.client(&[&rustls::version::TLS13]));
    let mut client = connect(address, &config, "localhost");
    for _ in 0..3 {
        assert_eq!(client.get("/hello").status, 200);
        client.tls().refresh_traffic_keys().expect("TLS 1.3");
    }
    assert_eq!(client.post("/echo", "", b"after").text(), "after");
}
