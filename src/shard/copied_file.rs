//! Files on their way through the server's memory: those that go through a TLS session, and large ones for receivers on this machine.
//!
//! Owns the slicing: what is in the page cache is read at once, what is not is read by the ring, and each slice is encrypted or copied
//! while the one before it is on its way. A file that is no longer what its head said ends the connection.

use rustix::io::{Errno, IoSliceMut, ReadWriteFlags};

use super::output::{Gone, Output};
use crate::base::bounds::COPIED_SLICE_BYTES;
use crate::response::FileRange;
use crate::ring::{Payload, Ring, Stat};
use crate::sys::page_cache;

/// Sends `file` after what was sent before.
pub(super) async fn send(ring: &Ring, output: &mut Output, file: FileRange) -> Result<(), Gone> {
    let FileRange { file, range, as_of } = file;
    let mut offset = range.start;
    let mut slice = Vec::new();
    while offset < range.end {
        let count = (range.end - offset).min(COPIED_SLICE_BYTES as u64) as usize;
        slice.resize(count, 0);
        let read = rustix::io::preadv2(&file, &mut [IoSliceMut::new(&mut slice)], offset, ReadWriteFlags::NOWAIT);
        match read {
            // The file has become shorter than what was announced.
            Ok(0) => return Err(Gone),
            Ok(read) => slice.truncate(read),
            // The file system knows no reads that don't wait (tmpfs), but these bytes are in memory.
            Err(Errno::OPNOTSUPP) if page_cache::holds(&file, offset, count as u64) => {
                let read = rustix::io::pread(&file, &mut slice[..], offset).map_err(|_| Gone)?;
                if read == 0 {
                    return Err(Gone);
                }
                slice.truncate(read);
            }
            // A kernel worker waits for the disk, or for the server of a network file system.
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => {
                slice.clear();
                slice = ring.read_at(&file, slice, count, offset).await.map_err(|_| Gone)?;
                if slice.is_empty() {
                    return Err(Gone);
                }
            }
            Err(Errno::INTR) => continue,
            Err(_) => return Err(Gone),
        }
        if as_of.is_some_and(|stat| Stat::at_hand(&file).ok() != Some(stat)) {
            return Err(Gone);
        }
        offset += slice.len() as u64;
        output.send(Payload::from(std::mem::take(&mut slice))).await?;
    }
    Ok(())
}
