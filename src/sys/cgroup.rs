//! Control groups of version 2 (cgroups(7)): which one this process is in, whether it may make others below it, and what is in those.
//!
//! Owns the directories that it makes, and removes them. Decides nothing. All files are the kernel's, in memory: nothing here waits for a disk.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::process::Pid;

/// A group whose members can be told from all others, whatever they do to their session or environment.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
}

/// Limits of a group; each needs its controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLimits {
    /// Bytes at which the kernel begins to take memory back.
    pub memory_high: Option<u64>,
    /// Bytes at which the kernel ends processes.
    pub memory_max: Option<u64>,
    /// CPUs, in thousandths.
    pub cpu_thousandths: Option<u64>,
}

impl GroupLimits {
    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        *self == GroupLimits::default()
    }
}

/// The directory of this process's own group, if groups may be made below it.
///
/// # Errors
/// A sentence about why not.
pub fn delegated() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let own = read("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this host has no cgroup v2")?;
    let mounts = read("/proc/self/mountinfo")?;
    let (root, point) = mount(&mounts).ok_or("cgroup v2 is not mounted")?;
    let inner = own.strip_prefix(root.trim_end_matches('/')).ok_or("its own cgroup is outside of what is mounted")?;
    let path = Path::new(point).join(inner.trim_start_matches('/'));
    // A service manager says so in an attribute (systemd's Delegate=); the root of a namespace is a container's own.
    let says_so = |name: &str| {
        let mut value = [0; 8];
        rustix::fs::getxattr(&path, name, &mut value[..]).is_ok_and(|length| value[..length].starts_with(b"1"))
    };
    if inner.trim_matches('/').is_empty() || says_so("user.delegate") || says_so("trusted.delegate") {
        return Ok(path);
    }
    Err(format!("cgroup v2 {own} is not delegated (Delegate=yes of the systemd unit does it)"))
}

/// Root and mount point of the first cgroup2 in a mountinfo (proc_pid_mountinfo(5)).
fn mount(mountinfo: &str) -> Option<(&str, &str)> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(3);
        right.starts_with("cgroup2 ").then_some((fields.next()?, fields.next()?))
    })
}

impl Group {
    /// Makes the group, or takes the one that is there.
    pub fn make(path: PathBuf) -> io::Result<Group> {
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Group { path }),
        }
    }

    /// Shows by a lock that its maker is alive, until what is returned is dropped.
    pub fn lock(&self) -> io::Result<OwnedFd> {
        lock(&self.path)
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A group below it; `name` must be one directory's.
    pub fn below(&self, name: &str) -> io::Result<Group> {
        Group::make(self.path.join(name))
    }

    /// Lets groups below it have the controllers of memory and CPU.
    pub fn hand_on_controllers(path: &Path) -> io::Result<()> {
        fs::write(path.join("cgroup.subtree_control"), "+memory +cpu")
    }

    /// Moves this process into it.
    pub fn enter(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Sets its limits. The error names the one that could not be set.
    pub fn limit(&self, limits: &GroupLimits) -> io::Result<()> {
        let bytes = |limit: Option<u64>| limit.map(|bytes| bytes.to_string());
        // Per 100 ms (cpu.max).
        let cpu = limits.cpu_thousandths.map(|thousandths| format!("{} 100000", thousandths.saturating_mul(100)));
        let files =
            [("memory.high", bytes(limits.memory_high)), ("memory.max", bytes(limits.memory_max)), ("cpu.max", cpu)];
        for (file, value) in files {
            if let Some(value) = value {
                fs::write(self.path.join(file), value)
                    .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
            }
        }
        Ok(())
    }

    /// Its members, zombies among them.
    pub fn members(&self) -> Vec<Pid> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw)).collect()
    }

    /// Kills all of its members at once (cgroup.kill, Linux 5.14).
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Processes in it that the kernel has ended because memory was short; 0 where that is not counted.
    pub fn oom_kills(&self) -> u64 {
        let text = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        counter(&text, "oom_kill")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // With members that do not end it stays; nothing can be done about that.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes groups directly below `path`, with those below each, that a maker which was killed has left: those whose names `is_left` knows, that
/// nobody has locked, and that have no members.
pub fn remove_left(path: &Path, is_left: impl Fn(&str) -> bool) {
    for group in groups_below(path) {
        let name = group.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let Some(_lock) = lock(&group).ok().filter(|_| is_left(name)) else { continue };
        for inner in groups_below(&group).into_iter().chain([group]) {
            // One with members stays, and so does the one above it.
            let _ = fs::remove_dir(inner);
        }
    }
}

fn groups_below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path()).collect()
}

fn lock(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    Ok(directory)
}

/// Processes that the kernel has ended on the whole host because memory was short (proc_vmstat(5)).
pub fn oom_kills() -> u64 {
    counter(&fs::read_to_string("/proc/vmstat").unwrap_or_default(), "oom_kill")
}

fn counter(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_version_2_is_found() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                    40 31 0:35 /docker/x /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(text), Some(("/docker/x", "/sys/fs/cgroup/unified")));
        assert_eq!(mount("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"), None);
    }

    #[test]
    fn groups_that_are_left_are_removed_unless_somebody_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["left-1/a.1", "left-1/b.2", "left-2/a.1", "left-3/a.1/member", "other-4"] {
            fs::create_dir_all(path(name)).expect("the test's own folder");
        }
        let kept = Group { path: path("left-2") };
        let lock = kept.lock().expect("nobody has it");
        remove_left(folder.path(), |name| name.starts_with("left-"));
        let there = |name: &str| path(name).exists();
        assert!(!there("left-1") && there("left-2/a.1") && there("left-3/a.1/member") && there("other-4"));
        drop(lock);
        remove_left(folder.path(), |name| name.starts_with("left-"));
        assert!(!there("left-2"));
    }

    #[test]
    fn counters_are_read_by_their_whole_name() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 7\n";
        assert_eq!((counter(text, "oom_kill"), counter(text, "oom"), counter(text, "none")), (2, 3, 0));
    }
}
