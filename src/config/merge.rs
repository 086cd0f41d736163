//! The values of file, environment and flags, laid over each other.
//!
//! Owns their precedence: defaults < file < environment < flags. Merges before anything is read from the values, so that
//! each is checked by its option's own reader whatever its source.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::options;
use super::programs::Named;
use super::section::{nearest, table};
use super::sources::{Flags, Surroundings};
use super::supervisord;
use super::value::{Place, Placed, Table, Value, parse};
use crate::base::bounds::CONFIG_FILE_BYTES_MAX;

/// The config file that is read when none is named, if it is there.
pub const FILE_DEFAULT: &str = "maitred.toml";

/// The merged values of all sources, not checked yet.
pub struct Merged {
    pub server: Table,
    /// `[admin]`, if it is there.
    pub admin: Option<(Place, Table)>,
    /// `[control]`, if it is there.
    pub control: Option<(Place, Table)>,
    /// `None` if nothing speaks of an application.
    pub app: Option<Table>,
    pub routes: Vec<(Place, Table)>,
    /// `[supervisor]`.
    pub supervisor: Table,
    pub programs: Vec<Named>,
    pub listeners: Vec<Named>,
    pub groups: Vec<Named>,
    pub tls: Vec<(Place, Table)>,
    /// `[acme]`, if it is there.
    pub acme: Option<(Place, Table)>,
    /// The config file names routes, so it is meant to say all that is served.
    pub file_has_routes: bool,
    /// The config file has an `[app]` table.
    pub file_has_app: bool,
    /// The config file's directory; the working directory without one.
    pub file_base: PathBuf,
    /// The config file's name as it was given.
    pub file: Option<PathBuf>,
    /// Lines of a `supervisord.conf` that are not carried over.
    pub left: Vec<Problem>,
}

/// Reads the config file, if there is one, and puts environment and flags over it.
pub fn merge(flags: &Flags, around: &Surroundings, problems: &mut Vec<Problem>) -> Merged {
    let file = found(flags.config.as_deref(), around);
    let (mut top, file_base) = self::file(flags.config.as_deref(), around, problems);
    let server = top.take("server").and_then(|placed| table(placed, "server", options::SERVER.header, problems));
    let admin = top
        .take("admin")
        .and_then(|placed| Some((placed.place.clone(), table(placed, "admin", options::ADMIN.header, problems)?)));
    let control = top.take("control");
    let control = control
        .and_then(|placed| Some((placed.place.clone(), table(placed, "control", options::CONTROL.header, problems)?)));
    let acme = top
        .take("acme")
        .and_then(|placed| Some((placed.place.clone(), table(placed, "acme", options::ACME.header, problems)?)));
    let app = top.take("app").and_then(|placed| table(placed, "app", options::APP.header, problems));
    let mut routes = top.take("route").map_or(Vec::new(), |placed| tables(placed, &options::ROUTE, problems));
    let tls = top.take("tls").map_or(Vec::new(), |placed| tables(placed, &options::TLS, problems));
    let supervisor = top.take("supervisor");
    let supervisor = supervisor
        .and_then(|placed| table(placed, "supervisor", options::SUPERVISOR.header, problems))
        .unwrap_or_default();
    let mut programs = named_tables(top.take("program"), &options::PROGRAM, problems);
    let listeners = named_tables(top.take("eventlistener"), &options::LISTENER, problems);
    scale(&mut programs, &flags.scales);
    let groups = named_tables(top.take("group"), &options::GROUP, problems);
    for (key, Placed { place, .. }) in top.into_entries() {
        problems.push(unknown(key, place));
    }
    let (file_has_app, file_has_routes) = (app.is_some(), !routes.is_empty());
    let mut server = server.unwrap_or_default();
    routes.extend(static_routes(&flags.statics, problems));
    server_flags(&mut server, flags, around);
    let app = app_flags(app, flags, around);
    let mut merged = Merged {
        server,
        admin,
        control,
        app,
        routes,
        tls,
        acme,
        supervisor,
        programs,
        listeners,
        groups,
        file_has_routes,
        file_has_app,
        file_base,
        file,
        left: Vec::new(),
    };
    if let Some(file) = &flags.supervisord_conf {
        supervisord::add(file, around, &mut merged, problems);
    }
    merged
}

