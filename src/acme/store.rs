//! The files of an authority: account, keys with their certificates, and what became of attempts.
//!
//! Owns their modes (0600 in a directory with 0700) and that each is whole or not there: it is written beside, forced to the disk and
//! moved into place. Key and certificate are one file, so they can't be of two minds. Reads and writes on the caller's thread, which is
//! never a shard's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::schedule::Attempts;
use crate::base::bounds::ACME_FILE_BYTES_MAX;
use crate::config::certificate::CertificateFiles;
use crate::config::{AcmeConfig, HostPattern};
use crate::tls::Leaf;

/// For its owner alone.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Permission bits of everybody else.
const MODE_OTHERS: u32 = 0o077;

/// The directory of one authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
}

/// The account as it is kept.
#[derive(Serialize, Deserialize)]
pub struct Account {
    /// The authority that it is with.
    pub directory: String,
    /// The addresses that the authority knows.
    pub emails: Vec<String>,
    /// Its URL and key.
    pub credentials: AccountCredentials,
}

/// As long as it lives, no other process asks for certificates with this directory.
pub struct Lock(#[expect(dead_code, reason = "the lock goes with the descriptor")] File);

impl Store {
    /// That of `config`'s authority, which is there.
    #[must_use]
    pub fn at(config: &AcmeConfig) -> Store {
        Store { folder: config.folder() }
    }

    /// The same; makes the directory, and sees whether it can be written to.
    ///
    /// # Errors
    /// A sentence that names the place in the config file and the directory.
    pub fn open(config: &AcmeConfig) -> Result<Store, String> {
        let store = Store::at(config);
        let attempt = || -> io::Result<()> {
            // What lies above is nobody's secret: whoever the server becomes has to get through.
            if let Some(above) = config.storage.parent() {
                fs::create_dir_all(above)?;
            }
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&store.folder)?;
            let probe = store.folder.join(".writable");
            open_new(&probe)?;
            fs::remove_file(probe)
        };
        attempt().map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "; make it writable for this user, or choose another (StateDirectory= of the systemd unit makes one)"
                }
                _ => "",
            };
            format!("{}.storage: {}: {error}{remedy}", config.place, store.folder.display())
        })?;
        Ok(store)
    }

    /// What is odd about the directory's permissions, if it is there.
    #[must_use]
    pub fn warning(config: &AcmeConfig) -> Option<String> {
        let folder = config.folder();
        let mode = fs::metadata(&folder).ok()?.permissions().mode();
        let shown = folder.display();
        (mode & MODE_OTHERS != 0)
            .then(|| format!("{}.storage: {shown}: others may look into it; `chmod 700 {shown}`", config.place))
    }

    /// Keeps other processes out, unless one of them does so itself: `None`.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let path = self.folder.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The account, if there is one that can be read.
    pub fn account(&self, directory: &str) -> Option<Account> {
        let path = self.account_path();
        let bytes = read(&path)?;
        match serde_json::from_slice::<Account>(&bytes) {
            Ok(account) if account.directory == directory => Some(account),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "the ACME account cannot be read; a new one is made");
                None
            }
        }
    }

    /// Keeps the account.
    pub fn put_account(&self, account: &Account) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(account).map_err(io::Error::other)?;
        self.put(&self.account_path(), &bytes)
    }

    /// The authority does not know the account any more; it is kept under another name.
    pub fn drop_account(&self) -> io::Result<()> {
        fs::rename(self.account_path(), self.folder.join("account.json.unknown"))
    }

    fn account_path(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    /// What is known of the attempts for the certificate in `file`.
    pub fn attempts(&self, file: &Path) -> Attempts {
        let found = read(&beside(file, "attempts"));
        found.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Keeps that.
    pub fn put_attempts(&self, file: &Path, attempts: Attempts) -> io::Result<()> {
        let bytes = serde_json::to_vec(&attempts).map_err(io::Error::other)?;
        self.put(&beside(file, "attempts"), &bytes)
    }

    /// The certificate in `file`, if there is one that can be used.
    pub fn leaf(&self, file: &Path) -> Option<Leaf> {
        if !file.exists() {
            return None;
        }
        match certificate(file).read() {
            Ok(certified) => Leaf::of(&certified),
            Err(error) => {
                tracing::error!(%error, "a certificate that ACME has brought cannot be used; a new one is asked for");
                None
            }
        }
    }

    /// Puts `key` and `chain` (both PEM) into `file` if they fit each other and `names`, and are good at `now`.
    ///
    /// # Errors
    /// They don't, or they could not be written. What was there is there.
    pub fn put_certificate(
        &self,
        file: &Path,
        key: &str,
        chain: &str,
        names: &[HostPattern],
        now: u64,
    ) -> Result<Leaf, String> {
        let beside = beside(file, "new");
        let failed = |error: io::Error| format!("cannot write {}: {error}", beside.display());
        let text = [key.trim_end(), "\n", chain.trim_end(), "\n"].concat();
        write(&beside, text.as_bytes()).map_err(failed)?;
        let checked = certificate(&beside).read().map_err(|error| error.to_string()).and_then(|certified| {
            let leaf = Leaf::of(&certified).ok_or("it is not well-formed")?;
            if let Some(name) = names.iter().find(|name| !leaf.covers(name)) {
                return Err(format!("it is not for {}", name.text()));
            }
            if leaf.not_after <= now {
                return Err("it has expired by this host's clock".to_owned());
            }
            Ok(leaf)
        });
        match checked {
            Ok(leaf) => {
                self.settle(&beside, file).map_err(failed)?;
                Ok(leaf)
            }
            Err(message) => {
                // Nobody reads it.
                let _ = fs::remove_file(&beside);
                Err(format!("what was issued cannot be used: {message}"))
            }
        }
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = beside(path, "new");
        write(&beside, bytes)?;
        self.settle(&beside, path)
    }

    /// Moves a file into place, for good.
    fn settle(&self, beside: &Path, path: &Path) -> io::Result<()> {
        fs::rename(beside, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

fn certificate(file: &Path) -> CertificateFiles {
    CertificateFiles { cert: file.to_owned(), key: file.to_owned(), ocsp: None }
}

/// A file that belongs to another: `NAME.pem.KIND`, which is no certificate's own name.
fn beside(path: &Path, kind: &str) -> PathBuf {
    PathBuf::from(format!("{}.{kind}", path.display()))
}

fn open_new(path: &Path) -> io::Result<File> {
    // What an earlier attempt has left behind may have any mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = open_new(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // A full disk: what there is of it is of no use.
        let _ = fs::remove_file(path);
    }
    written
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(ACME_FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::time::Duration;

    fn config(storage: &Path) -> AcmeConfig {
        AcmeConfig {
            place: "maitred.toml:1: acme".to_owned(),
            directory: "https://acme.test/dir".to_owned(),
            emails: Vec::new(),
            storage: storage.to_owned(),
            challenge: crate::config::ChallengeChoice::Auto,
            ca_file: None,
            binding: None,
            retry: Duration::from_secs(1),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    fn pair(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let made = CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
        (key.serialize_pem(), made.pem())
    }

    fn exact(names: &[&str]) -> Vec<HostPattern> {
        names.iter().map(|&name| HostPattern::Exact(name.to_owned())).collect()
    }

    #[test]
    fn files_are_the_owner_s_alone_and_whole() {
        let folder = tempfile::tempdir().expect("writable");
        let config = config(&folder.path().join("deep/acme"));
        let store = Store::open(&config).expect("writable");
        assert_eq!(mode(&config.storage), 0o700);
        assert_eq!(mode(&config.folder()), 0o700);
        assert_eq!(Store::warning(&config), None);
        let file = config.file("a.test");
        let (key, chain) = pair(&["a.test", "b.test"]);
        assert_eq!(store.leaf(&file), None);
        let leaf = store.put_certificate(&file, &key, &chain, &exact(&["a.test", "b.test"]), 1_800_000_000);
        assert_eq!(store.leaf(&file), Some(leaf.expect("it fits")));
        let attempts = Attempts { failures: 3, not_before: 5 };
        store.put_attempts(&file, attempts).expect("writable");
        assert_eq!(store.attempts(&file), attempts);
        for entry in fs::read_dir(config.folder()).expect("readable") {
            assert_eq!(mode(&entry.expect("readable").path()), 0o600);
        }
        fs::set_permissions(config.folder(), fs::Permissions::from_mode(0o755)).expect("ours");
        assert!(Store::warning(&config).is_some_and(|text| text.contains("chmod 700")));
    }

    #[test]
    fn what_does_not_fit_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("writable");
        let config = config(folder.path());
        let store = Store::open(&config).expect("writable");
        let file = config.file("a.test");
        let (key, chain) = pair(&["a.test"]);
        let now = 1_800_000_000;
        let first = store.put_certificate(&file, &key, &chain, &exact(&["a.test"]), now).expect("it fits");
        let (other, _) = pair(&["a.test"]);
        for (key, chain, names, at, said) in [
            (&other, &chain, &["a.test"][..], now, "is not the key"),
            (&key, &chain, &["a.test", "b.test"], now, "is not for b.test"),
            (&key, &chain, &["a.test"], u64::MAX, "has expired"),
            (&key, &String::new(), &["a.test"], now, "holds no certificate"),
            (
                &key,
                &"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
                &["a.test"],
                now,
                "well-formed",
            ),
        ] {
            let refused = store.put_certificate(&file, key, chain, &exact(names), at).expect_err("it does not fit");
            assert!(refused.contains(said), "{refused}");
            assert_eq!(store.leaf(&file).as_ref(), Some(&first));
        }
        let left = fs::read_dir(config.folder()).expect("readable").count();
        assert_eq!(left, 1, "nothing lies about");
    }

    #[test]
    fn garbage_is_as_good_as_nothing() {
        let folder = tempfile::tempdir().expect("writable");
        let config = config(folder.path());
        let store = Store::open(&config).expect("writable");
        let file = config.file("a.test");
        for garbage in [&b""[..], b"{", b"[]", &[0xff; 100], b"{\"failures\": -1}"] {
            fs::write(&file, garbage).expect("writable");
            fs::write(beside(&file, "attempts"), garbage).expect("writable");
            fs::write(config.folder().join("account.json"), garbage).expect("writable");
            assert_eq!(store.leaf(&file), None);
            assert_eq!(store.attempts(&file), Attempts::default());
            assert!(store.account(&config.directory).is_none());
        }
        assert!(
            Store::open(&self::config(&file))
                .is_err_and(|message| message.starts_with("maitred.toml:1: acme.storage: "))
        );
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().expect("writable");
        let store = Store::open(&config(folder.path())).expect("writable");
        let held = store.lock().expect("writable");
        assert!(held.is_some());
        assert!(store.lock().expect("writable").is_none());
        drop(held);
        assert!(store.lock().expect("writable").is_some());
    }
}
