//! The certificates of the TLS listeners: loaded at the start, on SIGHUP and when their files change.
//!
//! Owns the directory of which every shard has a share. A new one is complete before it is handed out: certificate and key change
//! together, or not at all, and what can't be used is said so while the old one goes on. Reads files, on the supervisor's thread
//! alone. Called by `cli` (the start) and by `run`.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::acme::{Plan, Store};
use crate::base::bounds::TLS_LOOK_SECONDS;
use crate::base::mail::Sender;
use crate::config::{Config, TlsEntry};
use crate::mail::ShardMail;
use crate::observe::CertificateFacts;
use crate::tls::{Directory, Stamps, warnings};

/// How often the files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(TLS_LOOK_SECONDS);

/// Loaded certificates.
#[derive(Debug)]
pub struct Certificates(RefCell<State>);

#[derive(Debug)]
struct State {
    entries: Vec<TlsEntry>,
    directory: Arc<Directory>,
    /// The files as they were when they were last read, for better or for worse.
    read: Stamps,
    /// The files at the last look.
    seen: Stamps,
}

impl Certificates {
    /// Loads those of `config`; `None` without any.
    ///
    /// # Errors
    /// A sentence that names the place in the config file and the file that can't be used.
    pub fn open(config: &Config) -> Result<Option<Certificates>, String> {
        if config.tls.is_empty() {
            return Ok(None);
        }
        open_store(config)?;
        tell_warnings(config);
        let read = Stamps::of(&config.tls);
        let directory = Arc::new(Directory::load(&config.tls, None).map_err(|error| error.to_string())?);
        for name in directory.missing() {
            tracing::warn!(
                name,
                "there is no certificate yet: handshakes for this name fail until ACME has brought one"
            );
        }
        let seen = read.clone();
        Ok(Some(Certificates(RefCell::new(State { entries: config.tls.clone(), directory, read, seen }))))
    }

    /// What the metrics say of them. `attempts`: how those of ACME came out, if there were any to be made.
    pub(super) fn facts(&self, attempts: (u64, u64)) -> CertificateFacts {
        let state = self.0.borrow();
        CertificateFacts {
            expiries: state.directory.expiries().map(|(name, expiry)| (name.to_owned(), expiry)).collect(),
            missing: state.directory.missing().count(),
            acme: state.entries.iter().any(|entry| entry.acme).then_some(attempts),
        }
    }

    /// Tells every shard to show them.
    pub(super) fn hand_out(&self, shards: &[Sender<ShardMail>]) {
        let directory = &self.0.borrow().directory;
        for (number, shard) in shards.iter().enumerate() {
            // A shard that has stopped reads no mail; one whose mailbox is full has not run for minutes.
            if let Err(error) = shard.send(ShardMail::Certificates(directory.clone())) {
                tracing::debug!(shard = number, %error, "certificates were not delivered");
            }
        }
    }

    /// Loads those of a configuration that was read anew.
    pub(super) fn reload(&self, config: &Config, shards: &[Sender<ShardMail>]) {
        if config.tls.is_empty() {
            tracing::warn!("the configuration names no certificates any more; the old ones go on until the next start");
            return;
        }
        if let Err(message) = open_store(config) {
            tracing::error!("{message}; the old certificates go on");
            return;
        }
        tell_warnings(config);
        self.load(&config.tls, shards);
    }

    /// Loads them again if files have changed, and did not change any more since the last look: a pair is rarely written at once.
    pub(super) fn look(&self, shards: &[Sender<ShardMail>]) {
        let mut state = self.0.borrow_mut();
        let now = Stamps::of(&state.entries);
        let is_settled = now == state.seen;
        let is_new = now != state.read;
        state.seen = now;
        if is_settled && is_new {
            let entries = state.entries.clone();
            drop(state);
            self.load(&entries, shards);
        }
    }

    fn load(&self, entries: &[TlsEntry], shards: &[Sender<ShardMail>]) {
        // Before the files are read: what changes meanwhile shows at the next look.
        let read = Stamps::of(entries);
        let mut state = self.0.borrow_mut();
        let loaded = Directory::load(entries, Some(&state.directory));
        state.read = read;
        match loaded {
            Ok(directory) => {
                state.directory = Arc::new(directory);
                state.entries = entries.to_vec();
                drop(state);
                self.hand_out(shards);
                tracing::info!(entries = entries.len(), "certificates loaded");
            }
            Err(error) => tracing::error!("{error}; the old certificates go on"),
        }
    }
}

/// Makes the directory in which certificates of ACME lie, if there are any.
fn open_store(config: &Config) -> Result<(), String> {
    match &config.acme {
        Some(acme) if config.tls.iter().any(|entry| entry.acme) => Store::open(acme).map(drop),
        _ => Ok(()),
    }
}

fn tell_warnings(config: &Config) {
    let acme = Plan::of(config).map_or(Vec::new(), |plan| plan.warnings(config));
    for warning in warnings(&config.server, &config.tls).into_iter().chain(acme) {
        tracing::warn!("{warning}");
    }
}
