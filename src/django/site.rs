//! A project beside the configuration that serves it: what both sides' rules ask.
//!
//! Owns the answers to 'which hosts lead to the application' and 'which files stand at this path'.

use std::path::{Path, PathBuf};

use super::facts::Facts;
use crate::config::{Action, AppConfig, Config, HostPattern, Listen, Listener, PathPattern, RouteConfig};
use crate::route::Table;
use crate::tls;

/// What stands at a path for the hosts of the application.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Files of this directory.
    Files(PathBuf),
    /// The application.
    App,
    /// Nobody, or an answer that is always the same.
    Nothing,
    /// Something else that was configured on purpose.
    Other,
}

pub(super) struct Site<'a> {
    pub config: &'a Config,
    pub app: &'a AppConfig,
    pub facts: &'a Facts,
    routes: &'a [RouteConfig],
    table: Table,
    /// Names by which the application is reached, as far as the configuration tells.
    pub names: Vec<HostPattern>,
}

impl<'a> Site<'a> {
    /// `None` without an application.
    pub fn new(config: &'a Config, routes: &'a [RouteConfig], facts: &'a Facts) -> Option<Site<'a>> {
        let app = config.app.as_ref()?;
        let table = Table::new(routes);
        let mut site = Site { config, app, facts, routes, table, names: Vec::new() };
        let mut names: Vec<HostPattern> = Vec::new();
        let of_tls = config.tls.iter().filter(|_| site.has_tls()).flat_map(tls::names);
        let of_routes = routes.iter().filter(|route| site.reaches_app(route)).map(|route| route.host.clone());
        for name in of_tls.chain(of_routes) {
            let leads_to_app = site.route(Some(&name), "/").is_some_and(|route| site.reaches_app(route));
            if name != HostPattern::Any && leads_to_app && !names.contains(&name) {
                names.push(name);
            }
        }
        site.names = names;
        Some(site)
    }

    /// Whether requests may come over TLS that is spoken here.
    pub fn has_tls(&self) -> bool {
        self.config.server.listen.iter().any(|listener| listener.tls)
    }

    /// Whether somebody in front may have spoken TLS.
    pub fn has_proxies(&self) -> bool {
        !self.config.server.trusted_proxies.is_empty()
    }

    /// How to trust the proxy that connects here, if none that could is trusted.
    pub fn proxies_to_trust(&self) -> Option<&'static str> {
        let server = &self.config.server;
        let is_heard = |listener: &Listener| match listener.address {
            Listen::Unix(_) => server.trusted_proxies.unix,
            Listen::Tcp(_) => !server.trusted_proxies.networks.is_empty(),
        };
        if server.listen.iter().any(is_heard) {
            return None;
        }
        let has_unix = server.listen.iter().any(|listener| matches!(listener.address, Listen::Unix(_)));
        Some(if has_unix { "[\"unix:\"]" } else { "[\"127.0.0.1\"]" })
    }

    /// What stands at the files below `url`, which ends with a slash, for each host of the application.
    pub fn places(&self, url: &str) -> Vec<Place> {
        let file = format!("{url}a");
        let mut places: Vec<Place> = Vec::new();
        for host in self.names.iter().map(Some).chain(self.leads_nameless_to_app().then_some(None)) {
            let place = match self.route(host, &file) {
                None => Place::Nothing,
                Some(route) => match &route.action {
                    Action::Static(files) => Place::Files(match &route.path {
                        PathPattern::Prefix { path, .. } => {
                            // Without a slash at its end.
                            files
                                .directory
                                .join(url.strip_prefix(path.as_str()).unwrap_or_default())
                                .components()
                                .collect()
                        }
                        _ => files.directory.join(url.trim_matches('/')),
                    }),
                    Action::App => Place::App,
                    Action::Status(_) => Place::Nothing,
                    _ => Place::Other,
                },
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Whether a client can't reach `path`, and the application can lead there.
    pub fn is_internal(&self, path: &str) -> bool {
        self.names.iter().map(Some).chain([None]).any(|host| self.route(host, path).is_some_and(|route| route.internal))
    }

    /// Directories whose files the application may name by X-Sendfile.
    pub fn sendfile_roots(&self) -> impl Iterator<Item = &Path> {
        self.routes.iter().flat_map(|route| &route.sendfile_root).map(PathBuf::as_path)
    }

    /// Smallest bound on bodies of requests to the application, bytes.
    pub fn body_bytes_max(&self) -> u64 {
        let bounds = self.routes.iter().filter(|route| self.reaches_app(route)).map(|route| route.max_body_bytes);
        bounds.min().unwrap_or(u64::MAX)
    }

    fn leads_nameless_to_app(&self) -> bool {
        self.route(None, "/").is_some_and(|route| self.reaches_app(route)) || self.names.is_empty()
    }

    fn reaches_app(&self, route: &RouteConfig) -> bool {
        match &route.action {
            Action::App => true,
            Action::Static(files) => files.options.falls_back_to_app(),
            _ => false,
        }
    }

    fn route(&self, host: Option<&HostPattern>, path: &str) -> Option<&RouteConfig> {
        let host = host.map(|host| match host {
            // Any name below it will do.
            HostPattern::Suffix(suffix) => format!("a{suffix}"),
            other => other.text().to_owned(),
        });
        let host = host.as_deref().filter(|host| !host.is_empty());
        self.table.lookup(host.map(str::as_bytes), path.as_bytes()).map(|id| &self.routes[id.index()])
    }
}

/// Whether two paths lead to the same directory.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.components().collect());
    one == other || real(one) == real(other)
}
