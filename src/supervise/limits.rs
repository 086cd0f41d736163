//! What the rules of routes count in and look up: tables by zone, and users from their files.
//!
//! Owns the one that all shards share. Files of users are read when a route first names them, at a reload, and when they have changed; one that can't be
//! read any more is said to be so and the old users go on. Reads files, on the supervisor's thread alone. Called by `run`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::bounds::{HTPASSWD_LOOK_SECONDS, LIMIT_KEYS_MAX};
use crate::config::{RouteConfig, ServerConfig, read_htpasswd};
use crate::limits::{Htpasswd, Shared, ZoneRules};

/// How often the files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(HTPASSWD_LOOK_SECONDS);

/// Lines of a file that are told of one by one.
const WARNINGS_MAX: usize = 20;

/// What tells whether a file was written anew: device, inode, size, and time of change in nanoseconds.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The shared part, and the state of its files.
#[derive(Default)]
pub(super) struct Limits {
    shared: RefCell<Arc<Shared>>,
    /// The files as they were when they were last read.
    read: RefCell<HashMap<PathBuf, Stamp>>,
    /// Somebody looks at the files.
    is_watched: Cell<bool>,
}

impl Limits {
    /// What these routes need. What they had before they keep.
    pub fn renew(&self, routes: &[RouteConfig], server: &ServerConfig) -> Arc<Shared> {
        let old = self.shared.borrow().clone();
        let files = routes.iter().filter_map(|route| route.guard.auth.as_ref()).map(|auth| auth.htpasswd.clone());
        let mut read = self.read.borrow_mut();
        let mut users = HashMap::new();
        let mut stamps = HashMap::new();
        for file in files {
            if users.contains_key(&file) {
                continue;
            }
            let stamp = stamp(&file);
            let known = old.users.get(&file).filter(|_| read.get(&file) == Some(&stamp)).cloned();
            if let Some(known) = known.or_else(|| load(&file)).or_else(|| old.users.get(&file).cloned()) {
                users.insert(file.clone(), known);
            }
            stamps.insert(file, stamp);
        }
        *read = stamps;
        // Each request that is counted belongs to a connection.
        let counts_max = (server.max_connections * server.shards * 4).min(LIMIT_KEYS_MAX as usize);
        let zones = routes.iter().flat_map(|route| {
            let rates = route
                .guard
                .limits
                .iter()
                .map(|limit| (limit.zone.as_str(), ZoneRules::Rates { keys_max: limit.keys_max }));
            let counts = route
                .guard
                .connections
                .iter()
                .map(move |counts| (counts.zone.as_str(), ZoneRules::Counts { keys_max: counts_max }));
            rates.chain(counts)
        });
        let shared = Arc::new(Shared { zones: old.zones.next(zones), hosts: server.allowed_hosts.clone(), users });
        *self.shared.borrow_mut() = shared.clone();
        shared
    }

    /// Whether somebody has to begin to look at files.
    pub fn wants_watch(&self) -> bool {
        !self.read.borrow().is_empty() && !self.is_watched.replace(true)
    }

    /// Reads the files that have changed; `None` if none has, or none can be used.
    pub fn look(&self) -> Option<Arc<Shared>> {
        let mut read = self.read.borrow_mut();
        let mut next: Option<Shared> = None;
        for (file, known) in read.iter_mut() {
            let now = stamp(file);
            if now == *known {
                continue;
            }
            *known = now;
            if let Some(users) = load(file) {
                let next = next.get_or_insert_with(|| (**self.shared.borrow()).clone());
                next.users.insert(file.clone(), users);
            }
        }
        let next = Arc::new(next?);
        *self.shared.borrow_mut() = next.clone();
        Some(next)
    }
}

fn load(file: &Path) -> Option<Arc<Htpasswd>> {
    let content = match read_htpasswd(file) {
        Ok(content) => content,
        Err(message) => {
            tracing::error!("users are not loaded: {message}; those that were known go on");
            return None;
        }
    };
    let (users, warnings) = Htpasswd::parse(&content);
    for warning in warnings.iter().take(WARNINGS_MAX) {
        tracing::warn!("{}:{}: the line {}", file.display(), warning.line, warning.fault);
    }
    if warnings.len() > WARNINGS_MAX {
        tracing::warn!("{}: {} more lines let nobody in", file.display(), warnings.len() - WARNINGS_MAX);
    }
    tracing::info!(file = %file.display(), users = users.len(), "users loaded");
    Some(Arc::new(users))
}

fn stamp(file: &Path) -> Stamp {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}
