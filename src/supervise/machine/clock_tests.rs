//! The clocks of requests and of life: tables.

use super::tests::{Bench, KILLED, MS, SECOND, pid};
use super::*;
use crate::sys::memory::{SlotState, SlotView};

/// Without repetitions.
fn once(said: &mut Vec<String>) -> Vec<String> {
    let mut said = std::mem::take(said);
    said.dedup();
    said
}

#[test]
fn a_request_over_its_time_costs_its_worker_an_abort_and_then_its_life() {
    let mut bench = Bench::serving();
    bench.pass(SECOND);
    let started = bench.now;
    bench.show(1, 0, 101, SlotState::Busy, 77, started).pass(30 * SECOND).expect(&[]);
    bench.pass(30 * MS).expect(&["interrupt 101 77"]).pass(1900 * MS);
    assert_eq!(once(&mut bench.said), ["interrupt 101 77"], "again and again");
    bench.pass(200 * MS);
    assert_eq!(once(&mut bench.said), ["interrupt 101 77", "kill 101 6"]);
    bench.pass(1800 * MS).expect(&[]).pass(200 * MS).expect(&["kill 101 9"]);
    bench.exit(101, KILLED, &[Held { shard: 0, token: 77 }], 0).expect(&["lost [77] of 1", "fork 3 of 1 in 0"]);
}

#[test]
fn a_thread_that_lets_go_of_its_request_costs_nothing() {
    let mut bench = Bench::serving();
    bench.pass(SECOND);
    let started = bench.now;
    bench.show(1, 0, 101, SlotState::Busy, 77, started).pass(31 * SECOND);
    assert_eq!(once(&mut bench.said), ["interrupt 101 77"]);
    let now = bench.now;
    bench.show(1, 0, 101, SlotState::Busy, 78, now).pass(20 * SECOND).expect(&[]);
    bench.show(1, 0, 101, SlotState::Idle, 0, Monotonic::ZERO).pass(200 * SECOND).expect(&[]);
}

/// A worker of two threads, one of which does not let go of its request; the other took one 20 seconds later. What they have is shown anew.
fn two_threads(bench: &mut Bench, state: SlotState, tokens: [(u64, Monotonic); 2]) {
    bench.readings.retain(|reading| reading.view.pid != 101);
    bench.readings.extend(tokens.map(|(token, started)| {
        let state = if token == 0 && state == SlotState::Busy { SlotState::Idle } else { state };
        let view = SlotView { token, started, state, shard: 0, pid: 101, done: 0 };
        Reading { generation: GenerationId(1), place: 0, view, rss_bytes: None }
    }));
}

#[test]
fn a_worker_ends_for_a_stuck_thread_once_another_is_up_and_its_other_threads_are_done() {
    let mut bench = Bench::serving();
    bench.pass(SECOND);
    let stuck = (77, bench.now);
    bench.pass(20 * SECOND);
    let other = (88, bench.now);
    two_threads(&mut bench, SlotState::Busy, [stuck, other]);
    bench.pass(10 * SECOND + 30 * MS);
    assert_eq!(once(&mut bench.said), ["ask 101", "interrupt 101 77"]);
    // Its client need not wait for the other threads.
    bench.pass(2 * SECOND);
    assert_eq!(once(&mut bench.said), ["interrupt 101 77", "give up 77", "fork 3 of 1 in 2"]);
    // Until its replacement is up, it goes on.
    two_threads(&mut bench, SlotState::Busy, [stuck, (0, Monotonic::ZERO)]);
    bench.pass(SECOND);
    assert_eq!(once(&mut bench.said), ["interrupt 101 77"]);
    let another = (89, bench.now);
    two_threads(&mut bench, SlotState::Busy, [stuck, another]);
    bench.comes_up(1, 3, 103, 2);
    assert!(bench.take().contains(&"kill 101 15".to_owned()));
    // It takes no more; the other request is still in hand, and then answered.
    two_threads(&mut bench, SlotState::Leaving, [stuck, another]);
    bench.pass(3 * SECOND);
    assert!(bench.take().iter().all(|said| said == "kill 101 15" || said == "interrupt 101 77"));
    two_threads(&mut bench, SlotState::Leaving, [stuck, (0, Monotonic::ZERO)]);
    bench.pass(300 * MS);
    assert_eq!(once(&mut bench.said).last().expect("something"), "kill 101 6");
    bench.exit(101, KILLED, &[Held { shard: 0, token: 77 }], 9).expect(&["lost [77] of 1"]);
    bench.pass(10 * SECOND).expect(&[]);
    assert_eq!(bench.machine.workers_serving(), 2);
}

#[test]
fn a_worker_of_whose_threads_none_lets_go_or_that_can_do_nothing_at_all_ends_at_once() {
    let mut bench = Bench::serving();
    let now = bench.now;
    two_threads(&mut bench, SlotState::Busy, [(77, now), (78, now)]);
    bench.pass(32 * SECOND + 30 * MS);
    assert!(bench.take().contains(&"kill 101 6".to_owned()));
    let mut bench = Bench::serving();
    let now = bench.now;
    two_threads(&mut bench, SlotState::Busy, [(77, now), (0, Monotonic::ZERO)]);
    bench.pass(31 * SECOND);
    assert_eq!(once(&mut bench.said), ["ask 101", "interrupt 101 77"]);
    bench.tell(Event::Life { waiting: Vec::new(), silent: vec![pid(101)] }).pass(2 * SECOND);
    assert!(!bench.take().contains(&"kill 101 6".to_owned()), "it may hold the other threads up for a while only");
    bench.pass(2 * SECOND);
    assert!(bench.take().contains(&"kill 101 6".to_owned()));
}

#[test]
fn a_worker_that_leaves_work_even_when_it_is_told_to_look_is_replaced() {
    let waiting = |bench: &mut Bench, is_waiting: bool| {
        let waiting = if is_waiting { vec![GenerationId(1)] } else { Vec::new() };
        bench.tell(Event::Life { waiting, silent: Vec::new() });
    };
    let mut bench = Bench::serving();
    waiting(&mut bench, true);
    bench.pass(17 * SECOND).pass(17 * SECOND);
    let asked = once(&mut bench.said);
    assert!(asked.contains(&"ask 101".to_owned()) && asked.contains(&"ask 102".to_owned()), "{asked:?}");
    // One takes some, the other does not.
    let now = bench.now;
    bench.show(1, 0, 101, SlotState::Busy, 5, now).pass(20 * SECOND);
    assert!(bench.said.contains(&"kill 102 6".to_owned()), "{:?}", bench.said);
    assert!(!bench.said.contains(&"kill 101 6".to_owned()), "{:?}", bench.said);
    // Nothing waits: nobody is told.
    bench.said.clear();
    bench.show(1, 0, 101, SlotState::Idle, 0, Monotonic::ZERO).exit(102, KILLED, &[], 0).said.clear();
    waiting(&mut bench, false);
    bench.pass(60 * SECOND);
    assert!(!bench.said.iter().any(|said| said.starts_with("ask")), "{:?}", bench.said);
}

#[test]
fn a_torn_reading_harms_nobody() {
    let mut bench = Bench::serving();
    bench.pass(100 * SECOND);
    // A new token beside an old time, seen once.
    bench.show(1, 0, 101, SlotState::Busy, 78, Monotonic::from_nanos(5));
    let readings = bench.readings.clone();
    bench.tell(Event::Tick { readings });
    let now = bench.now;
    bench.show(1, 0, 101, SlotState::Busy, 78, now).pass(29 * SECOND).expect(&[]);
}
