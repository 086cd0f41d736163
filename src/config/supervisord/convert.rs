//! What each section and option of `supervisord.conf` is called in `maitred.toml`.
//!
//! Owns the table of options and the reasons for which a line is not carried over. What supervisor expands for each process stays as it
//! is; anything else is expanded here.

mod sockets;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::files::{Found, meanings};
use super::ini::{Entry, Section};
use super::values::{Form, boolean, value, variables};
use super::{Relative, Taken};
use crate::config::error::Problem;
use crate::config::expand::{Meanings, expand};
use crate::config::programs::Named;
use crate::config::sources::Surroundings;
use crate::config::value::{Place, Placed, Table, Value};

/// Options of `[program:x]` that are called the same here and hold the same for every process.
const SHARED: &[(&str, Form)] = &[
    ("numprocs", Form::Integer),
    ("numprocs_start", Form::Integer),
    ("priority", Form::Integer),
    ("autostart", Form::Bool),
    ("autorestart", Form::Autorestart),
    ("startsecs", Form::Integer),
    ("startretries", Form::Integer),
    ("exitcodes", Form::Codes),
    ("stopsignal", Form::Text),
    ("stopwaitsecs", Form::Integer),
    ("stopasgroup", Form::Bool),
    ("killasgroup", Form::Bool),
    ("user", Form::Text),
    ("umask", Form::Text),
    ("redirect_stderr", Form::Bool),
    ("stdout_logfile_maxbytes", Form::Bytes),
    ("stdout_logfile_backups", Form::Integer),
    ("stdout_capture_maxbytes", Form::Bytes),
    ("stdout_events_enabled", Form::Bool),
    ("stdout_syslog", Form::Bool),
    ("stderr_logfile_maxbytes", Form::Bytes),
    ("stderr_logfile_backups", Form::Integer),
    ("stderr_capture_maxbytes", Form::Bytes),
    ("stderr_events_enabled", Form::Bool),
    ("stderr_syslog", Form::Bool),
    ("serverurl", Form::Text),
];

/// Options of `[eventlistener:x]` that are not taken over as those of a program.
const LISTENER: &[&str] =
    &["events", "buffer_size", "result_handler", "stdout_capture_maxbytes", "stdout_events_enabled"];

/// The only way of judging results that there is here.
const DEFAULT_RESULT_HANDLER: &str = "supervisor.dispatchers:default_handler";

/// Options of `[supervisord]` that nothing stands for here, with what does instead.
const LEFT: &[(&str, &str)] = &[
    ("logfile", "maitred's own log goes to standard error; let the service manager or the shell put it into a file"),
    ("logfile_maxbytes", "maitred's own log goes to standard error"),
    ("logfile_backups", "maitred's own log goes to standard error"),
    ("loglevel", "set --log-level or MAITRED_LOG"),
    ("identifier", "there is one name for it: maitred"),
    ("minfds", "the limit of descriptors is raised as far as it may be at every start"),
    ("minprocs", "the limit of processes is left to the service manager"),
    ("nocleanup", "files of AUTO are removed at the next start, if the maitred that made them is gone"),
    ("strip_ansi", "maitred's log escapes control characters; files get what the program wrote"),
    ("silent", "the log goes to standard error; send it to /dev/null instead"),
];

/// Puts what `found` says into the terms of `maitred.toml`.
pub(super) fn convert(found: Found, relative: Relative, around: &Surroundings, problems: &mut Vec<Problem>) -> Taken {
    let mut taken = Taken { left: found.left.clone(), ..Taken::default() };
    let mut converter = Converter {
        meanings: meanings(&found.here, around),
        groups: HashMap::new(),
        user: None,
        umask: None,
        directory: None,
        used_defaults: HashSet::new(),
        found: &found,
        relative,
        around,
        taken: &mut taken,
        problems,
    };
    converter.all();
    let unused = found.ini.defaults.iter().filter(|entry| !converter.used_defaults.contains(&entry.key));
    let unused: Vec<_> = unused.cloned().collect();
    for entry in unused {
        converter.left("DEFAULT", &entry, "no section has such an option");
    }
    taken.left.sort_by(|a, b| a.place.cmp(&b.place));
    taken
}

struct Converter<'a> {
    found: &'a Found,
    relative: Relative,
    around: &'a Surroundings,
    meanings: Meanings,
    /// The group of each program that is in one.
    groups: HashMap<String, String>,
    user: Option<Placed>,
    umask: Option<Placed>,
    /// Where relative paths start, if that is said.
    directory: Option<PathBuf>,
    used_defaults: HashSet<String>,
    taken: &'a mut Taken,
    problems: &'a mut Vec<Problem>,
}

