//! `[[tls]]`: from their tables to [`TlsEntry`]s.
//!
//! Owns the checks among entries, and that the files of each can be used. The files are read here only to be checked: `tls`
//! reads them again whenever certificates are loaded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::acme::AcmeConfig;
use super::certificate::{CertificateFiles, Part, roots};
use super::error::Problem;
use super::options::{self, Unit};
use super::read;
use super::section::{Bases, Reader};
use super::types::HostPattern;
use super::value::{Place, Table, Value};
use crate::base::bounds::{ACME_NAMES_MAX, HOST_BYTES_MAX, TLS_ENTRIES_MAX, TLS_ENTRY_CERTIFICATES_MAX};

/// One `[[tls]]`: the certificates of some names, and what is agreed on with clients that ask for them.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsEntry {
    /// Where it stands, for messages: `maitred.toml:12: tls`.
    pub place: String,
    /// Names that it is for; empty: those in its certificates.
    pub names: Vec<HostPattern>,
    /// Its certificates, at least one. Each could be read when the configuration was, unless the server gets it by itself.
    pub certificates: Vec<CertificateFiles>,
    /// The one certificate comes from `[acme]`, and may not be there yet.
    pub acme: bool,
    /// All but names and certificates.
    pub policy: TlsPolicy,
}

/// What a `[[tls]]` says beside names and certificates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsPolicy {
    /// Which cipher suites and groups.
    pub preset: Preset,
    /// Oldest version.
    pub min_version: TlsVersion,
    /// Protocols for ALPN, the most wanted first; empty: none.
    pub alpn: Vec<String>,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
    /// Whose certificates clients may show; there exactly if they are asked.
    pub client_ca: Option<PathBuf>,
    /// Whether sessions can be resumed.
    pub tickets: bool,
    /// `Strict-Transport-Security`.
    pub hsts: Option<String>,
}

/// Mozilla's lists of cipher suites, as far as rustls has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 with forward secrecy and AEAD, and TLS 1.3.
    Intermediate,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// No.
    None,
    /// Yes, but they need not have one. One that is wrong ends the handshake.
    Optional,
    /// Yes, and without one there is no connection.
    Required,
}

