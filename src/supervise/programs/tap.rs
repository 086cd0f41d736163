//! What can be heard of a program's stream besides the place that it goes to: its last bytes, and all that follows, for whoever follows it.
//!
//! Owns the bounds: a stream that goes into no file keeps so many bytes, and a follower that does not keep up loses the oldest and is
//! told how many. Nothing here holds up the program.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use crate::base::bounds::{FOLLOWER_BYTES_MAX, RECENT_OUTPUT_BYTES};

/// One stream of one process, through all its restarts.
#[derive(Default)]
pub(in crate::supervise) struct Tap {
    recent: RefCell<VecDeque<u8>>,
    /// Bytes so far.
    total: Cell<u64>,
    followers: RefCell<Vec<Weak<Follower>>>,
    is_closed: Cell<bool>,
}

/// Somebody who follows a stream.
#[derive(Default)]
pub(in crate::supervise) struct Follower {
    waiting: RefCell<VecDeque<u8>>,
    lost: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    is_over: Cell<bool>,
}

impl Tap {
    /// So much was read of the stream. `is_kept`: it goes into no file, so its end is to be remembered.
    pub fn feed(&self, bytes: &[u8], is_kept: bool) {
        self.total.set(self.total.get() + bytes.len() as u64);
        let mut recent = self.recent.borrow_mut();
        if is_kept {
            append(&mut recent, bytes, RECENT_OUTPUT_BYTES);
        } else if !recent.is_empty() {
            *recent = VecDeque::new();
        }
        let mut followers = self.followers.borrow_mut();
        followers.retain(|follower| match follower.upgrade() {
            Some(follower) => {
                follower.feed(bytes);
                true
            }
            None => false,
        });
    }

    /// Follows the stream from now on.
    pub fn follow(&self) -> Rc<Follower> {
        let follower = Rc::new(Follower::default());
        follower.is_over.set(self.is_closed.get());
        self.followers.borrow_mut().push(Rc::downgrade(&follower));
        follower
    }

    /// The last bytes, and how many there were in all.
    pub fn recent(&self) -> (Vec<u8>, u64) {
        (self.recent.borrow().iter().copied().collect(), self.total.get())
    }

    /// Forgets the last bytes.
    pub fn clear(&self) {
        *self.recent.borrow_mut() = VecDeque::new();
        self.total.set(0);
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.is_closed.set(true);
        for follower in self.followers.borrow().iter().filter_map(Weak::upgrade) {
            follower.is_over.set(true);
            follower.wake();
        }
    }
}

impl Follower {
    fn feed(&self, bytes: &[u8]) {
        let lost = append(&mut self.waiting.borrow_mut(), bytes, FOLLOWER_BYTES_MAX);
        self.lost.set(self.lost.get() + lost);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// What has come since this was last asked, once there is something; `None`: nothing more will.
    pub async fn next(&self) -> Option<Vec<u8>> {
        poll_fn(|cx| {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.is_empty() {
                if self.is_over.get() {
                    return Poll::Ready(None);
                }
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let mut bytes = Vec::new();
            if self.lost.get() > 0 {
                bytes = format!("==> {} bytes left out <==\n", self.lost.replace(0)).into_bytes();
            }
            let (front, back) = waiting.as_slices();
            bytes.extend_from_slice(front);
            bytes.extend_from_slice(back);
            *waiting = VecDeque::new();
            Poll::Ready(Some(bytes))
        })
        .await
    }
}

/// Adds `bytes`; how many of the oldest had to go so that there are at most `max`.
fn append(kept: &mut VecDeque<u8>, bytes: &[u8], max: usize) -> u64 {
    let fits = &bytes[bytes.len().saturating_sub(max)..];
    let over = (kept.len() + fits.len()).saturating_sub(max);
    kept.drain(..over);
    kept.extend(fits);
    (over + bytes.len() - fits.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    fn now(follower: &Follower) -> Poll<Option<Vec<u8>>> {
        pin!(follower.next()).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_end_of_a_stream_is_kept_and_not_more() {
        let tap = Tap::default();
        tap.feed(b"first", true);
        assert_eq!(tap.recent(), (b"first".to_vec(), 5));
        tap.feed(&vec![b'x'; RECENT_OUTPUT_BYTES + 10], true);
        let (recent, total) = tap.recent();
        assert_eq!((recent.len(), total), (RECENT_OUTPUT_BYTES, RECENT_OUTPUT_BYTES as u64 + 15));
        tap.feed(b"into a file", false);
        assert!(tap.recent().0.is_empty());
    }

    #[test]
    fn a_follower_hears_what_follows_and_is_told_what_it_missed() {
        let tap = Tap::default();
        tap.feed(b"before", true);
        let follower = tap.follow();
        assert_eq!(now(&follower), Poll::Pending);
        tap.feed(b"a", true);
        tap.feed(b"b", false);
        assert_eq!(now(&follower), Poll::Ready(Some(b"ab".to_vec())));
        tap.feed(&vec![b'x'; FOLLOWER_BYTES_MAX], true);
        tap.feed(b"end", true);
        let Poll::Ready(Some(bytes)) = now(&follower) else { panic!("there is something") };
        assert!(bytes.starts_with(b"==> 3 bytes left out <==\nx") && bytes.ends_with(b"end"));
        tap.close();
        assert_eq!(now(&follower), Poll::Ready(None));
        assert_eq!(now(&tap.follow()), Poll::Ready(None));
    }
}
