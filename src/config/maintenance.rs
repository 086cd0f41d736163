//! `[server.maintenance]`: who gets through while the site is closed, and what all others are told.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::error::Problem;
use super::options;
use super::pages::{self, Page};
use super::section::{Bases, Reader, table};
use super::value::Placed;

/// The rules of maintenance mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceConfig {
    /// Clients that are served as usual.
    pub allow: Vec<IpNet>,
    /// Path prefixes that are served as usual, compared with the decoded and normal path.
    pub paths: Vec<String>,
    /// What Retry-After says.
    pub retry_after: Duration,
    /// The page with the 503; `None`: the route's or the server's own.
    pub page: Option<Arc<Page>>,
    /// The mode is on while this file is there.
    pub file: Option<PathBuf>,
}

impl MaintenanceConfig {
    /// Whether a request is served as usual. `client`: `None` for a unix socket.
    pub fn lets_pass(&self, client: Option<IpAddr>, path: &[u8]) -> bool {
        let client = client.map(|client| client.to_canonical());
        client.is_some_and(|client| self.allow.iter().any(|network| network.contains(&client)))
            || self.paths.iter().any(|prefix| path.starts_with(prefix.as_bytes()))
    }
}

/// Reads the table, or the defaults if there is none.
pub fn maintenance(placed: Option<Placed>, bases: Bases<'_>, problems: &mut Vec<Problem>) -> MaintenanceConfig {
    const NAME: &str = "server.maintenance";
    let table = placed.and_then(|placed| table(placed, NAME, "[server.maintenance]", problems)).unwrap_or_default();
    let mut reader = Reader::new(table, NAME, options::MAINTENANCE.options, bases, problems);
    let page = reader.placed(&options::MAINTENANCE_PAGE).and_then(|(path, place)| match pages::file(&path) {
        Ok(page) => Some(Arc::new(page)),
        Err(message) => {
            reader.problem(place, "page", message);
            None
        }
    });
    let config = MaintenanceConfig {
        allow: reader.value(&options::MAINTENANCE_ALLOW),
        paths: reader.value(&options::MAINTENANCE_PATHS),
        retry_after: reader.value(&options::MAINTENANCE_RETRY_AFTER),
        page,
        file: reader.optional(&options::MAINTENANCE_FILE),
    };
    reader.finish();
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_paths_get_through() {
        let config = MaintenanceConfig {
            allow: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            paths: vec!["/healthz".to_owned()],
            retry_after: Duration::ZERO,
            page: None,
            file: None,
        };
        for (client, path, passes) in [
            (Some("10.1.2.3"), "/", true),
            (Some("::ffff:10.1.2.3"), "/", true),
            (Some("2001:db8::1"), "/", true),
            (Some("11.0.0.1"), "/", false),
            (Some("::1"), "/", false),
            (Some("11.0.0.1"), "/healthz", true),
            (None, "/healthz", true),
            (None, "/", false),
        ] {
            let client = client.map(|text| text.parse().expect("an address"));
            assert_eq!(config.lets_pass(client, path.as_bytes()), passes, "{client:?} {path}");
        }
    }
}
