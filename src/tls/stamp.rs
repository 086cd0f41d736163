//! Whether the files of certificates have changed.
//!
//! Owns what is compared: size, time of change and inode of each file, behind symlinks (as certbot lays them). Looks at files, so it
//! never runs on a shard. Called by `supervise`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::TlsEntry;

/// All files of all entries, as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps(Vec<Option<Stamp>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds: a file that is moved into place keeps its time of modification, but not this one.
    changed: (i64, i64),
}

impl Stamps {
    /// The files as they are now. One that is not there is told from one that is.
    #[must_use]
    pub fn of(entries: &[TlsEntry]) -> Stamps {
        let files = entries.iter().flat_map(|entry| {
            let own = entry
                .certificates
                .iter()
                .flat_map(|files| [Some(&files.cert), Some(&files.key), files.ocsp.as_ref()].into_iter().flatten());
            own.chain(entry.policy.client_ca.as_ref())
        });
        Stamps(files.map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}
