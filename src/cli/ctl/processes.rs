//! Commands about processes: status, start, stop, signal, pid, clear.
//!
//! Owns which exit code follows from which fault: those of supervisorctl.

use super::client::Trouble;
use super::{GENERIC, NOT_RUNNING, STATUS_NOT_RUNNING, STATUS_UNKNOWN, Session, WRONG_ARGUMENTS};
use super::{project, show};
use crate::control::{Fault, FaultCode, Value};
use crate::supervise::programs::machine::State;

/// A name as it was given: its group, and its process unless the whole group is meant.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once(':') {
        Some((group, "" | "*")) => (group, None),
        Some((group, process)) => (group, Some(process)),
        None => (name, Some(name)),
    }
}

/// `group:process`, or the name alone where both are the same.
fn joined(group: &str, process: &str) -> String {
    if group == process { process.to_owned() } else { format!("{group}:{process}") }
}

/// A struct's string, empty if it is not there.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.member(name).and_then(Value::as_text).unwrap_or_default()
}

/// A struct's number, 0 if it is not there.
pub(super) fn number(value: &Value, name: &str) -> i32 {
    value.member(name).and_then(Value::as_int).unwrap_or_default()
}

/// An array's items.
pub(super) fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => vec![other],
    }
}

/// The full name of a process from a struct that tells of it.
pub(super) fn name_of(info: &Value) -> String {
    joined(text(info, "group"), text(info, "name"))
}

fn is(fault: &Fault, code: FaultCode) -> bool {
    fault.code == code as i32
}

/// The processes that names mean; of a name that means none, a line and the exit code of `status`.
pub(super) fn matching(session: &mut Session, names: &[String]) -> Result<Vec<Value>, Trouble> {
    let all = items(session.client.call("supervisor.getAllProcessInfo", Vec::new())?);
    if names.is_empty() || names.iter().any(|name| name == "all") {
        return Ok(all);
    }
    let mut found = Vec::new();
    for name in names {
        let (group, process) = split(name);
        let is_meant =
            |info: &&Value| text(info, "group") == group && process.is_none_or(|process| text(info, "name") == process);
        // A program's name alone means all of its processes, where none is called so.
        let is_group = |info: &&Value| process == Some(group) && text(info, "group") == group;
        let mut own: Vec<Value> = all.iter().filter(is_meant).cloned().collect();
        if own.is_empty() {
            own = all.iter().filter(is_group).cloned().collect();
        }
        if own.is_empty() {
            let what = if process.is_some() { "process" } else { "group" };
            session.say(format_args!("{name}: ERROR (no such {what})"));
            session.failed(STATUS_UNKNOWN);
        }
        found.extend(own);
    }
    Ok(found)
}

/// `status`.
pub(super) fn status(session: &mut Session, names: &[String]) -> Result<(), Trouble> {
    let site = match names.is_empty() {
        true => Some(session.client.call("maitred.getStatus", Vec::new())?),
        false => None,
    };
    if let Some(text) = site.as_ref().and_then(|site| project::mistaken(&session.client, site, session.file.as_deref()))
    {
        super::complain(format_args!("maitred: {text}"));
    }
    let infos = match matching(session, names) {
        // On the way to its end only the site is told of.
        Err(Trouble::Refused(fault)) if is(&fault, FaultCode::ShutdownState) && site.is_some() => Vec::new(),
        other => other?,
    };
    if session.json {
        show::json_status(site.as_ref(), &infos);
    } else {
        if let Some(site) = &site {
            show::site(site);
        }
        show::processes(&infos);
    }
    let stopped = [State::Stopped, State::Exited, State::Fatal, State::Unknown].map(|state| i32::from(state.code()));
    if infos.iter().any(|info| stopped.contains(&number(info, "state"))) {
        session.failed(STATUS_NOT_RUNNING);
    }
    Ok(())
}

/// A line about what was done to a process, and the exit code that follows.
fn report(session: &mut Session, name: &str, code: i32, description: &str, done: &str, ignored: Option<FaultCode>) {
    let known = |fault: FaultCode| code == fault as i32;
    let why = match () {
        _ if known(FaultCode::Success) => None,
        _ if known(FaultCode::BadName) => Some("no such process"),
        _ if known(FaultCode::BadSignal) => Some("bad signal name"),
        _ if known(FaultCode::NoFile) => Some("no such file"),
        _ if known(FaultCode::NotExecutable) => Some("file is not executable"),
        _ if known(FaultCode::AlreadyStarted) => Some("already started"),
        _ if known(FaultCode::NotRunning) => Some("not running"),
        _ if known(FaultCode::SpawnError) => Some("spawn error"),
        _ if known(FaultCode::AbnormalTermination) => Some("abnormal termination"),
        _ => Some(description),
    };
    match why {
        None => session.say(format_args!("{name}: {done}")),
        Some(why) => session.say(format_args!("{name}: ERROR ({why})")),
    }
    if session.json {
        show::json_line(&[("name", name), ("result", why.unwrap_or(done))]);
    }
    let is_ignored = known(FaultCode::Success) || ignored.is_some_and(known);
    let is_dead = [FaultCode::SpawnError, FaultCode::AbnormalTermination, FaultCode::NotRunning].into_iter().any(known);
    match () {
        _ if is_ignored => {}
        _ if is_dead => session.failed(NOT_RUNNING),
        _ => session.failed(GENERIC),
    }
}

