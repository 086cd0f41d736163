//! Files of users and hashed passwords, as Apache's `htpasswd` writes them and nginx reads them.
//!
//! Owns the parser and the verification, both pure. A verification takes from microseconds to a good part of a second, as the hash was meant to, and
//! takes as long for a user that does not exist. Called by `supervise` (the parser) and on the helper threads of `shard`.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use argon2::password_hash::PasswordVerifier;
use argon2::{Argon2, Params, PasswordHash};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::md5_crypt;
use crate::base::bounds::{ARGON2_KIB_MAX, ARGON2_PASSES_MAX, BCRYPT_COST_MAX, HTPASSWD_USERS_MAX, PASSWORD_BYTES_MAX};

/// The users of a file.
pub struct Htpasswd {
    users: HashMap<Box<[u8]>, Hash>,
    /// What is verified in place of the password of a user that does not exist: the dearest hash of the file.
    decoy: Option<Hash>,
    /// Stands for the whole content.
    fingerprint: [u8; 32],
}

/// A line that lets nobody in, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no colon, or no name before it.
    NoUser,
    /// The same user was named before, and that line counts.
    Repeated,
    /// The hash is none of those that are known.
    UnknownHash,
    /// The hash is malformed.
    Malformed,
    /// To verify it would take too much memory or time.
    TooDear,
    /// There are too many users.
    TooMany,
}

#[derive(Clone, Debug)]
enum Hash {
    Bcrypt(Box<str>),
    Argon2(Box<PasswordHash>),
    /// With the salt behind the password; `htpasswd -s` has none.
    Sha1 {
        digest: [u8; 20],
        salt: Box<[u8]>,
    },
    Md5 {
        magic: &'static str,
        salt: Box<[u8]>,
        hash: [u8; md5_crypt::HASH_CHARS],
    },
}

impl Htpasswd {
    /// Reads the content of a file. Lines that can't be used are told of and let nobody in.
    pub fn parse(content: &[u8]) -> (Htpasswd, Vec<Warning>) {
        let mut users = HashMap::new();
        let mut warnings = Vec::new();
        for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            let mut warn = |fault| warnings.push(Warning { line: index + 1, fault });
            // A third part is a comment.
            let mut parts = line.split(|&byte| byte == b':');
            let (Some(user), Some(hash)) = (parts.next().filter(|user| !user.is_empty()), parts.next()) else {
                warn(Fault::NoUser);
                continue;
            };
            if users.contains_key(user) {
                warn(Fault::Repeated);
            } else if users.len() >= HTPASSWD_USERS_MAX {
                warn(Fault::TooMany);
                break;
            } else {
                match Hash::parse(hash.trim_ascii_end()) {
                    Ok(hash) => drop(users.insert(Box::from(user), hash)),
                    Err(fault) => warn(fault),
                }
            }
        }
        let decoy = users.values().max_by_key(|hash| hash.price()).cloned();
        let digest = digest::digest(&digest::SHA256, content);
        let fingerprint = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        (Htpasswd { users, decoy, fingerprint }, warnings)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Stands for the content of the file: another content has another one.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Whether `password` is that of `user`. Takes its time.
    pub fn verify(&self, user: &[u8], password: &[u8]) -> bool {
        let known = self.users.get(user);
        let fits = known.or(self.decoy.as_ref()).is_some_and(|hash| hash.verify(password));
        fits && known.is_some()
    }
}

impl fmt::Debug for Htpasswd {
    /// Without names and hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NoUser => "is not of the form USER:HASH",
            Fault::Repeated => "names a user of an earlier line, which counts",
            Fault::UnknownHash => "has none of the hashes bcrypt ($2y$), argon2 ($argon2id$), MD5 ($apr1$) and SHA-1 ({SHA}, {SSHA}); `htpasswd -B` makes the first",
            Fault::Malformed => "has a malformed hash",
            Fault::TooDear => "has a hash that takes too much memory or time to verify",
            Fault::TooMany => "is one too many: no user from here on is known",
        })
    }
}

impl Hash {
    fn parse(text: &[u8]) -> Result<Hash, Fault> {
        let text = std::str::from_utf8(text).map_err(|_| Fault::UnknownHash)?;
        if text.starts_with("$2") {
            return bcrypt_of(text);
        }
        if text.starts_with("$argon2") {
            return argon2_of(text);
        }
        if let Some(rest) = text.strip_prefix("{SHA}") {
            return sha1_of(rest, false);
        }
        if let Some(rest) = text.strip_prefix("{SSHA}") {
            return sha1_of(rest, true);
        }
        for magic in ["$apr1$", "$1$"] {
            if let Some(rest) = text.strip_prefix(magic) {
                let (salt, hash) = rest.split_once('$').ok_or(Fault::Malformed)?;
                let hash = hash.as_bytes().try_into().map_err(|_| Fault::Malformed)?;
                return Ok(Hash::Md5 { magic, salt: salt.as_bytes().into(), hash });
            }
        }
        Err(Fault::UnknownHash)
    }

    fn verify(&self, password: &[u8]) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        match self {
            Hash::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            Hash::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
            Hash::Sha1 { digest, salt } => {
                let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                context.update(password);
                context.update(salt);
                verify_slices_are_equal(context.finish().as_ref(), digest).is_ok()
            }
            Hash::Md5 { magic, salt, hash } => {
                verify_slices_are_equal(&md5_crypt::hash(password, magic, salt), hash).is_ok()
            }
        }
    }

    /// How much it takes to verify it, roughly: enough to tell which hash of a file takes most.
    fn price(&self) -> u64 {
        match self {
            Hash::Sha1 { .. } => 0,
            Hash::Md5 { .. } => 1,
            Hash::Bcrypt(text) => {
                2_u64.pow(bcrypt::HashParts::from_str(text).map_or(0, |parts| parts.get_cost()).min(31))
            }
            Hash::Argon2(hash) => {
                Params::try_from(&**hash).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
            }
        }
    }
}

