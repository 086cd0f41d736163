//! The web workers told of as processes: what was seen of their places, as steps between supervisord's states.
//!
//! Pure. Workers are replaced and their places seen now and then, while listeners expect each state to follow from the one before: so what lies
//! between is told too. Owns what was told last.

use std::collections::BTreeMap;

use super::payload::Details;
use crate::supervise::programs::machine::State;

/// How a worker is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervise) struct Seen {
    pub slot: u32,
    pub state: State,
    /// 0: it has no process.
    pub pid: i32,
}

/// A change to tell of.
#[derive(Clone, Copy, Debug)]
pub(in crate::supervise) struct Step {
    pub slot: u32,
    pub from: State,
    pub to: State,
    pub details: Details,
}

/// What was told of all workers.
#[derive(Debug, Default)]
pub(in crate::supervise) struct Workers {
    told: BTreeMap<u32, Told>,
    /// Workers that have ended as they should, since the last look.
    ended_well: Vec<i32>,
    /// Nobody has listened so far: what is seen next is where the telling begins.
    was_unheard: bool,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    state: State,
    pid: i32,
    tries: u32,
}

impl Workers {
    /// A worker has ended by itself or on request, without a failure.
    pub fn ended_well(&mut self, pid: i32) {
        self.ended_well.push(pid);
    }

    /// Nobody listens: what happens is not to be told later.
    pub fn unheard(&mut self) {
        *self = Workers { was_unheard: true, ..Workers::default() };
    }

    /// What there is to tell, now that the workers are seen so.
    pub fn look(&mut self, seen: &[Seen]) -> Vec<Step> {
        if std::mem::take(&mut self.was_unheard) {
            let told = |seen: &Seen| (seen.slot, Told { state: seen.state, pid: seen.pid, tries: 0 });
            self.told = seen.iter().map(told).collect();
            return Vec::new();
        }
        let mut steps = Vec::new();
        let gone = self.told.keys().filter(|slot| seen.iter().all(|seen| seen.slot != **slot));
        let gone: Vec<Seen> = gone.map(|&slot| Seen { slot, state: State::Stopped, pid: 0 }).collect();
        for seen in gone.iter().chain(seen) {
            let told = self.told.entry(seen.slot).or_insert(Told { state: State::Stopped, pid: 0, tries: 0 });
            if told.state == State::Starting && seen.state == State::Starting {
                told.pid = seen.pid;
            }
            for &to in path(*told, *seen) {
                let from = told.state;
                let has_process = matches!(to, State::Starting | State::Running) || from == State::Starting;
                if has_process && seen.pid != 0 {
                    told.pid = seen.pid;
                }
                match to {
                    State::Backoff => told.tries += 1,
                    State::Running | State::Stopped => told.tries = 0,
                    _ => {}
                }
                told.state = to;
                let details = Details {
                    pid: if from == State::Backoff { 0 } else { told.pid },
                    tries: told.tries,
                    is_expected: self.ended_well.contains(&told.pid),
                };
                steps.push(Step { slot: seen.slot, from, to, details });
            }
        }
        for seen in gone {
            self.told.remove(&seen.slot);
        }
        self.ended_well.clear();
        steps
    }
}

