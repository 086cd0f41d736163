//! Responses that their clients do not take at once: kept for them, so that the worker is free as soon as it has said all.
//!
//! Owns what a worker has produced and the client has not taken: first in memory, up to a bound for each response and one for the
//! shard, then in a file without a name. Neither has room: the worker waits for the client. It begins when a socket has no room and ends
//! when it has; a client that keeps up is never met here. Called by `answer`.
//!
//! Two halves work at the same time in one task, without locks or wakers between them: one takes what the worker produces, the
//! other sends; [`together`] polls each as long as the other has changed something.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::file;
use super::output::{Gone, Output};
use crate::base::bounds::{BUFFERED_PIECE_BYTES, BUFFERED_RESPONSES_BYTES_MAX};
use crate::base::budget::{Budget, Claim};
use crate::base::clock::Monotonic;
use crate::response::FileRange;
use crate::ring::{Chunk, Descriptor, Payload, Ring};
use crate::wsgi::spool::SpoolFolder;

/// A disk that refuses is said to do so once in so long.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// How much of its responses a shard keeps, and where.
pub(super) struct Buffering {
    ring: Ring,
    folder: Rc<SpoolFolder>,
    memory_bytes_max: Cell<usize>,
    spool_bytes_max: Cell<u64>,
    all: Budget,
    complained: Cell<Option<Monotonic>>,
}

impl Buffering {
    /// At most `memory_bytes_max` in memory for each response, then at most `spool_bytes_max` in its file; 0: no file.
    pub fn new(ring: &Ring, folder: &Rc<SpoolFolder>, memory_bytes_max: usize, spool_bytes_max: u64) -> Buffering {
        Buffering {
            ring: ring.clone(),
            folder: folder.clone(),
            memory_bytes_max: Cell::new(memory_bytes_max),
            spool_bytes_max: Cell::new(spool_bytes_max),
            all: Budget::new(BUFFERED_RESPONSES_BYTES_MAX),
            complained: Cell::new(None),
        }
    }

    /// Other bounds from now on; what is kept already stays.
    pub fn set_bounds(&self, memory_bytes_max: usize, spool_bytes_max: u64) {
        self.memory_bytes_max.set(memory_bytes_max);
        self.spool_bytes_max.set(spool_bytes_max);
    }

    fn complain(&self, error: &io::Error) {
        let now = self.ring.now();
        if self.complained.get().is_none_or(|last| now.since(last) >= COMPLAINT_PAUSE) {
            self.complained.set(Some(now));
            tracing::warn!(%error, "cannot keep a response in spool_dir: workers wait for slow clients");
        }
    }
}

/// The file of one response. What is in it comes after all that is in memory.
#[derive(Default)]
struct Spooled {
    file: Option<Descriptor>,
    written: u64,
    sent: u64,
}

/// Where a piece can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Memory,
    File,
}

/// What is to be sent next.
enum Next {
    Memory(Vec<u8>),
    Spooled(Descriptor, Range<u64>),
}

/// One response's bytes between worker and client.
pub(super) struct Buffered {
    shared: Rc<Buffering>,
    memory: RefCell<VecDeque<Vec<u8>>>,
    /// Bytes in memory that the kernel has not taken, those of the send in flight among them.
    held: RefCell<Claim>,
    spooled: RefCell<Spooled>,
    /// The disk has refused: no file for this response any more.
    has_failed: Cell<bool>,
    /// The half that fills has nothing in hand.
    is_waiting: Cell<bool>,
    /// One of the halves did something that the other may wait for.
    has_changed: Cell<bool>,
}

impl Buffered {
    pub fn new(shared: &Rc<Buffering>) -> Buffered {
        Buffered {
            memory: RefCell::default(),
            held: RefCell::new(shared.all.claim()),
            shared: shared.clone(),
            spooled: RefCell::default(),
            has_failed: Cell::new(false),
            is_waiting: Cell::new(false),
            has_changed: Cell::new(false),
        }
    }

    /// Begins to keep, behind so many bytes that are on their way already: they are this response's too, and in memory.
    pub fn begin(&self, in_flight: usize) {
        self.held.borrow_mut().grow_beyond(in_flight);
        self.set_waiting(false);
    }

    /// The filling half says whether it has something in hand: the sending one need not wait for it if not.
    pub fn set_waiting(&self, is_waiting: bool) {
        self.is_waiting.set(is_waiting);
        self.has_changed.set(true);
    }

