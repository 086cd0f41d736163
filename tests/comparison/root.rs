//! The document root that both servers serve.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::cases::MODIFIED;
use crate::support::files::put;
use crate::support::pattern;

/// A folder with `root`, and beside it what must not be reached.
pub fn make() -> TempDir {
    let outside = tempfile::tempdir().expect("the temporary folder is writable");
    let root = outside.path().join("root");
    for (name, bytes) in [
        ("index.html", &b"<!doctype html><title>root</title>"[..]),
        ("empty.txt", b""),
        ("letters.txt", b"abcdefghijklmnopqrstuvwxyz"),
        ("style.css", b"a { color: red }"),
        ("app.js", b"export default 1"),
        ("data.json", b"{}"),
        ("image.png", b"\x89PNG"),
        ("vector.svg", b"<svg/>"),
        ("font.woff2", b"wOF2"),
        ("paper.pdf", b"%PDF"),
        ("no_extension", b"none"),
        ("odd.unheard-of", b"odd"),
        ("folder/inner.txt", b"inner"),
        ("folder/index.html", b"<title>folder</title>"),
        ("folder/deep/index.html", b"<title>deep</title>"),
        ("folder/.x", b"hidden"),
        ("bare/file.txt", b"bare"),
        ("with space/index.html", b"space"),
        ("f\u{f6}lder/index.html", b"umlaut"),
        ("name.with.dots.txt", b"dots"),
        ("UPPER.TXT", b"upper"),
        (".hidden", b"hidden"),
        (".git/config", b"hidden"),
        (".well-known/security.txt", b"Contact: x"),
        ("a b.txt", b"space"),
        ("plus+.txt", b"plus"),
        ("percent%.txt", b"percent"),
        ("percent%25.txt", b"percent25"),
        ("\u{fc}.txt", b"umlaut"),
        ("packed.html", b"<title>as it is</title>"),
        ("packed.html.gz", b"\x1f\x8bpacked"),
        ("packed/index.html", b"<title>as it is</title>"),
        ("packed/index.html.gz", b"\x1f\x8bpacked"),
    ] {
        put(&root, name, bytes);
    }
    put(outside.path(), "secret.txt", "secret");
    put(&root, "64k.bin", pattern(64 * 1024));
    put(&root, "64k1.bin", pattern(64 * 1024 + 1));
    put(&root, "large.bin", pattern(300_000));
    for (target, name) in [
        ("letters.txt", "link.txt"),
        ("../secret.txt", "outside.txt"),
        ("..", "outside"),
        ("nowhere", "dangling"),
        ("loop", "loop"),
    ] {
        symlink(target, root.join(name)).expect("a writable folder");
    }
    age(&root);
    outside
}

/// Gives every file below `folder` the same modification time.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let kind = fs::symlink_metadata(&path).expect("it is there");
        if kind.is_dir() {
            age(&path);
        } else if kind.is_file() {
            let file = File::options().write(true).open(&path).expect("a writable file");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED)).expect("the owner may");
        }
    }
}
