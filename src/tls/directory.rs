//! All certificates of the server, by name, ready to make sessions with.
//!
//! Owns the rustls configurations: they are built once, off the shards, and shared by all of them; a reload builds a new directory.
//! A look-up takes the same time whatever the number of names.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite as suites, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::TrustAnchor;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};

use super::choice::Choice;
use super::leaf::Leaf;
use super::session::{Failure, ServerSession};
use crate::config::certificate::roots;
use crate::config::{ClientAuth, HostPattern, Preset, TlsEntry, TlsPolicy, TlsVersion};

/// One entry of a [`Directory`]; of no use with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId(usize);

/// Names and their certificates.
pub struct Directory {
    /// The first is for clients that name no host, or one that is not known.
    entries: Vec<Entry>,
    exact: HashMap<Box<str>, EntryId>,
    /// By what follows the first label.
    wildcard: HashMap<Box<str>, EntryId>,
    tickets: Tickets,
}

struct Entry {
    config: Arc<ServerConfig>,
    client_auth: ClientAuth,
    /// As they are written in the configuration.
    names: Vec<String>,
    /// When the first of its certificates expires, seconds since 1970; `None`: there is none yet.
    not_after: Option<u64>,
    /// `Strict-Transport-Security: …` with its CRLF; empty for none.
    hsts: Box<str>,
}

/// Ticket keys, and for which rules of client certificates they are good.
struct Tickets {
    ticketer: Arc<dyn ProducesTickets>,
    rules: Vec<Rule>,
}

/// A session that is resumed shows no certificate again: what is asked of clients must not have changed since.
#[derive(PartialEq)]
struct Rule {
    names: Vec<HostPattern>,
    policy: TlsPolicy,
    anchors: Vec<TrustAnchor<'static>>,
}

/// Why certificates could not be loaded: where in the configuration, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

impl fmt::Debug for Directory {
    /// Its size: there is nothing else in it that may be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({} entries)", self.entries.len())
    }
}

impl Directory {
    /// Reads the files of `entries` (so it never runs on a shard). Sessions that were begun with `previous` can be resumed,
    /// unless what is asked of clients has changed.
    ///
    /// # Errors
    /// A file can't be used. Nothing is half loaded.
    pub fn load(entries: &[TlsEntry], previous: Option<&Directory>) -> Result<Directory, LoadError> {
        let mut loaded = Vec::with_capacity(entries.len());
        for entry in entries {
            let has_old = previous.is_some_and(|previous| previous.has_certificate(entry));
            match Loaded::read(entry) {
                Ok(read) => loaded.push(read),
                // Its keeper gets a new one; what is wrong with this one holds nothing else up.
                Err(message) if entry.acme && !has_old => {
                    tracing::error!("{}: {message}", entry.place);
                    loaded.push(Loaded::empty(entry)?);
                }
                Err(message) => return Err(LoadError(format!("{}: {message}", entry.place))),
            }
        }
        let rules: Vec<_> = loaded.iter().map(Loaded::rule).collect();
        let ticketer = match previous {
            Some(previous) if previous.tickets.rules == rules => previous.tickets.ticketer.clone(),
            _ => aws_lc_rs::Ticketer::new().map_err(|error| LoadError(format!("cannot make ticket keys: {error}")))?,
        };
        let mut directory = Directory {
            entries: Vec::with_capacity(loaded.len()),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            tickets: Tickets { ticketer, rules },
        };
        for (entry, Loaded { names, certificates, roots, policy }) in entries.iter().zip(loaded) {
            let id = EntryId(directory.entries.len());
            let shown = names.iter().map(HostPattern::to_string).collect();
            for name in names {
                match name {
                    HostPattern::Exact(name) => directory.exact.entry(name.into()).or_insert(id),
                    HostPattern::Suffix(suffix) => directory.wildcard.entry(suffix[1..].into()).or_insert(id),
                    HostPattern::Any => unreachable!("an entry's names are names"),
                };
            }
            let leaves = certificates.iter().filter_map(Leaf::of);
            let not_after = leaves.map(|leaf| leaf.not_after).min();
            let config = server_config(&policy, certificates, roots, &directory.tickets.ticketer)
                .map_err(|message| LoadError(format!("{}: {message}", entry.place)))?;
            let hsts = policy.hsts.as_ref().map(|value| format!("Strict-Transport-Security: {value}\r\n"));
            directory.entries.push(Entry {
                config,
                client_auth: policy.client_auth,
                names: shown,
                not_after,
                hsts: hsts.unwrap_or_default().into(),
            });
        }
        Ok(directory)
    }

    /// The entry for a client that asks for `name`, in lower case.
    #[must_use]
    pub fn select(&self, name: Option<&str>) -> EntryId {
        name.and_then(|name| self.find(name)).unwrap_or(EntryId(0))
    }

