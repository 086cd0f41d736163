//! `maitred precompress`: the siblings that it writes, what it leaves alone, and that a server sends them.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use support::Builder;
use support::files::put;
use tempfile::TempDir;

const TEXT: &str = "body { margin: 0; padding: 0 }\n";

fn precompress(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maitred"));
    command.arg("precompress").arg(folder).args(["--brotli", "5", "--zstd", "3"]).args(arguments);
    command.output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("temporary directory");
    put(folder.path(), "app.css", TEXT.repeat(100));
    put(folder.path(), "js/deep/app.js", "let a = 1;\n".repeat(100));
    put(folder.path(), "small.css", "p {}");
    put(folder.path(), "photo.png", vec![0; 5000]);
    put(folder.path(), ".hidden/a.css", TEXT.repeat(100));
    let past = SystemTime::now() - Duration::from_secs(1000);
    File::options()
        .write(true)
        .open(folder.path().join("app.css"))
        .and_then(|f| f.set_modified(past))
        .expect("our file");
    folder
}

/// Every file below the folder, relative to it.
fn names(folder: &Path) -> Vec<String> {
    let (mut names, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("readable").flatten() {
            match entry.path().is_dir() && !entry.path().is_symlink() {
                true => folders.push(entry.path()),
                false => names.push(entry.path().strip_prefix(folder).expect("below").display().to_string()),
            }
        }
    }
    names.sort();
    names
}

#[test]
fn siblings_are_written_beside_what_gets_smaller() {
    let folder = folder();
    let output = precompress(folder.path(), &[]);
    let text = stdout(&output);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    assert!(text.starts_with("2 files: 6 siblings written ("), "{text}");
    let siblings = |name: &str| ["", ".br", ".gz", ".zst"].map(|suffix| format!("{name}{suffix}"));
    let mut wanted = [siblings("app.css"), siblings("js/deep/app.js")].concat();
    wanted.extend([".hidden/a.css", "photo.png", "small.css"].map(str::to_owned));
    wanted.sort();
    assert_eq!(names(folder.path()), wanted);
    let of = |name: &str| fs::metadata(folder.path().join(name)).expect("it was written");
    for name in siblings("app.css") {
        let (file, sibling) = (of("app.css"), of(&name));
        assert_eq!(
            (file.mtime(), file.mtime_nsec(), file.mode()),
            (sibling.mtime(), sibling.mtime_nsec(), sibling.mode())
        );
    }
    let mut text = String::new();
    let gzip = File::open(folder.path().join("app.css.gz")).expect("it was written");
    flate2::read::GzDecoder::new(gzip).read_to_string(&mut text).expect("it is gzip");
    assert_eq!(text, TEXT.repeat(100));
    // A second run has nothing to do; one that is told to does it again.
    assert_eq!(stdout(&precompress(folder.path(), &[])), "2 files: 0 siblings written, 6 fresh");
    assert!(stdout(&precompress(folder.path(), &["--force"])).starts_with("2 files: 6 siblings written"));
}

#[test]
fn what_changed_is_compressed_again_and_codings_can_be_left_out() {
    let folder = folder();
    assert!(precompress(folder.path(), &[]).status.success());
    put(folder.path(), "app.css", "p { color: red }\n".repeat(50));
    let output = precompress(folder.path(), &["--zstd", "off", "--jobs", "1"]);
    assert!(stdout(&output).starts_with("2 files: 2 siblings written"), "{output:?}");
    assert!(stdout(&output).ends_with(", 2 fresh"), "{output:?}");
}

#[test]
fn a_sibling_that_would_not_be_smaller_is_not_written_and_a_stale_one_goes() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let random: Vec<u8> =
        (0..64u32).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 32).to_le_bytes()).collect();
    put(folder.path(), "a.txt.gz", "stale");
    put(folder.path(), "a.txt", &random);
    let output = precompress(folder.path(), &["--brotli", "off", "--zstd", "off"]);
    assert_eq!(stdout(&output), "1 files: 0 siblings written, 1 would not be smaller");
    assert_eq!(names(folder.path()), ["a.txt"]);
}