/// The states that lead from what was told to what is seen.
fn path(told: Told, seen: Seen) -> &'static [State] {
    use State::{Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Unknown};
    let is_another = told.pid != seen.pid;
    match (seen.state, told.state) {
        (Starting, Starting) | (Stopping, Stopping) => &[],
        (Starting, Running) => &[Exited, Starting],
        (Starting, Stopping) => &[Stopped, Starting],
        (Starting, _) => &[Starting],

        (Running, Starting) => &[Running],
        (Running, Running) if is_another => &[Stopping, Stopped, Starting, Running],
        (Running, Running) => &[],
        (Running, Stopping) => &[Stopped, Starting, Running],
        (Running, _) => &[Starting, Running],

        (Stopping, Running) if is_another => &[Stopping, Stopped, Starting, Stopping],
        (Stopping, Running | Starting) => &[Stopping],
        (Stopping, _) => &[Starting, Stopping],

        // It waits for its next start: only one that was not up yet has failed to start.
        (Backoff, Starting) => &[Backoff],
        (Backoff | Exited, Running) => &[Exited],
        (Backoff | Exited | Stopped, Stopping) => &[Stopped],
        (Exited | Stopped, Backoff) => &[Stopped],
        (Exited | Stopped, Starting) | (Stopped, Running) => &[Stopping, Stopped],
        (Backoff | Exited | Stopped, _) | (Fatal | Unknown, _) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Backoff, Exited, Running, Starting, Stopped, Stopping};
    use proptest::prelude::*;

    fn seen(slot: u32, state: State, pid: i32) -> Seen {
        Seen { slot, state, pid }
    }

    fn told(steps: &[Step]) -> Vec<(State, State, i32)> {
        steps.iter().map(|step| (step.from, step.to, step.details.pid)).collect()
    }

    #[test]
    fn a_start_and_a_stop_are_told_state_by_state() {
        let mut workers = Workers::default();
        assert_eq!(told(&workers.look(&[seen(0, Starting, 0)])), [(Stopped, Starting, 0)]);
        assert_eq!(told(&workers.look(&[seen(0, Starting, 7)])), []);
        assert_eq!(told(&workers.look(&[seen(0, Running, 7)])), [(Starting, Running, 7)]);
        assert_eq!(told(&workers.look(&[seen(0, Stopping, 7)])), [(Running, Stopping, 7)]);
        assert_eq!(told(&workers.look(&[])), [(Stopping, Stopped, 7)]);
        assert_eq!(told(&workers.look(&[])), []);
    }

    #[test]
    fn a_new_generation_takes_the_place_of_the_old_one() {
        let mut workers = Workers::default();
        workers.look(&[seen(0, Running, 7)]);
        let steps = workers.look(&[seen(0, Running, 8)]);
        assert_eq!(
            told(&steps),
            [(Running, Stopping, 7), (Stopping, Stopped, 7), (Stopped, Starting, 8), (Starting, Running, 8)]
        );
    }

    #[test]
    fn a_crash_is_an_exit_and_an_early_one_a_failed_start() {
        let mut workers = Workers::default();
        workers.look(&[seen(0, Running, 7)]);
        let steps = workers.look(&[seen(0, Backoff, 0)]);
        assert_eq!((told(&steps), steps[0].details.is_expected), (vec![(Running, Exited, 7)], false));
        assert_eq!(told(&workers.look(&[seen(0, Starting, 8)])), [(Exited, Starting, 8)]);
        for tries in 1..3 {
            let steps = workers.look(&[seen(0, Backoff, 0)]);
            assert_eq!((steps[0].to, steps[0].details.tries), (Backoff, tries));
            assert_eq!(workers.look(&[seen(0, Starting, 9)])[0].details.tries, tries);
        }
        workers.look(&[seen(0, Running, 9)]);
        workers.ended_well(9);
        assert!(workers.look(&[seen(0, Starting, 10)])[0].details.is_expected);
    }

    #[test]
    fn what_nobody_heard_is_not_told_later() {
        let mut workers = Workers::default();
        workers.look(&[seen(0, Running, 7)]);
        workers.unheard();
        assert_eq!(told(&workers.look(&[seen(0, Running, 8)])), []);
        assert_eq!(told(&workers.look(&[seen(0, Stopping, 8)])), [(Running, Stopping, 8)]);
    }

    /// supervisord's transitions.
    fn is_legal(from: State, to: State) -> bool {
        matches!(
            (from, to),
            (Stopped | Exited | Backoff, Starting)
                | (Starting, Running | Backoff | Stopping)
                | (Running, Stopping | Exited)
                | (Stopping | Backoff, Stopped)
        )
    }

    proptest! {
        #[test]
        fn each_state_follows_from_the_one_before(
            looks in prop::collection::vec(prop::option::of((0usize..6, 1i32..4)), 1..40),
        ) {
            let mut workers = Workers::default();
            let mut now = (Stopped, 0);
            for look in looks {
                let state = look.map(|(state, pid)| ([Stopped, Starting, Running, Stopping, Backoff, Exited][state], pid));
                let seen: Vec<Seen> = state.iter().map(|&(state, pid)| seen(0, state, pid)).collect();
                for step in workers.look(&seen) {
                    prop_assert_eq!(step.from, now.0);
                    prop_assert!(is_legal(step.from, step.to), "{:?}", step);
                    now = (step.to, step.details.pid);
                }
                match state {
                    None => now = (Stopped, 0),
                    Some((Running, pid)) => prop_assert_eq!(now, (Running, pid)),
                    Some((state @ (Starting | Stopping), _)) => prop_assert_eq!(now.0, state),
                    Some((Stopped | Backoff | Exited, _)) => prop_assert!(!matches!(now.0, Running | Stopping | Starting)),
                    Some(_) => {}
                }
            }
        }
    }
}
