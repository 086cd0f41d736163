//! What `maitred ctl` writes: lines for people, as supervisorctl has them, or JSON.

use serde_json::{Map, Value as Json, json};

use super::processes::{name_of, number, text};
use super::tell;
use crate::base::clock;
use crate::control::Value;

/// Name, state and description of each, in columns.
pub(super) fn processes(infos: &[Value]) {
    let names: Vec<String> = infos.iter().map(name_of).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(30) + 3;
    for (info, name) in infos.iter().zip(&names) {
        tell(format_args!("{name:<width$}{:<10}{}", text(info, "statename"), text(info, "description")));
    }
}

/// How the site stands, in lines of a name and what there is to say.
pub(super) fn site(site: &Value) {
    let line = |name: &str, text: &str| tell(format_args!("{name:<12}{text}"));
    let state = match text(site, "statename") {
        "RUNNING" => String::new(),
        other => format!(", {}", other.to_lowercase()),
    };
    line("server", &format!("maitred {}, pid {}{state}", text(site, "version"), number(site, "pid")));
    let listen = match list(site, "listen") {
        addresses if addresses.is_empty() => String::new(),
        addresses => format!(", on {addresses}"),
    };
    line("project", &format!("{}{listen}", text(site, "origin")));
    let ready = text(site, "readiness");
    let closed = if site.member("maintenance").is_some_and(Value::is_true) { ", closed for maintenance" } else { "" };
    line("site", &format!("{ready}{closed}, {} connections", number(site, "connections")));
    if site.member("has_app").is_some_and(Value::is_true) {
        let missing = match text(site, "native_missing") {
            "" => String::new(),
            why => format!(" (not native: {why})"),
        };
        let django = match text(site, "django") {
            "" => String::new(),
            version => format!(", Django {version}"),
        };
        let app = match text(site, "app") {
            "" => "imported by each worker",
            app => app,
        };
        let chdir = text(site, "chdir");
        line("application", &format!("{app} in {chdir}, Python {}{django}", text(site, "python")));
        let overload = if site.member("overloaded").is_some_and(Value::is_true) { ", overloaded" } else { "" };
        let bounds = match (number(site, "workers_min"), number(site, "workers_max")) {
            (fewest, most) if fewest == most => String::new(),
            (fewest, most) => format!(" (from {fewest} to {most}, by load)"),
        };
        line(
            "workers",
            &format!(
                "{}{bounds} with {} threads each, {} loop{missing}, generation {}, {} busy, {} idle, {} queued, {} shed{overload}",
                number(site, "workers"),
                number(site, "threads"),
                text(site, "loop"),
                number(site, "generation"),
                number(site, "busy"),
                number(site, "idle"),
                number(site, "queued"),
                number(site, "shed"),
            ),
        );
    }
    let reason = text(site, "reload_failure");
    if !reason.is_empty() {
        let at = u64::try_from(number(site, "reload_failed_at")).unwrap_or(0);
        let ago = clock::wall_seconds().saturating_sub(at);
        // A traceback's last line says what happened.
        let last = reason.trim_end().lines().last().unwrap_or_default();
        line("reload", &format!("the last one failed {ago} s ago: {last}"));
    }
    tell("");
}

/// An array of strings as people read it.
pub(super) fn list(value: &Value, name: &str) -> String {
    match value.member(name) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_text).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

/// `status` as one value.
pub(super) fn json_status(site: Option<&Value>, infos: &[Value]) {
    let processes: Vec<Json> = infos.iter().map(json).collect();
    let value = match site {
        Some(site) => json!({ "site": json(site), "processes": processes }),
        None => json!({ "processes": processes }),
    };
    tell(value);
}

/// An object of strings on a line of its own.
pub(super) fn json_line(pairs: &[(&str, &str)]) {
    let object: Map<String, Json> = pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    tell(Json::Object(object));
}

/// A value as JSON.
pub(super) fn json(value: &Value) -> Json {
    match value {
        Value::Int(number) => json!(number),
        Value::Bool(flag) => json!(flag),
        Value::Text(text) => json!(text),
        Value::Double(number) => json!(number),
        Value::Nil => Json::Null,
        Value::Array(items) => Json::Array(items.iter().map(json).collect()),
        Value::Struct(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}
