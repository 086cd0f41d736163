//! The routes that the shards get: those of the configuration, and Django's own static files if it has none for them.
//!
//! Pure. What is missing for these is said elsewhere (`django`); `cli` asks for the same routes to check them.

use crate::config::{Action, Config, HostPattern, PathPattern, RouteConfig, StaticConfig, StaticOptions};
use crate::django::{Facts, local_path};

/// The configured routes, with `STATIC_URL` → `STATIC_ROOT` where none of them says what is there.
#[must_use]
pub fn complete(config: &Config, django: Option<&Facts>) -> Vec<RouteConfig> {
    let mut routes = config.routes.clone();
    complete_static(&mut routes, config, django);
    let everything = |route: &RouteConfig| route.host == HostPattern::Any && route.path.is_prefix("/");
    let has_rules = !config.error_pages.is_empty() || !config.guard.is_open();
    if has_rules && !routes.iter().any(everything) {
        // Where there is no route, the server's page for that is wanted too, and its rules hold.
        let nowhere = (HostPattern::Any, PathPattern::prefix("/"), Action::Status(404));
        let route = RouteConfig::new(nowhere.0, nowhere.1, nowhere.2, config.server.max_body_bytes);
        let (error_pages, guard) = (config.error_pages.clone(), config.guard.clone());
        routes.push(RouteConfig { error_pages, guard, ..route });
    }
    routes
}

fn complete_static(routes: &mut Vec<RouteConfig>, config: &Config, django: Option<&Facts>) {
    if config.app.as_ref().is_some_and(|app| app.dev) {
        return leave_to_app(routes, django);
    }
    let Some(facts) = django else { return };
    let (Some(url), Some(root)) = (&facts.static_url, &facts.static_root) else {
        return;
    };
    let Some(path) = local_path(url) else { return };
    if routes.iter().any(|route| route.host == HostPattern::Any && says_what_is_at(route, &path)) {
        return;
    }
    tracing::info!(static_url = path, static_root = %root.display(), "static files are served");
    let mut options = StaticOptions { index: Vec::new(), ..StaticOptions::default() };
    options.compress = config.server.compress.as_ref().map(|compress| compress.levels);
    let files = Action::Static(Box::new(StaticConfig { directory: root.to_owned(), options }));
    let route = RouteConfig::new(HostPattern::Any, PathPattern::prefix(path), files, config.server.max_body_bytes);
    let (error_pages, guard) = (config.error_pages.clone(), config.guard.clone());
    routes.push(RouteConfig { error_pages, guard, ..route });
}

/// Whether a route says what is at `path`: it is for that path, or for files of which those there are a part.
fn says_what_is_at(route: &RouteConfig, path: &str) -> bool {
    let PathPattern::Prefix { path: routed, .. } = &route.path else { return false };
    routed == path || (path.starts_with(routed.as_str()) && matches!(route.action, Action::Static(_)))
}

/// In development Django's finders say where static files are: what `collectstatic` has put together is left aside, whoever has configured it.
fn leave_to_app(routes: &mut Vec<RouteConfig>, django: Option<&Facts>) {
    let Some((url, root)) = django.and_then(|facts| facts.static_url.as_ref().zip(facts.static_root.as_ref())) else {
        return;
    };
    let Some(path) = local_path(url) else { return };
    let is_collected = |route: &RouteConfig| {
        route.path.is_prefix(&path) && matches!(&route.action, Action::Static(files) if files.directory == *root)
    };
    routes.retain(|route| !is_collected(route));
}
