//! What an earlier maitred has left when it was killed: processes that carry its mark, while it is gone itself.
//!
//! Owns how such a process is told from those of another maitred on the host, running or not. A process is named by its number and its start,
//! so that one which was given the number later is never meant. Looks only; the machine decides what follows.

use std::fs;
use std::path::Path;

use super::tree::MARK;
use crate::sys::family::{self, Kin};
use crate::sys::process::{Pid, Signal};

/// A process that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub pid: Pid,
    pub kin: Kin,
    /// Its program's process, by the names of its group and its own.
    pub group: String,
    pub name: String,
}

impl Orphan {
    /// Whether it lives.
    pub fn is_there(&self) -> bool {
        family::kin(self.pid).is_some_and(|kin| !kin.is_zombie && kin.started == self.kin.started)
    }

    /// Signals it, if it is still there.
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = family::signal_kin(self.pid, self.kin, signal) {
            tracing::warn!(pid = self.pid.as_raw_nonzero().get(), %error, "cannot signal what an earlier maitred has left");
        }
    }
}

/// The beginning of every mark of a maitred with this configuration: nobody else's programs are meant.
pub(super) fn instance(origin: &Path) -> String {
    // FNV-1a (Fowler, Noll, Vo), 64 bits: names a configuration, keeps no secret.
    let bytes = origin.as_os_str().as_encoded_bytes();
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
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
    let (owner, started) = owner(&family::variable(pid, MARK)?, instance)?;
    if family::kin(owner).is_some_and(|kin| kin.started == started && !kin.is_zombie) {
        return None;
    }
    let group = family::variable(pid, "SUPERVISOR_GROUP_NAME").unwrap_or_default();
    let name = family::variable(pid, "SUPERVISOR_PROCESS_NAME").unwrap_or_default();
    (family::kin(pid)?.started == kin.started).then_some(Orphan { pid, kin, group, name })
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
