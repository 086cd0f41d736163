//! Development: a change of the application's files begins a reload, and what could not be imported is shown to whoever looks.
//!
//! Owns what is told to shards of a failed boot. Called by the loop; without `reload` nothing of it happens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Supervisor;
use crate::mail::ShardMail;
use crate::supervise::machine::{Event, GenerationId, Report};
use crate::supervise::watch::Watch;

impl Supervisor {
    /// Watches the application's files as the configuration has it now.
    pub(super) fn watch_files(&mut self) {
        let app = self.setup.config.app.as_ref();
        self.files = app.and_then(|app| Watch::start(&self.ring, &self.inbox, app));
        if app.is_some_and(|app| app.reload) && self.files.is_some() {
            tracing::info!(
                "the application's files are watched: errors are shown to everybody; this is for development"
            );
        }
    }

    /// A process of `generation` says what it is made of.
    pub(super) fn files_are(&self, generation: GenerationId, files: &[PathBuf], trees: &[PathBuf]) {
        if let Some((watch, _)) = &self.files {
            watch.add(generation, files, trees);
        }
    }

    /// Loads the application anew.
    pub(super) fn files_changed(&mut self, paths: &[PathBuf]) {
        let Some(app) = self.setup.config.app.as_ref().filter(|app| app.reload) else { return };
        let shown = |path: &PathBuf| path.strip_prefix(&app.chdir).unwrap_or(path).display().to_string();
        let first = paths.first().filter(|path| **path != Path::new("")).map_or("much".to_owned(), shown);
        match paths.len() {
            0 | 1 => tracing::info!("{first} has changed"),
            several => tracing::info!("{first} and {} more have changed", several - 1),
        }
        let pool = self.pool_wanted(app);
        self.handle(Event::Reload(pool));
    }

    /// What follows from the outcome of a boot.
    pub(super) fn note_boot(&self, report: &Report) {
        let Some((watch, _)) = &self.files else { return };
        match report {
            Report::TakesOver { generation } => {
                watch.serves(*generation);
                self.mail(|| ShardMail::Broken(None));
            }
            Report::BootFailed { generation, reason, .. } => {
                watch.failed(*generation, self.machine.generation_serving());
                let reason: Arc<str> = reason.as_str().into();
                self.mail(|| ShardMail::Broken(Some(reason.clone())));
            }
            _ => {}
        }
    }
}
