//! The values of file, environment and flags, laid over each other.
//!
//! Owns their precedence: defaults < file < `GUNICORN_CMD_ARGS` < `MAITRED_CMD_ARGS` < flags; single variables of the environment are defaults. Merges before anything is read from the values, so that
//! each is checked by its option's own reader whatever its source.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::gunicorn::{self, Given, Takes};
use super::options;
use super::programs::Named;
use super::section::{nearest, table};
use super::sources::{Flags, GivenFlag, Source, Surroundings};
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
    /// What is not carried over, of a `supervisord.conf` or of Gunicorn's settings.
    pub left: Vec<Problem>,
    /// The `gunicorn.conf.py` that was read, and the names of the settings that were taken from it.
    pub taken: Option<(String, Vec<String>)>,
}

/// Reads the config file, if there is one, and puts environment and flags over it.
pub fn merge(flags: &Flags, around: &Surroundings, problems: &mut Vec<Problem>) -> Merged {
    let named = flags.config_file();
    let (mut top, file_base, file) = match &flags.gunicorn_file {
        Some(read) => {
            let base = read.chdir().map_or_else(|| around.directory.clone(), |chdir| around.directory.join(chdir));
            (Table::default(), base, named.map(Path::to_owned))
        }
        None => {
            let (top, base) = self::file(named, around, problems);
            (top, base, found(named, around))
        }
    };
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
    let (mut server, mut app, mut tls) = (server.unwrap_or_default(), app, tls);
    let (mut left, mut taken) = (Vec::new(), None);
    if let Some(file) = &flags.gunicorn_file {
        app.get_or_insert_default();
        taken = Some(gunicorn_file(file, &mut server, &mut app, &mut tls, &mut left));
        if let (Some(app), Some(_)) = (&mut app, file.chdir()) {
            // Everything else in the file starts there, and it alone at the working directory.
            let value = Value::Text(file_base.display().to_string());
            let name: std::sync::Arc<str> = file.name.as_str().into();
            let place = Place::Setting { file: name, name: options::CHDIR.spec.name };
            app.set(options::CHDIR.spec.name, Placed { place, value });
        }
    }
    let statics = flags.layers().filter(|(layer, _)| !layer.statics.is_empty()).last();
    if let Some((layer, source)) = statics {
        routes.extend(static_routes(&layer.statics, source, problems));
    }
    for (layer, source) in flags.layers() {
        server_flags(&mut server, layer, source);
        app = app_flags(app, layer, source);
        let given = durations(layer, source).chain(layer.settings.iter().map(|flag| given(flag, source)));
        let tables = gunicorn::Tables { server: &mut server, app: &mut app, tls: &mut tls };
        gunicorn::apply(given, tables, &mut left);
    }
    server_variables(&mut server, around);
    if app.as_ref().is_some_and(|app| app.value(options::DEV.spec.name) == Some(&Value::Bool(true))) {
        development_log(&mut server);
    }
    if let Some(app) = &mut app {
        variables(app, around);
    }
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
        left,
        taken,
    };
    if let Some(file) = flags.supervisord_file() {
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
            program.table.set(
                options::PROGRAM_NUMPROCS.spec.name,
                argument(Source::CommandLine, "scale", Value::Integer(*count)),
            );
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

fn argument(source: Source, name: &'static str, value: Value) -> Placed {
    let place = match source.variable() {
        Some(variable) => Place::VariableArgument { variable, name },
        None => Place::Argument(name),
    };
    Placed { place, value }
}

fn texts(source: Source, name: &'static str, items: &[String]) -> Placed {
    let items = items.iter().map(|item| argument(source, name, Value::Text(item.clone())));
    argument(source, name, Value::List(items.collect()))
}

/// Takes a `gunicorn.conf.py` over. Returns its name and the names of the settings that have an effect.
fn gunicorn_file(
    file: &gunicorn::GunicornFile,
    server: &mut Table,
    app: &mut Option<Table>,
    tls: &mut Vec<(Place, Table)>,
    left: &mut Vec<Problem>,
) -> (String, Vec<String>) {
    gunicorn::apply(file.given(), gunicorn::Tables { server, app, tls }, left);
    let name: std::sync::Arc<str> = file.name.as_str().into();
    left.extend(file.odd.iter().map(|odd| Problem {
        place: Place::File { name: name.clone(), line: 0 },
        key: String::new(),
        message: format!("{}: is neither plain data nor a callable", odd.escape_debug()),
    }));
    let is_left = |given: &Given| left.iter().any(|problem| problem.place == given.placed.place);
    let taken = file.given().filter(|given| !is_left(given)).map(|given| given.setting.name.to_owned());
    (file.name.clone(), taken.collect())
}

/// Flags of our own that take what Gunicorn's settings take.
fn durations(flags: &Flags, source: Source) -> impl Iterator<Item = Given> {
    let given = [
        ("timeout", "--timeout", flags.timeout.clone()),
        ("graceful_timeout", "--graceful-timeout", flags.graceful_timeout.clone()),
    ];
    given.into_iter().filter_map(move |(name, flag, text)| {
        let setting = gunicorn::named(name).expect("Gunicorn has both");
        Some(Given { setting, placed: argument(source, flag, Value::Text(text?)) })
    })
}

/// A flag as a setting with its value.
fn given(flag: &GivenFlag, source: Source) -> Given {
    let name = flag.setting.flags.last().copied().unwrap_or(flag.setting.name);
    let last = || Value::Text(flag.values.last().cloned().unwrap_or_default());
    let placed = match flag.setting.takes {
        Takes::Nothing(meant) => argument(source, name, Value::Bool(meant)),
        Takes::Values(_) => texts(source, name, &flag.values),
        Takes::Value(_) | Takes::Optional(..) => argument(source, name, last()),
    };
    Given { setting: flag.setting, placed }
}

fn server_flags(server: &mut Table, flags: &Flags, source: Source) {
    if !flags.bind.is_empty() {
        server.set(options::LISTEN.spec.name, texts(source, "--bind", &flags.bind));
    }
    if let Some(shards) = &flags.shards {
        server.set(options::SHARDS.spec.name, argument(source, "--shards", number_or_text(shards)));
    }
    if let Some(level) = flags.log_level {
        let level = Value::Text(level.name().to_owned());
        server.set(options::SERVER_LOG_LEVEL.spec.name, argument(source, "--log-level", level));
    }
}

/// The log of a server for development: at the terminal in short lines unless another one is named, and at once.
fn development_log(server: &mut Table) {
    let name = options::ACCESS_LOG.spec.name;
    let said = |text: &str| argument(Source::CommandLine, "--dev", Value::Text(text.to_owned()));
    let is_terminal = |path: &Value| matches!(path, Value::Text(path) if path == "stdout" || path == "-");
    let mut log = Table::default();
    let place = match server.take(name) {
        None => {
            log.set(options::LOG_PATH.spec.name, said("stdout"));
            said("").place
        }
        Some(Placed { place, value: Value::Table(given) }) => {
            log = given;
            place
        }
        Some(placed) if is_terminal(&placed.value) => {
            let place = placed.place.clone();
            log.set(options::LOG_PATH.spec.name, placed);
            place
        }
        Some(other) => return server.set(name, other),
    };
    let is_terminal = log.value(options::LOG_PATH.spec.name).is_some_and(is_terminal);
    for (spec, text) in [(&options::LOG_FORMAT.spec, "short"), (&options::LOG_FLUSH.spec, "0s")] {
        if is_terminal && !log.holds(spec.name) {
            log.set(spec.name, said(text));
        }
    }
    server.set(name, Placed { place, value: Value::Table(log) });
}

/// What the environment says of listening and of proxies, where nothing else does.
fn server_variables(server: &mut Table, around: &Surroundings) {
    let listen = options::LISTEN.spec.name;
    if let Some(port) = around.text("PORT").filter(|_| !server.holds(listen)) {
        let value = Value::Text(format!("0.0.0.0:{port}"));
        server.set(listen, Placed { place: Place::Variable("PORT"), value });
    }
    let proxies = options::TRUSTED_PROXIES.spec.name;
    if let Some(peers) = around.text("FORWARDED_ALLOW_IPS").filter(|_| !server.holds(proxies)) {
        let place = Place::Variable("FORWARDED_ALLOW_IPS");
        let value = gunicorn::list(Value::Text(peers.to_owned()), &place);
        server.set(proxies, Placed { place, value });
    }
}

/// `app` with the flags over it; flags that only an application can obey make one wanted.
fn app_flags(app: Option<Table>, flags: &Flags, source: Source) -> Option<Table> {
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let list = |name: &'static str, items: &[String]| (!items.is_empty()).then(|| texts(source, name, items));
    let given = [
        (&options::WSGI.spec, "APP", text(&flags.app)),
        (&options::CHDIR.spec, "--chdir", text(&flags.chdir)),
        (&options::PYTHONPATH.spec, "--pythonpath", text(&flags.pythonpath)),
        (&options::PYTHON.spec, "--python", text(&flags.python)),
        (&options::WORKERS.spec, "--workers", flags.workers.map(Value::Integer)),
        (&options::THREADS.spec, "--threads", flags.threads.map(Value::Integer)),
        (&options::PRELOAD_APP.spec, "--no-preload", flags.no_preload.then_some(Value::Bool(false))),
        (&options::DEV.spec, "--dev", flags.dev.then_some(Value::Bool(true))),
    ];
    let given = given.into_iter().filter_map(|(spec, flag, value)| Some((spec.name, argument(source, flag, value?))));
    let env = list("--env", &flags.env).map(|placed| (options::RAW_ENV.spec.name, placed));
    let given: Vec<_> = given.chain(env).collect();
    if app.is_none() && given.is_empty() {
        return None;
    }
    let mut app = app.unwrap_or_default();
    given.into_iter().for_each(|(name, placed)| app.set(name, placed));
    Some(app)
}

/// What the environment says of an application, where nothing else does: a default, as it is for Gunicorn. Alone it makes no application
/// wanted: it may be set for every program of a host.
pub fn variables(app: &mut Table, around: &Surroundings) {
    let name = options::WORKERS.spec.name;
    if let Some(workers) = around.text("WEB_CONCURRENCY").filter(|_| !app.holds(name)) {
        let place = Place::Variable("WEB_CONCURRENCY");
        app.set(name, Placed { place, value: number_or_text(workers) });
    }
}

fn number_or_text(text: &str) -> Value {
    text.trim().parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Integer)
}

fn static_routes(statics: &[String], source: Source, problems: &mut Vec<Problem>) -> Vec<(Place, Table)> {
    let route = |text: &String| {
        let place = argument(source, "--static", Value::Bool(true)).place;
        let Some((url, directory)) = text.split_once('=') else {
            let message = format!("\"{text}\" is not of the form URL=DIRECTORY, as in /static/=./staticfiles");
            problems.push(Problem { place, key: String::new(), message });
            return None;
        };
        let mut table = Table::default();
        table.set(options::PATH.spec.name, argument(source, "--static", Value::Text(url.to_owned())));
        table.set(options::STATIC.spec.name, argument(source, "--static", Value::Text(directory.to_owned())));
        Some((place, table))
    };
    statics.iter().filter_map(route).collect()
}
