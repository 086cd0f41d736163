//! `[eventlistener.NAME]`: what a listener has beside what every program has, and what it can't have.

use std::path::Path;

use super::events::{EventSet, ListenConfig, event_names};
use super::options::{self, Unit};
use super::program_values::names;
use super::section::{Reader, nearest};
use super::value::{Place, Value};

/// Takes what only listeners have.
pub(super) fn read_listening(reader: &mut Reader<'_>, place: &Place) -> ListenConfig {
    if !reader.has(&options::LISTENER_EVENTS) {
        reader.problem(place.clone(), "", "must have \"events\"");
    }
    ListenConfig {
        events: reader.optional(&options::LISTENER_EVENTS).unwrap_or_default(),
        buffer_size: reader.value(&options::LISTENER_BUFFER_SIZE),
    }
}

/// Refuses what would get in the way of the protocol.
pub(super) fn refuse_reserved(reader: &mut Reader<'_>) {
    let redirects = reader.placed(&options::PROGRAM_REDIRECT_STDERR).filter(|(redirects, _)| *redirects);
    let captures = reader.placed(&options::PROGRAM_STDOUT_CAPTURE_MAXBYTES).filter(|(bytes, _)| *bytes > 0);
    let tells = reader.placed(&options::PROGRAM_STDOUT_EVENTS_ENABLED).filter(|(tells, _)| *tells);
    for (key, place) in [
        ("redirect_stderr", redirects.map(|(_, place)| place)),
        ("stdout_capture_maxbytes", captures.map(|(_, place)| place)),
        ("stdout_events_enabled", tells.map(|(_, place)| place)),
    ] {
        if let Some(place) = place {
            let message = "can not be set: a listener's standard output is its side of the protocol";
            reader.problem(place, key, message);
        }
    }
}

/// Types of events by their names.
pub(super) fn events(value: &Value, unit: Unit, base: &Path) -> Result<EventSet, String> {
    let mut set = EventSet::default();
    for name in names(value, unit, base)? {
        let Some(found) = EventSet::named(&name) else {
            let near = nearest(
                &name,
                event_names().map(|known| known.to_lowercase()).collect::<Vec<_>>().iter().map(String::as_str),
            )
            .map_or_else(String::new, |near| format!("; did you mean {}?", near.to_uppercase()));
            return Err(format!("there is no event \"{}\"{near}", name.escape_debug()));
        };
        set = set.or(found);
    }
    Ok(set)
}
