//! Sessions against rustls' own client, directories against certificates made on the spot.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use tempfile::TempDir;

use super::*;
use crate::config::certificate::CertificateFiles;
use crate::config::{ClientAuth, HostPattern, Preset, TlsEntry, TlsPolicy, TlsVersion};

/// A self-signed certificate for `names` in files of its own.
fn certificate(
    folder: &Path,
    file: &str,
    names: &[&str],
    kind: &'static rcgen::SignatureAlgorithm,
) -> CertificateFiles {
    let key = KeyPair::generate_for(kind).expect("a key");
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let made = CertificateParams::new(names).and_then(|params| params.self_signed(&key)).expect("a certificate");
    let files = CertificateFiles {
        cert: folder.join(format!("{file}.pem")),
        key: folder.join(format!("{file}.key")),
        ocsp: None,
    };
    std::fs::write(&files.cert, made.pem()).expect("a writable folder");
    std::fs::write(&files.key, key.serialize_pem()).expect("a writable folder");
    files
}

fn policy() -> TlsPolicy {
    TlsPolicy {
        preset: Preset::Intermediate,
        min_version: TlsVersion::Tls12,
        alpn: vec!["http/1.1".to_owned()],
        client_auth: ClientAuth::None,
        client_ca: None,
        tickets: true,
        hsts: None,
    }
}

fn entry(certificates: Vec<CertificateFiles>, names: &[&str], policy: TlsPolicy) -> TlsEntry {
    let name = |name: &&str| match name.strip_prefix('*') {
        Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
        None => HostPattern::Exact((*name).to_owned()),
    };
    TlsEntry {
        place: "maitred.toml:1: tls".to_owned(),
        names: names.iter().map(name).collect(),
        certificates,
        acme: false,
        policy,
    }
}

/// One entry for `localhost`.
fn plain(folder: &Path) -> (Directory, TlsEntry) {
    let files = certificate(folder, "a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let entry = entry(vec![files], &["localhost"], policy());
    (Directory::load(std::slice::from_ref(&entry), None).expect("good files"), entry)
}

fn client_config(entry: &TlsEntry) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for files in &entry.certificates {
        roots.add(CertificateDer::from_pem_file(&files.cert).expect("PEM")).expect("a root");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config.clone(), ServerName::try_from("localhost").expect("a name")).expect("a client")
}

/// What the client wants to send.
fn taken(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("a Vec takes everything");
    }
    bytes
}

fn give(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("a slice can be read");
        client.process_new_packets().expect("the server keeps to the rules");
    }
}

/// Both ends talk until neither has anything to say; what the client sends arrives in pieces of `size`.
fn talk(server: &mut ServerSession, client: &mut ClientConnection, size: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    loop {
        let mut bytes = taken(client);
        if bytes.is_empty() {
            return plain;
        }
        let mut out = Vec::new();
        for piece in bytes.chunks_mut(size) {
            server.receive(piece, &mut plain, &mut out).expect("the client keeps to the rules");
        }
        give(client, &out);
    }
}

#[test]
fn bytes_go_both_ways_in_pieces_of_any_size() {
    let folder = TempDir::new().expect("a folder");
    let (directory, entry) = plain(folder.path());
    let config = client_config(&entry);
    let upload: Vec<u8> = (0..12_000u32).map(|at| (at % 251) as u8).collect();
    for size in [1, 2, 7, 1000, 1 << 20] {
        let mut server = directory.session(directory.select(Some("localhost"))).expect("a session");
        let mut client = client(&config);
        assert!(server.is_handshaking());
        talk(&mut server, &mut client, size);
        assert!(!server.is_handshaking() && !client.is_handshaking());
        client.writer().write_all(&upload).expect("room");
        assert_eq!(talk(&mut server, &mut client, size), upload, "in pieces of {size}");
        let mut out = Vec::new();
        server.encrypt(&upload, &mut out).expect("complete");
        server.close(&mut out);
        give(&mut client, &out);
        let mut download = Vec::new();
        client.reader().read_to_end(&mut download).expect("the end was announced");
        assert_eq!(download, upload);
        assert_eq!(server.facts().protocol, "TLSv1.3");
    }
}

