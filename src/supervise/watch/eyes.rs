//! Eyes on directories: inotify(7), by directories and never by files, since editors put another file in a file's place.
//!
//! Owns the descriptor and which directory stands behind each of its watches. A directory that is not there, or goes, is waited for in the one
//! above it. Reads names of directories; never the content of a file. Called by `watch`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::wanted::{Wanted, is_noise};
use crate::base::bounds::WATCHED_DIRECTORIES_MAX;
use crate::ring::Descriptor;

/// What is to be heard of a directory: files that are written, come, go and are renamed, and the directory's own end.
const HEARD: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// A name has come or gone.
const RENAMED: ReadFlags =
    ReadFlags::CREATE.union(ReadFlags::DELETE).union(ReadFlags::MOVED_FROM).union(ReadFlags::MOVED_TO);
/// The directory itself has gone.
const GONE: ReadFlags = ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::IGNORED);
/// Room for events that are read at a time, bytes; one has at most 272.
const EVENTS_BYTES: usize = 16 * 1024;

/// Watches on directories.
pub(super) struct Eyes {
    inotify: Descriptor,
    /// Beneath these the way to a directory is watched too.
    roots: Vec<PathBuf>,
    /// The paths that lead to the directory of a watch: mostly one.
    places: HashMap<i32, BTreeSet<PathBuf>>,
    /// Names in a directory that lead to others.
    ways: BTreeMap<PathBuf, BTreeSet<OsString>>,
    /// So many directories at most.
    most: usize,
    has_complained: bool,
}

/// What has happened.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What matters, each as often as it happened.
    pub changed: Vec<PathBuf>,
    /// Directories have come or gone: [`Eyes::rest_on`] has to be called again.
    pub has_moved: bool,
}

impl Eyes {
    /// Eyes that rest on nothing.
    ///
    /// # Errors
    /// A sentence: there are too many inotify instances.
    pub fn open(roots: Vec<PathBuf>) -> Result<Eyes, String> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| match error {
            Errno::MFILE => {
                "files are not watched: this user has as many inotify instances as it may; raise the sysctl \
                 fs.inotify.max_user_instances"
                    .to_owned()
            }
            error => format!("files are not watched: inotify is refused: {}", io::Error::from(error)),
        })?;
        Ok(Eyes {
            inotify: Rc::new(inotify),
            roots,
            places: HashMap::new(),
            ways: BTreeMap::new(),
            most: WATCHED_DIRECTORIES_MAX,
            has_complained: false,
        })
    }

    /// Readable when something has happened.
    pub fn descriptor(&self) -> Descriptor {
        self.inotify.clone()
    }

    /// Watches what `wanted` wants, and nothing else.
    pub fn rest_on(&mut self, wanted: &Wanted) {
        let mut directories: BTreeSet<PathBuf> = wanted.directories().take(self.most).map(Path::to_owned).collect();
        let is_whole = wanted.trees().all(|tree| walk(tree, &mut directories, self.most));
        if !is_whole || wanted.directories().nth(self.most).is_some() {
            self.complain_of_number();
        }
        self.ways.clear();
        for directory in directories.clone() {
            self.add_way(&directory, &mut directories);
        }
        let before = std::mem::take(&mut self.places);
        // What is above comes first: a directory that comes meanwhile is heard of there.
        for directory in directories {
            match inotify::add_watch(&self.inotify, &directory, HEARD) {
                Ok(watch) => {
                    self.places.entry(watch).or_default().insert(directory);
                }
                Err(Errno::NOSPC) => {
                    self.complain(
                        "not all files are watched: this user has as many inotify watches as it may; raise the sysctl \
                         fs.inotify.max_user_watches",
                    );
                    break;
                }
                Err(error) => {
                    tracing::debug!(directory = %directory.display(), error = %io::Error::from(error), "not watched");
                }
            }
        }
        for watch in before.into_keys().filter(|watch| !self.places.contains_key(watch)) {
            // It may be gone with its directory.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }

    /// Adds the directories above `directory` in which it would appear: the next one that is there, and beneath a root all.
    fn add_way(&mut self, directory: &Path, directories: &mut BTreeSet<PathBuf>) {
        let mut below = directory;
        while !self.roots.iter().any(|root| root == below) {
            let (Some(above), Some(name)) = (below.parent(), below.file_name()) else { return };
            if directories.len() >= self.most && !directories.contains(above) {
                return self.complain_of_number();
            }
            let names = self.ways.entry(above.to_owned()).or_default();
            if !names.insert(name.to_owned()) {
                return;
            }
            directories.insert(above.to_owned());
            let is_beneath = self.roots.iter().any(|root| above.starts_with(root));
            if !is_beneath && above.is_dir() {
                return;
            }
            below = above;
        }
    }

    fn complain_of_number(&mut self) {
        self.complain("not all files are watched: they lie in too many directories");
    }

    fn complain(&mut self, what: &str) {
        if !std::mem::replace(&mut self.has_complained, true) {
            tracing::warn!("{what}; changes elsewhere take SIGHUP");
        }
    }

    /// Takes what has happened. Never waits.
    pub fn read(&mut self, wanted: &Wanted) -> Seen {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let inotify = self.inotify.clone();
        let mut reader = Reader::new(&*inotify, &mut buffer);
        let mut seen = Seen::default();
        // `Err`: there is nothing more now.
        while let Ok(event) = reader.next() {
            let (what, watch) = (event.events(), event.wd());
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                // Whatever it was.
                seen.changed.push(PathBuf::new());
                seen.has_moved = true;
                continue;
            }
            let Some(paths) = self.places.get(&watch) else { continue };
            for path in paths {
                match &name {
                    Some(name) => {
                        let leads_on = self.ways.get(path).is_some_and(|names| names.contains(name));
                        let matters = wanted.concerns(path, name);
                        let is_renamed = what.intersects(RENAMED);
                        seen.has_moved |= is_renamed && (leads_on || (matters && what.contains(ReadFlags::ISDIR)));
                        if matters || (leads_on && is_renamed) {
                            seen.changed.push(path.join(name));
                        }
                    }
                    None if what.intersects(GONE) => {
                        seen.has_moved = true;
                        if wanted.concerns_directory(path) {
                            seen.changed.push(path.clone());
                        }
                    }
                    None => {}
                }
            }
            if what.contains(ReadFlags::IGNORED) {
                self.places.remove(&watch);
            }
        }
        seen
    }
}

