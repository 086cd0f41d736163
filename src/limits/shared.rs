//! What the rules of all shards need and none of them owns: tables, users, hosts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hosts::AllowedHosts;
use super::htpasswd::Htpasswd;
use super::zone::Zones;

/// Made by the supervisor, anew at a reload and when a file of users has changed; what stays the same is shared with the one before.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// The tables of the limits.
    pub zones: Zones,
    /// Hosts that are served.
    pub hosts: Arc<AllowedHosts>,
    /// Users by file.
    pub users: HashMap<PathBuf, Arc<Htpasswd>>,
}

impl Shared {
    /// The users of a file; `None` for one that could never be read.
    pub fn users_of(&self, file: &Path) -> Option<&Arc<Htpasswd>> {
        self.users.get(file)
    }
}
