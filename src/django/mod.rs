//! What a Django project says of itself, held against the configuration of the server.
//!
//! Owns the facts that the application's interpreter tells (`wsgi/worker/project.py`) and what of them contradicts the configuration, each
//! with an id that stays. Asks nothing of Python. Called by `supervise`, which logs it once, and by `cli` for `check`.

mod data;
mod facts;
mod files;
mod hosts;
mod https;
mod lint;
mod site;

pub use facts::{Database, DirectoryState, Facts};
pub use files::local_path;
pub use lint::{Level, Lint};

use crate::config::{Config, RouteConfig};

/// What contradicts the configuration, the most serious first. `routes` are those that are served, Django's own static files among
/// them. Empty for a configuration without an application.
#[must_use]
pub fn contradictions(config: &Config, routes: &[RouteConfig], facts: &Facts) -> Vec<Lint> {
    let Some(site) = site::Site::new(config, routes, facts) else { return Vec::new() };
    let mut found = Vec::new();
    // In development DEBUG is on, and static files come from the folders of the apps.
    if facts.complete && !site.app.dev {
        files::contradictions(&site, &mut found);
        hosts::contradictions(&site, &mut found);
        https::contradictions(&site, &mut found);
        data::contradictions(&site, &mut found);
    }
    found.retain(|lint| !facts.silenced.iter().any(|id| id == lint.id));
    found.sort_by_key(|lint| lint.level());
    found
}