#[test]
fn links_are_followed_to_files_but_not_to_folders() {
    let folder = folder();
    symlink("app.css", folder.path().join("link.css")).expect("a writable folder");
    symlink("..", folder.path().join("js/ring")).expect("a writable folder");
    let output = precompress(folder.path(), &["--zstd", "off", "--brotli", "off"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("3 files: 3 siblings written"), "{output:?}");
}

#[test]
fn what_can_not_be_done_is_said_and_the_rest_is_done() {
    let missing = precompress(Path::new("/nowhere/at/all"), &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/at/all"), "{missing:?}");
    let folder = folder();
    for arguments in [&["--gzip", "10"][..], &["--zstd", "high"], &["--jobs", "0"]] {
        assert_eq!(precompress(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    let off = ["--gzip", "off"];
    let mut nothing = Command::new(env!("CARGO_BIN_EXE_maitred"));
    nothing.arg("precompress").arg(folder.path()).args(off).args(["--brotli", "off", "--zstd", "off"]);
    assert_eq!(nothing.output().expect("the binary runs").status.code(), Some(2));
    // A directory in the sibling's place can't be replaced; no temporary file stays behind.
    fs::create_dir_all(folder.path().join("app.css.gz/x")).expect("a writable folder");
    let past = SystemTime::now() - Duration::from_secs(10_000);
    File::open(folder.path().join("app.css.gz")).and_then(|f| f.set_modified(past)).expect("our own folder");
    let output = precompress(folder.path(), &["--brotli", "off", "--zstd", "off"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("app.css.gz"), "{output:?}");
    assert!(stdout(&output).ends_with("1 failed"), "{output:?}");
    assert!(names(folder.path()).iter().all(|name| !name.contains(".new")));
    assert!(folder.path().join("js/deep/app.js.gz").is_file());
}

#[test]
fn unreadable_files_are_named() {
    if rustix::process::geteuid().is_root() {
        eprintln!("not shown as root, who may read everything");
        return;
    }
    let folder = folder();
    fs::set_permissions(folder.path().join("app.css"), fs::Permissions::from_mode(0o000)).expect("our own file");
    assert_eq!(precompress(folder.path(), &[]).status.code(), Some(1));
}

#[test]
fn a_server_sends_what_was_written() {
    let folder = folder();
    assert!(precompress(folder.path(), &[]).status.success());
    let server = Builder::bare().static_route("/files/", folder.path(), "").start();
    let mut client = server.connect();
    let file = |name: &str| fs::read(PathBuf::from(folder.path()).join(name)).expect("it is there");
    // Twice each: from the disk and from the cache.
    for _ in 0..2 {
        for (accept, coding, name) in [
            ("br, gzip", Some("br"), "app.css.br"),
            ("zstd;q=1, br;q=0.5", Some("zstd"), "app.css.zst"),
            ("gzip", Some("gzip"), "app.css.gz"),
            ("identity", None, "app.css"),
        ] {
            client.request("GET", "/files/app.css", &format!("Accept-Encoding: {accept}\r\n"));
            let response = client.response("GET");
            assert_eq!((response.status, response.field("content-encoding")), (200, coding), "{accept}");
            assert_eq!(response.field("vary"), Some("Accept-Encoding"));
            assert!(response.body == file(name), "{accept}");
        }
    }
}

#[test]
fn a_server_compresses_what_has_no_sibling() {
    let folder = folder();
    let server = Builder::bare().static_route("/files/", folder.path(), "compress = { gzip = 6 }").start();
    let mut client = server.connect();
    support::wait_until("the compressed form", support::DEADLINE, || {
        client.request("GET", "/files/app.css", "Accept-Encoding: br, gzip\r\n");
        let response = client.response("GET");
        assert_eq!(response.field("vary"), Some("Accept-Encoding"));
        let encoded = response.field("content-encoding") == Some("gzip");
        let mut text = String::new();
        match encoded {
            true => drop(flate2::read::GzDecoder::new(&response.body[..]).read_to_string(&mut text)),
            false => text = response.text().to_owned(),
        }
        assert_eq!(text, TEXT.repeat(100));
        encoded
    });
}
