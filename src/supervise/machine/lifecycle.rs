//! The part of the machine that goes over all generations: boots, reloads, hand-overs and the stop.

use super::generation::{Failure, Generation, Phase, Zygote};
use super::stop::{Shards, Stop};
use super::{Action, BootOutcome, GenerationId, Machine, PoolSettings, Report};
use crate::base::bounds::DRAINING_GENERATIONS_MAX;
use crate::base::clock::Monotonic;
use std::time::Duration;

/// Rounds of `settle` until nothing more follows from anything; each generation can fail, end or be begun once in them.
const ROUNDS_MAX: usize = 16;

impl Machine {
    /// Takes every step that follows from the state and the time, until none is left.
    pub(super) fn settle(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        for _ in 0..ROUNDS_MAX {
            let before = actions.len();
            self.settle_stop(now, actions);
            for index in 0..self.generations.len() {
                let room = self.room();
                self.generations[index].settle(&mut self.next_worker, room, now, actions);
            }
            self.judge_boots(now, actions);
            self.roll(now, actions);
            self.recycle(now, actions);
            self.release_gone(actions);
            self.boot_if_wanted(now, actions);
            self.exit_if_done(now, actions);
            if actions.len() == before || self.has_exited {
                break;
            }
        }
        if !self.generations.iter().any(Generation::has_pending_fork) {
            self.early.clear();
        }
    }

    /// Replaces what is worn, unless all workers are about to go anyway.
    fn recycle(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        if self.stop.is_none() && !self.generations.iter().any(Generation::is_booting) {
            self.generations.iter_mut().for_each(|generation| generation.begin_succession(now, actions));
        }
    }

    pub(super) fn open(&mut self, actions: &mut Vec<Action>) {
        if !self.is_open && self.stop.is_none() {
            self.is_open = true;
            actions.push(Action::OpenShards);
        }
    }

    pub(super) fn reload(&mut self, pool: PoolSettings, now: Monotonic, actions: &mut Vec<Action>) {
        if self.stop.is_some() {
            return;
        }
        self.pool = Some(pool);
        self.settings.graceful_timeout = pool.graceful_timeout;
        // One wish is enough for any number of reloads: the boot that follows reads the newest code and settings. One under way
        // is never broken off for it, or a storm of reloads would never let any of them finish.
        self.wanted = Some(now);
        if !self.may_boot() {
            actions.push(Action::Report(Report::ReloadWaits));
        }
    }

    /// A serving generation has lost its zygote: wish for a new one, unless an earlier one is wished for.
    pub(super) fn replace(&mut self, due: Monotonic) {
        if self.stop.is_none() && !self.generations.iter().any(Generation::is_booting) {
            self.wanted = Some(self.wanted.map_or(due, |wanted| wanted.min(due)));
        }
    }

    pub(super) fn shards_switched(&mut self, id: GenerationId, now: Monotonic, actions: &mut Vec<Action>) {
        let Some(found) = self.generation(id) else {
            return;
        };
        if let Phase::Switching { since } = found.phase {
            found.phase = Phase::Serving { since };
        }
        self.has_served = true;
        self.open(actions);
        let end = self.stop.as_ref().map(|stop| stop.deadline);
        for older in self.generations.iter_mut().filter(|generation| generation.id < id && generation.is_serving()) {
            let deadline = now + older.settings.drain_timeout();
            older.drain(end.map_or(deadline, |end| end.min(deadline)), actions);
        }
    }

    pub(super) fn terminate(&mut self, is_fast: bool, now: Monotonic, actions: &mut Vec<Action>) {
        let is_second = self.stop.is_some();
        if !is_second {
            self.begin_stop(0, now, actions);
        }
        let is_fast = is_fast || is_second;
        actions.push(Action::Report(Report::Stopping { fast: is_fast }));
        if let Some(stop) = &mut self.stop
            && is_fast
        {
            stop.hasten(&self.settings, now);
        }
    }