fn bcrypt_of(text: &str) -> Result<Hash, Fault> {
    let parts = bcrypt::HashParts::from_str(text).map_err(|_| Fault::Malformed)?;
    match parts.get_cost() {
        ..=BCRYPT_COST_MAX => Ok(Hash::Bcrypt(text.into())),
        _ => Err(Fault::TooDear),
    }
}

fn argon2_of(text: &str) -> Result<Hash, Fault> {
    let hash = PasswordHash::new(text).map_err(|_| Fault::Malformed)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(Fault::Malformed);
    }
    let params = Params::try_from(&hash).map_err(|_| Fault::Malformed)?;
    if params.m_cost() > ARGON2_KIB_MAX || params.t_cost() > ARGON2_PASSES_MAX {
        return Err(Fault::TooDear);
    }
    Ok(Hash::Argon2(Box::new(hash)))
}

fn sha1_of(text: &str, salted: bool) -> Result<Hash, Fault> {
    let bytes = STANDARD.decode(text).map_err(|_| Fault::Malformed)?;
    let (digest, salt) = bytes.split_first_chunk::<20>().ok_or(Fault::Malformed)?;
    if salt.is_empty() == salted {
        return Err(Fault::Malformed);
    }
    Ok(Hash::Sha1 { digest: *digest, salt: salt.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From Apache's documentation, crypt_blowfish's and the argon2 reference's tests.
    const FILE: &str = "# users\n\
        apache:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n\
        blowfish:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC:a comment\r\n\
        \n\
        crypt:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n\
        sha:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n\
        salted:{SSHA}kL3+/tIbZ86DOhMac+F4u8lG275zYWx0\n\
        argon:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn every_kind_of_hash_lets_its_password_in_and_no_other() {
        let (file, warnings) = Htpasswd::parse(FILE.as_bytes());
        assert_eq!((file.len(), warnings), (6, Vec::new()));
        for (user, password) in [
            ("apache", "myPassword"),
            ("blowfish", "myPassword"),
            ("crypt", "U*U"),
            ("sha", "myPassword"),
            ("salted", "myPassword"),
            ("argon", "password"),
        ] {
            assert!(file.verify(user.as_bytes(), password.as_bytes()), "{user}");
            for wrong in
                ["", "mypassword", "myPassword ", "password\0", &password[1..], &"p".repeat(PASSWORD_BYTES_MAX + 1)]
            {
                assert!(!file.verify(user.as_bytes(), wrong.as_bytes()), "{user} {wrong}");
            }
        }
        for stranger in ["", "nobody", "Apache", "# users"] {
            assert!(!file.verify(stranger.as_bytes(), b"myPassword"), "{stranger}");
        }
    }

    #[test]
    fn lines_that_let_nobody_in_are_told_of() {
        let lines = [
            ("no colon", Fault::NoUser),
            (":{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", Fault::NoUser),
            ("a:", Fault::UnknownHash),
            ("b:plain", Fault::UnknownHash),
            ("c:{PLAIN}secret", Fault::UnknownHash),
            ("d:rqXexS6ZhobKA", Fault::UnknownHash),
            ("e:$6$salt$hash", Fault::UnknownHash),
            ("f:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKN=", Fault::Malformed),
            ("g:{SHA}YWJj", Fault::Malformed),
            ("h:{SSHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", Fault::Malformed),
            ("i:$2y$05$tooshort", Fault::Malformed),
            ("j:$2y$31$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC", Fault::TooDear),
            (
                "k:$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                Fault::TooDear,
            ),
            (
                "l:$argon2id$v=19$m=256,t=100000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                Fault::TooDear,
            ),
            ("m:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", Fault::Malformed),
            ("n:$apr1$r31.....", Fault::Malformed),
        ];
        for (line, fault) in lines {
            let (file, warnings) = Htpasswd::parse(format!("\n{line}\n").as_bytes());
            assert_eq!((file.len(), warnings), (0, vec![Warning { line: 2, fault }]), "{line}");
            assert!(!file.verify(&line.as_bytes()[..1], b"plain"));
        }
        let twice = "a:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\na:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
        let (file, warnings) = Htpasswd::parse(twice.as_bytes());
        assert_eq!(warnings, [Warning { line: 2, fault: Fault::Repeated }]);
        assert!(file.verify(b"a", b"myPassword") && !file.verify(b"a", b"password"));
    }

    #[test]
    fn the_decoy_is_the_dearest_hash() {
        let (file, _) = Htpasswd::parse(FILE.as_bytes());
        assert!(matches!(file.decoy, Some(Hash::Argon2(_))), "256 KiB, twice, before 2⁵ rounds: {:?}", file.decoy);
        assert!(Htpasswd::parse(b"").0.decoy.is_none());
    }

    #[test]
    fn users_are_bounded() {
        let line = |number| format!("u{number}:{{SHA}}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n");
        let content: String = (0..HTPASSWD_USERS_MAX + 5).map(line).collect();
        let (file, warnings) = Htpasswd::parse(content.as_bytes());
        let expected = Warning { line: HTPASSWD_USERS_MAX + 1, fault: Fault::TooMany };
        assert_eq!((file.len(), warnings), (HTPASSWD_USERS_MAX, vec![expected]));
    }

    proptest! {
        #[test]
        fn takes_any_bytes(content in proptest::collection::vec(any::<u8>(), 0..300), password in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (file, _) = Htpasswd::parse(&content);
            prop_assert!(!file.verify(b"", &password));
        }
    }
}
