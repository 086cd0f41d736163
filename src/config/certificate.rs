//! Certificate chains and private keys, read from their files and checked against each other.
//!
//! Owns what is said about files that can't be used. Reads files, so it never runs on a shard. Called while the configuration is
//! read, and by `tls` whenever certificates are loaded.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use crate::base::bounds::{CERTIFICATES_MAX, TLS_FILE_BYTES_MAX};

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that lead to its root.
    pub cert: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// DER: an OCSP response to be stapled.
    pub ocsp: Option<PathBuf>,
}

/// Which file can't be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateError {
    /// Which of the files it is.
    pub part: Part,
    /// A sentence that names the file, and what to do.
    pub message: String,
}

/// One of the files of [`CertificateFiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The chain.
    Cert,
    /// The key.
    Key,
    /// The OCSP response.
    Ocsp,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CertificateError {}

impl CertificateFiles {
    /// Reads all of them.
    ///
    /// # Errors
    /// A file is missing, is not what it should be, or the key does not belong to the certificate.
    pub fn read(&self) -> Result<CertifiedKey, CertificateError> {
        let failed = |part: Part| move |message: String| CertificateError { part, message };
        let chain = chain(&self.cert).map_err(failed(Part::Cert))?;
        let key = private_key(&self.key).map_err(failed(Part::Key))?;
        let signing = any_supported_type(&key).map_err(|_| CertificateError {
            part: Part::Key,
            message: format!(
                "{}: is no key of a supported kind (RSA from 2048 bits, P-256, P-384, Ed25519)",
                self.key.display()
            ),
        })?;
        let mut certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            // A kind of key that can't tell its public half is trusted to fit.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                let (cert, key) = (self.cert.display(), self.key.display());
                let message = format!("{key}: is not the key of the first certificate in {cert}");
                return Err(CertificateError { part: Part::Key, message });
            }
            Err(error) => {
                let message = format!("{}: its first certificate cannot be used: {error}", self.cert.display());
                return Err(CertificateError { part: Part::Cert, message });
            }
        }
        if let Some(path) = &self.ocsp {
            let response = read(path).map_err(failed(Part::Ocsp))?;
            // OCSPResponse is a SEQUENCE (RFC 6960 §4.2.1); PEM is the likely mistake.
            if response.first() != Some(&0x30) {
                let message = format!("{}: is not a DER encoded OCSP response", path.display());
                return Err(CertificateError { part: Part::Ocsp, message });
            }
            certified.ocsp = Some(response);
        }
        Ok(certified)
    }
}

/// The certificates that clients' certificates are verified against.
///
/// # Errors
/// A sentence that names the file.
pub fn roots(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut store = RootCertStore::empty();
    for certificate in chain(path)? {
        store.add(certificate).map_err(|error| format!("{}: a certificate cannot be used: {error}", path.display()))?;
    }
    Ok(Arc::new(store))
}

/// The certificates of a PEM file; at least one.
///
/// # Errors
/// A sentence that names the file.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let mut chain = Vec::new();
    for item in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = item.map_err(|error| format!("{}: is not well-formed PEM: {error}", path.display()))?;
        x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| format!("{}: holds a certificate that is not well-formed", path.display()))?;
        chain.push(certificate);
    }
    if chain.is_empty() {
        return Err(format!("{}: holds no certificate (-----BEGIN CERTIFICATE-----)", path.display()));
    }
    if chain.len() > CERTIFICATES_MAX {
        return Err(format!("{}: holds more than {CERTIFICATES_MAX} certificates", path.display()));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&bytes, b"ENCRYPTED") => {
            format!("{}: is encrypted; `openssl pkey -in FILE -out NEW` takes its password off", path.display())
        }
        pem::Error::NoItemsFound => format!("{}: holds no private key (-----BEGIN PRIVATE KEY-----)", path.display()),
        error => format!("{}: is not well-formed PEM: {error}", path.display()),
    })
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TLS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
        Ok(_) if bytes.len() as u64 > TLS_FILE_BYTES_MAX => {
            Err(format!("{}: is larger than {TLS_FILE_BYTES_MAX} bytes", path.display()))
        }
        Ok(_) => Ok(bytes),
    }
}
