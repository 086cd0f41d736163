//! Child processes: who ended and how, signals to them, and being the parent of orphans.
//!
//! Never starts a process (`spawn` does) and never decides about one (the supervision machine does).

use rustix::io::Errno;
pub use rustix::process::{Pid, Signal};
use rustix::process::{PidfdFlags, WaitOptions, WaitStatus};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It called exit with this code, 0 to 255.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether the kernel wrote a core dump.
        core_dumped: bool,
    },
    /// SIGKILL, probably the kernel's, as memory was short.
    OutOfMemory,
    /// It was another one's child, who alone is told.
    Unknown,
}

impl Exit {
    /// Exit code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::OutOfMemory => f.write_str("signal 9 (SIGKILL), probably out of memory"),
            Exit::Unknown => f.write_str("unknown"),
            Exit::Signal { signal, core_dumped } => {
                match signal_name(signal) {
                    Some(name) => write!(f, "signal {signal} ({name})")?,
                    None => write!(f, "signal {signal}")?,
                }
                if core_dumped {
                    f.write_str(", core dumped")?;
                }
                Ok(())
            }
        }
    }
}

/// The name of a signal of signal(7), "SIGKILL"; None for real-time and unknown ones.
pub fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    NAMES.get(index).copied()
}

/// Makes this process the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER, prctl(2)), so that workers that
/// the zygote forked, and whatever they leave behind, are reaped here.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Reaps one child of any kind that has ended (waitpid(-1, WNOHANG)); None when there is none. To be repeated until None: one
/// SIGCHLD may stand for several deaths. Only the supervisor calls it; it takes the exits of all children.
pub fn reap_any() -> io::Result<Option<(Pid, Exit)>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(exit) = decode(status) {
                    return Ok(Some((pid, exit)));
                }
            }
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the child `pid` ends and reaps it. Blocks.
pub fn wait_for(pid: Pid) -> io::Result<Exit> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(exit) = decode(status) {
                    return Ok(exit);
                }
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A descriptor that becomes readable when `pid` ends, and through which signals can't reach a later process of the same number
/// (pidfd_open(2)). `pid` must not have been reaped yet.
pub fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends a signal through a pidfd. That the process is gone already is no error.
pub fn signal_pidfd(pidfd: impl AsFd, signal: Signal) -> io::Result<()> {
    gone_is_fine(rustix::process::pidfd_send_signal(pidfd, signal))
}

/// Sends a signal by number. That the process is gone already is no error. Safe for a child that was not reaped yet:
/// its number can't have been given to another process.
pub fn signal(pid: Pid, signal: Signal) -> io::Result<()> {
    gone_is_fine(rustix::process::kill_process(pid, signal))
}

/// Sends a signal to the process group of a child that leads one and was not reaped yet, as [`signal`] does.
pub fn signal_group(leader: Pid, signal: Signal) -> io::Result<()> {
    gone_is_fine(rustix::process::kill_process_group(leader, signal))
}

fn gone_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// None for a report that is no end of a process (stopped, continued).
fn decode(status: WaitStatus) -> Option<Exit> {
    if let Some(code) = status.exit_status() {
        return Some(Exit::Code(code));
    }
    let signal = status.terminating_signal()?;
    Some(Exit::Signal { signal, core_dumped: libc::WCOREDUMP(status.as_raw()) })
}

/// Sets the process's file mode creation mask (umask(2)), for all of its threads and for those that it starts.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Gives the calling thread, which in the main thread is the process, a name: its first 15 bytes show in `ps` and `top` (PR_SET_NAME, prctl(2)).
pub fn set_name(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    Ok(rustix::thread::set_name(&name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn exits_are_named() {
        assert_eq!(Exit::Code(3).to_string(), "exit code 3");
        assert_eq!(Exit::Signal { signal: 9, core_dumped: false }.to_string(), "signal 9 (SIGKILL)");
        assert_eq!(Exit::OutOfMemory.to_string(), "signal 9 (SIGKILL), probably out of memory");
        assert_eq!(Exit::Signal { signal: 6, core_dumped: true }.to_string(), "signal 6 (SIGABRT), core dumped");
        assert_eq!(signal_name(31), Some("SIGSYS"));
        assert_eq!((signal_name(0), signal_name(32), signal_name(-1)), (None, None, None));
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "reaped by the functions under test")]
    fn a_signal_through_a_pidfd_ends_the_process() {
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        let pid = Pid::from_child(&child);
        let handle = pidfd(pid).expect("pidfd");
        signal_pidfd(&handle, Signal::KILL).expect("signal");
        assert_eq!(wait_for(pid).expect("wait"), Exit::Signal { signal: 9, core_dumped: false });
        signal_pidfd(&handle, Signal::KILL).expect("a process that is gone is no error");
    }

    #[test]
    fn orphans_are_reaped_by_the_subreaper() {
        // In a process of its own: reap_any takes the exits of all children, also those of other tests.
        let this = std::env::current_exe().expect("test binary");
        let test = "sys::process::tests::reap_in_a_process_of_its_own";
        let status = Command::new(this).args(["--exact", test, "--ignored", "--test-threads=1"]).status().expect("run");
        assert!(status.success());
    }

    #[test]
    #[ignore = "started by orphans_are_reaped_by_the_subreaper"]
    #[expect(clippy::zombie_processes, reason = "reaped by the functions under test")]
    fn reap_in_a_process_of_its_own() {
        become_subreaper().expect("prctl");
        assert_eq!(reap_any().expect("no children"), None);
        // The shell leaves an orphan that ends with code 7, and itself ends with code 5.
        let shell = Command::new("sh").args(["-c", "(exit 7) & exit 5"]).spawn().expect("sh");
        let pid = Pid::from_child(&shell);
        let mut exits = vec![(pid, wait_for(pid).expect("shell"))];
        while exits.len() < 2 {
            match reap_any().expect("reap") {
                Some(exit) => exits.push(exit),
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(exits[0].1, Exit::Code(5));
        assert_eq!(exits[1].1, Exit::Code(7));
        assert_eq!(reap_any().expect("none left"), None);
    }
}
