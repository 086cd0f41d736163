//! Forks this process, into a control group if asked to (clone(2), CLONE_INTO_CGROUP).
//!
//! A process that is moved into its group after the fork waits some milliseconds for all CPUs to have noticed; one that begins there does not. Called by
//! `spawn` alone.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// CLONE_INTO_CGROUP of <linux/sched.h>: beyond the 32 bits that clone(2) had before clone3.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What fork(2) returns, and whether the child is in its group already.
pub(super) struct Forked {
    /// 0 in the child.
    pub pid: libc::pid_t,
    /// The child has to move itself otherwise.
    pub is_in_group: bool,
}

/// Forks. Where the child can't begin in `group`, for whatever reason, it begins in this process's own.
///
/// # Safety
/// As fork(2) in a process with threads: the child may make async-signal-safe calls only, until it becomes another program or ends.
///
/// # Errors
/// As fork(2).
pub(super) unsafe fn fork(group: Option<&Path>) -> io::Result<Forked> {
    if let Some(pid) = group.and_then(|group| File::open(group).ok()).and_then(|group| {
        // SAFETY: the caller's promise is the same.
        unsafe { fork_into(&group) }
    }) {
        return Ok(Forked { pid, is_in_group: true });
    }
    // SAFETY: the caller's promise.
    match unsafe { libc::fork() } {
        error if error < 0 => Err(io::Error::last_os_error()),
        pid => Ok(Forked { pid, is_in_group: false }),
    }
}

/// None: the kernel (before 5.7), or who filters its calls, does not have it, or the group takes nobody.
unsafe fn fork_into(group: &File) -> Option<libc::pid_t> {
    // SAFETY: a structure of numbers, for which zero means 'not used'.
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.flags = CLONE_INTO_CGROUP;
    how.exit_signal = libc::SIGCHLD as u64;
    how.cgroup = u64::try_from(group.as_raw_fd()).ok()?;
    // SAFETY: the structure is as large as is said and lives until the call returns. Without a stack of its own and without shared memory the child goes on
    // here on a copy, as after fork; what the C library's fork does besides concerns its locks and lists, which the caller's promise leaves alone.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const how, size_of::<libc::clone_args>()) };
    libc::pid_t::try_from(pid).ok().filter(|pid| *pid >= 0)
}
