//! The file with the server's process id, for as long as the server runs.
//!
//! Owns the lock on it, which tells a server that lives from a file that was left behind: the kernel gives it up with the process, however that
//! ends, and no process id has to be believed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Attempts to lock the file that the path names, while others remove theirs.
const ATTEMPTS: usize = 8;
/// A process id and its line feed are not longer, bytes.
const CONTENT_BYTES_MAX: u64 = 32;

/// A pidfile that is ours.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
    /// Another server has it too, and goes on.
    is_left: bool,
}

impl Pidfile {
    /// Takes the file at `path` and writes the process id into it.
    ///
    /// # Errors
    /// A sentence: another server has it, or it can't be written.
    pub fn write(path: &Path) -> Result<Pidfile, String> {
        let failed = |error: io::Error| format!("cannot write the pidfile {}: {error}", path.display());
        for _ in 0..ATTEMPTS {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let file = options.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let owner = owner(&file).map_or_else(String::new, |pid| format!(", process {pid}"));
                    return Err(format!("the pidfile {} belongs to another server that runs{owner}", path.display()));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let mut pidfile = Pidfile { path: path.to_owned(), file, is_left: false };
            // Whoever held the lock before may have removed the file between our opening it and their end.
            if pidfile.is_at_its_path() {
                pidfile.note(std::process::id()).map_err(failed)?;
                return Ok(pidfile);
            }
        }
        Err(format!("cannot write the pidfile {}: others keep removing it", path.display()))
    }

    /// The file of the server that this one replaces, with its lock; `None` if `path` is another one. It is that server's until
    /// [`Pidfile::claim`].
    pub fn inherit(path: &Path, file: OwnedFd) -> Option<Pidfile> {
        Some(Pidfile { path: path.to_owned(), file: file.into(), is_left: true }).filter(Pidfile::is_at_its_path)
    }

    /// It is this server's from now on, and says so.
    ///
    /// # Errors
    /// The disk is full.
    pub fn claim(&mut self) -> io::Result<()> {
        self.is_left = false;
        self.note(std::process::id())
    }

    /// The file with its lock, for a server that is to replace this one.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// The file stays when this server ends: it is another's by now.
    pub fn leave(&mut self) {
        self.is_left = true;
    }

    /// At no moment is the file empty that was not: somebody may be reading it.
    fn note(&mut self, pid: u32) -> io::Result<()> {
        let line = format!("{pid}\n");
        self.file.rewind()?;
        self.file.write_all(line.as_bytes())?;
        self.file.set_len(line.len() as u64)
    }

    fn is_at_its_path(&self) -> bool {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let ours = self.file.metadata().map(identity);
        matches!((ours, std::fs::metadata(&self.path).map(identity)), (Ok(ours), Ok(there)) if ours == there)
    }
}

/// The server that holds the lock on `path`, if one does, with the process id that the file says.
pub fn running(path: &Path) -> Option<u32> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => owner(&file),
        _ => None,
    }
}

/// The process id in the file.
fn owner(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(CONTENT_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Under the lock, and only the file that is ours. Somebody else may have removed it already.
        if !self.is_left && self.is_at_its_path() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_tells_a_living_server_from_a_file_that_was_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.pid");
        // Left by a server that was killed, with the id of somebody who lives.
        std::fs::write(&path, "1\n").expect("write");
        assert_eq!(running(&path), None);
        let pidfile = Pidfile::write(&path).expect("nobody holds it");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), format!("{}\n", std::process::id()));
        assert_eq!(running(&path), Some(std::process::id()));
        let refused = Pidfile::write(&path).expect_err("it is held");
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(pidfile);
        assert!(!path.exists());
    }

    #[test]
    fn whoever_reads_it_finds_a_process_id_at_any_moment() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.pid");
        let mut pidfile = Pidfile::write(&path).expect("nobody holds it");
        let expected = format!("{}\n", std::process::id());
        std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| (0..2_000).all(|_| std::fs::read_to_string(&path).is_ok_and(|text| text == expected)));
            while !reader.is_finished() {
                pidfile.claim().expect("room for it");
            }
            assert!(reader.join().expect("no panic"));
        });
    }

    #[test]
    fn another_s_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.pid");
        let pidfile = Pidfile::write(&path).expect("nobody holds it");
        std::fs::remove_file(&path).expect("remove");
        std::fs::write(&path, "7\n").expect("write");
        drop(pidfile);
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "7\n");
        assert!(Pidfile::write(Path::new("/proc/none/pid")).expect_err("no place").contains("cannot write"));
    }
}
