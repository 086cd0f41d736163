//! What an earlier maitred has left when it was killed: processes that carry its mark, while it is gone itself.
//!
//! Owns how such a process is told from those of another maitred on the host, running or not. A process is named by its number and its start,
//! so that one which was given the number later is never meant. Looks only, and opens pipes anew; the machine decides what follows.

use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::tree::MARK;
use crate::config::LaunchConfig;
use crate::sys::family::{self, Kin};
use crate::sys::process::Pid;

/// A process that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub pid: Pid,
    pub kin: Kin,
    /// Its program's process, by the names of its group and its own.
    pub group: String,
    pub name: String,
    /// Its mark.
    pub mark: String,
}

impl Orphan {
    /// Whether it still runs.
    pub fn is_there(&self) -> bool {
        family::kin(self.pid).is_some_and(|kin| !kin.is_zombie && kin.started == self.kin.started)
    }
}

/// The beginning of every mark of a maitred with this configuration: nobody else's programs are meant.
pub(super) fn instance(origin: &Path) -> String {
    hash(origin.as_os_str().as_encoded_bytes())
}

/// The end of the mark of what was started in this way: whoever has another one can't be adopted.
pub(super) fn fingerprint(launch: &LaunchConfig) -> String {
    hash(format!("{launch:?}").as_bytes())
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits: names a thing, keeps no secret.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Where among what is left of a process its main one is, if that can be adopted: the first that leads its session, started as it would be now. With
/// more than one run of it nobody knows which.
pub(super) fn main_of(orphans: &[Orphan], launch: &LaunchConfig) -> Option<usize> {
    let mark = &orphans.first()?.mark;
    // Its socket is gone with the maitred that had it.
    if launch.notifies || orphans.iter().any(|orphan| orphan.mark != *mark) {
        return None;
    }
    if mark.rsplit('-').next() != Some(&fingerprint(launch)) {
        return None;
    }
    let leads = |orphan: &Orphan| orphan.kin.session == orphan.pid.as_raw_nonzero().get();
    let leaders = orphans.iter().enumerate().filter(|(_, orphan)| leads(orphan));
    leaders.min_by_key(|(_, orphan)| orphan.kin.started).map(|(at, _)| at)
}

/// An end of our own of the pipe that a running process has as its descriptor `number`; None: it has no pipe there, or may not be looked at.
///
/// A pipe is there for as long as anybody has an end of it, and so is what was written to it (proc_pid_fd(5), pipe(7)).
pub(super) fn pipe(pid: Pid, number: i32, is_written: bool) -> Option<OwnedFd> {
    let path = format!("/proc/{}/fd/{number}", pid.as_raw_nonzero());
    // What is something else is not opened: that alone may do something.
    fs::metadata(&path).ok().filter(|found| found.file_type().is_fifo())?;
    // Does not wait: the process has the other end.
    let pipe = OpenOptions::new().read(!is_written).write(is_written).open(path).ok()?;
    Some(pipe.into())
}

/// All that is left of earlier maitreds with this configuration.
pub(super) fn find(instance: &str) -> Vec<Orphan> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter_map(|pid| orphan(pid, instance)).collect()
}

fn orphan(pid: Pid, instance: &str) -> Option<Orphan> {
    // Looked at before its environment: what is read then is its own, or it is gone.
    let kin = family::kin(pid).filter(|kin| !kin.is_zombie)?;
    let mark = family::variable(pid, MARK)?;
    let (owner, started) = owner(&mark, instance)?;
    if family::kin(owner).is_some_and(|kin| kin.started == started && !kin.is_zombie) {
        return None;
    }
    let group = family::variable(pid, "SUPERVISOR_GROUP_NAME").unwrap_or_default();
    let name = family::variable(pid, "SUPERVISOR_PROCESS_NAME").unwrap_or_default();
    (family::kin(pid)?.started == kin.started).then_some(Orphan { pid, kin, group, name, mark })
}

/// The maitred that has set a mark, by its number and start, if it had this configuration.
fn owner(mark: &str, instance: &str) -> Option<(Pid, u64)> {
    let rest = mark.strip_prefix(instance)?.strip_prefix('/')?;
    let mut parts = rest.split('-');
    let owner = Pid::from_raw(parts.next()?.parse().ok()?)?;
    Some((owner, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_its_maitred_to_those_with_the_same_configuration() {
        let own = instance(Path::new("/etc/maitred.toml"));
        assert_ne!(own, instance(Path::new("/etc/maitred.tomk")));
        let found =
            owner(&format!("{own}/12-3456-7"), &own).map(|(pid, started)| (pid.as_raw_nonzero().get(), started));
        assert_eq!(found, Some((12, 3456)));
        for mark in [format!("{own}/12"), format!("{own}/x-1-1"), "0/12-3456-7".to_owned(), String::new()] {
            assert_eq!(owner(&mark, &own), None, "{mark}");
        }
    }
}