#[test]
fn a_record_may_be_split_at_every_byte() {
    let folder = TempDir::new().expect("a folder");
    let (directory, entry) = plain(folder.path());
    let config = client_config(&entry);
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for at in 0.. {
        let mut server = directory.session(directory.select(None)).expect("a session");
        let mut client = client(&config);
        talk(&mut server, &mut client, usize::MAX);
        client.writer().write_all(request).expect("room");
        client.writer().write_all(b"second").expect("room");
        let mut bytes = taken(&mut client);
        if at > bytes.len() {
            assert!(at > request.len(), "there was something to split");
            break;
        }
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        let (first, second) = bytes.split_at_mut(at);
        server.receive(first, &mut plain, &mut out).expect("good bytes");
        // A response in between does not disturb what is half there.
        server.encrypt(b"between", &mut out).expect("complete");
        server.receive(second, &mut plain, &mut out).expect("good bytes");
        assert_eq!(plain, [&request[..], b"second"].concat(), "split at {at}");
        give(&mut client, &out);
        let mut answer = [0; 7];
        client.reader().read_exact(&mut answer).expect("it is there");
        assert_eq!(&answer, b"between");
    }
}

#[test]
fn sessions_resume_over_a_reload_unless_the_rules_for_clients_change() {
    let folder = TempDir::new().expect("a folder");
    let (directory, mut entry) = plain(folder.path());
    let config = client_config(&entry);
    let handshake = |directory: &Directory| {
        let mut server = directory.session(directory.select(Some("localhost"))).expect("a session");
        let mut client = client(&config);
        talk(&mut server, &mut client, usize::MAX);
        assert_eq!(server.facts().resumed, client.handshake_kind() == Some(HandshakeKind::Resumed));
        server.facts().resumed
    };
    assert!(!handshake(&directory));
    assert!(handshake(&directory));
    let reloaded = Directory::load(std::slice::from_ref(&entry), Some(&directory)).expect("good files");
    assert!(handshake(&reloaded), "the keys of tickets outlive a reload");
    entry.policy.client_auth = ClientAuth::Optional;
    entry.policy.client_ca = Some(entry.certificates[0].cert.clone());
    let stricter = Directory::load(std::slice::from_ref(&entry), Some(&reloaded)).expect("good files");
    assert!(!handshake(&stricter), "who was not asked for a certificate must not get around it");
    entry.policy.tickets = false;
    let without = Directory::load(std::slice::from_ref(&entry), Some(&stricter)).expect("good files");
    handshake(&without);
    assert!(!handshake(&without));
}

