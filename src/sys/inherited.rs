//! What the process that has started this one passes on: listening sockets, and ways to tell it how things stand.
//!
//! Owns the variables that name such things (sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3), and those of maitred's own), and removes them
//! from the environment, so that no child takes them for its own. Called once, by `main`, before anything else.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::listen::{Address, listening_address};
use crate::base::bounds::INHERITED_DESCRIPTORS_MAX;

/// The first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
const SYSTEMD_FIRST: RawFd = 3;
/// Which descriptor is the pipe that hears of readiness.
pub const READY_VARIABLE: &str = "MAITRED_READY_FD";
/// Which descriptors are listening sockets of the server that is being replaced, separated by commas.
pub const LISTENERS_VARIABLE: &str = "MAITRED_LISTEN_FDS";
/// Which descriptor is its pidfile, with its lock.
pub const PIDFILE_VARIABLE: &str = "MAITRED_PIDFILE_FD";
/// Set for a server that has been sent to the background.
pub const BACKGROUND_VARIABLE: &str = "MAITRED_BACKGROUND";

/// Where the sockets listen whose numbers the configuration names: of a server that is being replaced, for whose successor they have other numbers.
pub const NUMBERED_VARIABLE: &str = "MAITRED_NUMBERED_FDS";

/// Sockets that the configuration names by their numbers, `fd://3`: where each listens, and whether it is still to be taken.
static NUMBERED: Mutex<Vec<(RawFd, Address, bool)>> = Mutex::new(Vec::new());

/// It can be taken once: descriptors have one owner.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// What was passed on.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listening sockets, and whether they are systemd's: the others are of the server that is being replaced.
    pub listeners: Vec<(OwnedFd, bool)>,
    /// This process is to replace another, which runs as long as `ready`'s other end is open.
    pub is_successor: bool,
    /// The pipe on which whoever has started this process waits to hear that it serves.
    pub ready: Option<OwnedFd>,
    /// The pidfile of the server that is being replaced.
    pub pidfile: Option<OwnedFd>,
    /// This process has been sent to the background.
    pub is_background: bool,
    /// `NOTIFY_SOCKET`.
    pub notify: Option<OsString>,
    /// How often systemd wants to hear that the server lives.
    pub watchdog: Option<Duration>,
}

impl Inherited {
    /// Takes everything that is there. To be called once, as the process's first act.
    ///
    /// # Errors
    /// A variable names descriptors that are not there, or this is not the first act.
    pub fn take() -> io::Result<Inherited> {
        if IS_TAKEN.swap(true, Ordering::Relaxed) || std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("what was passed on is taken before anything else is done"));
        }
        // SAFETY: this is the only thread.
        if let Some(list) = unsafe { take_variable(NUMBERED_VARIABLE) } {
            *numbered() = addressed(list.to_str().unwrap_or_default());
        }
        let this = std::process::id().to_string();
        // SAFETY: this is the only thread.
        let take = |name: &str| unsafe { take_variable(name) };
        let is_ours = |pid: &Option<OsString>| pid.as_ref().is_none_or(|pid| *pid == *this);
        let (listen_pid, listen_fds) = (take("LISTEN_PID"), take("LISTEN_FDS"));
        take("LISTEN_FDNAMES");
        let from_systemd = listen_fds.filter(|_| listen_pid.is_some() && is_ours(&listen_pid));
        let count: RawFd = from_systemd.and_then(|count| count.to_str()?.parse().ok()).unwrap_or(0);
        let list = take(LISTENERS_VARIABLE);
        let is_successor = list.is_some();
        let numbers: Vec<(RawFd, bool)> = match list {
            Some(list) => unlisted(list.to_str().unwrap_or_default()),
            None => (SYSTEMD_FIRST..).take(usize::try_from(count).unwrap_or(0)).map(|number| (number, true)).collect(),
        };
        if numbers.len() > INHERITED_DESCRIPTORS_MAX {
            let message =
                format!("{} listening sockets were passed on, more than {INHERITED_DESCRIPTORS_MAX}", numbers.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let number = |name: &str| take(name).and_then(|number| number.to_str()?.parse().ok());
        let (ready, pidfile) = (number(READY_VARIABLE), number(PIDFILE_VARIABLE));
        let (watchdog_pid, watchdog) = (take("WATCHDOG_PID"), take("WATCHDOG_USEC"));
        let watchdog: Option<u64> =
            watchdog.filter(|_| is_ours(&watchdog_pid)).and_then(|usec| usec.to_str()?.parse().ok());
        // SAFETY: at its start a process owns the descriptors that it was given, and nothing was done with them yet.
        let owned = |number: RawFd| unsafe { own(number) };
        Ok(Inherited {
            listeners: numbers
                .into_iter()
                .map(|(number, of_systemd)| Ok((owned(number)?, of_systemd)))
                .collect::<io::Result<_>>()?,
            is_successor,
            ready: ready.map(owned).transpose()?,
            pidfile: pidfile.map(owned).transpose()?,
            is_background: take(BACKGROUND_VARIABLE).is_some(),
            notify: take("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: watchdog.filter(|usec| *usec > 0).map(Duration::from_micros),
        })
    }
}

impl Inherited {
    /// Takes the sockets that the configuration names by their numbers, beside those that came in other ways. To be called before anything but the
    /// configuration has been opened.
    ///
    /// # Errors
    /// One is no longer there.
    pub fn take_numbered(&mut self) -> io::Result<()> {
        let owned: Vec<RawFd> = self.listeners.iter().map(|(socket, _)| socket.as_raw_fd()).collect();
        for (number, _, is_left) in numbered().iter_mut().filter(|(_, _, is_left)| *is_left) {
            *is_left = false;
            if !owned.contains(number) {
                // SAFETY: a process owns the descriptors that it was given at its start; this one was looked at only, and nobody has taken it.
                self.listeners.push((unsafe { own(*number) }?, true));
            }
        }
        Ok(())
    }

    /// The variables that a process in this one's place is to have again. What systemd has said of this process counts for another one too.
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let notify = self.notify.clone().map(|name| ("NOTIFY_SOCKET".into(), name));
        let watchdog = self.watchdog.map(|every| ("WATCHDOG_USEC".into(), every.as_micros().to_string().into()));
        let background = self.is_background.then(|| (BACKGROUND_VARIABLE.into(), "1".into()));
        let list: Vec<_> = numbered().iter().map(|(number, address, _)| format!("{number} {address}")).collect();
        let numbered = (!list.is_empty()).then(|| (NUMBERED_VARIABLE.into(), list.join("\n").into()));
        notify.into_iter().chain(watchdog).chain(background).chain(numbered).collect()
    }
}

