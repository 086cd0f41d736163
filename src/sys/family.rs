//! Who descends from whom, as `/proc` tells it (proc_pid_stat(5), proc_tid_children(5)).
//!
//! Looks only; a process may be gone, or have become another one's child, by the time the answer is used. Signals to processes that
//! are not children of our own go through a pidfd that was checked after it was opened. Called by the supervisor.

use super::process::{self, Pid, Signal};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::time::Duration;

/// What is asked of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Its parent; None: it has none in this PID namespace.
    pub parent: Option<Pid>,
    /// Its session, by the number of the process that began it.
    pub session: i32,
    /// When it started, in clock ticks since boot: with the number it names a process for ever.
    pub started: u64,
    /// It has ended and was not reaped.
    pub is_zombie: bool,
}

/// None: there is no such process, or it can't be looked at.
pub fn kin(pid: Pid) -> Option<Kin> {
    let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parse_stat(&stat)
}

/// The command's name may hold anything, so fields count from its last parenthesis.
fn parse_stat(stat: &[u8]) -> Option<Kin> {
    let text = String::from_utf8_lossy(stat);
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(15)?.parse().ok()?;
    Some(Kin { parent: Pid::from_raw(parent), session, started, is_zombie: matches!(state, "Z" | "X") })
}

/// How long ago a process started that was looked at just now.
pub fn age(kin: Kin) -> Duration {
    // The boot clock goes on while the host sleeps, as the kernel counts starts (proc_pid_stat(5), starttime).
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), now.tv_nsec as u32);
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    now.saturating_sub(Duration::from_millis(kin.started.saturating_mul(1000) / ticks_per_second))
}

/// The children of `pid`, zombies among them; those of all its threads. Empty when it is gone.
pub fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return Vec::new() };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => children.extend(list.split_ascii_whitespace().filter_map(number)),
            // A kernel without CONFIG_PROC_CHILDREN; or the thread is gone, and then a look at all processes does no harm.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return children_by_parent(pid),
            Err(_) => {}
        }
    }
    children
}

fn children_by_parent(pid: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?));
    numbers.filter(|&other| kin(other).is_some_and(|kin| kin.parent == Some(pid))).collect()
}

fn number(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

/// All descendants of `roots` that are found, `roots` not among them; parents before their children. At most `max`.
pub fn descendants(roots: &[Pid], max: usize) -> Vec<Pid> {
    let mut found: Vec<Pid> = Vec::new();
    let mut next: Vec<Pid> = roots.to_vec();
    while let Some(pid) = next.pop() {
        for child in children(pid) {
            // A process that changes its parent while we look may be met twice.
            if found.len() < max && !found.contains(&child) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Bytes of memory that `pid` has resident, those that it shares with others among them (proc_pid_status(5), VmRSS). 0: it is gone.
pub fn resident_bytes(pid: Pid) -> u64 {
    let Ok(status) = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// The value of a variable in the environment with which `pid` was started, or which it inherited. None when it has none, or
/// may not be looked at.
pub fn variable(pid: Pid, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let value = |entry: &[u8]| Some(entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec());
    let found = environ.split(|&byte| byte == 0).find_map(value)?;
    String::from_utf8(found).ok()
}

/// Sends a signal to a process that need not be a child of ours, unless another one has taken its number since `kin` was looked at.
pub fn signal_kin(pid: Pid, known: Kin, signal: Signal) -> io::Result<()> {
    let Ok(pidfd) = process::pidfd(pid) else { return Ok(()) };
    // The pidfd keeps meaning the process that it was opened for: if the number still is the known one's now, it was then.
    match kin(pid) {
        Some(now) if now.started == known.started => process::signal_pidfd(&pidfd, signal),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn fields_count_from_the_last_parenthesis() {
        let stat = b"42 (a) b (c) S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2";
        let kin = parse_stat(stat).expect("a line of /proc/PID/stat");
        assert_eq!(kin, Kin { parent: Pid::from_raw(7), session: 9, started: 12345, is_zombie: false });
        assert_eq!(parse_stat(b"42 (a"), None);
    }

    #[test]
    fn a_process_is_as_old_as_its_life() {
        let own = kin(rustix::process::getpid()).expect("it runs");
        assert!(age(own) < Duration::from_secs(60 * 60), "{:?}", age(own));
    }

    #[test]
    fn descendants_are_found_and_signalled() {
        let script = "sleep 1000 & (sleep 1000 & echo ready; wait) & wait";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .env("FAMILY_TEST", "one")
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let root = Pid::from_child(&shell);
        assert_eq!(kin(root).expect("it lives").parent, Some(rustix::process::getpid()));
        assert_eq!(variable(root, "FAMILY_TEST").as_deref(), Some("one"));
        assert_eq!(variable(root, "FAMILY"), None);
        let family = descendants(&[root], 100);
        assert_eq!(family.len(), 3, "two sleeps and a subshell");
        assert_eq!(children_by_parent(root).len(), 2);
        assert_eq!(descendants(&[root], 1).len(), 1);
        let strangers = Kin { started: 0, ..kin(root).expect("it lives") };
        signal_kin(root, strangers, Signal::KILL).expect("another process is left alone");
        // The shell first: it would end by itself once its children have.
        for &pid in [&root].into_iter().chain(&family) {
            signal_kin(pid, kin(pid).expect("it lives"), Signal::KILL).expect("ours to signal");
        }
        let status = shell.wait().expect("our own child");
        assert!(!status.success());
    }
}
