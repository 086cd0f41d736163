//! What is too large to be kept in memory: request bodies on their way to a worker, and files without a name.
//!
//! Owns the folder in which those files are made, and a body until it is handed over: small ones ride along in a message, larger ones stay in the memory in
//! which they have arrived, in a pipe, or lie in memory that its worker may read, the largest in a file. Called by `shard`: while it reads a body, piece by piece, and for responses whose clients are slow.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

pub use super::region_pool::Lease;
use super::region_pool::RegionPool;
use crate::base::bounds::{INLINE_BODY_BYTES_MAX, MEMORY_BODY_BYTES_MAX};
use crate::base::budget::Claim;
use crate::ring::{Chunk, Descriptor, OpenFlags, Payload, Ring};
use crate::sys::body_pipe::BodyPipe;
use crate::sys::region::Region;

/// Pieces in which a body is received that goes to a file, bytes.
pub const PASSAGE_BYTES: usize = 256 * 1024;
/// Attempts to find a name that nobody has.
const NAMES_MAX: u32 = 16;

/// Where files without a name are made, and the memory in which smaller bodies lie instead.
pub struct SpoolFolder {
    ring: Ring,
    directory: Descriptor,
    regions: RegionPool,
    /// The file system knows no `O_TMPFILE`.
    needs_names: Cell<bool>,
    names: Cell<u64>,
}

impl SpoolFolder {
    /// Files in `directory`, which may have been opened with `O_PATH`.
    pub fn new(ring: &Ring, directory: OwnedFd) -> SpoolFolder {
        SpoolFolder {
            ring: ring.clone(),
            directory: Rc::new(directory),
            regions: RegionPool::new(),
            needs_names: Cell::new(false),
            names: Cell::new(0),
        }
    }

    /// Gives memory back that no body has needed since the last time.
    pub fn trim(&self) {
        self.regions.trim();
    }

    /// A file without a name, to read and write, so that nothing is left of it whatever happens.
    ///
    /// # Errors
    /// As open(2): `ENOSPC`, `EMFILE`, `EACCES`.
    pub async fn file(&self) -> io::Result<Descriptor> {
        if !self.needs_names.get() {
            let how = OpenFlags { flags: libc::O_TMPFILE | libc::O_RDWR, mode: 0o600, resolve: 0 };
            let opened = self.ring.open_beneath(&self.directory, c".".to_owned(), how).await;
            match opened.as_ref().map_err(io::Error::raw_os_error) {
                // open(2), O_TMPFILE: the file system does not support it; EISDIR and ENOENT are said by what does not even know it.
                Err(Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)) => {
                    tracing::info!("spool_dir is on a file system without O_TMPFILE: files have a name for a moment");
                    self.needs_names.set(true);
                }
                _ => return opened.map(Rc::new),
            }
        }
        self.unlinked_file().await
    }

    /// As mkostemp(3) and unlink(2): only a crash between the two leaves an empty file.
    async fn unlinked_file(&self) -> io::Result<Descriptor> {
        let how = OpenFlags {
            flags: libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW,
            mode: 0o600,
            resolve: libc::RESOLVE_BENEATH,
        };
        let mut result = Err(io::ErrorKind::AlreadyExists.into());
        for _ in 0..NAMES_MAX {
            self.names.set(self.names.get() + 1);
            let (process, moment) = (std::process::id(), self.ring.now().as_nanos());
            let name = CString::new(format!("maitred-{process}-{moment:x}-{}", self.names.get())).expect("no NUL");
            result = self.ring.open_beneath(&self.directory, name.clone(), how).await;
            match &result {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => break,
                Ok(_) => {
                    self.ring.unlink(&self.directory, name).await?;
                    break;
                }
            }
        }
        result.map(Rc::new)
    }
}

/// A body that is being collected.
pub struct Spool {
    folder: Rc<SpoolFolder>,
    place: Place,
    bytes: u64,
}

enum Place {
    Inline(Vec<u8>),
    Pipe(BodyPipe, Claim),
    Memory(Lease),
    File(Descriptor),
}

