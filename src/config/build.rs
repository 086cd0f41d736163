//! From all sources to the checked [`Config`].
//!
//! Owns the checks that concern more than one section: an application that nothing leads to, a server with nothing to
//! serve.

use std::collections::HashSet;
use std::{env, iter};

use super::acme::acme;
use super::admin::admin;
use super::app::{Search, app};
use super::control::ControlConfig;
use super::django;
use super::error::{ConfigErrors, Problem};
use super::guard::{GuardOptions, guard};
use super::guard_limits::check_zones;
use super::maintenance::maintenance;
use super::merge::{Merged, merge, variables};
use super::options;
use super::pages::error_pages as pages;
use super::process::ProcessConfig;
use super::programs::{Named, programs};
use super::python::InterpreterSource;
use super::routes::routes;
use super::section::Bases;
use super::server::{AUTO, Listens, server};
use super::sources::{Flags, Surroundings};
use super::supervisor::supervisor;
use super::tls::tls;
use super::types::{Action, AppConfig, Config, HostPattern, PathPattern, RouteConfig};
use super::value::Place;

/// Reads, merges and checks the configuration.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(flags: &Flags, around: &Surroundings) -> Result<Config, ConfigErrors> {
    let mut problems = Vec::new();
    let merged = merge(flags, around, &mut problems);
    let config = build(merged, flags, around, &mut problems);
    match ConfigErrors::of(problems) {
        Some(errors) => Err(errors),
        None => Ok(config),
    }
}

/// A configuration that is good if no problem was added.
fn build(mut merged: Merged, flags: &Flags, around: &Surroundings, problems: &mut Vec<Problem>) -> Config {
    let own = own_programs(&merged);
    let bases = Bases { file: &merged.file_base, working: &around.directory };
    let error_pages = merged.server.take(options::SERVER_ERROR_PAGES.spec.name);
    let error_pages =
        error_pages.map(|placed| pages(placed, "server.error_pages", bases, problems)).unwrap_or_default();
    let closed = maintenance(merged.server.take(options::MAINTENANCE_KEY.spec.name), bases, problems);
    let guard = guard(&mut merged.server, "server", bases, problems).name_zones("server");
    let may_be_silent = !merged.programs.is_empty() || !merged.listeners.is_empty();
    let (mut server, listens) = server(merged.server, !merged.tls.is_empty(), may_be_silent, bases, problems);
    let common = supervisor(merged.supervisor, bases, around, problems);
    let orphans = common.orphans;
    let mut programs = programs((merged.programs, merged.listeners, merged.groups), bases, &common, problems);
    for process in programs.iter_mut().flat_map(|group| &mut group.processes) {
        process.launch.user = process.launch.user.take().or_else(|| server.user.clone());
    }
    let is_acme_there = merged.acme.is_some();
    let acme = acme(merged.acme, bases, problems);
    let tls = tls(merged.tls, (acme.as_ref(), is_acme_there), bases, problems);
    let admin = admin(merged.admin, bases, problems);
    let control = ControlConfig::read(merged.control, bases, problems);
    let mut routes = routes(merged.routes, bases, &server, &guard, problems);
    let guard = GuardOptions::default().or(&guard);
    let leads_to_app = routes.iter().any(|(_, route)| route.action == Action::App);
    let falls_back_to_app = |route: &RouteConfig| match &route.action {
        Action::Static(files) => files.options.falls_back_to_app(),
        _ => false,
    };
    let has_fallback = routes.iter().any(|(_, route)| falls_back_to_app(route));

    // A Django project that is there is meant to be served, unless a route at "/" leaves nothing to it.
    let wanted = merged.app.is_some() || leads_to_app || has_fallback;
    let working = &around.directory;
    let may_be_there = !merged.file_has_routes || django::is_project(working);
    let is_free = may_be_there && !routes.iter().any(leads_everywhere) && !matches!(listens, Listens::Never(_));
    let tried = wanted || (is_free && problems.is_empty());
    let mut table = merged.app.unwrap_or_default();
    if !wanted {
        variables(&mut table, around);
    }
    let search = Search {
        directory: if merged.file_has_app { bases.file } else { working },
        necessary: wanted || (routes.is_empty() && !may_be_silent),
        file: merged.file.as_deref(),
        server: &server,
    };
    let mut app = if tried { app(table, &search, bases, around, problems) } else { None };
    if let Some(app) = &mut app {
        app.program = flags.gunicorn_file.as_ref().map(|file| file.program.clone());
    }

    if let Some(app) = &app {
        let processes = programs.iter_mut().flat_map(|group| &mut group.processes);
        processes.filter(|process| own.contains(&process.program)).for_each(|process| beside_app(process, app, around));
    }
    if app.is_some() && !leads_to_app {
        match routes.iter().find(|placed| leads_everywhere(placed)) {
            None => {
                let everything = PathPattern::prefix("/");
                let route = RouteConfig::new(HostPattern::Any, everything, Action::App, server.max_body_bytes);
                let compress = server.compress.clone();
                routes.push((Place::Nowhere, RouteConfig { guard: guard.clone(), compress, ..route }));
            }
            // What has no file there is the application's.
            Some((_, route)) if falls_back_to_app(route) => {}
            Some((place, _)) => problems.push(Problem {
                place: place.clone(),
                key: "route".to_owned(),
                message:
                    "this route at \"/\" leaves nothing to the application; give that a route with app = true, or this \
                          one a longer path"
                        .to_owned(),
            }),
        }
    }
    for (place, route) in &mut routes {
        route.error_pages = std::mem::take(&mut route.error_pages).or(&error_pages);
        if app.is_none() && route.error_pages.asks_app() {
            let message = "\"app:\" names a page of the application, and there is none".to_owned();
            problems.push(Problem { place: place.clone(), key: "route.error_pages".to_owned(), message });
        }
    }
    check_zones(&routes, problems);
    let routes: Vec<_> = routes.into_iter().map(|(_, route)| route).collect();
    match listens {
        Listens::Never(place) if app.is_some() || !routes.is_empty() => problems.push(Problem {
            place,
            key: "server.listen".to_owned(),
            message: "with listen = [] nobody reaches the routes and the application; name an address, or remove them"
                .to_owned(),
        }),
        // Programs alone: nobody asked for a listener, and nothing would answer.
        Listens::ByDefault if app.is_none() && routes.is_empty() => server.listen.clear(),
        _ => {}
    }
    if server.shards == AUTO {
        server.shards = automatic_shards(around.cpus, app.is_some());
    }
    let named = merged.file.as_deref().or(flags.supervisord_file());
    let origin = named.map_or_else(|| around.directory.clone(), |file| around.directory.join(file));
    let origin = origin.canonicalize().unwrap_or(origin);
    let left = merged.left.iter().map(ToString::to_string).collect();
    Config {
        server,
        tls,
        acme,
        admin,
        control,
        app,
        programs,
        routes,
        error_pages,
        maintenance: closed,
        origin,
        orphans,
        guard,
        left,
        taken: merged.taken,
    }
}

