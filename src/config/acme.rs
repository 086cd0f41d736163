//! `[acme]`: from its table to [`AcmeConfig`].
//!
//! Owns what an authority's account is made from, and where certificates lie. Reads `ca_file` only to check it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::certificate::roots;
use super::error::Problem;
use super::options::{self, Unit};
use super::read;
use super::section::{Bases, Reader};
use super::value::{Place, Table, Value};
use crate::base::bounds::{ACME_EMAILS_MAX, ACME_URL_BYTES_MAX};

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// Where it stands, for messages: `maitred.toml:12: acme`.
    pub place: String,
    /// URL of the directory, with `https`.
    pub directory: String,
    /// Addresses without `mailto:`.
    pub emails: Vec<String>,
    /// Account, keys and certificates are below it.
    pub storage: PathBuf,
    /// Which challenges are met.
    pub challenge: ChallengeChoice,
    /// What the directory's certificate is verified against; `None`: what the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The account with the authority that ours is bound to.
    pub binding: Option<AcmeBinding>,
    /// Wait after a first failure.
    pub retry: Duration,
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeBinding {
    /// The key's identifier.
    pub key_id: String,
    /// The file with the key, base64url.
    pub key_file: PathBuf,
}

/// Which challenges are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeChoice {
    /// Whatever the listeners allow.
    Auto,
    /// RFC 8555 §8.3 alone.
    Http01,
    /// RFC 8737 alone.
    TlsAlpn01,
}

impl AcmeConfig {
    /// The directory for what belongs to this authority: one can be tried out beside another.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let name = self.directory.strip_prefix("https://").unwrap_or(&self.directory);
        let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
        let name: String = name.chars().map(allowed).collect();
        // No hidden directory, and none with a meaning.
        self.storage.join(format!("ca-{}", name.trim_end_matches('-')))
    }

    /// The file with key and certificate for names of which `first` is the first one.
    #[must_use]
    pub fn file(&self, first: &str) -> PathBuf {
        self.folder().join(format!("{first}.pem"))
    }
}

/// The section, if it is there and right.
pub(super) fn acme(table: Option<(Place, Table)>, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Option<AcmeConfig> {
    let (place, table) = table?;
    let before = problems.len();
    let mut reader = Reader::new(table, options::ACME.name, options::ACME.options, bases, problems);
    match reader.placed(&options::ACME_ACCEPT_TERMS) {
        Some((true, _)) => {}
        Some((false, place)) => {
            reader.problem(
                place,
                "accept_terms",
                "an authority issues only to those who agree to its terms: set it to true",
            );
        }
        None => reader.problem(
            place.clone(),
            "",
            "must have \"accept_terms = true\": you agree to the terms of service of the authority",
        ),
    }
    let ca_file = reader.placed(&options::ACME_CA_FILE).map(|(path, place)| {
        if let Err(message) = roots(&path) {
            reader.problem(place, "ca_file", message);
        }
        path
    });
    let key_id = reader.placed(&options::ACME_EAB_KEY_ID);
    let key_file = reader.placed(&options::ACME_EAB_KEY_FILE);
    let binding = match (key_id, key_file) {
        (Some((key_id, _)), Some((key_file, _))) => Some(AcmeBinding { key_id, key_file }),
        (Some((_, place)), None) => {
            reader.problem(place, "eab_key_id", "needs an \"eab_key_file\" with the key");
            None
        }
        (None, Some((_, place))) => {
            reader.problem(place, "eab_key_file", "needs an \"eab_key_id\"");
            None
        }
        (None, None) => None,
    };
    let config = AcmeConfig {
        place: format!("{place}acme"),
        directory: reader.value(&options::ACME_DIRECTORY),
        emails: reader.value(&options::ACME_EMAIL),
        storage: reader.value(&options::ACME_STORAGE),
        challenge: reader.value(&options::ACME_CHALLENGE),
        ca_file,
        binding,
        retry: reader.value(&options::ACME_RETRY),
    };
    reader.finish();
    (problems.len() == before).then_some(config)
}

pub fn emails(value: &Value, unit: Unit, base: &Path) -> Result<Vec<String>, String> {
    let one = |value: &Value| {
        let text = read::text(value, unit, base)?;
        // As a mailto URL takes it without escapes (RFC 6068 §2), one address each (RFC 8555 §7.3).
        let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '?' | '%' | '"' | '<' | '>' | '#' | '&');
        let is_one = text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !host.contains('@') && text.chars().all(allowed)
        });
        match is_one {
            true => Ok(text),
            false => Err(format!("must be an address such as \"admin@example.com\", not \"{}\"", text.escape_debug())),
        }
    };
    let emails: Vec<_> = match value {
        Value::List(items) => items.iter().map(|item| one(&item.value)).collect::<Result<_, _>>()?,
        other => vec![one(other)?],
    };
    if emails.len() > ACME_EMAILS_MAX {
        return Err(format!("must not have more than {ACME_EMAILS_MAX} addresses"));
    }
    Ok(emails)
}

