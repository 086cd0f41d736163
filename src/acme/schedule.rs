//! When a certificate is asked for: pure, seconds since 1970 in and out.
//!
//! Owns the arithmetic of renewals, of waits after failures, and what a clock that jumps can do to them.

use serde::{Deserialize, Serialize};

use crate::base::bounds::{ACME_BACKOFF_SECONDS_MAX, ACME_WAIT_SECONDS_MAX};
use crate::tls::Leaf;

/// What is kept of the attempts for one certificate, also over a restart: a server that is started again and again does not ask again
/// and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// Failures since the last success.
    pub failures: u32,
    /// No attempt before.
    pub not_before: u64,
}

/// A part of the lifetime over which renewals are spread, so that certificates of one day are not renewed in one minute.
const SPREAD_DIVISOR: u64 = 20;

/// When a certificate that is good is renewed: at two thirds of its lifetime, up to a fortieth of it earlier or later. The same whenever
/// it is asked for one certificate.
pub fn renewal(leaf: &Leaf) -> u64 {
    let lifetime = leaf.not_after.saturating_sub(leaf.not_before);
    let spread = lifetime / SPREAD_DIVISOR;
    let place = (u128::from(spread) * u128::from(leaf.number)) >> 64;
    // 2/3 in an order that does not overflow for dates that a file may hold.
    let two_thirds = lifetime - lifetime / 3;
    leaf.not_before.saturating_add(two_thirds - spread / 2).saturating_add(place as u64)
}

/// When the next attempt is due. `leaf`: the certificate that is there, if it is for all names.
pub fn due(leaf: Option<&Leaf>, attempts: Attempts, retry_seconds: u64, now: u64) -> u64 {
    let wanted = leaf.map_or(0, renewal);
    // Farther away than any wait can be: the clock was wrong when it was noted, or is now.
    let earliest = match attempts.not_before > now.saturating_add(ACME_WAIT_SECONDS_MAX) {
        true => now.saturating_add(retry_seconds),
        false => attempts.not_before,
    };
    wanted.max(earliest)
}

/// After a failure at `now`; `asked_seconds` is what the authority asks for. `luck` is random.
pub fn failed(attempts: Attempts, retry_seconds: u64, asked_seconds: Option<u64>, now: u64, luck: u64) -> Attempts {
    let failures = attempts.failures.saturating_add(1);
    let factor = 1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX);
    let wait = retry_seconds.saturating_mul(factor).min(ACME_BACKOFF_SECONDS_MAX.max(retry_seconds));
    // Up to a quarter more.
    let wait = wait + ((u128::from(wait / 4) * u128::from(luck)) >> 64) as u64;
    let wait = wait.max(asked_seconds.unwrap_or(0)).min(ACME_WAIT_SECONDS_MAX);
    Attempts { failures, not_before: now.saturating_add(wait) }
}

