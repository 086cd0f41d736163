//! `maitred precompress DIR`: compressed siblings beside the files that get smaller, for routes to serve.
//!
//! Owns the walk, the threads and the report. A sibling appears whole or not at all, with its file's modification time; what is fresh is left
//! alone. It never changes a file itself.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;
use crossbeam::channel;

use super::{EXIT_UNUSABLE, complain, tell};
use crate::base::bounds::COMPRESSED_BYTES_MIN;
use crate::compress::{Encoder, level};
use crate::config::Levels;
use crate::http::encoding::Coding;
use crate::http::media;

/// What is read at a time, bytes.
const READ_BYTES: usize = 64 * 1024;
/// How wide the bar is, characters.
const BAR_WIDTH: usize = 30;

/// What to compress, and how hard.
#[derive(Debug, Args)]
pub struct Precompress {
    /// Directory with static files; those below it too
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Level of the .gz files, 1 to 9, or `off`
    #[arg(long, overrides_with = "gzip", value_name = "LEVEL", default_value = "9", value_parser = |text: &str| parse_level(text, 1, 9))]
    gzip: Level,
    /// Level of the .br files, 0 to 11, or `off`
    #[arg(long, overrides_with = "brotli", value_name = "LEVEL", default_value = "11", value_parser = |text: &str| parse_level(text, 0, 11))]
    brotli: Level,
    /// Level of the .zst files, 1 to 19, or `off`
    #[arg(long, overrides_with = "zstd", value_name = "LEVEL", default_value = "19", value_parser = |text: &str| parse_level(text, 1, 19))]
    zstd: Level,
    /// Files compressed at the same time [default: one per CPU]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Write siblings again that are there and fresh
    #[arg(short, long)]
    force: bool,
}

/// A level; none: the coding is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level(Option<u32>);

fn parse_level(text: &str, min: u32, max: u32) -> Result<Level, String> {
    if text == "off" {
        return Ok(Level(None));
    }
    let level = text.parse().ok().filter(|level| (min..=max).contains(level));
    level.map(|level| Level(Some(level))).ok_or_else(|| format!("must be a number from {min} to {max}, or off"))
}

/// One sibling to write.
struct Job {
    file: PathBuf,
    coding: Coding,
    level: u32,
    bytes: u64,
}

/// How one sibling came out.
enum Outcome {
    Written {
        bytes: u64,
    },
    Fresh,
    /// It would not be smaller than its file.
    NotSmaller,
}

#[derive(Default)]
struct Report {
    written: usize,
    bytes_before: u64,
    bytes_after: u64,
    fresh: usize,
    not_smaller: usize,
    failed: usize,
}

/// Writes the siblings. Exit code 0; 1 if one could not be written; 2 if there is no such directory or nothing to do with it.
#[must_use]
pub fn run(options: &Precompress) -> ExitCode {
    let levels = Levels { gzip: options.gzip.0, brotli: options.brotli.0, zstd: options.zstd.0 };
    let codings: Vec<_> =
        Coding::ALL.into_iter().filter_map(|coding| Some((coding, level(&levels, coding)?))).collect();
    if codings.is_empty() {
        complain("maitred: --gzip, --brotli and --zstd are all off: there is nothing to write");
        return ExitCode::from(EXIT_UNUSABLE);
    }
    let mut report = Report::default();
    let mut files = BTreeSet::new();
    if let Err(error) = fs::read_dir(&options.directory) {
        complain(format_args!("maitred: {}: {error}", options.directory.display()));
        return ExitCode::from(EXIT_UNUSABLE);
    }
    walk(&options.directory, &mut files, &mut report);
    let jobs = files.iter().flat_map(|(bytes, file)| {
        let job = |&(coding, level)| Job { file: file.clone(), coding, level, bytes: *bytes };
        codings.iter().map(job)
    });
    // The largest first, so that no thread is left alone with one at the end.
    let jobs: Vec<_> = jobs.rev().collect();
    compress_all(jobs, options, &mut report);
    tell(summary(files.len(), &report));
    if report.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Every file below `folder` that is worth compressing, with its size. Symlinks to directories are not followed: they may form a ring.
fn walk(folder: &Path, files: &mut BTreeSet<(u64, PathBuf)>, report: &mut Report) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                fail(&folder, &error, report);
                continue;
            }
        };
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".well-known";
            if hidden {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(_) if is_worth_it(&path) => match fs::metadata(&path) {
                    Ok(meta) if meta.is_file() && meta.len() >= COMPRESSED_BYTES_MIN => {
                        files.insert((meta.len(), path));
                    }
                    Ok(_) => {}
                    Err(error) => fail(&path, &error, report),
                },
                Ok(_) => {}
                Err(error) => fail(&path, &error, report),
            }
        }
    }
}

fn is_worth_it(path: &Path) -> bool {
    media::is_compressible(&media::content_type(path.as_os_str().as_encoded_bytes(), &[]))
}

fn fail(path: &Path, error: &io::Error, report: &mut Report) {
    report.failed += 1;
    complain(format_args!("maitred: {}: {error}", path.display()));
}

