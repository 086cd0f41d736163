//! From settings that were given to tables of the configuration.
//!
//! Owns the differences between what Gunicorn takes and what our keys take. What has no effect is put into the list of what is not done, with the
//! reason; nothing is left out silently.

use super::format;
use super::settings::{Meaning, Setting, Takes};
use crate::base::bounds::{TIMEOUT_MAX_MS, TIMEOUT_MIN_MS};
use crate::config::error::Problem;
use crate::config::options::{self, Spec, Unit};
use crate::config::value::{Place, Placed, Table, Value};
use crate::config::{read, units};

/// A setting and its value.
pub struct Given {
    /// Which.
    pub setting: &'static Setting,
    /// The value, and where it was given.
    pub placed: Placed,
}

/// The tables into which settings go.
pub struct Tables<'t> {
    /// `[server]`.
    pub server: &'t mut Table,
    /// `[app]`, if there is to be an application.
    pub app: &'t mut Option<Table>,
    /// Every `[[tls]]`.
    pub tls: &'t mut Vec<(Place, Table)>,
}

/// Puts `given` over what `tables` hold, later ones over earlier ones. `left` takes what has no effect.
pub fn apply(given: impl Iterator<Item = Given>, tables: Tables<'_>, left: &mut Vec<Problem>) {
    let mut certificate: Option<(Place, Table)> = None;
    let mut has_log_format = false;
    let mut is_proxied = None;
    let mut output = Output::default();
    for Given { setting, placed } in given {
        let Placed { place, value } = placed;
        let value = if matches!(setting.takes, Takes::Nothing(_)) { as_unit(value, Unit::Bool) } else { value };
        let note = |message: String| Problem { place: place.clone(), key: String::new(), message };
        match setting.meaning {
            Meaning::Server(spec) => set(tables.server, spec, &place, lower_if_level(spec, value)),
            Meaning::App(spec) => set(tables.app.get_or_insert_default(), spec, &place, value),
            Meaning::Tls(spec) => {
                let (_, table) = certificate.get_or_insert_with(|| (place.clone(), Table::default()));
                set(table, spec, &place, value);
            }
            Meaning::CertReqs => {
                let (_, table) = certificate.get_or_insert_with(|| (place.clone(), Table::default()));
                set(table, &options::CLIENT_AUTH.spec, &place, client_auth(value));
            }
            Meaning::Bounded(spec) => {
                let (value, is_above) = bounded(spec, value);
                if is_above {
                    left.push(note(format!("the server's own bound holds, which is less; see \"{}\"", spec.name)));
                }
                set(tables.server, spec, &place, value);
            }
            Meaning::Bind => set(tables.server, &options::LISTEN.spec, &place, list(value, &place)),
            Meaning::Peers => set(tables.server, &options::TRUSTED_PROXIES.spec, &place, list(value, &place)),
            Meaning::MorePeers => {
                let name = options::TRUSTED_PROXIES.spec.name;
                let before = tables.server.take(name).map(|placed| list(placed.value, &placed.place));
                let value = match (before, list(value, &place)) {
                    (Some(Value::List(before)), Value::List(more)) => Value::List([before, more].concat()),
                    (_, value) => value,
                };
                set(tables.server, &options::TRUSTED_PROXIES.spec, &place, value);
            }
            Meaning::ProxyProtocol => {
                is_proxied = Some(place).filter(|_| !is_nothing(&value) && value != Value::Text("off".to_owned()));
            }
            Meaning::ServerTime(spec) | Meaning::AppTime(spec) => {
                let (value, is_above) = time(spec, value);
                if is_above {
                    left.push(note(format!("there is none longer than {}, which it is now", longest())));
                }
                let is_of_server = matches!(setting.meaning, Meaning::ServerTime(_));
                let table = if is_of_server { &mut *tables.server } else { tables.app.get_or_insert_default() };
                set(table, spec, &place, value);
            }
            Meaning::Account(spec) => set(tables.server, spec, &place, account(value)),
            Meaning::Umask => set(tables.server, &options::UMASK.spec, &place, umask(value)),
            Meaning::AccessLog => {
                log_table(tables.server, &place).set(options::LOG_PATH.spec.name, Placed { place, value });
            }
            Meaning::AccessLogFormat => match access_log_format(&value) {
                Ok(format::Translated { text, unknown }) => {
                    has_log_format = true;
                    if !unknown.is_empty() {
                        let names = unknown.join(", ");
                        left.push(note(format!("nothing is known here of {names}: \"-\" stands there")));
                    }
                    let table = log_table(tables.server, &place);
                    if text.trim_start().starts_with('{') && !table.holds(options::LOG_ESCAPE.spec.name) {
                        // Lines that are JSON stay that, whatever a client sends.
                        let value = Value::Text("json".to_owned());
                        table.set(options::LOG_ESCAPE.spec.name, Placed { place: place.clone(), value });
                    }
                    table.set(options::LOG_FORMAT.spec.name, Placed { place, value: Value::Text(text) });
                }
                Err(message) => left.push(note(message)),
            },
            Meaning::WorkerClass => left.extend(worker_class(&value).map(note)),
            Meaning::ReloadEngine => left.extend(reload_engine(&value).map(note)),
            Meaning::Hook(spec) => {
                let app = tables.app.get_or_insert_default();
                let value = dotted_callable(value);
                inner_table(app, options::HOOKS.spec.name, &place).set(spec.name, Placed { place, value });
            }
            Meaning::CaptureOutput => output.is_captured = Some((place, !is_nothing(&value))),
            Meaning::InheritOutput => output.is_inherited = Some(place).filter(|_| !is_nothing(&value)),
            Meaning::Always => {}
            Meaning::Without(why) => {
                let is_of_file = matches!(place, Place::Setting { .. });
                if !(is_of_file && is_nothing(&value)) {
                    left.push(note(why.to_owned()));
                }
            }
        }
    }
    if has_log_format {
        keep_only_wanted_logs(tables.server);
    }
    if let Some((place, name)) = output.wanted() {
        let app = tables.app.get_or_insert_default();
        set(app, &options::APP_OUTPUT.spec, &place, Value::Text(name.to_owned()));
    }
    if let Some(place) = is_proxied {
        say_of_addresses(tables.server, &options::LISTEN_PROXY_PROTOCOL.spec, &place);
    }
    if let Some((place, table)) = certificate {
        say_of_addresses(tables.server, &options::LISTEN_TLS.spec, &place);
        tables.tls.insert(0, (place, table));
    }
}

