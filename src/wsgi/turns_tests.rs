//! Tests of turns: what one shard does beside others, and servers with clients that fall unevenly on their shards.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
/// From a ring to a look of the shard that it wakes.
const WAKE_UP: u64 = MS / 20;
/// From an answer to the next request of the same client.
const THINKING: u64 = MS / 5;

fn at(nanos: u64) -> Monotonic {
    Monotonic::from_nanos(1_000 * MS + nanos)
}

fn normal(nanos: u64) -> Option<Claim> {
    Some(Claim::new(Priority::Normal, at(nanos)))
}

fn seats(count: usize) -> Vec<Seat> {
    let turns = Arc::new(Turns::new(std::iter::repeat_n(None, count)));
    (0..count).map(|shard| Seat::new(turns.clone(), shard)).collect()
}

#[test]
fn a_shard_alone_may_have_all_that_workers_may_have_before_them() {
    let (mut seats, share) = (seats(4), Share::new(8, 4));
    for taken in 0..16 {
        assert_eq!(seats[0].ask(normal(0), taken, &share, at(0)), Turn::Ours);
        seats[0].tell(taken + 1, &share);
    }
    assert_eq!(seats[0].ask(normal(0), 16, &share, at(0)), Turn::Wait);
    // Its pages take long. What comes elsewhere waits behind what waits here already.
    assert_eq!(seats[1].ask(normal(MS), 0, &share, at(MS)), Turn::Wait);
    seats[0].tell(15, &share);
    assert_eq!(seats[1].ask(normal(MS), 0, &share, at(MS)), Turn::Theirs(0));
    assert_eq!(seats[0].ask(normal(0), 15, &share, at(MS)), Turn::Ours);
}

#[test]
fn a_place_that_nobody_needs_here_is_handed_on() {
    let (mut seats, share) = (seats(2), Share::new(1, 2));
    seats[0].tell(2, &share);
    assert_eq!(seats[1].ask(normal(0), 0, &share, at(0)), Turn::Ours, "an equal part, while nobody waits");
    seats[1].tell(1, &share);
    assert_eq!(seats[0].ask(normal(0), 2, &share, at(0)), Turn::Wait);
    assert_eq!(seats[1].ask(None, 1, &share, at(0)), Turn::Nothing, "there is no place");
    seats[1].tell(0, &share);
    assert_eq!(seats[1].ask(None, 0, &share, at(0)), Turn::Nothing, "there is none yet");
    seats[0].tell(1, &share);
    assert_eq!(seats[1].ask(None, 0, &share, at(0)), Turn::Theirs(0));
    assert_eq!(seats[0].ask(normal(0), 1, &share, at(0)), Turn::Ours);
}

#[test]
fn a_place_that_is_not_taken_is_not_left_for_ever() {
    let (mut seats, share) = (seats(2), Share::new(1, 2));
    seats[0].tell(2, &share);
    assert_eq!(seats[0].ask(normal(0), 2, &share, at(0)), Turn::Wait);
    seats[0].tell(0, &share);
    assert_eq!(seats[1].ask(normal(MS), 0, &share, at(MS)), Turn::Theirs(0));
    assert_eq!(seats[1].ask(normal(MS), 0, &share, at(2 * MS)), Turn::Theirs(0));
    assert_eq!(seats[1].ask(normal(MS), 0, &share, at(20 * MS)), Turn::Ours);
}

#[test]
fn a_wait_that_is_hardly_longer_wakes_nobody() {
    let (mut seats, share) = (seats(2), Share::new(1, 2));
    seats[0].tell(2, &share);
    assert_eq!(seats[0].ask(normal(0), 2, &share, at(0)), Turn::Wait);
    seats[0].tell(1, &share);
    assert_eq!(seats[1].ask(normal(5 * MS), 0, &share, at(100 * MS)), Turn::Ours);
    assert_eq!(seats[1].ask(normal(7 * MS), 0, &share, at(100 * MS)), Turn::Theirs(0));
}

