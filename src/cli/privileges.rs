//! `user` of `[server]`: what is done before root's rights are given up, how far that goes, and what is said of it.
//!
//! Owns the order: what only root can open is open by then; what the user will have to write is made theirs. Called by `serve`, and by `check` to see
//! with the user's eyes.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, fchown, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};

use crate::config::{AcmeConfig, Config, LogTarget};
use crate::sys::privileges::{process_becomes, thread_becomes};
use crate::sys::users::User;

/// Whose a process or a thread is to be from now on.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Whom a shard's thread has to become by itself; `None`: it is whom it should be.
    pub shards: Option<Arc<User>>,
    /// Root's rights are gone: what only root can do is never done again.
    pub is_final: bool,
}

/// Whom the server has to become, if it is somebody else yet.
///
/// # Errors
/// A sentence: only root could.
fn wanted(config: &Config) -> Result<Option<&User>, String> {
    let user = config.server.user.as_ref().filter(|user| user.uid != geteuid().as_raw());
    match user {
        Some(user) if !geteuid().is_root() => Err(format!(
            "cannot run as {} (user in [server]): only root can become somebody else; start maitred as root, or remove it",
            user.name
        )),
        user => Ok(user),
    }
}

/// Does something with the rights that the workers will have: in a thread that has become the user of the configuration, as have all processes that it
/// starts.
///
/// # Errors
/// A sentence: it is not to be had.
pub(super) fn as_user<T: Send>(config: &Config, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    let Some(user) = wanted(config)? else { return Ok(work()) };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let become_user = thread_becomes(user);
            become_user.map_err(|error| format!("cannot become {} (user in [server]): {error}", user.name))?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Becomes the user of the configuration, who gets what the server will write: the access log, the directory of ACME.
///
/// # Errors
/// A sentence; the server must not go on.
pub(super) fn give_up(config: &Config) -> Result<Standing, String> {
    let Some(user) = wanted(config)? else {
        if geteuid().is_root() && config.app.is_some() && config.server.user.is_none() {
            tracing::warn!("the application runs as root; name somebody else as user in [server]");
        }
        warn_of_unwritable(written(config));
        return Ok(Standing::default());
    };
    if config.has_other_users() {
        // What ACME writes is the supervisor's.
        as_user(config, || warn_of_unwritable(spooled(config)))?;
        tracing::info!(user = user.name, "the supervisor stays root, as programs have users of their own");
        return Ok(Standing { shards: Some(Arc::new(user.clone())), is_final: false });
    }
    if let Some(LogTarget::File(path)) = config.server.access_log.as_ref().map(|log| &log.target) {
        give_log(path, user).map_err(|error| format!("cannot make the access log {}: {error}", path.display()))?;
    }
    if let Some(acme) = acme(config) {
        give_directory(&acme.storage, user)
            .map_err(|error| format!("cannot give {} to {}: {error}", acme.storage.display(), user.name))?;
    }
    process_becomes(user).map_err(|error| format!("cannot become {} (user in [server]): {error}", user.name))?;
    for (key, directory) in written(config) {
        if let Err(error) = accessat(CWD, &directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            let (directory, name) = (directory.display(), &user.name);
            return Err(format!("{key} {directory} cannot be written to by {name} (user in [server]): {error}"));
        }
    }
    for path in later(config) {
        if let Err(error) = File::open(path) {
            let (path, user) = (path.display(), &user.name);
            tracing::warn!(%path, user, %error, "this file cannot be read any more: changes of it take a restart");
        }
    }
    tracing::info!(user = user.name, "gave up root's rights");
    Ok(Standing { shards: None, is_final: true })
}

/// The section, if there is a certificate for it to get.
fn acme(config: &Config) -> Option<&AcmeConfig> {
    config.acme.as_ref().filter(|_| config.tls.iter().any(|entry| entry.acme))
}

/// The directories that are written to while the server runs, by their keys.
fn written(config: &Config) -> impl Iterator<Item = (&'static str, PathBuf)> {
    spooled(config).chain(acme(config).map(|acme| ("storage", acme.folder())))
}

/// Where shards keep what is large.
fn spooled(config: &Config) -> impl Iterator<Item = (&'static str, PathBuf)> {
    config.app.iter().map(|app| ("spool_dir", app.spool_dir.clone()))
}

/// Large uploads would be refused, or certificates lost, and nobody would know why.
fn warn_of_unwritable(directories: impl Iterator<Item = (&'static str, PathBuf)>) {
    for (key, directory) in directories {
        if let Err(error) = make_file(&directory) {
            let directory = directory.display();
            tracing::warn!(
                "{key} {directory} cannot be written to ({error}): what has to go there fails, as uploads do that are too large for the memory (503); name \
                 another directory, or mount a tmpfs there"
            );
        }
    }
}

/// Makes a file without a name, or one that is gone at once. Where there is no directory yet, whoever needs it makes it.
fn make_file(directory: &Path) -> io::Result<()> {
    let directory = match File::open(directory) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Its files can be written all the same if it may not be read.
        Err(_) => return Ok(accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?),
    };
    let mode = Mode::RUSR | Mode::WUSR;
    let unnamed = openat(&directory, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode);
    match unnamed {
        // open(2), O_TMPFILE: the file system does not support it; EISDIR and ENOENT are said by what does not even know it.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {}
        other => return Ok(other.map(drop)?),
    }
    let name = format!("maitred-{}-start", std::process::id());
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    openat(&directory, &name, flags, mode)?;
    Ok(unlinkat(&directory, &name, AtFlags::empty())?)
}

/// The files that are read again while the server runs: certificates with their keys, users and passwords are found by changing.
fn later(config: &Config) -> impl Iterator<Item = &Path> {
    let origin = Some(config.origin.as_path()).filter(|path| path.is_file());
    let certificates = config.tls.iter().filter(|entry| !entry.acme).flat_map(|entry| &entry.certificates);
    origin.into_iter().chain(certificates.flat_map(|files| [files.cert.as_path(), files.key.as_path()]))
}

/// Makes the file, for this user to write to, in a directory where only root can make any. Elsewhere the user has to be able to: a file that root
/// opened in somebody else's directory might be any file.
fn give_log(path: &Path, user: &User) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let directory = match File::open(directory) {
        Ok(directory) => directory,
        // Said when the file is opened.
        Err(_) => return Ok(()),
    };
    let found = directory.metadata()?;
    if found.uid() != Uid::ROOT.as_raw() || found.mode() & 0o022 != 0 {
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&directory, name, flags, Mode::from_raw_mode(0o644))?;
    if File::from(file.try_clone()?).metadata()?.is_file() { give(&file, user) } else { Ok(()) }
}

fn give(file: impl AsFd, user: &User) -> io::Result<()> {
    Ok(fchown(file, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?)
}

/// Gives the user what root has made in a directory, and it itself. What somebody else has made there stays theirs.
fn give_directory(path: &Path, user: &User) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = File::from(openat(CWD, path, flags, Mode::empty())?);
    let found = opened.metadata()?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give_directory(&entry?.path(), user)?;
        }
    }
    // A second name of a file may be one that somebody has made for it here.
    let is_ours = found.uid() == Uid::ROOT.as_raw() && (found.is_dir() || (found.is_file() && found.nlink() == 1));
    if is_ours { give(&opened, user) } else { Ok(()) }
}
