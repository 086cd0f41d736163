//! One log file: appended to, rotated by size and age, and given up for a while when the disk is full.
//!
//! Owns the file; `backups` names what was rotated, and `packer` compresses it. Writing goes through the ring: a slow disk holds up the program that writes, and nobody else. What
//! can't be written is counted and dropped, with a warning when that begins and ends.

use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{OFlags, fcntl_setfl};

use super::backups::Backups;
use super::packer::Packer;
use crate::base::bounds::{LOG_FILE_BYTES_MIN, LOG_REOPEN_SECONDS, OUTPUT_LINE_BYTES_MAX};
use crate::base::clock::{self, Monotonic};
use crate::config::RotationConfig;
use crate::ring::{Descriptor, Payload, Ring};

/// A file that streams are written to. Several may write to one.
pub(super) struct LogFile {
    backups: Arc<Backups>,
    packer: Rc<Packer>,
    rotation: Cell<RotationConfig>,
    /// Nobody but this user may read what it makes.
    is_private: bool,
    file: RefCell<Option<Descriptor>>,
    /// Files that were rotated while somebody may still have been writing to them.
    retired: RefCell<Vec<Descriptor>>,
    size: Cell<u64>,
    /// Bytes of a last line that was not ended yet.
    begun: Cell<usize>,
    /// When its first line was written, milliseconds since 1970-01-01 UTC.
    since_ms: Cell<u64>,
    /// A device or pipe, which can't be rotated.
    is_special: Cell<bool>,
    /// Bytes lost since writing began to fail.
    lost: Cell<u64>,
    is_failing: Cell<bool>,
    retry_at: Cell<Monotonic>,
}

impl LogFile {
    /// A file that will be opened when something is written. What an earlier maitred has not compressed is.
    pub fn new(path: PathBuf, rotation: RotationConfig, is_private: bool, packer: &Rc<Packer>) -> LogFile {
        let file = LogFile {
            backups: packer.backups_of(path),
            packer: packer.clone(),
            rotation: Cell::new(effective(rotation)),
            is_private,
            file: RefCell::new(None),
            retired: RefCell::default(),
            size: Cell::new(0),
            begun: Cell::new(0),
            since_ms: Cell::new(0),
            is_special: Cell::new(false),
            lost: Cell::new(0),
            is_failing: Cell::new(false),
            retry_at: Cell::new(Monotonic::ZERO),
        };
        file.pack();
        file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.backups.path()
    }

    /// Whether maitred chose the file itself.
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// Other limits from now on.
    pub fn limit(&self, rotation: RotationConfig) {
        if self.rotation.replace(effective(rotation)) != effective(rotation) {
            self.pack();
        }
    }

    /// Empties it, if it is there.
    ///
    /// # Errors
    /// It can't be.
    pub fn clear(&self) -> io::Result<()> {
        clear(self.path())?;
        self.reopen();
        Ok(())
    }

    /// Opens it anew at the next write: somebody has moved it away.
    pub fn reopen(&self) {
        *self.file.borrow_mut() = None;
        self.retry_at.set(Monotonic::ZERO);
    }

    /// Appends `bytes`. A file ends with a whole line, unless that is longer than [`OUTPUT_LINE_BYTES_MAX`].
    pub async fn write(&self, ring: &Ring, mut bytes: Vec<u8>) {
        let total = bytes.len();
        let mut start = 0;
        while start < total {
            // Only an open file's size is known.
            let is_open = self.opened().is_some();
            let room = if is_open { self.room() } else { usize::MAX };
            let (fits, is_full) = cut(&bytes[start..], room, self.begun.get(), self.size.get() == 0);
            let end = start + fits;
            self.begun.set(match memchr::memrchr(b'\n', &bytes[start..end]) {
                Some(at) => fits - at - 1,
                None => self.begun.get().saturating_add(fits),
            });
            let written = self.append(ring, bytes, start..end).await;
            self.settle();
            let Some(back) = written else {
                self.lost.set(self.lost.get().saturating_add((total - end) as u64));
                return;
            };
            bytes = back;
            if is_open && is_full {
                self.rotate();
            }
            start = end;
        }
    }

