//! Tests of the queue: against a plain model, and as a server that is flooded, hit by a burst, or stuck.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn token(serial: u32) -> Token {
    Token { slot: serial, serial }
}

fn at(ms: u64) -> Monotonic {
    Monotonic::from_nanos(1_000_000_000) + MS * u32::try_from(ms).expect("a test is short")
}

/// Takes who is next.
fn take(queue: &mut Queue, now: Monotonic) -> Option<(u32, Taken)> {
    let (key, token) = queue.next()?;
    Some((token.serial, queue.take(key, now)))
}

#[test]
fn the_more_urgent_go_first_and_equals_in_their_order() {
    let mut queue = Queue::new(100);
    for (serial, priority) in
        [(1, Priority::Low), (2, Priority::Normal), (3, Priority::High), (4, Priority::Normal), (5, Priority::High)]
    {
        queue.push(token(serial), priority, at(u64::from(serial)));
    }
    queue.push_front(token(6), Priority::Normal, at(6));
    let order: Vec<_> = std::iter::from_fn(|| take(&mut queue, at(10))).map(|(serial, _)| serial).collect();
    assert_eq!(order, [3, 5, 6, 2, 4, 1]);
    assert_eq!(queue.len(), 0);
}

#[test]
fn the_least_urgent_gets_its_turn_however_many_come_before_it() {
    let mut queue = Queue::new(1000);
    for serial in 1..=10 {
        queue.push(token(serial), Priority::Low, at(0));
    }
    let mut low = 0;
    for turn in 0..80 {
        queue.push(token(100 + turn), Priority::High, at(1));
        let (serial, _) = take(&mut queue, at(1)).expect("somebody waits");
        low += u32::from(serial <= 10);
    }
    assert_eq!(low, 80 / (PASSED_MAX + 1));
}

#[test]
fn in_a_full_queue_the_last_of_the_least_urgent_gives_way() {
    let mut queue = Queue::new(3);
    for (serial, priority) in [(1, Priority::Low), (2, Priority::Normal), (3, Priority::Low)] {
        assert!(queue.has_room(priority));
        assert_eq!(queue.displaced_by(Priority::High), None);
        queue.push(token(serial), priority, at(0));
    }
    assert!(!queue.has_room(Priority::Low) && queue.has_room(Priority::Normal) && queue.has_room(Priority::High));
    for (serial, gone) in [(4, 3), (5, 1)] {
        assert_eq!(queue.displaced_by(Priority::Normal), Some(token(gone)));
        queue.push(token(serial), Priority::Normal, at(1));
    }
    assert!(!queue.has_room(Priority::Normal));
    assert_eq!((queue.displaced_by(Priority::Normal), queue.displaced_by(Priority::High)), (None, Some(token(5))));
}

/// A server with one worker.
struct Flood {
    queue: Queue,
    sheds: Vec<(u32, u64)>,
    /// Serial, when it came, how long it waited, ms.
    served: Vec<(u32, u64, u64)>,
    turns: Vec<bool>,
}

/// Plays `ms` milliseconds: one request is served every `service_ms`, and so many come in each millisecond as `arrivals` says.
fn play(ms: u64, service_ms: u64, overload_timeout: Option<Duration>, arrivals: impl Fn(u64) -> u32) -> Flood {
    let mut flood = Flood { queue: Queue::new(1024), sheds: Vec::new(), served: Vec::new(), turns: Vec::new() };
    flood.queue.set_limits(1024, overload_timeout);
    let mut came = vec![0];
    for now in 0..ms {
        for _ in 0..arrivals(now) {
            let serial = u32::try_from(came.len()).expect("few");
            came.push(now);
            if flood.queue.has_room(Priority::Normal) {
                flood.queue.push(token(serial), Priority::Normal, at(now));
            } else {
                flood.sheds.push((serial, now));
            }
        }
        while let Some(overdue) = flood.queue.overdue(at(now)) {
            flood.sheds.push((overdue.serial, now));
        }
        if now % service_ms == 0
            && let Some((serial, taken)) = take(&mut flood.queue, at(now))
        {
            let begun = came[serial as usize];
            assert_eq!(taken.waited, MS * u32::try_from(now - begun).expect("short"));
            flood.served.push((serial, begun, now - begun));
            flood.turns.extend(taken.turned);
        }
    }
    flood
}

#[test]
fn in_an_overload_whoever_is_served_was_served_soon_and_nobody_idles() {
    // Five times as many as can be served: 200 a second.
    let flood = play(60_000, 5, Some(1000 * MS), |_| 1);
    assert_eq!(flood.served.len(), 60_000 / 5, "the worker is never without work");
    assert_eq!(flood.turns, [true]);
    let late = flood.served.iter().filter(|(_, came, _)| *came > 10_000).map(|(.., waited)| *waited).max();
    assert!(late.is_some_and(|waited| waited <= 1000), "{late:?}");
    // Without that rule everybody waits as long as a full queue takes.
    let flood = play(60_000, 5, None, |_| 1);
    assert_eq!(flood.served.last().map(|(.., waited)| *waited / 1000), Some(1024 * 5 / 1000));
}

