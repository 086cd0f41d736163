//! Files of users: every line is a user, told of, or none; and nobody gets in who is not in the file.

use maitred::limits::Htpasswd;

pub const TARGET: super::Target = super::Target {
    name: "htpasswd",
    run,
    seeds: &[
        b"apache:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n",
        b"# users\r\n\r\nblowfish:$2y$04$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC:a comment\r\n",
        b"sha:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\nsha:{SSHA}kL3+/tIbZ86DOhMac+F4u8lG275zYWx0",
        b"argon:$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n:x\nplain:secret\n",
        b"c:$1$salt$QPw8223Sm.s4vlBuBws4Q0\n",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let (file, warnings) = Htpasswd::parse(input);
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let written = lines.iter().filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#")).count();
    assert_eq!(file.len() + warnings.len(), written, "{warnings:?}");
    assert!(warnings.iter().all(|warning| (1..=lines.len()).contains(&warning.line)));
    assert_eq!(Htpasswd::parse(input).0.fingerprint(), file.fingerprint());
    // A stranger costs as much as the dearest line.
    if lines.iter().all(|line| is_cheap(line)) {
        for line in lines {
            let user = line.split(|&byte| byte == b':').next().expect("a split has a part");
            assert!(!file.verify(user, b"not the password of anybody"));
        }
        assert!(!file.verify(b"a:b", b"myPassword"), "a name that can't stand in a file");
    }
}

/// Whether a line's hash, should it be one, is verified at once.
fn is_cheap(line: &[u8]) -> bool {
    let has = |part: &[u8]| line.windows(part.len()).any(|window| window == part);
    let cheap_bcrypt = !has(b"$2") || has(b"$04$");
    let cheap_argon2 = !has(b"$argon2") || (has(b"m=8,") && has(b"t=1,") && has(b"p=1$"));
    cheap_bcrypt && cheap_argon2
}