    /// Bytes until the file is full; none once it is too old.
    fn room(&self) -> usize {
        let RotationConfig { max_bytes, max_age, .. } = self.rotation.get();
        if self.is_special.get() {
            return usize::MAX;
        }
        let age_ms = || clock::wall_milliseconds().saturating_sub(self.since_ms.get());
        if self.size.get() > 0 && max_age.is_some_and(|max| u128::from(age_ms()) >= max.as_millis()) {
            return 0;
        }
        match max_bytes {
            0 => usize::MAX,
            max_bytes => usize::try_from(max_bytes.saturating_sub(self.size.get())).unwrap_or(usize::MAX),
        }
    }

    /// Writes a part of `bytes`; hands the buffer back unless writing failed.
    async fn append(&self, ring: &Ring, bytes: Vec<u8>, range: std::ops::Range<usize>) -> Option<Vec<u8>> {
        let mut left = range.len();
        let mut payload = Payload::Owned(bytes, range);
        while left > 0 {
            let Some(file) = self.opened() else {
                self.lost.set(self.lost.get().saturating_add(left as u64));
                break;
            };
            let result = ring.write_at(&file, payload, u64::MAX).await;
            let (written, rest) = match result.and_then(|(written, rest)| match written {
                0 => Err(io::ErrorKind::WriteZero.into()),
                _ => Ok((written, rest)),
            }) {
                Ok(done) => done,
                Err(error) => {
                    self.failed(&error, left as u64);
                    return None;
                }
            };
            payload = rest;
            payload.advance(written);
            left -= written;
            if self.size.get() == 0 {
                self.since_ms.set(clock::wall_milliseconds());
            }
            self.size.set(self.size.get() + written as u64);
            self.recovered();
        }
        match payload {
            Payload::Owned(bytes, _) => Some(bytes),
            _ => None,
        }
    }

    /// The file, opened now if it is time to try.
    fn opened(&self) -> Option<Descriptor> {
        if let Some(file) = &*self.file.borrow() {
            return Some(file.clone());
        }
        let now = Monotonic::now();
        if now < self.retry_at.get() {
            return None;
        }
        match self.open() {
            Ok(file) => {
                *self.file.borrow_mut() = Some(file.clone());
                Some(file)
            }
            Err(error) => {
                self.retry_at.set(now + Duration::from_secs(LOG_REOPEN_SECONDS));
                self.failed(&error, 0);
                None
            }
        }
    }

    fn open(&self) -> io::Result<Descriptor> {
        let mode = if self.is_private { 0o600 } else { 0o644 };
        // Opening a FIFO that nobody reads would wait; once it is open, writing is to wait.
        let flags = libc::O_APPEND | libc::O_NOCTTY | libc::O_NONBLOCK;
        let opened = OpenOptions::new().write(true).create(true).mode(mode).custom_flags(flags).open(self.path());
        let file = match opened {
            Err(error) => return own_stream(self.path()).ok_or(error).map(|stream| self.take(stream, 0, true)),
            Ok(file) => file,
        };
        let meta = file.metadata()?;
        fcntl_setfl(&file, OFlags::APPEND)?;
        let born = meta.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        self.since_ms.set(born.map_or_else(clock::wall_milliseconds, |born| born.as_millis() as u64));
        Ok(self.take(OwnedFd::from(file), meta.len(), !meta.is_file()))
    }

    fn take(&self, file: OwnedFd, size: u64, is_special: bool) -> Descriptor {
        self.size.set(size);
        self.begun.set(0);
        self.is_special.set(is_special);
        Rc::new(file)
    }

    fn rotate(&self) {
        match self.backups.shift(self.rotation.get().backups).and_then(|()| self.open()) {
            Ok(file) => {
                let old = self.file.borrow_mut().replace(file);
                self.retired.borrow_mut().extend(old);
                self.settle();
            }
            Err(error) => {
                // It goes on growing; the next write that finds it too large tries again, after as much again was written.
                self.size.set(0);
                tracing::warn!(file = %self.path().display(), %error, "the log file can't be rotated");
            }
        }
    }

    /// Has rotated files compressed once nobody writes to one any more.
    fn settle(&self) {
        let mut retired = self.retired.borrow_mut();
        if retired.is_empty() {
            return;
        }
        // A write under way holds the file too.
        retired.retain(|file| Rc::strong_count(file) > 1);
        if retired.is_empty() {
            self.pack();
        }
    }

    fn pack(&self) {
        let RotationConfig { backups, is_packed, .. } = self.rotation.get();
        if is_packed && backups > 0 {
            self.packer.pack(&self.backups, backups);
        }
    }

