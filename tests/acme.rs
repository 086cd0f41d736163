//! Certificates that the server gets by itself, from an authority of the tests' own: challenges on every shard, renewals, restarts, and an
//! authority that is rude, slow, or gone.

#[path = "acme/authority.rs"]
mod authority;
mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use authority::{AcmeServer, Fault};
use rustix::process::Signal;
use support::metrics::Page;
use support::tls::{VERSIONS, connect};
use support::{Builder, Client, DEADLINE, Server};

/// A server with a plain listener (that leads to the other one), a TLS listener and an admin listener.
struct Site {
    server: Server,
    plain: SocketAddr,
    tls: SocketAddr,
    admin: SocketAddr,
}

const LISTEN: &str =
    "listen = [{ address = \"127.0.0.1:0\", redirect_https = true }, { address = \"127.0.0.1:0\", tls = true }]";

fn builder(sections: &str) -> Builder {
    let builder = Builder::bare().silent().shards(3).server_key(LISTEN).section("[admin]\nlisten = \"127.0.0.1:0\"");
    let builder = builder.route("path = \"/\"\nrespond = \"here\"");
    // What the machine says of proxies and roots is not meant for these.
    let builder = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"]
        .into_iter()
        .fold(builder, |builder, name| builder.environment(name, ""));
    builder.section(sections)
}

