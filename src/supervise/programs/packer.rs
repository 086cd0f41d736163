//! Compresses rotated log files with gzip, one at a time, on a thread of its own that is there while there is something to do.
//!
//! A compressed file appears under its name when it is whole and on the disk, and only then the other one goes: a crash at any moment leaves the one or
//! both, and beside them at most a `.gz.part`, which the next run removes. What a crash has left uncompressed is found too, since a job is to
//! compress whatever of a log file's backups is not. Called by log files after a rotation.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::backups::{Backups, removed};
use crate::base::bounds::PACKING_BUFFER_BYTES;

/// Niceness of the thread: requests go first.
const NICENESS: i32 = 15;

/// What compresses.
#[derive(Debug, Default)]
pub(super) struct Packer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    is_stopping: AtomicBool,
}

/// Log files whose backups are to be compressed. Each is there once at most, which bounds it by their number.
#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// What the thread is at.
    current: Option<Job>,
    thread: Option<JoinHandle<()>>,
    is_working: bool,
}

#[derive(Clone, Debug)]
struct Job {
    backups: Arc<Backups>,
    count: u32,
}

impl Packer {
    /// The backups of the log file `path`: those that are being compressed, if so, since all who rename must hold the same lock.
    pub fn backups_of(&self, path: PathBuf) -> Arc<Backups> {
        let queue = self.shared.queue();
        let known = queue.current.iter().chain(&queue.jobs).map(|job| &job.backups).find(|known| known.path() == path);
        known.cloned().unwrap_or_else(|| Arc::new(Backups::of(path)))
    }

    /// Has the first `count` backups compressed. Returns at once.
    pub fn pack(&self, backups: &Arc<Backups>, count: u32) {
        let mut queue = self.shared.queue();
        if queue.jobs.iter().any(|job| Arc::ptr_eq(&job.backups, backups)) {
            return;
        }
        queue.jobs.push_back(Job { backups: backups.clone(), count });
        if queue.is_working {
            return;
        }
        let shared = self.shared.clone();
        match thread::Builder::new().name("maitred-pack".to_owned()).spawn(move || shared.work()) {
            // The one before has nothing more to do, if there was one.
            Ok(thread) => (queue.thread, queue.is_working) = (Some(thread), true),
            Err(error) => {
                queue.jobs.clear();
                tracing::warn!(%error, "rotated log files are not compressed: there is no thread for it");
            }
        }
    }
}

