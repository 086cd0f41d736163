//! The table of methods: names, parameters, results, help. supervisord's, in its namespaces `supervisor` and `system`.
//!
//! Owns what introspection tells and how many parameters a call may have. What the methods do is in `call`.

/// A method.
pub(super) struct Method {
    /// `namespace.method`.
    pub name: &'static str,
    /// Types of the parameters, in XML-RPC's words.
    pub params: &'static [&'static str],
    /// So many of them must be given.
    pub required: usize,
    /// The result's type.
    pub returns: &'static str,
    /// What it does.
    pub help: &'static str,
}

const fn method(
    name: &'static str,
    params: &'static [&'static str],
    required: usize,
    returns: &'static str,
    help: &'static str,
) -> Method {
    Method { name, params, required, returns, help }
}

const WAIT: &str = "wait: answer only once that is done.";
const LOG: &str = "Bytes of a log from an offset on; a negative offset counts from its end, with a length of 0.";
const TAIL: &str = "The last bytes of a log, the offset of its end, and whether it has grown by more than the length since the given offset.";
const START_MANY: &str = "Start processes; the answer has a struct for each, with name, group, status and description.";
const STOP_MANY: &str = "Stop processes; the answer has a struct for each, with name, group, status and description.";

/// All methods, by their names.
pub(super) static METHODS: &[Method] = &[
    method(
        "maitred.getStatus",
        &[],
        0,
        "struct",
        "How the site stands: workers, queue, generation, loop, the last reload, maintenance.",
    ),
    method(
        "maitred.reload",
        &[],
        0,
        "boolean",
        "Read the configuration, take it over and replace the workers; answers once they serve.",
    ),
    method(
        "maitred.scale",
        &["string", "int"],
        2,
        "boolean",
        "So many processes of a program, or web workers, until the next start.",
    ),
    method(
        "maitred.setMaintenance",
        &["boolean"],
        1,
        "boolean",
        "Close the site for all but those whom the configuration lets through, or open it.",
    ),
    method(
        "supervisor.addProcessGroup",
        &["string"],
        1,
        "boolean",
        "Look after a group of the configuration that was read last.",
    ),
    method("supervisor.clearAllProcessLogs", &[], 0, "array", "Empty all log files of processes."),
    method("supervisor.clearLog", &[], 0, "boolean", "Empty the main log."),
    method("supervisor.clearProcessLog", &["string"], 1, "boolean", "Empty the log files of a process."),
    method("supervisor.clearProcessLogs", &["string"], 1, "boolean", "Empty the log files of a process."),
    method("supervisor.getAPIVersion", &[], 0, "string", "The version of this interface."),
    method("supervisor.getAllConfigInfo", &[], 0, "array", "The configuration of every process, as it was read last."),
    method("supervisor.getAllProcessInfo", &[], 0, "array", "How every process stands."),
    method("supervisor.getIdentification", &[], 0, "string", "What the server calls itself."),
    method("supervisor.getPID", &[], 0, "int", "The server's process id."),
    method("supervisor.getProcessInfo", &["string"], 1, "struct", "How a process stands."),
    method(
        "supervisor.getState",
        &[],
        0,
        "struct",
        "Whether the server is on its way to its end: statecode and statename.",
    ),
    method("supervisor.getSupervisorVersion", &[], 0, "string", "The version of Supervisor whose interface this is."),
    method("supervisor.getVersion", &[], 0, "string", "The version of this interface."),
    method("supervisor.readLog", &["int", "int"], 2, "string", LOG),
    method("supervisor.readMainLog", &["int", "int"], 2, "string", LOG),
    method("supervisor.readProcessLog", &["string", "int", "int"], 3, "string", LOG),
    method("supervisor.readProcessStderrLog", &["string", "int", "int"], 3, "string", LOG),
    method("supervisor.readProcessStdoutLog", &["string", "int", "int"], 3, "string", LOG),
    method(
        "supervisor.reloadConfig",
        &[],
        0,
        "array",
        "Read the configuration: names of groups that were added, have changed, were removed.",
    ),
    method("supervisor.removeProcessGroup", &["string"], 1, "boolean", "Look no longer after a group that is stopped."),
    method("supervisor.restart", &[], 0, "boolean", "Stop everything and start anew."),
    method("supervisor.sendProcessStdin", &["string", "string"], 2, "boolean", "Write to a process's standard input."),
    method(
        "supervisor.sendRemoteCommEvent",
        &["string", "string"],
        2,
        "boolean",
        "Send an event, of a type and with data, to the event listeners.",
    ),
    method("supervisor.shutdown", &[], 0, "boolean", "Stop everything."),
    method(
        "supervisor.signalAllProcesses",
        &["string"],
        1,
        "array",
        "Send a signal, by its name or number, to all processes that run.",
    ),
    method(
        "supervisor.signalProcess",
        &["string", "string"],
        2,
        "boolean",
        "Send a signal, by its name or number, to a process.",
    ),
    method(
        "supervisor.signalProcessGroup",
        &["string", "string"],
        2,
        "array",
        "Send a signal, by its name or number, to the processes of a group that run.",
    ),
    method("supervisor.startAllProcesses", &["boolean"], 0, "array", START_MANY),
    method("supervisor.startProcess", &["string", "boolean"], 1, "boolean", WAIT),
    method("supervisor.startProcessGroup", &["string", "boolean"], 1, "array", START_MANY),
    method("supervisor.stopAllProcesses", &["boolean"], 0, "array", STOP_MANY),
    method("supervisor.stopProcess", &["string", "boolean"], 1, "boolean", WAIT),
    method("supervisor.stopProcessGroup", &["string", "boolean"], 1, "array", STOP_MANY),
    method("supervisor.tailProcessLog", &["string", "int", "int"], 3, "array", TAIL),
    method("supervisor.tailProcessStderrLog", &["string", "int", "int"], 3, "array", TAIL),
    method("supervisor.tailProcessStdoutLog", &["string", "int", "int"], 3, "array", TAIL),
    method("system.listMethods", &[], 0, "array", "The names of all methods."),
    method("system.methodHelp", &["string"], 1, "string", "What a method does."),
    method("system.methodSignature", &["string"], 1, "array", "The types of a method's result and parameters."),
    method(
        "system.multicall",
        &["array"],
        1,
        "array",
        "Do several calls, each a struct of methodName and params, one after the other.",
    ),
];

/// The method of that name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    METHODS.binary_search_by(|method| method.name.cmp(name)).ok().map(|index| &METHODS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_sound() {
        assert!(METHODS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for method in METHODS {
            assert!(find(method.name).is_some_and(|found| std::ptr::eq(found, method)));
            assert!(method.required <= method.params.len() && !method.help.is_empty(), "{}", method.name);
        }
        assert!(find("supervisor.").is_none() && find("").is_none());
    }
}
