//! Reply rings: memory through which worker threads pass short answers to a shard, so that neither needs a call of the kernel for each.
//!
//! Owns one shard's side of the rings of one generation: a ring for each worker thread, and a page that says whether the shard sleeps and which threads have
//! written. A thread that finds the shard asleep wakes it by a message on the reply socket. They lie behind the slots of the [`Outbox`]; the worker's side is
//! `src/wsgi/native/rings.c`. Never believes what a worker has written: what is read is a copy, within bounds. Called by `wsgi::rings`.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::outbox::{Outbox, PAGE_BYTES};
use crate::base::bounds::{REPLY_RECORD_BYTES, REPLY_RECORDS};

/// Bytes of a ring: two counters where a record would lie, and the records.
const RING_BYTES: usize = (REPLY_RECORDS + 1) * REPLY_RECORD_BYTES;
/// u32 of the shard's page: odd while the shard sleeps.
const NAPS: usize = 0;
/// u64s of the shard's page: a bit for each thread that has written.
const LINES: usize = 64;
/// u64 of a ring: records that were ever written.
const TAIL: usize = 0;
/// u64 of a ring: records that were ever read.
const HEAD: usize = 128;
/// Bytes of a record before its message: the length.
const PREFIX_BYTES: usize = size_of::<u32>();

/// Threads that the shard's page has bits for; an outbox of more has no rings.
pub(super) const LINES_MAX: usize = (PAGE_BYTES - LINES) / 8 * 64;

/// Bytes of one shard's rings.
pub(super) const fn shard_bytes(lines: usize) -> usize {
    PAGE_BYTES + lines * RING_BYTES
}

/// The rings of one generation's threads, as one shard reads them.
#[derive(Debug)]
pub struct ReplyRings {
    outbox: Arc<Outbox>,
    /// Where they begin in the outbox.
    start: usize,
    /// Of each thread: records that were read. The word in the memory is for the thread alone.
    heads: Box<[Cell<u64>]>,
    /// Threads that have written and were not looked at yet.
    lines: Box<[Cell<u64>]>,
    /// The word with which to go on.
    next_word: Cell<usize>,
    /// The thread whose ring is being read, and how many records more of it are read before it is the next one's turn.
    current: Cell<Option<(usize, u64)>>,
}

impl ReplyRings {
    /// Those of a shard. `None`: the outbox has none for it.
    ///
    /// To be made once for each shard and generation: what was read before would be read again.
    pub fn new(outbox: Arc<Outbox>, shard: usize) -> Option<ReplyRings> {
        let start = outbox.rings(shard)?;
        let lines = outbox.lines();
        let heads = (0..lines).map(|_| Cell::new(0)).collect();
        let words = (0..lines.div_ceil(64)).map(|_| Cell::new(0)).collect();
        Some(ReplyRings { outbox, start, heads, lines: words, next_word: Cell::new(0), current: Cell::new(None) })
    }

    fn naps(&self) -> &AtomicU32 {
        // SAFETY: in bounds (the shard's page is inside the mapping), aligned to a page, alive as long as `self`, only accessed atomically.
        unsafe { AtomicU32::from_ptr(self.outbox.at(self.start + NAPS).cast()) }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: callers pass words of this shard's page or rings, which are inside the mapping and aligned; alive as long as `self`, only accessed
        // atomically.
        unsafe { AtomicU64::from_ptr(self.outbox.at(self.start + at).cast()) }
    }

    /// Whether a thread has written since it was looked at last, or not all of what it had written was read.
    pub fn has_news(&self) -> bool {
        let is_dirty = |(word, seen): (usize, &Cell<u64>)| {
            seen.get() != 0 || self.word(LINES + word * 8).load(Ordering::SeqCst) != 0
        };
        self.current.get().is_some() || self.lines.iter().enumerate().any(is_dirty)
    }

    /// Looks at all threads next, whether they have said so or not: one may have been killed before it could.
    pub fn look_everywhere(&self) {
        for (index, seen) in self.lines.iter().enumerate() {
            seen.set(self.threads_of(index));
        }
    }

    /// The bits of a word that stand for threads.
    fn threads_of(&self, index: usize) -> u64 {
        let threads = self.heads.len() - index * 64;
        u64::MAX >> 64_usize.saturating_sub(threads)
    }

