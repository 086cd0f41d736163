//! Redirects to HTTPS, HSTS, certificates that change while the server runs, and `maitred cert`.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustix::process::Signal;
use support::tls::{Authority, VERSIONS, connect, start};
use support::{Builder, DEADLINE, files, wait_until};

fn authority() -> Authority {
    let authority = Authority::new();
    authority.issue("a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    authority
}

/// The serial number of the certificate that a new client is shown.
fn serial(address: SocketAddr, authority: &Authority) -> Vec<u8> {
    let mut client = connect(address, &Arc::new(authority.client(&VERSIONS)), "localhost");
    client.handshake().expect("a handshake");
    let chain = client.tls().peer_certificates().expect("a certificate");
    x509_parser::parse_x509_certificate(&chain[0]).expect("well-formed").1.raw_serial().to_vec()
}

#[test]
fn plain_listeners_lead_to_https() {
    let authority = authority();
    let folder = tempfile::tempdir().expect("a folder");
    files::put(folder.path(), ".well-known/acme-challenge/token", "answer");
    files::put(folder.path(), "index", "index");
    let (server, address) = start(
        Builder::app("kitchen:application")
            .server_key("redirect_https = true")
            .section(&authority.table("a", "hsts = \"max-age=60\""))
            .static_route("/", folder.path(), "dotfiles = true")
            .route("path = \"/environ\"\napp = true"),
    );
    let mut client = server.connect();
    let port = address.port();
    for (method, target) in [("GET", "/a%20b?c=d"), ("GET", "/index"), ("POST", "/environ"), ("HEAD", "/.well-known/x")]
    {
        client.request(method, target, "");
        let response = client.response(method);
        assert_eq!(response.status, 308, "{method} {target}");
        assert_eq!(response.field("location"), Some(format!("https://localhost:{port}{target}").as_str()));
        assert_eq!(response.field("strict-transport-security"), None, "not over plain HTTP (RFC 6797)");
    }
    assert_eq!(client.get("/.well-known/acme-challenge/token").text(), "answer");
    let around = client.get("/.well-known/acme-challenge/../../index");
    assert_eq!(around.status, 308, "no spelling gets around it");
    // The port that the client had in mind is not that of TLS, and a body is read over.
    client.send("POST /x HTTP/1.1\r\nHost: Example.com:8080\r\nContent-Length: 3\r\n\r\nabc");
    let response = client.response("POST");
    let location = response.field("location").map(str::to_ascii_lowercase);
    assert_eq!(location.as_deref(), Some(format!("https://example.com:{port}/x").as_str()));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response("GET").status, 400, "no host to send anybody to");
}

#[test]
fn hsts_is_on_every_response_over_tls() {
    let authority = authority();
    let (server, address) = start(
        Builder::app("kitchen:application")
            .section(&authority.table("a", "hsts = \"max-age=31536000; includeSubDomains\""))
            .static_route("/files/", authority.folder(), "")
            .app_route("max_body = 10"),
    );
    let config = Arc::new(authority.client(&VERSIONS));
    let mut client = connect(address, &config, "localhost");
    let expected = Some("max-age=31536000; includeSubDomains");
    for _ in 0..3 {
        let response = client.get("/files/ca.pem");
        assert_eq!((response.status, response.field("strict-transport-security")), (200, expected));
        assert_eq!(response.body, std::fs::read(authority.root()).expect("readable"));
    }
    for (target, status) in [("/hello", 200), ("/files/absent", 404), ("/fail", 500), ("/data?n=100000", 200)] {
        let response = client.get(target);
        assert_eq!((response.status, response.field("strict-transport-security")), (status, expected), "{target}");
    }
    client.request("POST", "/echo", "Content-Length: 11\r\n");
    let refused = client.response("POST");
    assert_eq!((refused.status, refused.field("strict-transport-security")), (413, expected));
    assert_eq!(server.get("/hello").field("strict-transport-security"), None);
}

