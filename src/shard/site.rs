//! The routes as a shard serves them: the table, and for each route its handler with what it has open.

use crate::config::{Action, RouteConfig};
use crate::http::{Reject, target};
use crate::route::{RouteId, Table};
use crate::static_files::StaticRoot;

/// Who answers the requests of a route.
pub(super) enum Handler {
    /// Files beneath a directory, and the path prefix that stands for it.
    Static(Box<StaticRoot>, String),
    /// The application.
    App,
    /// Nobody: the directory could not be opened.
    Missing,
}

struct Route {
    handler: Handler,
    body_bytes_max: u64,
}

/// All routes.
pub(super) struct Site {
    table: Table,
    routes: Vec<Route>,
}

impl Site {
    /// Nothing is found.
    pub fn empty() -> Site {
        Site { table: Table::new(&[]), routes: Vec::new() }
    }

    /// Opens what the routes need.
    pub fn open(routes: &[RouteConfig]) -> Site {
        let open = |route: &RouteConfig| {
            let handler = match &route.action {
                Action::App => Handler::App,
                Action::Static(files) => match StaticRoot::open(&files.directory, files.options.clone()) {
                    Ok(root) => Handler::Static(Box::new(root), route.path.clone()),
                    Err(error) => {
                        tracing::error!(route = route.path, %error, "the route answers 404");
                        Handler::Missing
                    }
                },
            };
            Route { handler, body_bytes_max: route.max_body_bytes }
        };
        Site { table: Table::new(routes), routes: routes.iter().map(open).collect() }
    }

    /// The route of a path as it was sent: looked up in its normalised form, so that no spelling of a path gets around a route.
    ///
    /// # Errors
    /// The path is malformed.
    pub fn route(&self, host: Option<&[u8]>, path: &str) -> Result<Option<RouteId>, Reject> {
        let decoded = target::decode_path(path)?;
        let normal = target::normalise(&decoded)?;
        Ok(self.table.lookup(host, &normal))
    }

    /// Whether a directory could not be opened.
    pub fn has_missing(&self) -> bool {
        self.routes.iter().any(|route| matches!(route.handler, Handler::Missing))
    }

    pub fn handler(&self, route: RouteId) -> &Handler {
        &self.routes[route.index()].handler
    }

    pub fn max_body(&self, route: RouteId) -> u64 {
        self.routes[route.index()].body_bytes_max
    }
}
