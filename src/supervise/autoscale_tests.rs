//! Tests of the controller: a server with random arrivals and service times, in steps of 10 ms, and random seconds.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds =
    Bounds { min: 1, max: 10, threads: 1, wait: Duration::from_millis(100), idle: Duration::from_secs(60) };
const STEPS: u32 = 100;

fn second(wait_ms: u64, busy: f64, up: u32) -> Second {
    Second { wait: Duration::from_millis(wait_ms), busy, up }
}

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
struct Random(u64);

impl Random {
    /// From 0 to below 1.
    fn part(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A server whose workers take a second to get up.
struct World {
    autoscale: Autoscale,
    random: Random,
    /// Steps that those have waited that no worker has.
    waiting: VecDeque<u32>,
    busy: u32,
    up: u32,
    changes: Vec<(u32, Change)>,
    now: u32,
}

impl World {
    fn new(bounds: Bounds, workers: u32, seed: u64) -> World {
        let autoscale = Autoscale::new(bounds, workers);
        let up = autoscale.wanted();
        World {
            autoscale,
            random: Random(seed | 1),
            waiting: VecDeque::new(),
            busy: 0,
            up,
            changes: Vec::new(),
            now: 0,
        }
    }

    /// `rate` requests come a second, each of which takes `service` seconds on average.
    fn play(&mut self, seconds: u32, rate: f64, service: f64) {
        for _ in 0..seconds {
            let (mut waited, mut begun, mut in_hand) = (0, 0, 0);
            for _ in 0..STEPS {
                let finished =
                    (0..self.busy).filter(|_| self.random.part() < 1.0 / (service * f64::from(STEPS))).count();
                self.busy -= finished as u32;
                let arrivals = (rate / f64::from(STEPS)).floor() as u32
                    + u32::from(self.random.part() < (rate / f64::from(STEPS)).fract());
                self.waiting.iter_mut().for_each(|steps| *steps += 1);
                self.waiting.extend((0..arrivals).map(|_| 0));
                while self.busy < self.up
                    && let Some(steps) = self.waiting.pop_front()
                {
                    self.busy += 1;
                    begun += 1;
                    waited += steps;
                }
                in_hand += self.busy;
            }
            let steps = waited.checked_div(begun).or(self.waiting.front().copied()).unwrap_or(0);
            let wait = Duration::from_secs(1) / STEPS * steps;
            let second = Second { wait, busy: f64::from(in_hand) / f64::from(STEPS), up: self.up };
            self.up = self.autoscale.wanted();
            self.now += 1;
            if let Some(change) = self.autoscale.tick(&second) {
                self.up = self.up.min(change.to);
                self.changes.push((self.now, change));
            }
        }
    }

    fn changes_since(&self, second: u32) -> usize {
        self.changes.iter().filter(|(at, _)| *at > second).count()
    }
}

#[test]
fn a_rise_brings_workers_soon_and_a_fall_takes_them_away_slowly() {
    let mut world = World::new(BOUNDS, 1, 7);
    world.play(60, 3.0, 0.1);
    assert_eq!(world.autoscale.wanted(), 1);
    world.play(30, 70.0, 0.1);
    assert!(world.autoscale.wanted() >= 8, "{:?}", world.changes);
    assert!(
        world.changes.iter().all(|(_, change)| change.to > change.from && matches!(change.reason, Reason::Wait { .. }))
    );
    let (rises, begun) = (world.changes.len(), world.now);
    world.play(60 * 12, 1.0, 0.1);
    assert_eq!(world.autoscale.wanted(), 1);
    let falls = &world.changes[rises..];
    assert!(
        falls.iter().all(|(_, change)| change.to + 1 == change.from && matches!(change.reason, Reason::Idle { .. }))
    );
    // One at a time, none before its minute is over.
    assert!(falls.iter().zip(1..).all(|((at, _), number)| *at >= begun + 60 * number), "{falls:?}");
}

#[test]
fn a_steady_load_is_left_alone() {
    for seed in 1..=3 {
        for (rate, service) in [(2.0, 0.1), (12.0, 0.1), (33.0, 0.1), (55.0, 0.1), (5.0, 0.5), (150.0, 0.02)] {
            let mut world = World::new(BOUNDS, 1, seed * 0x9e37_79b9);
            world.play(1800, rate, service);
            let settled = world.now;
            world.play(1800, rate, service);
            let changes = world.changes_since(settled);
            assert!(changes <= 6, "seed {seed}, {rate}/s of {service} s: {changes} changes in half an hour");
            assert!(f64::from(world.autoscale.wanted()) > rate * service, "{rate}/s of {service} s: too few");
        }
    }
}

#[test]
fn what_does_not_get_up_is_not_asked_for_again() {
    let mut autoscale = Autoscale::new(BOUNDS, 2);
    for _ in 0..100 {
        assert_eq!(autoscale.tick(&second(5_000, 1.0, 1)), None);
    }
    assert_eq!(autoscale.tick(&second(5_000, 2.0, 2)), None);
    let changes: Vec<_> = (0..2).filter_map(|_| autoscale.tick(&second(5_000, 2.0, 2))).collect();
    assert_eq!(changes.iter().map(|change| (change.from, change.to)).collect::<Vec<_>>(), [(2, 3)]);
}

#[test]
fn a_number_that_somebody_asks_for_is_where_it_goes_on_from() {
    let mut autoscale = Autoscale::new(Bounds { min: 2, max: 6, ..BOUNDS }, 100);
    assert_eq!(autoscale.wanted(), 6);
    assert!(!autoscale.set(1) && !autoscale.set(7) && autoscale.set(3));
    assert_eq!(autoscale.wanted(), 3);
    let change = (0..60).find_map(|_| autoscale.tick(&second(0, 0.0, 3))).expect("idle for a minute");
    assert_eq!((change.from, change.to), (3, 2));
    assert!((0..1000).all(|_| autoscale.tick(&second(0, 0.0, 2)).is_none()), "not below its bound");
    autoscale.rebound(Bounds { min: 4, max: 5, ..BOUNDS });
    assert_eq!(autoscale.wanted(), 4);
}

#[test]
fn reasons_can_be_read() {
    let wait = Reason::Wait { wait: Duration::from_micros(1_234_567), limit: Duration::from_millis(100) };
    assert_eq!(wait.to_string(), "requests waited 1234 ms for a worker on average, and more than 100ms for 3 s");
    let idle = Reason::Idle { busy: 0.26, during: Duration::from_secs(60) };
    assert_eq!(idle.to_string(), "one fewer would have been enough for 60s: 0.3 requests at a time");
}

proptest! {
    #[test]
    fn whatever_happens_it_stays_within_its_bounds_and_goes_down_one_by_one(
        min in 1u32..5,
        more in 0u32..20,
        begin in 0u32..30,
        seconds in prop::collection::vec((0u64..2_000, 0u32..20, 0u32..3), 1..300),
    ) {
        let bounds = Bounds { min, max: min + more, threads: 2, wait: Duration::from_millis(100), idle: Duration::from_secs(3) };
        let mut autoscale = Autoscale::new(bounds, begin);
        for (wait, busy, missing) in seconds {
            let before = autoscale.wanted();
            let change = autoscale.tick(&second(wait, f64::from(busy), before.saturating_sub(missing)));
            prop_assert_eq!(change.map_or(before, |change| change.to), autoscale.wanted());
            prop_assert!((bounds.min..=bounds.max).contains(&autoscale.wanted()));
            if let Some(Change { from, to, reason }) = change {
                prop_assert_eq!(from, before);
                match reason {
                    Reason::Wait { .. } => prop_assert!(to > from && wait > 100 && missing == 0),
                    Reason::Idle { .. } => prop_assert!(to == from - 1 && wait <= 25),
                }
            }
        }
    }
}
