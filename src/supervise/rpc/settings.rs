//! Methods about the configuration: reading it anew, what it says, and taking groups over from it one by one.

use super::call::Params;
use super::desk::Desk;
use super::info::members;
use crate::config::{GroupConfig, OutputConfig, OutputTarget, ProcessConfig};
use crate::control::{Fault, FaultCode, Value};

/// What a configuration that was just read differs in from what is looked after; names of groups.
pub(in crate::supervise) struct Difference {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

/// What `next` differs in from `active`.
pub(in crate::supervise) fn difference(active: &[GroupConfig], next: &[GroupConfig]) -> Difference {
    let names = |groups: &[GroupConfig], is_meant: &dyn Fn(&GroupConfig) -> bool| -> Vec<String> {
        groups.iter().filter(|group| is_meant(group)).map(|group| group.name.clone()).collect()
    };
    let known = |groups: &[GroupConfig], name: &str| groups.iter().any(|group| group.name == name);
    Difference {
        added: names(next, &|group| !known(active, &group.name)),
        changed: names(next, &|group| known(active, &group.name) && !active.contains(group)),
        removed: names(active, &|group| !known(next, &group.name)),
    }
}

/// Does a method of these.
pub(super) async fn answer(desk: &Desk, method: &str, params: &Params) -> Result<Value, Fault> {
    match method {
        "reloadConfig" => {
            let found = desk.ask(|supervisor| supervisor.reread()).await?;
            let names = |names: Vec<String>| Value::Array(names.into_iter().map(Value::Text).collect());
            Ok(Value::Array(vec![Value::Array(vec![names(found.added), names(found.changed), names(found.removed)])]))
        }
        "addProcessGroup" => {
            let name = params.text(0)?;
            desk.ask(move |supervisor| supervisor.add_group(&name)).await.map(|()| Value::Bool(true))
        }
        "removeProcessGroup" => {
            let name = params.text(0)?;
            desk.ask(move |supervisor| supervisor.remove_group(&name)).await.map(|()| Value::Bool(true))
        }
        "getAllConfigInfo" => {
            let mut processes = desk.ask(|supervisor| supervisor.configured()).await;
            processes.sort_by(|(a, ..), (b, ..)| a.name.cmp(&b.name));
            let infos = processes.iter().map(|(process, priority, is_in_use)| info(process, *priority, *is_in_use));
            Ok(Value::Array(infos.collect()))
        }
        _ => Err(Fault::of(FaultCode::UnknownMethod, None)),
    }
}

/// The struct that `getAllConfigInfo` has for a process.
fn info(process: &ProcessConfig, group_priority: i32, is_in_use: bool) -> Value {
    let none = || Value::text("none");
    let (launch, care) = (&process.launch, &process.care);
    let seconds = |duration: std::time::Duration| Value::int(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX));
    let bytes = |number: u64| Value::int(i64::try_from(number).unwrap_or(i64::MAX));
    let file = |output: &OutputConfig| match &output.target {
        OutputTarget::File(path) => Value::text(path.to_string_lossy()),
        OutputTarget::Automatic(_) => Value::text("auto"),
        OutputTarget::Log | OutputTarget::Nothing => none(),
    };
    let directory = launch.directory.as_ref().map_or_else(none, |path| Value::text(path.to_string_lossy()));
    members([
        ("autostart", Value::Bool(care.autostart)),
        ("directory", directory),
        ("uid", launch.user.as_ref().map_or_else(none, |user| Value::int(i64::from(user.uid)))),
        ("command", Value::text(command_line(&launch.command))),
        ("exitcodes", Value::Array(care.exitcodes.iter().map(|code| Value::Int(*code)).collect())),
        ("group", Value::text(&process.group)),
        ("group_prio", Value::Int(group_priority)),
        ("inuse", Value::Bool(is_in_use)),
        // What is killed is killed with all that it started.
        ("killasgroup", Value::Bool(true)),
        ("name", Value::text(&process.name)),
        ("process_prio", Value::Int(care.priority)),
        ("redirect_stderr", Value::Bool(launch.redirect_stderr)),
        ("startretries", Value::int(i64::from(care.startretries))),
        ("startsecs", seconds(care.startsecs)),
        ("stdout_capture_maxbytes", bytes(process.stdout.capture_max_bytes)),
        ("stdout_events_enabled", Value::Bool(process.stdout.has_events)),
        ("stdout_logfile", file(&process.stdout)),
        ("stdout_logfile_backups", Value::int(i64::from(process.stdout.rotation.backups))),
        ("stdout_logfile_maxbytes", bytes(process.stdout.rotation.max_bytes)),
        ("stdout_syslog", Value::Bool(process.stdout.syslog.is_some())),
        ("stopsignal", Value::Int(care.stopsignal)),
        ("stopwaitsecs", seconds(care.stopwaitsecs)),
        ("stderr_capture_maxbytes", bytes(process.stderr.capture_max_bytes)),
        ("stderr_events_enabled", Value::Bool(process.stderr.has_events)),
        ("stderr_logfile", file(&process.stderr)),
        ("stderr_logfile_backups", Value::int(i64::from(process.stderr.rotation.backups))),
        ("stderr_logfile_maxbytes", bytes(process.stderr.rotation.max_bytes)),
        ("stderr_syslog", Value::Bool(process.stderr.syslog.is_some())),
        ("serverurl", launch.server_url.as_ref().map_or_else(none, Value::text)),
    ])
}

/// The words as a shell would take them.
fn command_line(words: &[String]) -> String {
    let is_plain = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
        !word.is_empty() && word.chars().all(plain)
    };
    let quoted = words.iter().map(|word| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_split_again() {
        let words = ["sh", "-c", "echo 'a b'", ""].map(str::to_owned);
        assert_eq!(command_line(&words), r"sh -c 'echo '\''a b'\''' ''");
        assert_eq!(command_line(&["celery".to_owned(), "--pool=solo".to_owned()]), "celery --pool=solo");
    }
}
