//! How fast a response may go out: so many bytes a second.
//!
//! Pure: the time comes in, bytes or a time to wait come out. Owns the bytes that are saved up. Called by `output`.

use std::time::Duration;

use crate::base::clock::Monotonic;

/// A response's rate, and what of it is left to be used now.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes per second, at least 1.
    rate: u64,
    saved: u64,
    /// Bytes that may go out before the rate is kept to.
    free: u64,
    counted: Monotonic,
}

/// The deadlines by which is waited count whole milliseconds: a shorter one would have passed before the clock has moved.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Pieces of a paced response are at least what the rate allows in this time: smaller ones would only cost more.
const PIECE: Duration = Duration::from_millis(200);

impl Pace {
    /// `rate`: bytes per second, after the first `free` bytes. What a second allows may go out at once, as in nginx.
    pub fn new(rate: u64, free: u64, now: Monotonic) -> Pace {
        let rate = rate.max(1);
        Pace { rate, saved: rate, free, counted: now }
    }

    /// How many of `wanted` bytes may go out now, at least one.
    ///
    /// # Errors
    /// How long to wait before the next: never less than a millisecond.
    pub fn take(&mut self, wanted: u64, now: Monotonic) -> Result<u64, Duration> {
        if self.free > 0 {
            let granted = self.free.min(wanted.max(1));
            self.free -= granted;
            self.counted = now;
            return Ok(granted);
        }
        let earned = self.over(now.since(self.counted));
        if earned > 0 {
            // Not more than a second's worth is saved up.
            self.saved = self.saved.saturating_add(earned).min(self.rate);
            self.counted = now;
        }
        let piece = self.over(PIECE).clamp(1, wanted.max(1));
        if self.saved < piece {
            let nanos = u128::from(piece - self.saved) * 1_000_000_000 / u128::from(self.rate) + 1;
            return Err(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)) + WAIT_MIN);
        }
        let granted = self.saved.min(wanted);
        self.saved -= granted;
        Ok(granted)
    }

    /// Takes back what was granted and not used.
    pub fn give_back(&mut self, bytes: u64) {
        self.saved = self.saved.saturating_add(bytes).min(self.rate);
    }

    /// What the rate allows in `time`.
    fn over(&self, time: Duration) -> u64 {
        u64::try_from(u128::from(self.rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Monotonic {
        Monotonic::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn a_second_s_worth_goes_at_once_and_the_rest_in_its_time() {
        let mut pace = Pace::new(1000, 0, at(0));
        assert_eq!(pace.take(5000, at(0)), Ok(1000));
        let wait = pace.take(4000, at(0)).expect_err("nothing is left");
        assert!(wait >= PIECE && wait <= PIECE + 2 * WAIT_MIN, "{wait:?}");
        assert_eq!(pace.take(4000, at(201)), Ok(201));
        // What is not used for long is not saved for ever.
        assert_eq!(pace.take(4000, at(60_000)), Ok(1000));
    }

    #[test]
    fn the_last_bytes_wait_no_longer_than_they_need() {
        let mut pace = Pace::new(1000, 0, at(0));
        assert_eq!(pace.take(1000, at(0)), Ok(1000));
        let wait = pace.take(10, at(0)).expect_err("nothing is left");
        assert!(wait >= WAIT_MIN && wait <= Duration::from_millis(12), "{wait:?}");
        assert_eq!(pace.take(10, at(10)), Ok(10));
    }

    #[test]
    fn the_first_bytes_may_be_free() {
        let mut pace = Pace::new(1000, 700, at(0));
        assert_eq!(pace.take(500, at(0)), Ok(500));
        assert_eq!(pace.take(5000, at(100)), Ok(200));
        assert_eq!(pace.take(5000, at(100)), Ok(1000));
        assert!(pace.take(5000, at(100)).is_err());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut pace = Pace::new(1000, 0, at(0));
        assert_eq!(pace.take(800, at(0)), Ok(800));
        pace.give_back(300);
        assert_eq!(pace.take(2000, at(0)), Ok(500));
    }

    proptest! {
        #[test]
        fn never_faster_than_the_rate(rate in 1u64..1 << 40, free in 0u64..1 << 20, steps in proptest::collection::vec((0u64..3000, 1u64..1 << 41), 1..50)) {
            let mut pace = Pace::new(rate, free, at(0));
            let (mut now, mut sent) = (0, 0u128);
            for (pause, wanted) in steps {
                now += pause;
                match pace.take(wanted, at(now)) {
                    Ok(granted) => {
                        prop_assert!(granted >= 1 && granted <= wanted);
                        sent += u128::from(granted);
                    }
                    Err(wait) => {
                        let enough = Monotonic::ZERO + Duration::from_millis(now) + wait;
                        prop_assert!(wait >= WAIT_MIN);
                        prop_assert!(pace.take(wanted, enough).map(|granted| sent += u128::from(granted)).is_ok());
                        now += wait.as_millis() as u64 + 1;
                    }
                }
                prop_assert!(sent <= u128::from(free) + u128::from(rate) * u128::from(now + 1000) / 1000 + 1);
            }
        }
    }
}
