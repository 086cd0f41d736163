//! Whose a file is to be: users and groups by name or number, looked up when the configuration is read.

use std::path::Path;

use super::options::Unit;
use super::read;
use super::value::Value;
use crate::sys::users::{self, User};

/// Whose a file is to be; what is not said stays the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
}

/// Reader of `USER`, `USER:GROUP` and `:GROUP`.
pub(super) fn owner(value: &Value, unit: Unit, base: &Path) -> Result<Owner, String> {
    let text = read::text(value, unit, base)?;
    match text.split_once(':') {
        Some(("", group)) => Ok(Owner { uid: None, gid: Some(group_id(group)?) }),
        Some((user, group)) => Ok(Owner { uid: Some(account(user)?.uid), gid: Some(group_id(group)?) }),
        None => Ok(Owner { uid: Some(account(&text)?.uid), gid: None }),
    }
}

/// The account of that name or number, in that group if one is said. With a group, a number that no account has will do, as images use it.
///
/// # Errors
/// A sentence: there is none, or nobody can say.
pub(super) fn server_user(name: &str, group: Option<u32>) -> Result<User, String> {
    match (account(name), name.parse::<u32>(), group) {
        (Ok(user), _, Some(gid)) => Ok(user.with_group(gid)),
        // The last number is none: system calls leave an id as it is for it.
        (Err(_), Ok(uid), Some(gid)) if uid != u32::MAX => {
            Ok(User { name: name.to_owned(), uid, gid, groups: vec![gid], home: "/".into() })
        }
        (Err(message), Ok(_), None) => Err(format!("{message}; a number that no account has needs a \"group\" too")),
        (result, ..) => result,
    }
}

/// Reader of a group.
pub(super) fn group(value: &Value, unit: Unit, base: &Path) -> Result<u32, String> {
    group_id(&read::text(value, unit, base)?)
}

/// The account of that name or number.
///
/// # Errors
/// A sentence: there is none, or nobody can say.
fn account(name: &str) -> Result<User, String> {
    let shown = name.escape_debug();
    match User::find(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(format!("there is no user \"{shown}\" on this host")),
        Err(error) => Err(format!("the user \"{shown}\" can't be looked up: {error}")),
    }
}

/// The group of that name or number.
///
/// # Errors
/// As [`account`].
fn group_id(name: &str) -> Result<u32, String> {
    let shown = name.escape_debug();
    match users::group(name) {
        Ok(Some(gid)) => Ok(gid),
        Ok(None) => Err(format!("there is no group \"{shown}\" on this host")),
        Err(error) => Err(format!("the group \"{shown}\" can't be looked up: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_an_account_needs_a_group() {
        let number = "4294967294";
        let user = server_user(number, Some(4242)).expect("a group is said");
        assert_eq!((user.uid, user.gid, user.groups.as_slice()), (4_294_967_294, 4242, &[4242][..]));
        assert!(server_user(number, None).is_err_and(|message| message.contains("needs a \"group\"")));
        assert!(server_user("4294967295", Some(4242)).is_err());
        assert!(server_user("no-such-user-here", Some(4242)).is_err());
        assert_eq!(server_user("root", Some(4242)).map(|user| (user.uid, user.gid)), Ok((0, 4242)));
    }

    #[test]
    fn owners_are_users_groups_or_both() {
        let read = |text: &str| owner(&Value::Text(text.to_owned()), Unit::Text("an owner"), Path::new("/"));
        assert_eq!(read("root"), Ok(Owner { uid: Some(0), gid: None }));
        assert_eq!(read("root:4242"), Ok(Owner { uid: Some(0), gid: Some(4242) }));
        assert_eq!(read(":root"), Ok(Owner { uid: None, gid: Some(0) }));
        for wrong in ["", ":", "root:", "no-such-user-here", "root:no-such-group-here"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
