//! Which files make the application what it is: pure knowledge of names, from what processes have said.
//!
//! Owns the question whether a change concerns anybody. Looks at no file. Called by `watch`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::base::bounds::WATCHED_FILES_MAX;

/// Files by their names, and directories of which everything counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Names, by their directories. A name need not exist: what comes to be there counts too.
    files: BTreeMap<PathBuf, BTreeSet<OsString>>,
    trees: BTreeSet<PathBuf>,
    count: usize,
}

impl Wanted {
    /// Adds an absolute path. Returns whether it is news; there is a bound, beyond which nothing is.
    pub fn add_file(&mut self, path: &Path) -> bool {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
        if !directory.is_absolute() || self.count >= WATCHED_FILES_MAX {
            return false;
        }
        let is_new = match self.files.get_mut(directory) {
            Some(names) => names.insert(name.to_owned()),
            None => self.files.entry(directory.to_owned()).or_default().insert(name.to_owned()),
        };
        self.count += usize::from(is_new);
        is_new
    }

    /// Adds a directory with everything beneath it. Returns whether it is news.
    pub fn add_tree(&mut self, path: &Path) -> bool {
        path.is_absolute() && self.trees.len() < WATCHED_FILES_MAX && self.trees.insert(path.to_owned())
    }

    /// Adds what another wants.
    pub fn merge(&mut self, other: &Wanted) {
        for (directory, names) in &other.files {
            for name in names {
                self.add_file(&directory.join(name));
            }
        }
        for tree in &other.trees {
            self.add_tree(tree);
        }
    }

    /// Whether something that happens to `name` in `directory` matters.
    pub fn concerns(&self, directory: &Path, name: &OsStr) -> bool {
        let is_file = self.files.get(directory).is_some_and(|names| names.contains(name));
        is_file || (self.is_in_tree(directory) && !is_noise(name))
    }

    /// Whether something that happens to `directory` itself matters.
    pub fn concerns_directory(&self, directory: &Path) -> bool {
        self.files.contains_key(directory) || self.is_in_tree(directory)
    }

    /// Directories with names that are known.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Directories of which everything counts.
    pub fn trees(&self) -> impl Iterator<Item = &Path> {
        self.trees.iter().map(PathBuf::as_path)
    }

    fn is_in_tree(&self, directory: &Path) -> bool {
        directory.ancestors().any(|above| self.trees.contains(above))
    }
}

/// What editors and Python leave beside the files that are meant: hidden files, backups, a file that is on its way to its name.
pub(super) fn is_noise(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let ends = [&b"~"[..], b".swp", b".swo", b".swx", b".tmp", b".pyc", b"___jb_tmp___", b"___jb_old___"];
    let is_whole = [&b"4913"[..], b"__pycache__", b"node_modules"].contains(&name);
    let is_lock = name.starts_with(b"#") && name.ends_with(b"#");
    name.starts_with(b".") || is_whole || is_lock || ends.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concerns(wanted: &Wanted, path: &str) -> bool {
        let path = Path::new(path);
        wanted.concerns(path.parent().expect("a directory"), path.file_name().expect("a name"))
    }

    #[test]
    fn names_and_trees_concern_and_nothing_else_does() {
        let mut wanted = Wanted::default();
        assert!(wanted.add_file(Path::new("/a/site/views.py")) && !wanted.add_file(Path::new("/a/site/views.py")));
        assert!(!wanted.add_file(Path::new("site/views.py")) && !wanted.add_tree(Path::new("templates")));
        assert!(wanted.add_tree(Path::new("/a/templates")));
        for (path, matters) in [
            ("/a/site/views.py", true),
            ("/a/site/views.pyc", false),
            ("/a/site/views.py~", false),
            ("/a/site/other.py", false),
            ("/a/views.py", false),
            ("/a/templates/x.html", true),
            ("/a/templates/deep/er/x.txt", true),
            ("/a/templates/.x.html.swp", false),
            ("/a/templates/deep/4913", false),
            ("/a/templates/#x.html#", false),
            ("/a/templates/x.html~", false),
            ("/a/templates-old/x.html", false),
        ] {
            assert_eq!(concerns(&wanted, path), matters, "{path}");
        }
        let mut other = Wanted::default();
        other.add_file(Path::new("/b/x.py"));
        other.merge(&wanted);
        assert!(concerns(&other, "/b/x.py") && concerns(&other, "/a/templates/x") && other.directories().count() == 2);
        assert!(other.concerns_directory(Path::new("/b")) && !other.concerns_directory(Path::new("/")));
    }

    #[test]
    fn names_are_bounded() {
        let mut wanted = Wanted::default();
        for number in 0..WATCHED_FILES_MAX {
            assert!(wanted.add_file(Path::new(&format!("/a/{number}"))));
        }
        assert!(!wanted.add_file(Path::new("/a/one-more")));
        assert!(!concerns(&wanted, "/a/one-more") && concerns(&wanted, "/a/7"));
    }
}