/// A collected body.
#[derive(Debug)]
pub enum Spooled {
    /// It fits into a message.
    Inline(Vec<u8>),
    /// It is in a descriptor: from offset 0, or in a pipe.
    Descriptor(BodyFile, u64),
}

/// The descriptor of a body.
#[derive(Debug)]
pub enum BodyFile {
    /// Of a pipe, and its part of the shard's memory.
    Pipe(OwnedFd, Claim),
    /// Of memory, to be used again when its worker has done with it.
    Memory(Lease),
    /// Of a file without a name.
    File(OwnedFd),
}

impl AsFd for BodyFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            BodyFile::Memory(lease) => lease.region().as_fd(),
            BodyFile::Pipe(descriptor, _) | BodyFile::File(descriptor) => descriptor.as_fd(),
        }
    }
}

impl Spool {
    /// `expected`: the body's length where it is known; saves moving it from place to place.
    ///
    /// # Errors
    /// No memory or no room for a file.
    pub async fn new(folder: &Rc<SpoolFolder>, expected: Option<u64>) -> io::Result<Spool> {
        let place = match expected {
            Some(bytes) if bytes > MEMORY_BODY_BYTES_MAX as u64 => Place::File(folder.file().await?),
            Some(bytes) if bytes > INLINE_BODY_BYTES_MAX as u64 => memory(folder, bytes as usize).await?,
            Some(bytes) => Place::Inline(Vec::with_capacity(bytes as usize)),
            None => Place::Inline(Vec::new()),
        };
        Ok(Spool { folder: folder.clone(), place, bytes: 0 })
    }

    /// For a body of so many bytes, which the caller is going to [move](Spool::pipe) from its socket, as long as it can be.
    ///
    /// # Errors
    /// As [`Spool::new`].
    pub async fn from_socket(folder: &Rc<SpoolFolder>, bytes: u64) -> io::Result<Spool> {
        if (INLINE_BODY_BYTES_MAX as u64 + 1..=MEMORY_BODY_BYTES_MAX as u64).contains(&bytes)
            && let Some(claim) = folder.regions.claim(bytes as usize)
            && let Ok(pipe) = BodyPipe::new(bytes as usize)
        {
            return Ok(Spool { folder: folder.clone(), place: Place::Pipe(pipe, claim), bytes: 0 });
        }
        Spool::new(folder, Some(bytes)).await
    }

    /// The pipe into which the next bytes of the body may be moved, if that is where it lies; then [`Spool::filled`] says how many were.
    pub fn pipe(&self) -> Option<&BodyPipe> {
        match &self.place {
            Place::Pipe(pipe, _) => Some(pipe),
            _ => None,
        }
    }

    /// There is no way into the pipe any more: the body has to lie elsewhere, `expected` bytes in all.
    ///
    /// # Errors
    /// No memory or no room for a file.
    pub async fn leave_pipe(&mut self, expected: u64) -> io::Result<()> {
        let place = std::mem::replace(&mut self.place, Place::Inline(Vec::new()));
        let Place::Pipe(pipe, claim) = place else { unreachable!("the caller has had it from `pipe`") };
        drop(claim);
        let early = self.bytes as usize;
        self.place = memory(&self.folder, expected as usize).await?;
        match &self.place {
            Place::Memory(lease) => pipe.move_to(lease.region(), early),
            _ => self.write(pipe.take(early)?.into(), 0).await,
        }
    }

    /// Whether the next piece is written to a file.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Memory by way of which the next bytes of a body that goes to a file may be received in larger pieces; then [`Spool::pushed`] writes them. `None`: all
    /// bodies together have as much as they may, or there is none to be had.
    pub fn passage(&self) -> Option<Lease> {
        self.folder.regions.lease(PASSAGE_BYTES).ok().flatten()
    }

    /// Appends the first `count` bytes of a [passage](Spool::passage) to the file in which the body lies.
    ///
    /// # Errors
    /// As [`Spool::push`].
    pub async fn pushed(&mut self, passage: &Lease, count: usize) -> io::Result<()> {
        let Place::File(file) = &self.place else { unreachable!("the caller looked") };
        let mut done = 0;
        while done < count {
            let written = self.folder.ring.write_region(file, passage.region(), done..count, self.bytes).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += written as usize;
            self.bytes += u64::from(written);
        }
        Ok(())
    }

