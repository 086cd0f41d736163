//! What the kernel grants: its version, io_uring, limits.
//!
//! Owns the diagnosis of a refused io_uring. Looks only; called by `check` and, before anything else, by `serve`.

use std::fs;
use std::io;

use io_uring::IoUring;
use rustix::io::Errno;

use super::check::Finding;
use super::rlimits;
use crate::config::{Config, ServerConfig};

/// Oldest kernel: `IORING_SETUP_DEFER_TASKRUN` came with it.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Locked memory that an executor of glommio insists on, bytes.
const LOCKED_BYTES_MIN: u64 = 512 * 1024;
/// Descriptors beside those of connections: rings, listeners, pipes, files.
const OTHER_DESCRIPTORS: u64 = 256;

/// The checks that decide whether the server can run at all. Raises soft limits to the hard ones first.
#[must_use]
pub fn environment(_: &Config) -> Vec<Finding> {
    rlimits::raise();
    basics()
}

/// Kernel, io_uring and locked memory.
pub fn basics() -> Vec<Finding> {
    vec![kernel(), locked_memory(rlimits::locked_bytes())]
}

/// Descriptors for as many connections as are configured.
pub fn descriptors(server: &ServerConfig) -> Finding {
    let needed = (server.max_connections as u64).saturating_mul(server.shards as u64).saturating_add(OTHER_DESCRIPTORS);
    match rlimits::descriptors() {
        Some(limit) if limit < needed => Finding::hint(format!(
            "file descriptors: the limit of {limit} is below the {needed} that max_connections ({}) × shards ({}) may \
             need; raise it (ulimit -Hn, or LimitNOFILE= of the systemd unit) or lower server.max_connections",
            server.max_connections, server.shards
        )),
        Some(limit) => Finding::ok(format!("file descriptors: {limit}, of which {needed} may be needed")),
        None => Finding::ok("file descriptors: no limit"),
    }
}

/// Major and minor version of a kernel's release, such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The kernel's version, and whether it sets up a ring as the shards do.
fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let found = match version(&release) {
        Some(found) if found >= KERNEL_MIN => found,
        _ => {
            return Finding::fail(format!(
                "kernel {release}: at least {}.{} is needed; upgrade it (Debian 12 and Ubuntu 24.04 have a newer one)",
                KERNEL_MIN.0, KERNEL_MIN.1
            ));
        }
    };
    let name = format!("kernel {}.{}", found.0, found.1);
    match IoUring::<io_uring::squeue::Entry>::builder().setup_single_issuer().setup_defer_taskrun().build(8) {
        Ok(_) => Finding::ok(format!("{name}: io_uring available")),
        Err(error) => {
            let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            Finding::fail(format!("{name}: io_uring {}", explain(&error, disabled.trim(), filtered(&status))))
        }
    }
}

/// Whether `/proc/self/status` tells of a seccomp filter (proc_pid_status(5)).
fn filtered(status: &str) -> bool {
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

/// Why a ring was refused, and what to do. `disabled` is the sysctl `kernel.io_uring_disabled`, empty if there is none.
fn explain(error: &io::Error, disabled: &str, filtered: bool) -> String {
    const SECCOMP: &str = "refused by a seccomp filter, as in Docker's default profile; run the container with a profile \
                           that allows io_uring_setup, io_uring_enter and io_uring_register, or with \
                           --security-opt seccomp=unconfined";
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::PERM | Errno::ACCESS) if disabled == "2" => {
            "switched off for everyone; set the sysctl kernel.io_uring_disabled to 0".to_owned()
        }
        Some(Errno::PERM | Errno::ACCESS) if disabled == "1" && !filtered => {
            "switched off for unprivileged users; set the sysctl kernel.io_uring_disabled to 0, or \
             kernel.io_uring_group to a group of this user"
                .to_owned()
        }
        Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS) if filtered => SECCOMP.to_owned(),
        Some(Errno::NOSYS) => "not in this kernel; use one with CONFIG_IO_URING".to_owned(),
        Some(Errno::INVAL) => format!(
            "too old; the kernel must be {}.{} or newer, which knows IORING_SETUP_DEFER_TASKRUN",
            KERNEL_MIN.0, KERNEL_MIN.1
        ),
        Some(Errno::NOMEM) => {
            "not enough locked memory; raise it (ulimit -l, or LimitMEMLOCK= of the systemd unit)".to_owned()
        }
        Some(Errno::PERM | Errno::ACCESS) => {
            "refused by a security module (SELinux, AppArmor); allow io_uring for this program".to_owned()
        }
        _ => format!("refused: {error}"),
    }
}

fn locked_memory(limit: Option<u64>) -> Finding {
    let kib = |bytes: u64| bytes / 1024;
    match limit {
        Some(bytes) if bytes < LOCKED_BYTES_MIN => Finding::fail(format!(
            "memlock {} KiB: at least {} KiB of locked memory are needed; raise it with ulimit -l {1}, LimitMEMLOCK= of the \
             systemd unit, or docker run --ulimit memlock=-1",
            kib(bytes),
            kib(LOCKED_BYTES_MIN)
        )),
        Some(bytes) => Finding::ok(format!("memlock {} KiB", kib(bytes))),
        None => Finding::ok("memlock: no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, enough) in [
            ("6.1.0-18-amd64", true),
            ("6.10.2", true),
            ("10.0", true),
            ("7.0-rc1", true),
            ("6.0.19", false),
            ("5.15.0-91-generic", false),
            ("strange", false),
        ] {
            assert_eq!(version(release).is_some_and(|found| found >= KERNEL_MIN), enough, "{release}");
        }
    }

    #[test]
    fn each_refusal_has_its_own_remedy() {
        for (errno, disabled, filtered, expected) in [
            (Errno::PERM, "2", false, "io_uring_disabled to 0"),
            (Errno::PERM, "1", false, "kernel.io_uring_group"),
            (Errno::PERM, "0", true, "seccomp"),
            (Errno::NOSYS, "", true, "seccomp"),
            (Errno::NOSYS, "", false, "CONFIG_IO_URING"),
            (Errno::INVAL, "", false, "6.1"),
            (Errno::NOMEM, "0", false, "ulimit -l"),
            (Errno::PERM, "0", false, "SELinux"),
            (Errno::MFILE, "0", false, "Too many open files"),
        ] {
            let text = explain(&io::Error::from_raw_os_error(errno.raw_os_error()), disabled, filtered);
            assert!(text.contains(expected), "{errno:?} {disabled:?} {filtered}: {text}");
        }
    }

    #[test]
    fn locked_memory_has_a_minimum() {
        let told = |limit| locked_memory(limit).to_string();
        assert_eq!(told(None), "ok   memlock: no limit");
        assert_eq!(told(Some(LOCKED_BYTES_MIN)), "ok   memlock 512 KiB");
        assert!(told(Some(LOCKED_BYTES_MIN - 1)).starts_with("FAIL memlock 511 KiB: at least 512 KiB"));
    }

    #[test]
    fn a_filter_is_told_by_the_status_file() {
        assert!(filtered("NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!filtered("Seccomp:\t0\nSeccomp_filters:\t2\n"));
    }
}
