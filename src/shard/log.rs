//! The shard's access log: lines are gathered here and written through the ring.
//!
//! Owns the lines from their being formatted to their being written, and the count of those that could not be. Writing never keeps a
//! request waiting: while one buffer is being written another fills, and when that is full too, lines are dropped. Every write holds
//! whole lines and goes to a descriptor opened for appending, so that the lines of several shards never mix. Called by `exchange`
//! (lines), `orders` (where they go) and `run` (the end).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use memchr::memchr_iter;

use crate::base::bounds::{ACCESS_FLUSH_MS_MAX, ACCESS_LINE_BYTES_MAX, ACCESS_WARNING_SECONDS};
use crate::base::clock::{self, Monotonic};
use crate::config::{AccessLogConfig, LogTarget};
use crate::observe::access::{Record, Stamp, Wants};
use crate::ring::{Descriptor, Payload, Ring, within};
use crate::sys::zone;

use super::syslog::Syslog;

/// Seconds after which the time zone's offset is asked for anew: zones change at quarters of an hour.
const ZONE_SECONDS: u64 = 900;

/// Whole lines.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
    /// The log that they were made for, if it is not the present one.
    of: Option<Rc<Active>>,
}

/// Where lines go, and which.
struct Active {
    config: Arc<AccessLogConfig>,
    sink: Sink,
    wants: Wants,
}

#[derive(Clone)]
enum Sink {
    Stream(Descriptor),
    Syslog(Rc<Syslog>),
}

/// What became of the lines so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogCounts {
    /// Written.
    pub lines: u64,
    /// Dropped.
    pub dropped: u64,
}

/// One shard's access log.
pub(super) struct AccessLog {
    shard: u32,
    ring: Ring,
    active: RefCell<Option<Rc<Active>>>,
    stamp: RefCell<Stamp>,
    filling: RefCell<Buffer>,
    /// Waits to be written.
    full: RefCell<Option<Buffer>>,
    /// Memory for the next one.
    spare: RefCell<Vec<u8>>,
    /// Lines that are being written.
    in_flight: Cell<u64>,
    is_closing: Cell<bool>,
    writer: RefCell<Option<Waker>>,
    counts: Cell<LogCounts>,
    warned: Cell<Option<(Monotonic, u64)>>,
}

impl AccessLog {
    /// No log until [`AccessLog::switch`] says where to.
    pub fn new(shard: u32, ring: Ring) -> AccessLog {
        AccessLog {
            shard,
            ring,
            active: RefCell::new(None),
            stamp: RefCell::new(Stamp::new(0, 0)),
            filling: RefCell::default(),
            full: RefCell::default(),
            spare: RefCell::default(),
            in_flight: Cell::new(0),
            is_closing: Cell::new(false),
            writer: RefCell::new(None),
            counts: Cell::default(),
            warned: Cell::new(None),
        }
    }

    /// Writes to `sink` from now on: a file, or a socket for syslog. What is being written still goes to the one before, and so do all lines of
    /// another configuration.
    pub fn switch(&self, config: Arc<AccessLogConfig>, sink: OwnedFd) {
        let wants = config.format.wants();
        let sink = match &config.target {
            LogTarget::Syslog(syslog) => Sink::Syslog(Rc::new(Syslog::new(sink, syslog))),
            LogTarget::File(_) | LogTarget::Stdout => Sink::Stream(Rc::new(sink)),
        };
        let active = Rc::new(Active { config, sink, wants });
        let before = self.active.borrow_mut().replace(active.clone());
        if let Some(before) = before.filter(|before| before.config != active.config) {
            let (mut full, mut filling) = (self.full.borrow_mut(), self.filling.borrow_mut());
            let Buffer { mut bytes, lines, of } = std::mem::take(&mut *filling);
            if lines > 0 {
                let full = full.get_or_insert_default();
                full.bytes.append(&mut bytes);
                full.lines += lines;
            }
            if let Some(full) = &mut *full {
                full.of = full.of.take().or(of).or(Some(before));
            }
            drop((full, filling));
            self.wake();
        }
    }

    /// Whether there is a log at all.
    pub fn is_on(&self) -> bool {
        self.active.borrow().is_some()
    }

    /// What the format needs of a request, if requests for `path` are logged.
    pub fn wants(&self, path: &[u8]) -> Option<Wants> {
        let active = self.active.borrow();
        let active = active.as_ref()?;
        (!active.config.skip.iter().any(|skipped| skipped.holds(path))).then_some(active.wants)
    }

