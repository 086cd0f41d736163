//! Who takes which request, who is woken, and what the dead leave behind.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

impl Feed {
    fn put(&self, message: &[u8]) -> bool {
        self.push(message).is_some()
    }
}

fn rings(lines: usize, shards: usize) -> Arc<RequestRings> {
    Arc::new(RequestRings::create(lines, shards).expect("a memfd and an eventfd"))
}

fn feed(rings: &Arc<RequestRings>, shard: usize) -> Feed {
    Feed::new(rings.clone(), shard).expect("a ring")
}

/// A message with this number in its header.
fn message(number: u64) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.extend([7; 300]);
    message
}

fn number(header: [u8; HEADER_BYTES]) -> u64 {
    u64::from_le_bytes(header[..8].try_into().expect("eight bytes"))
}

fn all(rings: &RequestRings) -> Vec<u64> {
    std::iter::from_fn(|| rings.take()).map(number).collect()
}

/// How often the bell was rung and not heard.
fn rung(rings: &RequestRings) -> usize {
    let mut bytes = [0; 8];
    std::iter::from_fn(|| rustix::io::read(rings.bell(), &mut bytes).ok()).count()
}

/// As a thread of `line` that takes the oldest record of a shard, and is killed before it has noted it.
fn take_and_die(rings: &RequestRings, shard: usize, line: usize) {
    let position = rings.head(shard).load(Ordering::Relaxed) + FIRST;
    let Sight::Waits(state) = rings.look(shard, position) else { panic!("nothing waits") };
    let owned = with_owner(position, line as u64 + 1);
    assert_eq!(
        rings.state(shard, position).compare_exchange(state, owned, Ordering::SeqCst, Ordering::SeqCst),
        Ok(state)
    );
}

#[test]
fn requests_are_taken_once_and_in_their_order() {
    let rings = rings(2, 2);
    assert!(Feed::new(rings.clone(), 2).is_none());
    let feeds = [feed(&rings, 0), feed(&rings, 1)];
    assert!(!rings.has_waiting() && rings.take().is_none());
    for round in 0..5 {
        for count in 0..40 {
            assert!(feeds[0].put(&message(100 * round + count)));
        }
        assert!(feeds[1].put(&message(7)) && rings.has_waiting());
        let expected: Vec<_> = (0..40).map(|count| 100 * round + count).chain([7]).collect();
        assert_eq!(all(&rings), expected);
        assert!(!rings.has_waiting());
    }
}

#[test]
fn a_full_ring_takes_no_more_until_the_oldest_is_out() {
    let rings = rings(1, 1);
    let feed = feed(&rings, 0);
    for round in 0..3 {
        for count in 0..REQUEST_RECORDS as u64 {
            assert!(feed.put(&message(count)), "{round}");
        }
        assert!(!feed.put(&message(99)));
        assert_eq!(rings.take().map(number), Some(0));
        assert!(feed.put(&message(99)) && !feed.put(&message(100)));
        assert_eq!(all(&rings).last(), Some(&99));
    }
    // Whoever is stopped with the oldest in its hand keeps the ring shut, once it is its turn again.
    assert!(feed.put(&message(1)));
    take_and_die(&rings, 0, 0);
    let taken: Vec<u64> = (0..100).filter(|count| feed.put(&message(*count))).collect();
    assert_eq!(taken.len(), REQUEST_RECORDS - 1);
    assert_eq!(all(&rings), taken);
    assert!(!feed.put(&message(2)));
}

#[test]
fn what_was_taken_back_is_nobody_s_and_what_somebody_has_stays_his() {
    let rings = rings(1, 1);
    let feed = feed(&rings, 0);
    for _ in 0..3 {
        let lying: Vec<_> =
            (0..REQUEST_RECORDS as u64).map(|number| feed.push(&message(number)).expect("room")).collect();
        assert_eq!(rings.take().map(number), Some(0));
        assert!(
            !feed.withdraw(lying[0]) && feed.withdraw(lying[1]) && feed.withdraw(lying[7]) && !feed.withdraw(lying[7])
        );
        let left: Vec<_> = (2..REQUEST_RECORDS as u64).filter(|number| *number != 7).collect();
        assert_eq!(all(&rings), left);
        assert!(lying.into_iter().all(|lying| !feed.withdraw(lying)));
    }
    let lying: Vec<_> = (0..5).map(|number| feed.push(&message(number)).expect("room")).collect();
    assert!(lying.into_iter().all(|lying| feed.withdraw(lying)));
    assert!(!rings.has_waiting() && rings.take().is_none());
}

#[test]
fn what_does_not_fit_a_record_is_not_put_in() {
    let rings = rings(1, 1);
    let feed = feed(&rings, 0);
    for bytes in [0, HEADER_BYTES - 1, REQUEST_RECORD_BYTES - PREFIX_BYTES + 1] {
        assert!(!feed.put(&vec![1; bytes]), "{bytes}");
    }
    for bytes in [HEADER_BYTES, REQUEST_RECORD_BYTES - PREFIX_BYTES] {
        assert!(feed.put(&vec![1; bytes]), "{bytes}");
    }
    assert_eq!(all(&rings).len(), 2);
}

#[test]
fn what_the_dead_had_taken_is_told_of_once() {
    let rings = rings(3, 2);
    let feeds = [feed(&rings, 0), feed(&rings, 1)];
    for (number, feed) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        assert!(feeds[feed].put(&message(number)));
    }
    take_and_die(&rings, 0, 2);
    take_and_die(&rings, 1, 2);
    assert!(rings.take_of(1).is_empty());
    let lost: Vec<_> = rings.take_of(2).into_iter().map(number).collect();
    assert_eq!(lost, [1, 3]);
    assert!(rings.take_of(2).is_empty());
    // The others go on where they were, also round the ring.
    assert_eq!(all(&rings), [2, 4]);
    for count in 0..3 * REQUEST_RECORDS as u64 {
        assert!(feeds[0].put(&message(count)));
        assert_eq!(all(&rings), [count]);
    }
}

