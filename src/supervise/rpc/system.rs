//! The namespace `system`: what methods there are, and several calls in one.

use super::call::{Context, Params, names, single, wrong};
use super::info::members;
use super::methods;
use crate::control::{Call, Fault, FaultCode, Value};

/// All methods of the namespace but `multicall`.
pub(super) fn answer(method: &str, params: &Params) -> Result<Value, Fault> {
    let unknown = || Fault::of(FaultCode::SignatureUnsupported, None);
    match method {
        "listMethods" => Ok(Value::Array(names().map(Value::text).collect())),
        "methodHelp" => {
            let name = params.text(0)?;
            let found = methods::find(&name).ok_or_else(unknown)?;
            let params: Vec<String> = found.params.iter().map(|kind| format!("@param {kind}")).collect();
            Ok(Value::text(format!("{}\n\n{}\n@return {}", found.help, params.join("\n"), found.returns)))
        }
        "methodSignature" => {
            let name = params.text(0)?;
            let found = methods::find(&name).ok_or_else(unknown)?;
            let types = [found.returns].into_iter().chain(found.params.iter().copied());
            Ok(Value::Array(types.map(Value::text).collect()))
        }
        _ => Err(Fault::of(FaultCode::UnknownMethod, None)),
    }
}

/// Does calls one after the other. What fails has a struct with the fault in its place.
pub(super) async fn multicall(context: &Context<'_>, params: &Params) -> Result<Value, Fault> {
    let Some(Value::Array(calls)) = params.value(0) else { return Err(wrong()) };
    let mut results = Vec::with_capacity(calls.len());
    for call in calls {
        let result = match parse(call) {
            Ok(call) => single(context, call).await,
            Err(fault) => Err(fault),
        };
        results.push(result.unwrap_or_else(|fault| {
            members([("faultCode", Value::Int(fault.code)), ("faultString", Value::Text(fault.text))])
        }));
    }
    Ok(Value::Array(results))
}

fn parse(call: &Value) -> Result<Call, Fault> {
    let incorrect = |about| Fault::of(FaultCode::IncorrectParameters, Some(about));
    let method = match call.member("methodName").and_then(Value::as_text) {
        None => return Err(incorrect("No methodName")),
        Some("system.multicall") => return Err(incorrect("Recursive system.multicall forbidden")),
        Some(method) => method.to_owned(),
    };
    let params = match call.member("params") {
        None => Vec::new(),
        Some(Value::Array(params)) => params.clone(),
        Some(_) => return Err(wrong()),
    };
    Ok(Call { method, params })
}
