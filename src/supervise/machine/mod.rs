//! The supervision machine of the worker pool: a pure function of (state, event, now) to actions.
//!
//! Owns every decision about generations, zygotes, workers, reloads and the stop. Never makes a system call and never reads
//! a clock: the loop in `run` reports events, performs actions in order, and sends a `Tick` when `wake_at` has come. After each
//! transition debug builds check the invariants (`check`). Programs will be another machine beside this one that shares the loop,
//! `ChildExited`, `Kill` and `Report`.

mod check;
mod clock;
#[cfg(test)]
mod clock_tests;
mod event;
mod generation;
mod lifecycle;
mod liveness;
mod recycling;
#[cfg(test)]
mod recycling_tests;
mod report;
mod reserve;
mod rolling;
#[cfg(test)]
mod rolling_tests;
mod scaling;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_parts;
#[cfg(test)]
mod simulation_random;
mod slots;
mod stop;
#[cfg(test)]
mod tests;
mod worker;

pub use event::{
    Action, BootOutcome, Event, GenerationId, Held, KillReason, Place, PlaceState, PoolSettings, Reading, Report,
    Settings, WorkerId,
};
pub use recycling::{Recycle, Wear};

use crate::base::bounds::EARLY_EXITS_MAX;
use crate::base::clock::Monotonic;
use crate::supervise::backoff::Backoff;
use crate::sys::process::{Exit, Pid, Signal};
use generation::{Generation, Phase, Zygote};
use std::collections::VecDeque;
use stop::{Shards, Stop};

/// Exit code when the application could not be imported at first start.
pub const EXIT_IMPORT_FAILED: i32 = 3;
/// Exit code when there was no such application in its module at first start.
pub const EXIT_NO_APPLICATION: i32 = 4;
/// Exit code when the interpreter could not be started at first start.
pub const EXIT_FAILED: i32 = 1;

/// The state. See the module.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    /// What the next generation is made with.
    pool: Option<PoolSettings>,
    /// Oldest first.
    generations: Vec<Generation>,
    next_generation: u32,
    next_worker: u32,
    /// The shards accept.
    is_open: bool,
    /// Some generation has taken over.
    has_served: bool,
    /// A generation is to be booted at that time.
    wanted: Option<Monotonic>,
    boot_backoff: Backoff,
    stop: Option<Stop>,
    has_exited: bool,
    /// Exits that may be of workers whose fork report is still under way.
    early: VecDeque<EarlyExit>,
}

#[derive(Debug)]
struct EarlyExit {
    pid: Pid,
    exit: Exit,
    held: Vec<Held>,
    served: u64,
}

impl Machine {
    /// A machine to which nothing has happened.
    pub fn new(settings: Settings) -> Machine {
        Machine {
            settings,
            pool: settings.pool,
            generations: Vec::new(),
            next_generation: 0,
            next_worker: 0,
            is_open: false,
            has_served: false,
            wanted: None,
            boot_backoff: Backoff::default(),
            stop: None,
            has_exited: false,
            early: VecDeque::new(),
        }
    }