    /// Where the next `count` bytes of the body may be put by the kernel, if that is in memory; then [`Spool::filled`] says how many were.
    pub fn room(&self, count: u64) -> Option<(Rc<Region>, Range<usize>)> {
        let Place::Memory(lease) = &self.place else { return None };
        let range = usize::try_from(self.bytes).ok()?..usize::try_from(self.bytes.checked_add(count)?).ok()?;
        (range.end <= lease.region().ready()).then(|| (lease.region().clone(), range))
    }

    /// The kernel has put so many bytes where [`Spool::room`] said, or into the pipe.
    pub fn filled(&mut self, count: u64) {
        self.bytes += count;
    }

    /// Appends `piece`.
    ///
    /// # Errors
    /// `ENOSPC` and its like: the body is incomplete then.
    pub async fn push(&mut self, piece: Chunk) -> io::Result<()> {
        let total = self.bytes + piece.len() as u64;
        match &mut self.place {
            Place::Inline(bytes) if total <= INLINE_BODY_BYTES_MAX as u64 => {
                bytes.extend_from_slice(&piece);
                self.bytes = total;
                return Ok(());
            }
            Place::Inline(bytes) => {
                let bytes = std::mem::take(bytes);
                self.place = memory(&self.folder, total as usize).await?;
                self.write(bytes.into(), 0).await?;
            }
            Place::Memory(lease) => {
                if total > MEMORY_BODY_BYTES_MAX as u64 || !lease.make_ready(total as usize)? {
                    self.move_to_file().await?;
                }
            }
            Place::Pipe(pipe, claim) => {
                if pipe.write(&piece) {
                    self.bytes = total;
                    return Ok(());
                }
                let expected = claim.bytes() as u64;
                self.leave_pipe(expected).await?;
            }
            Place::File(_) => {}
        }
        self.write(piece, self.bytes).await?;
        self.bytes = total;
        Ok(())
    }

    async fn move_to_file(&mut self) -> io::Result<()> {
        let Place::Memory(lease) = &self.place else { unreachable!("the caller looked") };
        let early = lease.region().read(0..self.bytes as usize);
        self.place = Place::File(self.folder.file().await?);
        self.write(early.into(), 0).await
    }

    async fn write(&self, piece: Chunk, offset: u64) -> io::Result<()> {
        match &self.place {
            Place::Inline(_) | Place::Pipe(..) => unreachable!("nothing is written to a place that has no offsets"),
            Place::Memory(lease) => {
                lease.region().write(offset as usize, &piece);
                Ok(())
            }
            Place::File(file) => write_file(&self.folder.ring, file, piece.into_owned().into(), offset).await,
        }
    }

    /// The whole body.
    pub fn finish(self) -> Spooled {
        let file = match self.place {
            Place::Inline(bytes) => return Spooled::Inline(bytes),
            Place::Pipe(pipe, claim) => BodyFile::Pipe(pipe.into_reader(), claim),
            Place::Memory(lease) => BodyFile::Memory(lease),
            Place::File(descriptor) => BodyFile::File(
                Rc::try_unwrap(descriptor).expect("each write is complete, so the ring has let go of the descriptor"),
            ),
        };
        Spooled::Descriptor(file, self.bytes)
    }
}

/// Memory for so many bytes, or a file if the shard's bodies have as much memory as they may.
async fn memory(folder: &SpoolFolder, bytes: usize) -> io::Result<Place> {
    Ok(match folder.regions.lease(bytes) {
        Ok(Some(lease)) => Place::Memory(lease),
        // Or there is none to be had: no memory, or a limit of files' sizes, which counts here too.
        Ok(None) | Err(_) => Place::File(folder.file().await?),
    })
}

async fn write_file(ring: &Ring, file: &Descriptor, mut payload: Payload, mut offset: u64) -> io::Result<()> {
    while !payload.is_empty() {
        let (written, rest) = ring.write_at(file, payload, offset).await?;
        payload = rest;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        payload.advance(written);
        offset += written as u64;
    }
    Ok(())
}
