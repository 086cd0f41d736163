//! Certificates made on the spot, servers that show them, and clients that trust them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SignatureAlgorithm};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::{Builder, Client, Server};

/// A certificate authority, and what it has issued in a folder of its own.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Tests");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a writable folder");
        Authority { folder, issuer }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What signs.
    pub fn issuer(&self) -> &CertifiedIssuer<'static, KeyPair> {
        &self.issuer
    }

    /// Its own certificate.
    pub fn root(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// Issues `FILE.pem` and `FILE.key` for `names`, over what was there. The files are moved into place.
    pub fn issue(&self, file: &str, names: &[&str], kind: &'static SignatureAlgorithm) {
        let key = KeyPair::generate_for(kind).expect("a key");
        self.issue_for(file, names, &key);
    }

    /// The same with a key that is there.
    pub fn issue_for(&self, file: &str, names: &[&str], key: &KeyPair) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Kitchen, Ltd");
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let made = params.signed_by(key, &self.issuer).expect("a certificate");
        self.put(&format!("{file}.pem"), &(made.pem() + &self.issuer.pem()));
        self.put(&format!("{file}.key"), &key.serialize_pem());
    }

    fn put(&self, name: &str, text: &str) {
        let beside = self.folder().join("new");
        fs::write(&beside, text).expect("a writable folder");
        fs::rename(beside, self.folder().join(name)).expect("the same folder");
    }

    /// `[[tls]]` for a pair that was issued, with further lines.
    pub fn table(&self, file: &str, more: &str) -> String {
        let path = |ending: &str| self.folder().join(format!("{file}.{ending}"));
        format!("[[tls]]\ncert = {:?}\nkey = {:?}\n{more}\n", path("pem"), path("key"))
    }

    fn provider(kx: Option<&'static dyn rustls::crypto::SupportedKxGroup>) -> Arc<rustls::crypto::CryptoProvider> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if let Some(group) = kx {
            provider.kx_groups = vec![group];
        }
        Arc::new(provider)
    }

    /// A client's configuration that trusts it; all of one's connections share their tickets.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        self.client_builder(versions).with_no_client_auth()
    }

    /// The same with a certificate of its own.
    pub fn client_with(&self, file: &str) -> ClientConfig {
        let chain = CertificateDer::pem_file_iter(self.folder().join(format!("{file}.pem"))).expect("PEM");
        let chain = chain.collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_file(self.folder().join(format!("{file}.key"))).expect("PEM");
        self.client_builder(&[&rustls::version::TLS13]).with_client_auth_cert(chain, key).expect("a pair")
    }

    fn client_builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        ClientConfig::builder_with_provider(Authority::provider(None))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
    }
}

/// Both versions.
pub static VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// A session for `name` that has not begun.
pub fn session(config: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    ClientConnection::new(config.clone(), name).expect("a client")
}

/// Adds a TLS listener to `builder` and starts it. The address is that of the TLS listener.
#[track_caller]
pub fn start(builder: Builder) -> (Server, SocketAddr) {
    let server = builder.argument("--bind").argument("https://127.0.0.1:0").start();
    let line = server.wait_for_line("ready: listening on https://");
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("the line ends in a port");
    (server, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// A new connection with TLS.
#[track_caller]
pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Client {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"));
    Client::over_tls(stream, session(config, name))
}