/// RFC 8555 §6.1: always HTTPS.
pub fn directory(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    let text = read::text(value, unit, base)?;
    let host = text.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    let is_url = host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'))
        && !text.contains('#');
    match is_url && text.len() <= ACME_URL_BYTES_MAX {
        true => Ok(text),
        false => Err(format!("must be {unit}, not \"{}\"", text.escape_debug())),
    }
}

pub fn challenge(value: &Value, unit: Unit, base: &Path) -> Result<ChallengeChoice, String> {
    match read::text(value, unit, base)?.as_str() {
        "auto" => Ok(ChallengeChoice::Auto),
        "http-01" => Ok(ChallengeChoice::Http01),
        "tls-alpn-01" => Ok(ChallengeChoice::TlsAlpn01),
        "dns-01" => {
            Err("dns-01 is not done; get such certificates with another client, and name them in \"cert\" and \"key\""
                .to_owned())
        }
        other => Err(format!("must be {unit}, not \"{}\"", other.escape_debug())),
    }
}

pub fn word(value: &Value, unit: Unit, base: &Path) -> Result<String, String> {
    let text = read::text(value, unit, base)?;
    match !text.is_empty() && text.len() <= ACME_URL_BYTES_MAX && text.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(text),
        false => Err(format!("must be {unit}, not \"{}\"", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Placed;

    fn config(directory: &str) -> AcmeConfig {
        AcmeConfig {
            place: String::new(),
            directory: directory.to_owned(),
            emails: Vec::new(),
            storage: PathBuf::from("/var/lib/acme"),
            challenge: ChallengeChoice::Auto,
            ca_file: None,
            binding: None,
            retry: Duration::from_secs(1),
        }
    }

    #[test]
    fn authorities_have_folders_of_their_own_below_the_storage() {
        for (directory, folder) in [
            ("https://acme.example/directory", "ca-acme.example-directory"),
            ("https://acme.example:14000/dir/", "ca-acme.example-14000-dir"),
            ("https://../../etc", "ca-..-..-etc"),
            ("https://a/%2e%2e/", "ca-a--2e-2e"),
        ] {
            assert_eq!(config(directory).folder(), Path::new("/var/lib/acme").join(folder));
        }
        let file = config("https://acme.example/d").file("www.example.com");
        assert_eq!(file, Path::new("/var/lib/acme/ca-acme.example-d/www.example.com.pem"));
    }

    #[test]
    fn addresses_and_urls_are_looked_at() {
        let text = |text: &str| Value::Text(text.to_owned());
        let base = Path::new("/");
        let unit = Unit::Text("x");
        for good in ["a@b", "first.last+tag@example.com"] {
            assert_eq!(emails(&text(good), unit, base), Ok(vec![good.to_owned()]));
        }
        for bad in ["", "a", "@b", "a@", "a@b,c@d", "a b@c", "a@b?cc=d@e", "mailto:<a@b>", "a@b@c", "ä@b"] {
            assert!(emails(&text(bad), unit, base).is_err(), "{bad}");
        }
        let many =
            |count| Value::List((0..count).map(|_| Placed { place: Place::Nowhere, value: text("a@b") }).collect());
        assert!(emails(&many(ACME_EMAILS_MAX), unit, base).is_ok());
        assert!(emails(&many(ACME_EMAILS_MAX + 1), unit, base).is_err());
        assert!(directory(&text(&format!("https://a/{}", "b".repeat(ACME_URL_BYTES_MAX))), unit, base).is_err());
        for good in ["https://a/b", "https://a:1/b?c=d", "https://[::1]:14000/dir"] {
            assert!(directory(&text(good), unit, base).is_ok(), "{good}");
        }
        for bad in ["http://a/b", "https://", "https:///a", "https://u@a/b", "https://a/b c", "https://a/b#c", "a"] {
            assert!(directory(&text(bad), unit, base).is_err(), "{bad}");
        }
    }
}
