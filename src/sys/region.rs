//! A region: memory for one request body, which a worker may read and nobody but the server can write.
//!
//! Owns a sealed memfd and the one writable mapping of it (memfd_create(2), `F_SEAL_FUTURE_WRITE`), so that a worker that has kept its
//! descriptor can't change what is put there next. Never a Rust reference to its bytes. Called by `wsgi::spool`; `ring` receives into it.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use memmap2::MmapRaw;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create};

/// Room is made in steps of so many bytes, so that a body which grows does not ask for each of its pieces.
const STEP_BYTES: usize = 64 * 1024;

/// Memory that is written here and read there.
#[derive(Debug)]
pub struct Region {
    file: OwnedFd,
    map: MmapRaw,
    /// Bytes from the beginning that have memory: touching others might end in SIGBUS.
    ready: Cell<usize>,
}

impl Region {
    /// A region of `bytes` bytes, none of which has memory yet.
    ///
    /// # Errors
    /// As memfd_create(2), mmap(2): `EMFILE`, `ENOMEM`.
    pub fn new(name: &str, bytes: usize) -> io::Result<Region> {
        let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, bytes as u64)?;
        let map = MmapRaw::map_raw(&file)?;
        assert_eq!(map.len(), bytes, "the whole memfd is mapped");
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(Region { file, map, ready: Cell::new(0) })
    }

    /// Bytes from the beginning that have memory.
    pub fn ready(&self) -> usize {
        self.ready.get()
    }

    /// Sees to it that the first `bytes` bytes have memory; may give more. Returns how many have.
    ///
    /// # Errors
    /// As fallocate(2): `ENOSPC`, `ENOMEM`. More than the region has room for: `EFBIG`.
    pub fn make_ready(&self, bytes: usize) -> io::Result<usize> {
        let ready = self.ready.get();
        if bytes > ready {
            if bytes > self.map.len() {
                return Err(io::Error::from_raw_os_error(libc::EFBIG));
            }
            let wanted = bytes.next_multiple_of(STEP_BYTES).min(self.map.len());
            fallocate(&self.file, FallocateFlags::empty(), ready as u64, (wanted - ready) as u64)?;
            self.ready.set(wanted);
        }
        Ok(self.ready.get())
    }

    /// Puts `bytes` at `offset`.
    ///
    /// # Panics
    /// Where there is no memory ready for them.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let at = self.pointer(offset..offset + bytes.len());
        // SAFETY: the range is ready (just checked), so that it lies in the mapping and has memory; the mapping is written through
        // pointers only, by this thread and by the kernel on its behalf.
        unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Has the kernel read from `source` into `range`. Returns how many bytes came, 0 at the end of the file.
    ///
    /// # Errors
    /// As read(2).
    ///
    /// # Panics
    /// Where there is no memory ready.
    pub fn fill_from(&self, source: impl AsFd, range: Range<usize>) -> io::Result<usize> {
        let at = self.pointer(range.clone());
        // SAFETY: the kernel writes inside the mapping, to what is ready (just checked); as in `write`, nobody holds a reference.
        let count = unsafe { libc::read(source.as_fd().as_raw_fd(), at.cast(), range.len()) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// A copy of these bytes.
    ///
    /// # Panics
    /// Where there is no memory ready.
    pub fn read(&self, range: Range<usize>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(range.len());
        let at = self.pointer(range.clone());
        // SAFETY: as in `write`; the vector has room for as many bytes, and all of them are written before its length says so.
        unsafe {
            at.copy_to_nonoverlapping(bytes.as_mut_ptr(), range.len());
            bytes.set_len(range.len());
        }
        bytes
    }

    /// Where `range` begins, for the kernel to write to as long as the region is alive.
    ///
    /// # Panics
    /// Where there is no memory ready.
    pub fn pointer(&self, range: Range<usize>) -> *mut u8 {
        assert!(range.start <= range.end && range.end <= self.ready.get(), "only what is ready is touched");
        // SAFETY: inside the mapping, which has at least `ready` bytes.
        unsafe { self.map.as_mut_ptr().add(range.start) }
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_its_descriptor_can_read_and_not_write() {
        let region = Region::new("maitred-test", 1 << 20).expect("a memfd");
        assert_eq!(region.make_ready(10).expect("memory"), STEP_BYTES);
        region.write(3, b"abcdef");
        let mut seen = [0; 6];
        assert_eq!(rustix::io::pread(&region, &mut seen, 3).expect("readable"), 6);
        assert_eq!((&seen, &region.read(4..6)[..]), (b"abcdef", &b"bc"[..]));
        assert!(rustix::io::pwrite(&region, b"x", 3).is_err());
        assert!(memmap2::MmapRaw::map_raw(&region.file).is_err());
        assert!(ftruncate(&region, 0).is_err() && ftruncate(&region, 2 << 20).is_err());
        region.write(3, b"ABCDEF");
        assert_eq!(rustix::io::pread(&region, &mut seen, 3).expect("readable"), 6);
        assert_eq!(&seen, b"ABCDEF");
    }

    #[test]
    fn it_gets_memory_as_far_as_it_reaches() {
        let region = Region::new("maitred-test", 100_000).expect("a memfd");
        assert_eq!(region.make_ready(0).expect("nothing to do"), 0);
        assert_eq!(region.make_ready(STEP_BYTES + 1).expect("memory"), 100_000);
        assert_eq!(region.make_ready(1).expect("nothing to do"), 100_000);
        assert_eq!(region.make_ready(100_001).expect_err("too much").raw_os_error(), Some(libc::EFBIG));
        assert_eq!(region.read(99_999..100_000), [0]);
    }

    #[test]
    #[should_panic(expected = "only what is ready is touched")]
    fn what_has_no_memory_is_not_touched() {
        Region::new("maitred-test", 1 << 20).expect("a memfd").write(0, b"x");
    }
}
