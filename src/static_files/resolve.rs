//! From a request's path to an open file beneath a root.
//!
//! Owns decoding, what is hidden, index files and the meaning of errors. The kernel keeps paths inside the root (openat2(2),
//! `RESOLVE_BENEATH`), not this code. Called by the cache.

use std::borrow::Cow;
use std::ffi::CString;
use std::io;
use std::rc::Rc;

use super::root::{Opened, StaticRoot};
use crate::http::Reject;
use crate::http::target::{decode_path, normalise};
use crate::ring::{Descriptor, Ring, Stat};

/// Attempts at a path while directories on it are being renamed (openat2(2), EAGAIN).
const ATTEMPTS_MAX: u32 = 3;

/// What a path leads to.
pub(super) enum Resolved {
    /// A regular file: open, as it is, and its own path, which for a directory is its index's.
    File { file: Descriptor, stat: Stat, path: Vec<u8> },
    /// A directory that was asked for without a slash at the end.
    Directory,
    /// A directory without an index, to be listed.
    Listing(Descriptor),
    /// Nothing that may be served.
    Failed(Failure),
}

/// Why there is no file to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Missing,
    /// A directory without an index that is not listed.
    NoIndex,
    Forbidden,
    /// Descriptors or memory have run out.
    Exhausted,
    Broken,
}

impl Failure {
    pub fn status(self) -> u16 {
        match self {
            Failure::Missing => 404,
            Failure::NoIndex | Failure::Forbidden => 403,
            Failure::Exhausted => 503,
            Failure::Broken => 500,
        }
    }

    pub fn detail(self) -> &'static str {
        match self {
            Failure::Missing => "There is no such file here.",
            Failure::NoIndex => "The directory has no index, and it is not listed.",
            Failure::Forbidden => "The server may not read this file.",
            Failure::Exhausted => "The server is short of file descriptors or memory.",
            Failure::Broken => "The file could not be read.",
        }
    }

    /// What `error` means for a client; the log hears of those that somebody has to mend. `symlinks`: they are followed.
    pub fn of(error: &io::Error, path: &[u8], symlinks: bool) -> Failure {
        let path = String::from_utf8_lossy(path);
        match error.raw_os_error() {
            // openat2(2): RESOLVE_NO_SYMLINKS met one. nginx's disable_symlinks says 403 too.
            Some(libc::ELOOP) if !symlinks => Failure::Forbidden,
            // ENXIO: a socket, or a device without a driver. EXDEV: out of the root.
            Some(
                libc::ENOENT
                | libc::ENOTDIR
                | libc::ENAMETOOLONG
                | libc::ELOOP
                | libc::EXDEV
                | libc::ENXIO
                | libc::ENODEV,
            ) => Failure::Missing,
            Some(libc::EACCES | libc::EPERM) => Failure::Forbidden,
            // ECANCELED: the shard is stopping.
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::ECANCELED) => {
                tracing::warn!(%path, %error, "static file not served");
                Failure::Exhausted
            }
            _ => {
                tracing::error!(%path, %error, "static file can't be read");
                Failure::Broken
            }
        }
    }
}

/// The decoded, normal form of a raw path, without the slash at the front; empty for the root itself.
pub(super) fn normal_path(raw: &str) -> Result<Cow<'_, [u8]>, Reject> {
    let relative = raw.strip_prefix('/').unwrap_or(raw);
    if is_plain(relative.as_bytes()) {
        return Ok(Cow::Borrowed(relative.as_bytes()));
    }
    let mut absolute = vec![b'/'];
    absolute.extend_from_slice(&decode_path(relative)?);
    let mut normal = normalise(&absolute)?.into_owned();
    normal.remove(0);
    Ok(Cow::Owned(normal))
}

/// Neither encoded nor with anything to normalise.
fn is_plain(relative: &[u8]) -> bool {
    memchr::memchr(b'%', relative).is_none()
        && !matches!(relative.first(), Some(b'/' | b'.'))
        && !memchr::memchr_iter(b'/', relative).any(|at| matches!(relative.get(at + 1), Some(b'/' | b'.')))
}

/// Whether a segment begins with a dot, as `.git` and `.env` do; `.well-known` is public (RFC 8615).
pub(super) fn is_hidden(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|segment| segment.first() == Some(&b'.') && segment != b".well-known")
}

/// The path of the whole request with a slash at the end, encoded anew: it begins with exactly one slash, so that no browser takes what follows
/// for a host.
pub(super) fn with_slash(raw: &str, query: Option<&str>) -> Result<Vec<u8>, Reject> {
    let normal = normal_path(raw)?;
    let mut location = vec![b'/'];
    // RFC 3986 §3.3: pchar and the slash stand for themselves.
    encode(&normal, b"-._~!$&'()*+,;=:@/", &mut location);
    if !location.ends_with(b"/") {
        location.push(b'/');
    }
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    Ok(location)
}

