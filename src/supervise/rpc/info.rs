//! What is told of a process: supervisord's fields, and its sentences about how long it has been up or why it is not.
//!
//! Pure formatting.

use super::view::View;
use crate::base::calendar;
use crate::control::Value;
use crate::supervise::programs::machine::State;
use crate::sys::zone;

/// The struct of `getProcessInfo`. `now`: seconds since 1970.
pub(super) fn process_info(view: &View, now: u64) -> Value {
    let seconds = |seconds: u64| Value::int(i64::try_from(seconds).unwrap_or(i64::MAX));
    members([
        ("name", Value::text(&view.name)),
        ("group", Value::text(&view.group)),
        ("start", seconds(view.started)),
        ("stop", seconds(view.ended)),
        ("now", seconds(now)),
        ("state", Value::Int(i32::from(view.state.code()))),
        ("statename", Value::text(view.state.to_string())),
        ("spawnerr", Value::text(&view.error)),
        ("exitstatus", Value::Int(view.exit_status)),
        ("logfile", Value::text(&view.stdout_logfile)),
        ("stdout_logfile", Value::text(&view.stdout_logfile)),
        ("stderr_logfile", Value::text(&view.stderr_logfile)),
        ("pid", Value::Int(view.pid)),
        ("description", Value::text(description(view, now))),
    ])
}

/// A struct of these members.
pub(super) fn members<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Struct(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn description(view: &View, now: u64) -> String {
    match view.state {
        State::Running => format!("pid {}, uptime {}", view.pid, uptime(now.saturating_sub(view.started))),
        State::Fatal | State::Backoff if view.error.is_empty() => {
            format!("unknown error (try \"tail {}\")", view.name)
        }
        State::Fatal | State::Backoff => view.error.clone(),
        State::Stopped | State::Exited if view.started == 0 => "Not started".to_owned(),
        State::Stopped | State::Exited => local_time(view.ended),
        State::Starting | State::Stopping | State::Unknown => String::new(),
    }
}

/// As Python writes a timedelta: `0:01:02`, `1 day, 0:00:00`.
fn uptime(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

/// As strftime's `%b %d %I:%M %p` writes local time.
fn local_time(second: u64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = i64::try_from(second).unwrap_or(0) + i64::from(zone::offset_minutes(second)) * 60;
    let local = u64::try_from(local).unwrap_or(0);
    let (_, month, day) = calendar::civil(local / 86_400);
    let (hour, minute) = (local / 3600 % 24, local / 60 % 60);
    let (half, hour) = (if hour < 12 { "AM" } else { "PM" }, if hour % 12 == 0 { 12 } else { hour % 12 });
    let month = MONTHS[(month as usize + 11) % 12];
    format!("{month} {day:02} {hour:02}:{minute:02} {half}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_are_written_as_python_does() {
        for (seconds, expected) in [
            (0, "0:00:00"),
            (62, "0:01:02"),
            (86_399, "23:59:59"),
            (86_400, "1 day, 0:00:00"),
            (900_061, "10 days, 10:01:01"),
        ] {
            assert_eq!(uptime(seconds), expected);
        }
    }

    #[test]
    fn hours_are_those_of_a_clock_with_twelve() {
        let utc = |second: u64| {
            let ahead = i64::from(zone::offset_minutes(second)) * 60;
            local_time(u64::try_from(i64::try_from(second).expect("small") - ahead).expect("after 1970"))
        };
        assert_eq!(utc(1_735_689_600), "Jan 01 12:00 AM");
        assert_eq!(utc(1_735_689_600 + 12 * 3600 + 60), "Jan 01 12:01 PM");
        assert_eq!(utc(1_735_689_600 + 13 * 3600), "Jan 01 01:00 PM");
    }
}