/// The entries; those that are wrong are left out.
pub fn tls(
    tables: Vec<(Place, Table)>,
    acme: (Option<&AcmeConfig>, bool),
    bases: Bases<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<TlsEntry> {
    if let Some((place, _)) = tables.get(TLS_ENTRIES_MAX) {
        let message = format!("there are more than {TLS_ENTRIES_MAX} entries");
        problems.push(Problem { place: place.clone(), key: "tls".to_owned(), message });
    }
    let mut entries: Vec<TlsEntry> = Vec::new();
    let mut owners: HashMap<HostPattern, (usize, Place)> = HashMap::new();
    for (place, table) in tables.into_iter().take(TLS_ENTRIES_MAX) {
        let Some(found) = entry(table, &place, acme, bases, problems) else { continue };
        let index = match found.names.iter().find_map(|name| owners.get(name)) {
            // The same names once more: another certificate for them.
            Some((index, _))
                if entries[*index].names == found.names
                    && entries[*index].policy == found.policy
                    && !found.acme
                    && !entries[*index].acme =>
            {
                entries[*index].certificates.extend(found.certificates);
                continue;
            }
            Some((_, other)) => {
                let message = format!(
                    "a name was given before ({}); a second certificate for it goes into the same lists `cert` and `key`",
                    other.short()
                );
                problems.push(Problem { place, key: "tls.names".to_owned(), message });
                continue;
            }
            None => entries.len(),
        };
        for name in &found.names {
            owners.insert(name.clone(), (index, place.clone()));
        }
        entries.push(found);
    }
    entries
}

fn entry(
    table: Table,
    place: &Place,
    acme: (Option<&AcmeConfig>, bool),
    bases: Bases<'_>,
    problems: &mut Vec<Problem>,
) -> Option<TlsEntry> {
    let before = problems.len();
    let mut reader = Reader::new(table, "tls", options::TLS.options, bases, problems);
    let is_acme = reader.value(&options::TLS_ACME);
    for (given, name) in [(reader.has(&options::CERT), "cert"), (reader.has(&options::KEY), "key")] {
        if !given && !is_acme {
            reader.problem(place.clone(), "", format!("must have a \"{name}\", or acme = true"));
        }
    }
    if is_acme && (reader.has(&options::CERT) || reader.has(&options::KEY) || reader.has(&options::OCSP)) {
        reader.problem(place.clone(), "", "must have either acme = true or files (\"cert\", \"key\", \"ocsp\")");
    }
    let named = reader.placed(&options::NAMES);
    let names_place = named.as_ref().map_or(place, |(_, place)| place).clone();
    let names = named.map(|(names, _)| names).unwrap_or_default();
    let certs = reader.placed(&options::CERT);
    let keys = reader.placed(&options::KEY);
    let staples = reader.placed(&options::OCSP);
    let preset = reader.value(&options::PRESET);
    let version = reader.placed(&options::MIN_VERSION);
    let alpn = reader.value(&options::ALPN);
    let client_auth = reader.placed(&options::CLIENT_AUTH);
    let client_ca = reader.placed(&options::CLIENT_CA);
    let tickets = reader.value(&options::TICKETS);
    let hsts = reader.optional(&options::HSTS);
    let lowest = if preset == Preset::Modern { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
    if let Some((version, place)) = &version
        && *version < lowest
    {
        reader.problem(
            place.clone(),
            "min_version",
            "\"modern\" is TLS 1.3 alone; take preset = \"intermediate\" with it",
        );
    }
    match (&client_auth, &client_ca) {
        (Some((ClientAuth::Optional | ClientAuth::Required, place)), None) => {
            reader.problem(place.clone(), "client_auth", "needs a \"client_ca\": whose certificates clients may show");
        }
        (None | Some((ClientAuth::None, _)), Some((_, place))) => {
            reader.problem(
                place.clone(),
                "client_ca",
                "has no meaning without client_auth = \"optional\" or \"required\"",
            );
        }
        (Some(_), Some((path, place))) => {
            if let Err(message) = roots(path) {
                reader.problem(place.clone(), "client_ca", message);
            }
        }
        (None, None) | (Some((ClientAuth::None, _)), None) => {}
    }
    let ((certs, cert_place), (keys, key_place)) = match (is_acme, certs, keys) {
        (true, ..) => {
            for message in unfit_for_acme(&names, acme) {
                reader.problem(names_place.clone(), "names", message);
            }
            let file = acme.0.zip(names.first()).map(|(acme, first)| acme.file(first.text()));
            let files: Vec<_> = file.into_iter().collect();
            ((files.clone(), place.clone()), (files, place.clone()))
        }
        (false, Some(certs), Some(keys)) => (certs, keys),
        (false, ..) => {
            reader.finish();
            return None;
        }
    };
    if keys.len() != certs.len() {
        reader.problem(key_place.clone(), "key", "must have as many files as \"cert\"");
    }
    if certs.len() > TLS_ENTRY_CERTIFICATES_MAX {
        reader.problem(
            cert_place.clone(),
            "cert",
            format!("must not have more than {TLS_ENTRY_CERTIFICATES_MAX} files"),
        );
    }
    let ocsp_place = staples.as_ref().map_or(Place::Nowhere, |(_, place)| place.clone());
    let staples = staples.map(|(paths, _)| paths).unwrap_or_default();
    if !staples.is_empty() && staples.len() != certs.len() {
        reader.problem(ocsp_place.clone(), "ocsp", "must have as many files as \"cert\"");
    }
    let mut staples = staples.into_iter();
    let pairs = certs.into_iter().zip(keys);
    let certificates: Vec<_> = pairs.map(|(cert, key)| CertificateFiles { cert, key, ocsp: staples.next() }).collect();
    for files in certificates.iter().filter(|_| !is_acme).take(TLS_ENTRY_CERTIFICATES_MAX) {
        if let Err(error) = files.read() {
            let (place, key) = match error.part {
                Part::Cert => (&cert_place, "cert"),
                Part::Key => (&key_place, "key"),
                Part::Ocsp => (&ocsp_place, "ocsp"),
            };
            reader.problem(place.clone(), key, error.message);
        }
    }
    reader.finish();
    if problems.len() > before {
        return None;
    }
    let policy = TlsPolicy {
        preset,
        min_version: version.map_or(lowest, |(version, _)| version),
        alpn,
        client_auth: client_auth.map_or(ClientAuth::None, |(auth, _)| auth),
        client_ca: client_ca.map(|(path, _)| path),
        tickets,
        hsts,
    };
    Some(TlsEntry { place: format!("{place}tls"), names, certificates, acme: is_acme, policy })
}

/// What keeps these names from being in a certificate of `[acme]`.
fn unfit_for_acme(names: &[HostPattern], (acme, is_there): (Option<&AcmeConfig>, bool)) -> Vec<String> {
    let mut messages = Vec::new();
    if !is_there {
        messages.push("acme = true needs an [acme] section that says \"accept_terms = true\"".to_owned());
    }
    if names.is_empty() && (acme.is_some() || !is_there) {
        messages.push("must be given with acme = true: what the certificate is for".to_owned());
    }
    if let Some(name) = names.iter().find(|name| name.text().len() > HOST_BYTES_MAX) {
        messages.push(format!("\"{}\" is longer than a host name can be", name.text()));
    }
    if names.len() > ACME_NAMES_MAX {
        messages.push(format!("must not have more than {ACME_NAMES_MAX} names with acme = true"));
    }
    if let Some(name) = names.iter().find(|name| !matches!(name, HostPattern::Exact(_))) {
        messages.push(format!(
            "\"*{}\": a wildcard takes DNS-01, which is not done; list the names, or get the certificate with another client and \
             name it in \"cert\" and \"key\"",
            name.text()
        ));
    }
    messages
}

pub fn names(value: &Value, unit: Unit, base: &Path) -> Result<Vec<HostPattern>, String> {
    let names: Vec<_> = match value {
        Value::List(items) => items.iter().map(|item| read::host(&item.value, unit, base)).collect::<Result<_, _>>()?,
        one => vec![read::host(one, unit, base)?],
    };
    if names.is_empty() {
        return Err("must not be empty; leave it out for the names in the certificate".to_owned());
    }
    if let Some(HostPattern::Exact(name)) =
        names.iter().find(|name| matches!(name, HostPattern::Exact(name) if name.starts_with('[')))
    {
        return Err(format!("\"{name}\" is an address: clients name none (RFC 6066 §3)"));
    }
    Ok(names)
}

pub fn paths(value: &Value, unit: Unit, base: &Path) -> Result<Vec<PathBuf>, String> {
    let paths: Vec<_> = match value {
        Value::List(items) => items.iter().map(|item| read::path(&item.value, unit, base)).collect::<Result<_, _>>()?,
        one => vec![read::path(one, unit, base)?],
    };
    if paths.is_empty() { Err("must not be empty".to_owned()) } else { Ok(paths) }
}

pub fn preset(value: &Value, unit: Unit, base: &Path) -> Result<Preset, String> {
    word(value, unit, base, &[("modern", Preset::Modern), ("intermediate", Preset::Intermediate)])
}

pub fn version(value: &Value, unit: Unit, base: &Path) -> Result<TlsVersion, String> {
    word(value, unit, base, &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)])
}

