//! When files that change have come to rest: pure, the time is passed in.
//!
//! An editor's save is a handful of events, a checkout thousands. They are one change, which counts once nothing more has come for a moment,
//! or after a bound all the same. Called by `watch`.

use std::time::Duration;

use crate::base::bounds::{WATCH_QUIET_MS, WATCH_QUIET_MS_MAX};
use crate::base::clock::Monotonic;

const QUIET: Duration = Duration::from_millis(WATCH_QUIET_MS);
const LONGEST: Duration = Duration::from_millis(WATCH_QUIET_MS_MAX);

/// A change that goes on, if there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rest {
    /// Its first and its last event.
    change: Option<(Monotonic, Monotonic)>,
}

impl Rest {
    /// Something has changed.
    pub fn disturb(&mut self, now: Monotonic) {
        let first = self.change.map_or(now, |(first, _)| first);
        self.change = Some((first, now));
    }

    /// When the change is to be acted upon; `None`: there is none.
    pub fn due(&self) -> Option<Monotonic> {
        self.change.map(|(first, last)| (last + QUIET).min(first + LONGEST))
    }

    /// Whether it is to be acted upon now; then it is over.
    pub fn take(&mut self, now: Monotonic) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            self.change = None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_hundred_saves_in_a_second_are_one_change() {
        let mut rest = Rest::default();
        let mut now = Monotonic::from_nanos(1_000_000_000);
        assert!(rest.due().is_none() && !rest.take(now));
        for _ in 0..100 {
            assert!(!rest.take(now));
            rest.disturb(now);
            now += 10 * MS;
        }
        assert_eq!(rest.due(), Some(now + QUIET.checked_sub(10 * MS).expect("longer")));
        now += QUIET;
        assert!(rest.take(now) && !rest.take(now + 10 * LONGEST));
    }

    #[test]
    fn what_never_rests_is_acted_upon_all_the_same() {
        let mut rest = Rest::default();
        let begun = Monotonic::from_nanos(1_000_000_000);
        let mut now = begun;
        while !rest.take(now) {
            rest.disturb(now);
            now += 10 * MS;
            assert!(now.since(begun) < 2 * LONGEST);
        }
        assert!(now.since(begun) >= LONGEST);
    }

    proptest! {
        #[test]
        fn no_change_is_forgotten_and_none_is_made_up(gaps in proptest::collection::vec(0u64..300, 1..60)) {
            let mut rest = Rest::default();
            let mut now = Monotonic::from_nanos(1_000_000_000);
            let mut is_open = false;
            for gap in gaps {
                now += Duration::from_millis(gap);
                let taken = rest.take(now);
                prop_assert!(is_open || !taken);
                prop_assert!(taken || !is_open || Duration::from_millis(gap) < QUIET || gap == 0);
                rest.disturb(now);
                is_open = true;
            }
            prop_assert!(rest.take(now + QUIET));
        }
    }
}
