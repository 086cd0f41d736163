//! What programs write to their standard output and error: into maitred's log line by line, or into a file as it is or line by line.
//!
//! Owns the read ends of their pipes, one task each, and the files. A stream is read a little at a time, and no further while its
//! place is busy: a program that floods it is held back by its own pipe, and costs neither memory nor others their lines.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use super::backups::{PACKED, PART};
use super::lines::{self, Origin};
use super::logfile::{self, LogFile};
use super::machine::ProcessId;
use super::packer::Packer;
use super::syslog::Syslog;
use super::tap::Tap;
use crate::base::bounds::{
    OUTPUT_BUFFER_BYTES, OUTPUT_BURST_BYTES_MAX, OUTPUT_BYTES_PER_SECOND_MAX, OUTPUT_LINES_BUFFER_BYTES,
    OUTPUT_LINES_PER_SECOND_MAX,
};
use crate::base::clock::{self, Monotonic};
use crate::config::{GroupConfig, OutputConfig, OutputFormat, OutputTarget, ProcessConfig, SyslogConfig};
use crate::ring::{Descriptor, Ring, within};
use crate::supervise::events::{Bus, Spoken, Wishes};
use crate::supervise::logs::{LineSplitter, shown};
use crate::supervise::output::CHILDREN;
use crate::sys::family;
use crate::sys::process::Pid;

/// What the name of a file that maitred chose has between the process's name and maitred's process id.
const AUTOMATIC: &str = "---maitred-";

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::supervise) enum Stream {
    Out,
    Err,
}

impl Stream {
    /// As supervisord calls it.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        }
    }
}

/// The places of all streams.
pub(super) struct Outputs {
    ring: Ring,
    bus: Rc<Bus>,
    places: HashMap<(ProcessId, Stream), Rc<Place>>,
    taps: HashMap<(ProcessId, Stream), Rc<Tap>>,
    /// By their path, so that several streams into one file rotate it together.
    files: HashMap<PathBuf, Weak<LogFile>>,
    packer: Rc<Packer>,
    reading: Rc<Reading>,
    syslog: Rc<Syslog>,
}

/// Tasks that still read.
#[derive(Default)]
struct Reading {
    count: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

/// Where one stream goes; it may change while it is being read.
struct Place {
    name: String,
    stream: Stream,
    tap: Rc<Tap>,
    target: RefCell<Target>,
    /// Where its lines go too.
    also: RefCell<Option<SyslogConfig>>,
    /// What of it event listeners are told.
    wishes: Cell<Wishes>,
    syslog: Rc<Syslog>,
}

/// Where a stream goes.
#[derive(Clone, Default)]
enum Target {
    /// Into maitred's log, line by line.
    Log,
    File(Rc<LogFile>, OutputFormat),
    #[default]
    Nothing,
}

impl Outputs {
    pub fn new(ring: &Ring, bus: &Rc<Bus>) -> Outputs {
        Outputs {
            ring: ring.clone(),
            bus: bus.clone(),
            places: HashMap::new(),
            taps: HashMap::new(),
            files: HashMap::new(),
            packer: Rc::default(),
            reading: Rc::default(),
            syslog: Rc::default(),
        }
    }

    /// Reads a stream of a process that was just started, and is `pid`, until its end.
    pub fn carry(&mut self, id: ProcessId, config: &ProcessConfig, stream: Stream, (pid, pipe): (Pid, OwnedFd)) {
        let place = self.place(id, config, stream);
        if let Target::File(file, _) = &*place.target.borrow() {
            file.prepare();
        }
        let spoken = Spoken::new(&self.bus, id, config, pid.as_raw_nonzero().get(), stream);
        let (ring, reading) = (self.ring.clone(), self.reading.clone());
        reading.count.set(reading.count.get() + 1);
        glommio::spawn_local(async move {
            place.carry(&ring, Rc::new(pipe), spoken).await;
            reading.count.set(reading.count.get() - 1);
            if let Some(waker) = reading.waker.borrow_mut().take() {
                waker.wake();
            }
        })
        .detach();
    }

