//! The routes that the shards get: those of the configuration, and Django's own static files if it has none for them.

use super::control::DjangoFacts;
use crate::config::{Action, Config, HostPattern, PathPattern, RouteConfig, StaticConfig, StaticOptions};

/// The configured routes, with `STATIC_URL` → `STATIC_ROOT` where no static route was configured.
pub(super) fn complete(config: &Config, django: Option<&DjangoFacts>) -> Vec<RouteConfig> {
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

fn complete_static(routes: &mut Vec<RouteConfig>, config: &Config, django: Option<&DjangoFacts>) {
    if config.app.as_ref().is_some_and(|app| app.dev) {
        return leave_to_app(routes, django);
    }
    if !config.static_from_django {
        return;
    }
    let Some(facts) = django else { return };
    let (Some(url), Some(root)) = (&facts.static_url, &facts.static_root) else {
        tracing::warn!("static files are not served: the settings have no STATIC_ROOT");
        return;
    };
    let Some(path) = local_path(url) else {
        tracing::info!(static_url = url, "static files are not served: STATIC_URL leads to another server");
        return;
    };
    if routes.iter().any(|route| route.host == HostPattern::Any && route.path.is_prefix(&path)) {
        return;
    }
    if !root.is_dir() {
        tracing::warn!(static_root = %root.display(), "STATIC_ROOT is not there: run `python manage.py collectstatic`");
    }
    tracing::info!(static_url = path, static_root = %root.display(), "static files are served");
    let mut options = StaticOptions { index: Vec::new(), ..StaticOptions::default() };
    options.compress = config.server.compress.as_ref().map(|compress| compress.levels);
    let files = Action::Static(Box::new(StaticConfig { directory: root.to_owned(), options }));
    let route = RouteConfig::new(HostPattern::Any, PathPattern::prefix(path), files, config.server.max_body_bytes);
    let (error_pages, guard) = (config.error_pages.clone(), config.guard.clone());
    routes.push(RouteConfig { error_pages, guard, ..route });
}

/// In development Django's finders say where static files are: what `collectstatic` has put together is left aside, whoever has configured it.
fn leave_to_app(routes: &mut Vec<RouteConfig>, django: Option<&DjangoFacts>) {
    let Some((url, root)) = django.and_then(|facts| facts.static_url.as_ref().zip(facts.static_root.as_ref())) else {
        return;
    };
    let Some(path) = local_path(url) else { return };
    let is_collected = |route: &RouteConfig| {
        route.path.is_prefix(&path) && matches!(&route.action, Action::Static(files) if files.directory == *root)
    };
    routes.retain(|route| !is_collected(route));
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
