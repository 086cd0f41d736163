//! Tables: workers that are replaced although they are well, step by step.

use super::tests::{Bench, DONE, KILLED, MS, SECOND, pid, pool_settings, settings};
use super::*;
use crate::sys::memory::SlotState;

/// A server with one generation of two workers (processes 101 and 102, zygote 100), which are worn by this.
fn serving(recycle: Recycle) -> Bench {
    let mut settings = settings(2);
    settings.pool.as_mut().expect("there is one").recycle = recycle;
    let mut bench = Bench::new(settings);
    bench.tell(Event::Start).boot(1, 100, 1, 2);
    bench
}

/// The same, worn by 1000 requests.
fn counted() -> Bench {
    serving(Recycle { requests: Some(1000), ..Recycle::default() })
}

/// Process `number` has answered so many requests.
fn done(bench: &mut Bench, number: u32, done: u64) -> &mut Bench {
    bench.readings.iter_mut().filter(|reading| reading.view.pid == number).for_each(|reading| reading.view.done = done);
    bench
}

#[test]
fn a_worn_worker_is_asked_to_end_once_its_replacement_is_up() {
    let mut bench = counted();
    done(&mut bench, 102, 999).pass(5 * SECOND).expect(&[]);
    done(&mut bench, 102, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(3), pid: pid(103) });
    bench.pass(SECOND).expect(&[]);
    bench.show(1, 2, 103, SlotState::Idle, 0, Monotonic::ZERO).pass(SECOND).expect(&["kill 102 15"]);
    bench.exit(102, DONE, &[], 1000).pass(5 * SECOND).expect(&[]);
    // The place that has become free is the spare one now.
    done(&mut bench, 103, 1000).pass(SECOND).expect(&["fork 4 of 1 in 1"]);
    bench.comes_up(1, 4, 104, 1).expect(&["kill 103 15"]).exit(103, DONE, &[], 1000).expect(&[]);
    assert_eq!(bench.machine.workers_serving(), 2);
}

#[test]
fn never_are_two_replaced_at_once() {
    let mut bench = counted();
    done(&mut bench, 101, 5000);
    done(&mut bench, 102, 5000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.comes_up(1, 3, 103, 2).expect(&["kill 101 15"]);
    bench.pass(900 * MS).expect(&[]).exit(101, DONE, &[], 5000).expect(&["fork 4 of 1 in 0"]);
    bench.comes_up(1, 4, 104, 0).expect(&["kill 102 15"]).exit(102, DONE, &[], 5000).pass(5 * SECOND).expect(&[]);
}

#[test]
fn a_worker_whose_replacement_does_not_come_up_goes_on() {
    let mut bench = counted();
    done(&mut bench, 101, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    for (n, wait_ms) in [(3, 100), (4, 200)] {
        bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(n), pid: pid(100 + n as i32) });
        bench.exit(100 + n as i32, Exit::Code(3), &[], 0).pass((wait_ms - 1) * MS).expect(&[]);
        bench.pass(MS).expect(&[&format!("fork {} of 1 in 2", n + 1)]);
    }
    let error = "no memory".to_owned();
    bench.tell(Event::ForkFailed { generation: GenerationId(1), worker: WorkerId(5), error });
    bench.pass(SECOND).expect(&["fork 6 of 1 in 2"]);
    assert_eq!(bench.machine.workers_serving(), 2);
    bench.comes_up(1, 6, 106, 2).expect(&["kill 101 15"]);
}

#[test]
fn a_replacement_takes_the_place_of_a_worker_that_dies_before_it_was_asked() {
    let mut bench = counted();
    done(&mut bench, 101, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.exit(101, KILLED, &[Held { shard: 0, token: 7 }], 1000).expect(&["lost [7] of 1"]);
    bench.comes_up(1, 3, 103, 2).pass(5 * SECOND).expect(&[]);
    assert_eq!(bench.machine.workers_serving(), 2);
    // One that dies on its way is followed by another, and so is the worker itself.
    done(&mut bench, 102, 1000).pass(SECOND).expect(&["fork 4 of 1 in 0"]);
    bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(4), pid: pid(104) });
    bench.exit(104, KILLED, &[], 0).exit(102, KILLED, &[], 1000).expect(&["fork 5 of 1 in 1"]);
    bench.comes_up(1, 5, 105, 1).pass(5 * SECOND).expect(&[]);
}

