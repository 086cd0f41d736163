//! A control group for each incarnation of a program, where maitred may make them: by it all that a program has started is found, and limited.
//!
//! Owns the group above these. Where there is none, programs are told apart by session and mark alone, which is said once.

use std::io;
use std::os::fd::OwnedFd;

use crate::config::{GroupConfig, ProcessConfig};
use crate::sys::cgroup::{self, Group};
use crate::sys::family;
use crate::sys::process::Pid;

/// The groups of all programs.
pub(super) struct Groups {
    base: Option<Group>,
    /// Why there are none.
    missing: String,
    has_controllers: bool,
    /// maitred's own, if it had to make room for controllers: processes may be in leaves only (cgroups(7)).
    server: Option<Group>,
    /// Shows other maitreds that these groups are in use.
    locks: Vec<OwnedFd>,
}

/// What the names of maitred's groups begin with; its process id follows …
const NAME: &str = "maitred-";
/// … and behind that, for the one that it is in itself, this.
const SERVER: &str = ".server";

impl Groups {
    /// Makes the group above all others.
    pub fn open(groups: &[GroupConfig]) -> Groups {
        let name = format!("{NAME}{}", std::process::id());
        let made = cgroup::delegated().and_then(|path| {
            cgroup::remove_left(&path, is_left);
            let base = path.join(&name);
            Group::make(base).map_err(|error| format!("{}: {error}", path.display()))
        });
        let (base, missing) = match made {
            Ok(base) => (Some(base), String::new()),
            Err(missing) => (None, missing),
        };
        let locks = base.iter().filter_map(lock).collect();
        let mut opened = Groups { base, missing, has_controllers: false, server: None, locks };
        if !groups.is_empty() && opened.base.is_none() {
            let why = &opened.missing;
            tracing::info!("programs are told apart by their session and environment alone: {why}");
        }
        opened.prepare(groups);
        opened
    }

    /// Sees to it that limits can be set if these programs have any.
    pub fn prepare(&mut self, groups: &[GroupConfig]) {
        let mut processes = groups.iter().flat_map(|group| &group.processes);
        if self.has_controllers || processes.all(|process| process.launch.group_limits.is_empty()) {
            return;
        }
        match self.take_controllers() {
            Ok(()) => self.has_controllers = true,
            Err(why) => tracing::warn!("memory_max, memory_high and cpu of programs have no effect: {why}"),
        }
    }

    fn take_controllers(&mut self) -> Result<(), String> {
        let Some(base) = &self.base else { return Err(self.missing.clone()) };
        let above = base.path().parent().ok_or("it has no group above it")?.to_owned();
        let failed = |error: io::Error| format!("the controllers of memory and CPU can't be had: {error}");
        if let Err(error) = Group::hand_on_controllers(&above) {
            if error.raw_os_error() != Some(libc::EBUSY) {
                return Err(failed(error));
            }
            let server = Group::make(above.join(format!("{NAME}{}{SERVER}", std::process::id()))).map_err(failed)?;
            server.enter().map_err(failed)?;
            self.locks.extend(lock(&server));
            self.server = Some(server);
            Group::hand_on_controllers(&above).map_err(failed)?;
        }
        Group::hand_on_controllers(base.path()).map_err(failed)
    }

    /// Removes what earlier maitreds have left, now that what was in it has ended.
    pub fn remove_left(&self) {
        if let Some(above) = self.base.as_ref().and_then(|base| base.path().parent()) {
            cgroup::remove_left(above, is_left);
        }
    }

    /// The group of one incarnation, which is `run`'s number, with its limits; None where there are no groups.
    pub fn of(&self, config: &ProcessConfig, run: u64) -> io::Result<Option<Group>> {
        let Some(base) = &self.base else { return Ok(None) };
        let group = base.below(&format!("{}.{run}", config.full_name()))?;
        if self.has_controllers {
            group.limit(&config.launch.group_limits)?;
        }
        Ok(Some(group))
    }
}

/// Whether a group of this name is one of a maitred that is gone.
fn is_left(name: &str) -> bool {
    let pid = name.strip_prefix(NAME).map(|rest| rest.strip_suffix(SERVER).unwrap_or(rest));
    let owner = pid.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    owner.is_some_and(|owner| family::kin(owner).is_none_or(|kin| kin.is_zombie))
}

/// A group that can't be locked is only told from those that are left by its owner's process id.
fn lock(group: &Group) -> Option<OwnedFd> {
    group.lock().inspect_err(|error| tracing::debug!(%error, "a control group can't be locked")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_maitred_that_is_gone_are_told_by_their_names() {
        let (own, gone) = (std::process::id(), i32::MAX);
        assert!(is_left(&format!("maitred-{gone}")) && is_left(&format!("maitred-{gone}.server")));
        for name in [
            format!("maitred-{own}"),
            format!("maitred-{own}.server"),
            "maitred-".into(),
            "maitred-x".into(),
            format!("other-{gone}"),
        ] {
            assert!(!is_left(&name), "{name}");
        }
    }
}