/// What is said of where workers write.
#[derive(Default)]
struct Output {
    is_captured: Option<(Place, bool)>,
    is_inherited: Option<Place>,
}

impl Output {
    /// Our word for it. What is captured is not inherited, in Gunicorn too.
    fn wanted(self) -> Option<(Place, &'static str)> {
        match (self.is_captured, self.is_inherited) {
            (Some((place, true)), _) => Some((place, "log")),
            (_, Some(place)) | (Some((place, false)), None) => Some((place, "raw")),
            (None, None) => None,
        }
    }
}

fn set(table: &mut Table, spec: &'static Spec, place: &Place, value: Value) {
    table.set(spec.name, Placed { place: place.clone(), value: as_unit(value, spec.unit) });
}

/// A flag's text as the number or the truth that the option takes. What is neither stays text, for the option's reader to refuse.
fn as_unit(value: Value, unit: Unit) -> Value {
    match (&value, unit) {
        (Value::Text(text), Unit::Count { .. } | Unit::Integer { .. } | Unit::CountOrAuto { .. }) => {
            number(text).map_or(value, Value::Integer)
        }
        (Value::Text(text), Unit::Bool) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => value,
        },
        _ => value,
    }
}

/// A whole number as Python's `int(text, 0)` reads it.
fn number(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.strip_prefix('+').unwrap_or(&text);
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter();
    let mut prefixed = radix.filter_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, radix)));
    match prefixed.next() {
        Some((digits, radix)) => u32::from_str_radix(digits, radix).ok().map(i64::from),
        None => text.parse().ok(),
    }
}

/// What says nothing: the value that a setting has anyway, or none.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => !flag,
        Value::Integer(number) => *number == 0,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Float(_) | Value::Table(_) | Value::Other(_) => false,
    }
}

