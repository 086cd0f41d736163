//! A control group for each incarnation of a program, where maitred may make them: by it all that a program has started is found, and limited.
//!
//! Owns the group above these. Where there is none, programs are told apart by session and mark alone, which is said once.

use std::io;

use crate::config::{GroupConfig, ProcessConfig};
use crate::sys::cgroup::{self, Group};

/// The groups of all programs.
pub(super) struct Groups {
    base: Option<Group>,
    /// Why there are none.
    missing: String,
    has_controllers: bool,
    /// maitred's own, if it had to make room for controllers: processes may be in leaves only (cgroups(7)).
    server: Option<Group>,
}

impl Groups {
    /// Makes the group above all others.
    pub fn open(groups: &[GroupConfig]) -> Groups {
        let name = format!("maitred-{}", std::process::id());
        let made = cgroup::delegated().and_then(|path| {
            let base = path.join(&name);
            Group::make(base).map_err(|error| format!("{}: {error}", path.display()))
        });
        let (base, missing) = match made {
            Ok(base) => (Some(base), String::new()),
            Err(missing) => (None, missing),
        };
        let mut opened = Groups { base, missing, has_controllers: false, server: None };
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
            let server = Group::make(above.join(format!("maitred-{}.server", std::process::id()))).map_err(failed)?;
            server.enter().map_err(failed)?;
            self.server = Some(server);
            Group::hand_on_controllers(&above).map_err(failed)?;
        }
        Group::hand_on_controllers(base.path()).map_err(failed)
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