#[test]
fn who_is_killed_before_it_moves_the_head_does_not_stop_the_others() {
    let rings = rings(1, 1);
    let feed = feed(&rings, 0);
    for number in 0..REQUEST_RECORDS as u64 {
        assert!(feed.put(&message(number)));
    }
    take_and_die(&rings, 0, 0);
    assert_eq!(rings.take_of(0).len(), 1);
    // The record that the head points to is in use again.
    assert!(feed.put(&message(99)));
    assert!(rings.has_waiting());
    let expected: Vec<_> = (1..REQUEST_RECORDS as u64).chain([99]).collect();
    assert_eq!(all(&rings), expected);
}

#[test]
fn the_bell_is_rung_once_for_each_who_sleeps() {
    let rings = rings(4, 1);
    let feed = feed(&rings, 0);
    assert!(feed.put(&message(1)));
    assert_eq!(rung(&rings), 0);
    rings.sleepers().store(2, Ordering::SeqCst);
    for number in 2..6 {
        assert!(feed.put(&message(number)));
    }
    assert_eq!((rung(&rings), rings.sleepers().load(Ordering::SeqCst)), (2, 0));
    rings.sleepers().store(1, Ordering::SeqCst);
    rings.wake();
    rings.wake();
    assert_eq!(rung(&rings), 1);
}

#[test]
fn nonsense_in_the_memory_does_no_harm() {
    for seed in 1..200_u64 {
        let rings = rings(1, 1);
        let feed = feed(&rings, 0);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for _ in 0..100 {
            match next() % 6 {
                0 => rings.head(0).store(next() >> (next() % 64), Ordering::SeqCst),
                1 => rings.state(0, next()).store(next() >> (next() % 64), Ordering::SeqCst),
                2 => rings.sleepers().store(next() as u32, Ordering::SeqCst),
                3 => drop(rings.take_of((next() % 4) as usize)),
                4 => drop(rings.take()),
                _ => drop(feed.put(&message(next()))),
            }
            rings.has_waiting();
        }
    }
}

/// A thread's side, as `requests.c` has it.
struct Thread<'a> {
    rings: &'a RequestRings,
    is_owed: bool,
}

impl Thread<'_> {
    fn hear(&self) -> bool {
        rustix::io::read(self.rings.bell(), &mut [0; 8]).is_ok()
    }

    /// Sleeps until there may be something. `false`: nobody has rung for too long.
    fn sleep(&mut self) -> bool {
        let sleepers = self.rings.sleepers();
        if !std::mem::take(&mut self.is_owed) {
            sleepers.fetch_add(1, Ordering::SeqCst);
        }
        let mut is_rung = false;
        let mut in_time = true;
        if !self.rings.has_waiting() {
            let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
            let bell = self.rings.bell();
            is_rung = poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&limit)).expect("poll") == 1;
            in_time = is_rung;
        }
        if is_rung && self.hear() {
            return in_time;
        }
        let down = |count: u32| count.checked_sub(1);
        if sleepers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, down).is_err() {
            self.is_owed = !self.hear();
        }
        in_time
    }
}

#[test]
fn no_request_is_lost_or_done_twice_and_no_sleeper_left_asleep() {
    const EACH: u64 = 20_000;
    const LAST: u64 = u64::MAX;
    let rings = rings(3, 2);
    let is_over = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut thread = Thread { rings: &rings, is_owed: false };
                    let mut done = Vec::new();
                    while !is_over.load(Ordering::SeqCst) {
                        match rings.take().map(number) {
                            Some(LAST) => is_over.store(true, Ordering::SeqCst),
                            Some(number) => done.push(number),
                            None => assert!(thread.sleep() || is_over.load(Ordering::SeqCst), "nobody rang"),
                        }
                    }
                    // Each wakes the next one, that it may see the end.
                    rustix::io::write(rings.bell(), &3u64.to_ne_bytes()).expect("room");
                    done
                })
            })
            .collect();
        let feeders: Vec<_> = (0..2)
            .map(|shard| {
                let feed = feed(&rings, shard);
                scope.spawn(move || {
                    let mut taken_back = Vec::new();
                    for count in 0..EACH {
                        let number = count * 2 + shard as u64;
                        let lying = loop {
                            match feed.push(&message(number)) {
                                Some(lying) => break lying,
                                None => std::thread::yield_now(),
                            }
                        };
                        if count % 5 == 0 && feed.withdraw(lying) {
                            assert!(!feed.withdraw(lying));
                            taken_back.push(number);
                        }
                        // Now and then all are asleep when the next one comes.
                        if count % 64 == 0 {
                            while feed.rings.has_waiting() {
                                std::thread::yield_now();
                            }
                        }
                    }
                    (feed, taken_back)
                })
            })
            .collect();
        let (feeds, taken_back): (Vec<_>, Vec<_>) =
            feeders.into_iter().map(|feeder| feeder.join().expect("a feeder")).unzip();
        while rings.has_waiting() {
            std::thread::yield_now();
        }
        assert!(feeds[0].put(&message(LAST)));
        let taken = takers.into_iter().flat_map(|taker| taker.join().expect("a taker"));
        taken.chain(taken_back.into_iter().flatten()).collect::<Vec<u64>>()
    });
    assert_eq!(done.len() as u64, 2 * EACH);
    assert_eq!(done.into_iter().collect::<HashSet<_>>().len() as u64, 2 * EACH);
}