impl Converter<'_> {
    fn all(&mut self) {
        let sections = &self.found.ini.sections;
        if let Some(section) = self.found.ini.section_named("supervisord") {
            self.supervisord(section);
        }
        for section in sections.iter().filter(|section| section.name.starts_with("group:")) {
            self.group(section);
        }
        for section in sections {
            let (kind, name) = section.name.split_once(':').unwrap_or((&section.name, ""));
            match kind {
                "supervisord" | "group" | "supervisorctl" | "ctlplugin" => {}
                "unix_http_server" => self.unix_server(section),
                "inet_http_server" => self.inet_server(section),
                "include" => self.rest(section, |entry| entry.key == "files", "supervisord does not know it either"),
                "program" => self.program(section, name.trim()),
                "eventlistener" => self.listener(section, name.trim()),
                "rpcinterface" if name == "supervisor" => self.rest(
                    section,
                    |entry| entry.value == "supervisor.rpcinterface:make_main_rpcinterface",
                    "only supervisord's own interface is there",
                ),
                "rpcinterface" => self.whole(section, "plug-ins written for supervisord can't run here"),
                "fcgi-program" => self.whole(
                    section,
                    "maitred does not hand FastCGI sockets to programs; let the program listen by itself",
                ),
                _ => self.whole(section, "supervisord does not know such a section either"),
            }
        }
        self.supervisorctl();
    }

    fn left(&mut self, section: &str, entry: &Entry, why: &str) {
        let key = format!("[{section}] {}", entry.key.escape_debug());
        self.taken.left.push(Problem { place: entry.place.clone(), key, message: why.to_owned() });
    }

    fn problem(&mut self, section: &Section, entry: &Entry, message: String) {
        let key = format!("[{}] {}", section.name.escape_debug(), entry.key.escape_debug());
        self.problems.push(Problem { place: entry.place.clone(), key, message });
    }

    fn section_problem(&mut self, section: &Section, message: String) {
        let key = format!("[{}]", section.name.escape_debug());
        self.problems.push(Problem { place: section.place.clone(), key, message });
    }

    /// Every line of the section is left.
    fn whole(&mut self, section: &Section, why: &str) {
        let key = format!("[{}]", section.name.escape_debug());
        self.taken.left.push(Problem { place: section.place.clone(), key, message: why.to_owned() });
        self.rest(section, |_| false, why);
    }

    /// The section's own lines are left, unless `is_taken`.
    fn rest(&mut self, section: &Section, is_taken: impl Fn(&Entry) -> bool, why: &str) {
        for entry in section.entries.iter().filter(|entry| !is_taken(entry)) {
            self.left(&section.name, entry, why);
        }
    }

    /// The value of `key` in the section or, if it has none, in `[DEFAULT]`.
    fn entry(&mut self, section: &Section, key: &str) -> Option<Entry> {
        let own = section.entries.iter().find(|entry| entry.key == key);
        own.cloned().or_else(|| {
            let default = self.found.ini.defaults.iter().find(|entry| entry.key == key).cloned();
            self.used_defaults.extend(default.iter().map(|entry| entry.key.clone()));
            default
        })
    }

    fn expanded(&mut self, section: &Section, entry: &Entry, meanings: &Meanings) -> Option<String> {
        match expand(&self.found.text(entry), meanings) {
            Ok(text) => Some(text),
            Err(message) => {
                self.problem(section, entry, message);
                None
            }
        }
    }

    /// An option that is expanded here, as a value.
    fn shared(&mut self, section: &Section, key: &str, form: Form, meanings: &Meanings) -> Option<Placed> {
        let entry = self.entry(section, key)?;
        let text = self.expanded(section, &entry, meanings)?;
        match value(form, &text, &entry.place) {
            Ok(value) => Some(Placed { place: entry.place, value }),
            Err(message) => {
                self.problem(section, &entry, message);
                None
            }
        }
    }

    fn supervisord(&mut self, section: &Section) {
        let meanings = self.meanings.clone();
        if let Some(entry) = self.entry(section, "directory")
            && let Some(text) = self.expanded(section, &entry, &meanings)
        {
            self.directory = Some(self.around.directory.join(self.home(&text)));
        }
        if let Some(entry) = self.entry(section, "environment") {
            let text = self.found.text(&entry);
            match variables(&text) {
                Ok(pairs) => {
                    let table = self.table(&pairs, &entry.place);
                    self.taken.supervisor.set("environment", Placed { place: entry.place.clone(), value: table });
                    for (name, value) in pairs {
                        if let Ok(text) = expand(&value, &meanings) {
                            self.meanings.text(&format!("ENV_{name}"), &text);
                        }
                    }
                }
                Err(message) => self.problem(section, &entry, message),
            }
        }
        self.user = self.shared(section, "user", Form::Text, &meanings);
        self.umask = self.shared(section, "umask", Form::Text, &meanings);
        for (from, is_server) in [("pidfile", true), ("childlogdir", false)] {
            if let Some(placed) = self.shared(section, from, Form::Text, &meanings) {
                let Placed { place, value: Value::Text(text) } = placed else { continue };
                let value = Value::Text(self.path(&text, "supervisord", from, &place, false));
                let table = if is_server { &mut self.taken.server } else { &mut self.taken.supervisor };
                table.set(from, Placed { place, value });
            }
        }
        for entry in &section.entries {
            let key = entry.key.as_str();
            let says = boolean(&entry.value);
            match LEFT.iter().find(|(name, _)| *name == key) {
                // As it is here in any case.
                Some(("silent" | "strip_ansi" | "nocleanup", _)) if says == Some(false) => {}
                Some((_, why)) => self.left("supervisord", entry, why),
                None if key == "nodaemon" && says != Some(true) => {
                    self.left(
                        "supervisord",
                        entry,
                        "maitred stays in the foreground; a service manager starts it best",
                    );
                }
                None if matches!(
                    key,
                    "nodaemon" | "directory" | "environment" | "user" | "umask" | "pidfile" | "childlogdir"
                ) => {}
                None => self.left("supervisord", entry, "supervisord does not know it either"),
            }
        }
    }

    fn group(&mut self, section: &Section) {
        let name = section.name.split_once(':').map_or("", |(_, name)| name).trim().to_owned();
        let meanings = self.meanings.clone();
        let mut table = Table::default();
        for (key, form) in [("programs", Form::Names), ("priority", Form::Integer)] {
            if let Some(placed) = self.shared(section, key, form, &meanings) {
                if let Value::List(programs) = &placed.value {
                    let names = programs.iter().filter_map(|program| match &program.value {
                        Value::Text(program) => Some((program.clone(), name.clone())),
                        _ => None,
                    });
                    self.groups.extend(names.collect::<Vec<_>>());
                }
                table.set(key, placed);
            }
        }
        let is_known = |entry: &Entry| matches!(entry.key.as_str(), "programs" | "priority");
        self.rest(section, is_known, "supervisord does not know it either");
        self.taken.groups.push(Named { name, place: section.place.clone(), table });
    }

    fn program(&mut self, section: &Section, name: &str) {
        let table = self.command(section, name, &[]);
        self.taken.programs.push(Named { name: name.to_owned(), place: section.place.clone(), table });
    }

    fn listener(&mut self, section: &Section, name: &str) {
        let mut table = self.command(section, name, LISTENER);
        let meanings = self.meanings.clone();
        for (key, form) in [("events", Form::Names), ("buffer_size", Form::Integer)] {
            if let Some(placed) = self.shared(section, key, form, &meanings) {
                table.set(key, placed);
            }
        }
        for entry in &section.entries {
            match entry.key.as_str() {
                "stdout_capture_maxbytes" | "stdout_events_enabled" => {
                    self.left(
                        &section.name,
                        entry,
                        "it has no effect on a listener's standard output, which is the protocol",
                    );
                }
                "result_handler" if entry.value != DEFAULT_RESULT_HANDLER => {
                    self.left(&section.name, entry, "a result is OK or a refusal, as by supervisord's own handler");
                }
                _ => {}
            }
        }
        self.taken.listeners.push(Named { name: name.to_owned(), place: section.place.clone(), table });
    }

    /// What programs and listeners have in common. `more`: options that are known beside these.
    fn command(&mut self, section: &Section, name: &str, more: &[&str]) -> Table {
        let mut meanings = self.meanings.clone();
        meanings.text("program_name", name);
        meanings.text("group_name", self.groups.get(name).map_or(name, String::as_str));
        let mut table = Table::default();
        for key in ["command", "process_name", "directory"] {
            if let Some(entry) = self.entry(section, key) {
                let mut text = self.found.text(&entry);
                if key == "directory" {
                    text = self.path(&text, &section.name, key, &entry.place, true);
                }
                table.set(key, Placed { place: entry.place, value: Value::Text(text) });
            }
        }
        if let (None, Some(directory)) = (self.entry(section, "directory"), &self.directory) {
            let text = directory.to_string_lossy().replace('%', "%%");
            table.set("directory", Placed { place: section.place.clone(), value: Value::Text(text) });
        }
        if let Some(entry) = self.entry(section, "environment") {
            match variables(&self.found.text(&entry)) {
                Ok(pairs) => {
                    let value = self.table(&pairs, &entry.place);
                    table.set("environment", Placed { place: entry.place, value });
                }
                Err(message) => self.problem(section, &entry, message),
            }
        }
        for (key, form) in SHARED.iter().filter(|(key, _)| !more.contains(key)) {
            if let Some(placed) = self.shared(section, key, *form, &meanings)
                && (*key != "serverurl" || !is_auto(&placed.value))
            {
                table.set(key, placed);
            }
        }
        for (key, default) in [("user", &self.user), ("umask", &self.umask)] {
            if let (false, Some(default)) = (table.holds(key), default) {
                table.set(key, default.clone());
            }
        }
        let is_redirected = matches!(table.value("redirect_stderr"), Some(Value::Bool(true)));
        self.logfile(section, "stdout", &mut table, false);
        self.logfile(section, "stderr", &mut table, is_redirected);
        let is_known = |entry: &Entry| {
            SHARED.iter().any(|(key, _)| *key == entry.key)
                || more.contains(&entry.key.as_str())
                || matches!(
                    entry.key.as_str(),
                    "command" | "process_name" | "directory" | "environment" | "stdout_logfile" | "stderr_logfile"
                )
        };
        self.rest(section, is_known, "supervisord does not know it either");
        table
    }

    /// A stream's file; supervisord's default is `AUTO`.
    fn logfile(&mut self, section: &Section, stream: &str, table: &mut Table, is_redirected: bool) {
        let key = format!("{stream}_logfile");
        let entry = self.entry(section, &key);
        let place = entry.as_ref().map_or_else(|| section.place.clone(), |entry| entry.place.clone());
        let text = entry.as_ref().map_or_else(|| "AUTO".to_owned(), |entry| self.found.text(entry));
        let (text, is_syslog) = match text.to_ascii_lowercase().as_str() {
            "auto" => ("AUTO".to_owned(), false),
            "none" | "off" => ("NONE".to_owned(), false),
            "syslog" => ("NONE".to_owned(), true),
            _ => (self.path(&text, &section.name, &key, &place, true), false),
        };
        if is_redirected {
            if let (Some(entry), false) = (entry, matches!(text.as_str(), "AUTO" | "NONE")) {
                self.left(&section.name, &entry, "with redirect_stderr there is nothing to write into it");
            }
            return;
        }
        if is_syslog {
            table.set(&format!("{stream}_syslog"), Placed { place: place.clone(), value: Value::Bool(true) });
        }
        table.set(&key, Placed { place, value: Value::Text(text) });
    }

    fn table(&self, pairs: &[(String, String)], place: &Place) -> Value {
        let mut table = Table::default();
        for (name, value) in pairs {
            table.set(name, Placed { place: place.clone(), value: Value::Text(value.clone()) });
        }
        Value::Table(table)
    }

    /// A path as it is written, started where supervisord would start it; `expands`: what it is will be expanded.
    fn path(&mut self, text: &str, section: &str, key: &str, place: &Place, expands: bool) -> String {
        let text = self.home(text);
        let is_open = text.starts_with('/') || text.starts_with("%(");
        let base = match (&self.directory, self.relative) {
            _ if is_open => return text,
            (Some(directory), _) => directory,
            (None, Relative::Working) => &self.around.directory,
            (None, Relative::Kept) => {
                let message = format!(
                    "\"{}\" started where supervisord was started; here it starts at the directory of maitred.toml",
                    text.escape_debug()
                );
                self.taken.left.push(Problem { place: place.clone(), key: format!("[{section}] {key}"), message });
                return text;
            }
        };
        let base = base.to_string_lossy().trim_end_matches('/').to_owned();
        format!("{}/{text}", if expands { base.replace('%', "%%") } else { base })
    }

    /// `~` at the beginning is the home directory.
    fn home(&self, text: &str) -> String {
        let rest = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match (rest, self.around.path("HOME")) {
            (Some(rest), Some(home)) => format!("{}{rest}", home.display()),
            _ => text.to_owned(),
        }
    }
}

/// `serverurl=AUTO` is the default.
fn is_auto(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.trim().eq_ignore_ascii_case("auto"))
}
