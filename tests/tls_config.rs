//! `[[tls]]` and TLS listeners in the configuration, with certificates made on the spot.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use maitred::config::{
    ClientAuth, Config, Flags, HostPattern, Listener, Preset, Surroundings, TlsPolicy, TlsVersion, load,
};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

/// A folder with `NAME.pem` and `NAME.key` for each of `names`.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    for name in names {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![format!("{name}.example.com")]).expect("a name");
        let made = params.self_signed(&key).expect("a certificate");
        fs::write(folder.path().join(format!("{name}.pem")), made.pem()).expect("writable");
        fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).expect("writable");
    }
    folder
}

fn read(folder: &Path, text: &str) -> Result<Config, String> {
    read_with(folder, text, &[])
}

fn read_with(folder: &Path, text: &str, bind: &[&str]) -> Result<Config, String> {
    let route = "[[route]]\npath = \"/\"\nstatic = \".\"\n";
    fs::write(folder.join("maitred.toml"), format!("{text}{route}")).expect("writable");
    let around = Surroundings { directory: folder.to_owned(), variables: HashMap::new(), cpus: 1 };
    let bind = bind.iter().map(|&text| text.to_owned()).collect();
    load(&Flags { bind, ..Flags::default() }, &around).map_err(|errors| errors.to_string())
}

fn listens(config: &Config) -> Vec<String> {
    config.server.listen.iter().map(Listener::to_string).collect()
}

#[test]
fn everything_in_a_tls_table_is_read() {
    let folder = folder(&["a", "b", "ca"]);
    fs::write(folder.path().join("a.der"), [0x30, 3, 10, 1, 6]).expect("writable");
    let text = r#"
        [server]
        listen = ["0.0.0.0:443", { address = "127.0.0.1:8443", tls = true }, ":80", { address = ":81", redirect_https = false }]
        redirect_https = true
        handshake_timeout = "3s"
        max_handshakes = 5
        [[tls]]
        names = ["Example.com", "*.example.com"]
        cert = ["a.pem", "b.pem"]
        key = ["a.key", "b.key"]
        ocsp = ["a.der", "a.der"]
        preset = "modern"
        alpn = ["http/1.1", "http/1.0"]
        client_auth = "optional"
        client_ca = "ca.pem"
        tickets = false
        hsts = "max-age=31536000; includeSubDomains"
        [[tls]]
        cert = "ca.pem"
        key = "ca.key"
        min_version = "1.3"
        "#;
    let config = read(folder.path(), text).expect("good");
    assert_eq!(
        listens(&config),
        ["https://0.0.0.0:443", "https://127.0.0.1:8443", "http://0.0.0.0:80", "http://0.0.0.0:81"]
    );
    let redirects: Vec<_> = config.server.listen.iter().map(|listener| listener.redirect_https).collect();
    assert_eq!(redirects, [false, false, true, false]);
    assert_eq!((config.server.handshake_timeout.as_secs(), config.server.max_handshakes), (3, 5));
    let [first, second] = &config.tls[..] else { panic!("two entries: {:?}", config.tls) };
    let names = [HostPattern::Exact("example.com".to_owned()), HostPattern::Suffix(".example.com".to_owned())];
    assert_eq!(first.names, names);
    assert_eq!(first.place, "maitred.toml:7: tls");
    let in_folder = |name: &str| -> PathBuf { folder.path().join(name) };
    let files: Vec<_> = first.certificates.iter().map(|files| (files.cert.clone(), files.key.clone())).collect();
    assert_eq!(files, [(in_folder("a.pem"), in_folder("a.key")), (in_folder("b.pem"), in_folder("b.key"))]);
    assert_eq!(first.certificates[1].ocsp, Some(in_folder("a.der")));
    assert_eq!(
        first.policy,
        TlsPolicy {
            preset: Preset::Modern,
            min_version: TlsVersion::Tls13,
            alpn: vec!["http/1.1".to_owned(), "http/1.0".to_owned()],
            client_auth: ClientAuth::Optional,
            client_ca: Some(in_folder("ca.pem")),
            tickets: false,
            hsts: Some("max-age=31536000; includeSubDomains".to_owned()),
        }
    );
    assert!(second.names.is_empty(), "those of its certificate");
    assert_eq!((second.policy.preset, second.policy.min_version), (Preset::Intermediate, TlsVersion::Tls13));
}

#[test]
fn a_name_has_one_entry_with_all_its_certificates() {
    let folder = folder(&["a", "b"]);
    let entry = |name: &str, more: &str| {
        format!("[[tls]]\nnames = \"example.com\"\ncert = \"{name}.pem\"\nkey = \"{name}.key\"\n{more}\n")
    };
    let config = read(folder.path(), &(entry("a", "") + &entry("b", ""))).expect("good");
    assert_eq!(config.tls.len(), 1);
    assert_eq!(config.tls[0].certificates.len(), 2);
    let message = read(folder.path(), &(entry("a", "") + &entry("b", "tickets = false"))).expect_err("two rules");
    let expected = "maitred.toml:6: tls.names: a name was given before (line 1)";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_key_that_does_not_fit_is_named_with_its_line() {
    let folder = folder(&["a", "b"]);
    let message = read(folder.path(), "[[tls]]\ncert = \"a.pem\"\nkey = \"b.key\"\n").expect_err("refused");
    assert!(message.starts_with("maitred.toml:3: tls.key: ") && message.contains("is not the key of"), "{message}");
}

#[test]
fn a_scheme_tells_tls_from_plain_http() {
    let folder = folder(&["a"]);
    let text = "[[tls]]\ncert = \"a.pem\"\nkey = \"a.key\"\n";
    let config = read_with(folder.path(), text, &["https://127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1:443"]);
    assert_eq!(listens(&config.expect("good")), ["https://127.0.0.1:0", "http://127.0.0.1:0", "http://127.0.0.1:443"]);
}

#[test]
fn what_is_odd_is_warned_of() {
    let folder = folder(&["a"]);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["old.example.com".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let made = params.self_signed(&key).expect("a certificate");
    fs::write(folder.path().join("old.pem"), made.pem()).expect("writable");
    fs::write(folder.path().join("old.key"), key.serialize_pem()).expect("writable");
    let text = "[[tls]]\nnames = [\"a.example.com\", \"b.example.com\"]\ncert = \"a.pem\"\nkey = \"a.key\"\n\
                [[tls]]\ncert = \"old.pem\"\nkey = \"old.key\"\n";
    let config = read(folder.path(), text).expect("odd, but good");
    let warnings = maitred::tls::warnings(&config.server, &config.tls).join("\n");
    for expected in [
        "maitred.toml:1: tls.names: b.example.com: is not among the names in",
        "maitred.toml:5: tls.cert: ",
        "old.pem: the certificate has expired on",
        "maitred.toml:1: tls: no listener speaks TLS",
    ] {
        assert!(warnings.contains(expected), "{expected:?} is not in:\n{warnings}");
    }
    assert!(!warnings.contains(" a.example.com: is not among"), "{warnings}");
}