pub fn client_auth(value: &Value, unit: Unit, base: &Path) -> Result<ClientAuth, String> {
    use ClientAuth::{None, Optional, Required};
    word(value, unit, base, &[("none", None), ("optional", Optional), ("required", Required)])
}

pub fn alpn(value: &Value, unit: Unit, base: &Path) -> Result<Vec<String>, String> {
    let spoken = [("http/1.1", "http/1.1"), ("http/1.0", "http/1.0")];
    let one = |value: &Value| word(value, unit, base, &spoken).map(str::to_owned);
    match value {
        Value::List(items) => items.iter().map(|item| one(&item.value)).collect(),
        other => Ok(vec![one(other)?]),
    }
}

/// RFC 6797 §6.1: `max-age` must be there.
pub fn hsts(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    let text = read::field_value(value, unit, base)?;
    let has_age = text.split(';').any(|directive| {
        directive.trim().to_ascii_lowercase().strip_prefix("max-age=").is_some_and(|age| {
            let age = age.trim_matches('"');
            !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit())
        })
    });
    if has_age { Ok(text) } else { Err("must name \"max-age=SECONDS\", as in \"max-age=31536000\"".to_owned()) }
}

/// The value that one of `words` stands for.
fn word<T: Copy>(value: &Value, unit: Unit, base: &Path, words: &[(&str, T)]) -> Result<T, String> {
    let text = read::text(value, unit, base)?;
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| format!("must be {unit}, not \"{}\"", text.escape_debug()))
}