/// The config file's name: the one that was given, or the one in the working directory if it is there.
fn found(named: Option<&Path>, around: &Surroundings) -> Option<PathBuf> {
    let usual = || Some(PathBuf::from(FILE_DEFAULT)).filter(|name| around.directory.join(name).exists());
    named.map(Path::to_owned).or_else(usual)
}

/// What stands in the config file, and where relative paths in it start.
pub(super) fn file(named: Option<&Path>, around: &Surroundings, problems: &mut Vec<Problem>) -> (Table, PathBuf) {
    match found(named, around) {
        Some(name) => {
            let path = around.directory.join(&name);
            let base = path.parent().unwrap_or(&around.directory).components().collect();
            (read_file(&name, &path, problems), base)
        }
        None => (Table::default(), around.directory.clone()),
    }
}

fn read_file(name: &Path, path: &Path, problems: &mut Vec<Problem>) -> Table {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let message = match read {
        Err(error) => format!("cannot be read: {error}"),
        Ok(_) if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX => {
            format!("is larger than {CONFIG_FILE_BYTES_MAX} bytes")
        }
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => {
                let before = problems.len();
                let table = parse(name, &text, problems);
                // After a slip of syntax what follows would only be confusion.
                return if problems.len() == before { table } else { Table::default() };
            }
            Err(error) => format!("is not UTF-8 (at byte {})", error.utf8_error().valid_up_to()),
        },
    };
    let place = Place::File { name: name.display().to_string().into(), line: 0 };
    problems.push(Problem { place, key: String::new(), message });
    Table::default()
}

fn tables(placed: Placed, section: &options::Section, problems: &mut Vec<Problem>) -> Vec<(Place, Table)> {
    let (name, written) = (section.name, section.header);
    match placed.value {
        Value::List(items) => {
            let item = |item: Placed| Some((item.place.clone(), table(item, name, written, problems)?));
            items.into_iter().filter_map(item).collect()
        }
        other => {
            let message = format!("must be a list of tables, each written {written}, not {}", other.kind());
            problems.push(Problem { place: placed.place, key: name.to_owned(), message });
            Vec::new()
        }
    }
}

/// The tables of a section that has one for each name, in the order of the file.
fn named_tables(placed: Option<Placed>, section: &options::Section, problems: &mut Vec<Problem>) -> Vec<Named> {
    let Some(inner) = placed.and_then(|placed| table(placed, section.name, section.header, problems)) else {
        return Vec::new();
    };
    let mut found: Vec<Named> = Vec::new();
    for (name, placed) in inner.into_entries() {
        let place = placed.place.clone();
        let key = format!("{}.{}", section.name, name.escape_debug());
        found.extend(table(placed, &key, section.header, problems).map(|table| Named { name, place, table }));
    }
    found.sort_by(|a, b| a.place.cmp(&b.place));
    found
}

/// Puts numbers of processes over what programs' tables say.
fn scale(programs: &mut [Named], scales: &[(String, i64)]) {
    for (name, count) in scales {
        if let Some(program) = programs.iter_mut().find(|program| program.name == *name) {
            program.table.set(options::PROGRAM_NUMPROCS.spec.name, argument("scale", Value::Integer(*count)));
        }
    }
}

/// A key at the top of the file that is no section.
fn unknown(key: String, place: Place) -> Problem {
    let section = nearest(&key, options::SECTIONS.iter().map(|section| section.name));
    let header = section.and_then(|name| options::SECTIONS.iter().find(|section| section.name == name));
    let owner = options::SECTIONS.iter().find_map(|section| {
        let named = |spec: &&&options::Spec| spec.name == key || spec.elsewhere.contains(&key.as_str());
        Some((section, section.options.iter().find(named)?))
    });
    let hint = match (owner, header) {
        (Some((section, spec)), _) => format!("; \"{}\" belongs in {}", spec.name, section.header),
        (None, Some(section)) => format!("; did you mean {}?", section.header),
        (None, None) => {
            let headers: Vec<_> = options::SECTIONS
                .iter()
                .filter(|section| !section.name.contains('.'))
                .map(|section| section.header)
                .collect();
            format!("; there are {}", headers.join(", "))
        }
    };
    Problem { place, key: key.escape_debug().to_string(), message: format!("unknown key{hint}") }
}