#[test]
fn certificates_change_with_their_files_and_on_sighup() {
    let authority = authority();
    let (server, address) =
        start(Builder::bare().section(&authority.table("a", "")).static_route("/", authority.folder(), ""));
    let config = Arc::new(authority.client(&VERSIONS));
    let mut open = connect(address, &config, "localhost");
    assert_eq!(open.get("/ca.pem").status, 200);
    let first = serial(address, &authority);
    let mark = server.log.mark();
    authority.issue("a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    server.wait_for_line_from(mark, "certificates loaded");
    let second = serial(address, &authority);
    assert_ne!(first, second);
    // A key that does not fit is refused, and what was shown goes on being shown.
    authority.issue("b", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    std::fs::copy(authority.folder().join("b.key"), authority.folder().join("a.key")).expect("a writable folder");
    let line = server.wait_for_line("is not the key of the first certificate");
    assert!(line.contains("the old certificates go on"), "{line}");
    assert_eq!(serial(address, &authority), second);
    server.signal(Signal::HUP);
    server.wait_for_line("reload refused: the configuration is unusable");
    assert_eq!(serial(address, &authority), second);
    // Its certificate too, and a signal, without waiting for the next look.
    std::fs::copy(authority.folder().join("b.pem"), authority.folder().join("a.pem")).expect("a writable folder");
    server.signal(Signal::HUP);
    wait_until("the new certificate", DEADLINE, || serial(address, &authority) != second);
    assert_eq!(open.get("/ca.pem").status, 200, "connections stay as they are");
}

#[test]
fn a_pair_for_development_is_made_and_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let cert = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_maitred"));
        command.args(["cert", "--out"]).arg(folder.path()).args(more).output().expect("it runs")
    };
    let output = cert(&["--name", "localhost", "--name", "127.0.0.1"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = folder.path().join("localhost.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let again = cert(&["--name", "localhost"]);
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    // What it has printed is a configuration.
    let (_server, address) = start(Builder::bare().section(&text).static_route("/", folder.path(), ""));
    let mut roots = rustls::RootCertStore::empty();
    let made = rustls::pki_types::pem::PemObject::from_pem_file(folder.path().join("localhost.pem")).expect("PEM");
    roots.add(made).expect("a root");
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = connect(address, &Arc::new(config), "localhost");
    assert_eq!(client.get("/localhost.pem").status, 200);
}

#[test]
fn metrics_and_the_access_log_tell_of_tls() {
    let authority = authority();
    // One shard, so that the lines stand in the order of the requests.
    let builder = Builder::bare()
        .shards(1)
        .section(&authority.table("a", ""))
        .section("[admin]\nlisten = \"unix:admin.sock\"")
        .server_key("access_log = { path = \"access.log\", format = \"$scheme $ssl_protocol $ssl_cipher $ssl_server_name $ssl_session_reused\" }")
        .static_route("/", authority.folder(), "");
    let (mut server, address) = start(builder);
    let config = Arc::new(authority.client(&[&rustls::version::TLS13]));
    for _ in 0..2 {
        assert_eq!(connect(address, &config, "localhost").get("/ca.pem").status, 200);
    }
    let old = Arc::new(authority.client(&[&rustls::version::TLS12]));
    let mut client = connect(address, &old, "Localhost");
    assert_eq!(client.get("/ca.pem").status, 200);
    let mut admin = std::os::unix::net::UnixStream::connect(server.folder().join("admin.sock")).expect("connects");
    std::io::Write::write_all(&mut admin, b"GET /metrics HTTP/1.0\r\n\r\n").expect("sent");
    let mut page = String::new();
    std::io::Read::read_to_string(&mut admin, &mut page).expect("text");
    for (outcome, count) in [("full", 2), ("resumed", 1), ("failed", 0)] {
        let line = format!("maitred_tls_handshakes_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(page.contains(&line), "{line} is not in:\n{page}");
    }
    server.stop();
    let log = std::fs::read_to_string(server.folder().join("access.log")).expect("written");
    let lines: Vec<_> = log.lines().collect();
    let suite = "TLS_AES_256_GCM_SHA384";
    assert_eq!(
        lines[..2],
        [format!("https TLSv1.3 {suite} localhost ."), format!("https TLSv1.3 {suite} localhost r")]
    );
    assert_eq!(lines[2], "https TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 localhost .");
}

#[test]
fn what_keeps_a_tls_listener_from_starting_is_named() {
    let authority = authority();
    let refusal =
        Builder::bare().static_route("/", authority.folder(), "").argument("--bind").argument("https://127.0.0.1:0");
    let refusal = refusal.refuse();
    assert_eq!(refusal.code, Some(2));
    assert!(refusal.stderr.contains("there is no [[tls]]"), "{}", refusal.stderr);
    let table = authority.table("a", "").replace("a.key", "absent.key");
    let refusal = Builder::bare().static_route("/", authority.folder(), "").section(&table).refuse();
    assert_eq!(refusal.code, Some(2));
    assert!(
        refusal.stderr.contains("tls.key: ") && refusal.stderr.contains("absent.key: cannot be read"),
        "{}",
        refusal.stderr
    );
}
