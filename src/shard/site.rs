//! The routes as a shard serves them: the table, and for each route its handler with what it has open.

use std::rc::Rc;
use std::sync::Arc;

use regex::bytes::Regex;

use super::extras::Extras;
use super::guard::Guard;
use crate::config::{Action, Health, PathPattern, Priority, RouteConfig, StaticConfig, compile};
use crate::http::{Reject, Template, target};
use crate::limits::{AllowedHosts, Shared};
use crate::observe::Answerer;
use crate::ring::Payload;
use crate::route::{RouteId, Table};
use crate::static_files::StaticRoot;

/// Who answers the requests of a route.
pub(super) enum Handler {
    /// Files beneath a directory, and the path prefix that stands for it.
    Static(Box<StaticRoot>, String),
    /// The application, as urgently as this.
    App(Priority),
    /// A redirect.
    Redirect(Redirect),
    /// The same text for everyone.
    Fixed(Fixed),
    /// A status and the server's own page for it.
    Status(u16),
    /// How the server stands.
    Health(Health),
    /// Nobody: the directory could not be opened, or clients have no business here.
    Missing,
}

/// Where requests are sent on to.
pub(super) struct Redirect {
    pub status: u16,
    pub target: Template,
    /// The route's expression, if the target names its groups.
    pub expression: Option<Regex>,
}

/// A response that is always the same.
pub(super) struct Fixed {
    pub status: u16,
    pub content_type: String,
    pub body: Rc<Vec<u8>>,
}

impl Handler {
    /// For the counters.
    pub fn answerer(&self) -> Answerer {
        match self {
            Handler::App(_) => Answerer::App,
            Handler::Static(..) => Answerer::Static,
            _ => Answerer::Server,
        }
    }
}

struct Route {
    /// For clients.
    handler: Handler,
    /// Of an internal route: for those that come from within.
    inner: Option<Handler>,
    body_bytes_max: u64,
    /// `None` where answers are passed on as they are.
    extras: Option<Rc<Extras>>,
    /// `None` where everybody is let in at all times.
    guard: Option<Box<Guard>>,
}

/// All routes.
pub(super) struct Site {
    table: Table,
    routes: Vec<Route>,
    has_missing: bool,
    /// `None`: all are served.
    hosts: Option<Arc<AllowedHosts>>,
    /// Something may become of an answer for which the request's head is needed.
    keeps_heads: bool,
}

impl Site {
    /// Nothing is found.
    pub fn empty() -> Site {
        Site { table: Table::new(&[]), routes: Vec::new(), has_missing: false, hosts: None, keeps_heads: false }
    }

    /// Opens what the routes need.
    pub fn open(routes: &[RouteConfig], shared: &Shared) -> Site {
        let table = Table::new(routes);
        let routes: Vec<_> = routes.iter().map(|route| Route::open(route, shared)).collect();
        let has_missing = routes.iter().any(|route| route.is_incomplete());
        let keeps_heads = routes.iter().any(Route::needs_head);
        let hosts = Some(shared.hosts.clone()).filter(|hosts| !hosts.are_all());
        Site { table, routes, has_missing, hosts, keeps_heads }
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

    /// Whether this is the site for these hosts.
    pub fn is_for(&self, hosts: &AllowedHosts) -> bool {
        self.hosts.as_deref().map_or(hosts.are_all(), |own| own == hosts)
    }

    /// Whether requests for this host are served at all; `None`: none was named.
    ///
    /// # Errors
    /// The host is none of those that are allowed.
    pub fn admit_host(&self, host: Option<&str>) -> Result<(), Reject> {
        match (&self.hosts, host) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Reject::HostMissing),
            (Some(hosts), Some(host)) if hosts.admit(host) => Ok(()),
            (Some(_), Some(_)) => Err(Reject::HostUnknown),
        }
    }

    /// Whether a directory could not be opened.
    pub fn has_missing(&self) -> bool {
        self.has_missing
    }

    pub fn handler(&self, route: RouteId) -> &Handler {
        &self.routes[route.index()].handler
    }

    /// The handler for a request that comes from within.
    pub fn inner_handler(&self, route: RouteId) -> &Handler {
        self.routes[route.index()].for_all()
    }

    /// Whether heads of requests for the application have to be kept.
    pub fn keeps_heads(&self) -> bool {
        self.keeps_heads
    }

    pub fn max_body(&self, route: RouteId) -> u64 {
        self.routes[route.index()].body_bytes_max
    }

    /// What a client's request meets before its handler.
    pub fn guard(&self, route: RouteId) -> Option<&Guard> {
        self.routes[route.index()].guard.as_deref()
    }

    pub fn extras(&self, route: RouteId) -> Option<&Rc<Extras>> {
        self.routes[route.index()].extras.as_ref()
    }
}

impl Route {
    fn open(route: &RouteConfig, shared: &Shared) -> Route {
        let (handler, inner) = match (Handler::open(route), route.internal) {
            (handler, false) => (handler, None),
            (handler, true) => (Handler::Missing, Some(handler)),
        };
        let extras = Extras::open(route).map(Rc::new);
        let guard = Guard::open(route, shared).map(Box::new);
        Route { handler, inner, body_bytes_max: route.max_body_bytes, extras, guard }
    }

    /// Whether something could not be opened.
    fn is_incomplete(&self) -> bool {
        matches!(self.for_all(), Handler::Missing) || self.extras.as_ref().is_some_and(|extras| extras.has_missing)
    }

    /// Whether this route is one because of which heads are kept.
    fn needs_head(&self) -> bool {
        self.inner.is_some() || self.extras.as_ref().is_some_and(|extras| extras.needs_head())
    }

    /// The handler, wherever the request comes from.
    fn for_all(&self) -> &Handler {
        self.inner.as_ref().unwrap_or(&self.handler)
    }
}

impl Handler {
    fn open(route: &RouteConfig) -> Handler {
        match &route.action {
            Action::App => Handler::App(route.priority),
            Action::Static(files) => open_static(route, files),
            Action::Redirect { status, target } => {
                let expression = match &route.path {
                    PathPattern::Regex(expression) if target.has_groups() => compile(expression).ok(),
                    _ => None,
                };
                Handler::Redirect(Redirect { status: *status, target: target.clone(), expression })
            }
            Action::Respond { status, content_type, body } => Handler::Fixed(Fixed {
                status: *status,
                content_type: content_type.clone(),
                body: Rc::new(body.clone().into_bytes()),
            }),
            Action::Status(status) => Handler::Status(*status),
            Action::Health(health) => Handler::Health(*health),
        }
    }
}

fn open_static(route: &RouteConfig, files: &StaticConfig) -> Handler {
    // What is not a prefix stands for no directory: the whole path is looked up beneath it.
    let prefix = match &route.path {
        PathPattern::Prefix { path, .. } => path.clone(),
        PathPattern::Exact(_) | PathPattern::Regex(_) => "/".to_owned(),
    };
    match StaticRoot::open(&files.directory, files.options.clone()) {
        Ok(root) => {
            Handler::Static(Box::new(root.of_route(route.headers.clone(), !route.error_pages.is_empty())), prefix)
        }
        Err(error) => {
            tracing::error!(route = route.path.text(), %error, "the route answers 404");
            Handler::Missing
        }
    }
}

impl Fixed {
    pub fn body(&self) -> Payload {
        Payload::from(self.body.clone())
    }
}