#[test]
fn clients_that_leave_tell_of_an_overload_at_once() {
    let mut queue = Queue::new(1000);
    queue.set_limits(1000, Some(1000 * MS));
    let keys: Vec<_> = (1..=100).map(|serial| queue.push(token(serial), Priority::Normal, at(0))).collect();
    // Whoever leaves soon has other reasons.
    assert!(keys[..40].iter().all(|key| !queue.remove(*key, at(900))));
    let told: Vec<_> = keys[40..60].iter().map(|key| queue.remove(*key, at(1500))).collect();
    assert_eq!(told.iter().position(|told| *told), Some(LATE_MIN as usize - 1));
    assert!(told.iter().filter(|told| **told).count() == 1 && queue.is_overloaded());
    let overdue = std::iter::from_fn(|| queue.overdue(at(1500))).count();
    assert_eq!((overdue, queue.len()), (40, 0));
}

#[test]
fn a_burst_is_served_whole() {
    let flood = play(20_000, 5, Some(1000 * MS), |now| if now == 100 { 900 } else { 0 });
    assert_eq!((flood.served.len(), flood.sheds.len()), (900, 0));
    assert!(flood.turns.is_empty() && flood.served.last().expect("all").2 > 4000);
}

#[test]
fn an_overload_is_over_when_nobody_waits_long_any_more() {
    let flood = play(40_000, 5, Some(1000 * MS), |now| u32::from(now < 20_000 || now % 10 == 0));
    assert_eq!(flood.turns, [true, false]);
    assert!(flood.sheds.iter().all(|(_, when)| *when <= 21_100), "only who had come before is turned away");
    assert!(!flood.queue.is_overloaded());
}

#[test]
fn a_slow_page_is_no_overload() {
    // Few wait, for long: each takes half a second, and six come at once.
    let flood = play(60_000, 500, Some(1000 * MS), |now| if now % 4_000 == 0 { 6 } else { 0 });
    assert!(flood.turns.is_empty() && flood.sheds.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    PushFront(usize),
    Take,
    /// Withdraws one of those that wait.
    Remove(usize),
    Bound(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..LEVELS).prop_map(Step::Push),
        1 => (0..LEVELS).prop_map(Step::PushFront),
        3 => Just(Step::Take),
        1 => (0usize..64).prop_map(Step::Remove),
        1 => (1usize..12).prop_map(Step::Bound),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn the_queue_does_as_its_plain_model(steps in steps()) {
        let mut queue = Queue::new(8);
        let mut bound = 8;
        // By level, in order: serial, key, since.
        let mut model: [Vec<(u32, Key, u64)>; LEVELS] = Default::default();
        let (mut serial, mut passed) = (0, 0);
        for (now, step) in steps.into_iter().enumerate() {
            let now = now as u64;
            match step {
                Step::Push(level) => {
                    let has_room = model.iter().map(Vec::len).sum::<usize>() < bound || model[level + 1..].iter().any(|of| !of.is_empty());
                    prop_assert_eq!(queue.has_room(Priority::ALL[level]), has_room);
                    let over = model.iter().map(Vec::len).sum::<usize>() >= bound;
                    let lower = model[level + 1..].iter_mut().rev().find(|of| !of.is_empty()).filter(|_| over);
                    let gone = lower.and_then(Vec::pop).map(|(serial, ..)| serial);
                    prop_assert_eq!(queue.displaced_by(Priority::ALL[level]).map(|token| token.serial), gone);
                    if has_room {
                        serial += 1;
                        let key = queue.push(token(serial), Priority::ALL[level], at(now));
                        model[level].push((serial, key, now));
                    }
                }
                Step::PushFront(level) => {
                    serial += 1;
                    let key = queue.push_front(token(serial), Priority::ALL[level], at(now));
                    model[level].insert(0, (serial, key, now));
                }
                Step::Take => {
                    let fronts: Vec<_> = model.iter().enumerate().filter_map(|(level, of)| Some((level, *of.first()?))).collect();
                    let expected = match passed >= PASSED_MAX {
                        true => fronts.iter().min_by_key(|(_, (.., since))| *since),
                        false => fronts.first(),
                    };
                    let found = queue.next();
                    prop_assert_eq!(found.map(|(_, token)| token.serial), expected.map(|(_, (serial, ..))| *serial));
                    if let (Some((key, _)), Some((level, (_, _, since)))) = (found, expected) {
                        prop_assert_eq!(queue.take(key, at(now)).waited, MS * (now - since) as u32);
                        model[*level].remove(0);
                        let is_passed = model.iter().filter_map(|of| of.first()).any(|(.., other)| other < since);
                        passed = if is_passed { passed + 1 } else { 0 };
                    }
                }
                Step::Remove(which) => {
                    let waiting: Vec<_> = (0..LEVELS).flat_map(|level| (0..model[level].len()).map(move |at| (level, at))).collect();
                    if let Some((level, place)) = waiting.get(which) {
                        let (_, key, _) = model[*level].remove(*place);
                        prop_assert!(!queue.remove(key, at(now)));
                    }
                }
                Step::Bound(wanted) => {
                    bound = wanted;
                    queue.set_limits(bound, None);
                }
            }
            let waiting: usize = model.iter().map(Vec::len).sum();
            prop_assert_eq!(queue.len(), waiting);
        }
    }
}
