//! Commands about the server as a whole: reload, scale, maintenance, shutdown, version.

use super::client::Trouble;
use super::processes::text;
use super::show;
use super::{Maintenance, Reloaded, STATUS_NOT_RUNNING, Session};
use crate::control::Value;

/// `reload`.
pub(super) fn reload(session: &mut Session, what: Reloaded) -> Result<(), Trouble> {
    match what {
        Reloaded::App => {
            session.client.call("maitred.reload", Vec::new())?;
            done(session, "reloaded");
        }
        Reloaded::Server => {
            session.client.call("supervisor.restart", Vec::new())?;
            done(session, "starting anew");
        }
    }
    Ok(())
}

/// `scale`.
pub(super) fn scale(session: &mut Session, name: &str, count: u32) -> Result<(), Trouble> {
    session.client.call("maitred.scale", vec![Value::text(name), Value::int(i64::from(count))])?;
    done(session, &format!("{name}: scaled to {count}"));
    Ok(())
}

/// `maintenance`.
pub(super) fn maintenance(session: &mut Session, what: Maintenance) -> Result<(), Trouble> {
    if what != Maintenance::Status {
        session.client.call("maitred.setMaintenance", vec![Value::Bool(what == Maintenance::On)])?;
    }
    let site = session.client.call("maitred.getStatus", Vec::new())?;
    let is_closed = site.member("maintenance").is_some_and(Value::is_true);
    if session.json {
        show::json_line(&[("maintenance", if is_closed { "on" } else { "off" })]);
    } else {
        session.say(if is_closed { "maintenance is on: the site is closed" } else { "maintenance is off" });
    }
    if what == Maintenance::Status && is_closed {
        session.failed(STATUS_NOT_RUNNING);
    }
    Ok(())
}

/// `shutdown`.
pub(super) fn shutdown(session: &mut Session) -> Result<(), Trouble> {
    session.client.call("supervisor.shutdown", Vec::new())?;
    done(session, "Shut down");
    Ok(())
}

/// `version`.
pub(super) fn version(session: &mut Session) -> Result<(), Trouble> {
    let site = session.client.call("maitred.getStatus", Vec::new())?;
    if session.json {
        show::json_line(&[("version", text(&site, "version"))]);
    } else {
        session.say(text(&site, "version"));
    }
    Ok(())
}

fn done(session: &Session, line: &str) {
    if session.json {
        show::json_line(&[("result", line)]);
    } else {
        session.say(line);
    }
}
