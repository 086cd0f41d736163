//! Bounded mail between threads: a crossbeam channel, and a pipe that the receiving thread's ring can wait for.
//!
//! A pipe and not an eventfd: a ring tells its thread of finished work through an eventfd of its own, and Linux does not signal one
//! eventfd from within another. It puts that off, and 6.18 was seen to do so only the first time: the thread then slept on its mail.
//!
//! Sending never blocks and never allocates after creation. Wake-ups are coalesced: while one is under way,
//! further messages cost no system call. It never decides what a full mailbox means: the sender gets its message back.
//! Used by shards and the supervisor to reach each other.

use crossbeam::channel;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes a mailbox that holds at most `capacity` messages (at least one).
pub fn mailbox<T>(capacity: usize) -> io::Result<(Sender<T>, Receiver<T>)> {
    let (into, from) = channel::bounded(capacity.max(1));
    let (hear, pull) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let bell = Arc::new(Bell { rung: AtomicBool::new(false), hear, pull });
    Ok((Sender { into, bell: Arc::clone(&bell) }, Receiver { from, bell }))
}

/// Any number of threads may send.
#[derive(Debug)]
pub struct Sender<T> {
    into: channel::Sender<T>,
    bell: Arc<Bell>,
}

/// One thread receives: wait until [`Receiver::fd`] is readable, then [`Receiver::drain`].
#[derive(Debug)]
pub struct Receiver<T> {
    from: channel::Receiver<T>,
    bell: Arc<Bell>,
}

/// Why a message was not taken; it is handed back.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<T> {
    /// The mailbox holds `capacity` messages already.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> std::fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the mailbox is full",
            SendError::Closed(_) => "the receiver of the mailbox is gone",
        })
    }
}

impl<T: std::fmt::Debug> std::error::Error for SendError<T> {}

#[derive(Debug)]
struct Bell {
    /// True from the first message after a drain until the next drain begins.
    rung: AtomicBool,
    hear: OwnedFd,
    pull: OwnedFd,
}

/// Wakes the receiver of a mailbox without a message, whatever its messages are.
#[derive(Clone, Debug)]
pub struct Ringer(Arc<Bell>);

impl Ringer {
    /// Wakes it; it finds what it finds. Never blocks.
    pub fn ring(&self) {
        self.0.ring();
    }
}

impl<T> Sender<T> {
    /// The mailbox's bell alone.
    pub fn ringer(&self) -> Ringer {
        Ringer(Arc::clone(&self.bell))
    }

    /// Puts `message` into the mailbox and wakes the receiver. Never blocks.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.into.try_send(message).map_err(|error| match error {
            channel::TrySendError::Full(message) => SendError::Full(message),
            channel::TrySendError::Disconnected(message) => SendError::Closed(message),
        })?;
        self.bell.ring();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { into: self.into.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> Receiver<T> {
    /// The end of a pipe (non-blocking) that becomes readable when mail has come. Wait for it by polling; `drain` reads it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.bell.hear.as_fd()
    }

    /// Takes back the wake-up, then yields what is in the mailbox, oldest first: at most `capacity` messages, so that
    /// busy senders can't hold the receiver here (what comes later rings again). What is not consumed from the
    /// iterator stays in the mailbox, without a wake-up of its own. A wake-up may turn out to be empty.
    pub fn drain(&self) -> impl Iterator<Item = T> + '_ {
        self.bell.take_back();
        self.from.try_iter().take(self.from.capacity().expect("a mailbox is a bounded channel"))
    }
}

impl Bell {
    /// The message was put in before this swap. If the flag was up, the receiver has not begun the drain that will
    /// lower it, and that drain finds the message (its swap synchronises with this one).
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Can't fail: the flag sees to it that there are never more than a few bytes in the pipe.
            let _ = rustix::io::write(&self.pull, &[1]);
        }
    }

    fn take_back(&self) {
        let mut rings = [0u8; 8];
        // EAGAIN (nothing to take back) is as good as a ring.
        let _ = rustix::io::read(&self.hear, &mut rings);
        self.rung.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn readable<T>(receiver: &Receiver<T>, timeout_ms: i64) -> bool {
        let fd = receiver.fd();
        let timeout = Timespec { tv_sec: timeout_ms / 1000, tv_nsec: (timeout_ms % 1000) * 1_000_000 };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).expect("poll") == 1
    }

    #[test]
    fn mail_arrives_in_order_and_wakes_once() {
        let (sender, receiver) = mailbox(8).expect("a pipe");
        assert!(!readable(&receiver, 0));
        for n in 0..3 {
            sender.send(n).expect("room");
        }
        assert!(readable(&receiver, 0));
        let mut rings = [0u8; 8];
        let count = rustix::io::read(receiver.fd(), &mut rings).expect("rung");
        assert_eq!(count, 1, "three messages, one wake-up");
        assert_eq!(receiver.drain().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(!readable(&receiver, 0));
        sender.send(3).expect("room");
        assert!(readable(&receiver, 0), "the bell works again after a drain");
    }

    #[test]
    fn the_bell_rings_without_a_message() {
        let (sender, receiver) = mailbox::<()>(1).expect("a pipe");
        let ringer = sender.ringer();
        ringer.ring();
        ringer.ring();
        assert!(readable(&receiver, 0));
        assert_eq!(receiver.drain().count(), 0);
        assert!(!readable(&receiver, 0), "rung twice, heard once");
        ringer.ring();
        assert!(readable(&receiver, 0));
    }

    #[test]
    fn a_full_or_abandoned_mailbox_hands_the_message_back() {
        let (sender, receiver) = mailbox(1).expect("a pipe");
        sender.send("a").expect("room");
        assert_eq!(sender.send("b"), Err(SendError::Full("b")));
        drop(receiver);
        assert_eq!(sender.send("c"), Err(SendError::Closed("c")));
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        const EACH: u32 = 20_000;
        let (sender, receiver) = mailbox(16).expect("a pipe");
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for mut n in 0..EACH {
                        while let Err(SendError::Full(back)) = sender.send(n) {
                            n = back;
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut received = 0;
        while received < 2 * EACH {
            assert!(readable(&receiver, 10_000), "a message without a wake-up after {received}");
            received += receiver.drain().count() as u32;
        }
        for thread in threads {
            thread.join().expect("sender");
        }
    }
}
