//! The access log's file, from opening to rotation; the shards write to it.
//!
//! Owns the descriptor of which every shard gets a copy. Opened before anything runs, so that a mistake is found at the start; opened anew on
//! SIGUSR1 and when the server rotates it. A file that can't be opened anew is said so, and the old one goes on.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::base::clock::Monotonic;
use crate::base::mail::Sender;
use crate::config::{AccessLogConfig, LogTarget, Rotation, SyslogServer};
use crate::mail::ShardMail;
use crate::observe::access::{Escape, Format};

/// Permissions of a file that is made, before the process's umask.
const FILE_MODE: u32 = 0o644;
/// How often a file that is to be rotated is looked at.
pub(super) const ROTATION_LOOK: Duration = Duration::from_secs(1);

/// An open access log.
#[derive(Debug)]
pub struct AccessLogFile {
    config: Arc<AccessLogConfig>,
    /// The same as the shards have it: in colours where it goes to a terminal.
    shown: Arc<AccessLogConfig>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    sink: OwnedFd,
    opened: Monotonic,
}

impl AccessLogFile {
    /// Opens it.
    ///
    /// # Errors
    /// A sentence that names the file and says why it can't be opened.
    pub fn open(config: &AccessLogConfig) -> Result<AccessLogFile, String> {
        let sink = open_target(&config.target).map_err(|error| match &config.target {
            LogTarget::File(path) => format!("cannot open the access log {}: {error}", path.display()),
            LogTarget::Stdout | LogTarget::Syslog(_) => format!("cannot open the access log: {error}"),
        })?;
        let state = RefCell::new(State { sink, opened: Monotonic::now() });
        let shown = match has_colours(config) {
            true => AccessLogConfig { format: Format::coloured(), ..config.clone() },
            false => config.clone(),
        };
        Ok(AccessLogFile { config: Arc::new(config.clone()), shown: Arc::new(shown), state })
    }

    /// What was asked for.
    pub(super) fn config(&self) -> &AccessLogConfig {
        &self.config
    }

    /// Tells every shard to write to it.
    pub(super) fn hand_out(&self, shards: &[Sender<ShardMail>]) {
        for (number, shard) in shards.iter().enumerate() {
            let sink = match self.state.borrow().sink.try_clone() {
                Ok(sink) => sink,
                Err(error) => {
                    tracing::error!(shard = number, %error, "a shard goes on with the access log that it has");
                    continue;
                }
            };
            // A shard that has stopped reads no mail.
            if let Err(error) = shard.send(ShardMail::AccessLog { config: self.shown.clone(), sink }) {
                tracing::debug!(shard = number, %error, "mail to a shard was not delivered");
            }
        }
    }

    /// Opens the file under its name anew: whoever rotates logs has renamed the old one.
    pub(super) fn reopen(&self, shards: &[Sender<ShardMail>]) {
        let LogTarget::File(path) = &self.config.target else { return };
        match open_target(&self.config.target) {
            Ok(sink) => {
                *self.state.borrow_mut() = State { sink, opened: Monotonic::now() };
                self.hand_out(shards);
                tracing::info!(path = %path.display(), "access log opened anew");
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot open the access log anew; the old file goes on")
            }
        }
    }

    /// Whether it has to be looked at for rotation at all.
    pub(super) fn is_rotated(&self) -> bool {
        let Rotation { size_bytes, age, .. } = self.config.rotation;
        size_bytes.is_some() || age.is_some()
    }

    /// Rotates the file if it is due.
    pub(super) fn look(&self, shards: &[Sender<ShardMail>]) {
        let LogTarget::File(path) = &self.config.target else { return };
        let Rotation { size_bytes, age, keep } = self.config.rotation;
        let due = {
            let state = self.state.borrow();
            let size = fstat(&state.sink).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
            let is_old = age.is_some_and(|age| Monotonic::now().since(state.opened) >= age);
            size > 0 && (is_old || size_bytes.is_some_and(|max| size > max))
        };
        if due {
            if let Err(error) = shift(path, keep) {
                tracing::error!(path = %path.display(), %error, "cannot rotate the access log; it goes on");
                // Tried again after the time of another look, not at once: the clock starts anew.
                self.state.borrow_mut().opened = Monotonic::now();
                return;
            }
            self.reopen(shards);
        }
    }
}

/// Renames `path` to `path.1`, that to `path.2`, and so on; the one beyond `keep` is overwritten.
fn shift(path: &Path, keep: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..keep).rev() {
        match std::fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, numbered(1))
}

/// Whether lines for people go to a terminal that shows colours (https://no-color.org).
fn has_colours(config: &AccessLogConfig) -> bool {
    config.target == LogTarget::Stdout
        && Format::parse("short", Escape::Default).is_ok_and(|short| short == config.format)
        && io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn open_target(target: &LogTarget) -> io::Result<OwnedFd> {
    match target {
        LogTarget::File(path) => open_file(path),
        LogTarget::Stdout => io::stdout().as_fd().try_clone_to_owned(),
        LogTarget::Syslog(syslog) => {
            let family = match &syslog.server {
                SyslogServer::Unix(_) => AddressFamily::UNIX,
                SyslogServer::Udp(address) if address.is_ipv4() => AddressFamily::INET,
                SyslogServer::Udp(_) => AddressFamily::INET6,
            };
            Ok(socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
        }
    }
}

/// A named pipe is opened for reading too: else opening would wait for a reader, and a reader that leaves would break it. Lines wait in
/// the pipe then, and are dropped when it is full.
fn open_file(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let mode = Mode::from_raw_mode(FILE_MODE);
    let file = match open(path, flags | OFlags::WRONLY, mode) {
        Err(rustix::io::Errno::NXIO) => open(path, flags | OFlags::RDWR, mode)?,
        Ok(file) if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::Fifo => {
            open(path, flags | OFlags::RDWR, mode)?
        }
        other => other?,
    };
    // Only the opening was not to wait: the ring does the waiting from here on.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_count_up_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).ok();
        for text in ["first", "second", "third"] {
            std::fs::write(&path, text).expect("written");
            shift(&path, 2).expect("renamed");
        }
        assert_eq!(
            [read("a.log"), read("a.log.1"), read("a.log.2")],
            [None, Some("third".into()), Some("second".into())]
        );
        assert_eq!(read("a.log.3"), None);
    }

    #[test]
    fn a_pipe_without_a_reader_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).expect("a pipe");
        open_file(&path).expect("opened");
    }
}
