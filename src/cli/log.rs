//! The diagnostic log, on stderr or in a file: one line an event.
//!
//! Owns format, level and place. A thread of its own does the writing behind a bounded queue: a stuck terminal costs lines,
//! never a request.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{EXIT_UNUSABLE, complain};
use crate::base::bounds::LOG_LINES_MAX;
use crate::base::{calendar, clock};
use crate::config::{Config, LogLevel};
use crate::observe::access::Stamp;
use crate::supervise::main_log::MainLog;
use crate::supervise::output::CHILDREN;
use crate::sys::zone;

/// Least serious messages that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// Something failed.
    #[value(alias = "critical")]
    Error,
    /// Something is not as it should be.
    #[value(alias = "warning")]
    Warn,
    /// Starts, stops and reloads.
    Info,
    /// What helps to find a mistake.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> LogLevel {
        match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        }
    }
}

/// Starts the log. `level` wins over `MAITRED_LOG`, which takes the directives of `tracing_subscriber`'s `EnvFilter`, and that over the
/// configuration; without all three it is `info`. What children write is logged at every level. Lines still queued are written when the guard is dropped; the log's end is kept beside
/// it.
///
/// # Errors
/// The exit code, after a message: `MAITRED_LOG` cannot be understood, or the file can't be written.
pub fn start(level: Option<Level>, config: &Config) -> Result<(WorkerGuard, Arc<MainLog>), ExitCode> {
    let server = &config.server;
    let variable = std::env::var("MAITRED_LOG").ok().filter(|value| !value.is_empty());
    let directives = match (level, &variable) {
        (Some(level), _) => LogLevel::from(level).name(),
        (None, Some(value)) => value,
        (None, None) => server.log_level.unwrap_or(LogLevel::Info).name(),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        complain(format_args!(
            "environment variable MAITRED_LOG: {error}; set it to error, warn, info, debug or trace"
        ));
        ExitCode::from(EXIT_UNUSABLE)
    })?;
    let filter =
        filter.add_directive(format!("{CHILDREN}=info").parse().expect("a target and a level are a directive"));
    let sink = match &server.error_log {
        None => Sink::Stderr,
        Some(path) => match open(path) {
            Ok(file) => Sink::File { path: path.clone(), file, reopened: 0 },
            Err(error) => {
                complain(format_args!("maitred: cannot write the log {}: {error}", path.display()));
                return Err(ExitCode::from(EXIT_UNUSABLE));
            }
        },
    };
    let is_terminal = matches!(sink, Sink::Stderr) && io::stderr().is_terminal();
    let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // As the short access log beside it has it.
    let is_local = matches!(sink, Sink::Stderr) && config.app.as_ref().is_some_and(|app| app.dev);
    let main_log = Arc::new(MainLog::default());
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LOG_LINES_MAX)
        .finish(Tee { sink, main_log: main_log.clone() });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(writer)
        .event_format(Line { is_local })
        .init();
    Ok((guard, main_log))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Where lines go.
enum Sink {
    Stderr,
    File {
        path: PathBuf,
        file: File,
        /// How many of the wishes to open it anew were seen to.
        reopened: u32,
    },
}

/// The log's place, and the end of the log for those who ask.
struct Tee {
    sink: Sink,
    main_log: Arc<MainLog>,
}

impl Tee {
    /// Opens the file anew if that was wished for; one that can't be opened goes on as it is.
    fn reopen(&mut self) {
        if let Sink::File { path, file, reopened } = &mut self.sink
            && *reopened != self.main_log.reopenings()
        {
            *reopened = self.main_log.reopenings();
            match open(path) {
                Ok(new) => *file = new,
                Err(error) => {
                    // Into the old file; if that fails too there is nobody to tell.
                    let _ = writeln!(file, "cannot open {} anew: {error}; this file goes on", path.display());
                }
            }
        }
    }
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.main_log.write(bytes);
        self.reopen();
        // Who asks for the log may hear what the terminal or the disk could not take.
        let written = match &mut self.sink {
            Sink::Stderr => io::stderr().write_all(bytes),
            Sink::File { file, .. } => file.write_all(bytes),
        };
        written.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stderr => io::stderr().flush(),
            Sink::File { file, .. } => file.flush(),
        }
    }
}

/// `2026-11-24T10:00:00.123Z INFO  message key=value`
struct Line {
    /// `11:00:00 INFO  message key=value`, by the clock on the wall: for development.
    is_local: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        if self.is_local {
            let now = clock::wall_seconds();
            let stamp = Stamp::new(now, zone::offset_minutes(now));
            writer.write_str(&String::from_utf8_lossy(stamp.time_of_day()))?;
        } else {
            calendar::timestamp(clock::wall_milliseconds(), &mut writer)?;
        }
        if writer.has_ansi_escapes() {
            write!(writer, " \x1b[{}m{:<5}\x1b[0m ", colour(level), level.as_str())?;
        } else {
            write!(writer, " {:<5} ", level.as_str())?;
        }
        writeln!(writer, "{}{}", fields.message, fields.rest)
    }
}

fn colour(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 31,
        tracing::Level::WARN => 33,
        tracing::Level::INFO => 32,
        tracing::Level::DEBUG => 34,
        tracing::Level::TRACE => 35,
    }
}

/// The message and, behind it, ` key=value` for each other field.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &format!("{value:?}"));
    }
}

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        if name == "message" {
            visible(value, &mut self.message);
        } else if value.is_empty() || value.contains([' ', '"', '=']) || value.chars().any(char::is_control) {
            write!(self.rest, " {name}={value:?}").expect("a String takes everything");
        } else {
            write!(self.rest, " {name}={value}").expect("a String takes everything");
        }
    }
}

/// Adds `text` to `out` such that nobody's bytes can pass for another event or command the terminal: further lines (of a
/// traceback) are indented, control characters escaped.
fn visible(text: &str, out: &mut String) {
    for c in text.trim_end_matches('\n').chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push(c),
            _ if c.is_control() => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let mut fields = Fields::default();
        for (name, value) in [("message", "two\nlines\x1b[2J\n"), ("plain", "a/b"), ("blank", "a b"), ("empty", "")] {
            fields.add(name, value);
        }
        assert_eq!(fields.message, "two\n    lines\\u{1b}[2J");
        assert_eq!(fields.rest, " plain=a/b blank=\"a b\" empty=\"\"");
    }
}