    fn find(&self, name: &str) -> Option<EntryId> {
        let beneath = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name).or_else(beneath).copied()
    }

    /// A new session with the certificates of `entry`.
    ///
    /// # Errors
    /// There was no randomness to be had.
    pub fn session(&self, entry: EntryId) -> Result<ServerSession, Failure> {
        ServerSession::new(self.entries[entry.0].config.clone())
    }

    /// Every name, and when its certificate expires, seconds since 1970; names that have none yet are left out.
    pub fn expiries(&self) -> impl Iterator<Item = (&str, u64)> {
        let of = |entry: &Entry| entry.not_after;
        self.entries
            .iter()
            .filter_map(move |entry| Some((entry, of(entry)?)))
            .flat_map(|(entry, not_after)| entry.names.iter().map(move |name| (name.as_str(), not_after)))
    }

    /// Names for which there is no certificate yet.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|entry| entry.not_after.is_none())
            .flat_map(|entry| entry.names.iter().map(String::as_str))
    }

    fn has_certificate(&self, entry: &TlsEntry) -> bool {
        let found = match entry.names.first() {
            Some(HostPattern::Exact(name)) => self.exact.get(name.as_str()),
            _ => None,
        };
        found.is_some_and(|id| self.entries[id.0].not_after.is_some())
    }

    /// Whether clients of `entry` are asked for a certificate.
    #[must_use]
    pub fn client_auth(&self, entry: EntryId) -> ClientAuth {
        self.entries[entry.0].client_auth
    }

    /// The field line that all responses over sessions of `entry` get, with its CRLF; often empty.
    #[must_use]
    pub fn hsts(&self, entry: EntryId) -> &str {
        &self.entries[entry.0].hsts
    }

    /// Whether a request for `host` must not be answered over a session of `entry`: that host asks for a certificate, and this
    /// session was not asked in its name (RFC 9110 §15.5.20).
    #[must_use]
    pub fn is_misdirected(&self, entry: EntryId, host: &[u8]) -> bool {
        // In the common case nobody asks for certificates, and there is nothing to look up.
        if self.entries.iter().all(|entry| entry.client_auth == ClientAuth::None) {
            return false;
        }
        let name = std::str::from_utf8(host).unwrap_or_default().to_ascii_lowercase();
        let owner = self.select(Some(name.trim_end_matches('.')));
        owner != entry && self.client_auth(owner) != ClientAuth::None
    }
}

/// An entry with what is in its files.
struct Loaded {
    names: Vec<HostPattern>,
    certificates: Vec<CertifiedKey>,
    roots: Option<Arc<RootCertStore>>,
    policy: TlsPolicy,
}

impl Loaded {
    fn read(entry: &TlsEntry) -> Result<Loaded, String> {
        let read =
            |files: &crate::config::certificate::CertificateFiles| files.read().map_err(|error| error.to_string());
        // What the server gets by itself may not be there yet; then handshakes for these names are refused.
        let is_there = |files: &&crate::config::certificate::CertificateFiles| !entry.acme || files.cert.exists();
        let certificates = entry.certificates.iter().filter(is_there).map(read).collect::<Result<Vec<_>, _>>()?;
        let roots = entry.policy.client_ca.as_deref().map(roots).transpose()?;
        let names = match entry.names.is_empty() {
            true => certificates.iter().flat_map(super::warnings::names_of).collect(),
            false => entry.names.clone(),
        };
        Ok(Loaded { names, certificates, roots, policy: entry.policy.clone() })
    }

    /// Without certificates.
    fn empty(entry: &TlsEntry) -> Result<Loaded, LoadError> {
        let roots = entry.policy.client_ca.as_deref().map(roots).transpose();
        let roots = roots.map_err(|message| LoadError(format!("{}: {message}", entry.place)))?;
        Ok(Loaded { names: entry.names.clone(), certificates: Vec::new(), roots, policy: entry.policy.clone() })
    }

    fn rule(&self) -> Rule {
        let anchors = self.roots.as_ref().map_or(Vec::new(), |roots| roots.roots.clone());
        Rule { names: self.names.clone(), policy: self.policy.clone(), anchors }
    }
}

/// Suites after Mozilla's "Server Side TLS" 5.7, in its order; which one is taken is the client's choice, as recommended there.
static SUITES_TLS13: [SupportedCipherSuite; 3] =
    [suites::TLS13_AES_128_GCM_SHA256, suites::TLS13_AES_256_GCM_SHA384, suites::TLS13_CHACHA20_POLY1305_SHA256];
/// Those of TLS 1.2 in "intermediate", less the finite-field ones, which rustls does not have.
static SUITES_TLS12: [SupportedCipherSuite; 6] = [
    suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
/// Groups of both presets: the hybrid with ML-KEM first, for clients that have it.
static GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

fn server_config(
    policy: &TlsPolicy,
    certificates: Vec<CertifiedKey>,
    roots: Option<Arc<RootCertStore>>,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, String> {
    let with_tls12 = policy.preset == Preset::Intermediate && policy.min_version == TlsVersion::Tls12;
    let mut suites = SUITES_TLS13.to_vec();
    if with_tls12 {
        suites.extend(SUITES_TLS12);
    }
    let provider =
        CryptoProvider { cipher_suites: suites, kx_groups: GROUPS.to_vec(), ..aws_lc_rs::default_provider() };
    let provider = Arc::new(provider);
    let versions = if with_tls12 { &[&TLS13, &TLS12][..] } else { &[&TLS13][..] };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = match (policy.client_auth, roots) {
        (ClientAuth::None, _) | (_, None) => builder.with_no_client_auth(),
        (auth, Some(roots)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if auth == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| format!("client_ca: {error}"))?)
        }
    };
    let mut config =
        builder.with_cert_resolver(Arc::new(Choice::new(certificates.into_iter().map(Arc::new).collect())));
    config.alpn_protocols = policy.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    // Sessions that are kept on the server would be behind a lock; tickets are kept by clients.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if policy.tickets {
        config.ticketer = ticketer.clone();
    } else {
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}