/// Programs of the config file, not those of a `supervisord.conf`, which start as supervisord would start them.
fn own_programs(merged: &Merged) -> HashSet<String> {
    let file = merged.file.as_ref().map(|file| file.display().to_string());
    let is_own =
        |named: &&Named| matches!((&named.place, &file), (Place::File { name, .. }, Some(file)) if **name == **file);
    merged.programs.iter().chain(&merged.listeners).filter(is_own).map(|named| named.name.clone()).collect()
}

/// A program beside an application starts in that one's directory, and finds the commands of its virtual environment as if that were activated.
fn beside_app(process: &mut ProcessConfig, app: &AppConfig, around: &Surroundings) {
    let launch = &mut process.launch;
    launch.directory.get_or_insert_with(|| app.chdir.clone());
    let is_on_path = app.python.source == InterpreterSource::Path;
    let Some(bin) = app.python.path.parent().filter(|bin| !is_on_path && !bin.as_os_str().is_empty()) else { return };
    let others = around.text("PATH").unwrap_or_default();
    let path = env::join_paths(iter::once(bin.to_owned()).chain(env::split_paths(others)));
    if let Some(path) = path.ok().and_then(|path| path.into_string().ok())
        && !launch.environment.iter().any(|(name, _)| name == "PATH")
    {
        launch.environment.insert(0, ("PATH".to_owned(), path));
    }
}

/// Whether a route takes the whole site, so far as no longer path is routed elsewhere.
fn leads_everywhere((_, route): &(Place, RouteConfig)) -> bool {
    route.host == HostPattern::Any && route.path.is_prefix("/")
}

/// One shard per CPU for files. Beside an application one per two: its workers want the CPUs more, and a shard that is busier
/// handles more at each waking (`loadtest/run.py wsgi` measures both).
fn automatic_shards(cpus: usize, has_app: bool) -> usize {
    if has_app { (cpus / 2).max(1) } else { cpus.max(1) }
}
