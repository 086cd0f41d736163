//! Whether a worker still takes work: no heartbeat, only what can be seen from outside, and a word to it where that raises a doubt.
//!
//! Owns the rule. A worker that is idle and finishes nothing for half of the time that it has, while others do or its inbox is never seen empty, is
//! told to look at the inbox and to give a sign. It is not alive when it gives none for the other half, or still takes nothing of what waits. A worker
//! that merely was not needed gives the sign; one that sleeps, because the kernel has woken another one, takes the work then. Pure; `worker`
//! does what follows.

use crate::base::clock::Monotonic;
use std::time::Duration;

/// What the loop has seen of one worker at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Its threads wait for requests, all of them.
    pub is_idle: bool,
    /// Requests wait in its inbox.
    pub is_work_waiting: bool,
    /// Requests that it has finished.
    pub done: u64,
    /// Those that all workers of its generation have finished.
    pub done_by_all: u64,
    /// It was told to look and has given no sign yet.
    pub is_silent: bool,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Liveness {
    idle: Option<Idle>,
    looked_at: Monotonic,
}

/// A worker that takes nothing.
#[derive(Clone, Copy, Debug)]
struct Idle {
    since: Monotonic,
    done: u64,
    done_by_all: u64,
    /// Since when its inbox is not seen empty.
    waiting: Option<Monotonic>,
    /// Since when it is told to look.
    told: Option<Monotonic>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Alive,
    /// It is to be told to look.
    Wake,
    NotAlive,
}

impl Liveness {
    /// Looks at a worker that is given `limit`.
    pub fn look(&mut self, seen: Sight, limit: Duration, now: Monotonic) -> Verdict {
        // Nobody was there to look: the machine has slept, and the worker with it.
        let is_late = now > self.looked_at + limit / 2 + limit / 4;
        self.looked_at = now;
        let begun = Idle { since: now, done: seen.done, done_by_all: seen.done_by_all, waiting: None, told: None };
        let mut idle = match self.idle {
            Some(idle) if seen.is_idle && idle.done == seen.done && !is_late => idle,
            _ => {
                self.idle = seen.is_idle.then_some(begun);
                return Verdict::Alive;
            }
        };
        idle.waiting = seen.is_work_waiting.then(|| idle.waiting.unwrap_or(now));
        let waits_for = |span| idle.waiting.is_some_and(|since| now >= since + span);
        let is_doubtful =
            waits_for(limit / 2) || (now >= idle.since + limit / 2 && idle.done_by_all != seen.done_by_all);
        let verdict = match idle.told {
            None if is_doubtful => {
                idle.told = Some(now);
                Verdict::Wake
            }
            None => Verdict::Alive,
            Some(told) if seen.is_silent && now >= told + limit / 2 => Verdict::NotAlive,
            Some(_) if waits_for(limit) => Verdict::NotAlive,
            // Again and again: a signal that comes just before a wait begins is not heard.
            Some(_) if seen.is_silent || idle.waiting.is_some() => Verdict::Wake,
            Some(_) => {
                idle = begun;
                Verdict::Alive
            }
        };
        self.idle = Some(idle);
        verdict
    }

    /// When to look again: closely at one that seems to take nothing.
    pub fn look_at(&self, limit: Duration, now: Monotonic) -> Monotonic {
        let is_close = self.idle.is_some_and(|idle| idle.waiting.is_some() || idle.told.is_some());
        now + if is_close { limit / 16 } else { limit / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(32);
    const SECOND: Duration = Duration::from_secs(1);
    const IDLE: Sight = Sight { is_idle: true, is_work_waiting: false, done: 7, done_by_all: 7, is_silent: false };
    const STUCK: Sight = Sight { is_work_waiting: true, ..IDLE };
    const BEGUN: Monotonic = Monotonic::from_nanos(1_000_000_000);

    /// What is said other than `Alive`, up to the end, and when. What is seen depends on the second, and on whether it was told.
    fn verdicts(seen: impl Fn(u32, bool) -> Sight) -> Vec<(u32, Verdict)> {
        let (mut liveness, mut said) = (Liveness::default(), Vec::new());
        for second in 0..100 {
            let verdict = liveness.look(seen(second, !said.is_empty()), LIMIT, BEGUN + second * SECOND);
            if verdict != Verdict::Alive {
                said.push((second, verdict));
            }
            if verdict == Verdict::NotAlive {
                break;
            }
        }
        said
    }

    /// Told to look from the seventeenth second on, in vain.
    fn in_vain(first: u32, end: u32) -> Vec<(u32, Verdict)> {
        (first..end).map(|second| (second, Verdict::Wake)).chain([(end, Verdict::NotAlive)]).collect()
    }

    #[test]
    fn one_that_takes_nothing_although_it_was_told_to_look_is_not_alive() {
        assert_eq!(verdicts(|_, _| STUCK), in_vain(17, 33));
    }

    #[test]
    fn one_that_gives_no_sign_is_not_alive_whoever_does_its_work() {
        let working = |second: u32, told| Sight { done_by_all: u64::from(second), is_silent: told, ..IDLE };
        assert_eq!(verdicts(working), in_vain(16, 32));
        let waiting = |second, told| Sight { is_work_waiting: second <= 17, is_silent: told, ..IDLE };
        assert_eq!(verdicts(waiting), in_vain(17, 33));
    }

    #[test]
    fn one_that_works_or_has_nothing_to_do_or_gives_a_sign_is_alive() {
        assert_eq!(verdicts(|second, _| Sight { done: u64::from(second / 10), ..STUCK }), []);
        assert_eq!(verdicts(|_, _| IDLE), []);
        assert_eq!(verdicts(|_, _| Sight { is_idle: false, ..STUCK }), []);
        assert_eq!(verdicts(|second, _| Sight { is_work_waiting: second % 15 != 0, ..STUCK }), []);
        let is_told = |said: Vec<(u32, Verdict)>| {
            assert!(said.len() > 2 && said.iter().all(|(_, verdict)| *verdict == Verdict::Wake), "{said:?}");
        };
        // Others do all the work.
        is_told(verdicts(|second, _| Sight { done_by_all: u64::from(second), ..IDLE }));
        is_told(verdicts(|second, _| Sight { done_by_all: u64::from(second), is_silent: second % 17 < 5, ..IDLE }));
        // It has slept beside work, and takes some when it is told to look.
        is_told(verdicts(|second, _| Sight { done: u64::from(second / 20), ..STUCK }));
    }

    #[test]
    fn a_machine_that_has_slept_is_nobody_s_fault() {
        let mut liveness = Liveness::default();
        let seen = Sight { is_silent: true, ..STUCK };
        for second in 0..20 {
            liveness.look(seen, LIMIT, BEGUN + second * SECOND);
        }
        assert_eq!(liveness.look(seen, LIMIT, BEGUN + 1000 * SECOND), Verdict::Alive);
    }
}