    fn failed(&self, error: &io::Error, lost: u64) {
        self.lost.set(self.lost.get().saturating_add(lost));
        if !self.is_failing.replace(true) {
            tracing::warn!(file = %self.path().display(), %error, "a program's output is lost: its log file can't be written");
        }
    }

    fn recovered(&self) {
        if self.is_failing.replace(false) {
            let lost_bytes = self.lost.replace(0);
            tracing::warn!(file = %self.path().display(), lost_bytes, "a program's log file can be written again");
        }
    }
}

/// Empties a log file, if it is there. Rotated files stay.
///
/// # Errors
/// It can't be.
pub(super) fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    OpenOptions::new().write(true).truncate(true).open(path).map(drop)
}

/// maitred's own standard output or error, by the name of its device: one that is a socket can't be opened.
fn own_stream(path: &Path) -> Option<OwnedFd> {
    match path.to_str()? {
        "/dev/stdout" => io::stdout().as_fd().try_clone_to_owned().ok(),
        "/dev/stderr" => io::stderr().as_fd().try_clone_to_owned().ok(),
        _ => None,
    }
}

/// A rotation for every few bytes would do nothing but rename.
fn effective(rotation: RotationConfig) -> RotationConfig {
    let max_bytes = if rotation.max_bytes == 0 { 0 } else { rotation.max_bytes.max(LOG_FILE_BYTES_MIN) };
    RotationConfig { max_bytes, ..rotation }
}

/// How much of `bytes` goes into a file with `room` for so many, and whether it is full then. It ends with a whole line: `begun` are the bytes of one that
/// was not ended yet. `is_empty`: there is nothing in it, so that a line which is longer than any file has to be cut.
fn cut(bytes: &[u8], room: usize, begun: usize, is_empty: bool) -> (usize, bool) {
    if bytes.len() < room {
        return (bytes.len(), false);
    }
    if let Some(at) = memchr::memrchr(b'\n', &bytes[..room]) {
        return (at + 1, true);
    }
    if begun == 0 && !is_empty {
        return (0, true);
    }
    let longest = OUTPUT_LINE_BYTES_MAX.saturating_sub(begun).max(room);
    match memchr::memchr(b'\n', bytes) {
        Some(at) if at < longest => (at + 1, true),
        _ if bytes.len() < longest => (bytes.len(), false),
        _ => (longest, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_is_full_with_a_whole_line() {
        for (bytes, room, begun, is_empty, expected) in [
            (&b"a\nb\n"[..], 10, 0, false, (4, false)),
            (b"a\nb\n", 4, 0, false, (4, true)),
            (b"a\nbc\n", 4, 0, false, (2, true)),
            // The next line begins the next file.
            (b"abcdef\n", 4, 0, false, (0, true)),
            (b"abcdef\n", 0, 0, false, (0, true)),
            // One that was begun here is ended here.
            (b"def\nghi\n", 2, 3, false, (4, true)),
            (b"def\n", 0, 3, false, (4, true)),
            (b"def", 0, 3, false, (3, false)),
            // A whole file for one line.
            (b"abcdef\ng", 4, 0, true, (7, true)),
        ] {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(cut(bytes, room, begun, is_empty), expected, "{text:?} {room} {begun} {is_empty}");
        }
        let long = vec![b'x'; 3 * OUTPUT_LINE_BYTES_MAX];
        assert_eq!(cut(&long, 10, 0, true), (OUTPUT_LINE_BYTES_MAX, true), "what never ends is cut");
        assert_eq!(cut(&long, 10, OUTPUT_LINE_BYTES_MAX, false), (10, true));
        assert_eq!(cut(&long, 0, OUTPUT_LINE_BYTES_MAX, false), (0, true));
    }

    proptest! {
        #[test]
        fn every_cut_moves_on_and_stays_within_its_bound(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'x')], 1..200),
            room in 0usize..100,
            begun in 0usize..100,
            is_empty: bool,
        ) {
            let (fits, is_full) = cut(&bytes, room, begun, is_empty);
            prop_assert!(fits <= bytes.len() && (is_full || fits == bytes.len()));
            // The next file is empty, and takes something.
            prop_assert!(fits > 0 || !is_empty);
            if is_full && fits > 0 {
                prop_assert_eq!(bytes[fits - 1], b'\n');
            }
        }
    }
}