    /// The file that a stream goes into; a file that is chosen by maitred is so when the process is first started.
    pub fn path(&self, id: ProcessId, config: &ProcessConfig, stream: Stream) -> Option<PathBuf> {
        let output = match stream {
            Stream::Out => &config.stdout,
            Stream::Err => &config.stderr,
        };
        match &output.target {
            OutputTarget::File(path) => Some(path.clone()),
            OutputTarget::Automatic(_) => match &*self.places.get(&(id, stream))?.target.borrow() {
                Target::File(file, _) => Some(file.path().to_owned()),
                Target::Log | Target::Nothing => None,
            },
            OutputTarget::Log | OutputTarget::Nothing => None,
        }
    }

    /// Puts the streams of a running process where its configuration says now.
    pub fn adjust(&mut self, id: ProcessId, config: &ProcessConfig) {
        for stream in [Stream::Out, Stream::Err] {
            if self.places.contains_key(&(id, stream)) {
                self.place(id, config, stream);
            }
        }
    }

    /// Nothing more comes from that process.
    pub fn forget(&mut self, id: ProcessId) {
        self.places.retain(|(other, _), _| *other != id);
        self.taps.retain(|(other, _), tap| {
            if *other == id {
                tap.close();
            }
            *other != id
        });
        self.files.retain(|_, file| file.strong_count() > 0);
    }

    /// Where a stream is heard.
    pub fn tap(&mut self, id: ProcessId, stream: Stream) -> Rc<Tap> {
        self.taps.entry((id, stream)).or_default().clone()
    }

    /// Empties the files of a process's streams.
    ///
    /// # Errors
    /// One of them can't be.
    pub fn clear(&self, id: ProcessId, config: &ProcessConfig) -> io::Result<()> {
        for stream in [Stream::Out, Stream::Err] {
            if let Some(tap) = self.taps.get(&(id, stream)) {
                tap.clear();
            }
            let Some(path) = self.path(id, config, stream) else { continue };
            match self.files.get(&path).and_then(Weak::upgrade) {
                Some(file) => file.clear()?,
                None => logfile::clear(&path)?,
            }
        }
        Ok(())
    }

    /// Opens all files anew, as they were moved away.
    pub fn reopen(&self) {
        for file in self.files.values().filter_map(Weak::upgrade) {
            file.reopen();
        }
    }

    /// Waits until everything that processes wrote before they ended was carried away, for `limit` at most: some may have left
    /// their pipes to others.
    pub async fn finish(&self, limit: Duration) {
        let deadline = self.ring.deadline();
        deadline.set(limit);
        let all_read = std::future::poll_fn(|cx| {
            if self.reading.count.get() == 0 {
                return std::task::Poll::Ready(());
            }
            *self.reading.waker.borrow_mut() = Some(cx.waker().clone());
            std::task::Poll::Pending
        });
        // What is not read by then never will be.
        let _ = within(&deadline, all_read).await;
    }

    /// The place of a stream, made or moved to where `config` says.
    fn place(&mut self, id: ProcessId, config: &ProcessConfig, stream: Stream) -> Rc<Place> {
        let output = match stream {
            Stream::Out => &config.stdout,
            Stream::Err => &config.stderr,
        };
        let before = self.places.get(&(id, stream)).cloned();
        let old = before.as_ref().and_then(|place| match &*place.target.borrow() {
            Target::File(file, _) => Some(file.clone()),
            Target::Log | Target::Nothing => None,
        });
        let target = self.target(output, config, stream, old);
        match before {
            Some(place) => {
                *place.target.borrow_mut() = target;
                place.also.borrow_mut().clone_from(&output.syslog);
                place.wishes.set(Wishes::of(output));
                place
            }
            None => {
                let place = Rc::new(Place {
                    name: config.full_name(),
                    stream,
                    tap: self.tap(id, stream),
                    target: RefCell::new(target),
                    also: RefCell::new(output.syslog.clone()),
                    wishes: Cell::new(Wishes::of(output)),
                    syslog: self.syslog.clone(),
                });
                self.places.insert((id, stream), place.clone());
                place
            }
        }
    }

