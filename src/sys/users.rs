//! Users and their groups, as the system's databases name them.
//!
//! Asks the name service (getpwnam_r(3)), which may read files or ask a server: at start and at a reload, never while something waits.
//! Called by `config`; `spawn` turns a child into such a user.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Longest record of a user, bytes, that is still read.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Most groups of one user that are taken (NGROUPS_MAX of limits.h).
const GROUPS_MAX: usize = 65_536;

/// An account: what a process that runs as it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name; its number where it has none.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// Every group that it is in, its own among them.
    pub groups: Vec<u32>,
    /// Its directory.
    pub home: PathBuf,
}

impl User {
    /// The same with another group of its own; it stays in all that it is in.
    #[must_use]
    pub fn with_group(mut self, gid: u32) -> User {
        self.gid = gid;
        if !self.groups.contains(&gid) {
            self.groups.push(gid);
        }
        self
    }

    /// The account of that name or, if it is a number and nobody's name, of that number. None: there is none.
    ///
    /// # Errors
    /// The databases could not be asked.
    pub fn find(name: &str) -> io::Result<Option<User>> {
        let Ok(text) = CString::new(name) else { return Ok(None) };
        let by_name = record(|record, buffer, found| {
            // SAFETY: the name is a C string; record, buffer and result are valid for the call and of the given size.
            unsafe { libc::getpwnam_r(text.as_ptr(), record, buffer.as_mut_ptr().cast(), buffer.len(), found) }
        })?;
        match (by_name, name.parse::<u32>()) {
            (Some(user), _) => Ok(Some(user)),
            (None, Ok(uid)) => record(|record, buffer, found| {
                // SAFETY: as above, with a number for the name.
                unsafe { libc::getpwuid_r(uid, record, buffer.as_mut_ptr().cast(), buffer.len(), found) }
            }),
            (None, Err(_)) => Ok(None),
        }
    }
}

/// The number of the group of that name or, if it is a number and nobody's name, that number. None: there is none.
///
/// # Errors
/// The databases could not be asked.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    let Ok(text) = CString::new(name) else { return Ok(None) };
    let mut buffer = vec![0_u8; 1024];
    loop {
        let mut record = MaybeUninit::<libc::group>::zeroed();
        let mut found = std::ptr::null_mut();
        let (space, size) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the name is a C string; record, buffer and result are valid for the call and of the given size.
        match unsafe { libc::getgrnam_r(text.as_ptr(), record.as_mut_ptr(), space, size, &mut found) } {
            0 if found.is_null() => return Ok(name.parse().ok()),
            // SAFETY: found, so the record was filled in.
            0 => return Ok(Some(unsafe { record.assume_init() }.gr_gid)),
            libc::ERANGE if buffer.len() < RECORD_BYTES_MAX => buffer.resize(buffer.len() * 4, 0),
            libc::EINTR => {}
            libc::ENOENT | libc::ESRCH => return Ok(name.parse().ok()),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Asks with a buffer that grows until the record fits into it.
fn record(
    ask: impl Fn(*mut libc::passwd, &mut [u8], *mut *mut libc::passwd) -> libc::c_int,
) -> io::Result<Option<User>> {
    let mut buffer = vec![0_u8; 1024];
    loop {
        let mut record = MaybeUninit::<libc::passwd>::zeroed();
        let mut found = std::ptr::null_mut();
        match ask(record.as_mut_ptr(), &mut buffer, &mut found) {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: `found` is not null, so the record was filled in; its texts are C strings in `buffer`, which still lives.
                let (name, home, uid, gid) = unsafe {
                    let record = record.assume_init();
                    let text = |start: *const libc::c_char| CStr::from_ptr(start).to_owned();
                    (text(record.pw_name), text(record.pw_dir), record.pw_uid, record.pw_gid)
                };
                let groups = groups(&name, gid)?;
                let home = PathBuf::from(OsString::from_vec(home.into_bytes()));
                return Ok(Some(User { name: name.to_string_lossy().into_owned(), uid, gid, groups, home }));
            }
            libc::ERANGE if buffer.len() < RECORD_BYTES_MAX => buffer.resize(buffer.len() * 4, 0),
            libc::EINTR => {}
            // As getpwnam_r(3) says, these also stand for "no such user".
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn groups(name: &CString, gid: u32) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: the name is a C string; `groups` has room for `count` numbers.
        let enough = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &mut count) } >= 0;
        if enough {
            groups.truncate(usize::try_from(count).unwrap_or(0));
            return Ok(groups);
        }
        if groups.len() >= GROUPS_MAX {
            return Err(io::Error::other(format!("more than {GROUPS_MAX} groups")));
        }
        groups.resize(groups.len() * 4, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names_and_numbers() {
        assert_eq!(group("root").expect("asked"), Some(0));
        assert_eq!(group("4242").expect("asked"), Some(4242));
        assert_eq!(group("no such group").expect("asked"), None);
    }

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root = User::find("root").expect("the databases are there").expect("every system has it");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0) && root.home.is_absolute());
        assert_eq!(User::find("0").expect("the databases are there"), Some(root));
    }

    #[test]
    fn another_group_comes_to_those_that_there_are() {
        let root = User::find("root").expect("the databases are there").expect("every system has it");
        let other = root.clone().with_group(4242);
        assert_eq!((other.gid, other.groups.contains(&0), other.groups.contains(&4242)), (4242, true, true));
        assert_eq!(root.clone().with_group(0), root);
    }

    #[test]
    fn nobody_is_found_where_there_is_nobody() {
        for name in ["no-such-user-here", "", "a\0b", "4294967294", "-1"] {
            assert_eq!(User::find(name).expect("the databases are there"), None, "{name:?}");
        }
    }
}
