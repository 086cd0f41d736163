//! The routes that the shards get: those of the configuration, and Django's own static files if it has none for them.

use std::path::Path;

use super::control::DjangoFacts;
use crate::config::{Action, Config, HostPattern, PathPattern, RouteConfig, StaticConfig, StaticOptions};

/// The configured routes, with `STATIC_URL` → `STATIC_ROOT` where no static route was configured.
pub(super) fn complete(config: &Config, django: Option<&DjangoFacts>) -> Vec<RouteConfig> {
    let mut routes = config.routes.clone();
    if !config.static_from_django {
        return routes;
    }
    let Some(facts) = django else { return routes };
    let (Some(url), Some(root)) = (&facts.static_url, &facts.static_root) else {
        tracing::warn!("static files are not served: the settings have no STATIC_ROOT");
        return routes;
    };
    let Some(path) = local_path(url) else {
        tracing::info!(static_url = url, "static files are not served: STATIC_URL leads to another server");
        return routes;
    };
    if routes.iter().any(|route| route.host == HostPattern::Any && route.path.is_prefix(&path)) {
        return routes;
    }
    if !root.is_dir() {
        tracing::warn!(static_root = %root.display(), "STATIC_ROOT is not there: run `python manage.py collectstatic`");
    }
    tracing::info!(static_url = path, static_root = %root.display(), "static files are served");
    routes.push(static_route(path, root, config.server.max_body_bytes));
    routes
}

fn static_route(path: String, root: &Path, max_body_bytes: u64) -> RouteConfig {
    let options = StaticOptions { index: Vec::new(), ..StaticOptions::default() };
    let files = Action::Static(Box::new(StaticConfig { directory: root.to_owned(), options }));
    RouteConfig::new(HostPattern::Any, PathPattern::prefix(path), files, max_body_bytes)
}

/// The path of a `STATIC_URL` on this server, with a slash at both ends; `None` for one with a host, and for the whole site.
fn local_path(url: &str) -> Option<String> {
    if url.contains("://") || url.starts_with("//") {
        return None;
    }
    let inner = url.trim_matches('/');
    (!inner.is_empty()).then(|| format!("/{inner}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_urls_become_paths() {
        assert_eq!(local_path("/static/").as_deref(), Some("/static/"));
        assert_eq!(local_path("assets/x").as_deref(), Some("/assets/x/"));
        assert_eq!(local_path("https://cdn.example.com/static/"), None);
        assert_eq!(local_path("//cdn.example.com/static/"), None);
        assert_eq!(local_path("/"), None);
    }
}
