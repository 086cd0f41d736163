//! Options of `[eventlistener.NAME]`: programs that hear events. Names, defaults and meanings are supervisord's.

use super::{Default, Opt, Section, Spec, Unit};
use crate::base::bounds::EVENT_BUFFER_MAX;
use crate::config::events::EventSet;
use crate::config::{listeners, program_values, read};

pub static LISTENER: Section = Section {
    name: "eventlistener",
    header: "[eventlistener.NAME]",
    doc: "A program that hears events by Supervisor's protocol, such as those of superlance. It takes what `[program.NAME]` takes, but for \
          `redirect_stderr`, `stdout_capture_maxbytes` and `stdout_events_enabled`, since its standard output is its side of the protocol; \
          unless `stdout_logfile` says otherwise, that goes nowhere else. Beside these there are:",
    options: &[&LISTENER_EVENTS.spec, &LISTENER_BUFFER_SIZE.spec, &LISTENER_PRIORITY.spec],
};

pub static LISTENER_EVENTS: Opt<EventSet> = Opt {
    spec: Spec::new(
        "events",
        Unit::Texts("the name of an event or a list of them"),
        Default::Required,
        "What it hears, by supervisord's names: `PROCESS_STATE` stands for all that begins with it, `EVENT` for everything.",
    ),
    read: listeners::events,
};
pub static LISTENER_BUFFER_SIZE: Opt<usize> = Opt {
    spec: Spec::new(
        "buffer_size",
        Unit::Count { min: 1, max: EVENT_BUFFER_MAX },
        Default::Toml("10"),
        "Events that wait while all of its processes are busy; of more, and of more than 8 MiB, the oldest are dropped with a line in the log.",
    ),
    read: read::count,
};
pub static LISTENER_PRIORITY: Opt<i32> = Opt {
    spec: Spec::new(
        "priority",
        super::program::PRIORITIES,
        Default::Toml("-1"),
        "Order among the groups: unless told otherwise, listeners are started first and stopped last.",
    ),
    read: program_values::integer,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::assert_defaults;

    #[test]
    fn every_declared_default_passes_its_own_check() {
        assert_defaults!(LISTENER_EVENTS LISTENER_BUFFER_SIZE LISTENER_PRIORITY);
    }
}