/// After a success at `now` with the certificate `leaf`. One that would be renewed at once (a clock that is wrong, a lifetime that is
/// over before it begins) counts as a failure, or the authority would be asked for ever.
pub fn succeeded(attempts: Attempts, leaf: &Leaf, retry_seconds: u64, now: u64, luck: u64) -> Attempts {
    match renewal(leaf) <= now {
        true => failed(attempts, retry_seconds, None, now, luck),
        false => Attempts { failures: 0, not_before: now.saturating_add(retry_seconds) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 24 * 3600;
    const NOW: u64 = 1_800_000_000;

    fn leaf(not_before: u64, not_after: u64, number: u64) -> Leaf {
        Leaf { names: Vec::new(), not_before, not_after, number }
    }

    #[test]
    fn renewals_are_at_two_thirds_spread_over_a_twentieth() {
        let at = |number| renewal(&leaf(NOW, NOW + 90 * DAY, number)) - NOW;
        let spread = 90 * DAY / 20;
        assert_eq!(at(0), 60 * DAY - spread / 2);
        assert!((60 * DAY + spread / 2 - 1..=60 * DAY + spread / 2).contains(&at(u64::MAX)));
        assert!(at(u64::MAX / 2).abs_diff(60 * DAY) <= 1);
        // One that lasts for a minute.
        assert!((38..=42).contains(&(renewal(&leaf(NOW, NOW + 60, 5)) - NOW)));
    }

    #[test]
    fn without_a_certificate_it_is_due_at_once_unless_there_was_a_failure() {
        assert_eq!(due(None, Attempts::default(), 120, NOW), 0);
        let attempts = Attempts { failures: 1, not_before: NOW + 100 };
        assert_eq!(due(None, attempts, 120, NOW), NOW + 100);
        let good = leaf(NOW, NOW + 90 * DAY, 0);
        assert_eq!(due(Some(&good), attempts, 120, NOW), renewal(&good), "a failure does not bring it forward");
        assert_eq!(due(Some(&good), attempts, 120, NOW + 89 * DAY), renewal(&good), "which is over");
    }

    #[test]
    fn waits_double_up_to_a_day_and_heed_the_authority() {
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..14 {
            attempts = failed(attempts, 120, None, NOW, 0);
            waits.push(attempts.not_before - NOW);
        }
        assert_eq!(waits[..5], [120, 240, 480, 960, 1920]);
        assert_eq!(waits[13], DAY);
        assert_eq!(failed(attempts, 120, None, NOW, u64::MAX).not_before - NOW, DAY + DAY / 4 - 1);
        assert_eq!(failed(Attempts::default(), 120, Some(7200), NOW, 0).not_before - NOW, 7200);
        assert_eq!(failed(Attempts::default(), 120, Some(u64::MAX), NOW, 0).not_before - NOW, ACME_WAIT_SECONDS_MAX);
    }

    #[test]
    fn a_clock_that_jumped_holds_nothing_up_for_ever() {
        // Noted in 2100 by a clock that was wrong.
        let attempts = Attempts { failures: 3, not_before: NOW + 30_000 * DAY };
        assert_eq!(due(None, attempts, 120, NOW), NOW + 120);
    }

    #[test]
    fn a_certificate_that_is_due_at_once_counts_as_a_failure() {
        let mut attempts = Attempts::default();
        let stale = leaf(NOW - 80 * DAY, NOW + 10 * DAY, 0);
        let mut at = NOW;
        for count in 1..5 {
            attempts = succeeded(attempts, &stale, 120, at, 0);
            assert_eq!(attempts.failures, count);
            let next = due(Some(&stale), attempts, 120, at);
            assert_eq!(next - at, 120 << (count - 1));
            at = next;
        }
        let good = leaf(NOW, NOW + 90 * DAY, 0);
        assert_eq!(succeeded(attempts, &good, 120, NOW, 0), Attempts { failures: 0, not_before: NOW + 120 });
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_file_or_on_the_clock_no_attempt_is_out_of_bounds(
            not_before: u64, not_after: u64, number: u64, failures: u32, wait_until: u64, asked: Option<u64>, now in 0..u64::MAX / 2,
            luck: u64, retry in 1_u64..ACME_BACKOFF_SECONDS_MAX,
        ) {
            let leaf = leaf(not_before, not_after, number);
            let attempts = Attempts { failures, not_before: wait_until };
            prop_assert!(due(None, attempts, retry, now) <= now + ACME_WAIT_SECONDS_MAX);
            let next = failed(attempts, retry, asked, now, luck);
            prop_assert!(next.not_before >= now + retry && next.not_before <= now + ACME_WAIT_SECONDS_MAX);
            let next = succeeded(attempts, &leaf, retry, now, luck);
            prop_assert!(due(Some(&leaf), next, retry, now) >= now + retry, "never at once");
            if not_after > not_before {
                prop_assert!((not_before..=not_after).contains(&renewal(&leaf)));
            }
        }
    }
}
