//! Signals as events: blocked in every thread, read from a signalfd by one.
//!
//! Owns the program's signal mask and dispositions. Never runs code in a signal handler: a signal only becomes a
//! value that the supervisor's loop reads.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The signals that the supervisor acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM: stop gracefully.
    Terminate,
    /// SIGINT: stop gracefully (Ctrl-C).
    Interrupt,
    /// SIGQUIT: stop at once.
    Quit,
    /// SIGHUP: reload.
    Hangup,
    /// SIGCHLD: at least one child ended; several deaths may give one signal (signal(7)).
    Child,
    /// SIGUSR1: reopen log files.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGWINCH.
    WindowChange,
    /// SIGTTIN: one worker more (Gunicorn's meaning).
    TtyIn,
    /// SIGTTOU: one worker less (Gunicorn's meaning).
    TtyOut,
}

const SIGNALS: [(Signal, libc::c_int); 10] = [
    (Signal::Terminate, libc::SIGTERM),
    (Signal::Interrupt, libc::SIGINT),
    (Signal::Quit, libc::SIGQUIT),
    (Signal::Hangup, libc::SIGHUP),
    (Signal::Child, libc::SIGCHLD),
    (Signal::User1, libc::SIGUSR1),
    (Signal::User2, libc::SIGUSR2),
    (Signal::WindowChange, libc::SIGWINCH),
    (Signal::TtyIn, libc::SIGTTIN),
    (Signal::TtyOut, libc::SIGTTOU),
];

/// Who sent a signal, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which signal.
    pub signal: Signal,
    /// The sender's process id; 0 when the kernel sent it.
    pub sender: u32,
}

/// What would end the process where an error does: EPIPE of a closed pipe, EFBIG of a file beyond RLIMIT_FSIZE.
const IGNORED: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Blocks the signals of [`Signal`] in the calling thread and ignores SIGPIPE and SIGXFSZ in the whole process. To be called by the main
/// thread before it starts others, which inherit the mask; otherwise a signal may be delivered to a thread that has
/// it unblocked, and its default action is taken.
pub fn block() -> io::Result<()> {
    let set = signal_set();
    // SAFETY: `set` is an initialised signal set and outlives the call; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    for number in IGNORED {
        // SAFETY: SIG_IGN is a valid disposition and no handler is installed.
        if unsafe { libc::signal(number, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A descriptor from which blocked signals are read (signalfd(2)).
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Opens it, non-blocking and close-on-exec. It yields signals of the process and of the thread that reads.
    pub fn new() -> io::Result<SignalFd> {
        let set = signal_set();
        // SAFETY: `set` is an initialised signal set and outlives the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that has arrived, or None. Equal signals that arrive before a reading are one.
    pub fn read_next(&self) -> io::Result<Option<Received>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is `size` bytes long and lives until the call returns.
        let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if read < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        }
        assert_eq!(read as usize, size, "signalfd gives whole records (signalfd(2))");
        // SAFETY: plain integers, zeroed at first and then filled by the kernel.
        let info = unsafe { info.assume_init() };
        Ok(decode(info.ssi_signo).map(|signal| Received { signal, sender: info.ssi_pid }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Empties the calling thread's signal mask and gives every signal that `block` or Rust's runtime changed its default
/// action again. Async-signal-safe: made for a child between fork and exec.
pub(super) fn reset_in_child() -> Result<(), i32> {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; sigprocmask and signal are async-signal-safe (signal-safety(7)).
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        for number in IGNORED {
            libc::signal(number, libc::SIG_DFL);
        }
        if libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(*libc::__errno_location());
        }
    }
    Ok(())
}

fn decode(number: u32) -> Option<Signal> {
    SIGNALS.iter().find(|(_, known)| *known as u32 == number).map(|(signal, _)| *signal)
}

fn signal_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; the numbers are valid signals, so sigaddset can't fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for (_, number) in SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(number: libc::c_int) {
        // SAFETY: raise(3) sends a signal to the calling thread, where it is blocked.
        assert_eq!(unsafe { libc::raise(number) }, 0);
    }

    #[test]
    fn blocked_signals_are_read_with_their_sender() {
        block().expect("mask");
        let signals = SignalFd::new().expect("signalfd");
        assert_eq!(signals.read_next().expect("read"), None);
        for (signal, number) in SIGNALS {
            raise(number);
            let received = signals.read_next().expect("read").expect("arrived");
            assert_eq!(received, Received { signal, sender: std::process::id() });
        }
        raise(libc::SIGHUP);
        raise(libc::SIGHUP);
        assert!(signals.read_next().expect("read").is_some());
        assert_eq!(signals.read_next().expect("read"), None, "equal signals are one");
    }
}
