//! Files through the ring: open beneath a directory, stat, read, write, remove.
//!
//! Owns paths and buffers until the kernel is done with them. A slow disk makes a kernel worker wait, never the shard.

use std::ffi::CString;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use io_uring::types::OpenHow;
use rustix::fs::{AtFlags, StatxFlags};

use super::Descriptor;
use super::core::Ring;
use super::engine::Sqe;
use super::payload::Payload;
use super::single::{Hold, Op, value};
use crate::sys::region::Region;

/// How a path may be resolved (openat2(2)).
#[derive(Clone, Copy, Debug)]
pub struct OpenFlags {
    /// open(2) flags; `O_CLOEXEC` is added.
    pub flags: i32,
    /// Permission bits for a file that is made.
    pub mode: u32,
    /// `RESOLVE_*` bits.
    pub resolve: u64,
}

impl OpenFlags {
    /// Read-only and never outside the directory, through whatever symlinks and `..` (`RESOLVE_BENEATH`,
    /// `RESOLVE_NO_MAGICLINKS`).
    pub const READ_BENEATH: OpenFlags = OpenFlags {
        flags: libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
        mode: 0,
        resolve: libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS,
    };
    /// The same, and through no symlink at all (`RESOLVE_NO_SYMLINKS`): one gives `ELOOP`.
    pub const READ_BENEATH_PLAIN: OpenFlags =
        OpenFlags { resolve: Self::READ_BENEATH.resolve | libc::RESOLVE_NO_SYMLINKS, ..Self::READ_BENEATH };
}

/// What statx(2) says of a file, as far as maitred wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// File type and permission bits (`st_mode`).
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Last modification, nanoseconds since the epoch.
    pub modified_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// Device, major and minor.
    pub device: (u32, u32),
}

impl Stat {
    /// What the kernel knows of an open file without asking anybody, so that this never waits (statx(2), `AT_STATX_DONT_SYNC`). On a network
    /// file system it may be a few seconds old.
    ///
    /// # Errors
    /// As statx(2).
    pub fn at_hand(fd: impl AsFd) -> io::Result<Stat> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let found = rustix::fs::statx(fd, "", flags, StatxFlags::BASIC_STATS)?;
        Ok(Stat {
            mode: u32::from(found.stx_mode),
            size: found.stx_size,
            modified_ns: nanos(found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
            inode: found.stx_ino,
            device: (found.stx_dev_major, found.stx_dev_minor),
        })
    }

    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    /// A directory.
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }
}

fn nanos(seconds: i64, nanos: u32) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

impl Ring {
    /// Opens `path` relative to `directory` (openat2(2)).
    ///
    /// # Errors
    /// As openat2(2): `EXDEV` for a path that leads out of the directory.
    pub async fn open_beneath(&self, directory: &Descriptor, path: CString, how: OpenFlags) -> io::Result<OwnedFd> {
        let open =
            OpenHow::new().flags((how.flags | libc::O_CLOEXEC) as u64).mode(u64::from(how.mode)).resolve(how.resolve);
        let open = Box::new(open);
        let sqe = Sqe::OpenAt2 { dir: directory.as_raw_fd(), path: path.as_ptr(), how: &raw const *open };
        let op = Op::start(self, Some(directory.clone()), Hold::Open(path, open), sqe);
        let fd = op.await?;
        // SAFETY: the kernel has just opened this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }

    /// Removes the name `path` from `directory` (unlinkat(2)).
    ///
    /// # Errors
    /// As unlinkat(2).
    pub async fn unlink(&self, directory: &Descriptor, path: CString) -> io::Result<()> {
        let sqe = Sqe::UnlinkAt { dir: directory.as_raw_fd(), path: path.as_ptr() };
        // Moving the path into its slot moves no bytes: they are on the heap.
        Op::start(self, Some(directory.clone()), Hold::Path(path), sqe).await.map(drop)
    }

    /// What `fd` itself is (statx(2) with `AT_EMPTY_PATH`).
    ///
    /// # Errors
    /// As statx(2).
    pub async fn stat(&self, fd: &Descriptor) -> io::Result<Stat> {
        // SAFETY: statx is plain data, for which all-zero is valid.
        let mut out: Box<libc::statx> = Box::new(unsafe { std::mem::zeroed() });
        let path = CString::default();
        let sqe =
            Sqe::Statx { dir: fd.as_raw_fd(), path: path.as_ptr(), flags: libc::AT_EMPTY_PATH, out: &raw mut *out };
        let mut op = Op::start(self, Some(fd.clone()), Hold::Stat(path, out), sqe);
        let (result, hold) = poll_fn(|cx| op.poll_result(cx)).await;
        value(result)?;
        let Hold::Stat(_, stat) = hold else { unreachable!("a stat holds its result") };
        Ok(Stat {
            mode: u32::from(stat.stx_mode),
            size: stat.stx_size,
            modified_ns: nanos(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            inode: stat.stx_ino,
            device: (stat.stx_dev_major, stat.stx_dev_minor),
        })
    }

    /// Reads at `offset` into the spare room of `buffer`, at most `max` bytes. Returns the buffer with what was read.
    ///
    /// # Errors
    /// As pread(2).
    pub async fn read_at(&self, fd: &Descriptor, mut buffer: Vec<u8>, max: usize, offset: u64) -> io::Result<Vec<u8>> {
        let max = max.min(i32::MAX as usize);
        buffer.reserve(max);
        let spare = buffer.spare_capacity_mut();
        let sqe = Sqe::Read { fd: fd.as_raw_fd(), ptr: spare.as_mut_ptr().cast(), len: max as u32, offset };
        let mut op = Op::start(self, Some(fd.clone()), Hold::Bytes(buffer), sqe);
        let (result, hold) = poll_fn(|cx| op.poll_result(cx)).await;
        let count = value(result)? as usize;
        let Hold::Bytes(mut buffer) = hold else { unreachable!("a read holds its buffer") };
        // SAFETY: the kernel wrote `count` bytes, at most `max`, into the spare room that was reserved for them.
        unsafe { buffer.set_len(buffer.len() + count.min(max)) };
        Ok(buffer)
    }

    /// Writes `payload` at `offset` (`u64::MAX`: at the file's position). Returns the bytes written, which may be fewer.
    ///
    /// # Errors
    /// As pwrite(2): `ENOSPC`, `EDQUOT`, `EFBIG`.
    pub async fn write_at(&self, fd: &Descriptor, payload: Payload, offset: u64) -> io::Result<(usize, Payload)> {
        let sqe = Sqe::Write { fd: fd.as_raw_fd(), ptr: payload.as_ptr(), len: payload.len_once(), offset };
        let mut op = Op::start(self, Some(fd.clone()), Hold::Payload(payload), sqe);
        let (result, hold) = poll_fn(|cx| op.poll_result(cx)).await;
        let Hold::Payload(payload) = hold else { unreachable!("a write holds its payload") };
        Ok((value(result)? as usize, payload))
    }

    /// Writes what is in `range` of `region` at `offset`. The operation's output is how many bytes were written, which may be fewer.
    ///
    /// # Panics
    /// Where `region` has no memory ready for `range`.
    pub fn write_region(&self, fd: &Descriptor, region: &Rc<Region>, range: Range<usize>, offset: u64) -> Op {
        let len = u32::try_from(range.len()).expect("regions are far below 4 GiB");
        let sqe = Sqe::Write { fd: fd.as_raw_fd(), ptr: region.pointer(range), len, offset };
        Op::start(self, Some(fd.clone()), Hold::Region(region.clone()), sqe)
    }
}
