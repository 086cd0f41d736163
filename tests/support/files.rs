//! Folders of static files, and a server for them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{Builder, Server};

/// A server for one folder at `/files/`, and the folder.
pub fn files(prepare: impl FnOnce(&Path)) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    prepare(folder.path());
    let server = Builder::bare().static_route("/files/", folder.path(), "").start();
    (server, folder)
}

/// Writes a file and the folders on its way.
pub fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a writable folder");
    fs::write(path, bytes).expect("a writable folder");
}
