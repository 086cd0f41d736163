//! Values in force by Gunicorn's names and with its types, for hooks, which find them in `cfg`.
//!
//! Pure: from the checked configuration to JSON. What has no type of its own here is the text that `--print-config` shows.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::settings::{self, Meaning};
use crate::config::address::Listen;
use crate::config::types::{AppConfig, AppTarget, Config};

/// Characters that a list may have all together; a longer one is told without entries. It has to fit a control message beside the rest.
const LIST_CHARACTERS_MAX: usize = 4096;

/// Every setting of Gunicorn's that is no hook. One that means nothing here is `null`.
pub fn values(config: &Config) -> Map<String, Value> {
    let named = settings::all().filter(|setting| !matches!(setting.meaning, Meaning::Hook(_)));
    let mut values: Map<String, Value> = named
        .map(|setting| {
            let shown = setting.shown.map(|show| show(config)).filter(|text| text != "None");
            (setting.name.to_owned(), shown.map_or(Value::Null, Value::String))
        })
        .collect();
    let mut set = |name: &str, value: Value| {
        values.insert(name.to_owned(), value);
    };
    let server = &config.server;
    set("bind", list(server.listen.iter().map(|listener| address(&listener.address))));
    set("backlog", server.backlog.into());
    set("worker_connections", server.max_connections.into());
    set("keepalive", seconds(server.keepalive_timeout));
    set("limit_request_line", server.head_limits.line_bytes.into());
    set("limit_request_fields", server.head_limits.fields.into());
    set("limit_request_field_size", server.head_limits.field_bytes.into());
    set("umask", server.umask.unwrap_or(0).into());
    let trust = &server.trusted_proxies;
    let networks = trust.networks.iter().map(ToString::to_string);
    set("forwarded_allow_ips", list(networks.chain(trust.unix.then(|| "unix:".to_owned()))));
    set("capture_output", true.into());
    set("daemon", server.daemon.into());
    set("proc_name", server.proc_name.as_deref().unwrap_or("maitred").into());
    set("default_proc_name", "maitred".into());
    set("reuse_port", false.into());
    set("is_ssl", server.listen.iter().any(|listener| listener.tls).into());
    if let Some(app) = &config.app {
        of_app(app, &mut set);
    }
    values
}

fn of_app(app: &AppConfig, set: &mut impl FnMut(&str, Value)) {
    if let AppTarget::Django { .. } = &app.wsgi {
        set("wsgi_app", Value::Null);
    }
    set("workers", app.workers.into());
    set("threads", app.threads.into());
    set("max_requests", app.max_requests.unwrap_or(0).into());
    set("max_requests_jitter", app.max_requests_jitter.into());
    set("timeout", app.timeout.map_or(json!(0), seconds));
    set("graceful_timeout", seconds(app.graceful_timeout));
    set("reload", app.reload.into());
    set("reload_extra_files", list(app.reload_extra_files.iter().map(|path| text(path))));
    set("preload_app", app.preload_app.into());
    let paths: Vec<_> = app.pythonpath.iter().map(|path| text(path)).collect();
    set("pythonpath", if paths.is_empty() { Value::Null } else { paths.join(",").into() });
    // Made of the environment, where their values are.
    set("raw_env", Value::Null);
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn address(address: &Listen) -> String {
    match address {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn list(items: impl Iterator<Item = String>) -> Value {
    let items: Vec<_> = items.collect();
    let characters: usize = items.iter().map(|item| item.chars().count()).sum();
    if characters > LIST_CHARACTERS_MAX { json!([]) } else { items.into() }
}

/// A whole number where it is one.
fn seconds(time: Duration) -> Value {
    match time.subsec_millis() {
        0 => time.as_secs().into(),
        _ => time.as_secs_f64().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded_and_times_are_whole_numbers_where_they_are() {
        assert_eq!(seconds(Duration::from_secs(30)), json!(30));
        assert_eq!(seconds(Duration::from_millis(500)), json!(0.5));
        assert_eq!(list(["a".to_owned(), "b".to_owned()].into_iter()), json!(["a", "b"]));
        assert_eq!(list(std::iter::once("a".repeat(LIST_CHARACTERS_MAX + 1))), json!([]));
    }
}