/// Levels of the log are written in either case there.
fn lower_if_level(spec: &Spec, value: Value) -> Value {
    match value {
        Value::Text(text) if spec.name == options::SERVER_LOG_LEVEL.spec.name => Value::Text(text.to_ascii_lowercase()),
        other => other,
    }
}

/// A string of entries with commas between them, or a list of such strings, as one list.
pub fn list(value: Value, place: &Place) -> Value {
    let item = |text: &str| Placed { place: place.clone(), value: Value::Text(text.trim().to_owned()) };
    let split = |text: &str| text.split(',').filter(|part| !part.trim().is_empty()).map(item).collect::<Vec<_>>();
    match value {
        Value::Text(text) => Value::List(split(&text)),
        Value::List(items) => Value::List(
            items
                .into_iter()
                .flat_map(|entry| match &entry.value {
                    Value::Text(text) => split(text),
                    _ => vec![entry],
                })
                .collect(),
        ),
        other => other,
    }
}

/// 0 means at once there, which is the shortest time that there is here, unless the option has another meaning for it. Says too whether more was
/// wanted than can be.
fn time(spec: &Spec, value: Value) -> (Value, bool) {
    match read::milliseconds(&value) {
        Some(0) if !matches!(spec.unit, Unit::DurationOrNever) => {
            (Value::Text(units::show_duration(TIMEOUT_MIN_MS)), false)
        }
        Some(ms) if ms > TIMEOUT_MAX_MS => (Value::Text(longest()), true),
        _ => (value, false),
    }
}

fn longest() -> String {
    units::show_duration(TIMEOUT_MAX_MS)
}

/// A number there is written as text here.
fn account(value: Value) -> Value {
    match value {
        Value::Integer(id) => Value::Text(id.to_string()),
        other => other,
    }
}

/// The bound, and whether more was wanted than there is.
fn bounded(spec: &Spec, value: Value) -> (Value, bool) {
    let Unit::Count { max, .. } = spec.unit else { return (value, false) };
    match as_unit(value, spec.unit) {
        Value::Integer(number) if u64::try_from(number).is_ok_and(|number| number > max) => (Value::Integer(0), true),
        other => (other, false),
    }
}

/// Octal with a 0 before it, hexadecimal with 0x, else decimal, as Gunicorn reads it.
fn umask(value: Value) -> Value {
    let Value::Text(text) = &value else { return value };
    let text = text.trim();
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None if text.len() > 1 && text.starts_with('0') => i64::from_str_radix(text.trim_start_matches("0o"), 8),
        None => text.parse(),
    };
    parsed.map_or(value, Value::Integer)
}

/// `ssl.CERT_NONE`, `CERT_OPTIONAL` and `CERT_REQUIRED` by their numbers.
fn client_auth(value: Value) -> Value {
    let name = match &value {
        Value::Integer(0) => "none",
        Value::Integer(1) => "optional",
        Value::Integer(2) => "required",
        Value::Text(text) => match text.trim() {
            "0" => "none",
            "1" => "optional",
            "2" => "required",
            _ => return value,
        },
        _ => return value,
    };
    Value::Text(name.to_owned())
}

/// A string is `module.callable` there.
fn dotted_callable(value: Value) -> Value {
    match &value {
        Value::Text(text) if !text.contains(':') => match text.rsplit_once('.') {
            Some((module, name)) => Value::Text(format!("{module}:{name}")),
            None => value,
        },
        _ => value,
    }
}

fn access_log_format(value: &Value) -> Result<format::Translated, String> {
    match value {
        Value::Text(text) => format::translate(text),
        other => Err(format!("must be a string, not {}", other.kind())),
    }
}

fn worker_class(value: &Value) -> Option<String> {
    match value {
        Value::Text(text)
            if matches!(text.rsplit(['.', ':']).next(), Some("sync" | "gthread" | "SyncWorker" | "ThreadWorker")) =>
        {
            None
        }
        Value::Text(text) => Some(format!(
            "\"{}\" is no kind of worker here: workers are processes with threads, one request in each; connections wait in the \
             server and cost no worker",
            text.escape_debug()
        )),
        _ => Some("a class of workers of one's own has no place here".to_owned()),
    }
}