    /// Whether a request with this status is logged; `random` decides where only a part of them is.
    pub fn admits(&self, status: u16, random: impl FnOnce() -> u64) -> bool {
        let active = self.active.borrow();
        let Some(active) = active.as_ref() else { return false };
        let config = &active.config;
        if config.skip_status.iter().any(|skipped| skipped.holds(status)) {
            return false;
        }
        // 53 bits are as many as a float tells apart.
        config.sample >= 1.0 || status >= 400 || ((random() >> 11) as f64) < config.sample * (1_u64 << 53) as f64
    }

    /// Adds the line of `record`, which ended in the second `now`.
    pub fn write(&self, record: &Record<'_>, now: u64) {
        let active = self.active.borrow();
        let Some(active) = active.as_ref() else { return };
        if self.stamp.borrow().second() != now {
            self.tick(now);
        }
        let bytes_max = active.config.buffer_bytes;
        let mut filling = self.filling.borrow_mut();
        if !filling.bytes.is_empty() && filling.bytes.len() >= bytes_max {
            if self.is_writing() || self.full.borrow().is_some() {
                // Room for one line is kept even by a buffer that is smaller than it.
                drop(filling);
                return self.lose(1, "they come faster than they can be written");
            }
            let fresh = Buffer { bytes: std::mem::take(&mut *self.spare.borrow_mut()), ..Buffer::default() };
            *self.full.borrow_mut() = Some(std::mem::replace(&mut *filling, fresh));
        }
        let is_first = filling.bytes.is_empty();
        let wall_ms = if active.wants.wall_ms { clock::wall_milliseconds() } else { 0 };
        let stamp = self.stamp.borrow();
        if let Sink::Syslog(syslog) = &active.sink {
            syslog.begin(&mut filling.bytes, &stamp);
        }
        active.config.format.write(&mut filling.bytes, record, &stamp, wall_ms);
        filling.lines += 1;
        if is_first || (filling.bytes.len() >= bytes_max && !self.is_writing()) {
            drop(filling);
            self.wake();
        }
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> LogCounts {
        self.counts.get()
    }

    /// Writes what is gathered as it comes due, until [`AccessLog::close`]. To be run by a task of the shard.
    pub async fn run(&self) {
        while self.due().await {
            let Some(active) = self.active.borrow().clone() else { continue };
            let Some(mut buffer) = self.take() else { continue };
            let active = buffer.of.take().unwrap_or(active);
            self.in_flight.set(buffer.lines);
            let bytes = match &active.sink {
                Sink::Stream(file) => self.write_out(file, buffer).await,
                Sink::Syslog(syslog) => self.send_out(syslog, buffer),
            };
            self.in_flight.set(0);
            *self.spare.borrow_mut() = bytes;
        }
    }

    /// Has what is gathered written, at the end of the shard: waits for it, but not for ever.
    pub async fn close(&self) {
        self.is_closing.set(true);
        self.wake();
        let deadline = self.ring.deadline();
        deadline.set(Duration::from_millis(ACCESS_FLUSH_MS_MAX));
        while self.has_lines() && !deadline.has_passed() {
            self.ring.sleep(Duration::from_millis(10)).await;
        }
        if self.has_lines() {
            let waiting = self.filling.borrow().lines + self.full.borrow().as_ref().map_or(0, |buffer| buffer.lines);
            self.lose(waiting + self.in_flight.get(), "the log takes nothing");
        }
    }

    fn is_writing(&self) -> bool {
        self.in_flight.get() > 0
    }

    fn has_lines(&self) -> bool {
        self.is_writing() || self.full.borrow().is_some() || self.filling.borrow().lines > 0
    }

    fn wake(&self) {
        if let Some(waker) = self.writer.borrow_mut().take() {
            waker.wake();
        }
    }

    fn tick(&self, now: u64) {
        let mut stamp = self.stamp.borrow_mut();
        let is_known = stamp.second() / ZONE_SECONDS == now / ZONE_SECONDS;
        let offset = if is_known { stamp.offset_minutes() } else { zone::offset_minutes(now) };
        *stamp = Stamp::new(now, offset);
    }

    /// Waits until there is something to write. `false`: the log is closed and all is written.
    async fn due(&self) -> bool {
        let Some(flush) = self.something().await else { return false };
        if flush.is_zero() {
            return true;
        }
        let deadline = self.ring.deadline();
        deadline.set(flush);
        let full = poll_fn(|cx| {
            if self.is_full() || self.is_closing.get() {
                return Poll::Ready(());
            }
            *self.writer.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        });
        // Passed or full: both mean that it is time.
        let _ = within(&deadline, full).await;
        true
    }

    /// Waits for the first line. Returns how long it may wait, perhaps not at all; `None` when none can come any more.
    async fn something(&self) -> Option<Duration> {
        poll_fn(|cx| {
            if self.full.borrow().is_some() || self.filling.borrow().lines > 0 {
                let active = self.active.borrow();
                return Poll::Ready(Some(active.as_ref().map_or(Duration::ZERO, |active| active.config.flush)));
            }
            if self.is_closing.get() {
                return Poll::Ready(None);
            }
            *self.writer.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn is_full(&self) -> bool {
        let active = self.active.borrow();
        let bytes_max = active.as_ref().map_or(0, |active| active.config.buffer_bytes);
        self.full.borrow().is_some() || self.filling.borrow().bytes.len() >= bytes_max
    }

    fn take(&self) -> Option<Buffer> {
        self.full.borrow_mut().take().or_else(|| {
            let mut filling = self.filling.borrow_mut();
            let fresh = Buffer { bytes: std::mem::take(&mut *self.spare.borrow_mut()), ..Buffer::default() };
            (filling.lines > 0).then(|| std::mem::replace(&mut *filling, fresh))
        })
    }

    /// Writes a buffer to its end, or as far as that is possible. Gives its memory back.
    async fn write_out(&self, file: &Descriptor, buffer: Buffer) -> Vec<u8> {
        let bytes = Rc::new(buffer.bytes);
        let mut payload = Payload::from(bytes.clone());
        let mut done = 0;
        while done < bytes.len() {
            // The file's own position: it was opened for appending, or has none.
            match self.ring.write_at(file, payload, u64::MAX).await {
                Ok((0, _)) => {
                    self.lose_rest(&bytes[done..], "the log takes nothing");
                    break;
                }
                Ok((written, rest)) => {
                    self.note(memchr_iter(b'\n', &bytes[done..done + written]).count() as u64);
                    done += written;
                    payload = rest;
                    payload.advance(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    payload = Payload::from(bytes.clone());
                    payload.advance(done);
                }
                // A descriptor that somebody else has made non-blocking, as a terminal may be.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.writable(file).await => {
                    payload = Payload::from(bytes.clone());
                    payload.advance(done);
                }
                Err(error) => {
                    self.lose_rest(&bytes[done..], &error.to_string());
                    break;
                }
            }
        }
        recycled(bytes)
    }

    async fn writable(&self, file: &Descriptor) -> bool {
        self.ring.poll(file, libc::POLLOUT as u32).await.is_ok()
    }

    fn send_out(&self, syslog: &Syslog, mut buffer: Buffer) -> Vec<u8> {
        let outcome = syslog.send(&buffer.bytes);
        self.note(buffer.lines - outcome.lost.min(buffer.lines));
        if let Some(error) = outcome.error {
            self.lose(outcome.lost, &error.to_string());
        }
        buffer.bytes.clear();
        buffer.bytes
    }

    fn note(&self, lines: u64) {
        let counts = self.counts.get();
        self.counts.set(LogCounts { lines: counts.lines + lines, ..counts });
        self.in_flight.set(self.in_flight.get().saturating_sub(lines));
    }

    fn lose_rest(&self, rest: &[u8], reason: &str) {
        self.lose(memchr_iter(b'\n', rest).count() as u64, reason);
    }

    /// Counts dropped lines, and says so, though not for each.
    fn lose(&self, lines: u64, reason: &str) {
        let counts = self.counts.get();
        let dropped = counts.dropped + lines;
        self.counts.set(LogCounts { dropped, ..counts });
        let now = self.ring.now();
        let (last, told) = self.warned.get().map_or((None, 0), |(at, told)| (Some(at), told));
        if last.is_none_or(|at| now.since(at) >= Duration::from_secs(ACCESS_WARNING_SECONDS)) {
            self.warned.set(Some((now, dropped)));
            let lines = dropped - told;
            tracing::warn!(shard = self.shard, lines, reason, "lines of the access log were dropped");
        }
    }
}

/// The memory of a buffer that is written, unless a line of absurd length has blown it up or the kernel still has it.
fn recycled(bytes: Rc<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Rc::try_unwrap(bytes).unwrap_or_default();
    bytes.clear();
    bytes
        .shrink_to(bytes.capacity().min(crate::base::bounds::ACCESS_BUFFER_BYTES_MAX as usize + ACCESS_LINE_BYTES_MAX));
    bytes
}
