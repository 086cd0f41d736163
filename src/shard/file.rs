//! Files on their way to the client without passing through user space.
//!
//! Owns the slicing: a slice at a time, so that one download never starves a shard, and never a slice that is not in the page
//! cache, because sendfile(2) would wait for the disk. A file that is no longer what its head said ends the connection.

use rustix::io::Errno;

use super::copied_file;
use super::output::{Gone, Output};
use crate::base::bounds::{LOCAL_COPY_BYTES_MIN, SENDFILE_SLICE_BYTES};
use crate::response::FileRange;
use crate::ring::{Descriptor, Ring, Stat, within};
use crate::sys::{listen, page_cache};

/// Sends `file` after what was sent before.
pub(super) async fn send(ring: &Ring, output: &mut Output, file: FileRange) -> Result<(), Gone> {
    if file.range.is_empty() {
        return Ok(());
    }
    // A receiver on this machine takes what has just been copied out of the processor's caches. Of a file in the page cache it would have to
    // fetch every byte from memory, and its part is the slower one.
    let is_for_neighbour = file.range.end - file.range.start >= LOCAL_COPY_BYTES_MIN
        && !output.is_paced()
        && listen::is_same_machine(output.socket());
    if output.is_secure() || is_for_neighbour {
        return Box::pin(copied_file::send(ring, output, file)).await;
    }
    output.settle().await?;
    // sendfile(2) has no flag for it, so the socket itself is told not to wait, for as long as this takes.
    rustix::io::ioctl_fionbio(output.socket(), true).map_err(|_| Gone)?;
    let result = slices(ring, output, &file).await;
    rustix::io::ioctl_fionbio(output.socket(), false).map_err(|_| Gone)?;
    result
}

async fn slices(ring: &Ring, output: &mut Output, FileRange { file, range, as_of }: &FileRange) -> Result<(), Gone> {
    let mut offset = range.start;
    while offset < range.end {
        let count = output.granted((range.end - offset).min(SENDFILE_SLICE_BYTES as u64)).await;
        let before = offset;
        if !page_cache::holds(file, offset, count) {
            read_ahead(ring, file, offset, count).await?;
        }
        if as_of.is_some_and(|stat| Stat::at_hand(file).ok() != Some(stat)) {
            return Err(Gone);
        }
        match rustix::fs::sendfile(output.socket(), file, Some(&mut offset), count as usize) {
            // The file has become shorter than what was announced.
            Ok(0) => return Err(Gone),
            Ok(sent) => {
                output.count(sent);
                output.give_back(count - (offset - before));
            }
            Err(Errno::AGAIN) => output.give_back(count),
            Err(Errno::INTR) => {
                output.give_back(count);
                continue;
            }
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

/// Lets a kernel worker read the bytes into the page cache; they themselves are not wanted here.
async fn read_ahead(ring: &Ring, file: &Descriptor, offset: u64, count: u64) -> Result<(), Gone> {
    ring.read_at(file, Vec::new(), count as usize, offset).await.map(drop).map_err(|_| Gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{PREEMPT_TIMER, RingConfig};
    use glommio::{LocalExecutorBuilder, Placement};
    use rustix::fs::Advice;
    use std::fs::{self, File};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;
    use std::time::Duration;

    const SIZE: usize = 3 * SENDFILE_SLICE_BYTES + 1000;

    /// A file on the disk of the build, in memory and on the disk alike.
    fn file(name: &str) -> (Descriptor, Vec<u8>) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page-cache");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}-{}", std::process::id()));
        let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
        let mut written = File::create(&path).unwrap();
        written.write_all(&bytes).unwrap();
        written.sync_all().unwrap();
        let open = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (Rc::new(open.into()), bytes)
    }

    fn on_a_ring<F: Future<Output = ()> + 'static>(body: impl FnOnce(Ring) -> F + Send + 'static) {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).preempt_timer(PREEMPT_TIMER);
        let executor = builder.spawn(move || async move {
            let (ring, driver) = Ring::new(RingConfig::default()).expect("io_uring is permitted here");
            let driver = glommio::spawn_local(driver.run());
            body(ring.clone()).await;
            ring.close();
            driver.await;
        });
        executor.expect("an executor").join().expect("no panic on the executor");
    }

    fn sent(ring: Ring, file: FileRange) -> impl Future<Output = (Result<(), Gone>, Vec<u8>)> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).map(|_| bytes).unwrap()
        });
        async move {
            let mut output = Output::new(&ring, &Rc::new(ours.into()), Duration::from_secs(20));
            let result = send(&ring, &mut output, file).await;
            drop(output);
            (result, reader.join().unwrap())
        }
    }

    #[test]
    fn what_is_not_in_the_page_cache_is_read_ahead() {
        on_a_ring(|ring| async move {
            let (file, bytes) = file("evicted");
            let slice = SENDFILE_SLICE_BYTES as u64;
            assert!(page_cache::holds(&file, 0, SIZE as u64), "just written");
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            if page_cache::holds(&file, 0, slice) {
                eprintln!("not shown: the file system of the build keeps its pages");
                return;
            }
            assert!(!page_cache::holds(&file, slice, slice));
            read_ahead(&ring, &file, 0, slice).await.unwrap();
            assert!(page_cache::holds(&file, 0, slice));
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            let range = FileRange { file: file.clone(), range: 0..SIZE as u64, as_of: None };
            let (result, received) = sent(ring, range).await;
            assert_eq!((result, received == bytes), (Ok(()), true));
            assert!(page_cache::holds(&file, 0, SIZE as u64));
        });
    }

    #[test]
    fn a_file_that_is_no_longer_what_was_said_is_not_sent() {
        on_a_ring(|ring| async move {
            let (file, bytes) = file("changed");
            let stat = Stat::at_hand(&file).unwrap();
            let part = FileRange { file: file.clone(), range: 10..SIZE as u64, as_of: Some(stat) };
            let (result, received) = sent(ring.clone(), part.clone()).await;
            assert_eq!((result, received == bytes[10..]), (Ok(()), true));
            let other = Some(Stat { modified_ns: stat.modified_ns - 1, ..stat });
            let (result, received) = sent(ring, FileRange { as_of: other, ..part }).await;
            assert_eq!((result, received.len()), (Err(Gone), 0));
        });
    }
}