    /// At most one generation boots at a time, and none while too many old ones drain.
    pub(super) fn may_boot(&self) -> bool {
        let is_switching = |generation: &Generation| matches!(generation.phase, Phase::Switching { .. });
        let draining = self.generations.iter().filter(|generation| generation.is_draining()).count();
        self.stop.is_none()
            && draining < DRAINING_GENERATIONS_MAX
            && !self.generations.iter().any(|generation| generation.is_booting() || is_switching(generation))
    }

    pub(super) fn generation(&mut self, id: GenerationId) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|generation| generation.id == id)
    }

    fn begin_stop(&mut self, code: i32, now: Monotonic, actions: &mut Vec<Action>) {
        self.wanted = None;
        self.stop = Some(Stop::begin(code, self.is_open, &self.settings, now, actions));
        for generation in self.generations.iter_mut().filter(|generation| generation.is_booting()) {
            generation.phase = Phase::Ending;
        }
    }

    fn settle_stop(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let Some(stop) = &mut self.stop else { return };
        stop.settle(now, actions);
        if stop.shards != Shards::Draining {
            for generation in &mut self.generations {
                generation.drain(stop.deadline, actions);
            }
        }
    }

    fn judge_boots(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let mut failures =
            self.generations.iter_mut().filter_map(|generation| Some((generation.id, generation.failure.take()?)));
        let Some((id, Failure { reason, code })) = failures.next() else {
            return;
        };
        if self.stop.is_some() {
            return;
        }
        let serving = self.generations.iter().find(|generation| generation.is_serving());
        let waits = self.pool.is_some_and(|pool| pool.is_development);
        let outcome = match serving {
            None if waits => BootOutcome::Wait,
            None if !self.is_open => BootOutcome::Exit,
            Some(serving) if serving.zygote != Zygote::Gone => BootOutcome::KeepOld,
            _ => {
                let policy = self.pool.as_ref().expect("a boot has settings").backoff;
                let wait = self.boot_backoff.died(&policy, Duration::ZERO);
                self.replace(now + wait);
                BootOutcome::Retry(wait)
            }
        };
        self.roll_back();
        actions.push(Action::Report(Report::BootFailed { generation: id, reason, outcome }));
        match outcome {
            BootOutcome::Exit => self.begin_stop(code, now, actions),
            BootOutcome::Wait => self.open(actions),
            BootOutcome::KeepOld | BootOutcome::Retry(_) => {}
        }
    }

    fn release_gone(&mut self, actions: &mut Vec<Action>) {
        self.generations.retain(|generation| {
            let is_gone = generation.is_gone();
            if is_gone {
                if matches!(generation.phase, Phase::Closing { .. }) {
                    actions.push(Action::Report(Report::Drained { generation: generation.id }));
                }
                actions.push(Action::GenerationGone { generation: generation.id });
            }
            !is_gone
        });
    }

    fn boot_if_wanted(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let Some(settings) = self.pool.filter(|_| self.wanted.is_some_and(|due| due <= now) && self.may_boot()) else {
            return;
        };
        self.wanted = None;
        self.next_generation += 1;
        let generation = GenerationId(self.next_generation);
        let mut booting = Generation::new(generation, settings, now);
        booting.scale(settings.filled, now, actions);
        self.generations.push(booting);
        actions.push(Action::Report(Report::Booting { generation }));
        actions.push(Action::SpawnZygote { generation, settings });
    }

    fn exit_if_done(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let Some(stop) = &self.stop else { return };
        let is_done = self.generations.is_empty() && stop.shards == Shards::Drained;
        if !is_done && now < stop.exit_deadline {
            return;
        }
        if !self.generations.is_empty() {
            actions.push(Action::Report(Report::LeftBehind { generations: self.generations.len() }));
        }
        actions.push(Action::Exit { code: stop.code });
        self.has_exited = true;
    }
}
