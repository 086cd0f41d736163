//! What a ClientHello asks for, and where that leads: what is complete stays what it is whatever follows, no beginning of it is something
//! else, a challenge is told by its very bytes, and a name finds the entry that a plain search finds.

use std::path::PathBuf;
use std::sync::OnceLock;

use maitred::config::certificate::CertificateFiles;
use maitred::config::{ClientAuth, HostPattern, Preset, TlsEntry, TlsPolicy, TlsVersion};
use maitred::tls::{Asked, Directory, Hello, asked_for};

pub const TARGET: super::Target = super::Target {
    name: "hello",
    run,
    seeds: &[
        // One record with the name `a.example`, then another extension.
        b"\x16\x03\x01\x00\x49\x01\x00\x00\x45\x03\x0301234567890123456789012345678901\x00\x00\x02\x13\x01\x01\x00\x00\x1a\
          \x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example\x00\x2b\x00\x04\x03\x03\x04\x03",
        // The same name, asked for by an authority.
        b"\x16\x03\x01\x00\x52\x01\x00\x00\x4e\x03\x0301234567890123456789012345678901\x00\x00\x02\x13\x01\x01\x00\x00\x23\
          \x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example\x00\x10\x00\x0d\x00\x0b\x0aacme-tls/1",
        // A name below a wildcard.
        b"\x16\x03\x01\x00\x43\x01\x00\x00\x3f\x03\x0301234567890123456789012345678901\x00\x00\x02\x13\x01\x01\x00\x00\x14\
          \x00\x00\x00\x10\x00\x0e\x00\x00\x0bx.b.example",
        // Its beginning in records of three bytes.
        b"\x16\x03\x01\x00\x03\x01\x00\x00\x16\x03\x01\x00\x03\x43\x03\x03",
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01",
    ],
    folders: &[],
};

/// Names of the entries that are searched, the first for all others.
const NAMES: [&str; 5] = ["default.example", "a.example", "*.b.example", "*.example", "x.b.example"];

/// Entries without certificates, told apart by their field for HSTS.
fn directory() -> &'static Directory {
    static DIRECTORY: OnceLock<Directory> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let entry = |(number, name): (usize, &&str)| TlsEntry {
            place: String::new(),
            names: vec![match name.strip_prefix('*') {
                Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
                None => HostPattern::Exact((*name).to_owned()),
            }],
            certificates: vec![CertificateFiles {
                cert: PathBuf::from("/absent"),
                key: PathBuf::from("/absent"),
                ocsp: None,
            }],
            acme: true,
            policy: TlsPolicy {
                preset: Preset::Intermediate,
                min_version: TlsVersion::Tls12,
                alpn: Vec::new(),
                client_auth: ClientAuth::None,
                client_ca: None,
                tickets: true,
                hsts: Some(format!("max-age={number}")),
            },
        };
        let entries: Vec<_> = NAMES.iter().enumerate().map(entry).collect();
        Directory::load(&entries, None).expect("entries that need no files")
    })
}

/// The entry for `name`: exact, then the wildcard one label above, then the first.
fn searched(name: Option<&str>) -> usize {
    let find = |wanted: &str| NAMES.iter().position(|known| *known == wanted);
    let beneath = |name: &str| name.split_once('.').and_then(|(_, parent)| find(&format!("*.{parent}")));
    name.and_then(|name| find(name).or_else(|| beneath(name))).unwrap_or(0)
}

fn run(input: &[u8]) {
    let found = asked_for(input);
    if let Hello::Complete(Asked { name, is_challenge }) = &found {
        if let Some(name) = name {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
            assert!(!name.is_empty() && name.bytes().all(allowed), "a name is in lower case");
        }
        let entry = directory().select(name.as_deref());
        let wanted = format!("Strict-Transport-Security: max-age={}\r\n", searched(name.as_deref()));
        assert_eq!(directory().hsts(entry), wanted, "{name:?}");
        // In records of any size the protocol's name may lie in pieces.
        let count = |byte: u8| input.iter().filter(|&&found| found == byte).count();
        assert!(!is_challenge || b"acme-tls/1".iter().all(|&byte| count(byte) > 0), "a challenge without its name");
    }
    if found != Hello::Partial {
        let longer = [input, b"\x16\x03\x01\x00\x01\x00"].concat();
        assert_eq!(asked_for(&longer), found);
    }
    for len in 0..input.len().min(200) {
        let shorter = asked_for(&input[..len]);
        assert!(shorter == Hello::Partial || shorter == found, "at {len}: {shorter:?} instead of {found:?}");
    }
}
