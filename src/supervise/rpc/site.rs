//! The namespace `maitred`: what `maitred ctl` asks beyond supervisord's interface.
//!
//! Owns the form of these answers.

use super::call::{Context, Params, wrong};
use super::info::members;
use super::processes::Outcome;
use crate::base::bounds::PROCESSES_MAX;
use crate::control::{Fault, FaultCode, Value};
use crate::supervise::admin::snapshots;

/// Does a method of these.
pub(super) async fn answer(context: &Context<'_>, method: &str, params: &Params) -> Result<Value, Fault> {
    let desk = context.desk;
    match method {
        "getStatus" => Ok(status(context).await),
        "reload" => {
            let begun = desk.ask(|supervisor| supervisor.begin_reload()).await?;
            reloaded(context, begun).await
        }
        "setMaintenance" => {
            let closed = params.flag(0);
            desk.ask(move |supervisor| supervisor.set_maintenance(closed)).await.map(|()| Value::Bool(true))
        }
        "scale" => {
            let name = params.text(0)?;
            let count = u32::try_from(params.int(1)?).ok().filter(|count| u64::from(*count) <= PROCESSES_MAX);
            let count = count.ok_or_else(wrong)?;
            match desk.ask(move |supervisor| supervisor.scale(&name, count)).await? {
                Some(begun) => reloaded(context, begun).await,
                None => Ok(Value::Bool(true)),
            }
        }
        _ => Err(Fault::of(FaultCode::UnknownMethod, None)),
    }
}

/// Waits for a new generation of workers.
async fn reloaded(context: &Context<'_>, begun: crate::supervise::run::Reloading) -> Result<Value, Fault> {
    loop {
        let seen = context.desk.seen();
        match context.desk.ask(move |supervisor| supervisor.reload_outcome(begun)).await {
            Outcome::Done => return Ok(Value::Bool(true)),
            Outcome::Failed(fault) => return Err(fault),
            Outcome::Pending => context.desk.changed(seen).await,
        }
    }
}

async fn status(context: &Context<'_>) -> Value {
    let view = context.desk.ask(|supervisor| supervisor.site_view()).await;
    let snapshots = snapshots(context.ring, context.shards).await;
    let queued: u64 = snapshots.iter().map(|snapshot| snapshot.queued).sum();
    let shed: u64 = snapshots.iter().map(|snapshot| snapshot.shed.in_all()).sum();
    let connections: u64 = snapshots.iter().map(|snapshot| snapshot.connections_idle + snapshot.connections_busy).sum();
    let number = |number: u64| Value::int(i64::try_from(number).unwrap_or(i64::MAX));
    let (fewest, most) = view.workers_bounds.unwrap_or((view.workers, view.workers));
    let (failed_at, reason) = view.failure.unwrap_or_default();
    members([
        ("version", Value::text(env!("CARGO_PKG_VERSION"))),
        ("pid", number(u64::from(std::process::id()))),
        ("statename", Value::text(view.mood.told().1)),
        ("readiness", Value::text(view.readiness.text())),
        ("has_app", Value::Bool(view.facts.has_app)),
        ("generation", number(u64::from(view.generation))),
        ("workers", number(view.workers as u64)),
        ("workers_min", number(fewest as u64)),
        ("workers_max", number(most as u64)),
        ("threads", number(view.threads as u64)),
        ("busy", number(view.facts.busy)),
        ("idle", number(view.facts.idle)),
        ("queued", number(queued)),
        ("shed", number(shed)),
        ("overloaded", Value::Bool(snapshots.iter().any(|snapshot| snapshot.is_overloaded))),
        ("connections", number(connections)),
        ("shards", number(context.shards.len() as u64)),
        ("shards_answering", number(snapshots.len() as u64)),
        ("app", Value::Text(view.app)),
        ("python", Value::Text(view.python)),
        ("django", Value::Text(view.django)),
        ("loop", Value::Text(view.worker_loop)),
        ("native_missing", Value::Text(view.native_missing)),
        ("reload_failed_at", number(failed_at)),
        ("reload_failure", Value::Text(reason)),
        ("maintenance", Value::Bool(view.is_closed)),
        ("origin", Value::Text(view.origin)),
        ("chdir", Value::Text(view.chdir)),
        ("listen", Value::Array(view.listen.into_iter().map(Value::Text).collect())),
    ])
}
