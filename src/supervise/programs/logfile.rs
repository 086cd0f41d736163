//! One log file: appended to, rotated by size, and given up for a while when the disk is full.
//!
//! Owns the file and its backups. Writing goes through the ring: a slow disk holds up the program that writes, and nobody else. What
//! can't be written is counted and dropped, with a warning when that begins and ends.

use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};

use crate::base::bounds::{LOG_FILE_BYTES_MIN, LOG_REOPEN_SECONDS};
use crate::base::clock::Monotonic;
use crate::ring::{Descriptor, Payload, Ring};

/// A file that streams are written to. Several may write to one.
pub(super) struct LogFile {
    path: PathBuf,
    max_bytes: Cell<u64>,
    backups: Cell<u32>,
    /// Nobody but this user may read what it makes.
    is_private: bool,
    file: RefCell<Option<Descriptor>>,
    size: Cell<u64>,
    /// A device or pipe, which can't be rotated.
    is_special: Cell<bool>,
    /// Bytes lost since writing began to fail.
    lost: Cell<u64>,
    is_failing: Cell<bool>,
    retry_at: Cell<Monotonic>,
}

impl LogFile {
    /// A file that will be opened when something is written. `max_bytes` 0: never rotated.
    pub fn new(path: PathBuf, max_bytes: u64, backups: u32, is_private: bool) -> LogFile {
        LogFile {
            path,
            max_bytes: Cell::new(effective(max_bytes)),
            backups: Cell::new(backups),
            is_private,
            file: RefCell::new(None),
            size: Cell::new(0),
            is_special: Cell::new(false),
            lost: Cell::new(0),
            is_failing: Cell::new(false),
            retry_at: Cell::new(Monotonic::ZERO),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether maitred chose the file itself.
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// Other limits from now on.
    pub fn limit(&self, max_bytes: u64, backups: u32) {
        self.max_bytes.set(effective(max_bytes));
        self.backups.set(backups);
    }

    /// Empties it, if it is there. Rotated files stay.
    ///
    /// # Errors
    /// It can't be.
    pub fn clear(&self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        OpenOptions::new().write(true).truncate(true).open(&self.path)?;
        self.reopen();
        Ok(())
    }

    /// Opens it anew at the next write: somebody has moved it away.
    pub fn reopen(&self) {
        *self.file.borrow_mut() = None;
        self.retry_at.set(Monotonic::ZERO);
    }

    /// Makes it if it is not there, so that it can be followed before anything is written.
    pub fn prepare(&self) {
        if fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            self.opened();
        }
    }

    /// Appends `bytes`. A file is full with the last whole line that fits; a line that no file could hold makes its own longer.
    pub async fn write(&self, ring: &Ring, mut bytes: Vec<u8>) {
        let total = bytes.len();
        let mut start = 0;
        while start < total {
            // Only an open file's size is known.
            let is_open = self.opened().is_some();
            let room = if is_open { self.room() } else { usize::MAX };
            let fits = &bytes[start..total.min(start.saturating_add(room))];
            let end = if start + fits.len() < total || fits.len() == room {
                let lines = memchr::memrchr(b'\n', fits).map(|at| start + at + 1);
                let whole = || memchr::memchr(b'\n', &bytes[start..]).map_or(total, |at| start + at + 1);
                lines.unwrap_or_else(|| if self.size.get() > 0 { start } else { whole() })
            } else {
                total
            };
            let Some(back) = self.append(ring, bytes, start..end).await else {
                self.lost.set(self.lost.get().saturating_add((total - end) as u64));
                return;
            };
            bytes = back;
            if is_open && (end < total || self.room() == 0) {
                self.rotate();
            }
            start = end;
        }
    }

    /// Bytes until the file is full.
    fn room(&self) -> usize {
        match self.max_bytes.get() {
            0 => usize::MAX,
            _ if self.is_special.get() => usize::MAX,
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
        match self.open(false) {
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

    fn open(&self, truncates: bool) -> io::Result<Descriptor> {
        let mode = if self.is_private { 0o600 } else { 0o644 };
        // Opening a FIFO that nobody reads would wait; once it is open, writing is to wait.
        let flags = libc::O_APPEND | libc::O_NOCTTY | libc::O_NONBLOCK;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(truncates).mode(mode).custom_flags(flags);
        let file: File = options.open(&self.path)?;
        let meta = file.metadata()?;
        fcntl_setfl(&file, OFlags::APPEND)?;
        self.size.set(meta.len());
        self.is_special.set(!meta.is_file());
        Ok(Rc::new(OwnedFd::from(file)))
    }

    /// `NAME.1` is the newest backup, `NAME.2` the one before. Without backups the file starts over.
    fn rotate(&self) {
        let backups = self.backups.get();
        let older = (1..backups).rev().try_for_each(|number| moved(&self.backup(number), &self.backup(number + 1)));
        let newest = match backups {
            0 => Ok(()),
            _ => older.and_then(|()| moved(&self.path, &self.backup(1))),
        };
        match newest.and_then(|()| self.open(backups == 0)) {
            Ok(file) => *self.file.borrow_mut() = Some(file),
            Err(error) => {
                // It goes on growing; the next write that finds it too large tries again, after as much again was written.
                self.size.set(0);
                tracing::warn!(file = %self.path.display(), %error, "the log file can't be rotated");
            }
        }
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn failed(&self, error: &io::Error, lost: u64) {
        self.lost.set(self.lost.get().saturating_add(lost));
        if !self.is_failing.replace(true) {
            tracing::warn!(file = %self.path.display(), %error, "a program's output is lost: its log file can't be written");
        }
    }

    fn recovered(&self) {
        if self.is_failing.replace(false) {
            let lost_bytes = self.lost.replace(0);
            tracing::warn!(file = %self.path.display(), lost_bytes, "a program's log file can be written again");
        }
    }
}

/// A rotation for every few bytes would do nothing but rename.
fn effective(max_bytes: u64) -> u64 {
    if max_bytes == 0 { 0 } else { max_bytes.max(LOG_FILE_BYTES_MIN) }
}

/// Renames, unless there is nothing to rename.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