fn compress_all(jobs: Vec<Job>, options: &Precompress, report: &mut Report) {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let threads = options.jobs.map_or(cpus, usize::from).min(jobs.len());
    let total = jobs.len();
    let next = AtomicUsize::new(0);
    let bar = Mutex::new(Bar::new(total));
    let (done, outcomes) = channel::unbounded();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (jobs, next, bar, done) = (&jobs, &next, &bar, done.clone());
            scope.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = sibling(job, options.force);
                    bar.lock().unwrap_or_else(|broken| broken.into_inner()).advance(&job.file);
                    // Received below, once all threads are done.
                    let _ = done.send((job, outcome));
                }
            });
        }
    });
    bar.into_inner().unwrap_or_else(|broken| broken.into_inner()).clear();
    for (job, outcome) in outcomes.try_iter() {
        match outcome {
            Ok(Outcome::Written { bytes }) => {
                report.written += 1;
                report.bytes_before += job.bytes;
                report.bytes_after += bytes;
            }
            Ok(Outcome::Fresh) => report.fresh += 1,
            Ok(Outcome::NotSmaller) => report.not_smaller += 1,
            Err(error) => fail(&with_suffix(&job.file, job.coding.suffix()), &error, report),
        }
    }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes one sibling: into a file beside it that is renamed once it is whole.
fn sibling(job: &Job, force: bool) -> io::Result<Outcome> {
    let path = with_suffix(&job.file, job.coding.suffix());
    let mut source = File::open(&job.file)?;
    let before = source.metadata()?;
    let known = fs::metadata(&path).ok();
    let is_stale = |meta: &Metadata| stamp(meta) < stamp(&before);
    if !force && known.as_ref().is_some_and(|meta| !is_stale(meta)) {
        return Ok(Outcome::Fresh);
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().expect("a file has a name"));
    name.push(format!(".{}.new", std::process::id()));
    let temporary = Temporary(path.with_file_name(name));
    let out = File::create(&temporary.0)?;
    let mut encoder = Encoder::new(job.coding, job.level, Some(before.len()), BufWriter::new(out))?;
    let mut buffer = vec![0; READ_BYTES];
    let mut read = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        encoder.write_all(&buffer[..count])?;
        read += count as u64;
    }
    let out = encoder.finish()?.into_inner().map_err(|error| error.into_error())?;
    let after = source.metadata()?;
    if read != before.len() || stamp(&before) != stamp(&after) || after.len() != before.len() {
        return Err(io::Error::other("the file changed while it was compressed; run the command again"));
    }
    let bytes = out.metadata()?.len();
    if bytes >= before.len() {
        // One that is older than the file would not be served, and is of no use.
        if known.is_some() {
            fs::remove_file(&path)?;
        }
        return Ok(Outcome::NotSmaller);
    }
    out.set_permissions(before.permissions())?;
    out.set_times(FileTimes::new().set_modified(before.modified()?))?;
    fs::rename(&temporary.0, &path)?;
    Ok(Outcome::Written { bytes })
}

/// Seconds and nanoseconds of the last modification.
fn stamp(meta: &Metadata) -> (i64, i64) {
    (meta.mtime(), meta.mtime_nsec())
}

/// A file that goes unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing left by this name.
        let _ = fs::remove_file(&self.0);
    }
}

/// Progress on a terminal; silent elsewhere.
struct Bar {
    done: usize,
    total: usize,
    shown: bool,
}

impl Bar {
    fn new(total: usize) -> Bar {
        Bar { done: 0, total, shown: io::stderr().is_terminal() && total > 0 }
    }

    fn advance(&mut self, file: &Path) {
        self.done += 1;
        if self.shown {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{} {name}", line(self.done, self.total));
            let _ = stderr.flush();
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// `[=====     ] 5/10`
fn line(done: usize, total: usize) -> String {
    let full = BAR_WIDTH * done / total.max(1);
    format!("[{}{}] {done}/{total}", "=".repeat(full), " ".repeat(BAR_WIDTH - full))
}

fn summary(files: usize, report: &Report) -> String {
    let mut text = format!("{files} files: {} siblings written", report.written);
    if report.written > 0 {
        text +=
            &format!(" ({} KiB became {} KiB)", report.bytes_before.div_ceil(1024), report.bytes_after.div_ceil(1024));
    }
    for (count, what) in
        [(report.fresh, "fresh"), (report.not_smaller, "would not be smaller"), (report.failed, "failed")]
    {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_bounded() {
        assert_eq!(parse_level("9", 1, 9), Ok(Level(Some(9))));
        assert_eq!(parse_level("off", 1, 9), Ok(Level(None)));
        for text in ["0", "10", "-1", "", "fast"] {
            assert!(parse_level(text, 1, 9).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bar_grows_to_its_width() {
        assert_eq!(line(0, 3), format!("[{}] 0/3", " ".repeat(BAR_WIDTH)));
        assert_eq!(line(1, 3), format!("[{}{}] 1/3", "=".repeat(10), " ".repeat(20)));
        assert_eq!(line(3, 3), format!("[{}] 3/3", "=".repeat(BAR_WIDTH)));
        assert_eq!(line(0, 0), format!("[{}] 0/0", " ".repeat(BAR_WIDTH)));
    }
}