impl Drop for Packer {
    /// What is being made is given up; the next run begins it anew.
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        let thread = self.shared.queue().thread.take();
        if let Some(thread) = thread {
            // A panic was told of when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        // That the kernel refuses changes nothing else.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        loop {
            let mut queue = self.queue();
            queue.current = queue.jobs.pop_front().filter(|_| !self.is_stopping());
            let Some(job) = queue.current.clone() else {
                queue.is_working = false;
                return;
            };
            drop(queue);
            if let Err(error) = self.pack_all(&job) {
                let file = job.backups.path().display();
                tracing::warn!(%file, %error, "a rotated log file can't be compressed; it stays as it is");
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Compresses whatever is not, the oldest first, until nothing is left to do or it is time to stop.
    fn pack_all(&self, job: &Job) -> io::Result<()> {
        removed(&job.backups.part())?;
        while let Some(packing) = Packing::begin(job)? {
            if !packing.copy(|| self.is_stopping())? {
                break;
            }
            packing.finish()?;
        }
        Ok(())
    }
}

/// One file on its way. What it has made goes with it unless it is finished.
struct Packing<'a> {
    job: &'a Job,
    source: File,
    part: File,
}

impl<'a> Packing<'a> {
    /// Opens the oldest file that is not compressed.
    fn begin(job: &'a Job) -> io::Result<Option<Packing<'a>>> {
        let source = {
            let _names = job.backups.names();
            let is_file = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
            let Some(path) = (1..=job.count).rev().map(|number| job.backups.plain(number)).find(|path| is_file(path))
            else {
                return Ok(None);
            };
            File::open(path)?
        };
        let found = source.metadata()?;
        // Nobody may read meanwhile who may not read the other one.
        let part = OpenOptions::new().write(true).create_new(true).mode(0o600).open(job.backups.part())?;
        let packing = Packing { job, source, part };
        // Only root may give files away; then they stay its own.
        let _ = fchown(&packing.part, Some(found.uid()), Some(found.gid()));
        packing.part.set_permissions(fs::Permissions::from_mode(found.mode() & 0o777))?;
        Ok(Some(packing))
    }

    /// Compresses the contents. False: it is time to stop.
    fn copy(&self, is_stopping: impl Fn() -> bool) -> io::Result<bool> {
        let mut encoder = GzEncoder::new(BufWriter::new(&self.part), Compression::default());
        let mut buffer = vec![0; PACKING_BUFFER_BYTES];
        loop {
            if is_stopping() {
                return Ok(false);
            }
            match (&self.source).read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => encoder.write_all(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        encoder.finish()?.flush()?;
        Ok(true)
    }

    /// Puts the compressed file in the other one's place, wherever that has got to.
    fn finish(self) -> io::Result<()> {
        let Packing { job, source, part } = &self;
        let found = source.metadata()?;
        part.set_modified(found.modified()?)?;
        part.sync_all()?;
        let is_same = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (found.dev(), found.ino()))
        };
        let _names = job.backups.names();
        // It may have been the oldest, and gone.
        let Some(number) = (1..=job.count).find(|number| is_same(&job.backups.plain(*number))) else {
            return Ok(());
        };
        fs::rename(job.backups.part(), job.backups.packed(number))?;
        fs::remove_file(job.backups.plain(number))
    }
}

impl Drop for Packing<'_> {
    fn drop(&mut self) {
        // Where it was finished there is nothing under that name.
        let _ = removed(&self.job.backups.part());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;

    fn job(folder: &Path, count: u32) -> Job {
        Job { backups: Arc::new(Backups::of(folder.join("a.log"))), count }
    }

    fn unpacked(path: &Path) -> String {
        let mut text = String::new();
        GzDecoder::new(File::open(path).expect("there")).read_to_string(&mut text).expect("whole");
        text
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("there").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn all_backups_are_compressed_and_keep_their_mode_and_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let job = job(folder.path(), 3);
        for (number, text) in [(1, "new\n".repeat(50_000)), (2, "old\n".repeat(50_000))] {
            fs::write(job.backups.plain(number), text).expect("written");
        }
        fs::set_permissions(job.backups.plain(2), fs::Permissions::from_mode(0o640)).expect("set");
        let modified = fs::metadata(job.backups.plain(2)).and_then(|found| found.modified()).expect("a time");
        let packer = Packer::default();
        packer.pack(&job.backups, job.count);
        let thread = packer.shared.queue().thread.take().expect("it works");
        thread.join().expect("it ends when there is nothing to do");
        assert_eq!(names(folder.path()), ["a.log.1.gz", "a.log.2.gz"]);
        assert_eq!(unpacked(&job.backups.packed(2)), "old\n".repeat(50_000));
        let found = fs::metadata(job.backups.packed(2)).expect("there");
        assert_eq!((found.mode() & 0o777, found.modified().ok()), (0o640, Some(modified)));
    }

    #[test]
    fn a_file_that_is_renamed_meanwhile_is_compressed_under_its_new_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let job = job(folder.path(), 2);
        fs::write(job.backups.path(), "second").expect("written");
        fs::write(job.backups.plain(1), "first").expect("written");
        let packing = Packing::begin(&job).expect("opened").expect("there is one");
        assert!(packing.copy(|| false).expect("read"));
        job.backups.shift(2).expect("renamed");
        packing.finish().expect("named");
        assert_eq!(names(folder.path()), ["a.log.1", "a.log.2.gz"]);
        assert_eq!(unpacked(&job.backups.packed(2)), "first");
        // One that goes while it is compressed leaves nothing.
        let packing = Packing::begin(&job).expect("opened").expect("there is one");
        assert!(packing.copy(|| false).expect("read"));
        fs::remove_file(job.backups.plain(1)).expect("removed");
        packing.finish().expect("nothing to name");
        assert_eq!(names(folder.path()), ["a.log.2.gz"]);
    }

    #[test]
    fn what_a_crash_has_left_is_put_right() {
        let folder = tempfile::tempdir().expect("a folder");
        let job = job(folder.path(), 2);
        // It had got to the last step with one file, and had another half made.
        fs::write(job.backups.plain(1), "whole").expect("written");
        fs::write(job.backups.packed(1), "of an earlier time").expect("written");
        fs::write(job.backups.part(), "half").expect("written");
        Shared::default().pack_all(&job).expect("compressed");
        assert_eq!(names(folder.path()), ["a.log.1.gz"]);
        assert_eq!(unpacked(&job.backups.packed(1)), "whole");
    }

    #[test]
    fn whoever_is_to_stop_leaves_the_file_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let job = job(folder.path(), 1);
        fs::write(job.backups.plain(1), "whole").expect("written");
        let shared = Shared::default();
        shared.is_stopping.store(true, Ordering::Relaxed);
        shared.pack_all(&job).expect("given up");
        assert_eq!(names(folder.path()), ["a.log.1"]);
    }
}
