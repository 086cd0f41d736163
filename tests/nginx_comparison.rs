//! Draft.
mod comparison;
mod support;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use comparison::nginx::{self, Nginx};
use comparison::{Case, cases};
use support::files::put;
use support::{Builder, ReadError, Response, pattern};

fn document_root() -> tempfile::TempDir {
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
        ("../secret.txt", b"secret"),
    ] {
        put(&root, name, bytes);
    }
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
            file.set_modified(UNIX_EPOCH + Duration::from_secs(cases::MODIFIED)).expect("its owner's own time");
        }
    }
}

fn show(answer: &(Vec<Response>, ReadError)) -> String {
    let mut text = String::new();
    for response in &answer.0 {
        let body = if response.status < 300 {
            format!("{:x}", response.body.iter().fold(0u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(*b))))
        } else {
            String::new()
        };
        text += &format!("\n      {} {body}", response.status);
        for name in [
            "content-type",
            "content-length",
            "content-range",
            "last-modified",
            "location",
            "allow",
            "accept-ranges",
            "vary",
            "connection",
            "content-encoding",
        ] {
            if response.status >= 400 && ["content-type", "content-length"].contains(&name) {
                continue;
            }
            for value in response.all(name) {
                text += &format!(" {name}={value}");
            }
        }
        text += if response.all("etag").is_empty() { "" } else { " etag" };
    }
    text + &format!("\n      {:?}", answer.1)
}

#[test]
fn draft() {
    let Some(binary) = nginx::find() else { return };
    let root = document_root();
    let root = root.path().join("root");
    let nginx = Nginx::start(&binary, &root);
    let server = Builder::bare().static_route("/", &root, "").start();
    let tag = |address, path: &str| {
        let case = Case::new(String::new(), format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        case.ask(address, &Default::default()).0[0].field("etag").unwrap().to_owned()
    };
    let tags = |address| [tag(address, "/letters.txt"), tag(address, "/large.bin")];
    let (ours, theirs) = (tags(server.address), tags(nginx.address));
    let all = cases::all();
    println!("{} cases", all.len());
    for case in &all {
        let (a, b) = (show(&case.ask(server.address, &ours)), show(&case.ask(nginx.address, &theirs)));
        if a != b {
            println!("## {}\n   ours{a}\n   nginx{b}", case.name);
        }
    }
}
