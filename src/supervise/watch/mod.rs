//! `reload`: looks out for changes of the files that the application is made of.
//!
//! Owns what each generation has said of its files, and when a change is told to the loop, which begins a reload. What counts as a change is in
//! `wanted`, when it is over in `rest`, how it is seen in `eyes`. Runs as a task of the supervisor and never waits for anything but its
//! descriptor and the time. Called by `run`.

mod eyes;
mod rest;
mod wanted;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::inbox::{Happening, Inbox};
use super::machine::GenerationId;
use crate::base::clock::{self, Monotonic};
use crate::config::AppConfig;
use crate::ring::{Ring, within};
use eyes::Eyes;
use rest::Rest;
use wanted::Wanted;

/// Paths that are kept of one change, for the log.
const TOLD_MAX: usize = 64;

/// The watch over an application's files. It ends with its task.
pub(super) struct Watch {
    state: RefCell<State>,
    inbox: Rc<Inbox>,
}

struct State {
    eyes: Eyes,
    /// What is watched whatever the application says.
    extra: Wanted,
    /// What each generation is made of: the one that serves, the one that boots, and the one that could not.
    generations: BTreeMap<GenerationId, Made>,
    /// All of it.
    wanted: Wanted,
    rest: Rest,
    changed: Vec<PathBuf>,
}

struct Made {
    /// Wall clock, milliseconds: before its first process began.
    begun_ms: u64,
    wanted: Wanted,
}

impl Watch {
    /// Watches for `app`, if that is wanted and can be done; as long as the task is there.
    pub fn start(ring: &Ring, inbox: &Rc<Inbox>, app: &AppConfig) -> Option<(Rc<Watch>, glommio::Task<()>)> {
        if !app.reload {
            return None;
        }
        let mut extra = Wanted::default();
        for path in &app.reload_extra_files {
            if path.is_dir() {
                extra.add_tree(path)
            } else {
                extra.add_file(path)
            };
        }
        let roots = std::iter::once(&app.chdir).chain(&app.pythonpath).cloned().collect();
        let mut eyes = match Eyes::open(roots) {
            Ok(eyes) => eyes,
            Err(message) => {
                tracing::warn!("{message}");
                return None;
            }
        };
        eyes.rest_on(&extra);
        let wanted = extra.clone();
        let (generations, rest, changed) = (BTreeMap::new(), Rest::default(), Vec::new());
        let state = RefCell::new(State { eyes, extra, generations, wanted, rest, changed });
        let watch = Rc::new(Watch { state, inbox: inbox.clone() });
        let task = glommio::spawn_local(look_out(watch.clone(), ring.clone()));
        Some((watch, task))
    }

    /// A generation is about to begin.
    pub fn begins(&self, generation: GenerationId) {
        let made = Made { begun_ms: clock::wall_milliseconds(), wanted: Wanted::default() };
        self.state.borrow_mut().generations.insert(generation, made);
    }

    /// A process of `generation` says what it is made of. What has changed since that generation's beginning may have been read before or
    /// after.
    pub fn add(&self, generation: GenerationId, files: &[PathBuf], trees: &[PathBuf]) {
        let mut state = self.state.borrow_mut();
        let State { generations, wanted, eyes, .. } = &mut *state;
        let Some(made) = generations.get_mut(&generation) else { return };
        for file in files {
            made.wanted.add_file(file);
        }
        for tree in trees {
            made.wanted.add_tree(tree);
        }
        let mut is_news = trees.iter().filter(|tree| wanted.add_tree(tree)).count() > 0;
        let mut changed = Vec::new();
        for file in files {
            if wanted.add_file(file) {
                is_news = true;
                changed.extend(has_changed_since(file, made.begun_ms).then(|| file.clone()));
            }
        }
        if is_news {
            eyes.rest_on(wanted);
        }
        drop(state);
        if !changed.is_empty() {
            self.inbox.push(Happening::FilesChanged(changed));
        }
    }

    /// `generation` has taken over: what those before were made of matters no more.
    pub fn serves(&self, generation: GenerationId) {
        self.forget(|other| other < generation);
    }

    /// `generation` could not begin. What it has read, and what the one that `serves` is made of, can mend that; what was tried in between
    /// can't.
    pub fn failed(&self, generation: GenerationId, serves: Option<GenerationId>) {
        self.forget(|other| other < generation && Some(other) != serves);
    }

    fn forget(&self, is_over: impl Fn(GenerationId) -> bool) {
        let mut state = self.state.borrow_mut();
        let before = state.generations.len();
        state.generations.retain(|generation, _| !is_over(*generation));
        if state.generations.len() == before {
            return;
        }
        let State { generations, wanted, eyes, extra, .. } = &mut *state;
        *wanted = extra.clone();
        generations.values().for_each(|made| wanted.merge(&made.wanted));
        eyes.rest_on(wanted);
    }

    /// Takes what has been seen, and tells what has come to rest.
    fn look(&self) {
        let mut state = self.state.borrow_mut();
        let State { eyes, wanted, rest, changed, .. } = &mut *state;
        let now = Monotonic::now();
        let seen = eyes.read(wanted);
        if seen.has_moved {
            eyes.rest_on(wanted);
        }
        if !seen.changed.is_empty() {
            rest.disturb(now);
        }
        for path in seen.changed {
            if changed.len() < TOLD_MAX && !changed.contains(&path) {
                changed.push(path);
            }
        }
        if rest.take(now) {
            let changed = std::mem::take(changed);
            drop(state);
            self.inbox.push(Happening::FilesChanged(changed));
        }
    }
}

async fn look_out(watch: Rc<Watch>, ring: Ring) {
    let descriptor = watch.state.borrow().eyes.descriptor();
    loop {
        let deadline = ring.deadline();
        if let Some(due) = watch.state.borrow().rest.due() {
            deadline.set(due.since(Monotonic::now()));
        }
        if let Ok(Err(error)) = within(&deadline, ring.poll(&descriptor, libc::POLLIN as u32)).await {
            tracing::debug!(%error, "files are watched no longer");
            return;
        }
        watch.look();
    }
}

/// Whether the file has been written, or put there, since. One that is not there has not.
fn has_changed_since(file: &Path, wall_ms: u64) -> bool {
    let changed_ms = |meta: std::fs::Metadata| {
        let (seconds, nanos) =
            (u64::try_from(meta.ctime()).unwrap_or(0), u64::try_from(meta.ctime_nsec()).unwrap_or(0));
        seconds * 1000 + nanos / 1_000_000
    };
    file.metadata().is_ok_and(|meta| meta.is_file() && changed_ms(meta) > wall_ms)
}
