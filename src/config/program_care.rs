//! How a program is looked after: from its table to a [`CareConfig`].
//!
//! Owns the checks among these options.

use super::options;
use super::process::{BackoffConfig, CareConfig};
use super::section::Reader;

/// Takes the options of start, restart and stop from `reader`.
pub(super) fn read_care(reader: &mut Reader<'_>) -> CareConfig {
    let stopasgroup = reader.value(&options::PROGRAM_STOPASGROUP);
    if let Some((false, place)) = reader.placed(&options::PROGRAM_KILLASGROUP)
        && stopasgroup
    {
        reader.problem(place, "killasgroup", "can not be false with stopasgroup = true");
    }
    let first = reader.value(&options::PROGRAM_BACKOFF_FIRST);
    let max = reader.placed(&options::PROGRAM_BACKOFF_MAX);
    let longest = max.as_ref().map_or_else(|| reader.value(&options::PROGRAM_BACKOFF_MAX), |(max, _)| *max);
    if let (Some((_, place)), true) = (max, longest < first) {
        reader.problem(place, "backoff_max", "is shorter than backoff_first");
    }
    let stable = reader.value(&options::PROGRAM_STABLE_AFTER);
    CareConfig {
        priority: reader.value(&options::PROGRAM_PRIORITY),
        autostart: reader.value(&options::PROGRAM_AUTOSTART),
        autorestart: reader.value(&options::PROGRAM_AUTORESTART),
        startsecs: reader.value(&options::PROGRAM_STARTSECS),
        startretries: reader.value(&options::PROGRAM_STARTRETRIES),
        exitcodes: reader.value(&options::PROGRAM_EXITCODES),
        stopsignal: reader.value(&options::PROGRAM_STOPSIGNAL),
        stopwaitsecs: reader.value(&options::PROGRAM_STOPWAITSECS),
        stopasgroup,
        backoff: match reader.value(&options::PROGRAM_BACKOFF) {
            true => BackoffConfig::Exponential { first, max: longest.max(first), stable },
            false => BackoffConfig::Linear,
        },
        fatal_retry: reader.value(&options::PROGRAM_FATAL_RETRY),
        on_fatal: reader.value(&options::PROGRAM_ON_FATAL),
    }
}
