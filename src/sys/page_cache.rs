//! Whether the bytes of a file are in the page cache, so that sending them waits for no disk.
//!
//! Only asks; never reads anything in. Called by the shard before each slice of a file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::{Errno, IoSliceMut, ReadWriteFlags};
use rustix::param::page_size;

use crate::base::bounds::PAGE_CACHE_STRIDE_BYTES;

/// `statfs.f_type` of file systems that have no disk (statfs(2)).
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;
/// The same number on every architecture; the libc crate has no name for it yet.
const SYS_CACHESTAT: libc::c_long = 451;

/// Whether `count` bytes, at least one, from `offset` on are in the page cache. Where nobody can tell (network file systems, FUSE) they count as
/// if they weren't, since a disk or a server may have to be waited for. What is wrong otherwise, reading will say.
pub fn holds(file: impl AsFd, offset: u64, count: u64) -> bool {
    let file = file.as_fd();
    match samples(file, offset, count) {
        // The file system knows no reads that don't wait: tmpfs, some overlays, what comes over a network.
        Err(Errno::OPNOTSUPP) => counted(file, offset, count).unwrap_or_else(|_| is_memory(file)),
        Err(Errno::AGAIN) => false,
        _ => true,
    }
}

/// By samples, since the kernel reads and drops pages in runs: the first byte of each stride, and the last byte (preadv2(2), `RWF_NOWAIT`).
fn samples(file: BorrowedFd<'_>, offset: u64, count: u64) -> Result<(), Errno> {
    let mut byte = [0];
    let last = offset + count - 1;
    for at in (offset..last).step_by(PAGE_CACHE_STRIDE_BYTES).chain([last]) {
        rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT)?;
    }
    Ok(())
}

/// By counting the pages (cachestat(2), Linux 6.5). Since 6.14 it answers only who may write the file.
fn counted(file: BorrowedFd<'_>, offset: u64, count: u64) -> io::Result<bool> {
    /// `struct cachestat_range`: a length of 0 would mean the rest of the file.
    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }
    /// `struct cachestat`.
    #[repr(C)]
    #[derive(Default)]
    struct Counts {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    let range = Range { offset, len: count };
    let mut counts = Counts::default();
    // SAFETY: the kernel reads one range and writes one set of counts; both are laid out as in linux/mman.h and live until it returns.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut counts, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let page = page_size() as u64;
    Ok(counts.cached > (offset + count - 1) / page - offset / page)
}

/// Whether the file lies in memory, but for what is swapped out.
fn is_memory(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&(system.f_type as u64)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use rustix::fs::Advice;

    use super::*;

    const BYTES: u64 = 3 * PAGE_CACHE_STRIDE_BYTES as u64 + 1000;

    fn file_in(folder: &Path) -> File {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(format!("page-cache-{}-{:?}", std::process::id(), std::thread::current().id()));
        fs::write(&path, vec![7; BYTES as usize]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.sync_all().unwrap();
        fs::remove_file(&path).unwrap();
        file
    }

    #[test]
    fn a_file_in_memory_needs_no_disk() {
        let folder = Path::new("/dev/shm");
        if !is_memory(File::open(folder).unwrap().as_fd()) {
            eprintln!("not shown: /dev/shm is no tmpfs here");
            return;
        }
        let file = file_in(folder);
        assert!(is_memory(file.as_fd()));
        assert!(holds(&file, 0, BYTES) && holds(&file, 5, 1) && holds(&file, BYTES - 1, 1));
        assert!(!is_memory(File::open("/proc/self/stat").unwrap().as_fd()));
    }

    #[test]
    fn both_ways_of_asking_see_what_was_dropped() {
        let file = file_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page-cache"));
        let counted = |offset, count| counted(file.as_fd(), offset, count);
        assert!(holds(&file, 0, BYTES));
        match counted(0, BYTES) {
            Ok(answer) => assert!(answer),
            Err(error) => {
                eprintln!("not shown: cachestat: {error}");
                return;
            }
        }
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        if holds(&file, 0, BYTES) {
            eprintln!("not shown: the file system of the build keeps its pages");
            return;
        }
        assert!(!counted(0, BYTES).unwrap() && !counted(BYTES - 1, 1).unwrap());
        // The first page alone comes back, and what lies around it with the kernel's read-ahead; a hole in the middle is seen.
        rustix::fs::fadvise(&file, 0, None, Advice::Random).unwrap();
        rustix::io::pread(&file, &mut [0_u8; 1][..], 0).unwrap();
        assert!(holds(&file, 0, 1) && counted(0, 1).unwrap());
        assert!(!counted(0, BYTES).unwrap() && !holds(&file, 0, BYTES));
    }
}