/// Adds `top` and the directories beneath it, until there are `most`. Links are not followed: they could lead in a circle. Returns whether
/// all were added.
fn walk(top: &Path, directories: &mut BTreeSet<PathBuf>, most: usize) -> bool {
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        if directories.len() >= most && !directories.contains(&directory) {
            return false;
        }
        if let Ok(entries) = std::fs::read_dir(&directory) {
            let inner = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            left.extend(inner.filter(|entry| !is_noise(&entry.file_name())).map(|entry| entry.path()));
        }
        directories.insert(directory);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Eyes on a folder with `app/views.py`, `app/missing/new.py` and everything in `templates`.
    struct Bench {
        folder: tempfile::TempDir,
        eyes: Eyes,
        wanted: Wanted,
    }

    impl Bench {
        fn new() -> Bench {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let top = folder.path().canonicalize().expect("it is there");
            fs::create_dir_all(top.join("app")).expect("a folder");
            fs::create_dir_all(top.join("templates/deep")).expect("a folder");
            fs::write(top.join("app/views.py"), "1").expect("written");
            let mut wanted = Wanted::default();
            for name in ["app/views.py", "app/missing/new.py", "other/inner/z.py"] {
                wanted.add_file(&top.join(name));
            }
            wanted.add_tree(&top.join("templates"));
            let mut eyes = Eyes::open(vec![top]).expect("inotify");
            eyes.rest_on(&wanted);
            Bench { folder, eyes, wanted }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().canonicalize().expect("it is there").join(name)
        }

        /// What changed, once each, and in the end the eyes rest where they have to.
        fn seen(&mut self) -> Vec<String> {
            let seen = self.eyes.read(&self.wanted);
            if seen.has_moved {
                self.eyes.rest_on(&self.wanted);
            }
            let top = self.path("");
            let mut names: Vec<String> = seen
                .changed
                .iter()
                .map(|path| path.strip_prefix(&top).expect("beneath it").display().to_string())
                .collect();
            names.sort();
            names.dedup();
            names
        }

        fn write(&self, name: &str) {
            fs::write(self.path(name), "2").expect("written");
        }
    }

    #[test]
    fn a_save_is_seen_however_the_editor_does_it() {
        let mut bench = Bench::new();
        assert_eq!(bench.seen(), [""; 0]);
        bench.write("app/views.py");
        assert_eq!(bench.seen(), ["app/views.py"]);
        for _ in 0..2 {
            bench.write("app/views.py.new");
            assert_eq!(bench.seen(), [""; 0]);
            fs::rename(bench.path("app/views.py.new"), bench.path("app/views.py")).expect("renamed");
            assert_eq!(bench.seen(), ["app/views.py"]);
        }
        fs::remove_file(bench.path("app/views.py")).expect("removed");
        assert_eq!(bench.seen(), ["app/views.py"]);
        bench.write("app/views.py");
        assert_eq!(bench.seen(), ["app/views.py"]);
        bench.write("app/nobody.py");
        fs::create_dir(bench.path("app/__pycache__")).expect("made");
        assert_eq!(bench.seen(), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_waited_for() {
        let mut bench = Bench::new();
        fs::create_dir(bench.path("app/missing")).expect("made");
        assert_eq!(bench.seen(), ["app/missing"]);
        bench.write("app/missing/new.py");
        assert_eq!(bench.seen(), ["app/missing/new.py"]);
        fs::create_dir_all(bench.path("other/inner")).expect("made");
        assert_eq!(bench.seen(), ["other"]);
        bench.write("other/inner/z.py");
        assert_eq!(bench.seen(), ["other/inner/z.py"]);
    }

    #[test]
    fn directories_that_move_are_followed_by_their_paths() {
        let mut bench = Bench::new();
        fs::rename(bench.path("app"), bench.path("away")).expect("renamed");
        assert_eq!(bench.seen(), ["app"]);
        bench.write("away/views.py");
        assert_eq!(bench.seen(), [""; 0], "it is another file now");
        fs::rename(bench.path("away"), bench.path("app")).expect("renamed");
        assert_eq!(bench.seen(), ["app"]);
        bench.write("app/views.py");
        assert_eq!(bench.seen(), ["app/views.py"]);
        fs::remove_dir_all(bench.path("app")).expect("removed");
        assert!(bench.seen().contains(&"app".to_owned()));
        fs::create_dir(bench.path("app")).expect("made");
        assert_eq!(bench.seen(), ["app"]);
        bench.write("app/views.py");
        assert_eq!(bench.seen(), ["app/views.py"]);
    }

    #[test]
    fn more_directories_than_may_be_are_not_watched_which_is_told() {
        let mut bench = Bench::new();
        for n in 0..20 {
            fs::create_dir_all(bench.path(&format!("templates/{n}/inner"))).expect("made");
        }
        assert!(bench.seen().contains(&"templates/7".to_owned()));
        assert!(bench.eyes.places.len() > 40 && !bench.eyes.has_complained);
        // Of a tree, and of the directories of single files.
        for most in [30, 2] {
            (bench.eyes.most, bench.eyes.has_complained) = (most, false);
            bench.eyes.rest_on(&bench.wanted);
            assert!(bench.eyes.places.len() <= most && bench.eyes.has_complained, "{most}");
        }
    }

    #[test]
    fn everything_in_a_tree_counts_and_new_directories_do() {
        let mut bench = Bench::new();
        bench.write("templates/deep/x.html");
        assert_eq!(bench.seen(), ["templates/deep/x.html"]);
        fs::create_dir_all(bench.path("templates/a/b")).expect("made");
        assert_eq!(bench.seen(), ["templates/a"]);
        bench.write("templates/a/b/y.html");
        bench.write("templates/a/b/.y.html.swp");
        assert_eq!(bench.seen(), ["templates/a/b/y.html"]);
        fs::rename(bench.path("templates/deep"), bench.path("elsewhere")).expect("renamed");
        assert_eq!(bench.seen(), ["templates/deep"]);
        bench.write("elsewhere/x.html");
        assert_eq!(bench.seen(), [""; 0]);
    }
}