fn numbered() -> MutexGuard<'static, Vec<(RawFd, Address, bool)>> {
    // What it holds is whole at every moment.
    NUMBERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the socket listens that has this number, or had it when a server that this one replaces was started.
///
/// # Errors
/// A sentence: it is no socket that listens.
pub fn address_of(number: RawFd) -> Result<Address, String> {
    if let Some((_, address, _)) = numbered().iter().find(|(known, ..)| *known == number) {
        return Ok(address.clone());
    }
    if number < SYSTEMD_FIRST {
        return Err(format!("descriptor {number} is a standard stream and no socket that listens"));
    }
    // SAFETY: looked at, not closed; whether it is open is what is asked.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let address = fcntl_getfd(borrowed).map_err(io::Error::from).and_then(|_| listening_address(borrowed));
    let address = address.map_err(|error| format!("descriptor {number} is no socket that listens: {error}"))?;
    let mut numbered = numbered();
    if numbered.len() < INHERITED_DESCRIPTORS_MAX {
        numbered.push((number, address.clone(), true));
    }
    Ok(address)
}

/// Whether a socket of this address was named by its number.
#[must_use]
pub fn is_numbered(address: &Address) -> bool {
    numbered().iter().any(|(_, known, _)| known == address)
}

/// Addresses by numbers, as [`NUMBERED_VARIABLE`] lists them.
fn addressed(list: &str) -> Vec<(RawFd, Address, bool)> {
    let one = |line: &str| {
        let (number, address) = line.split_once(' ')?;
        let address = match address.strip_prefix("unix:") {
            Some(path) => Address::Unix(path.into()),
            None => Address::Tcp(address.parse().ok()?),
        };
        Some((number.parse().ok()?, address, false))
    };
    list.lines().filter_map(one).collect()
}

/// Numbers of descriptors as `MAITRED_LISTEN_FDS` lists them; systemd's are marked.
pub fn listed(sockets: &[(RawFd, bool)]) -> String {
    let one = |(number, of_systemd): &(RawFd, bool)| format!("{number}{}", if *of_systemd { "!" } else { "" });
    sockets.iter().map(one).collect::<Vec<_>>().join(",")
}

/// The same from the other end.
fn unlisted(list: &str) -> Vec<(RawFd, bool)> {
    let one = |word: &str| Some((word.trim_end_matches('!').parse().ok()?, word.ends_with('!')));
    list.split(',').filter_map(one).collect()
}

/// A variable that is in the environment no longer.
///
/// # Safety
/// Nobody else reads or writes the environment meanwhile.
unsafe fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: as promised by the caller.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// The descriptor of this number, which no child will inherit.
///
/// # Safety
/// Nobody else owns it.
unsafe fn own(number: RawFd) -> io::Result<OwnedFd> {
    let missing = |error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor {number} was to be passed on: {error}"))
    };
    if number < SYSTEMD_FIRST {
        return Err(missing(io::Error::from(rustix::io::Errno::BADF)));
    }
    // SAFETY: looked at, not closed; whether it is open is what is asked.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed).map_err(|error| missing(error.into()))?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and as promised by the caller it is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// From now on nothing that is written to standard error is seen (dup2(2)).
pub fn silence_stderr() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    // SAFETY: both numbers are open descriptors; the old one at 2 is nobody's own.
    match unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), libc::STDERR_FILENO) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_addresses() {
        let tcp = Address::Tcp("127.0.0.1:80".parse().expect("an address"));
        let listed = addressed(&format!("3 {tcp}\n7 {}\nx", Address::Unix("/run/a b".into())));
        assert_eq!(listed, [(3, tcp, false), (7, Address::Unix("/run/a b".into()), false)]);
        for number in [0, 2, i32::MAX] {
            assert!(address_of(number).is_err_and(|message| message.contains("no socket that listens")), "{number}");
        }
        let file = std::fs::File::open("/dev/null").expect("it is there");
        assert!(address_of(file.as_raw_fd()).is_err());
    }

    #[test]
    fn what_is_listed_is_read_back() {
        for sockets in [vec![], vec![(4, false)], vec![(4, true), (17, false)]] {
            assert_eq!(unlisted(&listed(&sockets)), sockets);
        }
        assert_eq!(unlisted("x,!,5!"), [(5, true)]);
    }
}
