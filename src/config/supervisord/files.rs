//! The files of a configuration: the one that is named and those that it includes.
//!
//! Owns where relative patterns start and what `%(here)s` stands for: the directory of the file that says it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::ini::{Entry, Ini};
use crate::base::bounds::{CONFIG_FILE_BYTES_MAX, INCLUDED_FILES_MAX};
use crate::config::error::Problem;
use crate::config::expand::{Meanings, expand};
use crate::config::sources::Surroundings;
use crate::config::value::Place;

/// What all files together say.
pub(super) struct Found {
    pub ini: Ini,
    /// The directory of the file that is named.
    pub here: PathBuf,
    /// The directory of each file, by its name in places.
    directories: HashMap<Arc<str>, PathBuf>,
    /// Patterns that no file matches.
    pub left: Vec<Problem>,
}

impl Found {
    /// An entry's value with `%(here)s` replaced.
    pub fn text(&self, entry: &Entry) -> String {
        let here = match &entry.place {
            Place::File { name, .. } => self.directories.get(name).unwrap_or(&self.here),
            _ => &self.here,
        };
        entry.value.replace("%(here)s", &here.to_string_lossy().replace('%', "%%"))
    }
}

/// Reads `file`, which may be relative to the working directory, and every file that it includes.
pub(super) fn read(file: &Path, around: &Surroundings) -> Result<Found, Vec<Problem>> {
    let path = normal(&around.directory.join(file));
    let here = path.parent().unwrap_or(Path::new("/")).to_owned();
    let mut found = Found { ini: Ini::default(), here: here.clone(), directories: HashMap::new(), left: Vec::new() };
    found.add(file, &path)?;
    let Some(include) = found.ini.section_named("include").cloned() else { return Ok(found) };
    let files = include.entries.iter().chain(&found.ini.defaults).find(|entry| entry.key == "files").cloned();
    let Some(files) = files else {
        let message = "has no \"files\"".to_owned();
        return Err(vec![Problem { place: include.place, key: "[include]".to_owned(), message }]);
    };
    let key = "[include] files".to_owned();
    let patterns = expand(&found.text(&files), &meanings(&here, around))
        .map_err(|message| vec![Problem { place: files.place.clone(), key: key.clone(), message }])?;
    for pattern in patterns.split_whitespace() {
        let pattern = here.join(pattern).to_string_lossy().into_owned();
        let matches = matches(&pattern);
        if matches.is_empty() {
            let message = format!("no file matches {pattern}");
            found.left.push(Problem { place: files.place.clone(), key: key.clone(), message });
        }
        for path in matches {
            if found.directories.len() > INCLUDED_FILES_MAX {
                let message = format!("includes more than {INCLUDED_FILES_MAX} files");
                return Err(vec![Problem { place: files.place, key, message }]);
            }
            found.add(&path, &path)?;
        }
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, shown: &Path, path: &Path) -> Result<(), Vec<Problem>> {
        let name: Arc<str> = shown.display().to_string().into();
        let mut bytes = Vec::new();
        // Opening a FIFO would wait for its writer.
        let is_special = path.metadata().is_ok_and(|meta| !meta.is_file());
        let open = || if is_special { Err(std::io::Error::other("it is no file")) } else { File::open(path) };
        let read = open().and_then(|file| file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        let message = match read {
            Err(error) => format!("cannot be read: {error}"),
            Ok(_) if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX => {
                format!("is larger than {CONFIG_FILE_BYTES_MAX} bytes")
            }
            Ok(_) => match String::from_utf8(bytes) {
                Ok(text) => {
                    let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
                    self.directories.insert(Arc::clone(&name), directory);
                    return self.ini.read(&name, &text);
                }
                Err(error) => format!("is not UTF-8 (at byte {})", error.utf8_error().valid_up_to()),
            },
        };
        Err(vec![Problem { place: Place::File { name, line: 0 }, key: String::new(), message }])
    }
}

/// What stands for names in every section.
pub(super) fn meanings(here: &Path, around: &Surroundings) -> Meanings {
    let mut meanings = Meanings::default();
    meanings.text("host_node_name", &rustix::system::uname().nodename().to_string_lossy());
    meanings.text("here", &here.to_string_lossy());
    for (name, value) in &around.variables {
        meanings.text(&format!("ENV_{name}"), &value.to_string_lossy());
    }
    meanings
}

/// Files that match a shell's pattern, sorted. As Python's `glob.glob`: names with a leading dot only where the pattern has one, `**` as `*`, and a
/// pattern that is none matches nothing.
fn matches(pattern: &str) -> Vec<PathBuf> {
    let mut plain = pattern.to_owned();
    while plain.contains("**") {
        plain = plain.replace("**", "*");
    }
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: false,
    };
    let Ok(paths) = glob::glob_with(&plain, options) else { return Vec::new() };
    // The crate would find none with a leading dot, even where the pattern has it.
    let is_hidden = |name: &Component<'_>| name.as_os_str().as_encoded_bytes().starts_with(b".");
    let may_show = |path: &PathBuf| {
        let mut names = Path::new(&plain).components().zip(path.components());
        names.all(|(pattern, name)| is_hidden(&pattern) || !is_hidden(&name))
    };
    let mut found: Vec<PathBuf> = paths.flatten().filter(may_show).take(INCLUDED_FILES_MAX + 1).collect();
    found.sort();
    found
}

/// An absolute path without `.` and `..`, whatever links there are (`os.path.abspath`).
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(directory: &Path) -> Surroundings {
        Surroundings { directory: directory.to_owned(), variables: HashMap::new(), cpus: 1 }
    }

    #[test]
    fn patterns_match_what_they_match_in_python() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("sub")).expect("created");
        for name in ["b.conf", "a.conf", ".hidden.conf", "c.ini", "sub/d.conf"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let names = |pattern: &str| {
            let found = matches(&folder.path().join(pattern).to_string_lossy());
            let own = found.iter().filter_map(|path| path.strip_prefix(folder.path()).ok());
            own.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names("*.conf"), ["a.conf", "b.conf"]);
        assert_eq!(names("**/*.conf"), ["sub/d.conf"]);
        assert_eq!(names("[!a].[ci]*"), ["b.conf", "c.ini"]);
        assert_eq!(names(".h*"), [".hidden.conf"]);
        assert_eq!(names("[").len(), 0);
    }

    #[test]
    fn more_files_than_may_be_included_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..=INCLUDED_FILES_MAX {
            std::fs::write(folder.path().join(format!("{number}.ini")), "").expect("written");
        }
        let conf = folder.path().join("s.conf");
        std::fs::write(&conf, "[include]\nfiles=*.ini").expect("written");
        let Err(problems) = read(&conf, &around(folder.path())) else { panic!("it is refused") };
        assert!(problems[0].to_string().contains("includes more than"), "{problems:?}");
        std::fs::remove_file(folder.path().join("0.ini")).expect("there");
        assert!(read(&conf, &around(folder.path())).is_ok());
    }
}