fn argument(name: &'static str, value: Value) -> Placed {
    Placed { place: Place::Argument(name), value }
}

fn texts(name: &'static str, items: &[String]) -> Placed {
    let items = items.iter().map(|item| argument(name, Value::Text(item.clone())));
    argument(name, Value::List(items.collect()))
}

fn server_flags(server: &mut Table, flags: &Flags, around: &Surroundings) {
    let listen = options::LISTEN.spec.name;
    if let Some(port) = around.text("PORT").filter(|_| !server.holds(listen)) {
        let value = Value::Text(format!("0.0.0.0:{port}"));
        server.set(listen, Placed { place: Place::Variable("PORT"), value });
    }
    if !flags.bind.is_empty() {
        server.set(listen, texts("--bind", &flags.bind));
    }
    if let Some(shards) = &flags.shards {
        server.set(options::SHARDS.spec.name, argument("--shards", number_or_text(shards)));
    }
}

/// `app` with the environment and the flags over it; flags that only an application can obey make one wanted.
fn app_flags(app: Option<Table>, flags: &Flags, around: &Surroundings) -> Option<Table> {
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let list = |name: &'static str, items: &[String]| (!items.is_empty()).then(|| texts(name, items));
    let given = [
        (&options::WSGI.spec, "APP", text(&flags.app)),
        (&options::CHDIR.spec, "--chdir", text(&flags.chdir)),
        (&options::PYTHONPATH.spec, "--pythonpath", text(&flags.pythonpath)),
        (&options::PYTHON.spec, "--python", text(&flags.python)),
        (&options::WORKERS.spec, "--workers", flags.workers.map(Value::Integer)),
        (&options::THREADS.spec, "--threads", flags.threads.map(Value::Integer)),
        (&options::TIMEOUT.spec, "--timeout", flags.timeout.clone().map(Value::Text)),
        (&options::GRACEFUL_TIMEOUT.spec, "--graceful-timeout", flags.graceful_timeout.clone().map(Value::Text)),
        (&options::PRELOAD_APP.spec, "--no-preload", flags.no_preload.then_some(Value::Bool(false))),
    ];
    let given = given.into_iter().filter_map(|(spec, flag, value)| Some((spec.name, argument(flag, value?))));
    let env = list("--env", &flags.env).map(|placed| (options::RAW_ENV.spec.name, placed));
    let given: Vec<_> = given.chain(env).collect();
    if app.is_none() && given.is_empty() {
        return None;
    }
    let mut app = app.unwrap_or_default();
    variables(&mut app, around);
    given.into_iter().for_each(|(name, placed)| app.set(name, placed));
    Some(app)
}

/// What the environment says of an application. Alone it makes none wanted: it may be set for every program of a host.
pub fn variables(app: &mut Table, around: &Surroundings) {
    if let Some(workers) = around.text("WEB_CONCURRENCY") {
        let place = Place::Variable("WEB_CONCURRENCY");
        app.set(options::WORKERS.spec.name, Placed { place, value: number_or_text(workers) });
    }
}

fn number_or_text(text: &str) -> Value {
    text.trim().parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Integer)
}

fn static_routes(statics: &[String], problems: &mut Vec<Problem>) -> Vec<(Place, Table)> {
    let route = |text: &String| {
        let place = Place::Argument("--static");
        let Some((url, directory)) = text.split_once('=') else {
            let message = format!("\"{text}\" is not of the form URL=DIRECTORY, as in /static/=./staticfiles");
            problems.push(Problem { place, key: String::new(), message });
            return None;
        };
        let mut table = Table::default();
        table.set(options::PATH.spec.name, argument("--static", Value::Text(url.to_owned())));
        table.set(options::STATIC.spec.name, argument("--static", Value::Text(directory.to_owned())));
        Some((place, table))
    };
    statics.iter().filter_map(route).collect()
}
