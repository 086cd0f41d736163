//! Limits under which a child runs: of resources, of privileges, and the control group that it is in.
//!
//! Owns what is done in the child between fork and exec: only async-signal-safe calls on values prepared before (signal-safety(7)).

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a child is restricted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Open descriptors (RLIMIT_NOFILE), soft and hard.
    pub nofile: Option<u64>,
    /// Processes and threads of its user (RLIMIT_NPROC), soft and hard.
    pub nproc: Option<u64>,
    /// Its nice value, -20 to 19 (nice(2)).
    pub nice: Option<i32>,
    /// How readily the kernel ends it when memory is short, -1000 to 1000 (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: Option<i32>,
    /// It and what it runs can gain no privileges by exec (PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
}

/// What could not be done in the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Restriction {
    /// To be put into its control group.
    Group = 10,
    /// `oom_score_adj`.
    OomScore,
    /// `nice`.
    Nice,
    /// `nofile`.
    Nofile,
    /// `nproc`.
    Nproc,
    /// `no_new_privileges`.
    Privileges,
}

impl Restriction {
    /// The one with this number.
    pub fn of(number: i32) -> Option<Restriction> {
        use Restriction::{Group, Nice, Nofile, Nproc, OomScore, Privileges};
        [Group, OomScore, Nice, Nofile, Nproc, Privileges].into_iter().find(|one| *one as i32 == number)
    }

    /// For messages: what could not be done.
    pub fn text(self) -> &'static str {
        match self {
            Restriction::Group => "cannot join its control group",
            Restriction::OomScore => "cannot set oom_score_adj",
            Restriction::Nice => "cannot set nice",
            Restriction::Nofile => "cannot set nofile",
            Restriction::Nproc => "cannot set nproc",
            Restriction::Privileges => "cannot set no_new_privileges",
        }
    }
}

/// Restrictions, ready before the fork.
#[derive(Debug)]
pub(super) struct RestrictionPlan {
    own: Restrictions,
    oom_score_adj: Option<CString>,
    /// `cgroup.procs` of its control group.
    group: Option<CString>,
}

impl RestrictionPlan {
    /// `group`: the directory of its control group.
    pub fn new(own: &Restrictions, group: Option<&Path>) -> io::Result<RestrictionPlan> {
        let text = |text: String| CString::new(text).expect("a number has no zero byte");
        let procs = |group: &Path| CString::new(group.join("cgroup.procs").as_os_str().as_bytes());
        Ok(RestrictionPlan {
            own: own.clone(),
            oom_score_adj: own.oom_score_adj.map(|score| text(score.to_string())),
            group: group.map(procs).transpose().map_err(io::Error::other)?,
        })
    }

    /// In the child, with the privileges of its parent. `is_in_group`: it began in its control group. What failed, and its errno.
    pub fn apply(&self, is_in_group: bool) -> Result<(), (Restriction, i32)> {
        if let Some(group) = self.group.as_ref().filter(|_| !is_in_group) {
            // The process that writes (cgroups(7)).
            write(group.as_c_str(), c"0").map_err(|error| (Restriction::Group, error))?;
        }
        if let Some(score) = &self.oom_score_adj {
            // A process that was root once can't be looked into by its user, and the files of its own in /proc are root's (proc(5)); this copy of it
            // is about to become another program.
            // SAFETY: prctl is a plain system call; its arguments are numbers.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
            write(c"/proc/self/oom_score_adj", score.as_c_str()).map_err(|error| (Restriction::OomScore, error))?;
        }
        let done = |result: i32, what| if result == 0 { Ok(()) } else { Err((what, errno())) };
        if let Some(nice) = self.own.nice {
            // SAFETY: setpriority is async-signal-safe as a plain system call; 0 is this process.
            done(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }, Restriction::Nice)?;
        }
        let limits = [
            (self.own.nofile, libc::RLIMIT_NOFILE, Restriction::Nofile),
            (self.own.nproc, libc::RLIMIT_NPROC, Restriction::Nproc),
        ];
        for (limit, resource, what) in limits {
            if let Some(limit) = limit {
                let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
                // SAFETY: setrlimit is a plain system call; the limit lives on this stack.
                done(unsafe { libc::setrlimit(resource, &raw const limit) }, what)?;
            }
        }
        if self.own.no_new_privileges {
            // SAFETY: prctl is a plain system call; its arguments are numbers.
            done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, Restriction::Privileges)?;
        }
        Ok(())
    }
}

/// Writes all of a short text to a file of the kernel's.
fn write(path: &std::ffi::CStr, text: &std::ffi::CStr) -> Result<(), i32> {
    let bytes = text.to_bytes();
    // SAFETY: open, write and close are async-signal-safe; path and bytes live as long as the calls.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return Err(errno());
        }
        let written = libc::write(file, bytes.as_ptr().cast(), bytes.len());
        let error = errno();
        libc::close(file);
        if written < 0 { Err(error) } else { Ok(()) }
    }
}

fn errno() -> i32 {
    // SAFETY: the address of the calling thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