fn port(server: &Server, pattern: &str) -> SocketAddr {
    let line = server.wait_for_line(pattern);
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("the line ends in a port");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[track_caller]
fn start(ca: &AcmeServer, builder: Builder) -> Site {
    let site = Site::of(builder.run());
    ca.looks_at(site.plain, site.tls);
    site
}

fn entry(names: &str) -> String {
    format!("[[tls]]\nnames = {names}\nacme = true\n")
}

impl Site {
    #[track_caller]
    fn of(server: Server) -> Site {
        let (plain, tls) =
            (port(&server, "ready: listening on http://"), port(&server, "ready: listening on https://"));
        let admin = port(&server, "admin: listening on");
        Site { server, plain, tls, admin }
    }

    /// The number of the certificate that is shown for `name`; `None`: the handshake fails.
    fn shown(&self, ca: &AcmeServer, name: &str) -> Option<String> {
        let mut client = connect(self.tls, &Arc::new(ca.issuer().client(&VERSIONS)), name);
        client.handshake().ok()?;
        let chain = client.tls().peer_certificates().expect("a certificate");
        let (_, parsed) = x509_parser::parse_x509_certificate(&chain[0]).expect("well-formed");
        Some(parsed.raw_serial_as_string())
    }

    #[track_caller]
    fn wait_shown(&self, ca: &AcmeServer, name: &str) -> String {
        self.wait_other(ca, name, None)
    }

    /// Waits until another certificate than `old` is shown.
    #[track_caller]
    fn wait_other(&self, ca: &AcmeServer, name: &str, old: Option<&str>) -> String {
        loop {
            let mark = self.server.log.mark();
            match self.shown(ca, name) {
                Some(shown) if Some(shown.as_str()) != old => return shown,
                _ => {}
            }
            let loaded = self.server.log.wait_from(mark, "certificates loaded", 3 * DEADLINE);
            assert!(loaded.is_some(), "no other certificate:\n{}", self.server.log.text());
        }
    }

    fn metrics(&self) -> Page {
        Page::parse(Client::connect(self.admin).get("/metrics").text())
    }

    fn storage(&self, ca: &AcmeServer) -> std::path::PathBuf {
        self.server.folder().join(ca.folder())
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

#[test]
fn http_01_is_answered_on_every_shard_before_redirects() {
    let ca = AcmeServer::new();
    ca.manners(|manners| (manners.offers, manners.looks) = (vec!["http-01"], 20));
    let site = start(
        &ca,
        builder(&(ca.section("email = [\"a@example.com\", \"b@example.com\"]") + &entry("[\"a.test\", \"b.test\"]"))),
    );
    site.server.wait_for_line("there is no certificate yet");
    assert_eq!(site.shown(&ca, "a.test"), None, "nobody is taught to click a warning away");
    let first = site.wait_shown(&ca, "a.test");
    assert_eq!(site.shown(&ca, "b.test"), Some(first), "one certificate for both");
    let mut client = connect(site.tls, &Arc::new(ca.issuer().client(&VERSIONS)), "b.test");
    assert_eq!(client.get("/").text(), "here");
    assert_eq!(ca.contacts(), [serde_json::json!(["mailto:a@example.com", "mailto:b@example.com"])]);

    // It is over: the path is the site's again, but for the redirect.
    let mut client = Client::connect(site.plain);
    assert_eq!(client.get("/.well-known/acme-challenge/token_0-0").text(), "here");
    assert_eq!(client.get("/other").status, 308);

    let storage = site.storage(&ca);
    assert_eq!(mode(&storage), 0o700);
    assert_eq!(mode(storage.parent().expect("a parent")), 0o700);
    for entry in fs::read_dir(&storage).expect("readable") {
        let path = entry.expect("readable").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let names: Vec<_> =
        fs::read_dir(&storage).expect("readable").map(|entry| entry.expect("readable").file_name()).collect();
    assert!(
        ["account.json", "a.test.pem", "a.test.pem.attempts"]
            .iter()
            .all(|&name| names.iter().any(|found| found == name))
    );

    let page = site.metrics();
    for name in ["a.test", "b.test"] {
        let expiry = page.value("maitred_certificate_expiry_timestamp_seconds", &[("name", name)]);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
        assert!((expiry - now - 90.0 * 86400.0).abs() < 600.0, "{expiry}");
    }
    assert_eq!(page.value("maitred_certificates_missing", &[]), 0.0);
    assert_eq!(page.value("maitred_acme_attempts_total", &[("outcome", "issued")]), 1.0);
}

#[test]
fn tls_alpn_01_is_answered_on_every_shard_and_leads_nowhere_else() {
    let ca = AcmeServer::new();
    ca.manners(|manners| (manners.offers, manners.looks) = (vec!["tls-alpn-01"], 20));
    let sections =
        ca.section("challenge = \"tls-alpn-01\"") + &entry("[\"a.test\", \"www.a.test\"]") + &entry("\"c.test\"");
    let site = start(&ca, builder(&sections));
    let first = site.wait_shown(&ca, "www.a.test");
    let other = site.wait_shown(&ca, "c.test");
    assert_ne!(first, other, "an entry, a certificate");
    assert_eq!(ca.count("newAccount"), 1, "for both");

    // Without a challenge there is no such protocol.
    let mut config = ca.issuer().client(&VERSIONS);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let mut client = connect(site.tls, &Arc::new(config), "a.test");
    assert!(client.handshake().is_err());
}

#[test]
fn what_is_there_is_used_after_a_restart() {
    let ca = AcmeServer::new();
    let folder = tempfile::tempdir().expect("writable");
    let with = |more: &str| {
        let section = ca.section(more).replace("\"acme\"", &format!("{:?}", folder.path().join("deep/acme")));
        builder(&(section + &entry("\"a.test\"")))
    };
    let site = start(&ca, with(""));
    let first = site.wait_shown(&ca, "a.test");
    drop(site);
    let asked = ca.seen().len();
    let site = Site::of(with("").run());
    assert_eq!(site.shown(&ca, "a.test"), Some(first.clone()), "from the first handshake on");
    drop(site);
    assert_eq!(ca.seen().len(), asked, "nothing was asked for");
    fs::remove_file(folder.path().join("deep").join(ca.folder()).join("a.test.pem")).expect("it is there");
    let site = start(&ca, with("email = \"new@example.com\""));
    assert_ne!(site.wait_shown(&ca, "a.test"), first);
    assert_eq!(ca.count("newAccount"), 1, "the account was kept");
    assert_eq!(ca.contacts(), [serde_json::json!(["mailto:new@example.com"])]);
}

#[test]
fn renewals_come_in_time_and_replace_what_is_shown() {
    let ca = AcmeServer::new();
    // Two thirds of 90 s are over in about 5 s.
    ca.manners(|manners| manners.validity = (-55, 35));
    let site = start(&ca, builder(&(ca.section("") + &entry("\"a.test\""))));
    let first = site.wait_shown(&ca, "a.test");
    ca.wait_issued(2);
    ca.manners(|manners| manners.validity = (-3600, 86400));
    site.wait_other(&ca, "a.test", Some(&first));
    assert_eq!(ca.count("newAccount"), 1);
}

#[test]
fn a_rude_authority_is_asked_again_and_the_old_certificate_goes_on() {
    let ca = AcmeServer::new();
    ca.manners(|manners| manners.validity = (-55, 35));
    let site = start(&ca, builder(&(ca.section("") + &entry("\"a.test\""))));
    let first = site.wait_shown(&ca, "a.test");
    let mark = site.server.log.mark();
    // It forgives a nonce within an attempt; each of the others costs one.
    ca.fail("newOrder", Fault::BadNonce);
    ca.fail("newOrder", Fault::RateLimited("2"));
    ca.fail("newOrder", Fault::Broken);
    ca.fail("finalize", Fault::OtherKey);
    let line = |pattern: &str| site.server.wait_for_line_from(mark, pattern);
    let limited = line("rateLimited");
    let wait: u64 = support::value_of(&limited, "retry_seconds").and_then(|wait| wait.parse().ok()).expect("a number");
    assert!((2..=3).contains(&wait), "{limited}");
    assert!(limited.contains("the old certificate goes on"), "{limited}");
    // What is shown can't be looked at meanwhile: the attempt after the last of these succeeds.
    for failure in [line("does not say why"), line("is not the key")] {
        assert!(failure.contains("the old certificate goes on"), "{failure}");
    }
    ca.manners(|manners| manners.validity = (-3600, 86400));
    site.wait_other(&ca, "a.test", Some(&first));
    let page = site.metrics();
    assert!(page.value("maitred_acme_attempts_total", &[("outcome", "failed")]) >= 3.0);
}

#[test]
fn whatever_an_authority_sends_nothing_breaks() {
    let ca = AcmeServer::new();
    let names: Vec<_> = (0..6).map(|number| format!("n{number}.test")).collect();
    // Each failure costs one of them an attempt.
    let kinds = [
        "directory",
        "newNonce",
        "newAccount",
        "newOrder",
        "authorization",
        "challenge",
        "order",
        "finalize",
        "certificate",
    ];
    for (kind, fault) in kinds.into_iter().zip([Fault::Garbage, Fault::Flood, Fault::HangUp].into_iter().cycle()) {
        ca.fail(kind, fault);
    }
    let entries: String = names.iter().map(|name| entry(&format!("{name:?}"))).collect();
    let site = start(&ca, builder(&(ca.section("") + &entries)));
    for name in &names {
        site.wait_shown(&ca, name);
    }
    assert_eq!(Client::connect(site.plain).get("/").status, 308);
}

#[test]
fn a_challenge_that_is_not_met_is_told_with_its_reason_and_the_other_kind_tried() {
    let ca = AcmeServer::new();
    let site = start(&ca, builder(&(ca.section("") + &entry("\"a.test\""))));
    // Something stands between: what arrives there is not ours.
    let nobody = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    ca.manners(|manners| manners.http_port = port);
    let line = site.server.wait_for_line("no certificate: a.test: connect:");
    assert!(line.contains("unauthorized") && line.contains("handshakes for these names fail"), "{line}");
    site.wait_shown(&ca, "a.test");
}

#[test]
fn an_authority_that_does_not_answer_holds_nobody_up() {
    let ca = AcmeServer::new();
    let site = start(&ca, builder(&(ca.section("") + &entry("\"a.test\""))));
    ca.fail("challenge", Fault::Hold);
    ca.wait_held(1);
    assert_eq!(Client::connect(site.plain).get("/").status, 308);
    let other = Client::connect(site.plain).get("/.well-known/acme-challenge/of-another-client");
    assert_eq!(other.text(), "here", "what is not ours is the site's");
    let page = site.metrics();
    assert_eq!(page.value("maitred_certificates_missing", &[]), 1.0);
    let mut site = site;
    assert!(site.server.stop().success(), "the stop does not wait for it");
}

#[test]
fn accounts_are_bound_where_the_authority_asks_for_it() {
    let ca = AcmeServer::new();
    let key = b"a secret of at least 32 bytes in length".to_vec();
    let text = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, &key);
    ca.manners(|manners| manners.binding = Some(("kid-1".to_owned(), key)));
    let folder = tempfile::tempdir().expect("writable");
    let file = folder.path().join("eab.key");
    fs::write(&file, "not base64url!").expect("writable");
    let more = format!("eab_key_id = \"kid-1\"\neab_key_file = {file:?}");
    let site = start(&ca, builder(&(ca.section(&more) + &entry("\"a.test\""))));
    site.server.wait_for_line("is not base64url");
    fs::write(&file, text + "\n").expect("writable");
    site.wait_shown(&ca, "a.test");
}

#[test]
fn an_account_that_the_authority_has_forgotten_is_made_anew() {
    let ca = AcmeServer::new();
    let site = start(&ca, builder(&(ca.section("") + &entry("\"a.test\""))));
    ca.fail("newOrder", Fault::Forgotten);
    site.wait_shown(&ca, "a.test");
    assert_eq!(ca.count("newAccount"), 2);
}

#[test]
fn a_reload_adds_names_while_the_old_certificate_goes_on() {
    let ca = AcmeServer::new();
    let site = start(&ca, builder(&(ca.section("") + &entry("\"a.test\""))));
    let first = site.wait_shown(&ca, "a.test");
    let file = site.server.folder().join("maitred.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, text.replace("names = \"a.test\"", "names = [\"a.test\", \"b.test\"]")).expect("writable");
    ca.fail("newOrder", Fault::Hold);
    site.server.signal(Signal::HUP);
    ca.wait_held(1);
    assert_eq!(site.shown(&ca, "a.test"), Some(first.clone()));
    ca.release();
    let both = site.wait_shown(&ca, "b.test");
    assert!(both != first && site.shown(&ca, "a.test") == Some(both));
}

#[test]
fn a_storage_that_cannot_be_written_to_ends_the_start() {
    let ca = AcmeServer::new();
    let section = ca.section("").replace("\"acme\"", "\"/proc/acme\"");
    let refusal = builder(&(section + &entry("\"a.test\""))).refuse();
    assert_eq!(refusal.code, Some(2));
    assert!(refusal.stderr.contains("acme.storage: /proc/acme"), "{}", refusal.stderr);
}

#[test]
fn what_is_no_certificate_is_asked_for_anew() {
    let ca = AcmeServer::new();
    let builder = builder(&(ca.section("") + &entry("\"a.test\"")));
    let folder = builder.folder().join(ca.folder());
    fs::create_dir_all(&folder).expect("writable");
    for name in ["a.test.pem", "account.json", "a.test.pem.attempts"] {
        fs::write(folder.join(name), "no such thing").expect("writable");
    }
    let site = start(&ca, builder);
    site.wait_shown(&ca, "a.test");
}
