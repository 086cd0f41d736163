//! Whether the site is closed, as the flag file of `[server.maintenance]` says.
//!
//! Owns the look at the file, once a second. What follows from it is the loop's (`run`). Without a file nothing is looked at.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::inbox::{Happening, Inbox};
use crate::ring::Ring;

/// How often the file is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether the file is there.
pub(super) fn is_set(file: Option<&PathBuf>) -> bool {
    // A file that can't be looked at is none: closing the site takes a clear word.
    file.is_some_and(|file| file.symlink_metadata().is_ok())
}

/// Looks at `file` from now on, and tells when that it is there has changed from `was_set`.
pub(super) fn watch(ring: &Ring, file: PathBuf, mut was_set: bool, inbox: Rc<Inbox>) -> glommio::Task<()> {
    let ring = ring.clone();
    glommio::spawn_local(async move {
        loop {
            ring.sleep(PAUSE).await;
            let is_set = is_set(Some(&file));
            if is_set != was_set {
                was_set = is_set;
                inbox.push(Happening::Maintenance(is_set));
            }
        }
    })
}
