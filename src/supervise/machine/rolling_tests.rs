//! Tables: reloads worker by worker, step by step.

use super::tests::{Bench, DONE, KILLED, MS, SECOND, pid, pool_settings, settings};
use super::*;
use crate::sys::memory::SlotState;

/// What a generation of so many workers is made with that replaces the one before worker by worker.
fn rolling(workers: u32) -> PoolSettings {
    PoolSettings { rolling: true, ..pool_settings(workers) }
}

/// A server with one generation of so many workers (processes 101 and up, zygote 100), of which the next is imported (zygote 200).
fn reloading(workers: u32, next: PoolSettings) -> Bench {
    let mut bench = Bench::new(Settings { pool: Some(rolling(workers)), ..settings(workers) });
    bench.tell(Event::Start).boot(1, 100, 1, workers).pass(SECOND);
    bench.tell(Event::Reload(next)).expect(&["spawn 2"]);
    bench.tell(Event::ZygoteSpawned { generation: GenerationId(2), pid: pid(200) });
    bench.tell(Event::Imported { generation: GenerationId(2) });
    bench
}

#[test]
fn one_comes_and_one_goes() {
    let mut bench = reloading(4, rolling(4));
    bench.expect(&["fork 5 of 2 in 0"]);
    bench.comes_up(2, 5, 205, 0).expect(&["kill 101 15"]).pass(SECOND / 2).expect(&[]);
    bench.exit(101, DONE, &[], 3).expect(&["fork 6 of 2 in 1"]);
    // As many are new as will still take requests of the old: they take over, and the others leave as they get done.
    bench.comes_up(2, 6, 206, 1).expect(&["kill 102 15", "switch to 2"]);
    bench.tell(Event::ShardsSwitched { generation: GenerationId(2) }).expect(&["close inbox 1"]);
    bench.exit(102, DONE, &[], 3).expect(&["fork 7 of 2 in 2"]);
    bench.comes_up(2, 7, 207, 2).pass(SECOND / 2).expect(&[]);
    bench.exit(103, DONE, &[], 3).expect(&["fork 8 of 2 in 3"]).exit(104, DONE, &[], 3).expect(&["close control 1"]);
    bench.comes_up(2, 8, 208, 3).exit(100, DONE, &[], 0).expect(&["gone 1"]);
    assert_eq!(bench.machine.workers_serving(), 4);
}

#[test]
fn the_first_new_worker_proves_the_generation_before_anybody_leaves() {
    let mut bench = reloading(2, PoolSettings { warmup: Some(5 * SECOND), ..rolling(2) });
    bench.comes_up(2, 3, 203, 0).expect(&["fork 3 of 2 in 0", "warm up 2"]).pass(SECOND).expect(&[]);
    bench.tell(Event::WarmedUp { generation: GenerationId(2), failure: Some("500".into()) });
    bench.expect(&["kill 200 9", "kill 203 9"]).exit(203, KILLED, &[], 0).exit(200, KILLED, &[], 0).expect(&["gone 2"]);
    assert_eq!(bench.machine.workers_serving(), 2);

    let mut bench = reloading(2, PoolSettings { warmup: Some(5 * SECOND), ..rolling(2) });
    bench.comes_up(2, 3, 203, 0).expect(&["fork 3 of 2 in 0", "warm up 2"]);
    bench.tell(Event::WarmedUp { generation: GenerationId(2), failure: None });
    bench.expect(&["kill 101 15", "switch to 2"]);
}

#[test]
fn those_who_left_come_back_if_the_new_generation_fails_on_its_way() {
    let mut bench = reloading(4, rolling(4));
    bench.comes_up(2, 5, 205, 0).exit(101, DONE, &[], 3);
    bench.expect(&["fork 5 of 2 in 0", "kill 101 15", "fork 6 of 2 in 1"]);
    bench.exit(200, KILLED, &[], 0).expect(&["kill 205 9", "fork 7 of 1 in 0"]);
    bench.exit(205, KILLED, &[], 0).expect(&["gone 2"]);
}

#[test]
fn a_worker_that_dies_meanwhile_makes_room_as_well() {
    let mut bench = reloading(3, rolling(3));
    bench.comes_up(2, 4, 204, 0).expect(&["fork 4 of 2 in 0", "kill 101 15"]);
    // One of the old ones that was to stay comes back before a new one comes.
    bench.exit(102, KILLED, &[], 3).expect(&["fork 5 of 1 in 1", "switch to 2"]);
    bench.exit(101, DONE, &[], 3).expect(&["fork 6 of 2 in 1"]);
}

#[test]
fn an_old_worker_that_is_busy_for_long_holds_nothing_up() {
    let mut bench = reloading(4, rolling(4));
    bench.comes_up(2, 5, 205, 0).expect(&["fork 5 of 2 in 0", "kill 101 15"]).pass(900 * MS).expect(&[]);
    bench.pass(SECOND / 4);
    let asked = bench.take();
    assert!(asked.contains(&"kill 102 15".to_owned()), "{asked:?}");
    bench.exit(102, DONE, &[], 3).expect(&["fork 6 of 2 in 1"]);
    bench.comes_up(2, 6, 206, 1);
    assert!(bench.take().contains(&"switch to 2".to_owned()));
}

#[test]
fn more_and_fewer_workers_are_reached_within_the_bound() {
    let mut bench = reloading(2, rolling(4));
    bench.expect(&["fork 3 of 2 in 0", "fork 4 of 2 in 1", "fork 5 of 2 in 2"]);
    let mut bench = reloading(3, rolling(1));
    bench.comes_up(2, 4, 204, 0).expect(&["fork 4 of 2 in 0", "switch to 2"]);
}

#[test]
fn a_worker_that_is_being_replaced_anyway_is_waited_for() {
    let mut pool = rolling(2);
    pool.recycle = Recycle { requests: Some(1000), ..Recycle::default() };
    let mut bench = Bench::new(Settings { pool: Some(pool), ..settings(2) });
    bench.tell(Event::Start).boot(1, 100, 1, 2);
    bench.readings.iter_mut().filter(|reading| reading.view.pid == 101).for_each(|reading| reading.view.done = 1000);
    bench.pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.tell(Event::Reload(rolling(2))).tell(Event::ZygoteSpawned { generation: GenerationId(2), pid: pid(200) });
    bench.tell(Event::Imported { generation: GenerationId(2) }).expect(&["spawn 2"]).pass(SECOND).expect(&[]);
    bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(3), pid: pid(103) });
    bench.show(1, 2, 103, SlotState::Idle, 0, Monotonic::ZERO).pass(5 * MS).expect(&["kill 101 15"]);
    bench.exit(101, DONE, &[], 1000).expect(&["fork 4 of 2 in 0"]);
}
