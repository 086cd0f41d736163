//! The rotated files of one log file: their names, and how they count up.
//!
//! `NAME.1` is the newest, `NAME.2` the one before; each may be there compressed, as `NAME.1.gz`. Renames under a lock, since the thread that
//! compresses names files too. Called by the log file that is rotated, and by the packer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the name of a compressed file ends with.
pub(super) const PACKED: &str = ".gz";
/// What the name of a file ends with that is being made.
pub(super) const PART: &str = ".gz.part";

/// A log file's rotated files.
#[derive(Debug)]
pub(super) struct Backups {
    path: PathBuf,
    /// Held while names change.
    names: Mutex<()>,
}

impl Backups {
    /// Those of the log file `path`.
    pub fn of(path: PathBuf) -> Backups {
        Backups { path, names: Mutex::new(()) }
    }

    /// The log file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names stay as they are while this is held.
    pub fn names(&self) -> MutexGuard<'_, ()> {
        // Whoever panicked has left files under some of these names, as a crash would have.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `NAME.number`.
    pub fn plain(&self, number: u32) -> PathBuf {
        self.named(&format!(".{number}"))
    }

    /// `NAME.number.gz`.
    pub fn packed(&self, number: u32) -> PathBuf {
        self.named(&format!(".{number}{PACKED}"))
    }

    /// Where a compressed file is made.
    pub fn part(&self) -> PathBuf {
        self.named(PART)
    }

    /// Takes the log file away: it becomes the newest of `count` rotated files, and the oldest goes. With none, the file itself goes.
    ///
    /// # Errors
    /// Something can't be renamed or removed; nothing is lost then.
    pub fn shift(&self, count: u32) -> io::Result<()> {
        let _names = self.names();
        if count == 0 {
            return removed(&self.path);
        }
        removed(&self.plain(count))?;
        removed(&self.packed(count))?;
        for number in (1..count).rev() {
            moved(&self.plain(number), &self.plain(number + 1))?;
            moved(&self.packed(number), &self.packed(number + 1))?;
        }
        moved(&self.path, &self.plain(1))
    }

    fn named(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    }
}

/// Renames, unless there is nothing to rename.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    unless_missing(fs::rename(from, to))
}

/// Removes, unless there is nothing to remove.
pub(super) fn removed(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(path))
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_count_up_compressed_or_not_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let backups = Backups::of(folder.path().join("a.log"));
        let write = |path: PathBuf, text: &str| fs::write(path, text).expect("written");
        write(backups.packed(3), "oldest");
        write(backups.packed(2), "older");
        write(backups.plain(1), "old");
        write(folder.path().join("a.log"), "now");
        backups.shift(3).expect("renamed");
        let read = |path: PathBuf| fs::read_to_string(path).ok();
        assert_eq!(read(backups.packed(3)).as_deref(), Some("older"));
        assert_eq!(read(backups.plain(2)).as_deref(), Some("old"));
        assert_eq!(read(backups.plain(1)).as_deref(), Some("now"));
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 3);
        write(folder.path().join("a.log"), "last");
        backups.shift(0).expect("removed");
        assert!(!backups.path().exists());
    }
}
