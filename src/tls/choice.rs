//! Which of an entry's certificates a client is shown: the cheapest one that it can verify.
//!
//! Pure. Called by rustls in the middle of a handshake.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureAlgorithm};

/// The certificates of one entry, ECDSA and Ed25519 before RSA: their signatures cost the server a fraction.
#[derive(Debug)]
pub(super) struct Choice {
    certificates: Vec<Arc<CertifiedKey>>,
}

impl Choice {
    /// Keeps the order among certificates of one kind.
    pub fn new(mut certificates: Vec<Arc<CertifiedKey>>) -> Choice {
        certificates.sort_by_key(|certificate| certificate.key.algorithm() == SignatureAlgorithm::RSA);
        Choice { certificates }
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let suits = |certificate: &&Arc<CertifiedKey>| {
            certificate.key.choose_scheme(hello.signature_schemes()).is_some()
                && has_suite(hello.cipher_suites(), certificate.key.algorithm())
        };
        // With none that suits, the last one lets the handshake say why it fails.
        self.certificates.iter().find(suits).or(self.certificates.last()).cloned()
    }
}

/// Whether a suite was offered with which `algorithm` can sign. Those of TLS 1.3 leave it open (RFC 8446 §B.4), those of TLS 1.2
/// name it (RFC 5289, RFC 7905).
fn has_suite(offered: &[CipherSuite], algorithm: SignatureAlgorithm) -> bool {
    use CipherSuite as S;
    offered.iter().any(|suite| match suite {
        S::TLS13_AES_128_GCM_SHA256 | S::TLS13_AES_256_GCM_SHA384 | S::TLS13_CHACHA20_POLY1305_SHA256 => true,
        S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        | S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        | S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => algorithm == SignatureAlgorithm::RSA,
        S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => algorithm != SignatureAlgorithm::RSA,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_of_tls_1_2_name_the_kind_of_key() {
        use SignatureAlgorithm::{ECDSA, RSA};
        for (suite, rsa, ecdsa) in [
            (CipherSuite::TLS13_AES_128_GCM_SHA256, true, true),
            (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true, false),
            (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false, true),
            (CipherSuite::TLS_RSA_WITH_AES_128_CBC_SHA, false, false),
        ] {
            assert_eq!((has_suite(&[suite], RSA), has_suite(&[suite], ECDSA)), (rsa, ecdsa), "{suite:?}");
        }
    }
}