    fn target(
        &mut self,
        output: &OutputConfig,
        config: &ProcessConfig,
        stream: Stream,
        old: Option<Rc<LogFile>>,
    ) -> Target {
        let path = match (&output.target, old) {
            (OutputTarget::Log, _) => return Target::Log,
            (OutputTarget::Nothing, _) => return Target::Nothing,
            (OutputTarget::File(path), _) => path.clone(),
            // Chosen once for all restarts.
            (OutputTarget::Automatic(_), Some(old)) if old.is_private() => {
                old.limit(output.rotation);
                return Target::File(old, output.format);
            }
            (OutputTarget::Automatic(directory), _) => match automatic(directory, &config.full_name(), stream) {
                Ok(path) => path,
                Err(error) => {
                    tracing::warn!(%error, "no file could be made for a program's output, which goes into the log");
                    return Target::Log;
                }
            },
        };
        let is_private = matches!(output.target, OutputTarget::Automatic(_));
        if let Some(file) = self.files.get(&path).and_then(Weak::upgrade) {
            file.limit(output.rotation);
            return Target::File(file, output.format);
        }
        let file = Rc::new(LogFile::new(path.clone(), output.rotation, is_private, &self.packer));
        self.files.insert(path, Rc::downgrade(&file));
        Target::File(file, output.format)
    }
}

impl Place {
    async fn carry(&self, ring: &Ring, pipe: Descriptor, mut spoken: Spoken) {
        let mut cut = Cut::default();
        // Waited for before there is a buffer: a program that is silent costs none.
        while ring.poll(&pipe, libc::POLLIN as u32).await.is_ok() {
            let has_lines = self.also.borrow().is_some() || self.target.borrow().has_lines();
            let max = if has_lines { OUTPUT_LINES_BUFFER_BYTES } else { OUTPUT_BUFFER_BYTES };
            let read = match ring.read_at(&pipe, Vec::new(), max, u64::MAX).await {
                Ok(read) if !read.is_empty() => read,
                // The end, or a pipe that can't be read any more.
                Ok(_) | Err(_) => break,
            };
            let ordinary = spoken.hear(read, self.wishes.get());
            self.put(ring, ordinary, &mut cut).await;
        }
        let rest = spoken.finish();
        drop(spoken);
        self.put(ring, rest, &mut cut).await;
        let (target, also) = (self.target.borrow().clone(), self.also.borrow().clone());
        let mut last = self.lines(&target, also.as_ref());
        cut.splitter.finish_raw(|line| last.take(line));
        last.write(ring).await;
    }

    /// Puts what was read where it goes.
    async fn put(&self, ring: &Ring, read: Vec<u8>, cut: &mut Cut) {
        if read.is_empty() {
            return;
        }
        let (target, also) = (self.target.borrow().clone(), self.also.borrow().clone());
        let mut lines = self.lines(&target, also.as_ref());
        if also.is_some() || target.has_lines() {
            cut.splitter.push_raw(&read, |line| lines.take(line));
        } else {
            // What has no end of line yet belongs to the former place.
            let mut former = self.lines(&cut.before, None);
            cut.splitter.finish_raw(|line| former.take(line));
            former.write(ring).await;
        }
        let (count, formatted) = (lines.count, lines.formatted);
        match &target {
            Target::File(file, format) => {
                let length = read.len();
                let bytes = if *format == OutputFormat::Raw { read } else { formatted };
                let heard = bytes.clone();
                file.write(ring, bytes).await;
                // Whoever begins to follow finds in the file what was told before.
                self.tap.feed(&heard, false);
                if let Some(pause) = cut.allowance.take(length, Monotonic::now()) {
                    ring.sleep(pause).await;
                }
            }
            Target::Log | Target::Nothing => self.tap.feed(&read, true),
        }
        // Whatever goes through a queue that others share.
        let is_paced = also.is_some() || matches!(target, Target::Log);
        if is_paced && let Some(pause) = cut.pace.wait(count, Monotonic::now()) {
            ring.sleep(pause).await;
        }
        cut.before = target;
    }

