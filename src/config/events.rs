//! Which events there are, and what an event listener asks for.
//!
//! Owns supervisord's names of events, and which of them a more general name stands for. Values only; who tells of events and who hears them
//! is in `supervise`.

/// What an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A process is stopped.
    ProcessStateStopped,
    /// A process has ended by itself.
    ProcessStateExited,
    /// A process is begun.
    ProcessStateStarting,
    /// A process is asked to stop.
    ProcessStateStopping,
    /// A start has failed.
    ProcessStateBackoff,
    /// A process was given up.
    ProcessStateFatal,
    /// A process is up.
    ProcessStateRunning,
    /// A process can't be signalled.
    ProcessStateUnknown,
    /// What a process has written between the marks to its standard output.
    ProcessCommunicationStdout,
    /// … to its standard error.
    ProcessCommunicationStderr,
    /// What a process has written to its standard output.
    ProcessLogStdout,
    /// … to its standard error.
    ProcessLogStderr,
    /// What a client of the control interface has sent.
    RemoteCommunication,
    /// maitred has started.
    SupervisorStateChangeRunning,
    /// maitred is on its way to its end.
    SupervisorStateChangeStopping,
    /// Five seconds have passed.
    Tick5,
    /// A minute has passed.
    Tick60,
    /// An hour has passed.
    Tick3600,
    /// A group is looked after from now on.
    ProcessGroupAdded,
    /// A group is no longer looked after.
    ProcessGroupRemoved,
}

use EventType::*;

/// Every type with its name.
const NAMES: [(EventType, &str); 20] = [
    (ProcessStateStopped, "PROCESS_STATE_STOPPED"),
    (ProcessStateExited, "PROCESS_STATE_EXITED"),
    (ProcessStateStarting, "PROCESS_STATE_STARTING"),
    (ProcessStateStopping, "PROCESS_STATE_STOPPING"),
    (ProcessStateBackoff, "PROCESS_STATE_BACKOFF"),
    (ProcessStateFatal, "PROCESS_STATE_FATAL"),
    (ProcessStateRunning, "PROCESS_STATE_RUNNING"),
    (ProcessStateUnknown, "PROCESS_STATE_UNKNOWN"),
    (ProcessCommunicationStdout, "PROCESS_COMMUNICATION_STDOUT"),
    (ProcessCommunicationStderr, "PROCESS_COMMUNICATION_STDERR"),
    (ProcessLogStdout, "PROCESS_LOG_STDOUT"),
    (ProcessLogStderr, "PROCESS_LOG_STDERR"),
    (RemoteCommunication, "REMOTE_COMMUNICATION"),
    (SupervisorStateChangeRunning, "SUPERVISOR_STATE_CHANGE_RUNNING"),
    (SupervisorStateChangeStopping, "SUPERVISOR_STATE_CHANGE_STOPPING"),
    (Tick5, "TICK_5"),
    (Tick60, "TICK_60"),
    (Tick3600, "TICK_3600"),
    (ProcessGroupAdded, "PROCESS_GROUP_ADDED"),
    (ProcessGroupRemoved, "PROCESS_GROUP_REMOVED"),
];

/// Names that stand for every type whose name begins with them; `EVENT` stands for all.
const GENERAL: [&str; 6] =
    ["PROCESS_STATE", "PROCESS_COMMUNICATION", "PROCESS_LOG", "SUPERVISOR_STATE_CHANGE", "TICK", "PROCESS_GROUP"];
const ALL: &str = "EVENT";

impl EventType {
    /// The name by which listeners know it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }
}

/// Some types of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventSet(u32);

impl EventSet {
    /// Everything that tells of a process's state.
    pub const STATES: EventSet = EventSet(
        bit(ProcessStateStopped)
            | bit(ProcessStateExited)
            | bit(ProcessStateStarting)
            | bit(ProcessStateStopping)
            | bit(ProcessStateBackoff)
            | bit(ProcessStateFatal)
            | bit(ProcessStateRunning)
            | bit(ProcessStateUnknown),
    );

    /// Those that a name stands for, whatever its case; `None`: there is no such name.
    pub fn named(name: &str) -> Option<EventSet> {
        let name = name.to_ascii_uppercase();
        let is_general = GENERAL.contains(&name.as_str());
        let is_meant = |known: &str| {
            name == ALL
                || known == name
                || (is_general && known.strip_prefix(&name).is_some_and(|rest| rest.starts_with('_')))
        };
        let found = NAMES.iter().filter(|(_, known)| is_meant(known)).map(|(kind, _)| *kind);
        let set = found.fold(EventSet::default(), |set, kind| EventSet(set.0 | bit(kind)));
        Some(set).filter(|set| set.0 != 0)
    }

    /// Whether `kind` is one of them.
    pub fn has(self, kind: EventType) -> bool {
        self.0 & bit(kind) != 0
    }

    /// Whether some of `others` are among them.
    pub fn meets(self, others: EventSet) -> bool {
        self.0 & others.0 != 0
    }

    /// These and `others`.
    pub fn or(self, others: EventSet) -> EventSet {
        EventSet(self.0 | others.0)
    }
}

const fn bit(kind: EventType) -> u32 {
    1 << kind as u32
}

/// Every name that an `events` line may have.
pub fn event_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(_, name)| *name).chain(GENERAL).chain([ALL])
}

/// What the processes of an `[eventlistener.NAME]` hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenConfig {
    /// Events of these types.
    pub events: EventSet,
    /// Events that wait at most; at least 1.
    pub buffer_size: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_names_stand_for_all_that_begin_with_them() {
        let count = |name: &str| EventSet::named(name).map(|set| set.0.count_ones());
        for (name, types) in [
            ("EVENT", 20),
            ("process_state", 8),
            ("PROCESS_COMMUNICATION", 2),
            ("PROCESS_LOG", 2),
            ("SUPERVISOR_STATE_CHANGE", 2),
            ("TICK", 3),
            ("PROCESS_GROUP", 2),
            ("Tick_5", 1),
            ("REMOTE_COMMUNICATION", 1),
        ] {
            assert_eq!(count(name), Some(types), "{name}");
        }
        for name in ["", "PROCESS", "SUPERVISOR", "TICK_", "TICK_50", "REMOTE"] {
            assert_eq!(count(name), None, "{name}");
        }
        assert_eq!(EventSet::named("PROCESS_STATE"), Some(EventSet::STATES));
        assert!(event_names().all(|name| EventSet::named(name).is_some()));
        let both = EventSet::named("TICK_60").zip(EventSet::named("PROCESS_LOG")).map(|(one, other)| one.or(other));
        assert!(both.is_some_and(|both| both.has(Tick60) && both.has(ProcessLogStderr) && !both.has(Tick5)));
    }
}
