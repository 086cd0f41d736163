//! Methods that start, stop, signal and show processes.
//!
//! Owns how results of several are put together: in supervisord's order, what is done at once first, the rest as it gets done.

use super::call::{Params, wrong};
use super::desk::Desk;
use super::info::{members, process_info};
use super::view::{Unit, View, split_name};
use crate::base::clock;
use crate::control::{Fault, FaultCode, Value};
use crate::supervise::run::Supervisor;

/// What is done to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervise) enum Deed {
    Start,
    Stop,
}

/// What came of it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervise) enum Outcome {
    Done,
    /// It takes time.
    Pending,
    Failed(Fault),
}

/// Whom a name means.
pub(in crate::supervise) enum Named {
    One(View),
    /// In supervisord's order.
    Group(Vec<View>),
}

/// Does a method of these.
pub(super) async fn answer(desk: &Desk, method: &str, params: &Params) -> Result<Value, Fault> {
    match method {
        "getProcessInfo" => {
            let name = params.text(0)?;
            match find(desk, &name).await? {
                Named::One(view) => Ok(process_info(&view, clock::wall_seconds())),
                Named::Group(_) => Err(Fault::of(FaultCode::BadName, Some(&name))),
            }
        }
        "getAllProcessInfo" => {
            let mut views = desk.ask(|supervisor| supervisor.views()).await;
            views.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
            let now = clock::wall_seconds();
            Ok(Value::Array(views.iter().map(|view| process_info(view, now)).collect()))
        }
        "startProcess" => one(desk, Deed::Start, params.text(0)?, params.flag(1)).await,
        "stopProcess" => one(desk, Deed::Stop, params.text(0)?, params.flag(1)).await,
        "startProcessGroup" => group(desk, Deed::Start, params.text(0)?, params.flag(1)).await,
        "stopProcessGroup" => group(desk, Deed::Stop, params.text(0)?, params.flag(1)).await,
        "startAllProcesses" => all(desk, Deed::Start, params.flag(0)).await,
        "stopAllProcesses" => all(desk, Deed::Stop, params.flag(0)).await,
        "signalProcess" => {
            let (name, signal) = (params.text(0)?, signal_text(params, 1)?);
            let view = match find(desk, &name).await? {
                Named::Group(views) => return signal_many(desk, views, signal).await,
                Named::One(view) => view,
            };
            desk.ask(move |supervisor| supervisor.signal_unit(view.unit, &name, &signal)).await?;
            Ok(Value::Bool(true))
        }
        "signalProcessGroup" => {
            let (name, signal) = (params.text(0)?, signal_text(params, 1)?);
            let views = members_of(desk, &name).await?;
            signal_many(desk, views, signal).await
        }
        "signalAllProcesses" => {
            let signal = signal_text(params, 0)?;
            let views = desk.ask(|supervisor| supervisor.views()).await;
            signal_many(desk, views, signal).await
        }
        "sendProcessStdin" => {
            let (name, text) = (params.text(0)?, stdin_text(params)?);
            match find(desk, &name).await? {
                Named::Group(_) => Err(Fault::of(FaultCode::BadName, Some(&name))),
                Named::One(view) => desk
                    .ask(move |supervisor| supervisor.write_input(view.unit, &name, &text))
                    .await
                    .map(|()| Value::Bool(true)),
            }
        }
        _ => Err(Fault::of(FaultCode::UnknownMethod, None)),
    }
}

/// A signal's name or number as text.
fn signal_text(params: &Params, index: usize) -> Result<String, Fault> {
    params.text(index).or_else(|_| params.int(index).map(|number| number.to_string())).map_err(|_| wrong())
}

/// What is to be written; what is no text is named.
fn stdin_text(params: &Params) -> Result<String, Fault> {
    params.text(1).map_err(|fault| match params.int(1) {
        Ok(number) => Fault::of(FaultCode::IncorrectParameters, Some(&number.to_string())),
        Err(_) => fault,
    })
}

/// Whom `name` means.
pub(super) async fn find(desk: &Desk, name: &str) -> Result<Named, Fault> {
    let name = name.to_owned();
    desk.ask(move |supervisor| supervisor.find(&name)).await
}

