//! `limit` and `connections`: from their tables to [`LimitConfig`]s and a [`ConnectionsConfig`].
//!
//! Owns the short forms, and the check that limits of one zone agree.

use std::collections::HashMap;
use std::time::Duration;

use super::error::Problem;
use super::guard::{ConnectionsConfig, LimitConfig};
use super::guard_values::{Delay, Period};
use super::options;
use super::read::not;
use super::section::{Bases, Reader};
use super::types::RouteConfig;
use super::value::{Place, Placed, Table, Value};
use crate::base::bounds::{RATE_LIMITS_MAX, RATE_WINDOW_SECONDS_MAX};
use crate::limits::Rate;

pub(super) fn limits_of(placed: Placed, name: &str, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Vec<LimitConfig> {
    let items = match placed.value {
        Value::List(items) => items,
        value => vec![Placed { place: placed.place.clone(), value }],
    };
    if items.len() > RATE_LIMITS_MAX {
        let message = format!("has more than {RATE_LIMITS_MAX} limits");
        problems.push(Problem { place: placed.place, key: format!("{name}.limit"), message });
        return Vec::new();
    }
    items.into_iter().filter_map(|item| limit_of(item, name, bases, problems)).collect()
}

fn limit_of(item: Placed, name: &str, bases: Bases<'_>, problems: &mut Vec<Problem>) -> Option<LimitConfig> {
    let key = format!("{name}.limit");
    let place = item.place.clone();
    let table = match item.value {
        Value::Table(table) => table,
        value @ Value::Text(_) => {
            let mut table = Table::default();
            table.set(options::RATE.spec.name, Placed { place: place.clone(), value });
            table
        }
        other => {
            problems.push(Problem { place, key, message: not(options::LIMIT.spec.unit, &other) });
            return None;
        }
    };
    let mut reader = Reader::new(table, &key, options::LIMIT_TABLE.options, bases, problems);
    if !reader.has(&options::RATE) {
        reader.problem(place.clone(), "", "must have a \"rate\", as in \"20/s\"");
    }
    let period = reader.optional(&options::RATE);
    let burst = reader.value(&options::BURST);
    let at_once = match reader.value(&options::DELAY) {
        Delay::Nobody => burst,
        Delay::After(count) => count,
    };
    let limit = LimitConfig {
        zone: reader.optional(&options::ZONE).unwrap_or_default(),
        keys: reader.value(&options::LIMIT_KEY),
        keys_max: reader.value(&options::KEYS),
        status: reader.value(&options::LIMIT_STATUS),
        announce: reader.value(&options::ANNOUNCE),
        dry_run: reader.value(&options::DRY_RUN),
        log: reader.value(&options::LOG_LEVEL),
        rate: match period {
            Some(Period { count, period }) => Rate::new(count, period, burst, at_once),
            None => Rate::new(1, Duration::from_secs(1), 0, 0),
        },
    };
    let is_bounded = limit.rate.window() <= Duration::from_secs(RATE_WINDOW_SECONDS_MAX);
    if !is_bounded {
        reader.problem(place, "", "remembers for more than 30 days: the burst is too large for so slow a rate");
    }
    reader.finish();
    (period.is_some() && is_bounded).then_some(limit)
}

pub(super) fn connections_of(
    placed: Placed,
    name: &str,
    bases: Bases<'_>,
    problems: &mut Vec<Problem>,
) -> Option<ConnectionsConfig> {
    let key = format!("{name}.connections");
    let place = placed.place.clone();
    let table = match placed.value {
        Value::Table(table) => table,
        value @ Value::Integer(_) => {
            let mut table = Table::default();
            table.set(options::PER_ADDRESS.spec.name, Placed { place: place.clone(), value });
            table
        }
        other => {
            problems.push(Problem { place, key, message: not(options::CONNECTIONS.spec.unit, &other) });
            return None;
        }
    };
    let mut reader = Reader::new(table, &key, options::CONNECTIONS_TABLE.options, bases, problems);
    if !reader.has(&options::PER_ADDRESS) && !reader.has(&options::IN_ALL) {
        reader.problem(place, "", "must have \"per_address\" or \"in_all\"");
    }
    let config = ConnectionsConfig {
        zone: reader.optional(&options::ZONE).unwrap_or_default(),
        per_address: reader.optional(&options::PER_ADDRESS).unwrap_or(u64::MAX),
        in_all: reader.optional(&options::IN_ALL).unwrap_or(u64::MAX),
        status: reader.value(&options::CONNECTIONS_STATUS),
        dry_run: reader.value(&options::DRY_RUN),
        log: reader.value(&options::LOG_LEVEL),
    };
    reader.finish();
    Some(config)
}

/// Limits of one zone have to agree about what they count.
pub(super) fn check_zones(routes: &[(Place, RouteConfig)], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, Option<&LimitConfig>> = HashMap::new();
    for (place, route) in routes {
        let rates = route.guard.limits.iter().map(|limit| (limit.zone.as_str(), Some(limit)));
        let counts = route.guard.connections.iter().map(|counts| (counts.zone.as_str(), None));
        for (zone, limit) in rates.chain(counts) {
            let agrees = match (seen.entry(zone).or_insert(limit), limit) {
                (Some(one), Some(other)) => {
                    one.rate.same_pace(&other.rate) && one.keys == other.keys && one.keys_max == other.keys_max
                }
                (None, None) => true,
                _ => false,
            };
            if !agrees {
                let message = format!(
                    "zone \"{}\" is used with another rate, key or number of keys elsewhere; give one of them another zone",
                    zone.escape_debug()
                );
                problems.push(Problem { place: place.clone(), key: "route.limit".to_owned(), message });
                return;
            }
        }
    }
}
