//! Random worlds: workers that die at any point, slow and failing boots, hanging processes, reload storms, stops. Each world is made from a
//! seed; a failure prints it, and `MAITRED_SIMULATION_SEED=n` plays that world alone.

mod spares;

use super::simulation_parts::{Happening, Pool, Process};
use super::simulation_random::{Random, random_pool};
use super::tests::settings;
use super::*;
use crate::sys::memory::{SlotState, SlotView};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const WORLDS: u64 = 400;
const MS: u64 = 1_000_000;
/// How long a world goes on before it is asked to stop.
const HORIZON: u64 = 120_000 * MS;

#[test]
fn random_worlds_keep_every_promise() {
    let only = std::env::var("MAITRED_SIMULATION_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let mut exits = HashMap::new();
    for seed in only.map_or(0..WORLDS, |seed: u64| seed..seed + 1) {
        let played = std::panic::catch_unwind(|| World::new(seed).play());
        let Ok(code) = played else { panic!("the world of MAITRED_SIMULATION_SEED={seed} broke a promise") };
        *exits.entry(code).or_insert(0) += 1;
    }
    assert!(only.is_some() || (exits[&0] > exits[&3] && exits[&3] > 0), "worlds of both kinds were played: {exits:?}");
}

struct World {
    random: Random,
    now: Monotonic,
    machine: Machine,
    /// What is to come, by time and order.
    queue: BTreeMap<(Monotonic, u64), Happening>,
    order: u64,
    processes: BTreeMap<i32, Process>,
    pools: BTreeMap<GenerationId, Pool>,
    next_pid: i32,
    next_token: u64,
    /// Reloads go worker by worker.
    rolling: bool,
    /// How bad the world is, percent.
    boot_failures: u64,
    worker_deaths: u64,
    hangs: u64,
    stuck: u64,
    switched: Option<GenerationId>,
    opened: bool,
    last_spawn: Option<Monotonic>,
    reloads_since_spawn: u32,
    is_development: bool,
    /// Workers that were asked for a sign of life and give none.
    silent: Vec<Pid>,
    /// There is always work that waits.
    always_waiting: bool,
    lost: Vec<u64>,
    given_up: Vec<u64>,
    must_exit_by: Option<Monotonic>,
    exit: Option<i32>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.next();
        }
        let workers = 1 + random.below(4) as u32;
        let is_development = random.percent(20);
        let rolling = random.percent(40);
        let [boot_failures, worker_deaths, hangs] =
            [50, 60, 20].map(|worst| if random.percent(40) { 0 } else { random.below(worst) });
        World {
            now: Monotonic::from_nanos(5_000_000_000),
            machine: Machine::new(Settings {
                pool: Some(PoolSettings { is_development, ..random_pool(&mut random, workers, rolling) }),
                ..settings(workers)
            }),
            is_development,
            rolling,
            silent: Vec::new(),
            always_waiting: random.percent(50),
            queue: BTreeMap::new(),
            order: 0,
            processes: BTreeMap::new(),
            pools: BTreeMap::new(),
            next_pid: 1000,
            next_token: 1,
            boot_failures,
            worker_deaths,
            hangs,
            stuck: if random.percent(10) { 5 } else { 0 },
            switched: None,
            opened: false,
            last_spawn: None,
            reloads_since_spawn: 0,
            lost: Vec::new(),
            given_up: Vec::new(),
            must_exit_by: None,
            exit: None,
            random,
        }
    }

    fn play(mut self) -> i32 {
        self.plan_user();
        self.tell(Event::Start);
        let mut steps = 0;
        while self.exit.is_none() {
            steps += 1;
            assert!(steps < 200_000, "the world stands still or the machine spins");
            let coming = self.queue.first_key_value().map(|(key, _)| key.0);
            let tick = self.machine.wake_at(self.now);
            match (coming, tick) {
                (Some(at), tick) if tick.is_none_or(|tick| at <= tick) => {
                    self.now = self.now.max(at);
                    let (_, happening) = self.queue.pop_first().expect("it was just seen");
                    self.happen(happening);
                }
                (_, Some(tick)) => {
                    self.now = self.now.max(tick);
                    let (always, chance) = (self.always_waiting, self.random.0 & 0x30 != 0);
                    let open = self.pools.iter().filter(|(_, pool)| !pool.inbox_closed && (always || chance));
                    let waiting = open.map(|(id, _)| *id).collect();
                    self.tell(Event::Life { waiting, silent: self.silent.clone() });
                    let readings = self.readings();
                    self.tell(Event::Tick { readings });
                    let next = self.machine.wake_at(self.now);
                    assert!(
                        next.is_none_or(|next| next > self.now),
                        "a tick is answered, not asked for again: {next:?}"
                    );
                }
                (_, None) => panic!("nothing will ever happen"),
            }
            let limit = self.must_exit_by;
            assert!(limit.is_none_or(|limit| self.now <= limit), "a stop ends within its limit");
        }
        self.final_checks()
    }

    /// Reload storms, stops, signals; and at the horizon a stop in any case.
    fn plan_user(&mut self) {
        for _ in 0..self.random.below(4) {
            let start = self.random.below(HORIZON);
            for n in 0..1 + self.random.below(10) {
                let gap = n * self.random.delay(500);
                let workers = 1 + self.random.below(4) as u32;
                let filled = 1 + self.random.below(u64::from(workers)) as u32;
                let pool = random_pool(&mut self.random, workers, self.rolling);
                let pool = PoolSettings { filled, is_development: self.is_development, ..pool };
                self.later(start + gap, Happening::Tell(Event::Reload(pool)));
                let (gap, filled) = (self.random.delay(20_000), self.random.below(6) as u32);
                self.later(start + gap, Happening::Tell(Event::Scale(filled)));
                let gap = self.random.delay(20_000);
                self.later(start + gap, Happening::Tell(Event::Settings(pool)));
            }
        }
        for _ in 0..self.random.below(4) {
            let (slot, start, rest) =
                (self.random.below(4) as u32, self.random.below(HORIZON), self.random.delay(20_000));
            self.later(start, Happening::Tell(Event::VacateSlot(slot)));
            self.later(start + rest, Happening::Tell(Event::FillSlot(slot)));
        }
        let stop = if self.random.percent(30) { self.random.below(HORIZON) } else { HORIZON };
        let first = if self.random.percent(20) { Event::Quit } else { Event::Terminate };
        self.later(stop, Happening::Tell(first));
        for _ in 0..self.random.below(3) {
            let gap = self.random.delay(40_000);
            self.later(stop + gap, Happening::Tell(Event::Terminate));
        }
    }

    fn later(&mut self, nanos: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now + Duration::from_nanos(nanos), self.order), happening);
    }

    fn tell(&mut self, event: Event) {
        match &event {
            Event::Reload(_) => self.reloads_since_spawn += 1,
            Event::Terminate | Event::Quit => {
                let settings = settings(1);
                self.limit_exit(settings.graceful_timeout + settings.reap_timeout);
                if matches!(event, Event::Quit) {
                    self.limit_exit(settings.fast_timeout + settings.reap_timeout);
                }
            }
            Event::WarmedUp { generation, failure: None } => {
                self.pools.get_mut(generation).expect("spawned").is_proven = true;
            }
            _ => {}
        }
        let actions = self.machine.handle(event, self.now);
        for action in actions {
            assert!(self.exit.is_none(), "nothing follows an exit: {action:?}");
            self.perform(action);
        }
        for (id, pool) in &self.pools {
            let live =
                self.processes.values().filter(|process| process.generation == *id && process.slot.is_some()).count();
            let workers = pool.settings.map_or(0, |settings| settings.workers as usize);
            assert!(live <= workers + usize::from(pool.was_worn), "{live} workers of {id:?}");
        }
    }

    fn limit_exit(&mut self, span: Duration) {
        let limit = self.now + span;
        self.must_exit_by = Some(self.must_exit_by.map_or(limit, |by| by.min(limit)));
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::SpawnZygote { generation, settings } => self.spawn_zygote(generation, settings),
            Action::ForkWorker { generation, worker, place } => self.fork_worker(generation, worker, place),
            Action::WarmUp { generation } => {
                let up = self.processes.iter().find(|(_, process)| process.generation == generation && process.is_up);
                let pid =
                    up.and_then(|(pid, _)| Pid::from_raw(*pid)).expect("a generation is asked once it has a worker");
                let (delay, answer) = (self.random.delay(8000), self.random.below(100));
                let failure = (answer < self.boot_failures).then(|| "500".to_owned());
                if self.random.percent(self.worker_deaths / 4) {
                    self.later(delay, Happening::Ends(pid, Exit::Signal { signal: 11, core_dumped: true }));
                    let failure = Some("died".to_owned());
                    self.later(delay, Happening::Tell(Event::WarmedUp { generation, failure }));
                } else if !self.random.percent(self.hangs) {
                    self.later(delay, Happening::Tell(Event::WarmedUp { generation, failure }));
                }
            }
            Action::SwitchShards { generation } => {
                let pool = &self.pools[&generation];
                let needs_proof = pool.settings.expect("spawned").warmup.is_some();
                assert!(pool.is_proven || !needs_proof, "a generation takes over once it has proven itself");
                let has_worker =
                    self.processes.values().any(|process| process.generation == generation && process.is_up);
                assert!(has_worker, "a generation takes over once it has a worker");
                assert!(self.switched < Some(generation), "forwards only");
                self.pools.get_mut(&generation).expect("spawned").served_since = Some(self.now);
                let delay = self.random.delay(50);
                self.later(delay, Happening::Tell(Event::ShardsSwitched { generation }));
            }
            Action::OpenShards => {
                assert!(!std::mem::replace(&mut self.opened, true), "opened once");
            }
            Action::CloseInbox { generation } => {
                let is_replaced = self.pools.range(generation..).skip(1).any(|(_, pool)| pool.served_since.is_some());
                assert!(
                    is_replaced || self.must_exit_by.is_some(),
                    "no generation is dropped before its successor serves"
                );
                let pool = self.pools.get_mut(&generation).expect("spawned");
                assert!(!std::mem::replace(&mut pool.inbox_closed, true), "closed once");
                self.drain_workers(generation);
            }
            Action::CloseControl { generation } => {
                if let Some(pid) = self.zygote_of(generation)
                    && !self.processes[&raw(pid)].hangs
                {
                    let delay = self.random.delay(100);
                    self.later(delay, Happening::Ends(pid, Exit::Code(0)));
                }
            }
            Action::Kill { pid, signal } => {
                let process = self.processes.get(&raw(pid)).expect("signals go to processes that were not reaped");
                if signal == Signal::KILL && !process.is_stuck {
                    let delay = self.random.delay(10);
                    self.later(delay, Happening::Ends(pid, Exit::Signal { signal: 9, core_dumped: false }));
                } else if signal == Signal::ABORT && !process.hangs && !process.is_stuck {
                    self.later(MS, Happening::Ends(pid, Exit::Signal { signal: 6, core_dumped: true }));
                } else if signal == Signal::TERM && !process.hangs && !process.is_stuck {
                    self.leave(pid);
                }
            }
            Action::Interrupt { pid, request, .. } => {
                let process = self.processes.get(&raw(pid)).expect("those that are interrupted were not reaped");
                let is_meant = process.request.is_some_and(|(token, _)| token == request.token);
                if is_meant && !process.hangs && !process.is_stuck && !process.clings && self.random.percent(30) {
                    self.later(MS, Happening::FinishesRequest(pid));
                }
            }
            Action::AskForLife { pid, .. } => {
                let process = self.processes.get(&raw(pid)).expect("those that are asked were not reaped");
                if process.hangs || process.is_stuck {
                    self.silent.push(pid);
                } else {
                    self.later(MS, Happening::TakesRequest(pid));
                }
            }
            Action::Report(Report::WorkerSignalled { pid, reason: KillReason::NotAlive, .. }) => {
                let process = &self.processes[&raw(pid)];
                assert!(process.hangs || process.is_stuck, "who lives takes work");
            }
            Action::GiveUp { request, .. } => {
                assert!(!self.given_up.contains(&request.token), "a request is given up once");
                self.given_up.push(request.token);
            }
            Action::ReportLost { held, .. } => self.lost.extend(held.iter().map(|held| held.token)),
            Action::GenerationGone { generation } => {
                let left = |process: &&Process| process.generation == generation && process.is_accounted_for();
                assert!(!self.processes.values().any(|process| left(&process)), "gone means gone");
                self.pools.get_mut(&generation).expect("spawned").is_gone = true;
            }
            Action::DrainShards { .. } | Action::StopShards => {
                let max_ms = if matches!(action, Action::StopShards) { 100 } else { 40_000 };
                if !self.random.percent(self.hangs) {
                    let delay = self.random.delay(max_ms);
                    self.later(delay, Happening::Tell(Event::ShardsDrained));
                }
            }
            Action::Report(Report::BootFailed { outcome: BootOutcome::Exit, .. }) => {
                assert!(!self.is_development, "whoever works on it mends it");
                let settings = settings(1);
                self.limit_exit(settings.graceful_timeout + settings.reap_timeout);
            }
            Action::Report(Report::WorkerSignalled { pid, reason: KillReason::Rolled, .. }) => {
                let generation = self.processes[&raw(pid)].generation;
                let is_new = |process: &Process| process.generation > generation && process.is_up;
                assert!(self.rolling && self.processes.values().any(is_new), "one comes, then one goes");
                let newest = self.pools.values().next_back().expect("spawned");
                let needs_proof = newest.settings.expect("spawned").warmup.is_some();
                assert!(newest.is_proven || !needs_proof, "nobody leaves for what has not proven itself");
            }
            Action::Report(Report::WorkerWorn { pid, generation, .. }) => {
                let now = self.now;
                let pool = self.pools.get_mut(&generation).expect("spawned");
                assert!(pool.worn.replace((pid, now)).is_none(), "one is replaced at a time");
                pool.was_worn = true;
            }
            Action::Report(Report::WorkerSignalled { pid, reason: KillReason::Worn(_), .. }) => {
                let generation = self.processes[&raw(pid)].generation;
                let begun = self.pools[&generation].worn.filter(|(worn, _)| *worn == pid).map(|(_, since)| since);
                let begun = begun.expect("a worn worker was told of");
                let is_successor = |process: &Process| {
                    process.generation == generation && process.is_up && !process.is_leaving && process.born >= begun
                };
                assert!(self.processes.values().any(is_successor), "nobody leaves before the replacement is up");
            }
            Action::Report(_) => {}
            Action::Exit { code } => self.exit = Some(code),
        }
    }

    fn spawn_zygote(&mut self, generation: GenerationId, settings: PoolSettings) {
        if let Some(last) = self.last_spawn
            && self.reloads_since_spawn == 0
        {
            let stable = self
                .pools
                .values()
                .filter_map(|pool| pool.served_since)
                .max()
                .is_some_and(|since| self.now.since(since) >= settings.backoff.stable);
            assert!(stable || self.now.since(last) >= settings.backoff.first, "boots keep their distance");
        }
        self.last_spawn = Some(self.now);
        self.reloads_since_spawn = 0;
        self.pools.insert(generation, Pool { settings: Some(settings), ..Pool::default() });
        if self.random.percent(self.boot_failures / 5) {
            self.later(0, Happening::Tell(Event::SpawnFailed { generation, error: "no memory".into() }));
            return;
        }
        let pid = self.new_process(generation, None);
        self.later(0, Happening::Tell(Event::ZygoteSpawned { generation, pid }));
        let boot = self.random.delay(10_000);
        if self.random.percent(self.boot_failures / 2) {
            self.later(boot, Happening::ImportFails(generation));
            self.later(boot + MS, Happening::Ends(pid, Exit::Code(1)));
        } else if self.random.percent(self.boot_failures / 5) {
            self.later(boot, Happening::Ends(pid, Exit::Signal { signal: 11, core_dumped: true }));
        } else if !self.random.percent(self.hangs / 2) {
            self.later(boot, Happening::Imported(generation));
            if self.random.percent(self.worker_deaths / 2) {
                let life = self.random.delay(60_000);
                self.later(boot + life, Happening::Ends(pid, Exit::Signal { signal: 9, core_dumped: false }));
            }
        }
    }

    fn fork_worker(&mut self, generation: GenerationId, worker: WorkerId, slot: u32) {
        let now = self.now;
        let pool = self.pools.get_mut(&generation).expect("spawned");
        let between = pool.settings.expect("spawned").backoff.between_starts;
        if let Some(last) = pool.last_fork.insert(slot, now) {
            assert!(now.since(last) >= between, "restarts keep their distance: {:?}", now.since(last));
        }
        let is_closed = pool.inbox_closed;
        let taken =
            self.processes.values().any(|process| process.generation == generation && process.slot == Some(slot));
        assert!(!taken, "a slot has one worker");
        let Some(zygote) = self.zygote_of(generation) else {
            return;
        };
        if self.processes[&raw(zygote)].hangs && self.random.percent(10) {
            return;
        }
        if self.random.percent(self.boot_failures / 10) {
            self.later(MS, Happening::Tell(Event::ForkFailed { generation, worker, error: "no memory".into() }));
            return;
        }
        let pid = self.spare_of(generation).unwrap_or_else(|| self.new_process(generation, None));
        let process = self.processes.get_mut(&raw(pid)).expect("it was found, or made");
        (process.slot, process.waits, process.born) = (Some(slot), false, now);
        self.check_bound();
        if self.random.percent(70) {
            let delay = self.random.delay(5000);
            self.later(delay, Happening::Spare(generation));
        }
        if self.random.percent(self.worker_deaths / 10) {
            self.processes.get_mut(&raw(pid)).expect("just made").is_unreported = true;
            self.later(0, Happening::Ends(zygote, Exit::Signal { signal: 9, core_dumped: false }));
        } else {
            let delay = self.random.delay(20);
            self.later(delay, Happening::Tell(Event::WorkerForked { generation, worker, pid }));
        }
        let up = self.random.delay(500);
        if self.random.percent(self.worker_deaths / 3) {
            let life = self.random.delay(500);
            self.later(life, Happening::Ends(pid, Exit::Code(1)));
        } else if !self.random.percent(self.hangs / 4) {
            self.later(up, Happening::WorkerUp(pid));
        }
        if self.random.percent(self.worker_deaths) {
            let life = self.random.delay(60_000);
            let exit =
                if self.random.percent(30) { Exit::Code(0) } else { Exit::Signal { signal: 11, core_dumped: true } };
            self.later(up + life, Happening::Ends(pid, exit));
        }
        if is_closed {
            self.later(up + MS, Happening::Ends(pid, Exit::Code(0)));
        }
    }

    /// In a rolling reload nobody is forked beyond one more than there are to be.
    fn check_bound(&self) {
        let live = self.processes.values().filter(|process| process.slot.is_some() && !process.is_unreported).count();
        let workers = |pool: &Pool| pool.settings.map_or(0, |settings| settings.workers as usize);
        let most = self.pools.values().filter(|pool| !pool.is_gone).map(workers).max().unwrap_or(0);
        assert!(!self.rolling || live <= most + 1, "{live} workers, of {most}");
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            // Who has ended by then is not told of.
            Happening::Tell(Event::ReserveForked { pid, .. }) if !self.processes.contains_key(&raw(pid)) => {}
            Happening::Tell(event) => {
                if let Event::ShardsSwitched { generation } = event {
                    self.switched = Some(generation);
                }
                self.tell(event);
            }
            Happening::Imported(generation) if self.zygote_of(generation).is_some() => {
                self.tell(Event::Imported { generation })
            }
            Happening::ImportFails(generation) if self.zygote_of(generation).is_some() => {
                self.tell(Event::ImportFailed { generation, traceback: "ImportError".into(), is_missing: false });
            }
            Happening::Spare(generation) => self.fork_spare(generation),
            Happening::WorkerUp(pid) => {
                if let Some(process) = self.processes.get_mut(&raw(pid)) {
                    process.is_up = true;
                    let delay = self.random.delay(200);
                    self.later(delay, Happening::TakesRequest(pid));
                }
            }
            Happening::TakesRequest(pid) => self.take_request(pid),
            Happening::FinishesRequest(pid) => {
                if let Some(process) = self.processes.get_mut(&raw(pid)).filter(|process| !process.clings) {
                    process.request = None;
                    process.served += 1;
                    process.rss_bytes += self.random.below(100);
                    let delay = self.random.delay(2000);
                    self.later(delay, Happening::TakesRequest(pid));
                }
            }
            Happening::Ends(pid, exit) => self.end(pid, exit),
            Happening::Imported(_) | Happening::ImportFails(_) => {}
        }
    }

    fn take_request(&mut self, pid: Pid) {
        let (token, now) = (self.next_token, self.now);
        let Some(process) = self.processes.get_mut(&raw(pid)) else {
            return;
        };
        if self.pools[&process.generation].inbox_closed || process.is_leaving || process.request.is_some() {
            return;
        }
        self.next_token += 1;
        process.request = Some((token, now));
        let is_deadly = self.random.percent(self.worker_deaths / 4);
        if is_deadly {
            // The request itself is deadly.
            let delay = self.random.delay(20);
            let exit = Exit::Signal { signal: 11, core_dumped: true };
            self.later(delay, Happening::Ends(pid, exit));
        } else if self.random.percent(self.hangs / 4) {
            process.hangs = self.random.percent(50);
            process.clings = self.random.percent(50);
        } else {
            let delay = self.random.delay(5000);
            self.later(delay, Happening::FinishesRequest(pid));
        }
    }

    /// A process ends and is reaped. What its zygote had reported before comes first.
    fn end(&mut self, pid: Pid, exit: Exit) {
        let Some(process) = self.processes.get(&raw(pid)) else {
            return;
        };
        if process.slot.is_none() && !process.waits {
            let generation = process.generation;
            let is_report = |happening: &Happening| matches!(happening, Happening::Tell(Event::WorkerForked { generation: of, .. } | Event::ForkFailed { generation: of, .. } | Event::ReserveForked { generation: of, .. } | Event::ZygoteSpawned { generation: of, .. }) if *of == generation);
            // One report may be followed by a fork, and that by another report.
            while let Some(key) = self.queue.iter().find(|(_, happening)| is_report(happening)).map(|(key, _)| *key) {
                let happening = self.queue.remove(&key).expect("it was just seen");
                self.happen(happening);
                if self.exit.is_some() {
                    return;
                }
            }
        }
        if self.zygote_of(self.processes[&raw(pid)].generation) == Some(pid) {
            self.let_spare_go(self.processes[&raw(pid)].generation);
        }
        let process = self.processes.remove(&raw(pid)).expect("it was just there");
        let pool = self.pools.get_mut(&process.generation).expect("spawned");
        pool.worn = pool.worn.filter(|(worn, _)| *worn != pid);
        let held: Vec<Held> = process.request.iter().map(|(token, _)| Held { shard: 0, token: *token }).collect();
        let exit = if exit == Exit::Code(0) && !held.is_empty() { Exit::Code(1) } else { exit };
        self.tell(Event::ChildExited { pid, exit, held, served: process.served });
    }

    fn drain_workers(&mut self, generation: GenerationId) {
        let workers: Vec<(i32, bool)> = self
            .processes
            .iter()
            .filter(|(_, process)| process.generation == generation && process.slot.is_some())
            .map(|(pid, process)| (*pid, process.hangs))
            .collect();
        for (pid, hangs) in workers {
            if !hangs && !self.random.percent(self.hangs / 2) {
                let delay = self.random.delay(5000);
                let pid = Pid::from_raw(pid).expect("a process");
                self.later(delay, Happening::FinishesRequest(pid));
                self.later(delay, Happening::Ends(pid, Exit::Code(0)));
            }
        }
    }

    /// A worker heeds SIGTERM: it finishes what it has, and ends.
    fn leave(&mut self, pid: Pid) {
        let process = self.processes.get_mut(&raw(pid)).expect("the caller looked");
        if std::mem::replace(&mut process.is_leaving, true) {
            return;
        }
        if process.clings {
            return;
        }
        let is_busy = process.request.is_some();
        let delay = self.random.delay(if is_busy { 5000 } else { 20 });
        self.later(delay, Happening::FinishesRequest(pid));
        self.later(delay, Happening::Ends(pid, Exit::Code(0)));
    }

    fn new_process(&mut self, generation: GenerationId, slot: Option<u32>) -> Pid {
        self.next_pid += 1;
        let process = Process {
            generation,
            slot,
            waits: false,
            is_up: false,
            hangs: self.random.percent(self.hangs / 2),
            is_stuck: self.random.percent(self.stuck),
            is_unreported: false,
            request: None,
            served: 0,
            rss_bytes: self.random.below(500),
            born: self.now,
            is_leaving: false,
            clings: false,
            has_other: self.random.percent(50),
        };
        self.processes.insert(self.next_pid, process);
        Pid::from_raw(self.next_pid).expect("positive")
    }

    fn zygote_of(&self, generation: GenerationId) -> Option<Pid> {
        let is_zygote =
            |process: &Process| process.generation == generation && process.slot.is_none() && !process.waits;
        let zygote = self.processes.iter().find(|(_, process)| is_zygote(process));
        zygote.and_then(|(pid, _)| Pid::from_raw(*pid))
    }

    fn readings(&self) -> Vec<Reading> {
        let up = self.processes.iter().filter(|(_, process)| process.is_up);
        let mut readings = Vec::new();
        for (pid, process) in up {
            let Some(place) = process.slot else { continue };
            let (token, started) = process.request.unwrap_or((0, Monotonic::ZERO));
            let state = |token| match token {
                _ if process.is_leaving => SlotState::Leaving,
                0 => SlotState::Idle,
                _ => SlotState::Busy,
            };
            let (generation, rss_bytes) = (process.generation, Some(process.rss_bytes));
            let view =
                SlotView { token, shard: 0, pid: *pid as u32, started, done: process.served, state: state(token) };
            readings.push(Reading { generation, place, view, rss_bytes });
            if process.has_other {
                let view = SlotView { token: 0, started: Monotonic::ZERO, done: 0, state: state(0), ..view };
                readings.push(Reading { generation, place, view, rss_bytes });
            }
        }
        readings
    }

    fn final_checks(self) -> i32 {
        let left: Vec<_> = self.processes.values().filter(|process| process.is_accounted_for()).collect();
        assert!(self.stuck > 0 || left.is_empty(), "every process was accounted for: {left:?}");
        let mut lost = self.lost.clone();
        lost.sort_unstable();
        lost.dedup();
        assert_eq!(lost.len(), self.lost.len(), "a request is lost once");
        let code = self.exit.expect("the world has ended");
        assert!(code == 0 || !self.opened, "an open server ends only when it is told to");
        code
    }
}

fn raw(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}
