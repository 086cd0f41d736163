//! The metrics of certificates.
//!
//! Pure: facts in, text out. Called by the admin listener of `supervise`, behind the page of all else.

use super::prometheus::{Kind, Text};

/// What is known of certificates.
#[derive(Debug, Default)]
pub struct CertificateFacts {
    /// Name and expiry, seconds since 1970.
    pub expiries: Vec<(String, u64)>,
    /// Names that have none yet.
    pub missing: usize,
    /// Certificates that were issued to the server, and attempts that failed; `None`: it gets none by itself.
    pub acme: Option<(u64, u64)>,
}

/// Writes them; empty without any.
#[must_use]
pub fn certificates(facts: &CertificateFacts) -> String {
    let mut text = Text::default();
    if facts.expiries.is_empty() && facts.acme.is_none() {
        return String::new();
    }
    let help = "When the certificate for a name expires, seconds since 1970.";
    let mut expiries = text.metric("maitred_certificate_expiry_timestamp_seconds", Kind::Gauge, help);
    for (name, not_after) in &facts.expiries {
        expiries.sample(&[("name", name)], *not_after);
    }
    text.metric("maitred_certificates_missing", Kind::Gauge, "Names that have no certificate yet.")
        .sample(&[], facts.missing as u64);
    if let Some((issued, failed)) = facts.acme {
        text.metric("maitred_acme_attempts_total", Kind::Counter, "Attempts to get a certificate, by their outcome.")
            .sample(&[("outcome", "issued")], issued)
            .sample(&[("outcome", "failed")], failed);
    }
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_expiry() {
        assert_eq!(certificates(&CertificateFacts::default()), "");
        let facts = CertificateFacts {
            expiries: vec![("a.test".to_owned(), 1_800_000_000), ("*.b.test".to_owned(), 5)],
            missing: 1,
            acme: Some((2, 3)),
        };
        let text = certificates(&facts);
        for line in [
            "maitred_certificate_expiry_timestamp_seconds{name=\"a.test\"} 1800000000\n",
            "maitred_certificate_expiry_timestamp_seconds{name=\"*.b.test\"} 5\n",
            "maitred_certificates_missing 1\n",
            "maitred_acme_attempts_total{outcome=\"failed\"} 3\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