/// What differs between commands that do one thing to processes.
struct Deed<'d> {
    /// Methods for one, for a group, and for all.
    methods: [&'d str; 3],
    /// Parameters behind the name.
    params: Vec<Value>,
    /// What is said of success.
    done: &'d str,
    /// A fault that is no failure.
    ignored: Option<FaultCode>,
    /// Exit code where there is no such group.
    no_group: u8,
}

fn perform(session: &mut Session, names: &[String], deed: &Deed<'_>) -> Result<(), Trouble> {
    if names.iter().any(|name| name == "all") {
        let results = session.client.call(deed.methods[2], deed.params.clone())?;
        tell_all(session, results, deed);
        return Ok(());
    }
    for name in names {
        let (group, process) = split(name);
        match process {
            Some(_) => {
                let params = [Value::text(name)].into_iter().chain(deed.params.iter().cloned()).collect();
                match session.client.call(deed.methods[0], params) {
                    // A program's name alone means all of its processes, where none is called so.
                    Err(Trouble::Refused(fault)) if is(&fault, FaultCode::BadName) && process == Some(group) => {
                        if !perform_group(session, group, deed)? {
                            report(session, name, fault.code, &fault.text, deed.done, deed.ignored);
                        }
                    }
                    Err(Trouble::Refused(fault)) => {
                        report(session, name, fault.code, &fault.text, deed.done, deed.ignored);
                    }
                    other => {
                        other?;
                        report(session, name, FaultCode::Success as i32, "", deed.done, deed.ignored);
                    }
                }
            }
            None => {
                if !perform_group(session, group, deed)? {
                    session.say(format_args!("{group}: ERROR (no such group)"));
                    session.failed(deed.no_group);
                }
            }
        }
    }
    Ok(())
}

/// Whether there is such a group.
fn perform_group(session: &mut Session, group: &str, deed: &Deed<'_>) -> Result<bool, Trouble> {
    let params = [Value::text(group)].into_iter().chain(deed.params.iter().cloned()).collect();
    match session.client.call(deed.methods[1], params) {
        Err(Trouble::Refused(fault)) if is(&fault, FaultCode::BadName) => Ok(false),
        results => {
            tell_all(session, results?, deed);
            Ok(true)
        }
    }
}

fn tell_all(session: &mut Session, results: Value, deed: &Deed<'_>) {
    for result in items(results) {
        let description = text(&result, "description");
        report(session, &name_of(&result), number(&result, "status"), description, deed.done, deed.ignored);
    }
}

/// `start`.
pub(super) fn start(session: &mut Session, names: &[String]) -> Result<(), Trouble> {
    let methods = ["supervisor.startProcess", "supervisor.startProcessGroup", "supervisor.startAllProcesses"];
    let ignored = Some(FaultCode::AlreadyStarted);
    let deed = Deed { methods, params: Vec::new(), done: "started", ignored, no_group: WRONG_ARGUMENTS };
    perform(session, names, &deed)
}

/// `stop`.
pub(super) fn stop(session: &mut Session, names: &[String]) -> Result<(), Trouble> {
    let methods = ["supervisor.stopProcess", "supervisor.stopProcessGroup", "supervisor.stopAllProcesses"];
    let ignored = Some(FaultCode::NotRunning);
    let deed = Deed { methods, params: Vec::new(), done: "stopped", ignored, no_group: GENERIC };
    perform(session, names, &deed)
}

/// `signal`.
pub(super) fn signal(session: &mut Session, signal: &str, names: &[String]) -> Result<(), Trouble> {
    let methods = ["supervisor.signalProcess", "supervisor.signalProcessGroup", "supervisor.signalAllProcesses"];
    let params = vec![Value::text(signal)];
    let deed = Deed { methods, params, done: "signalled", ignored: None, no_group: GENERIC };
    perform(session, names, &deed)
}

/// `clear`.
pub(super) fn clear(session: &mut Session, names: &[String]) -> Result<(), Trouble> {
    if names.iter().any(|name| name == "all") {
        for result in items(session.client.call("supervisor.clearAllProcessLogs", Vec::new())?) {
            let description = text(&result, "description");
            report(session, &name_of(&result), number(&result, "status"), description, "cleared", None);
        }
        return Ok(());
    }
    for name in names {
        match session.client.call("supervisor.clearProcessLogs", vec![Value::text(name)]) {
            Err(Trouble::Refused(fault)) => report(session, name, fault.code, &fault.text, "cleared", None),
            other => {
                other?;
                report(session, name, FaultCode::Success as i32, "", "cleared", None);
            }
        }
    }
    Ok(())
}

/// `pid`.
pub(super) fn pid(session: &mut Session, names: &[String]) -> Result<(), Trouble> {
    if names.is_empty() {
        let pid = session.client.call("supervisor.getPID", Vec::new())?;
        super::tell(pid.as_int().unwrap_or_default());
        return Ok(());
    }
    if names.iter().any(|name| name == "all") {
        for info in items(session.client.call("supervisor.getAllProcessInfo", Vec::new())?) {
            super::tell(number(&info, "pid"));
        }
        return Ok(());
    }
    for name in names {
        match session.client.call("supervisor.getProcessInfo", vec![Value::text(name)]) {
            Err(Trouble::Refused(fault)) if is(&fault, FaultCode::BadName) => {
                super::tell(format_args!("No such process {name}"));
                session.failed(GENERIC);
            }
            info => {
                let pid = number(&info?, "pid");
                super::tell(pid);
                if pid == 0 {
                    session.failed(NOT_RUNNING);
                }
            }
        }
    }
    Ok(())
}