async fn members_of(desk: &Desk, group: &str) -> Result<Vec<View>, Fault> {
    let group = group.to_owned();
    desk.ask(move |supervisor| supervisor.group(&group)).await
}

async fn one(desk: &Desk, deed: Deed, name: String, waits: bool) -> Result<Value, Fault> {
    let unit = match find(desk, &name).await? {
        Named::Group(_) => {
            let (group_name, _) = split_name(&name);
            return group(desk, deed, group_name.to_owned(), waits).await;
        }
        Named::One(view) => view.unit,
    };
    let told = name.clone();
    let mut outcome = desk.ask(move |supervisor| supervisor.begin(deed, unit, &told)).await;
    while waits && outcome == Outcome::Pending {
        let seen = desk.seen();
        let told = name.clone();
        outcome = desk.ask(move |supervisor| supervisor.outcome(deed, unit, &told)).await;
        if outcome == Outcome::Pending {
            desk.changed(seen).await;
        }
    }
    match outcome {
        Outcome::Failed(fault) => Err(fault),
        Outcome::Done | Outcome::Pending => Ok(Value::Bool(true)),
    }
}

async fn group(desk: &Desk, deed: Deed, name: String, waits: bool) -> Result<Value, Fault> {
    let views = members_of(desk, &name).await?;
    many(desk, deed, views, waits).await
}

async fn all(desk: &Desk, deed: Deed, waits: bool) -> Result<Value, Fault> {
    let views = desk.ask(|supervisor| supervisor.views()).await;
    many(desk, deed, views, waits).await
}

/// Does it to all of those that are not so already.
async fn many(desk: &Desk, deed: Deed, views: Vec<View>, waits: bool) -> Result<Value, Fault> {
    let begin = move |supervisor: &mut Supervisor| -> Vec<(View, Outcome)> {
        let concerned = views.into_iter().filter(|view| match deed {
            Deed::Start => !view.state.is_up(),
            Deed::Stop => view.is_stoppable,
        });
        concerned
            .map(|view| {
                let outcome = supervisor.begin(deed, view.unit, &view.full_name());
                (view, outcome)
            })
            .collect()
    };
    let mut waiting: Vec<(View, Outcome)> = desk.ask(begin).await;
    let mut results = Vec::new();
    loop {
        waiting.retain(|(view, outcome)| match outcome {
            Outcome::Pending if waits => true,
            Outcome::Pending | Outcome::Done => {
                results.push(told(view, FaultCode::Success as i32, "OK"));
                false
            }
            Outcome::Failed(fault) => {
                results.push(told(view, fault.code, &fault.text));
                false
            }
        });
        if waiting.is_empty() {
            return Ok(Value::Array(results));
        }
        let seen = desk.seen();
        let units: Vec<(Unit, String)> = waiting.iter().map(|(view, _)| (view.unit, view.full_name())).collect();
        let look = move |supervisor: &mut Supervisor| -> Vec<Outcome> {
            units.iter().map(|(unit, name)| supervisor.outcome(deed, *unit, name)).collect()
        };
        let outcomes = desk.ask(look).await;
        let has_news = outcomes.iter().any(|outcome| *outcome != Outcome::Pending);
        waiting.iter_mut().zip(outcomes).for_each(|((_, known), outcome)| *known = outcome);
        if !has_news {
            desk.changed(seen).await;
        }
    }
}

async fn signal_many(desk: &Desk, views: Vec<View>, signal: String) -> Result<Value, Fault> {
    let work = move |supervisor: &mut Supervisor| {
        let concerned = views.iter().filter(|view| view.state.is_signallable());
        let results = concerned.map(|view| match supervisor.signal_unit(view.unit, &view.full_name(), &signal) {
            Ok(()) => told(view, FaultCode::Success as i32, "OK"),
            Err(fault) => told(view, fault.code, &fault.text),
        });
        Value::Array(results.collect())
    };
    Ok(desk.ask(work).await)
}

/// What a call on several processes says of one of them.
pub(super) fn told(view: &View, status: i32, description: &str) -> Value {
    members([
        ("name", Value::text(&view.name)),
        ("group", Value::text(&view.group)),
        ("status", Value::Int(status)),
        ("description", Value::text(description)),
    ])
}
