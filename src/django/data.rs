//! Databases beside the number of workers, and how large a request may be.

use super::lint::Lint;
use super::site::Site;

/// Connections that PostgreSQL has for ordinary users by default (`max_connections` less `superuser_reserved_connections`).
const CONNECTIONS_MAX: usize = 97;

pub(super) fn contradictions(site: &Site<'_>, found: &mut Vec<Lint>) {
    let (workers, threads) = (site.app.workers, site.app.threads);
    let at_once = workers.saturating_mul(threads);
    for database in &site.facts.databases {
        let alias = database.alias.escape_debug();
        if database.in_memory && workers > 1 {
            found.push(Lint::new(
                "maitred.W060",
                format!("database \"{alias}\" is in memory, so each of the {workers} workers has one of its own; use a file, or workers = 1"),
            ));
        } else if database.is_sqlite && !database.wal && !database.in_memory && at_once > 1 {
            found.push(Lint::new(
                "maitred.I061",
                format!(
                    "database \"{alias}\" is SQLite and {at_once} requests are answered at the same time: readers wait for writers; set \
                     \"init_command\": \"PRAGMA journal_mode=WAL\" in its OPTIONS, or use a database server"
                ),
            ));
        } else if !database.is_sqlite && database.persists && at_once > CONNECTIONS_MAX {
            found.push(Lint::new(
                "maitred.W062",
                format!(
                    "database \"{alias}\": CONN_MAX_AGE keeps a connection open for each of {workers} × {threads} threads, twice as many during a \
                     reload, and PostgreSQL takes {CONNECTIONS_MAX} by default; raise max_connections there, use fewer workers or threads, or a pooler"
                ),
            ));
        }
    }
    let bound = site.body_bytes_max();
    if let Some(bytes) = site.facts.data_upload_bytes_max.filter(|bytes| *bytes > bound) {
        found.push(Lint::new(
            "maitred.W070",
            format!(
                "DATA_UPLOAD_MAX_MEMORY_SIZE allows {bytes} bytes, and max_body refuses more than {bound} with 413 before that; raise max_body, or \
                 lower the setting"
            ),
        ));
    }
}