#[test]
fn names_are_found_exactly_then_by_wildcard_then_first() {
    let folder = TempDir::new().expect("a folder");
    let one =
        |file: &str, names: &[&str]| entry(vec![certificate(folder.path(), file, names, &PKCS_ED25519)], &[], policy());
    let mut strict = one("c", &["staff.example.com"]);
    strict.policy.client_auth = ClientAuth::Required;
    strict.policy.client_ca = Some(strict.certificates[0].cert.clone());
    let entries = [one("a", &["example.org"]), one("b", &["*.Example.com", "example.com"]), strict];
    let directory = Directory::load(&entries, None).expect("good files");
    let select = |name: &str| directory.select(Some(name));
    let default = directory.select(None);
    assert_eq!(select("example.org"), default);
    assert_eq!(select("unknown.test"), default);
    let wildcard = select("example.com");
    assert_ne!(wildcard, default);
    assert_eq!(select("www.example.com"), wildcard);
    assert_eq!(select("a.b.example.com"), default, "a wildcard stands for one label");
    let staff = select("staff.example.com");
    assert!(staff != wildcard && staff != default);
    assert!(directory.is_misdirected(default, b"Staff.Example.com."));
    assert!(!directory.is_misdirected(staff, b"staff.example.com"));
    assert!(!directory.is_misdirected(default, b"www.example.com"));
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let folder = TempDir::new().expect("a folder");
    let good = certificate(folder.path(), "a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let other = certificate(folder.path(), "b", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let text = folder.path().join("text");
    std::fs::write(&text, "nothing\n").expect("a writable folder");
    let encrypted = folder.path().join("encrypted");
    std::fs::write(&encrypted, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .expect("a writable folder");
    let missing = folder.path().join("missing");
    for (files, expected) in [
        (CertificateFiles { key: other.key.clone(), ..good.clone() }, "b.key: is not the key of the first certificate"),
        (CertificateFiles { cert: missing.clone(), ..good.clone() }, "missing: cannot be read: No such file"),
        (CertificateFiles { cert: text.clone(), ..good.clone() }, "text: holds no certificate"),
        (CertificateFiles { key: text.clone(), ..good.clone() }, "text: holds no private key"),
        (CertificateFiles { key: encrypted, ..good.clone() }, "encrypted: is encrypted"),
        (CertificateFiles { ocsp: Some(text), ..good.clone() }, "text: is not a DER encoded OCSP response"),
    ] {
        let error = Directory::load(&[entry(vec![files], &["localhost"], policy())], None).expect_err("it is refused");
        let text = error.to_string();
        assert!(text.starts_with("maitred.toml:1: tls: ") && text.contains(expected), "{text}");
    }
}

/// The files were made with `openssl genpkey`, and turned into their older forms with `openssl rsa -traditional` and `openssl ec`.
#[test]
fn keys_are_read_in_every_form() {
    let folder = TempDir::new().expect("a folder");
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls_files");
    for (pkcs8, older) in [("rsa.key", "rsa_pkcs1.key"), ("ec.key", "ec_sec1.key")] {
        let key = KeyPair::from_pem(&std::fs::read_to_string(files.join(pkcs8)).expect("readable")).expect("a key");
        let made = CertificateParams::new(["localhost".to_owned()]).and_then(|params| params.self_signed(&key));
        let cert = folder.path().join("cert.pem");
        std::fs::write(&cert, made.expect("a certificate").pem()).expect("a writable folder");
        for form in [pkcs8, older] {
            let files = CertificateFiles { cert: cert.clone(), key: files.join(form), ocsp: None };
            assert!(files.read().is_ok(), "{form}");
        }
    }
}

#[test]
fn ocsp_responses_are_stapled() {
    /// Keeps what was stapled.
    #[derive(Debug)]
    struct Stapled(Arc<std::sync::Mutex<Vec<u8>>>, Arc<rustls::crypto::CryptoProvider>);
    impl rustls::client::danger::ServerCertVerifier for Stapled {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            stapled: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            *self.0.lock().expect("no panic holds it") = stapled.to_vec();
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.1.signature_verification_algorithms.supported_schemes()
        }
    }

    let folder = TempDir::new().expect("a folder");
    let mut files = certificate(folder.path(), "a", &["localhost"], &PKCS_ECDSA_P256_SHA256);
    let response = [0x30, 3, 10, 1, 6];
    files.ocsp = Some(folder.path().join("a.der"));
    std::fs::write(folder.path().join("a.der"), response).expect("a writable folder");
    let directory = Directory::load(&[entry(vec![files], &["localhost"], policy())], None).expect("good files");
    let stapled = Arc::new(std::sync::Mutex::new(Vec::new()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Stapled(stapled.clone(), provider)))
        .with_no_client_auth();
    let mut server = directory.session(directory.select(None)).expect("a session");
    talk(&mut server, &mut client(&Arc::new(config)), usize::MAX);
    assert_eq!(*stapled.lock().expect("no panic holds it"), response);
}

#[test]
fn a_change_of_files_shows() {
    let folder = TempDir::new().expect("a folder");
    let (_, entry) = plain(folder.path());
    let entries = [entry];
    let before = Stamps::of(&entries);
    assert_eq!(before, Stamps::of(&entries));
    let key = &entries[0].certificates[0].key;
    let beside = folder.path().join("new");
    std::fs::copy(key, &beside).expect("readable");
    std::fs::rename(&beside, key).expect("the same folder");
    assert_ne!(before, Stamps::of(&entries), "moved into place");
    std::fs::remove_file(key).expect("it is there");
    assert_ne!(before, Stamps::of(&entries), "gone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn garbage_fails_and_is_told(mut bytes in proptest::collection::vec(any::<u8>(), 1..600), cut in 0usize..300) {
        static MADE: std::sync::OnceLock<(TempDir, Directory, TlsEntry)> = std::sync::OnceLock::new();
        let (_, directory, entry) = MADE.get_or_init(|| {
            let folder = TempDir::new().expect("a folder");
            let (directory, entry) = plain(folder.path());
            (folder, directory, entry)
        });
        // Garbage at once, and behind the beginning of something good.
        let mut client = client(&client_config(entry));
        let mut hello = taken(&mut client);
        hello.truncate(cut);
        hello.append(&mut bytes);
        let mut server = directory.session(directory.select(None)).expect("a session");
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        let mut failed = false;
        for piece in hello.chunks_mut(97) {
            failed = server.receive(piece, &mut plain, &mut out).is_err();
            if failed {
                break;
            }
        }
        prop_assert!(plain.is_empty());
        prop_assert!(server.is_handshaking());
        prop_assert!(!failed || out.is_empty() || out[0] == 21 || out[0] == 22, "an alert, or what was said before it");
    }
}
