//! The periods of TICK events: which has begun, and when the next one will.
//!
//! Pure: the time of day goes in, in milliseconds since 1970. A clock that is set makes a period begin, in either direction.

use std::time::Duration;

use crate::config::{EventSet, EventType};

/// The periods, seconds.
const PERIODS: [(EventType, u64); 3] = [(EventType::Tick5, 5), (EventType::Tick60, 60), (EventType::Tick3600, 3600)];

/// So soon it is noticed that the clock was set.
const LOOK: Duration = Duration::from_secs(60);

/// What was told of so far.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    /// The beginning of the present period of each that is wanted, seconds since 1970.
    present: [Option<u64>; 3],
}

impl Ticks {
    /// Only periods of these types are wanted from now on.
    pub fn follow(&mut self, wanted: EventSet, now_ms: u64) {
        for ((kind, period), present) in PERIODS.into_iter().zip(&mut self.present) {
            *present = wanted.has(kind).then(|| present.unwrap_or_else(|| beginning(period, now_ms)));
        }
    }

    /// How long to wait until the next look whether one of them has begun; `None`: none is wanted.
    pub fn wait(&self, now_ms: u64) -> Option<Duration> {
        let wanted = PERIODS.into_iter().zip(self.present).filter(|(_, present)| present.is_some());
        let waits = wanted.map(|((_, period), _)| period * 1000 - now_ms % (period * 1000));
        waits.min().map(|wait| Duration::from_millis(wait).min(LOOK))
    }

    /// Those that have begun, each with its beginning, seconds since 1970.
    pub fn take(&mut self, now_ms: u64) -> Vec<(EventType, u64)> {
        let mut begun = Vec::new();
        for ((kind, period), present) in PERIODS.into_iter().zip(&mut self.present) {
            let now = beginning(period, now_ms);
            if present.is_some_and(|present| present != now) {
                *present = Some(now);
                begun.push((kind, now));
            }
        }
        begun
    }
}

fn beginning(period: u64, now_ms: u64) -> u64 {
    let now = now_ms / 1000;
    now - now % period
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> EventSet {
        names.iter().filter_map(|name| EventSet::named(name)).fold(EventSet::default(), EventSet::or)
    }

    #[test]
    fn each_period_is_told_of_when_it_begins() {
        let mut ticks = Ticks::default();
        assert_eq!((ticks.wait(0), ticks.take(99_000)), (None, vec![]));
        ticks.follow(wanted(&["TICK_5", "TICK_60"]), 57_900);
        assert_eq!((ticks.take(59_999), ticks.wait(59_999)), (vec![], Some(Duration::from_millis(1))));
        assert_eq!(ticks.take(60_000), [(EventType::Tick5, 60), (EventType::Tick60, 60)]);
        assert_eq!((ticks.take(64_999), ticks.wait(60_000)), (vec![], Some(Duration::from_secs(5))));
        assert_eq!(ticks.take(71_000), [(EventType::Tick5, 70)]);
    }

    #[test]
    fn what_is_wanted_later_does_not_begin_with_the_past() {
        let mut ticks = Ticks::default();
        ticks.follow(wanted(&["TICK_5"]), 1_000);
        ticks.follow(wanted(&["TICK"]), 7_000);
        assert_eq!(ticks.take(7_000), [(EventType::Tick5, 5)], "the one that was wanted before goes on");
        assert_eq!(ticks.take(3_600_000).len(), 3);
        ticks.follow(wanted(&["TICK_3600"]), 3_600_000);
        assert_eq!(ticks.wait(3_600_000), Some(LOOK));
    }

    #[test]
    fn a_clock_that_is_set_begins_a_period() {
        let mut ticks = Ticks::default();
        ticks.follow(wanted(&["TICK_60"]), 600_000);
        assert_eq!(ticks.take(120_000), [(EventType::Tick60, 120)]);
        assert_eq!(ticks.take(120_000), []);
    }
}
