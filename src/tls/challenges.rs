//! Answers to the challenges of a certificate authority, for as long as it looks for them.
//!
//! Owns what is answered: texts by token (HTTP-01, RFC 8555 §8.3) and certificates by name (TLS-ALPN-01, RFC 8737 §3). Made off the
//! shards and shared by all of them without a lock; a shard only looks things up.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::choice::Choice;
use super::session::{Failure, ServerSession};

/// The protocol of RFC 8737 §6.2.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// Answers that are looked for now.
#[derive(Default)]
pub struct Challenges {
    texts: HashMap<Box<str>, Box<str>>,
    sessions: HashMap<Box<str>, Arc<ServerConfig>>,
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenges({} texts, {} certificates)", self.texts.len(), self.sessions.len())
    }
}

impl Challenges {
    /// Answers `token` with `text`.
    pub fn add_text(&mut self, token: &str, text: &str) {
        self.texts.insert(token.into(), text.into());
    }

    /// Shows clients that ask for `name` a certificate with `digest` in it.
    ///
    /// # Errors
    /// No certificate could be made: a name that can't be in one, or no randomness.
    pub fn add_certificate(&mut self, name: &str, digest: &[u8]) -> Result<(), String> {
        let config = certificate(name, digest).map_err(|message| format!("cannot answer for {name}: {message}"))?;
        self.sessions.insert(name.to_ascii_lowercase().into(), Arc::new(config));
        Ok(())
    }

    /// Whether nothing is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.sessions.is_empty()
    }

    /// What is answered for `token`.
    #[must_use]
    pub fn text(&self, token: &str) -> Option<&str> {
        self.texts.get(token).map(AsRef::as_ref)
    }

    /// A session with the certificate for `name`, in lower case; `None`: there is no challenge for it.
    #[must_use]
    pub fn session(&self, name: &str) -> Option<Result<ServerSession, Failure>> {
        self.sessions.get(name).map(|config| ServerSession::new(config.clone()))
    }
}

fn certificate(name: &str, digest: &[u8]) -> Result<ServerConfig, String> {
    let digest: [u8; 32] = digest.try_into().map_err(|_| "no SHA-256 digest".to_owned())?;
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let made = params.self_signed(&key).map_err(|error| error.to_string())?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = aws_lc_rs::sign::any_supported_type(&der).map_err(|error| error.to_string())?;
    // Not looked at more closely: its critical extension is one that only authorities know.
    let certified = CertifiedKey::new(vec![made.der().clone()], signing);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Choice::new(vec![Arc::new(certified)])));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_by_token_and_by_name() {
        let mut challenges = Challenges::default();
        challenges.add_text("token", "token.thumbprint");
        challenges.add_certificate("A.example", &[7; 32]).expect("a certificate");
        assert_eq!(challenges.text("token"), Some("token.thumbprint"));
        assert_eq!(challenges.text("toke"), None);
        assert!(challenges.session("a.example").is_some_and(|session| session.is_ok()));
        assert!(challenges.session("b.example").is_none());
        assert!(challenges.add_certificate("a.example", &[7; 31]).is_err(), "no digest");
        assert!(challenges.add_certificate("ä.example", &[7; 32]).is_err(), "no name");
    }
}
