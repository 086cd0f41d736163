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

/// Reader of a user.
pub(super) fn user(value: &Value, unit: Unit, base: &Path) -> Result<User, String> {
    account(&read::text(value, unit, base)?)
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
