//! How long to wait before something that died is started again. Pure; used for workers, zygotes and (later) programs.

use std::time::Duration;

/// The pace of restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The wait after the first failure; it doubles with each one that follows.
    pub first: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// What lived as long as this was healthy: its death is not a failure.
    pub stable: Duration,
    /// The shortest time between two starts, whatever the reason of the death.
    pub between_starts: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(10),
            stable: Duration::from_secs(10),
            between_starts: Duration::from_millis(100),
        }
    }
}

/// The failures in a row of one thing that is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It died after `lived`. Returns the wait before the next start: zero after a stable life, else
    /// `first`, 2 × `first`, 4 × `first`… up to `cap`.
    pub fn died(&mut self, policy: &Policy, lived: Duration) -> Duration {
        if lived >= policy.stable {
            self.failures = 0;
            return Duration::ZERO;
        }
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        policy.first.saturating_mul(1 << doublings).min(policy.cap)
    }

    /// It did what it is for: earlier failures are forgotten.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_anew_after_a_stable_life() {
        let policy = Policy::default();
        let mut backoff = Backoff::default();
        let early = Duration::from_secs(1);
        let waits: Vec<u128> = (0..9).map(|_| backoff.died(&policy, early).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.died(&policy, policy.stable), Duration::ZERO);
        assert_eq!(backoff.died(&policy, early), policy.first);
        for _ in 0..100 {
            backoff.died(&policy, early);
        }
        assert_eq!(backoff.died(&policy, early), policy.cap);
        backoff.reset();
        assert_eq!(backoff.died(&policy, early), policy.first);
    }
}
