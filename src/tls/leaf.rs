//! What a certificate says of itself: its names and how long it is good.
//!
//! Pure. Called by `acme`, which decides by it when to renew, and by the directory for the metrics.

use std::hash::{DefaultHasher, Hash, Hasher};

use rustls::sign::CertifiedKey;

use super::warnings::{covers, first, names_of};
use crate::config::HostPattern;

/// The first certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The hosts that it is for.
    pub names: Vec<HostPattern>,
    /// Good from then on, seconds since 1970.
    pub not_before: u64,
    /// … and until then.
    pub not_after: u64,
    /// A number of its own: the same whenever it is looked at.
    pub number: u64,
}

impl Leaf {
    /// Reads it; `None` for what is no certificate.
    #[must_use]
    pub fn of(certified: &CertifiedKey) -> Option<Leaf> {
        let parsed = first(certified)?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let mut hasher = DefaultHasher::new();
        certified.cert.first()?.as_ref().hash(&mut hasher);
        Some(Leaf {
            names: names_of(certified),
            not_before: seconds(parsed.validity().not_before),
            not_after: seconds(parsed.validity().not_after),
            number: hasher.finish(),
        })
    }

    /// Whether it is for `name`.
    #[must_use]
    pub fn covers(&self, name: &HostPattern) -> bool {
        covers(&self.names, name)
    }
}
