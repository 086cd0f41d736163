//! Request bodies on their way to a worker: small ones in memory, larger ones in a memfd, the largest in a file.
//!
//! Owns the body until it is handed over. Called by `shard` while it reads a body, piece by piece.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::base::bounds::{INLINE_BODY_BYTES_MAX, MEMFD_BODY_BYTES_MAX};
use crate::ring::{Chunk, Descriptor, OpenFlags, Payload, Ring};
use crate::sys::memory;

/// A body that is being collected.
pub struct Spool {
    ring: Ring,
    /// Where files are made.
    directory: Descriptor,
    place: Place,
    bytes: u64,
}

enum Place {
    Inline(Vec<u8>),
    Memfd(Descriptor),
    File(Descriptor),
}

/// A collected body.
#[derive(Debug)]
pub enum Spooled {
    /// It fits into a message.
    Inline(Vec<u8>),
    /// So many bytes in a descriptor, from offset 0.
    Descriptor(OwnedFd, u64),
}

impl Spool {
    /// `expected`: the body's length where it is known; saves moving it from place to place.
    ///
    /// # Errors
    /// No memory or no room for a file.
    pub async fn new(ring: &Ring, directory: &Descriptor, expected: Option<u64>) -> io::Result<Spool> {
        let place = match expected {
            Some(bytes) if bytes > MEMFD_BODY_BYTES_MAX as u64 => Place::File(file(ring, directory).await?),
            Some(bytes) if bytes > INLINE_BODY_BYTES_MAX as u64 => Place::Memfd(memfd()?),
            Some(bytes) => Place::Inline(Vec::with_capacity(bytes as usize)),
            None => Place::Inline(Vec::new()),
        };
        Ok(Spool { ring: ring.clone(), directory: directory.clone(), place, bytes: 0 })
    }

    /// Whether the next piece is written to a file.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends `piece`.
    ///
    /// # Errors
    /// `ENOSPC` and its like: the body is incomplete then.
    pub async fn push(&mut self, piece: Chunk) -> io::Result<()> {
        let total = self.bytes + piece.len() as u64;
        match &mut self.place {
            Place::Inline(bytes) if total <= INLINE_BODY_BYTES_MAX as u64 => bytes.extend_from_slice(&piece),
            Place::Inline(bytes) => {
                let bytes = std::mem::take(bytes);
                let memfd = memfd()?;
                write_memory(&memfd, &bytes, 0)?;
                write_memory(&memfd, &piece, self.bytes)?;
                self.place = Place::Memfd(memfd);
            }
            Place::Memfd(memfd) if total <= MEMFD_BODY_BYTES_MAX as u64 => write_memory(memfd, &piece, self.bytes)?,
            Place::Memfd(memfd) => {
                let file = file(&self.ring, &self.directory).await?;
                let early = self.ring.read_at(memfd, Vec::new(), self.bytes as usize, 0).await?;
                if early.len() as u64 != self.bytes {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                write_file(&self.ring, &file, early.into(), 0).await?;
                write_file(&self.ring, &file, piece.into(), self.bytes).await?;
                self.place = Place::File(file);
            }
            Place::File(file) => write_file(&self.ring, file, piece.into_owned().into(), self.bytes).await?,
        }
        self.bytes = total;
        Ok(())
    }

    /// The whole body.
    pub fn finish(self) -> Spooled {
        match self.place {
            Place::Inline(bytes) => Spooled::Inline(bytes),
            Place::Memfd(fd) | Place::File(fd) => {
                let fd = Rc::try_unwrap(fd).expect("each write is complete, so the ring has let go of the descriptor");
                Spooled::Descriptor(fd, self.bytes)
            }
        }
    }
}

fn memfd() -> io::Result<Descriptor> {
    memory::growing_memfd("maitred-body").map(Rc::new)
}

/// A file without a name, so that nothing is left of it whatever happens.
async fn file(ring: &Ring, directory: &Descriptor) -> io::Result<Descriptor> {
    let how = OpenFlags { flags: libc::O_TMPFILE | libc::O_RDWR, mode: 0o600, resolve: 0 };
    let name = CString::new(".").expect("no NUL");
    ring.open_beneath(directory, name, how).await.map(Rc::new)
}

/// Writing to a memfd is a copy in memory: it can't wait for a disk.
fn write_memory(memfd: &Descriptor, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::pwrite(memfd, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
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
