//! What is odd about certificates without keeping them from being used.
//!
//! Owns the sentences. Reads files, so it never runs on a shard. Called by `cli` and, after each load, by `supervise`.

use std::os::unix::fs::PermissionsExt;

use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use crate::base::clock;
use crate::config::{HostPattern, ServerConfig, TlsEntry};

/// Permission bits of a key file that let everybody read it.
const MODE_OTHERS_READ: u32 = 0o004;

/// One sentence for everything that is odd about `entries`.
#[must_use]
pub fn warnings(server: &ServerConfig, entries: &[TlsEntry]) -> Vec<String> {
    let mut found = Vec::new();
    let now = i64::try_from(clock::wall_seconds()).unwrap_or(i64::MAX);
    for entry in entries {
        for files in &entry.certificates {
            // What can't be read is an error, which is said elsewhere.
            let Ok(certified) = files.read() else { continue };
            let Some(certificate) = first(&certified) else { continue };
            let (place, path) = (&entry.place, files.cert.display());
            let validity = certificate.validity();
            if validity.not_after.timestamp() < now {
                found.push(format!(
                    "{place}.cert: {path}: the certificate has expired on {}; clients will refuse it",
                    validity.not_after
                ));
            } else if validity.not_before.timestamp() > now {
                found
                    .push(format!("{place}.cert: {path}: the certificate is not valid before {}", validity.not_before));
            }
            let covered = names_of(&certified);
            for name in entry.names.iter().filter(|name| !covers(&covered, name)) {
                found.push(format!("{place}.names: {}: is not among the names in {path}", name));
            }
            let mode = std::fs::metadata(&files.key).map(|found| found.permissions().mode());
            if mode.is_ok_and(|mode| mode & MODE_OTHERS_READ != 0) {
                let key = files.key.display();
                found.push(format!("{place}.key: {key}: can be read by everybody; `chmod 600 {key}`"));
            }
        }
    }
    if !entries.is_empty() && !server.listen.iter().any(|listener| listener.tls) {
        let place = &entries[0].place;
        found.push(format!("{place}: no listener speaks TLS; add one to \"listen\", such as \"0.0.0.0:443\""));
    }
    found
}

/// The names that an entry is for: those that it lists, or those in its certificates as far as these can be read.
#[must_use]
pub fn names(entry: &TlsEntry) -> Vec<HostPattern> {
    if !entry.names.is_empty() {
        return entry.names.clone();
    }
    entry.certificates.iter().filter_map(|files| files.read().ok()).flat_map(|certified| names_of(&certified)).collect()
}

/// The host names in a certificate (RFC 6125 §6.4: those of the subjectAltName alone), in lower case.
pub(super) fn names_of(certified: &CertifiedKey) -> Vec<HostPattern> {
    let alternatives = first(certified).and_then(|certificate| {
        let extension = certificate.subject_alternative_name().ok()??;
        let names = extension.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Some(names.collect::<Vec<_>>())
    });
    let pattern = |name: String| match name.strip_prefix('*') {
        Some(suffix) if suffix.len() > 1 && suffix.starts_with('.') => HostPattern::Suffix(suffix.to_owned()),
        _ => HostPattern::Exact(name),
    };
    alternatives.unwrap_or_default().into_iter().map(pattern).collect()
}

pub(super) fn first(certified: &CertifiedKey) -> Option<X509Certificate<'_>> {
    let certificate = certified.cert.first()?;
    x509_parser::parse_x509_certificate(certificate).ok().map(|(_, parsed)| parsed)
}

/// A wildcard stands for one label (RFC 6125 §6.4.3).
pub(super) fn covers(covered: &[HostPattern], name: &HostPattern) -> bool {
    covered.contains(name)
        || match name {
            HostPattern::Exact(name) => {
                name.find('.').is_some_and(|dot| covered.contains(&HostPattern::Suffix(name[dot..].to_owned())))
            }
            HostPattern::Suffix(_) | HostPattern::Any => false,
        }
}
