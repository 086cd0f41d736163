//! The worker that a generation's zygote keeps ready for the next place that falls vacant: which process that is, until it has a place or has ended.
//!
//! Owns the knowledge that it is there, so that a generation is not gone before it. Decides nothing about it: the zygote forks it, gives it its place, and
//! lets go of it. Called by the machine.

use super::event::Action;
use super::generation::Generation;
use crate::sys::process::{Pid, Signal};

/// The process that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserve {
    pub pid: Pid,
    is_killed: bool,
}

impl Generation {
    /// The zygote has forked one; it has let go of the one before, if there was one.
    pub fn reserve_forked(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        self.kill_reserve(actions);
        self.reserve = Some(Reserve { pid, is_killed: false });
    }

    /// If it was this process, it is so no more: it has a place, or has ended.
    pub fn reserve_left(&mut self, pid: Pid) {
        self.reserve = self.reserve.filter(|reserve| reserve.pid != pid);
    }

    /// Ends it, if it does not do so by itself.
    pub(super) fn kill_reserve(&mut self, actions: &mut Vec<Action>) {
        if let Some(reserve) = self.reserve.as_mut().filter(|reserve| !reserve.is_killed) {
            reserve.is_killed = true;
            actions.push(Action::Kill { pid: reserve.pid, signal: Signal::KILL });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, GenerationId, WorkerId};
    use super::super::tests::{Bench, DONE, KILLED, MS, SECOND, pid};
    use crate::base::clock::Monotonic;
    use crate::sys::memory::SlotState;

    const ONE: GenerationId = GenerationId(1);

    /// A server of two workers with a third one that waits, 110.
    fn bench() -> Bench {
        let mut bench = Bench::serving();
        bench.pass(SECOND).tell(Event::ReserveForked { generation: ONE, pid: pid(110) }).expect(&[]);
        bench
    }

    #[test]
    fn one_that_waits_becomes_a_worker_like_others() {
        let mut bench = bench();
        bench.exit(101, KILLED, &[], 5).expect(&["fork 3 of 1 in 0"]);
        bench.tell(Event::WorkerForked { generation: ONE, worker: WorkerId(3), pid: pid(110) });
        bench.show(1, 0, 110, SlotState::Idle, 0, Monotonic::ZERO).pass(SECOND).expect(&[]);
        bench.tell(Event::ReserveForked { generation: ONE, pid: pid(111) }).expect(&[]);
        bench.exit(110, KILLED, &[], 5).expect(&["fork 4 of 1 in 0"]);
        assert_eq!(bench.machine.workers_serving(), 1);
    }

    #[test]
    fn one_that_dies_with_a_place_is_a_worker_that_has_died() {
        let mut bench = bench();
        bench.exit(101, KILLED, &[], 5).expect(&["fork 3 of 1 in 0"]);
        bench.exit(110, KILLED, &[], 0).expect(&[]);
        bench.tell(Event::WorkerForked { generation: ONE, worker: WorkerId(3), pid: pid(110) });
        bench.pass(SECOND).expect(&["fork 4 of 1 in 0"]);
    }

    #[test]
    fn one_that_dies_without_a_place_is_nobody() {
        let mut bench = bench();
        bench.exit(110, KILLED, &[], 0).pass(SECOND).expect(&[]);
        bench.tell(Event::ReserveForked { generation: ONE, pid: pid(111) }).expect(&[]);
        // Another one has come in its place.
        bench.tell(Event::ReserveForked { generation: ONE, pid: pid(112) }).expect(&["kill 111 9"]);
        assert_eq!(bench.machine.workers_serving(), 2);
    }

    #[test]
    fn a_generation_is_not_gone_before_it() {
        let mut bench = bench();
        bench.tell(Event::Terminate).tell(Event::ShardsDrained).expect(&["drain shards", "close inbox 1"]);
        bench.exit(101, DONE, &[], 1).exit(102, DONE, &[], 1).expect(&["close control 1"]);
        bench.exit(100, DONE, &[], 0).pass(MS).expect(&[]);
        bench.exit(110, DONE, &[], 0).expect(&["gone 1", "exit 0"]);
    }

    #[test]
    fn one_that_does_not_end_is_killed_and_keeps_nobody_for_longer_than_others() {
        let mut bench = bench();
        bench.tell(Event::Terminate).tell(Event::ShardsDrained).expect(&["drain shards", "close inbox 1"]);
        bench.exit(101, DONE, &[], 1).exit(102, DONE, &[], 1).exit(100, DONE, &[], 0).expect(&["close control 1"]);
        bench.pass(3 * SECOND).expect(&["kill 110 9"]);
        bench.pass(60 * SECOND).expect(&["exit 0"]);
    }

    #[test]
    fn one_whose_zygote_did_not_live_to_report_its_place_is_adopted() {
        let mut bench = bench();
        bench.exit(101, KILLED, &[], 1).expect(&["fork 3 of 1 in 0"]);
        bench.exit(100, KILLED, &[], 0).show(1, 0, 110, SlotState::Idle, 0, Monotonic::ZERO);
        bench.pass(SECOND).expect(&["spawn 2"]);
        bench.boot(2, 200, 5, 2);
        bench.exit(102, DONE, &[], 1).exit(110, DONE, &[], 1).expect(&["close control 1", "gone 1"]);
    }
}