fn reload_engine(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) if matches!(text.as_str(), "auto" | "inotify") => None,
        Value::Text(text) if text == "poll" => {
            Some("files are watched with inotify, without looking at them again and again".to_owned())
        }
        _ => Some("there is no such engine; files are watched with inotify".to_owned()),
    }
}

/// The table at `name`, made if there is none.
fn inner_table<'t>(table: &'t mut Table, name: &'static str, place: &Place) -> &'t mut Table {
    if !matches!(table.value(name), Some(Value::Table(_))) {
        table.set(name, Placed { place: place.clone(), value: Value::Table(Table::default()) });
    }
    table.table(name).expect("it is there now")
}

/// The table that says what the access log is like, made of its place if that is all that was said.
fn log_table<'t>(server: &'t mut Table, place: &Place) -> &'t mut Table {
    let name = options::ACCESS_LOG.spec.name;
    let table = match server.take(name) {
        Some(Placed { value: Value::Table(table), .. }) => table,
        Some(placed) => {
            let mut table = Table::default();
            table.set(options::LOG_PATH.spec.name, placed);
            table
        }
        None => Table::default(),
    };
    server.set(name, Placed { place: place.clone(), value: Value::Table(table) });
    server.table(name).expect("it was just set")
}

/// A format without a place is no log, as there.
fn keep_only_wanted_logs(server: &mut Table) {
    let name = options::ACCESS_LOG.spec.name;
    if let Some(Value::Table(table)) = server.value(name)
        && !table.holds(options::LOG_PATH.spec.name)
        && table.holds(options::LOG_FORMAT.spec.name)
    {
        server.take(name);
    }
}

/// Says `true` for `key` of every address: there such things are said once for all of them.
fn say_of_addresses(server: &mut Table, key: &'static Spec, place: &Place) {
    let name = options::LISTEN.spec.name;
    let listed = server
        .take(name)
        .unwrap_or_else(|| Placed { place: place.clone(), value: Value::Text("127.0.0.1:8000".to_owned()) });
    let whole = listed.place.clone();
    let items = match listed.value {
        Value::List(items) => items,
        _ => vec![listed],
    };
    let item = |item: Placed| {
        let place = item.place.clone();
        let mut table = match item.value {
            Value::Table(table) => table,
            _ => {
                let mut table = Table::default();
                table.set(options::LISTEN_ADDRESS.spec.name, item);
                table
            }
        };
        table.set(key.name, Placed { place: place.clone(), value: Value::Bool(true) });
        Placed { place, value: Value::Table(table) }
    };
    server.set(name, Placed { place: whole, value: Value::List(items.into_iter().map(item).collect()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn masks_are_read_as_gunicorn_reads_them() {
        for (written, expected) in [("022", 0o22), ("0", 0), ("18", 18), ("0x1f", 0x1f), ("0o27", 0o27)] {
            assert_eq!(umask(text(written)), Value::Integer(expected), "{written}");
        }
        assert_eq!(umask(text("rw")), text("rw"));
        assert_eq!(umask(Value::Integer(7)), Value::Integer(7));
    }

    #[test]
    fn lists_are_strings_with_commas_or_lists_of_them() {
        let place = Place::Nowhere;
        let texts = |value: Value| match list(value, &place) {
            Value::List(items) => items.into_iter().map(|item| item.value).collect::<Vec<_>>(),
            other => vec![other],
        };
        assert_eq!(texts(text("a, b,")), [text("a"), text("b")]);
        let items = ["a,b", "c"].map(|item| Placed { place: Place::Nowhere, value: text(item) });
        assert_eq!(texts(Value::List(items.to_vec())), [text("a"), text("b"), text("c")]);
        assert_eq!(texts(Value::Integer(1)), [Value::Integer(1)]);
    }

    #[test]
    fn kinds_of_workers_that_there_are_need_no_word() {
        for known in ["sync", "gthread", "gunicorn.workers.gthread.ThreadWorker"] {
            assert_eq!(worker_class(&text(known)), None);
        }
        assert!(worker_class(&text("uvicorn.workers.UvicornWorker")).is_some_and(|note| note.contains("Uvicorn")));
    }
}