#[test]
fn old_workers_are_replaced_one_after_another() {
    let mut bench = serving(Recycle { lifetime: Some(100 * SECOND), ..Recycle::default() });
    bench.pass(85 * SECOND).expect(&[]).pass(15 * SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.comes_up(1, 3, 103, 2);
    let asked = bench.take();
    let [first] = &asked[..] else { panic!("one was asked: {asked:?}") };
    let (first, other) = if first == "kill 101 15" { (101, 102) } else { (102, 101) };
    bench.exit(first, DONE, &[], 3).expect(&[&format!("fork 4 of 1 in {}", first - 101)]);
    bench.comes_up(1, 4, 104, first as u32 - 101).expect(&[&format!("kill {other} 15")]);
    bench.exit(other, DONE, &[], 3).pass(80 * SECOND).expect(&[]);
}

#[test]
fn a_large_worker_is_replaced_and_one_that_is_large_in_a_request_is_not() {
    let mut bench = serving(Recycle { rss_bytes: Some(1000), ..Recycle::default() });
    let large =
        |bench: &mut Bench, bytes| bench.readings.iter_mut().for_each(|reading| reading.rss_bytes = Some(bytes));
    let now = bench.now;
    bench.show(1, 0, 101, SlotState::Busy, 9, now).show(1, 1, 102, SlotState::Busy, 8, now);
    large(&mut bench, 5000);
    bench.pass(3 * SECOND).expect(&[]);
    bench.show(1, 0, 101, SlotState::Idle, 0, Monotonic::ZERO);
    large(&mut bench, 900);
    bench.pass(3 * SECOND).expect(&[]);
    large(&mut bench, 1001);
    bench.pass(SECOND).expect(&["fork 3 of 1 in 2"]);
}

#[test]
fn a_worn_worker_may_finish_what_it_has_for_as_long_as_a_request_may_take() {
    let mut bench = counted();
    let now = bench.now;
    done(bench.show(1, 0, 101, SlotState::Busy, 9, now), 101, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.comes_up(1, 3, 103, 2).expect(&["kill 101 15"]);
    bench.pass(28 * SECOND);
    // Who has nothing to do meanwhile is asked whether it lives.
    let said = bench.take();
    let asked = said.iter().filter(|said| !said.starts_with("ask "));
    assert!(asked.clone().count() > 20 && asked.clone().all(|said| said == "kill 101 15"), "again and again: {said:?}");
    // Its time is over: that of any request, and not of the reload, which is shorter.
    bench.pass(5 * SECOND);
    assert!(bench.take().contains(&"kill 101 6".to_owned()));
}

#[test]
fn where_nobody_is_to_be_no_replacement_stays() {
    let mut bench = counted();
    done(&mut bench, 101, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.tell(Event::VacateSlot(0)).expect(&["kill 101 15"]);
    bench.comes_up(1, 3, 103, 2).expect(&["kill 103 15"]);
    bench.exit(101, DONE, &[], 1000).exit(103, DONE, &[], 0).pass(SECOND / 2).expect(&[]);
    assert_eq!(bench.machine.places()[0].state, PlaceState::Vacated);
    bench.tell(Event::FillSlot(0)).expect(&["fork 4 of 1 in 2"]);
}

#[test]
fn a_reload_and_a_stop_leave_no_replacement_behind() {
    let mut bench = counted();
    done(&mut bench, 101, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.tell(Event::Reload(pool_settings(1))).boot(2, 200, 4, 1);
    bench.comes_up(1, 3, 103, 2).expect(&[]);
    bench.exit(101, DONE, &[], 1000).exit(102, DONE, &[], 3).expect(&[]);
    bench.exit(103, DONE, &[], 0).expect(&["close control 1"]).exit(100, DONE, &[], 0).expect(&["gone 1"]);

    let mut bench = counted();
    done(&mut bench, 101, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(3), pid: pid(103) });
    bench.tell(Event::Quit).pass(SECOND);
    let killed = ["kill 100 9", "kill 101 9", "kill 102 9", "kill 103 9"];
    bench.expect(&[&["drain shards", "stop shards", "close inbox 1"], &killed[..]].concat());
}

#[test]
fn nothing_is_replaced_while_a_new_generation_boots() {
    let mut bench = counted();
    bench.tell(Event::Reload(pool_settings(1))).expect(&["spawn 2"]);
    done(&mut bench, 101, 1000).pass(5 * SECOND).expect(&[]);
    let error = "no memory".to_owned();
    bench.tell(Event::SpawnFailed { generation: GenerationId(2), error }).expect(&["gone 2", "fork 3 of 1 in 2"]);
}

#[test]
fn a_replacement_whose_zygote_died_before_reporting_it_is_adopted() {
    let mut bench = counted();
    done(&mut bench, 101, 1000).pass(SECOND).expect(&["fork 3 of 1 in 2"]);
    bench.exit(100, KILLED, &[], 0).show(1, 2, 103, SlotState::Idle, 0, Monotonic::ZERO);
    bench.pass(SECOND).expect(&["kill 101 15", "spawn 2"]);
    bench.exit(101, DONE, &[], 1000).exit(103, KILLED, &[Held { shard: 0, token: 6 }], 0).expect(&["lost [6] of 1"]);
}

#[test]
fn a_worn_out_pool_is_looked_at_once_a_second() {
    let mut bench = counted();
    let (mut ticks, end) = (0, bench.now + 100 * SECOND);
    while let Some(at) = bench.machine.wake_at(bench.now).filter(|at| *at <= end) {
        bench.now = at;
        ticks += 1;
        let readings = bench.readings.clone();
        bench.tell(Event::Tick { readings });
    }
    assert!((90..=210).contains(&ticks), "{ticks} ticks in 100 s for two workers");
}