    /// Takes note of `event`, which happened at `now`, and returns what to do, in order. `now` never goes back.
    /// After `Exit` everything is ignored.
    pub fn handle(&mut self, event: Event, now: Monotonic) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.has_exited {
            return actions;
        }
        self.apply(event, now, &mut actions);
        self.settle(now, &mut actions);
        if cfg!(debug_assertions) {
            check::invariants(self);
        }
        actions
    }

    /// When the next `Tick` is due, if nothing else happens before; None: never. Ask again after each `handle`.
    pub fn wake_at(&self, now: Monotonic) -> Option<Monotonic> {
        if self.has_exited {
            return None;
        }
        let has_room = self.room() > 0;
        let generations = self.generations.iter().filter_map(|generation| generation.wake_at(has_room, now));
        let wanted = self.wanted.filter(|_| self.may_boot());
        let stop = self.stop.as_ref().map(|stop| stop.wake_at(now));
        generations.chain(wanted).chain(stop).min()
    }

    /// Whether a generation serves and the shards accept: the server is ready.
    pub fn is_ready(&self) -> bool {
        self.is_open
            && self.stop.is_none()
            && (self.pool.is_none() || self.generations.iter().any(Generation::is_serving))
    }

    /// Workers that live in generations that serve.
    pub fn workers_serving(&self) -> usize {
        self.generations.iter().filter(|generation| generation.is_serving()).map(Generation::workers_alive).sum()
    }

    /// The places for workers in the newest generation that serves.
    pub fn places(&self) -> Vec<Place> {
        let serving = self.generations.iter().rfind(|generation| generation.is_serving());
        serving.map_or_else(Vec::new, Generation::places)
    }

    /// Whether the program is on its way to its end.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// The newest generation that serves.
    pub fn generation_serving(&self) -> Option<GenerationId> {
        self.generations.iter().rfind(|generation| generation.is_serving()).map(|generation| generation.id)
    }

    fn apply(&mut self, event: Event, now: Monotonic, actions: &mut Vec<Action>) {
        match event {
            Event::Start => match self.pool {
                Some(_) => self.wanted = Some(now),
                None => self.open(actions),
            },
            Event::ZygoteSpawned { generation, pid } => match self.generation(generation) {
                Some(found) => found.zygote_spawned(pid),
                None => actions.push(Action::Kill { pid, signal: Signal::KILL }),
            },
            Event::SpawnFailed { generation, error } => {
                if let Some(found) = self.generation(generation) {
                    found.spawn_failed(error);
                }
            }
            Event::Imported { generation } => {
                if let Some(found) = self.generation(generation)
                    && matches!(found.phase, Phase::Importing { .. })
                {
                    found.phase = Phase::Warming;
                }
            }
            Event::ImportFailed { generation, traceback, is_missing } => {
                if let Some(found) = self.generation(generation) {
                    found.fail_with(if is_missing { EXIT_NO_APPLICATION } else { EXIT_IMPORT_FAILED }, traceback);
                }
            }
            Event::WorkerForked { generation, worker, pid } => {
                self.worker_forked(generation, worker, pid, now, actions)
            }
            Event::ReserveForked { generation, pid } => match self.generation(generation) {
                Some(found) => found.reserve_forked(pid, actions),
                None => actions.push(Action::Kill { pid, signal: Signal::KILL }),
            },
            Event::ForkFailed { generation, worker, error } => {
                if let Some(found) = self.generation(generation) {
                    found.fork_failed(worker, now);
                    actions.push(Action::Report(Report::ForkFailed { generation, worker, error }));
                }
            }
            Event::ChildExited { pid, exit, held, served } => {
                self.child_exited(EarlyExit { pid, exit, held, served }, now, actions)
            }
            Event::Tick { readings } => {
                for generation in &mut self.generations {
                    generation.look(&readings, &mut self.next_worker, now, actions);
                }
            }
            Event::WarmedUp { generation, failure } => {
                if let Some(found) = self.generation(generation) {
                    found.warmed_up(failure, now, actions);
                }
            }
            Event::Life { waiting, silent } => {
                for generation in &mut self.generations {
                    generation.note_life(waiting.contains(&generation.id), &silent);
                }
            }
            Event::Reload(pool) => self.reload(pool, now, actions),
            Event::Terminate => self.terminate(false, now, actions),
            Event::Quit => self.terminate(true, now, actions),
            Event::ShardsSwitched { generation } => self.shards_switched(generation, now, actions),
            Event::VacateSlot(slot) => {
                if let Some(serving) = self.generations.iter_mut().rfind(|generation| generation.is_serving()) {
                    serving.vacate(slot, now, actions);
                }
            }
            Event::FillSlot(slot) => {
                if let Some(serving) = self.generations.iter_mut().rfind(|generation| generation.is_serving()) {
                    serving.fill(slot, now);
                }
            }
            Event::Scale(workers) => self.scale(workers, now, actions),
            Event::Settings(pool) => self.pool = Some(pool),
            Event::ShardsDrained => {
                if let Some(stop) = &mut self.stop {
                    stop.shards = Shards::Drained;
                }
            }
        }
    }

    fn worker_forked(
        &mut self,
        id: GenerationId,
        worker: WorkerId,
        pid: Pid,
        now: Monotonic,
        actions: &mut Vec<Action>,
    ) {
        if let Some(found) = self.generation(id) {
            found.reserve_left(pid);
        }
        let is_awaited = self.generation(id).is_some_and(|found| found.worker_forked(worker, pid, now));
        if !is_awaited {
            actions.push(Action::Kill { pid, signal: Signal::KILL });
            return;
        }
        actions.push(Action::Report(Report::WorkerStarted { worker, pid, generation: id }));
        if let Some(index) = self.early.iter().position(|early| early.pid == pid) {
            let early = self.early.remove(index).expect("the index was just found");
            self.child_exited(early, now, actions);
        }
    }

    /// Exits that are kept for reports of forks: as many as there can be such reports under way, and some of strangers, the orphans
    /// of the application.
    fn early_max(&self) -> usize {
        let workers: usize = self.generations.iter().map(|generation| generation.settings.workers as usize).sum();
        EARLY_EXITS_MAX + workers
    }

    fn child_exited(&mut self, child: EarlyExit, now: Monotonic, actions: &mut Vec<Action>) {
        for generation in &mut self.generations {
            // It may have been given a place, of which the report is still to come.
            generation.reserve_left(child.pid);
            if generation.worker_exited(child.pid, child.exit, &child.held, child.served, now, actions) {
                return;
            }
        }
        let newest_serving =
            self.generations.iter().rfind(|generation| generation.is_serving()).map(|newest| newest.id);
        let is_zygote =
            |generation: &&mut Generation| matches!(generation.zygote, Zygote::Alive { pid, .. } if pid == child.pid);
        if let Some(generation) = self.generations.iter_mut().find(is_zygote) {
            generation.zygote_exited(child.exit, now);
            let is_newest = newest_serving == Some(generation.id);
            if let Phase::Switching { since } | Phase::Serving { since } = generation.phase
                && is_newest
            {
                let (generation, policy) = (generation.id, generation.settings.backoff);
                let restart_in = self.boot_backoff.died(&policy, now.since(since));
                self.replace(now + restart_in);
                actions.push(Action::Report(Report::ZygoteExited {
                    generation,
                    pid: child.pid,
                    exit: child.exit,
                    restart_in,
                }));
            }
        } else if self.generations.iter().any(Generation::has_pending_fork) {
            while self.early.len() >= self.early_max() {
                self.early.pop_front();
            }
            self.early.push_back(child);
        }
    }
}
