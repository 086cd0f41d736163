//! What must hold after every transition. Runs in debug builds; a failure is a bug of the machine, never of the world.

use super::Machine;
use super::generation::{Generation, Zygote};
use super::stop::Shards;
use crate::base::bounds::DRAINING_GENERATIONS_MAX;

pub(super) fn invariants(machine: &Machine) {
    let generations = &machine.generations;
    let count = |test: fn(&Generation) -> bool| generations.iter().filter(|generation| test(generation)).count();
    assert!(count(Generation::is_booting) <= 1, "one boot at a time");
    assert!(count(Generation::is_serving) <= 2, "one serves, one takes over");
    assert!(count(Generation::is_draining) <= DRAINING_GENERATIONS_MAX + 1, "old generations don't pile up");
    assert!(generations.is_sorted_by(|older, newer| older.id < newer.id), "each id is used once, in order");
    for generation in generations {
        assert_eq!(generation.slots.len(), generation.settings.workers.max(1) as usize, "a slot for each worker");
        let mut places: Vec<u32> = generation.slots.iter().map(|slot| slot.place).chain([generation.spare]).collect();
        places.sort_unstable();
        assert!(
            places.iter().copied().eq(0..=generation.settings.workers.max(1)),
            "each place is one slot's, or spare"
        );
        assert!(generation.failure.is_none() || machine.stop.is_some(), "a failed boot was judged");
        assert!(machine.has_exited || !generation.is_gone(), "what is gone was released");
    }
    let zygotes = generations.iter().filter_map(|generation| match generation.zygote {
        Zygote::Alive { pid, .. } => Some(pid),
        Zygote::Spawning | Zygote::Gone => None,
    });
    let mut pids: Vec<i32> = generations
        .iter()
        .flat_map(Generation::workers)
        .map(|worker| worker.pid)
        .chain(zygotes)
        .chain(generations.iter().filter_map(|generation| Some(generation.reserve?.pid)))
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    pids.sort_unstable();
    assert!(pids.windows(2).all(|pair| pair[0] != pair[1]), "a process has one role");
    match &machine.stop {
        None => {
            assert!(
                !machine.has_served || count(Generation::is_serving) >= 1,
                "the serving generation is never dropped"
            );
        }
        Some(stop) => {
            assert!(machine.wanted.is_none(), "nothing is begun during a stop");
            assert_eq!(count(Generation::is_booting), 0, "nothing boots during a stop");
            assert!(
                stop.shards == Shards::Draining || count(Generation::is_serving) == 0,
                "workers drain once the shards have"
            );
        }
    }
}
