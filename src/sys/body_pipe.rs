//! A pipe with a request body in it: the very pages in which it has arrived, so that the worker that reads it makes its first copy.
//!
//! Owns both ends until the body is whole. Never waits. What a network brings in small pieces fills a pipe long before a body is whole: then it has to
//! lie elsewhere. Called by `ring`, which moves bytes into it, and by `wsgi::spool`.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::{ioctl_fionread, retry_on_intr};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::region::Region;

/// Bytes of a body for which there is one slot, in which one piece of memory goes, of whatever size: a sender on this machine, or one whose packets the
/// kernel has merged, fills them with 16 to 32 KiB.
const SLOT_BYTES: usize = 16 * 1024;
/// Slots that every pipe has.
const SLOTS_MIN: usize = 16;
/// What the kernel calls a slot's size.
const PAGE_BYTES: usize = 4096;

/// From now on `socket` is ready to be read from once so many bytes have arrived, or there is no room for as many (SO_RCVLOWAT, socket(7), tcp(7)).
pub fn set_low_water(socket: impl AsFd, bytes: i32) {
    // SAFETY: the option's value is an int, which is alive during the call and as large as is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        )
    };
    debug_assert_eq!(result, 0, "sockets that receive streams have the option");
}

/// A pipe that is being filled.
#[derive(Debug)]
pub struct BodyPipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl BodyPipe {
    /// For a body of so many bytes.
    ///
    /// # Errors
    /// As pipe(2): `EMFILE`, `ENFILE`.
    pub fn new(bytes: usize) -> io::Result<BodyPipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let slots = bytes.div_ceil(SLOT_BYTES).next_power_of_two();
        if slots > SLOTS_MIN {
            // Whoever may not have more (pipe(7), pipe-user-pages-soft) has fewer.
            let _ = fcntl_setpipe_size(&writer, slots * PAGE_BYTES);
        }
        Ok(BodyPipe { reader, writer })
    }

    /// Copies `bytes` into it. `false`: there is not room for all of them, and nobody knows for how many there was.
    pub fn write(&self, bytes: &[u8]) -> bool {
        retry_on_intr(|| rustix::io::write(&self.writer, bytes)) == Ok(bytes.len())
    }

    /// Moves at most `count` bytes that have arrived at `socket` into it. `Some(0)`: none have. `None`: they are not to be had in this way, as there is no
    /// room for them, or for a reason that a receive will tell.
    pub fn take_from(&self, socket: impl AsFd, count: usize) -> Option<usize> {
        // Sockets block, and splice(2) would wait for the first byte: nothing is asked for but what is known to be there.
        let arrived = usize::try_from(ioctl_fionread(&socket).ok()?).unwrap_or(usize::MAX).min(count);
        let mut moved = 0;
        while moved < arrived {
            let left = arrived - moved;
            match retry_on_intr(|| splice(&socket, None, &self.writer, None, left, SpliceFlags::NONBLOCK)) {
                Ok(more) if more > 0 => moved += more,
                // What was moved counts; the next call finds out why there is no more.
                _ if moved > 0 => break,
                _ => return None,
            }
        }
        Some(moved)
    }

    /// Moves the first `bytes` bytes, all that it has, to the beginning of `region`.
    ///
    /// # Errors
    /// As read(2). `UnexpectedEof` if it has fewer.
    ///
    /// # Panics
    /// Where the region has no memory ready for them.
    pub fn move_to(&self, region: &Region, bytes: usize) -> io::Result<()> {
        let mut done = 0;
        while done < bytes {
            match region.fill_from(&self.reader, done..bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }

    /// The first `bytes` bytes, all that it has.
    ///
    /// # Errors
    /// As [`BodyPipe::move_to`].
    pub fn take(self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut all = vec![0; bytes];
        std::fs::File::from(self.reader).read_exact(&mut all)?;
        Ok(all)
    }

    /// The end from which the whole body can be read, and then its end.
    pub fn into_reader(self) -> OwnedFd {
        self.reader
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        (client, listener.accept().expect("accepted").0)
    }

    fn wait_for(socket: &TcpStream, bytes: u64) {
        while ioctl_fionread(socket).expect("a socket") < bytes {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_has_arrived_goes_through_without_waiting_and_no_more_than_was_asked_for() {
        let (mut client, socket) = connection();
        let pipe = BodyPipe::new(100_000).expect("a pipe");
        assert_eq!(pipe.take_from(&socket, 10), Some(0));
        client.write_all(b"bodynext").expect("sent");
        wait_for(&socket, 8);
        assert!(pipe.write(b"the "));
        assert_eq!(pipe.take_from(&socket, 4), Some(4));
        let mut whole = String::new();
        std::fs::File::from(pipe.into_reader()).read_to_string(&mut whole).expect("whole, and its end");
        assert_eq!(whole, "the body");
        let mut next = [0; 4];
        (&socket).read_exact(&mut next).expect("left where it was");
        assert_eq!(&next, b"next");
    }

    #[test]
    fn all_that_has_arrived_is_moved_at_once_however_few_slots_are_free() {
        let (mut client, socket) = connection();
        const BYTES: usize = 100_000;
        client.write_all(&[b'x'; BYTES]).expect("sent");
        wait_for(&socket, BYTES as u64);
        let pipe = BodyPipe::new(1).expect("a pipe");
        // A splice(2) of its own moves no more than SLOTS_MIN pages.
        assert_eq!(pipe.take_from(&socket, usize::MAX), Some(BYTES));
        assert_eq!(pipe.take(BYTES).expect("all of it"), [b'x'; BYTES]);
    }

    #[test]
    fn a_body_in_more_pieces_than_there_are_slots_is_moved_elsewhere() {
        let (mut client, socket) = connection();
        client.set_nodelay(true).expect("a socket");
        let pipe = BodyPipe::new(1).expect("a pipe");
        let mut moved = 0;
        // One at a time, each in a page of its own.
        for byte in 0..=u8::MAX {
            client.write_all(&[byte]).expect("sent");
            wait_for(&socket, 1);
            match pipe.take_from(&socket, 1) {
                Some(1) => moved += 1,
                other => {
                    assert_eq!(other, None);
                    break;
                }
            }
        }
        assert!((SLOTS_MIN..256).contains(&moved), "{moved}");
        let region = Region::new("maitred-test", 4096).expect("a memfd");
        region.make_ready(moved).expect("memory");
        pipe.move_to(&region, moved).expect("all of it");
        assert!(region.read(0..moved).iter().enumerate().all(|(index, byte)| index == usize::from(*byte)));
        assert_eq!(pipe.move_to(&region, 1).expect_err("it is empty").kind(), io::ErrorKind::WouldBlock);
        let mut byte = [0];
        (&socket).read_exact(&mut byte).expect("left where it was");
        assert_eq!(usize::from(byte[0]), moved);
    }

    #[test]
    fn what_is_in_it_is_taken_out_again() {
        let pipe = || BodyPipe::new(10).expect("a pipe");
        assert_eq!(pipe().take(0).expect("nothing to do"), b"");
        let filled = pipe();
        assert!(filled.write(b"body and what is left of it"));
        assert_eq!(filled.take(4).expect("all of it"), b"body");
    }

    #[test]
    fn an_end_of_file_is_left_to_who_receives() {
        let (client, socket) = connection();
        drop(client);
        assert_eq!(BodyPipe::new(1).expect("a pipe").take_from(&socket, 1), Some(0));
    }
}
