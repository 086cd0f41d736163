//! From a call to its answer: which method, with which parameters.
//!
//! Owns the checks that all methods share. What concerns processes, logs and settings is in modules of their own.

use super::desk::Desk;
use super::info::members;
use super::methods::{self, METHODS};
use super::{files, processes, settings, site, system};
use crate::base::mail::Sender;
use crate::control::{Call, Fault, FaultCode, Value};
use crate::mail::ShardMail;
use crate::ring::Ring;
use crate::supervise::main_log::MainLog;

/// The version of supervisord's interface.
const API_VERSION: &str = "3.0";
/// The version of Supervisor whose interface this is.
const SUPERVISOR_VERSION: &str = "4.3.0";
/// What the server calls itself.
pub(in crate::supervise) const IDENTIFICATION: &str = "maitred";

/// What methods work with.
pub(super) struct Context<'c> {
    pub ring: &'c Ring,
    pub desk: &'c Desk,
    pub main_log: &'c MainLog,
    pub shards: &'c [Sender<ShardMail>],
}

/// A call's parameters.
pub(super) struct Params(Vec<Value>);

impl Params {
    /// A string.
    pub fn text(&self, index: usize) -> Result<String, Fault> {
        self.0.get(index).and_then(Value::as_text).map(str::to_owned).ok_or_else(wrong)
    }

    /// A number, also one that is written as a string, as Python's int() reads it.
    pub fn int(&self, index: usize) -> Result<i64, Fault> {
        match self.0.get(index).ok_or_else(wrong)? {
            Value::Text(text) => text.trim().parse().map_err(|_| wrong()),
            Value::Double(number) => Ok(*number as i64),
            other => other.as_int().map(i64::from).ok_or_else(wrong),
        }
    }

    /// A boolean, true if it is not given.
    pub fn flag(&self, index: usize) -> bool {
        self.0.get(index).is_none_or(Value::is_true)
    }

    /// Whatever it is.
    pub fn value(&self, index: usize) -> Option<&Value> {
        self.0.get(index)
    }
}

/// The fault of a parameter that is missing, or of another type.
pub(super) fn wrong() -> Fault {
    Fault::of(FaultCode::IncorrectParameters, None)
}

/// Does what a call says.
pub(super) async fn answer(context: &Context<'_>, call: Call) -> Result<Value, Fault> {
    if call.method == "system.multicall" {
        let params = checked(&call.method, call.params)?;
        return system::multicall(context, &params).await;
    }
    single(context, call).await
}

/// Does what a call says that is not several.
pub(super) async fn single(context: &Context<'_>, call: Call) -> Result<Value, Fault> {
    let params = checked(&call.method, call.params)?;
    let Some((namespace, method)) = call.method.split_once('.') else { unreachable!("it is in the table") };
    match namespace {
        "system" => system::answer(method, &params),
        "maitred" => site::answer(context, method, &params).await,
        "supervisor" => supervisor(context, method, &params).await,
        _ => Err(Fault::of(FaultCode::UnknownMethod, None)),
    }
}

/// The parameters, if there is such a method and it takes so many.
fn checked(name: &str, params: Vec<Value>) -> Result<Params, Fault> {
    let method = methods::find(name).ok_or_else(|| Fault::of(FaultCode::UnknownMethod, None))?;
    if params.len() < method.required || params.len() > method.params.len() {
        return Err(wrong());
    }
    Ok(Params(params))
}

async fn supervisor(context: &Context<'_>, method: &str, params: &Params) -> Result<Value, Fault> {
    let desk = context.desk;
    desk.ask(|supervisor| supervisor.require_running()).await?;
    match method {
        "getAPIVersion" | "getVersion" => Ok(Value::text(API_VERSION)),
        "getSupervisorVersion" => Ok(Value::text(SUPERVISOR_VERSION)),
        "getIdentification" => Ok(Value::text(IDENTIFICATION)),
        "getPID" => Ok(Value::int(i64::from(std::process::id()))),
        "getState" => {
            let (code, name) = desk.ask(|supervisor| supervisor.mood()).await.told();
            Ok(members([("statecode", Value::Int(code)), ("statename", Value::text(name))]))
        }
        "shutdown" => desk.ask(|supervisor| supervisor.shut_down()).await.map(|()| Value::Bool(true)),
        "restart" => desk.ask(|supervisor| supervisor.restart()).await.map(|()| Value::Bool(true)),
        "sendRemoteCommEvent" => {
            let (kind, data) = (params.text(0)?, params.text(1)?);
            desk.ask(move |supervisor| supervisor.send_event(&kind, &data)).await;
            Ok(Value::Bool(true))
        }
        "reloadConfig" | "addProcessGroup" | "removeProcessGroup" | "getAllConfigInfo" => {
            settings::answer(desk, method, params).await
        }
        "readLog"
        | "readMainLog"
        | "clearLog"
        | "clearProcessLog"
        | "clearProcessLogs"
        | "clearAllProcessLogs"
        | "readProcessLog"
        | "readProcessStdoutLog"
        | "readProcessStderrLog"
        | "tailProcessLog"
        | "tailProcessStdoutLog"
        | "tailProcessStderrLog" => files::answer(context, method, params).await,
        _ => processes::answer(desk, method, params).await,
    }
}

/// The names of all methods.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}