    /// Keeps `piece`; waits while there is no room for it anywhere.
    pub async fn put(&self, mut piece: Chunk) {
        while !piece.is_empty() {
            match self.place(piece.len()) {
                Some(Place::Memory) => return self.remember(&piece),
                Some(Place::File) => {
                    let bytes = Rc::new(piece.to_vec());
                    let (written, result) = self.write(&bytes).await;
                    if let Err(error) = result {
                        self.shared.complain(&error);
                        self.has_failed.set(true);
                    }
                    piece.advance(written);
                }
                None => {
                    // Not in a buffer that others wait for.
                    piece = piece.into_owned();
                    let len = piece.len();
                    poll_fn(|_| if self.place(len).is_some() { Poll::Ready(()) } else { Poll::Pending }).await;
                }
            }
        }
    }

    /// Where the next `len` bytes can go. Behind a file that was not sent in full comes nothing but more of the file.
    fn place(&self, len: usize) -> Option<Place> {
        let mut spooled = self.spooled.borrow_mut();
        if spooled.sent == spooled.written {
            // Not written over: what sendfile(2) has sent is read from the file's pages until it has left the machine.
            *spooled = Spooled::default();
            let mut held = self.held.borrow_mut();
            let fits = held.bytes() + len <= self.shared.memory_bytes_max.get();
            if fits && held.grow(len) {
                held.shrink(len);
                return Some(Place::Memory);
            }
        }
        let has_file = !self.has_failed.get() && spooled.written + len as u64 <= self.shared.spool_bytes_max.get();
        if has_file {
            return Some(Place::File);
        }
        // One piece at a time always goes on.
        (spooled.written == 0 && self.held.borrow().bytes() == 0).then_some(Place::Memory)
    }

    fn remember(&self, piece: &[u8]) {
        self.held.borrow_mut().grow_beyond(piece.len());
        let mut memory = self.memory.borrow_mut();
        match memory.back_mut() {
            // Many small pieces would cost more than their bytes.
            Some(last) if last.len() + piece.len() <= BUFFERED_PIECE_BYTES => last.extend_from_slice(piece),
            _ => memory.push_back(piece.to_vec()),
        }
        self.has_changed.set(true);
    }

    /// How many of `bytes` are in the file afterwards, and why not all.
    async fn write(&self, bytes: &Rc<Vec<u8>>) -> (usize, io::Result<()>) {
        let known = self.spooled.borrow().file.clone();
        let file = match known {
            Some(file) => file,
            None => match self.shared.folder.file().await {
                Ok(file) => self.spooled.borrow_mut().file.insert(file).clone(),
                Err(error) => return (0, Err(error)),
            },
        };
        let mut done = 0;
        while done < bytes.len() {
            let offset = self.spooled.borrow().written;
            let mut payload = Payload::from(bytes.clone());
            payload.advance(done);
            let written = match self.shared.ring.write_at(&file, payload, offset).await {
                Ok((0, _)) => return (done, Err(io::ErrorKind::WriteZero.into())),
                Ok((written, _)) => written,
                Err(error) => return (done, Err(error)),
            };
            done += written;
            self.spooled.borrow_mut().written += written as u64;
            self.has_changed.set(true);
        }
        (done, Ok(()))
    }

    fn next(&self) -> Option<Next> {
        if let Some(bytes) = self.memory.borrow_mut().pop_front() {
            return Some(Next::Memory(bytes));
        }
        let spooled = self.spooled.borrow();
        let file = spooled.file.as_ref().filter(|_| spooled.sent < spooled.written)?;
        Some(Next::Spooled(file.clone(), spooled.sent..spooled.written))
    }

    /// Nothing is in flight: what is not waiting in memory has been taken.
    fn settled(&self) {
        let waiting: usize = self.memory.borrow().iter().map(Vec::len).sum();
        let mut held = self.held.borrow_mut();
        let taken = held.bytes().saturating_sub(waiting);
        held.shrink(taken);
        self.has_changed.set(true);
    }

    /// Sends all that is kept and all that is put meanwhile. Ends when the client has taken everything and the filling half has
    /// nothing in hand.
    pub async fn drain(&self, output: &mut Output) -> Result<(), Gone> {
        loop {
            output.settle().await?;
            self.settled();
            match poll_fn(|_| match self.next() {
                None if !self.is_waiting.get() => Poll::Pending,
                next => Poll::Ready(next),
            })
            .await
            {
                Some(Next::Memory(bytes)) => output.send(Payload::from(bytes)).await?,
                Some(Next::Spooled(file, range)) => {
                    let end = range.end;
                    file::send(&self.shared.ring, output, FileRange { file, range, as_of: None }).await?;
                    self.spooled.borrow_mut().sent = end;
                }
                None => return Ok(()),
            }
        }
    }
}

