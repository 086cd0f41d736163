//! Passwords: HTTP's Basic scheme (RFC 7617).
//!
//! Owns the credentials that were found to be right and the helper thread on which others are verified, a bounded number at a time: a hash is
//! made to be slow, and a shard never waits. Called by `guard`.

use std::cell::{Cell, RefCell};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::connection::Connection;
use crate::base::bounds::VERIFICATIONS_MAX;
use crate::config::AuthConfig;
use crate::http::head::Head;
use crate::limits::Verified;
use crate::response::Response;
use crate::static_files::Helper;

/// A shard's part in verifying passwords.
pub(super) struct Passwords {
    verified: RefCell<Verified>,
    helper: Helper,
    under_way: Cell<usize>,
}

/// What came of asking for a password.
pub(super) enum Asked {
    /// It is this user's.
    Right(Vec<u8>),
    /// What the client is told.
    Wrong(Response),
}

/// A verification that is under way.
struct UnderWay<'p>(&'p Cell<usize>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Passwords {
    /// `secret`: random bytes.
    pub fn new(secret: &[u8; 32]) -> Passwords {
        Passwords { verified: RefCell::new(Verified::new(secret)), helper: Helper::default(), under_way: Cell::new(0) }
    }

    fn begin(&self) -> Option<UnderWay<'_>> {
        let under_way = self.under_way.get();
        (under_way < VERIFICATIONS_MAX).then(|| {
            self.under_way.set(under_way + 1);
            UnderWay(&self.under_way)
        })
    }
}

impl Connection {
    /// Asks the client for a user and a password, or verifies those that it has sent.
    pub(super) async fn ask(&self, auth: &AuthConfig, head: &Head<'_>) -> Asked {
        let shard = &self.shard;
        let count =
            |of: fn(&mut crate::observe::Limited) -> &mut u64| *of(&mut shard.metrics.borrow_mut().limited) += 1;
        let file = shard.shared.borrow().users_of(&auth.htpasswd).cloned();
        let (Some(file), Some((user, password))) = (file, credentials(head)) else {
            count(|limited| &mut limited.auth_refused);
            return Asked::Wrong(challenge(auth));
        };
        let passwords = &shard.passwords;
        if passwords.verified.borrow().holds(&file, &user, &password) {
            count(|limited| &mut limited.auth_known);
            return Asked::Right(user);
        }
        let result = match passwords.begin() {
            Some(_under_way) => {
                let work = {
                    let (file, user, password) = (file.clone(), user.clone(), password.clone());
                    move || file.verify(&user, &password)
                };
                passwords.helper.run(&shard.ring, work).await.ok()
            }
            None => None,
        };
        match result {
            Some(true) => {
                count(|limited| &mut limited.auth_verified);
                passwords.verified.borrow_mut().keep(&file, &user, &password);
                Asked::Right(user)
            }
            Some(false) => {
                count(|limited| &mut limited.auth_refused);
                Asked::Wrong(challenge(auth))
            }
            None => {
                count(|limited| &mut limited.auth_overloaded);
                Asked::Wrong(Response::error(503, "Too many passwords are being verified already."))
            }
        }
    }
}

/// The user and the password of a request; `None` if there are none, or more than one pair.
fn credentials(head: &Head<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = head.fields.only("authorization")?;
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = memchr::memchr(b':', &user)?;
    let password = user.split_off(colon + 1);
    user.pop();
    Some((user, password))
}

fn challenge(auth: &AuthConfig) -> Response {
    let value = format!("Basic realm=\"{}\", charset=\"UTF-8\"", auth.realm);
    Response::error(401, "A user and a password are needed.").with("WWW-Authenticate", value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Parse, parse};

    #[test]
    fn credentials_are_a_user_and_a_password() {
        for (lines, expected) in [
            ("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n", Some(("Aladdin", "open sesame"))),
            ("authorization: bAsIc   dTpwOnE=\r\n", Some(("u", "p:q"))),
            ("Authorization: Basic Og==\r\n", Some(("", ""))),
            ("Authorization: Basic dXNlcg==\r\n", None),
            ("Authorization: Basic dTpw!\r\n", None),
            ("Authorization: Basic\r\n", None),
            ("Authorization: Bearer dTpw\r\n", None),
            ("Authorization: Basic dTpw\r\nAuthorization: Basic dTpw\r\n", None),
            ("", None),
        ] {
            let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            let Ok(Parse::Complete { head, .. }) = parse(bytes.as_bytes()) else { panic!("a head") };
            let expected = expected.map(|(user, password)| (user.as_bytes().to_vec(), password.as_bytes().to_vec()));
            assert_eq!(credentials(&head), expected, "{lines:?}");
        }
    }
}
