//! `[[route]]`: from their tables to [`RouteConfig`]s.
//!
//! Owns the checks among routes: one action each, no host and path twice.

use std::collections::HashMap;

use super::error::Problem;
use super::options;
use super::section::{Bases, Reader};
use super::static_route::static_options;
use super::types::{Action, HostPattern, RouteConfig, StaticConfig};
use super::value::{Place, Table};
use crate::base::bounds::ROUTES_MAX;

/// The routes with their places; those that are wrong or repeat another one are left out.
pub fn routes(
    tables: Vec<(Place, Table)>,
    bases: Bases<'_>,
    max_body_bytes: u64,
    problems: &mut Vec<Problem>,
) -> Vec<(Place, RouteConfig)> {
    let mut routes: Vec<(Place, RouteConfig)> = Vec::new();
    let mut seen: HashMap<(HostPattern, String), usize> = HashMap::new();
    if let Some((place, _)) = tables.get(ROUTES_MAX) {
        let message = format!("there are more than {ROUTES_MAX} routes");
        problems.push(Problem { place: place.clone(), key: "route".to_owned(), message });
    }
    for (place, table) in tables.into_iter().take(ROUTES_MAX) {
        let Some(route) = route(table, &place, bases, max_body_bytes, problems) else {
            continue;
        };
        match seen.get(&(route.host.clone(), route.path.clone())) {
            // A flag replaces what the file says, as it does for every other option.
            Some(&index) if matches!((&place, &routes[index].0), (Place::Argument(_), Place::File { .. })) => {
                routes[index] = (place, route);
            }
            Some(&index) => {
                let message = format!("the same host and path were given before ({})", routes[index].0.short());
                problems.push(Problem { place, key: "route.path".to_owned(), message });
            }
            None => {
                seen.insert((route.host.clone(), route.path.clone()), routes.len());
                routes.push((place, route));
            }
        }
    }
    routes
}

fn route(
    table: Table,
    place: &Place,
    bases: Bases<'_>,
    max_body_bytes: u64,
    problems: &mut Vec<Problem>,
) -> Option<RouteConfig> {
    let mut reader = Reader::new(table, "route", options::ROUTE.options, bases, problems);
    let has_path = reader.has(&options::PATH);
    if !has_path {
        reader.problem(place.clone(), "", "must have a \"path\"");
    }
    let actions = (reader.has(&options::STATIC), reader.has(&options::ROUTE_APP));
    if actions.0 == actions.1 {
        let which = if actions.0 { "not both" } else { "one of them" };
        reader.problem(place.clone(), "", format!("must have static = \"DIRECTORY\" or app = true, {which}"));
    }
    let path = reader.optional(&options::PATH);
    let directory = reader.optional(&options::STATIC);
    let leads_to_app = reader.optional(&options::ROUTE_APP);
    let static_options = static_options(&mut reader, actions.0);
    let names_host = reader.has(&options::HOST);
    let host = reader.optional(&options::HOST);
    let max_body_bytes = reader.optional(&options::ROUTE_MAX_BODY).unwrap_or(max_body_bytes);
    reader.finish();

    let mut path = path?;
    let host = match host {
        Some(host) => host,
        None if names_host => return None,
        None => HostPattern::Any,
    };
    let action = match (directory, leads_to_app) {
        (Some(directory), None) => {
            // Without the slash "/static" would also hold for "/staticfoo", and name a file "foo".
            if !path.ends_with('/') {
                path.push('/');
            }
            Action::Static(StaticConfig { directory, options: static_options })
        }
        (None, Some(_)) => Action::App,
        _ => return None,
    };
    Some(RouteConfig { host, path, action, max_body_bytes })
}
