//! GCRA: how often something may happen, from one number a key (ITU-T I.371, the virtual scheduling form).
//!
//! That number is the moment at which everything that was admitted would be over if it had come evenly. Owns the arithmetic alone; `rate_table`
//! keeps the numbers.

use std::time::Duration;

/// A rate with what may come at once beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Between two requests that come evenly, nanoseconds; at least 1.
    interval: u64,
    /// Requests that may come ahead of the rate, as nginx's `burst`.
    burst: u64,
    /// Of those, how many are served without waiting for their turn.
    at_once: u64,
}

/// What becomes of a request, and how its key stands then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// Requests that would be admitted now.
    pub remaining: u64,
    /// Until as many as at first would be.
    pub reset: Duration,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is served at once.
    Passed,
    /// It is served when so much time has passed.
    Delayed(Duration),
    /// It is not served; the next one would be after so much time.
    Refused(Duration),
}

impl Rate {
    /// `count` requests in `period`, `burst` ahead of that, of which `at_once` do not wait. A rate beyond one a nanosecond is that.
    ///
    /// # Panics
    /// With a `count` of 0.
    pub fn new(count: u64, period: Duration, burst: u64, at_once: u64) -> Rate {
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Rate { interval: (nanos / count).max(1), burst, at_once: at_once.min(burst) }
    }

    /// Whether `other` lets requests come at the same distance.
    pub fn same_pace(&self, other: &Rate) -> bool {
        self.interval == other.interval
    }

    /// Requests that are admitted at once after a long pause.
    pub fn quota(&self) -> u64 {
        self.burst.saturating_add(1)
    }

    /// In which time so many come evenly.
    pub fn window(&self) -> Duration {
        Duration::from_nanos(self.window_nanos())
    }

    fn window_nanos(&self) -> u64 {
        self.interval.saturating_mul(self.quota())
    }

    /// Decides on a request at `now` of a key whose number is `scheduled` (both nanoseconds of one clock, 0 for a new key). Returns the new number too;
    /// after a refusal it is the old one.
    pub fn decide(&self, scheduled: u64, now: u64) -> (Verdict, u64) {
        let start = scheduled.max(now);
        let next = start.saturating_add(self.interval);
        let window = self.window_nanos();
        if next - now > window {
            let outcome = Outcome::Refused(Duration::from_nanos(next - now - window));
            return (Verdict { outcome, remaining: 0, reset: Duration::from_nanos(start - now) }, scheduled);
        }
        let wait = (start - now).saturating_sub(self.interval.saturating_mul(self.at_once));
        let outcome = if wait == 0 { Outcome::Passed } else { Outcome::Delayed(Duration::from_nanos(wait)) };
        let remaining = (window - (next - now)) / self.interval;
        (Verdict { outcome, remaining, reset: Duration::from_nanos(next - now) }, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn decide_all(rate: Rate, times_ms: &[u64]) -> Vec<Outcome> {
        let mut scheduled = 0;
        let mut decide = |at: u64| {
            let (verdict, next) = rate.decide(scheduled, at * MS);
            scheduled = next;
            verdict.outcome
        };
        times_ms.iter().map(|&at| decide(at)).collect()
    }

    #[test]
    fn a_burst_passes_and_what_is_beyond_is_refused_until_its_time() {
        let rate = Rate::new(10, Duration::from_secs(1), 2, 2);
        let refused = |ms| Outcome::Refused(Duration::from_millis(ms));
        let expected = [Outcome::Passed, Outcome::Passed, Outcome::Passed, refused(100), refused(1), Outcome::Passed];
        assert_eq!(decide_all(rate, &[1000, 1000, 1000, 1000, 1099, 1100]), expected);
    }

    #[test]
    fn delayed_requests_leave_evenly_as_with_nginx() {
        let all = Rate::new(10, Duration::from_secs(1), 3, 0);
        let delayed = |ms| Outcome::Delayed(Duration::from_millis(ms));
        let refused = Outcome::Refused(Duration::from_millis(100));
        assert_eq!(
            decide_all(all, &[1000, 1000, 1000, 1000, 1000]),
            [Outcome::Passed, delayed(100), delayed(200), delayed(300), refused]
        );
        let two = Rate::new(10, Duration::from_secs(1), 3, 2);
        assert_eq!(
            decide_all(two, &[1000, 1000, 1000, 1000, 1000]),
            [Outcome::Passed, Outcome::Passed, Outcome::Passed, delayed(100), refused]
        );
    }

    #[test]
    fn what_is_left_and_when_all_is_back() {
        let rate = Rate::new(1, Duration::from_secs(1), 4, 4);
        let (verdict, scheduled) = rate.decide(0, 5000 * MS);
        assert_eq!((verdict.remaining, verdict.reset), (4, Duration::from_secs(1)));
        let (verdict, scheduled) = rate.decide(scheduled, 5000 * MS);
        assert_eq!((verdict.remaining, verdict.reset), (3, Duration::from_secs(2)));
        let (verdict, _) = rate.decide(scheduled, 5500 * MS);
        assert_eq!((verdict.remaining, verdict.reset), (2, Duration::from_millis(2500)));
        assert_eq!((rate.quota(), rate.window()), (5, Duration::from_secs(5)));
    }

    proptest! {
        /// In every span of time at most the burst and what the rate allows is admitted, and whoever keeps to the rate is never refused.
        #[test]
        fn never_more_than_rate_and_burst(
            count in 1u64..1000, period_ms in 1u64..100_000, burst in 0u64..50, at_once in 0u64..60,
            pauses in proptest::collection::vec(0u64..5_000_000_000, 1..200),
        ) {
            let rate = Rate::new(count, Duration::from_millis(period_ms), burst, at_once);
            let (mut now, mut scheduled) = (1, 0);
            let (mut admitted, mut starts): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            for pause in pauses {
                now += pause / 1000 * (period_ms / count).max(1);
                let (verdict, next) = rate.decide(scheduled, now);
                match verdict.outcome {
                    Outcome::Passed => {
                        admitted.push(now);
                        starts.push(now);
                    }
                    Outcome::Delayed(wait) => {
                        admitted.push(now);
                        starts.push(now + wait.as_nanos() as u64);
                        prop_assert!(wait.as_nanos() as u64 <= rate.interval * burst);
                    }
                    Outcome::Refused(wait) => {
                        prop_assert_eq!(next, scheduled);
                        prop_assert!(!wait.is_zero());
                        let later = rate.decide(scheduled, now + wait.as_nanos() as u64).0;
                        prop_assert!(!matches!(later.outcome, Outcome::Refused(_)), "{later:?}");
                    }
                }
                prop_assert!(verdict.remaining <= burst);
                prop_assert!(verdict.reset <= rate.window());
                scheduled = next;
            }
            for (first, begin) in admitted.iter().enumerate() {
                for (last, end) in admitted.iter().enumerate().skip(first) {
                    let allowed = burst + 1 + (end - begin) / rate.interval;
                    prop_assert!((last - first + 1) as u64 <= allowed);
                }
            }
            prop_assert!(starts.windows(2).all(|pair| pair[0] <= pair[1]), "nobody overtakes");
        }

        #[test]
        fn no_number_is_too_large(count in 1u64.., period in any::<u64>(), burst in any::<u64>(), at_once in any::<u64>(), scheduled in any::<u64>(), now in any::<u64>()) {
            let rate = Rate::new(count, Duration::from_nanos(period), burst, at_once);
            let (_, next) = rate.decide(scheduled, now);
            prop_assert!(next >= scheduled);
        }
    }
}
