//! Commands about the configuration of programs: avail, reread, update, add, remove.

use super::client::Trouble;
use super::processes::{items, name_of, number, text};
use super::show;
use super::{GENERIC, Session};
use crate::control::{FaultCode, Value};

/// `avail`.
pub(super) fn avail(session: &mut Session) -> Result<(), Trouble> {
    let infos = items(session.client.call("supervisor.getAllConfigInfo", Vec::new())?);
    if session.json {
        super::tell(show::json(&Value::Array(infos)));
        return Ok(());
    }
    let is = |info: &Value, name: &str| info.member(name).is_some_and(Value::is_true);
    for info in &infos {
        let in_use = if is(info, "inuse") { "in use" } else { "avail" };
        let start = if is(info, "autostart") { "auto" } else { "manual" };
        let (group, process) = (number(info, "group_prio"), number(info, "process_prio"));
        session.say(format_args!("{:<32} {in_use:<9} {start:<9} {group}:{process}", name_of(info)));
    }
    Ok(())
}

/// Names of groups that were added, have changed, were removed.
fn differences(session: &Session) -> Result<[Vec<String>; 3], Trouble> {
    let result = session.client.call("supervisor.reloadConfig", Vec::new())?;
    let mut lists = items(result)
        .into_iter()
        .flat_map(items)
        .map(|list| items(list).iter().filter_map(Value::as_text).map(str::to_owned).collect::<Vec<_>>());
    let mut next = || lists.next().unwrap_or_default();
    Ok([next(), next(), next()])
}

/// `reread`.
pub(super) fn reread(session: &mut Session) -> Result<(), Trouble> {
    let [added, changed, removed] = differences(session)?;
    if session.json {
        super::tell(serde_json::json!({ "added": added, "changed": changed, "removed": removed }));
        return Ok(());
    }
    let told = |names: Vec<String>, what: &'static str| names.into_iter().map(move |name| (name, what));
    let mut lines: Vec<(String, &str)> =
        told(added, "available").chain(told(changed, "changed")).chain(told(removed, "disappeared")).collect();
    lines.sort();
    if lines.is_empty() {
        session.say("No config updates to processes");
    }
    for (name, what) in lines {
        session.say(format_args!("{name}: {what}"));
    }
    Ok(())
}

/// `update`.
pub(super) fn update(session: &mut Session, groups: &[String]) -> Result<(), Trouble> {
    let [added, changed, removed] = differences(session)?;
    let meant: &[String] = if groups.iter().any(|group| group == "all") { &[] } else { groups };
    if !meant.is_empty() {
        let infos = items(session.client.call("supervisor.getAllProcessInfo", Vec::new())?);
        for group in meant {
            if !added.contains(group) && !infos.iter().any(|info| text(info, "group") == group) {
                session.say(format_args!("ERROR: no such group: {group}"));
                session.failed(GENERIC);
            }
        }
    }
    let is_meant = |group: &&String| meant.is_empty() || meant.contains(group);
    let call = |session: &Session, method: &str, group: &str| session.client.call(method, vec![Value::text(group)]);
    for group in removed.iter().filter(is_meant) {
        let results = items(call(session, "supervisor.stopProcessGroup", group)?);
        told(session, group, "stopped");
        if results.iter().any(|result| number(result, "status") == FaultCode::Failed as i32) {
            told(session, group, "has problems; not removing");
            session.failed(GENERIC);
            continue;
        }
        call(session, "supervisor.removeProcessGroup", group)?;
        told(session, group, "removed process group");
    }
    for group in changed.iter().filter(is_meant) {
        call(session, "supervisor.stopProcessGroup", group)?;
        told(session, group, "stopped");
        call(session, "supervisor.removeProcessGroup", group)?;
        call(session, "supervisor.addProcessGroup", group)?;
        told(session, group, "updated process group");
    }
    for group in added.iter().filter(is_meant) {
        call(session, "supervisor.addProcessGroup", group)?;
        told(session, group, "added process group");
    }
    Ok(())
}

fn told(session: &Session, name: &str, what: &str) {
    if session.json {
        show::json_line(&[("name", name), ("result", what)]);
    } else {
        session.say(format_args!("{name}: {what}"));
    }
}

/// `add`.
pub(super) fn add(session: &mut Session, groups: &[String]) -> Result<(), Trouble> {
    for group in groups {
        match session.client.call("supervisor.addProcessGroup", vec![Value::text(group)]) {
            Err(Trouble::Refused(fault)) if fault.code == FaultCode::AlreadyAdded as i32 => {
                session.say("ERROR: process group already active");
            }
            Err(Trouble::Refused(fault)) if fault.code == FaultCode::BadName as i32 => {
                session.say(format_args!("ERROR: no such process/group: {group}"));
                session.failed(GENERIC);
            }
            other => {
                other?;
                told(session, group, "added process group");
            }
        }
    }
    Ok(())
}

/// `remove`.
pub(super) fn remove(session: &mut Session, groups: &[String]) -> Result<(), Trouble> {
    for group in groups {
        match session.client.call("supervisor.removeProcessGroup", vec![Value::text(group)]) {
            Err(Trouble::Refused(fault)) if fault.code == FaultCode::StillRunning as i32 => {
                session.say(format_args!("ERROR: process/group still running: {group}"));
                session.failed(GENERIC);
            }
            Err(Trouble::Refused(fault)) if fault.code == FaultCode::BadName as i32 => {
                session.say(format_args!("ERROR: no such process/group: {group}"));
                session.failed(GENERIC);
            }
            other => {
                other?;
                told(session, group, "removed process group");
            }
        }
    }
    Ok(())
}