    /// The shard is about to sleep: who writes from now on wakes it. What was written before is seen by a [`ReplyRings::has_news`] that comes after.
    pub fn sleep(&self) {
        // Each nap has a number of its own: a thread that was slow to say that it has ended the last one does not end this one.
        let naps = self.naps().load(Ordering::Relaxed);
        self.naps().store(naps.wrapping_add(1) | 1, Ordering::SeqCst);
    }

    /// The shard is awake, and looks before it sleeps again.
    pub fn wake(&self) {
        let naps = self.naps().load(Ordering::Relaxed);
        if naps & 1 == 1 {
            // Else a thread was faster.
            let _ = self.naps().compare_exchange(naps, naps.wrapping_add(1), Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// The next message; `None` when all are read. Threads take turns, so that one that writes on and on does not keep the others waiting.
    pub fn pop(&self) -> Option<Vec<u8>> {
        loop {
            let (line, left) = match self.current.get() {
                Some(current) => current,
                None => (self.next_line()?, REPLY_RECORDS as u64),
            };
            let message = self.pop_of(line);
            // What comes after so many has set its bit again.
            self.current.set((message.is_some() && left > 1).then(|| (line, left - 1)));
            if message.is_some() {
                return message;
            }
        }
    }

    /// The next thread that has written.
    fn next_line(&self) -> Option<usize> {
        let words = self.lines.len();
        for index in (0..words).map(|offset| (self.next_word.get() + offset) % words) {
            let (word, seen) = (self.word(LINES + index * 8), &self.lines[index]);
            if seen.get() == 0 && word.load(Ordering::Relaxed) != 0 {
                // A bit of no thread is nobody's word.
                seen.set(word.swap(0, Ordering::SeqCst) & self.threads_of(index));
            }
            if seen.get() != 0 {
                let line = index * 64 + seen.get().trailing_zeros() as usize;
                seen.set(seen.get() & (seen.get() - 1));
                self.next_word.set(if seen.get() == 0 { index + 1 } else { index });
                return Some(line);
            }
        }
        None
    }

    fn pop_of(&self, line: usize) -> Option<Vec<u8>> {
        let ring = PAGE_BYTES + line * RING_BYTES;
        let head = self.heads[line].get();
        let written = self.word(ring + TAIL).load(Ordering::Acquire).wrapping_sub(head);
        if written == 0 {
            return None;
        }
        let record = self.start + ring + (1 + (head % REPLY_RECORDS as u64) as usize) * REPLY_RECORD_BYTES;
        let bytes = if written <= REPLY_RECORDS as u64 { self.copy(record) } else { Vec::new() };
        // A count that can't be is made good by reading on from where it points to; what lies there is of no known meaning.
        let next = if written <= REPLY_RECORDS as u64 { head.wrapping_add(1) } else { head.wrapping_add(written) };
        self.heads[line].set(next);
        self.word(ring + HEAD).store(next, Ordering::Release);
        Some(bytes)
    }

    /// The message of the record at `at`; empty if its length can't be.
    fn copy(&self, at: usize) -> Vec<u8> {
        let record = self.outbox.at(at);
        // SAFETY: the record lies inside the mapping; a thread that breaks its word may change it meanwhile, then this is a copy of whatever was there.
        let length = unsafe { ptr::read_volatile(record.cast::<u32>()) } as usize;
        if length > REPLY_RECORD_BYTES - PREFIX_BYTES {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(length);
        // SAFETY: the source was checked to lie inside the record, the room was reserved just now, and they do not overlap.
        unsafe {
            record.add(PREFIX_BYTES).copy_to_nonoverlapping(bytes.as_mut_ptr(), length);
            bytes.set_len(length);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread's side, as `rings.c` has it.
    struct Writer {
        rings: ReplyRings,
        line: usize,
    }

    impl Writer {
        fn new(outbox: &Arc<Outbox>, shard: usize, line: usize) -> Writer {
            Writer { rings: ReplyRings::new(outbox.clone(), shard).expect("rings"), line }
        }

        fn ring(&self) -> usize {
            PAGE_BYTES + self.line * RING_BYTES
        }

        /// Whether there was room, and whether the shard has to be woken.
        fn push(&self, length: u32, bytes: &[u8]) -> (bool, bool) {
            let (tail, head) = (self.rings.word(self.ring() + TAIL), self.rings.word(self.ring() + HEAD));
            let written = tail.load(Ordering::Relaxed);
            if written - head.load(Ordering::Acquire) >= REPLY_RECORDS as u64 {
                return (false, false);
            }
            let record = (1 + written as usize % REPLY_RECORDS) * REPLY_RECORD_BYTES;
            let at = self.rings.outbox.at(self.rings.start + self.ring() + record);
            // SAFETY: inside the mapping, and the record is the writer's until the tail has passed it.
            unsafe {
                at.cast::<u32>().write_volatile(length);
                at.add(PREFIX_BYTES).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
            tail.store(written + 1, Ordering::Release);
            self.rings.word(LINES + self.line / 64 * 8).fetch_or(1 << (self.line % 64), Ordering::SeqCst);
            let naps = self.rings.naps().load(Ordering::SeqCst);
            let sleeps = naps & 1 == 1;
            if sleeps {
                let _ = self.rings.naps().compare_exchange(naps, naps + 1, Ordering::SeqCst, Ordering::SeqCst);
            }
            (true, sleeps)
        }

        fn say(&self, bytes: &[u8]) -> (bool, bool) {
            self.push(bytes.len() as u32, bytes)
        }
    }

    fn outbox(lines: usize, shards: usize) -> Arc<Outbox> {
        Arc::new(Outbox::create(lines, shards).expect("a memfd"))
    }

    #[test]
    fn what_threads_write_is_read_by_the_shard_that_it_is_for() {
        let outbox = outbox(70, 2);
        let rings = [0, 1].map(|shard| ReplyRings::new(outbox.clone(), shard).expect("rings"));
        assert!(ReplyRings::new(outbox.clone(), 2).is_none());
        let (first, last) = (Writer::new(&outbox, 1, 3), Writer::new(&outbox, 1, 69));
        for text in [&b"one"[..], b"two"] {
            first.say(text);
        }
        last.say(b"three");
        assert!(rings[1].has_news() && !rings[0].has_news());
        let read: Vec<_> = std::iter::from_fn(|| rings[1].pop()).collect();
        assert_eq!(read, [&b"one"[..], b"two", b"three"]);
        assert!(!rings[1].has_news() && rings[0].pop().is_none());
    }

    #[test]
    fn a_full_ring_takes_no_more_until_it_is_read() {
        let outbox = outbox(1, 1);
        let rings = ReplyRings::new(outbox.clone(), 0).expect("rings");
        let writer = Writer::new(&outbox, 0, 0);
        for round in 0..3_u8 {
            for number in 0..REPLY_RECORDS as u8 {
                assert!(writer.say(&[round, number]).0);
            }
            assert!(!writer.say(b"too many").0);
            assert_eq!(rings.pop(), Some(vec![round, 0]));
            assert!(writer.say(b"one more").0);
            assert_eq!(std::iter::from_fn(|| rings.pop()).count(), REPLY_RECORDS);
        }
    }

    #[test]
    fn only_who_finds_the_shard_asleep_wakes_it() {
        let outbox = outbox(2, 1);
        let rings = ReplyRings::new(outbox.clone(), 0).expect("rings");
        let (one, other) = (Writer::new(&outbox, 0, 0), Writer::new(&outbox, 0, 1));
        assert_eq!(one.say(b"awake"), (true, false));
        rings.sleep();
        assert!(rings.has_news(), "what was written before is seen");
        rings.wake();
        assert_eq!(rings.pop().expect("a message"), b"awake");
        rings.sleep();
        assert_eq!((one.say(b"a"), other.say(b"b"), one.say(b"c")), ((true, true), (true, false), (true, false)));
        rings.wake();
        assert_eq!(std::iter::from_fn(|| rings.pop()).count(), 3);
        rings.sleep();
        rings.wake();
        assert_eq!(other.say(b"d"), (true, false));
    }

    #[test]
    fn what_was_written_without_a_sign_is_found_by_who_looks_everywhere() {
        let outbox = outbox(70, 1);
        let rings = ReplyRings::new(outbox.clone(), 0).expect("rings");
        let writer = Writer::new(&outbox, 0, 69);
        writer.say(b"last words");
        // As if it had been killed before it could set its bit.
        rings.word(LINES + 8).store(0, Ordering::SeqCst);
        assert!(!rings.has_news() && rings.pop().is_none());
        rings.look_everywhere();
        assert!(rings.has_news());
        assert_eq!(rings.pop().expect("a message"), b"last words");
        assert!(rings.pop().is_none() && !rings.has_news());
    }

    #[test]
    fn a_thread_that_writes_on_and_on_does_not_keep_the_others_waiting() {
        let outbox = outbox(130, 1);
        let rings = ReplyRings::new(outbox.clone(), 0).expect("rings");
        let (busy, others) = (Writer::new(&outbox, 0, 0), [1, 64, 129].map(|line| Writer::new(&outbox, 0, line)));
        for writer in &others {
            writer.say(b"other");
        }
        busy.say(b"busy");
        let mut heard = 0;
        for _ in 0..8 * REPLY_RECORDS {
            let message = rings.pop().expect("there is always something");
            heard += usize::from(message == b"other");
            busy.say(b"busy");
        }
        assert_eq!(heard, 3);
        assert!(rings.has_news());
    }

    #[test]
    fn a_worker_that_follows_writes_on_where_the_last_one_was() {
        let outbox = outbox(1, 1);
        let rings = ReplyRings::new(outbox.clone(), 0).expect("rings");
        Writer::new(&outbox, 0, 0).say(b"last words");
        let next = Writer::new(&outbox, 0, 0);
        next.say(b"first words");
        let read: Vec<_> = std::iter::from_fn(|| rings.pop()).collect();
        assert_eq!(read, [&b"last words"[..], b"first words"]);
    }

    #[test]
    fn what_cannot_be_is_read_as_nothing_and_does_no_harm() {
        let outbox = outbox(1, 1);
        let rings = ReplyRings::new(outbox.clone(), 0).expect("rings");
        let writer = Writer::new(&outbox, 0, 0);
        for length in [u32::MAX, (REPLY_RECORD_BYTES - PREFIX_BYTES) as u32 + 1] {
            writer.push(length, b"long");
            assert_eq!(rings.pop(), Some(Vec::new()));
        }
        // A bit of no thread, and counts that run ahead or back.
        writer.rings.word(LINES).store(u64::MAX, Ordering::SeqCst);
        assert_eq!(rings.pop(), None);
        for tail in [1_000, u64::MAX, 0, 3] {
            writer.rings.word(writer.ring() + TAIL).store(tail, Ordering::SeqCst);
            writer.rings.word(LINES).store(1, Ordering::SeqCst);
            let read = std::iter::from_fn(|| rings.pop()).count();
            assert!(read <= REPLY_RECORDS, "{read}");
            assert_eq!(writer.rings.word(writer.ring() + HEAD).load(Ordering::SeqCst), tail);
        }
        assert!(writer.say(b"well").0);
        assert_eq!(rings.pop().expect("a message"), b"well");
    }

    #[test]
    fn whoever_sleeps_is_woken_for_what_it_has_not_seen() {
        const MESSAGES: u64 = 20_000;
        let outbox = outbox(2, 1);
        let rings = ReplyRings::new(outbox.clone(), 0).expect("rings");
        let (bell, wakes) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for line in 0..2 {
                let (outbox, bell) = (outbox.clone(), bell.clone());
                scope.spawn(move || {
                    let writer = Writer::new(&outbox, 0, line);
                    for number in 0..MESSAGES {
                        let sleeps = loop {
                            let (is_written, sleeps) = writer.say(&number.to_le_bytes());
                            if is_written {
                                break sleeps;
                            }
                            std::thread::yield_now();
                        };
                        if sleeps {
                            bell.send(()).expect("the shard is there");
                        }
                    }
                });
            }
            let mut read = 0;
            while read < 2 * MESSAGES {
                rings.sleep();
                if !rings.has_news() {
                    // A wake that is lost would be waited for in vain.
                    wakes.recv_timeout(std::time::Duration::from_secs(20)).expect("somebody wakes who sleeps");
                }
                rings.wake();
                read += std::iter::from_fn(|| rings.pop()).count() as u64;
            }
            assert_eq!(read, 2 * MESSAGES);
        });
    }
}