/// Runs the half that fills and the half that drains until the latter has ended, or the former with an error. Returns what the
/// filling one has come to, if it has ended.
pub(super) async fn together<T>(
    buffered: &Buffered,
    fill: impl Future<Output = Result<T, Gone>>,
    drain: impl Future<Output = Result<(), Gone>>,
) -> Result<Option<T>, Gone> {
    let (mut fill, mut drain): (Pin<&mut _>, Pin<&mut _>) = (pin!(fill), pin!(drain));
    let mut filled = None;
    poll_fn(|cx| {
        loop {
            buffered.has_changed.set(false);
            if filled.is_none()
                && let Poll::Ready(outcome) = fill.as_mut().poll(cx)
            {
                match outcome {
                    Ok(outcome) => filled = Some(outcome),
                    Err(Gone) => return Poll::Ready(Err(Gone)),
                }
                buffered.set_waiting(true);
            }
            if let Poll::Ready(outcome) = drain.as_mut().poll(cx) {
                return Poll::Ready(outcome.map(|()| filled.take()));
            }
            if !buffered.has_changed.get() {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use glommio::{LocalExecutorBuilder, Placement};
    use proptest::prelude::*;

    use super::*;
    use crate::ring::{PREEMPT_TIMER, RingConfig};

    /// Puts pieces of `sizes` for a client that now and then takes some; what it has got in the end.
    fn passed_on(sizes: Vec<usize>, memory_bytes_max: usize, spool_bytes_max: u64, reads: Vec<usize>) -> Vec<u8> {
        let (client, server) = UnixStream::pair().expect("a pair");
        let reader = std::thread::spawn(move || {
            let (mut client, mut all) = (client, Vec::new());
            for size in reads.iter().cycle() {
                let mut some = vec![0; *size];
                match client.read(&mut some).expect("readable") {
                    0 => break,
                    count => all.extend_from_slice(&some[..count]),
                }
                std::thread::yield_now();
            }
            all
        });
        let body = move || async move {
            let (ring, driver) =
                Ring::new(RingConfig { entries: 64, completions: 256 }).expect("io_uring is permitted");
            let driver = glommio::spawn_local(driver.run());
            let folder = tempfile::tempdir().expect("a folder");
            let directory = std::fs::File::open(folder.path()).expect("a folder");
            let spool = Rc::new(SpoolFolder::new(&ring, directory.into()));
            let buffering = Rc::new(Buffering::new(&ring, &spool, memory_bytes_max, spool_bytes_max));
            let mut output = Output::new(&ring, &Rc::new(server.into()), Duration::from_secs(60));
            let buffered = Buffered::new(&buffering);
            let fill = async {
                let mut at = 0;
                for size in sizes {
                    let piece: Vec<u8> = (at..at + size).map(|at| (at % 251) as u8).collect();
                    at += size;
                    buffered.put(Chunk::from(piece)).await;
                }
                Ok(())
            };
            buffered.begin(output.in_flight());
            let filled = together(&buffered, fill, buffered.drain(&mut output)).await;
            assert_eq!(filled, Ok(Some(())));
            assert_eq!(buffering.all.used(), 0);
            drop((output, buffered));
            ring.close();
            driver.await;
        };
        let executor = LocalExecutorBuilder::new(Placement::Unbound).preempt_timer(PREEMPT_TIMER).spawn(body);
        executor.expect("an executor").join().expect("no panic on the executor");
        reader.join().expect("no panic in the client")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn every_byte_comes_in_its_order_wherever_it_waited(
            sizes in prop::collection::vec(prop_oneof![1usize..100, 1000usize..20_000, 60_000usize..65_536], 1..60),
            memory_bytes_max in prop_oneof![Just(0usize), Just(64 * 1024), 1usize..200_000],
            spool_bytes_max in prop_oneof![Just(0u64), Just(1 << 30), 1u64..500_000],
            reads in prop::collection::vec(1usize..100_000, 1..10),
        ) {
            let total: usize = sizes.iter().sum();
            let got = passed_on(sizes, memory_bytes_max, spool_bytes_max, reads);
            prop_assert_eq!(got.len(), total);
            let differs = got.iter().enumerate().find(|(at, byte)| **byte != (at % 251) as u8);
            prop_assert_eq!(differs, None);
        }
    }
}
