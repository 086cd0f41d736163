//! The only clock. Owns every reading of time in the program; pure modules take `now` as an argument instead.
//!
//! Monotonic time is CLOCK_MONOTONIC in nanoseconds, the same number that Python's `time.monotonic_ns()` gives, so
//! that times in the scoreboard written by workers and times read here can be compared.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::ops::{Add, AddAssign};
use std::time::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A moment of CLOCK_MONOTONIC (clock_gettime(2)), nanoseconds since an unspecified start (on Linux, boot).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The start of the clock: earlier than every reading.
    pub const ZERO: Monotonic = Monotonic(0);

    /// The present moment.
    pub fn now() -> Monotonic {
        Monotonic(nanos(clock_gettime(ClockId::Monotonic)))
    }

    /// The present moment as of the last timer tick of the kernel (1 to 10 ms old): cheaper, for coarse deadlines.
    pub fn now_coarse() -> Monotonic {
        Monotonic(nanos(clock_gettime(ClockId::MonotonicCoarse)))
    }

    /// The moment `nanos` nanoseconds after the start of the clock.
    pub const fn from_nanos(nanos: u64) -> Monotonic {
        Monotonic(nanos)
    }

    /// Nanoseconds since the start of the clock.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero when `earlier` is later than `self`.
    pub const fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `span` before `self`, not before [`Monotonic::ZERO`].
    pub fn minus(self, span: Duration) -> Monotonic {
        Monotonic(self.0.saturating_sub(span_nanos(span)))
    }
}

/// A span in whole milliseconds, at most 49 days: for what there is much of, where a [`Duration`] is four times as large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(u32);

impl From<Duration> for Millis {
    /// Saturates.
    fn from(span: Duration) -> Millis {
        Millis(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(span: Millis) -> Duration {
        Duration::from_millis(u64::from(span.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;

    /// Saturates after 584 years, so that "never" may be spelt as a very long duration.
    fn add(self, span: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(span_nanos(span)))
    }
}

impl AddAssign<Duration> for Monotonic {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

/// Seconds since 1970-01-01 UTC, for the Date field and file ages. A clock set before 1970 reads as 0.
pub fn wall_seconds() -> u64 {
    wall(ClockId::Realtime)
}

/// [`wall_seconds`] as of the kernel's last timer tick: cheaper.
pub fn wall_seconds_coarse() -> u64 {
    wall(ClockId::RealtimeCoarse)
}

/// Milliseconds since 1970-01-01 UTC. A clock set before 1970 reads as 0.
pub fn wall_milliseconds() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// CPU time that all threads of this process have used.
pub fn process_cpu() -> Duration {
    Duration::from_nanos(nanos(clock_gettime(ClockId::ProcessCPUTime)))
}

fn wall(clock: ClockId) -> u64 {
    u64::try_from(clock_gettime(clock).tv_sec).unwrap_or(0)
}

fn nanos(time: Timespec) -> u64 {
    // Both parts of CLOCK_MONOTONIC are never negative.
    (time.tv_sec as u64) * NANOS_PER_SECOND + time.tv_nsec as u64
}

fn span_nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_the_coarse_clock_lags_by_ticks_only() {
        let coarse = Monotonic::now_coarse();
        let first = Monotonic::now();
        let second = Monotonic::now();
        assert!(coarse <= first && first <= second);
        assert!(first.since(coarse) < Duration::from_secs(1));
        assert_eq!(first.since(second + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Monotonic::from_nanos(u64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(Monotonic::from_nanos(5).minus(Duration::from_secs(1)), Monotonic::ZERO);
        assert_eq!(Monotonic::from_nanos(5) + Duration::from_nanos(7), Monotonic::from_nanos(12));
    }

    #[test]
    fn the_wall_clock_is_past_the_year_2020() {
        assert!(wall_seconds() > 1_577_836_800);
        assert!(wall_seconds().abs_diff(wall_seconds_coarse()) <= 1);
    }
}
