//! Processes seen from outside, through `/proc` and pidfds. Signals go to single pids, never to names.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Sends `signal` to `pid`; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    let _gone = kill_process(raw(pid), signal);
}

/// Waits until `pid` has ended (a zombie has ended). False when it still runs after `limit`.
pub fn wait_gone(pid: u32, limit: Duration) -> bool {
    let Ok(fd) = pidfd_open(raw(pid), PidfdFlags::empty()) else {
        return true;
    };
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a limit of seconds fits");
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll on a pidfd: {error}"),
        }
    }
}

/// True while `pid` runs (a zombie doesn't).
pub fn is_alive(pid: u32) -> bool {
    matches!(state(pid), Some(state) if state != 'Z' && state != 'X')
}

/// The state letter of proc_pid_stat(5), none when there is no such process.
pub fn state(pid: u32) -> Option<char> {
    stat(pid)?.0.chars().next()
}

/// Whether it lives and leads a session.
pub fn leads_session(pid: u32) -> bool {
    is_alive(pid) && rustix::process::getsid(Some(raw(pid))).is_ok_and(|session| session == raw(pid))
}

/// Whether every thread of `pid` is stopped.
pub fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut states = threads.map(|thread| stat_in(&thread.path()).map(|(state, _)| state));
    states.all(|state| state.as_deref() == Some("T"))
}

/// Pids of the direct children of `parent`, zombies included.
pub fn children(parent: u32) -> Vec<u32> {
    all().filter(|&pid| stat(pid).is_some_and(|(_, above)| above == parent)).collect()
}

/// Pids of all running processes whose environment holds `entry` (`NAME=value`): a server's whole family, also when
/// it has been re-parented.
pub fn with_environment(entry: &str) -> Vec<u32> {
    all()
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|found| found == entry.as_bytes()))
        })
        .collect()
}

/// Resident memory of `pid`, KiB (`VmRSS`), 0 when it is gone.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// How many descriptors `pid` has open that are sockets.
pub fn sockets(pid: u32) -> usize {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return 0;
    };
    folder
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

/// How many files without a name `pid` has open in `folder`.
pub fn nameless_files(pid: u32, folder: &std::path::Path) -> usize {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return 0;
    };
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|link| link.starts_with(folder) && link.to_string_lossy().ends_with("(deleted)"))
        .count()
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .expect("/proc is mounted")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// State and parent pid. The command's name may hold anything, so fields count from its last parenthesis.
fn stat(pid: u32) -> Option<(String, u32)> {
    stat_in(Path::new(&format!("/proc/{pid}")))
}

fn stat_in(folder: &Path) -> Option<(String, u32)> {
    let text = fs::read(folder.join("stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.next()?.parse().ok()?))
}

fn raw(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid is a positive i32")
}
