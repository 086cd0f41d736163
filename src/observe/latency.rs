//! How long something took, as a histogram.
//!
//! Pure. Two digits of each value are kept, so that a histogram has the same size however many values it holds.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time that is told apart, µs: one hour.
const TIME_US_MAX: u64 = 3_600_000_000;

/// A number of times.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    sum_us: u64,
}

impl Default for Latency {
    fn default() -> Latency {
        let histogram = Histogram::new_with_bounds(1, TIME_US_MAX, 2).expect("the bounds are in order");
        Latency { histogram, sum_us: 0 }
    }
}

impl Latency {
    /// Adds one.
    pub fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(TIME_US_MAX);
        self.histogram.saturating_record(us.max(1));
        self.sum_us += us.min(TIME_US_MAX);
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Latency) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
        self.sum_us += other.sum_us;
    }

    /// Those that are not in `earlier`, a copy of this from an earlier time.
    pub(super) fn beyond(&self, earlier: &Latency) -> Latency {
        let mut rest = self.clone();
        // A copy holds no more than what it was made from.
        let _ = rest.histogram.subtract(&earlier.histogram);
        rest.sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        rest
    }

    /// Each time that was recorded, µs, and how often; to the two digits that are kept.
    pub(super) fn recorded(&self) -> impl Iterator<Item = (u64, u64)> {
        self.histogram.iter_recorded().map(|value| (value.value_iterated_to(), value.count_since_last_iteration()))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// The time that the part `quantile` of them did not take longer than, µs.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// How many took at most `time`, to the two digits that are kept.
    pub fn count_up_to(&self, time: Duration) -> u64 {
        let us = u64::try_from(time.as_micros()).unwrap_or(TIME_US_MAX);
        self.histogram.count_between(0, us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        let mut some = Latency::default();
        let mut others = Latency::default();
        some.record(Duration::ZERO);
        some.record(Duration::from_millis(4));
        others.record(Duration::from_secs(1));
        others.record(Duration::MAX);
        some.add(&others);
        assert_eq!((some.count(), some.sum()), (4, Duration::from_millis(3_601_004)));
        let up_to = |ms| some.count_up_to(Duration::from_millis(ms));
        assert_eq!([up_to(1), up_to(5), up_to(999), up_to(1100), up_to(u64::MAX)], [1, 2, 2, 3, 4]);
        assert!((3_900..=4_100).contains(&some.quantile_us(0.5)));
    }
}
