//! Whether the kernel has ended a worker or a zygote because memory was short.
//!
//! Owns the guess: SIGKILL that the supervisor has not sent, while the host's count of such ends has grown (proc_vmstat(5)). The kernel tells nobody
//! for whom it was. Called by the loop where it reaps.

use std::collections::HashSet;

use crate::sys::cgroup;
use crate::sys::process::{Exit, Pid};

/// What it takes to tell one SIGKILL from another.
pub(super) struct OutOfMemory {
    /// The count when it was last looked at.
    kills: u64,
    /// Who was sent SIGKILL and was not reaped yet.
    killed: HashSet<Pid>,
}

impl OutOfMemory {
    pub fn new() -> OutOfMemory {
        OutOfMemory { kills: cgroup::oom_kills(), killed: HashSet::new() }
    }

    /// The supervisor has sent it SIGKILL.
    pub fn killed(&mut self, pid: Pid) {
        self.killed.insert(pid);
    }

    /// How a reaped process has ended.
    pub fn judge(&mut self, pid: Pid, exit: Exit) -> Exit {
        let is_ours = self.killed.remove(&pid);
        match exit {
            Exit::Signal { signal: libc::SIGKILL, .. } if !is_ours => self.judge_by(exit, cgroup::oom_kills()),
            other => other,
        }
    }

    fn judge_by(&mut self, exit: Exit, kills: u64) -> Exit {
        let has_grown = kills > std::mem::replace(&mut self.kills, kills);
        if has_grown { Exit::OutOfMemory } else { exit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kill_of_nobody_s_while_the_count_grows_is_the_kernel_s() {
        let mut watch = OutOfMemory { kills: 4, killed: HashSet::new() };
        let exit = Exit::Signal { signal: libc::SIGKILL, core_dumped: false };
        assert_eq!(watch.judge_by(exit, 4), exit);
        assert_eq!(watch.judge_by(exit, 5), Exit::OutOfMemory);
        assert_eq!(watch.judge_by(exit, 5), exit);
        let pid = rustix::process::getpid();
        watch.killed(pid);
        watch.kills = 0;
        assert_eq!(watch.judge(pid, exit), exit, "the supervisor's own");
        assert!(watch.killed.is_empty() && watch.kills == 0);
        let code = Exit::Code(1);
        assert_eq!(watch.judge(pid, code), code);
    }
}
