//! Giving up root's rights: by the whole process, for good, or by one thread of it.
//!
//! In Linux each thread has credentials of its own (credentials(7)). Owns both ways to change them, and sees that nothing is left. Called by
//! `cli`, once everything that needs root is open, and by a shard's thread at its beginning.

use std::io;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{CapabilitySet, capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::users::User;

/// Makes every thread of this process one of `user`, with that account's groups. Nothing gets root's rights back: real, effective and saved ids
/// are changed, and the kernel empties the sets of capabilities with them (capabilities(7)). Others of the same user can't look into the process
/// from then on (PR_SET_DUMPABLE, prctl(2)).
///
/// # Errors
/// The process is not root, or something of root is left; it must not go on then.
pub fn process_becomes(user: &User) -> io::Result<()> {
    // Groups first: they can't be changed any more once the user has been. The C library's functions change all threads, system calls one
    // (nptl(7)).
    // SAFETY: plain calls with numbers, and a list that lives as long as its call and is as long as is said.
    let done = unsafe {
        libc::setgroups(user.groups.len(), user.groups.as_ptr()) == 0
            && libc::setresgid(user.gid, user.gid, user.gid) == 0
            && libc::setresuid(user.uid, user.uid, user.uid) == 0
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    let process = std::fs::read_dir("/proc/self/task")?;
    for thread in process {
        let path = thread?.path().join("status");
        match std::fs::read_to_string(path) {
            Ok(status) => nothing_is_left(&status, user)?,
            // It has ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a thread's status (proc_pid_status(5)) shows `user` and no capability.
fn nothing_is_left(status: &str, user: &User) -> io::Result<()> {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    let all = |text: &str, id: u32| text.split_whitespace().all(|word| word.parse() == Ok(id)) && !text.is_empty();
    let is_theirs = all(line("Uid:"), user.uid) && all(line("Gid:"), user.gid);
    let has_none =
        ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].iter().all(|set| line(set).bytes().all(|byte| byte == b'0'));
    if is_theirs && (has_none || user.uid == 0) { Ok(()) } else { Err(something_is_left()) }
}

fn something_is_left() -> io::Error {
    io::Error::other("some of root's rights are left")
}

/// Makes the calling thread one of `user`, and those that it starts from now on; the others stay what they are. That keeps its reach to what the
/// user may do, but it is no wall: whoever can write into the process's memory can have another thread do his work.
///
/// # Errors
/// As [`process_becomes`].
pub fn thread_becomes(user: &User) -> io::Result<()> {
    let groups: Vec<_> = user.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    let left = capabilities(None)?;
    let is_empty = [left.effective, left.permitted, left.inheritable].iter().all(CapabilitySet::is_empty);
    if geteuid() == uid && (is_empty || uid.is_root()) { Ok(()) } else { Err(something_is_left()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> User {
        User::find("nobody").expect("the databases are there").expect("every system has it")
    }

    #[test]
    fn a_status_with_anything_of_root_is_told_from_one_without() {
        let user = User { uid: 33, gid: 34, ..nobody() };
        let status = |uids: &str, gids: &str, permitted: &str| {
            format!(
                "Name:\tx\nUid:\t{uids}\nGid:\t{gids}\nCapInh:\t0\nCapPrm:\t{permitted}\nCapEff:\t0000\nCapAmb:\t0000\n"
            )
        };
        assert!(nothing_is_left(&status("33\t33\t33\t33", "34\t34\t34\t34", "0000"), &user).is_ok());
        for left in [
            status("33\t33\t0\t33", "34\t34\t34\t34", "0000"),
            status("33\t33\t33\t33", "34\t0\t34\t34", "0000"),
            status("33\t33\t33\t33", "34\t34\t34\t34", "0080"),
            String::new(),
        ] {
            assert!(nothing_is_left(&left, &user).is_err(), "{left}");
        }
    }

    #[test]
    fn one_thread_alone_can_give_up_its_rights() {
        if !geteuid().is_root() {
            eprintln!("not shown: this is not root");
            return;
        }
        let user = nobody();
        let thread = std::thread::spawn(move || {
            thread_becomes(&user).expect("root may");
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
            nothing_is_left(&status, &user).expect("nothing");
            assert!(std::fs::read("/etc/shadow").is_err(), "it can't do what root can");
            assert!(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_err(), "nor get that back");
        });
        thread.join().expect("the thread did what it should");
        assert!(geteuid().is_root(), "the others are what they were");
    }
}
