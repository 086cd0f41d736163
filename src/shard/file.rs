//! Files on their way to the client without passing through user space.
//!
//! Owns the slicing: a slice at a time, so that one download never starves a shard, and never a slice that is not in the page
//! cache, because sendfile(2) would wait for the disk. A file that becomes shorter ends the connection.

use std::io;
use std::ops::Range;

use rustix::io::{IoSliceMut, ReadWriteFlags};

use super::output::{Gone, Output};
use crate::base::bounds::{PAGE_CACHE_STRIDE_BYTES, SENDFILE_SLICE_BYTES};
use crate::ring::{Descriptor, Ring, within};

/// Sends `range` of `file` after what was sent before.
pub(super) async fn send(ring: &Ring, output: &mut Output, file: &Descriptor, range: Range<u64>) -> Result<(), Gone> {
    if range.is_empty() {
        return Ok(());
    }
    output.settle().await?;
    // sendfile(2) has no flag for it, so the socket itself is told not to wait, for as long as this takes.
    rustix::io::ioctl_fionbio(output.socket(), true).map_err(|_| Gone)?;
    let result = slices(ring, output, file, range).await;
    rustix::io::ioctl_fionbio(output.socket(), false).map_err(|_| Gone)?;
    result
}

async fn slices(ring: &Ring, output: &mut Output, file: &Descriptor, range: Range<u64>) -> Result<(), Gone> {
    let mut offset = range.start;
    while offset < range.end {
        let count = (range.end - offset).min(SENDFILE_SLICE_BYTES as u64);
        if !is_cached(file, offset, count) {
            // A kernel worker waits for the disk; the bytes themselves are not wanted.
            ring.read_at(file, Vec::new(), count as usize, offset).await.map_err(|_| Gone)?;
        }
        match rustix::fs::sendfile(output.socket(), file, Some(&mut offset), count as usize) {
            // The file has become shorter than what was announced.
            Ok(0) => return Err(Gone),
            Ok(sent) => output.count(sent),
            Err(rustix::io::Errno::AGAIN) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Err(Gone),
        }
        if offset < range.end {
            output.wait_again();
            let writable = within(output.deadline(), ring.poll(output.socket(), libc::POLLOUT as u32)).await;
            output.deadline().clear();
            writable.map_err(|_| Gone)?.map_err(|_| Gone)?;
        }
    }
    Ok(())
}

/// Whether the bytes are in the page cache, by samples: the kernel reads and drops pages in runs.
fn is_cached(file: &Descriptor, offset: u64, count: u64) -> bool {
    let mut byte = [0];
    let last = offset + count - 1;
    (offset..last).step_by(PAGE_CACHE_STRIDE_BYTES).chain([last]).all(|at| {
        let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
        // Where the file system can't tell (EOPNOTSUPP, as tmpfs may), there is no disk to wait for.
        !matches!(read.map_err(io::Error::from), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    })
}