#[test]
fn the_more_urgent_go_first_on_whatever_shard_and_nobody_starves() {
    let (mut seats, share) = (seats(2), Share::new(1, 2));
    let low = Some(Claim::new(Priority::Low, at(0)));
    seats[0].tell(2, &share);
    assert_eq!(seats[0].ask(normal(MS), 2, &share, at(MS)), Turn::Wait);
    assert_eq!(seats[1].ask(low, 0, &share, at(MS)), Turn::Ours, "one is always under way");
    seats[1].tell(1, &share);
    seats[0].tell(0, &share);
    assert_eq!(seats[1].ask(low, 1, &share, at(MS)), Turn::Theirs(0));
    assert_eq!(seats[0].ask(normal(MS), 0, &share, at(MS)), Turn::Ours);
}

#[test]
fn a_shard_that_leaves_has_nothing_under_way_and_waits_for_nothing() {
    let (mut seats, share) = (seats(2), Share::new(1, 2));
    let first = seats.remove(0);
    first.tell(2, &share);
    assert_eq!(seats[0].ask(normal(0), 1, &share, at(0)), Turn::Wait);
    drop(first);
    assert_eq!(seats[0].ask(normal(0), 1, &share, at(0)), Turn::Ours);
}

#[test]
fn while_answers_come_fast_a_shard_goes_by_its_own_share() {
    let (mut seats, slow) = (seats(2), Share::new(1, 2));
    let mut fast = slow.clone();
    for _ in 0..100 {
        fast.learn(Duration::from_micros(100), usize::MAX);
    }
    seats[1].tell(100, &slow);
    assert_eq!(seats[0].ask(normal(0), 7, &fast, at(0)), Turn::Ours);
    assert_eq!(seats[0].ask(normal(0), 8, &fast, at(0)), Turn::Nothing);
    // No more than its equal part counts for one that does not.
    seats[0].tell(8, &fast);
    seats[1].tell(0, &slow);
    assert_eq!(seats[1].ask(normal(0), 0, &slow, at(0)), Turn::Ours);
}

#[test]
fn shards_whose_answers_come_fast_leave_some_to_those_whose_do_not() {
    for (threads, shards, busy) in [(1, 4, 2), (8, 12, 8), (8, 64, 62), (33, 16, 14)] {
        let (mut seats, slow) = (seats(shards), Share::new(threads, shards));
        let mut fast = slow.clone();
        for _ in 0..100 {
            fast.learn(Duration::from_micros(100), usize::MAX);
        }
        seats[..busy].iter().for_each(|seat| seat.tell(100, &fast));
        let (one, other) = (busy, busy + 1);
        // Both have said that somebody waits, and neither has anything under way.
        let claims = [normal(0), normal(1)];
        seats[one].claim(claims[0]);
        seats[other].claim(claims[1]);
        assert_eq!(seats[one].ask(claims[0], 0, &slow, at(MS)), Turn::Ours, "{threads} {shards}");
    }
}

/// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

enum Event {
    Arrives { shard: usize },
    Answered { shard: usize, sent: u64, submitted: u64 },
    Rung { shard: usize },
}

/// A server with clients that each send the next request once the last one is answered.
struct World {
    random: Random,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    order: u64,
    seats: Vec<Seat>,
    shares: Vec<Share>,
    taken: Vec<usize>,
    queues: Vec<VecDeque<u64>>,
    inbox: VecDeque<(usize, u64, u64)>,
    idle: usize,
    /// Busy time of all workers, nanoseconds.
    worked: u64,
    rings: u64,
    /// Of each shard: answers, and the sum of what they took.
    answers: Vec<(u64, u64)>,
}

impl World {
    fn new(clients: &[usize], workers: usize, seed: u64) -> World {
        let shards = clients.len();
        let mut world = World {
            random: Random(seed),
            now: 0,
            events: BTreeMap::new(),
            order: 0,
            seats: seats(shards),
            shares: vec![Share::new(workers, shards); shards],
            taken: vec![0; shards],
            queues: vec![VecDeque::new(); shards],
            inbox: VecDeque::new(),
            idle: workers,
            worked: 0,
            rings: 0,
            answers: vec![(0, 0); shards],
        };
        for (shard, count) in clients.iter().enumerate() {
            for _ in 0..*count {
                let when = world.random.below(10 * MS);
                world.later(when, Event::Arrives { shard });
            }
        }
        world
    }

