//! `[[route]]`: from their tables to [`RouteConfig`]s.
//!
//! Owns the checks among routes: no host and path twice, not too many of them.

use std::collections::HashMap;

use super::action::action;
use super::compress;
use super::error::Problem;
use super::guard::{GuardOptions, guard, zone_of};
use super::headers::headers;
use super::options;
use super::pages::error_pages as error_pages_of;
use super::section::{Bases, Reader};
use super::types::{Action, HostPattern, PathPattern, RouteConfig, ServerConfig};
use super::value::{Place, Table};
use crate::base::bounds::{ROUTE_REGEXES_MAX, ROUTES_MAX};

/// The routes with their places; those that are wrong or repeat another one are left out.
pub fn routes(
    tables: Vec<(Place, Table)>,
    bases: Bases<'_>,
    server: &ServerConfig,
    common: &GuardOptions,
    problems: &mut Vec<Problem>,
) -> Vec<(Place, RouteConfig)> {
    let mut routes: Vec<(Place, RouteConfig)> = Vec::new();
    let mut seen: HashMap<(HostPattern, PathPattern), usize> = HashMap::new();
    let mut expressions = 0;
    if let Some((place, _)) = tables.get(ROUTES_MAX) {
        let message = format!("there are more than {ROUTES_MAX} routes");
        problems.push(Problem { place: place.clone(), key: "route".to_owned(), message });
    }
    for (place, table) in tables.into_iter().take(ROUTES_MAX) {
        let Some(route) = route(table, &place, bases, server, common, problems) else {
            continue;
        };
        expressions += usize::from(matches!(route.path, PathPattern::Regex(_)));
        if expressions == ROUTE_REGEXES_MAX + 1 {
            let message = format!("there are more than {ROUTE_REGEXES_MAX} routes with an expression");
            problems.push(Problem { place: place.clone(), key: "route.regex".to_owned(), message });
        }
        match seen.get(&key(&route)) {
            // A flag replaces what the file says, as it does for every other option.
            Some(&index)
                if matches!(
                    (&place, &routes[index].0),
                    (Place::Argument(_) | Place::VariableArgument { .. }, Place::File { .. })
                ) =>
            {
                routes[index] = (place, route);
            }
            Some(&index) => {
                let message = format!("the same host and path were given before ({})", routes[index].0.short());
                problems.push(Problem { place, key: "route.path".to_owned(), message });
            }
            None => {
                seen.insert(key(&route), routes.len());
                routes.push((place, route));
            }
        }
    }
    routes
}

/// What no two routes have in common: a prefix that is tried before expressions is the same prefix.
fn key(route: &RouteConfig) -> (HostPattern, PathPattern) {
    let path = match &route.path {
        PathPattern::Prefix { path, .. } => PathPattern::prefix(path),
        other => other.clone(),
    };
    (route.host.clone(), path)
}

fn route(
    mut table: Table,
    place: &Place,
    bases: Bases<'_>,
    server: &ServerConfig,
    common: &GuardOptions,
    problems: &mut Vec<Problem>,
) -> Option<RouteConfig> {
    let own = guard(&mut table, "route", bases, problems);
    let headers = table.take(options::HEADERS.spec.name).and_then(|placed| headers(placed, "route.headers", problems));
    let error_pages = table.take(options::ERROR_PAGES.spec.name);
    let error_pages = error_pages.map(|placed| error_pages_of(placed, "route.error_pages", bases, problems));
    let mut reader = Reader::new(table, "route", options::ROUTE.options, bases, problems);
    let path = path(&mut reader, place);
    let expression = match &path {
        Some(PathPattern::Regex(expression)) => Some(expression.as_str()),
        _ => None,
    };
    let mut action = action(&mut reader, place, expression);
    let compress = compress::of_route(&mut reader, action.as_mut(), server.compress.as_ref());
    let names_host = reader.has(&options::HOST);
    let host = reader.optional(&options::HOST);
    let internal = reader.optional(&options::INTERNAL).unwrap_or(false);
    let max_body_bytes = reader.optional(&options::ROUTE_MAX_BODY).unwrap_or(server.max_body_bytes);
    let intercept_errors = reader.placed(&options::INTERCEPT_ERRORS);
    let sendfile_root = reader.placed(&options::SENDFILE_ROOT);
    let priority = reader.placed(&options::PRIORITY);
    if let Some(action) = &action
        && *action != Action::App
    {
        let places = [
            ("intercept_errors", intercept_errors.as_ref().map(|(_, place)| place)),
            ("sendfile_root", sendfile_root.as_ref().map(|(_, place)| place)),
            ("priority", priority.as_ref().map(|(_, place)| place)),
        ];
        for (key, place) in places {
            if let Some(place) = place {
                reader.problem(place.clone(), key, "has an effect only in a route with \"app\"");
            }
        }
    }
    reader.finish();

    let (mut path, action) = (path?, action?);
    let host = match host {
        Some(host) => host,
        None if names_host => return None,
        None => HostPattern::Any,
    };
    if let (PathPattern::Prefix { path, .. }, Action::Static(_)) = (&mut path, &action)
        && !path.ends_with('/')
    {
        // Without the slash "/static" would also hold for "/staticfoo", and name a file "foo".
        path.push('/');
    }
    let guard = own.name_zones(&zone_of(&host, path.text())).or(common);
    Some(RouteConfig {
        guard,
        compress,
        internal,
        headers,
        error_pages: error_pages.unwrap_or_default(),
        intercept_errors: intercept_errors.is_some_and(|(intercepts, _)| intercepts),
        sendfile_root: sendfile_root.map(|(roots, _)| roots).unwrap_or_default(),
        priority: priority.map(|(priority, _)| priority).unwrap_or_default(),
        ..RouteConfig::new(host, path, action, max_body_bytes)
    })
}

/// Which paths the route is for.
fn path(reader: &mut Reader<'_>, place: &Place) -> Option<PathPattern> {
    let given = (reader.has(&options::PATH), reader.has(&options::REGEX));
    if given.0 == given.1 {
        let which = if given.0 {
            "has both \"path\" and \"regex\": one of them decides"
        } else {
            "must have a \"path\" or a \"regex\""
        };
        reader.problem(place.clone(), "", which);
    }
    let path = reader.optional(&options::PATH);
    let regex = reader.optional(&options::REGEX);
    let exact = reader.placed(&options::EXACT);
    let before_regex = reader.placed(&options::BEFORE_REGEX);
    let is_exact = exact.as_ref().is_some_and(|(exact, _)| *exact);
    for (key, given, idle) in [("exact", &exact, given.1), ("before_regex", &before_regex, given.1 || is_exact)] {
        if let (Some((true, place)), true) = (given, idle) {
            reader.problem(place.clone(), key, "has an effect only with a \"path\" that is a prefix");
        }
    }
    match (path, regex) {
        (Some(path), None) if is_exact => Some(PathPattern::Exact(path)),
        (Some(path), None) => {
            Some(PathPattern::Prefix { path, before_regex: before_regex.is_some_and(|(firm, _)| firm) })
        }
        (None, Some(expression)) => Some(PathPattern::Regex(expression)),
        _ => None,
    }
}
