//! What the supervisor and a zygote say to each other: one JSON object a packet.
//!
//! Pure: bytes in, values out. The Python side is `wsgi/worker/zygote.py`.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::config::HookPlace;
use crate::config::gunicorn::ConfProgram;
use crate::django::Facts;

/// From the supervisor to a zygote.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToZygote {
    /// Import the application. The first packet.
    Start(Box<Start>),
    /// For hooks: the server serves.
    Ready,
    /// For hooks: a worker of this zygote has ended.
    WorkerExited {
        /// Its process id.
        pid: i32,
    },
    /// For hooks: there are to be another number of workers.
    WorkersWanted {
        /// So many.
        workers: u32,
        /// So many there were to be.
        before: u32,
    },
    /// For hooks: the server ends.
    Exit,
    /// Fork a worker; the write end of its log pipe rides along, if what it writes is logged.
    Fork {
        /// The worker's number.
        worker: u32,
        /// Its place on the scoreboard.
        slot: u32,
    },
}

/// What a zygote is told at its start.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// `module:attribute`; `None`: the Django settings' `WSGI_APPLICATION`.
    pub wsgi: Option<String>,
    /// First on `sys.path`, and the working directory.
    pub chdir: WirePath,
    /// Further directories for `sys.path`.
    pub pythonpath: Vec<WirePath>,
    /// Import once, before workers are forked.
    pub preload: bool,
    /// Keep a worker ready; with preload, without hooks, and not in development.
    pub spare: bool,
    /// Say which files were read.
    pub reload: bool,
    /// Answer for Django's static files, which are in no one place.
    pub serve_static: bool,
    /// Which inner loop the workers run: `auto`, `native` or `python`.
    pub worker_loop: &'static str,
    /// Threads of each worker.
    pub threads: usize,
    /// Whether there is more than one worker.
    pub multiprocess: bool,
    /// `SERVER_SOFTWARE`.
    pub server_software: String,
    /// Least serious messages of Gunicorn's logger.
    pub log_level: &'static str,
    /// Standard error is the server's own.
    pub raw_output: bool,
    /// The generation's number.
    pub generation: u32,
    /// Name of the processes, if they are to have another.
    pub proc_name: Option<String>,
    /// Where the `gunicorn.conf.py` is that is executed before all else.
    pub program: Option<Program>,
    /// Server hooks by their names.
    pub hooks: BTreeMap<&'static str, Hook>,
    /// For hooks: workers of the generation before; `None` for the first.
    pub workers_before: Option<u32>,
    /// For hooks: settings, by Gunicorn's names, but for `chdir`, which is above; of `raw_env` the names alone, by `env`.
    pub cfg: serde_json::Value,
}

/// A path. The names of files are bytes, and JSON has text alone: each byte is a character (latin-1).
#[derive(Clone, Debug)]
pub struct WirePath(PathBuf);

impl From<&Path> for WirePath {
    fn from(path: &Path) -> WirePath {
        WirePath(path.to_owned())
    }
}

impl Serialize for WirePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let latin1: String = self.0.as_os_str().as_bytes().iter().map(|&byte| char::from(byte)).collect();
        serializer.serialize_str(&latin1)
    }
}

/// A `gunicorn.conf.py`.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// The file, if it is no module.
    file: Option<WirePath>,
    /// The module.
    module: Option<String>,
    /// Where it is executed.
    directory: WirePath,
}

impl From<&ConfProgram> for Program {
    fn from(program: &ConfProgram) -> Program {
        let ConfProgram { file, module, directory } = program.clone();
        Program { file: file.map(WirePath), module, directory: WirePath(directory) }
    }
}

/// Where a hook is found.
#[derive(Clone, Debug, Serialize)]
pub struct Hook {
    /// The file, if it is in no module.
    file: Option<WirePath>,
    /// The module.
    module: Option<String>,
    /// The attribute, perhaps with dots.
    attribute: String,
}

impl From<&HookPlace> for Hook {
    fn from(place: &HookPlace) -> Hook {
        match place.clone() {
            HookPlace::Module(module, attribute) => Hook { file: None, module: Some(module), attribute },
            HookPlace::File(file, attribute) => Hook { file: Some(WirePath(file)), module: None, attribute },
        }
    }
}

/// From a zygote to the supervisor.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromZygote {
    /// Workers can be forked.
    Imported {
        /// The interpreter's version.
        python: String,
        /// `module:attribute`; `None` as long as only the workers will find out.
        app: Option<String>,
        /// What a Django project says of itself.
        django: Option<Box<Facts>>,
        /// The workers' inner loop: `native` or `python`.
        #[serde(rename = "loop")]
        worker_loop: String,
        /// Why it is not the native one, although that would have been welcome.
        native_missing: Option<String>,
        /// Whether a free-threaded interpreter has a GIL all the same; `None` for any other.
        #[serde(default)]
        gil: Option<bool>,
        /// Names of some of Python's threads that run beside the one that forks: workers have none of them.
        #[serde(default)]
        threads: Vec<String>,
        /// How many others there are, of libraries.
        #[serde(default)]
        native_threads: u32,
    },
    /// What a Django project says of itself, from a worker that has imported the application for itself.
    Project {
        /// The same.
        django: Box<Facts>,
    },
    /// What the application is made of, of which nothing was said before.
    Files {
        /// Files, and names that would be read if there were such files.
        files: Vec<PathBuf>,
        /// Directories of which everything counts.
        trees: Vec<PathBuf>,
    },
    /// The application could not be imported.
    ImportFailed {
        /// Python's traceback.
        traceback: String,
        /// `attribute` if the module is there and has no such application, else `import`.
        kind: String,
    },
    /// Server hooks, or a `gunicorn.conf.py`, have begun threads in the zygote, which end with it.
    HookThreads {
        /// Their names, of some.
        threads: Vec<String>,
    },
    /// A worker exists.
    Forked {
        /// The worker's number.
        worker: u32,
        /// Its process id.
        pid: i32,
    },
    /// There is a worker that waits for a place; the one before it, if there was one, was let go of.
    Spare {
        /// Its process id.
        pid: i32,
    },
    /// A worker could not be forked.
    ForkFailed {
        /// The worker's number.
        worker: u32,
        /// Why.
        error: String,
    },
}

impl ToZygote {
    /// As a packet.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("these values have no maps with odd keys, and paths are texts here")
    }
}

impl FromZygote {
    /// Reads a packet.
    ///
    /// # Errors
    /// It is not one of ours.
    pub fn parse(packet: &[u8]) -> Result<FromZygote, serde_json::Error> {
        serde_json::from_slice(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_what_the_zygote_expects() {
        let fork = ToZygote::Fork { worker: 3, slot: 1 };
        assert_eq!(fork.encode(), br#"{"type":"fork","worker":3,"slot":1}"#);
        let forked = FromZygote::parse(br#"{"type":"forked","worker":3,"pid":77}"#).expect("a packet");
        assert_eq!(forked, FromZygote::Forked { worker: 3, pid: 77 });
        assert!(FromZygote::parse(b"{}").is_err());
    }

    #[test]
    fn a_path_is_told_byte_for_byte_whatever_it_is_made_of() {
        let path = std::ffi::OsStr::from_bytes(b"/srv/caf\xe9/\"\xc3\xa9");
        let told = serde_json::to_string(&WirePath::from(Path::new(path))).expect("a text");
        assert_eq!(told, "\"/srv/caf\u{e9}/\\\"\u{c3}\u{a9}\"");
    }
}