    fn later(&mut self, nanos: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + nanos, self.order), event);
    }

    fn play(&mut self, nanos: u64) {
        let end = self.now + nanos;
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 < end) {
            let ((now, _), event) = entry.remove_entry();
            self.now = now;
            match event {
                Event::Arrives { shard } => {
                    self.queues[shard].push_back(now);
                    self.dispatch(shard);
                }
                Event::Rung { shard } => self.dispatch(shard),
                Event::Answered { shard, sent, submitted } => {
                    self.idle += 1;
                    self.work();
                    self.shares[shard].learn(Duration::from_nanos(now - sent), self.taken[shard]);
                    self.taken[shard] -= 1;
                    self.seats[shard].tell(self.taken[shard], &self.shares[shard]);
                    let (count, sum) = &mut self.answers[shard];
                    (*count, *sum) = (*count + 1, *sum + now - submitted);
                    self.later(THINKING, Event::Arrives { shard });
                    self.dispatch(shard);
                }
            }
        }
        self.now = end;
    }

    fn dispatch(&mut self, shard: usize) {
        loop {
            let next = self.queues[shard].front().copied().and_then(normal);
            match self.seats[shard].ask(next, self.taken[shard], &self.shares[shard], at(self.now)) {
                Turn::Ours => {
                    let submitted = self.queues[shard].pop_front().expect("somebody waits");
                    self.inbox.push_back((shard, self.now, submitted));
                    self.taken[shard] += 1;
                    self.seats[shard].tell(self.taken[shard], &self.shares[shard]);
                    self.work();
                }
                Turn::Theirs(other) => {
                    assert_ne!(other, shard);
                    self.rings += 1;
                    return self.later(WAKE_UP, Event::Rung { shard: other });
                }
                Turn::Wait | Turn::Nothing => return,
            }
        }
    }

    fn work(&mut self) {
        while self.idle > 0
            && let Some((shard, sent, submitted)) = self.inbox.pop_front()
        {
            self.idle -= 1;
            let takes = 4 * MS + self.random.below(4 * MS);
            self.worked += takes;
            self.later(takes, Event::Answered { shard, sent, submitted });
        }
    }
}

/// Plays some time of it, and says how much longer than the shortest the longest mean wait of a shard's clients is, how busy the workers were, and
/// how many wake-ups there were for each answer.
fn play(clients: &[usize], workers: usize, seed: u64) -> (f64, f64, f64) {
    let mut world = World::new(clients, workers, seed);
    world.play(2_000 * MS);
    (world.worked, world.rings) = (0, 0);
    world.answers.fill((0, 0));
    world.play(20_000 * MS);
    let means = world.answers.iter().filter(|(count, _)| *count > 0).map(|(count, sum)| *sum as f64 / *count as f64);
    let (least, most) = means.fold((f64::MAX, 0.0_f64), |(least, most), mean| (least.min(mean), most.max(mean)));
    let busy = world.worked as f64 / (20_000 * MS) as f64 / workers as f64;
    let answers: u64 = world.answers.iter().map(|(count, _)| count).sum();
    (most / least, busy, world.rings as f64 / answers as f64)
}

#[test]
fn clients_wait_alike_whatever_shard_they_fall_on_and_no_worker_idles() {
    for (clients, workers) in [
        (&[20, 12][..], 2),
        (&[16, 16], 2),
        (&[31, 1], 2),
        (&[32, 0], 2),
        (&[20, 12], 1),
        (&[70, 30], 16),
        (&[3, 40, 7, 14], 3),
        (&[1, 2, 3, 4, 5, 6, 7, 8], 2),
    ] {
        let (ratio, busy, rings) = play(clients, workers, 7);
        assert!(ratio < 1.2, "{clients:?} on {workers}: some wait {ratio} times as long as others");
        assert!(busy > 0.98, "{clients:?} on {workers}: busy {busy}");
        assert!(rings < 1.0, "{clients:?} on {workers}: {rings} wake-ups for each answer");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_servers_treat_all_clients_alike(
        clients in prop::collection::vec(1_usize..40, 1..7), workers in 1_usize..9, seed: u64,
    ) {
        // Enough of them that some wait at any time.
        prop_assume!(clients.iter().sum::<usize>() > 4 * workers);
        let (ratio, busy, _) = play(&clients, workers, seed);
        prop_assert!(ratio < 1.3, "some wait {ratio} times as long as others");
        prop_assert!(busy > 0.97, "busy {busy}");
    }
}