/// Appends `bytes` percent-encoded, but for letters, digits and those that are `plain`.
pub(super) fn encode(bytes: &[u8], plain: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(byte);
        } else {
            out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Opens what `path` leads to beneath `opened`.
pub(super) async fn resolve(ring: &Ring, root: &StaticRoot, opened: &Opened, path: &[u8]) -> Resolved {
    let (file, stat) = match open(ring, root, opened, path).await {
        Ok(found) => found,
        Err(error) => return Resolved::Failed(Failure::of(&error, path, root.options.symlinks)),
    };
    if stat.is_file() {
        return Resolved::File { file, stat, path: path.to_vec() };
    }
    if !stat.is_directory() {
        return Resolved::Failed(Failure::Missing);
    }
    let with_slash = path.is_empty() || path.ends_with(b"/");
    if !with_slash && root.options.fallback.is_empty() {
        return Resolved::Directory;
    }
    match index(ring, root, opened, path, with_slash).await {
        Ok(Some(index)) if with_slash => index,
        Ok(Some(_)) => Resolved::Directory,
        Ok(None) if !root.options.listing => Resolved::Failed(Failure::NoIndex),
        Ok(None) if with_slash => Resolved::Listing(file),
        Ok(None) => Resolved::Directory,
        Err(failure) => Resolved::Failed(failure),
    }
}

/// The index of the directory at `path`, if it has one.
async fn index(
    ring: &Ring,
    root: &StaticRoot,
    opened: &Opened,
    path: &[u8],
    with_slash: bool,
) -> Result<Option<Resolved>, Failure> {
    let slash: &[u8] = if with_slash { b"" } else { b"/" };
    for name in &root.options.index {
        let path = [path, slash, name.as_bytes()].concat();
        match open(ring, root, opened, &path).await {
            Ok((file, stat)) if stat.is_file() => return Ok(Some(Resolved::File { file, stat, path })),
            Ok(_) => {}
            Err(error) => match Failure::of(&error, &path, root.options.symlinks) {
                Failure::Missing => {}
                failure => return Err(failure),
            },
        }
    }
    Ok(None)
}

/// Opens one file beneath `opened`.
pub(super) async fn open(
    ring: &Ring,
    root: &StaticRoot,
    opened: &Opened,
    path: &[u8],
) -> io::Result<(Descriptor, Stat)> {
    let name: &[u8] = if path.is_empty() { b"." } else { path };
    let name = CString::new(name).expect("a decoded path holds no NUL");
    let mut attempt = 1;
    let file = loop {
        match ring.open_beneath(&opened.directory, name.clone(), root.open_flags()).await {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS_MAX => attempt += 1,
            other => break Rc::new(other?),
        }
    };
    let stat = ring.stat(&file).await?;
    Ok((file, stat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_paths() {
        for (raw, normal) in [
            ("", Ok(&b""[..])),
            ("/", Ok(b"")),
            ("/css/a.css", Ok(b"css/a.css")),
            ("css/a.css", Ok(b"css/a.css")),
            ("css/", Ok(b"css/")),
            ("//css//a.css", Ok(b"css/a.css")),
            ("./a", Ok(b"a")),
            ("a/../b", Ok(b"b")),
            ("a%2fb", Ok(b"a/b")),
            ("a/%2e%2e/b", Ok(b"b")),
            ("%2fetc/passwd", Ok(b"etc/passwd")),
            ("..", Err(Reject::PathAboveRoot)),
            ("%2e%2e/etc", Err(Reject::PathAboveRoot)),
            ("a/..%2f..", Err(Reject::PathAboveRoot)),
            ("a%00", Err(Reject::PathNul)),
            ("a%zz", Err(Reject::PercentMalformed)),
        ] {
            assert_eq!(normal_path(raw).as_deref(), normal.as_ref().copied(), "{raw}");
        }
    }

    #[test]
    fn hidden_paths() {
        for (path, hidden) in [
            (&b".git/config"[..], true),
            (b"a/.env", true),
            (b".well-known/security.txt", false),
            (b".well-known/.x", true),
            (b".well-knownx", true),
            (b"a.b/c.d", false),
            (b"", false),
        ] {
            assert_eq!(is_hidden(path), hidden, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn locations_stay_on_this_host() {
        for (raw, query, location) in [
            ("/static/docs", None, "/static/docs/"),
            ("/docs", Some("a=1&b"), "/docs/?a=1&b"),
            ("//evil.example", None, "/evil.example/"),
            ("/\\evil/..%2fdocs", None, "/docs/"),
            ("/\\evil", None, "/%5Cevil/"),
            ("/a%0d%0ab", None, "/a%0D%0Ab/"),
            ("/caf%C3%A9 x", None, "/caf%C3%A9%20x/"),
        ] {
            assert_eq!(String::from_utf8(with_slash(raw, query).unwrap()).unwrap(), location);
        }
    }
}