    fn lines<'a>(&'a self, target: &'a Target, also: Option<&'a SyslogConfig>) -> Lines<'a> {
        Lines { place: self, target, also, count: 0, formatted: Vec::new() }
    }
}

/// Where the cutting of a stream into lines stands.
#[derive(Default)]
struct Cut {
    splitter: LineSplitter,
    pace: Pace,
    allowance: Allowance,
    /// Where the former part went.
    before: Target,
}

impl Target {
    /// Whether it takes lines, and not bytes.
    fn has_lines(&self) -> bool {
        match self {
            Target::Log => true,
            Target::File(_, format) => *format != OutputFormat::Raw,
            Target::Nothing => false,
        }
    }
}

/// Lines of a stream on their way.
struct Lines<'a> {
    place: &'a Place,
    target: &'a Target,
    also: Option<&'a SyslogConfig>,
    count: u32,
    /// What a file gets of them.
    formatted: Vec<u8>,
}

impl Lines<'_> {
    fn take(&mut self, line: &[u8]) {
        self.count += 1;
        let Place { name, stream, syslog, .. } = self.place;
        if let Target::File(_, format @ (OutputFormat::Text | OutputFormat::Json)) = self.target {
            let origin = Origin { unix_ms: clock::wall_milliseconds(), program: name, stream: stream.name() };
            lines::write(&mut self.formatted, *format, origin, line);
        }
        let is_logged = matches!(self.target, Target::Log);
        if is_logged || self.also.is_some() {
            let line = shown(line);
            if is_logged {
                tracing::info!(target: CHILDREN, program = name, stream = stream.name(), "{line}");
            }
            if let Some(also) = self.also {
                syslog.send(also, name, &line);
            }
        }
    }

    /// Into the file, if they go into one.
    async fn write(self, ring: &Ring) {
        if let Target::File(file, _) = self.target
            && !self.formatted.is_empty()
        {
            file.write(ring, self.formatted.clone()).await;
            self.place.tap.feed(&self.formatted, false);
        }
    }
}

/// How many lines of a stream went into the log in the present second.
#[derive(Default)]
struct Pace {
    since: Monotonic,
    lines: u32,
}

impl Pace {
    /// `lines` more were logged. How long to leave the stream alone, if they were too many.
    fn wait(&mut self, lines: u32, now: Monotonic) -> Option<Duration> {
        const SECOND: Duration = Duration::from_secs(1);
        if now.since(self.since) >= SECOND {
            (self.since, self.lines) = (now, 0);
        }
        self.lines += lines;
        (self.lines >= OUTPUT_LINES_PER_SECOND_MAX).then(|| (self.since + SECOND).since(now))
    }
}

/// What a stream may still write into its file before it is held back, so that a flood leaves processors to others.
#[derive(Default)]
struct Allowance {
    /// Bytes since the beginning of a span in which they come faster than they may go on for long.
    taken: u64,
    since: Monotonic,
}

impl Allowance {
    /// `length` bytes more were written. How long to leave the stream alone, if it is ahead of its pace.
    fn take(&mut self, length: usize, now: Monotonic) -> Option<Duration> {
        let in_time =
            |bytes: u64| Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / OUTPUT_BYTES_PER_SECOND_MAX);
        let spent = now.since(self.since);
        if spent >= in_time(self.taken) {
            (self.taken, self.since) = (0, now);
        }
        self.taken += length as u64;
        let ahead = in_time(self.taken.saturating_sub(OUTPUT_BURST_BYTES_MAX)).saturating_sub(now.since(self.since));
        // A shorter wait would cost more than it saves.
        (ahead >= Duration::from_millis(1)).then_some(ahead)
    }
}

