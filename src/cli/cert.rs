//! `maitred cert`: a self-signed certificate for development, and what to write into the config file.
//!
//! Owns the files that it makes and never overwrites others unless told to. Called by `main`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use time::{Duration, OffsetDateTime};

use super::{EXIT_UNUSABLE, complain, tell};

/// Permissions of the key: for its owner alone.
const KEY_MODE: u32 = 0o600;
/// Permissions of the certificate.
const CERT_MODE: u32 = 0o644;
/// The longest that browsers accept for certificates, days.
const VALID_DAYS: i64 = 397;
/// Names without `--name`.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Flags of `cert`.
#[derive(Debug, Args)]
pub struct CertOptions {
    /// A host name or address for the certificate; may be repeated [default: localhost, 127.0.0.1 and ::1]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// The directory for NAME.pem and NAME.key
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    out: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

/// Makes the pair. Exit code 0, or 2 with a sentence on stderr.
#[must_use]
pub fn run(options: &CertOptions) -> ExitCode {
    match make(options) {
        Ok((cert, key, names)) => {
            tell(format_args!("# a self-signed certificate for {names}, for development; browsers will warn of it"));
            tell(format_args!("[[tls]]\ncert = {:?}\nkey = {:?}\n", cert.display(), key.display()));
            tell("# and a listener, such as\n# [server]\n# listen = { address = \"127.0.0.1:8443\", tls = true }");
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(format_args!("maitred: {message}"));
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

fn make(options: &CertOptions) -> Result<(PathBuf, PathBuf, String), String> {
    let names = match options.names.is_empty() {
        true => NAMES.map(str::to_owned).to_vec(),
        false => options.names.clone(),
    };
    let first = names[0].clone();
    let file = first.replace('*', "_").replace([':', '/'], "-");
    let (cert, key) = (options.out.join(format!("{file}.pem")), options.out.join(format!("{file}.key")));
    let pair = KeyPair::generate().map_err(|error| format!("cannot make a key: {error}"))?;
    let mut params = CertificateParams::new(names.clone())
        .map_err(|_| format!("{}: a name that no certificate can have", names.join(", ")))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::DAY;
    params.not_after = now + Duration::days(VALID_DAYS);
    let made = params.self_signed(&pair).map_err(|error| format!("cannot make a certificate: {error}"))?;
    let failed = |path: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{} is there already; --force writes over it", path.display()),
        _ => format!("cannot write {}: {error}", path.display()),
    };
    let out = &options.out;
    fs::create_dir_all(out).map_err(|error| format!("cannot make the directory {}: {error}", out.display()))?;
    if !options.force {
        // Neither of them, or both.
        for path in [&cert, &key] {
            if path.exists() {
                return Err(failed(path, io::ErrorKind::AlreadyExists.into()));
            }
        }
    }
    put(&key, KEY_MODE, &pair.serialize_pem(), options.force).map_err(|error| failed(&key, error))?;
    put(&cert, CERT_MODE, &made.pem(), options.force).map_err(|error| failed(&cert, error))?;
    Ok((cert, key, names.join(", ")))
}

/// Writes a file that has these permissions from its beginning.
fn put(path: &Path, mode: u32, text: &str, force: bool) -> io::Result<()> {
    if force && path.exists() {
        fs::remove_file(path)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}
