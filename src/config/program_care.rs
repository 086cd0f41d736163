//! How a program is looked after: from its table to a [`CareConfig`].
//!
//! Owns the checks among these options.

use std::collections::{HashMap, HashSet};

use super::error::Problem;
use super::options;
use super::process::{BackoffConfig, CareConfig, GroupConfig};
use super::section::{Reader, nearest};
use super::value::Place;

/// Takes the options of start, restart and stop from `reader`.
pub(super) fn read_care(reader: &mut Reader<'_>) -> CareConfig {
    let stopasgroup = reader.value(&options::PROGRAM_STOPASGROUP);
    let killasgroup = reader.placed(&options::PROGRAM_KILLASGROUP);
    if let Some((false, place)) = &killasgroup
        && stopasgroup
    {
        reader.problem(place.clone(), "killasgroup", "can not be false with stopasgroup = true");
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
        killasgroup: killasgroup.map_or(stopasgroup, |(killasgroup, _)| killasgroup),
        backoff: match reader.value(&options::PROGRAM_BACKOFF) {
            true => BackoffConfig::Exponential { first, max: longest.max(first), stable },
            false => BackoffConfig::Linear,
        },
        fatal_retry: reader.value(&options::PROGRAM_FATAL_RETRY),
        on_fatal: reader.value(&options::PROGRAM_ON_FATAL),
        depends_on: reader.optional(&options::PROGRAM_DEPENDS_ON).unwrap_or_default(),
        ready: None,
        liveness: None,
        max_rss: reader.optional(&options::PROGRAM_MAX_RSS).filter(|bytes| *bytes > 0),
        max_lifetime: reader.value(&options::PROGRAM_MAX_LIFETIME),
        reload_signal: reader.optional(&options::PROGRAM_RELOAD_SIGNAL),
    }
}

/// Checks that everything that somebody depends on is there, and that nobody depends on itself in the end.
/// `places`: where each program stands, and the dotted name of its table.
pub(super) fn check_dependencies(
    groups: &[GroupConfig],
    places: &HashMap<String, (Place, String)>,
    problems: &mut Vec<Problem>,
) {
    let place_of = |program: &str| {
        let (place, table) = places.get(program).cloned().unwrap_or((Place::Nowhere, String::new()));
        (place, format!("{table}.depends_on"))
    };
    let processes = || groups.iter().flat_map(|group| &group.processes);
    let mut programs: Vec<&str> = processes().map(|process| process.program.as_str()).collect();
    programs.dedup();
    // By program: who must be up before it, with groups replaced by their programs.
    let mut needs: HashMap<&str, Vec<&str>> = HashMap::new();
    for &program in &programs {
        let Some(own) = processes().find(|process| process.program == program) else { continue };
        let mut problem = |message: String| {
            let (place, key) = place_of(program);
            problems.push(Problem { place, key, message });
        };
        for name in &own.care.depends_on {
            let found: Vec<&str> = programs
                .iter()
                .copied()
                .filter(|other| other == name || processes().any(|one| one.program == *other && one.group == *name))
                .collect();
            if found.is_empty() {
                let near = nearest(name, programs.iter().copied());
                let hint = near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
                problem(format!("there is no program or group \"{}\"{hint}", name.escape_debug()));
            }
            needs.entry(program).or_default().extend(found);
        }
    }
    let mut done = HashSet::new();
    for &program in &programs {
        let mut path = Vec::new();
        if let Some(cycle) = cycle(program, &needs, &mut path, &mut done) {
            let (place, key) = place_of(cycle[0]);
            let message = format!("nothing of a cycle can be started: {}", cycle.join(" → "));
            problems.push(Problem { place, key, message });
            return;
        }
    }
}

/// The first cycle that is met from `program` on; its first name comes last too.
fn cycle<'a>(
    program: &'a str,
    needs: &HashMap<&'a str, Vec<&'a str>>,
    path: &mut Vec<&'a str>,
    done: &mut HashSet<&'a str>,
) -> Option<Vec<&'a str>> {
    // Not by recursion: a chain may be as long as there are programs.
    let mut next = vec![(program, 0)];
    path.push(program);
    while let Some((current, index)) = next.last_mut() {
        let current = *current;
        let found = needs.get(current).and_then(|needs| needs.get(*index)).copied();
        *index += 1;
        match found {
            Some(needed) => {
                if let Some(at) = path.iter().position(|known| *known == needed) {
                    return Some(path[at..].iter().copied().chain([needed]).collect());
                }
                if !done.contains(needed) {
                    path.push(needed);
                    next.push((needed, 0));
                }
            }
            None => {
                done.insert(current);
                path.pop();
                next.pop();
            }
        }
    }
    None
}