/// A new, empty file for a stream.
fn automatic(directory: &Path, name: &str, stream: Stream) -> io::Result<PathBuf> {
    let mut random = [0_u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let name = name.replace(':', "_");
    let file =
        format!("{name}-{}{AUTOMATIC}{}-{:016x}.log", stream.name(), std::process::id(), u64::from_ne_bytes(random));
    let path = directory.join(file);
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok(path)
}

/// Removes the files that an earlier maitred chose itself and that no longer runs, from where such files would be made now.
pub(super) fn remove_stale(groups: &[GroupConfig]) {
    let outputs =
        groups.iter().flat_map(|group| &group.processes).flat_map(|process| [&process.stdout, &process.stderr]);
    let usual = std::env::temp_dir();
    let directories: HashSet<&Path> = outputs
        .filter_map(|output| match &output.target {
            OutputTarget::Automatic(directory) => Some(directory.as_path()),
            _ => None,
        })
        .chain([usual.as_path()])
        .collect();
    directories.into_iter().for_each(remove_stale_in);
}

fn remove_stale_in(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner_of);
        if owner.is_some_and(|owner| family::kin(owner).is_none()) {
            // Another user's file can't be removed, and need not be.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The maitred that chose a file of this name.
fn owner_of(name: &str) -> Option<Pid> {
    let (_, rest) = name.rsplit_once(AUTOMATIC)?;
    let (pid, rest) = rest.split_once('-')?;
    let (random, backup) = rest.split_once(".log")?;
    let backup = [PART, PACKED].iter().find_map(|end| backup.strip_suffix(end)).unwrap_or(backup);
    let is_ours = random.len() == 16 && backup.chars().all(|c| c == '.' || c.is_ascii_digit());
    pid.parse().ok().and_then(Pid::from_raw).filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_slowed_to_the_pace() {
        let mut pace = Pace::default();
        let start = Monotonic::from_nanos(10_000_000_000);
        assert_eq!(pace.wait(OUTPUT_LINES_PER_SECOND_MAX - 1, start), None);
        let later = start + Duration::from_millis(300);
        assert_eq!(pace.wait(1, later), Some(Duration::from_millis(700)));
        assert_eq!(pace.wait(1, start + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_flood_into_a_file_is_slowed_to_the_pace_after_a_burst() {
        let mut allowance = Allowance::default();
        let mut now = Monotonic::from_nanos(10_000_000_000);
        let start = now;
        let burst = OUTPUT_BURST_BYTES_MAX as usize;
        assert_eq!(allowance.take(burst, now), None);
        let mut total = burst as u64;
        for _ in 0..10_000 {
            total += 8192;
            now += allowance.take(8192, now).unwrap_or_default();
        }
        let expected = (total - OUTPUT_BURST_BYTES_MAX) as f64 / OUTPUT_BYTES_PER_SECOND_MAX as f64;
        let seconds = now.since(start).as_secs_f64();
        assert!((seconds - expected).abs() < 0.1, "{seconds} s, not {expected} s");
        // What stays below the pace is never held back.
        for _ in 0..10_000 {
            now += Duration::from_micros(300);
            assert_eq!(allowance.take(8192, now), None);
        }
    }

    #[test]
    fn files_of_a_maitred_that_is_gone_are_recognised() {
        let own = std::process::id();
        let name = |pid: u32| format!("web_a-stdout{AUTOMATIC}{pid}-0123456789abcdef.log");
        assert_eq!(owner_of(&name(own)).map(|pid| pid.as_raw_nonzero().get() as u32), Some(own));
        for backup in [".12", ".12.gz", ".gz.part"] {
            assert!(owner_of(&format!("{}{backup}", name(own))).is_some());
        }
        for other in ["x.log", "x---maitred-1-zz.log", "x---maitred-abc-0123456789abcdef.log", "x---maitred-1"] {
            assert_eq!(owner_of(other), None, "{other}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (stale, ours) = (folder.path().join(name(u32::MAX >> 1)), folder.path().join(name(own)));
        std::fs::write(&stale, "").expect("written");
        std::fs::write(&ours, "").expect("written");
        remove_stale_in(folder.path());
        assert!(!stale.exists() && ours.exists());
    }
}
