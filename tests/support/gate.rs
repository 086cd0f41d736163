//! Holds a request inside the app until the test says so: no test guesses how long something takes.

use std::fs;
use std::path::{Path, PathBuf};

use super::{DEADLINE, wait_until};

/// Two paths: the app writes its pid to the one when it has the request, and goes on when the other exists.
pub struct Gate {
    started: PathBuf,
    open: PathBuf,
}

impl Gate {
    /// A closed gate in `folder`; `name` tells several gates apart.
    pub fn new(folder: &Path, name: &str) -> Gate {
        Gate { started: folder.join(format!("{name}.started")), open: folder.join(format!("{name}.open")) }
    }

    /// The query string that `tests/apps/kitchen.py` understands.
    pub fn query(&self) -> String {
        format!("started={}&gate={}", self.started.display(), self.open.display())
    }

    /// Waits until the app holds the request; the pid of the process that does.
    #[track_caller]
    pub fn wait_started(&self) -> u32 {
        wait_until("the app has the request", DEADLINE, || self.has_started());
        let text = fs::read_to_string(&self.started).expect("the app wrote its pid");
        text.trim().parse().expect("a pid is a number")
    }

    /// True once the app has the request.
    pub fn has_started(&self) -> bool {
        self.started.exists()
    }

    /// Forgets who started, for a request that is taken a second time.
    pub fn forget_start(&self) {
        fs::remove_file(&self.started).expect("the app wrote its pid");
    }

    /// Lets the request go on.
    pub fn open(&self) {
        fs::write(&self.open, "").expect("the test's folder is writable");
    }
}
