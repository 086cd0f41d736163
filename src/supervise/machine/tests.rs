//! Tables: what follows from what, step by step, at times that the tests set.

use super::*;
use crate::sys::memory::{SlotState, SlotView};
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn pool_settings(workers: u32) -> PoolSettings {
    PoolSettings {
        workers,
        filled: workers,
        threads: 2,
        timeout: Some(30 * SECOND),
        liveness_timeout: Some(30 * SECOND),
        abort_grace: 2 * SECOND,
        boot_timeout: 60 * SECOND,
        graceful_timeout: 20 * SECOND,
        backoff: crate::supervise::backoff::Policy::default(),
        is_development: false,
        rolling: false,
        warmup: None,
        recycle: Recycle::default(),
    }
}

pub(super) fn settings(workers: u32) -> Settings {
    Settings {
        pool: Some(pool_settings(workers)),
        graceful_timeout: 30 * SECOND,
        fast_timeout: SECOND,
        reap_timeout: SECOND,
    }
}

pub(super) fn pid(number: i32) -> Pid {
    Pid::from_raw(number).expect("a positive number")
}

/// A machine, its clock, and the actions since the last look, without reports and in a short form.
pub(super) struct Bench {
    pub machine: Machine,
    pub now: Monotonic,
    pub said: Vec<String>,
    pub readings: Vec<Reading>,
}

impl Bench {
    pub fn new(settings: Settings) -> Bench {
        Bench {
            machine: Machine::new(settings),
            now: Monotonic::from_nanos(1_000_000_000),
            said: Vec::new(),
            readings: Vec::new(),
        }
    }

    pub fn tell(&mut self, event: Event) -> &mut Bench {
        let actions = self.machine.handle(event, self.now);
        self.said.extend(actions.iter().filter_map(short));
        self
    }

    /// Lets `span` pass; ticks come exactly when they are asked for.
    pub fn pass(&mut self, span: Duration) -> &mut Bench {
        let end = self.now + span;
        while let Some(at) = self.machine.wake_at(self.now).filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let readings = self.readings.clone();
            self.tell(Event::Tick { readings });
        }
        self.now = end;
        self
    }

    pub fn exit(&mut self, number: i32, exit: Exit, held: &[Held], served: u64) -> &mut Bench {
        self.readings.retain(|reading| reading.view.pid != number as u32);
        self.tell(Event::ChildExited { pid: pid(number), exit, held: held.to_vec(), served })
    }

    pub fn show(
        &mut self,
        generation: u32,
        place: u32,
        number: u32,
        state: SlotState,
        token: u64,
        started: Monotonic,
    ) -> &mut Bench {
        let view = SlotView { token, shard: 0, pid: number, started, done: 0, state };
        self.readings.retain(|reading| reading.view.pid != number);
        self.readings.push(Reading { generation: GenerationId(generation), place, view, rss_bytes: None });
        self
    }

    /// What was said since the last look.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    #[track_caller]
    pub fn expect(&mut self, said: &[&str]) -> &mut Bench {
        assert_eq!(std::mem::take(&mut self.said), said);
        self
    }

    /// A worker of a generation is forked as process `number`, and up in this place.
    pub fn comes_up(&mut self, generation: u32, worker: u32, number: i32, place: u32) -> &mut Bench {
        let id = GenerationId(generation);
        self.tell(Event::WorkerForked { generation: id, worker: WorkerId(worker), pid: pid(number) });
        self.show(generation, place, number as u32, SlotState::Idle, 0, Monotonic::ZERO).pass(5 * MS)
    }

    /// Boots a generation whose zygote is `zygote` and whose workers are the numbers that follow.
    pub fn boot(&mut self, generation: u32, zygote: i32, first_worker: u32, workers: u32) -> &mut Bench {
        let id = GenerationId(generation);
        self.tell(Event::ZygoteSpawned { generation: id, pid: pid(zygote) });
        self.tell(Event::Imported { generation: id });
        for n in 0..workers {
            let number = zygote + 1 + n as i32;
            self.tell(Event::WorkerForked { generation: id, worker: WorkerId(first_worker + n), pid: pid(number) });
            self.show(generation, n, number as u32, SlotState::Idle, 0, Monotonic::ZERO);
        }
        self.pass(5 * MS).tell(Event::ShardsSwitched { generation: id });
        self.said.clear();
        self
    }

    /// A server with one generation of two workers (processes 101 and 102, zygote 100).
    pub fn serving() -> Bench {
        let mut bench = Bench::new(settings(2));
        bench.tell(Event::Start).boot(1, 100, 1, 2);
        assert!(bench.machine.is_ready());
        bench
    }
}

fn short(action: &Action) -> Option<String> {
    Some(match action {
        Action::SpawnZygote { generation, .. } => format!("spawn {generation}"),
        Action::ForkWorker { generation, worker, place } => format!("fork {worker} of {generation} in {place}"),
        Action::WarmUp { generation } => format!("warm up {generation}"),
        Action::SwitchShards { generation } => format!("switch to {generation}"),
        Action::OpenShards => "open".into(),
        Action::CloseInbox { generation } => format!("close inbox {generation}"),
        Action::CloseControl { generation } => format!("close control {generation}"),
        Action::Kill { pid, signal } => {
            format!("kill {} {}", pid.as_raw_nonzero(), signal.as_raw())
        }
        Action::Interrupt { pid, request, .. } => format!("interrupt {} {}", pid.as_raw_nonzero(), request.token),
        Action::AskForLife { pid, .. } => format!("ask {}", pid.as_raw_nonzero()),
        Action::GiveUp { request, .. } => format!("give up {}", request.token),
        Action::ReportLost { generation, held, .. } => {
            format!("lost {:?} of {generation}", held.iter().map(|held| held.token).collect::<Vec<_>>())
        }
        Action::GenerationGone { generation } => format!("gone {generation}"),
        Action::DrainShards { .. } => "drain shards".into(),
        Action::StopShards => "stop shards".into(),
        Action::Exit { code } => format!("exit {code}"),
        Action::Report(_) => return None,
    })
}

pub(super) const KILLED: Exit = Exit::Signal { signal: 9, core_dumped: false };
pub(super) const DONE: Exit = Exit::Code(0);

#[test]
fn a_first_start_opens_the_shards_once_a_worker_is_up() {
    let mut bench = Bench::new(settings(2));
    let id = GenerationId(1);
    bench.tell(Event::Start).expect(&["spawn 1"]);
    bench.tell(Event::ZygoteSpawned { generation: id, pid: pid(100) }).expect(&[]);
    bench.tell(Event::Imported { generation: id }).expect(&["fork 1 of 1 in 0", "fork 2 of 1 in 1"]);
    bench.tell(Event::WorkerForked { generation: id, worker: WorkerId(1), pid: pid(101) });
    bench.pass(SECOND).expect(&[]);
    bench.show(1, 0, 101, SlotState::Idle, 0, Monotonic::ZERO).pass(SECOND).expect(&["switch to 1"]);
    assert!(!bench.machine.is_ready());
    bench.tell(Event::ShardsSwitched { generation: id }).expect(&["open"]);
    assert!(bench.machine.is_ready());
}

#[test]
fn a_server_without_an_application_just_opens_and_stops() {
    let mut bench = Bench::new(Settings { pool: None, ..settings(1) });
    bench.tell(Event::Start).expect(&["open"]);
    assert_eq!(bench.machine.wake_at(bench.now), None);
    bench.tell(Event::Terminate).expect(&["drain shards"]);
    bench.tell(Event::ShardsDrained).expect(&["exit 0"]);
    bench.tell(Event::Terminate).pass(100 * SECOND).expect(&[]);
}

#[test]
fn a_failed_first_import_exits_with_3_and_a_missing_interpreter_with_1() {
    let mut bench = Bench::new(settings(2));
    let id = GenerationId(1);
    bench.tell(Event::Start).tell(Event::ZygoteSpawned { generation: id, pid: pid(100) });
    bench
        .tell(Event::ImportFailed { generation: id, traceback: "ImportError".into(), is_missing: false })
        .expect(&["spawn 1", "kill 100 9"]);
    bench.exit(100, KILLED, &[], 0).expect(&["gone 1", "exit 3"]);

    let mut bench = Bench::new(settings(2));
    bench.tell(Event::Start).tell(Event::SpawnFailed { generation: id, error: "no python3".into() });
    bench.expect(&["spawn 1", "gone 1", "exit 1"]);

    let mut bench = Bench::new(settings(2));
    bench.tell(Event::Start).tell(Event::ZygoteSpawned { generation: id, pid: pid(100) });
    bench.exit(100, Exit::Signal { signal: 11, core_dumped: true }, &[], 0).expect(&["spawn 1", "gone 1", "exit 3"]);
}

#[test]
fn an_import_that_hangs_is_given_up() {
    let mut bench = Bench::new(settings(1));
    bench.tell(Event::Start).tell(Event::ZygoteSpawned { generation: GenerationId(1), pid: pid(100) });
    bench.pass(59 * SECOND).expect(&["spawn 1"]);
    bench.pass(SECOND).expect(&["kill 100 9"]);
    bench.exit(100, KILLED, &[], 0).expect(&["gone 1", "exit 3"]);
}

#[test]
fn workers_that_die_at_boot_fail_the_boot_after_a_few_with_growing_waits() {
    let mut bench = Bench::new(settings(1));
    let id = GenerationId(1);
    bench
        .tell(Event::Start)
        .tell(Event::ZygoteSpawned { generation: id, pid: pid(100) })
        .tell(Event::Imported { generation: id });
    bench.expect(&["spawn 1", "fork 1 of 1 in 0"]);
    for (n, wait_ms) in [(1, 100), (2, 200)] {
        bench.tell(Event::WorkerForked { generation: id, worker: WorkerId(n), pid: pid(100 + n as i32) });
        bench.exit(100 + n as i32, Exit::Code(1), &[], 0).pass((wait_ms - 1) * MS).expect(&[]);
        bench.pass(MS).expect(&[&format!("fork {} of 1 in 0", n + 1)]);
    }
    bench.tell(Event::WorkerForked { generation: id, worker: WorkerId(3), pid: pid(103) });
    bench.exit(103, Exit::Code(1), &[], 0).expect(&["kill 100 9"]);
    bench.exit(100, KILLED, &[], 0).expect(&["gone 1", "exit 3"]);
}

#[test]
fn a_worker_s_death_loses_what_it_held_and_starts_another() {
    let mut bench = Bench::serving();
    let held = [Held { shard: 0, token: 7 }, Held { shard: 1, token: 8 }];
    bench.pass(SECOND).exit(101, KILLED, &held, 5).expect(&["lost [7, 8] of 1", "fork 3 of 1 in 0"]);
    // One thread seemed idle: it may have just taken a request.
    bench.exit(102, KILLED, &held[..1], 5).expect(&["lost [7] of 1", "fork 4 of 1 in 1"]);
    // The same worker killed by its first request: at once, but never more often than every 100 ms.
    bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(3), pid: pid(103) });
    bench.exit(103, KILLED, &held, 0).expect(&["lost [7, 8] of 1"]);
    bench.pass(99 * MS).expect(&[]).pass(MS).expect(&["fork 5 of 1 in 0"]);
}

#[test]
fn a_worker_that_retires_is_replaced() {
    let mut bench = Bench::serving();
    bench.pass(SECOND).exit(101, DONE, &[], 1000).expect(&["fork 3 of 1 in 0"]);
}

#[test]
fn a_worker_that_dies_before_its_fork_is_reported_is_still_a_worker() {
    let mut bench = Bench::serving();
    bench.pass(SECOND).exit(101, KILLED, &[], 5).expect(&["fork 3 of 1 in 0"]);
    bench.exit(4711, DONE, &[], 0).expect(&[]);
    bench.exit(103, KILLED, &[Held { shard: 0, token: 9 }], 0).expect(&[]);
    bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(3), pid: pid(103) });
    bench.expect(&["lost [9] of 1"]).pass(SECOND).expect(&["fork 4 of 1 in 0"]);
}

#[test]
fn an_idle_pool_is_looked_at_once_a_timeout() {
    let mut bench = Bench::serving();
    let mut ticks = 0;
    let end = bench.now + 300 * SECOND;
    while let Some(at) = bench.machine.wake_at(bench.now).filter(|at| *at <= end) {
        bench.now = at;
        ticks += 1;
        let readings = bench.readings.clone();
        bench.tell(Event::Tick { readings });
    }
    assert!(ticks <= 22, "{ticks} ticks in 300 s for two workers with a timeout of 30 s");
}

#[test]
fn a_reload_hands_over_to_a_generation_that_works() {
    let mut bench = Bench::serving();
    let two = GenerationId(2);
    bench.tell(Event::Reload(pool_settings(1))).expect(&["spawn 2"]);
    bench.tell(Event::ZygoteSpawned { generation: two, pid: pid(200) }).tell(Event::Imported { generation: two });
    bench
        .tell(Event::WorkerForked { generation: two, worker: WorkerId(3), pid: pid(201) })
        .expect(&["fork 3 of 2 in 0"]);
    bench.show(2, 0, 201, SlotState::Idle, 0, Monotonic::ZERO).pass(SECOND).expect(&["switch to 2"]);
    bench.tell(Event::ShardsSwitched { generation: two }).expect(&["close inbox 1"]);
    bench.exit(101, DONE, &[], 3).exit(102, DONE, &[], 3).expect(&["close control 1"]);
    bench.exit(100, DONE, &[], 0).expect(&["gone 1"]);
    assert!(bench.machine.is_ready());
}

#[test]
fn a_failed_reload_keeps_the_old_generation() {
    let mut bench = Bench::serving();
    let two = GenerationId(2);
    bench.tell(Event::Reload(pool_settings(2))).tell(Event::ZygoteSpawned { generation: two, pid: pid(200) });
    bench
        .tell(Event::ImportFailed { generation: two, traceback: "SyntaxError".into(), is_missing: false })
        .expect(&["spawn 2", "kill 200 9"]);
    bench.exit(200, KILLED, &[], 0).expect(&["gone 2"]).pass(100 * SECOND).expect(&[]);
    assert!(bench.machine.is_ready());
    bench.tell(Event::Reload(pool_settings(2))).expect(&["spawn 3"]);
}

#[test]
fn other_settings_alone_replace_nobody() {
    let mut bench = Bench::serving();
    bench.tell(Event::Reload(pool_settings(5))).expect(&["spawn 2"]);
    fail_import(&mut bench, 2, 200);
    bench.expect(&["kill 200 9", "gone 2"]);
    bench.tell(Event::Settings(pool_settings(2))).pass(100 * SECOND).expect(&[]);
    // Whoever is lost with its zygote is followed by as many as there were.
    bench.exit(100, KILLED, &[], 0).pass(SECOND).expect(&["spawn 3"]);
    bench.tell(Event::ZygoteSpawned { generation: GenerationId(3), pid: pid(300) });
    bench.tell(Event::Imported { generation: GenerationId(3) }).expect(&["fork 3 of 3 in 0", "fork 4 of 3 in 1"]);
}

#[test]
fn reloads_during_a_reload_become_one() {
    let mut bench = Bench::serving();
    for _ in 0..5 {
        bench.tell(Event::Reload(pool_settings(1)));
    }
    bench.expect(&["spawn 2"]);
    bench.boot(2, 200, 3, 1);
    // Booting 2 ended with its switch, so 3 was begun at once; 1 drains meanwhile.
    bench.boot(3, 300, 4, 1);
    bench.tell(Event::Reload(pool_settings(1))).expect(&[]);
    // Two old generations drain: the next waits for one of them.
    bench.exit(201, DONE, &[], 1).exit(200, DONE, &[], 0).expect(&["close control 2", "gone 2", "spawn 4"]);
}

#[test]
fn an_old_generation_that_does_not_drain_is_killed() {
    let mut bench = Bench::serving();
    bench.tell(Event::Reload(pool_settings(1))).boot(2, 200, 3, 1);
    bench.exit(101, DONE, &[], 1).pass(20 * SECOND).expect(&["kill 100 9", "kill 102 9"]);
    bench.exit(102, KILLED, &[Held { shard: 0, token: 5 }], 0).expect(&["lost [5] of 1"]);
    bench.exit(100, KILLED, &[], 0).expect(&["gone 1"]);
}

#[test]
fn a_worker_killed_while_draining_is_replaced_to_finish_the_queue() {
    let mut bench = Bench::serving();
    bench.tell(Event::Reload(pool_settings(1))).boot(2, 200, 3, 1);
    bench
        .pass(SECOND)
        .exit(101, KILLED, &[Held { shard: 0, token: 5 }], 3)
        .expect(&["lost [5] of 1", "fork 4 of 1 in 0"]);
}

#[test]
fn a_dead_zygote_is_followed_by_a_new_generation_while_workers_go_on() {
    let mut bench = Bench::serving();
    bench.pass(SECOND).exit(100, KILLED, &[], 0).expect(&[]);
    bench.pass(100 * MS).expect(&["spawn 2"]);
    bench.tell(Event::SpawnFailed { generation: GenerationId(2), error: "no memory".into() }).expect(&["gone 2"]);
    bench.pass(199 * MS).expect(&[]).pass(MS).expect(&["spawn 3"]);
    bench.exit(101, KILLED, &[], 1).expect(&[]);
    bench.boot(3, 300, 3, 2);
    bench.exit(102, DONE, &[], 1).expect(&["close control 1", "gone 1"]);
}

#[test]
fn a_worker_whose_zygote_died_before_reporting_it_is_adopted() {
    let mut bench = Bench::serving();
    bench.pass(SECOND).exit(101, KILLED, &[], 1).expect(&["fork 3 of 1 in 0"]);
    bench.exit(100, KILLED, &[], 0).show(1, 0, 103, SlotState::Idle, 0, Monotonic::ZERO);
    bench.pass(SECOND).expect(&["spawn 2"]);
    bench.pass(40 * SECOND);
    bench.exit(103, KILLED, &[Held { shard: 0, token: 6 }], 0).expect(&["lost [6] of 1"]);
}

#[test]
fn a_fork_that_its_zygote_did_not_live_to_make_delays_no_drain() {
    let mut bench = Bench::serving();
    bench.pass(SECOND).exit(101, KILLED, &[], 1).exit(100, KILLED, &[], 0);
    bench.pass(SECOND).expect(&["fork 3 of 1 in 0", "spawn 2"]);
    bench.boot(2, 200, 4, 2);
    bench.exit(102, DONE, &[], 1).expect(&["close control 1", "gone 1"]);
}

#[test]
fn a_graceful_stop_drains_shards_then_workers() {
    let mut bench = Bench::serving();
    bench.tell(Event::Terminate).expect(&["drain shards"]);
    // What is in hand still needs workers.
    bench.pass(SECOND).exit(101, KILLED, &[], 1).expect(&["fork 3 of 1 in 0"]);
    bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(3), pid: pid(103) });
    bench.tell(Event::ShardsDrained).expect(&["close inbox 1"]);
    bench.exit(102, DONE, &[], 1).exit(103, DONE, &[], 0).expect(&["close control 1"]);
    bench.exit(100, DONE, &[], 0).expect(&["gone 1", "exit 0"]);
}

#[test]
fn a_stop_ends_within_its_limit_whatever_hangs() {
    let mut bench = Bench::serving();
    bench.tell(Event::Terminate).expect(&["drain shards"]);
    bench.pass(29 * SECOND).expect(&["stop shards", "close inbox 1"]);
    bench.pass(SECOND).expect(&["kill 100 9", "kill 101 9", "kill 102 9"]);
    bench.pass(SECOND).expect(&["exit 0"]);
}

#[test]
fn a_second_signal_hurries_and_a_third_does_not_wait() {
    let mut bench = Bench::serving();
    bench.tell(Event::Terminate).expect(&["drain shards"]);
    bench.tell(Event::Terminate).expect(&["stop shards", "close inbox 1"]);
    bench.tell(Event::Quit).expect(&["kill 100 9", "kill 101 9", "kill 102 9"]);
    for number in [100, 101, 102] {
        bench.exit(number, KILLED, &[], 0);
    }
    bench.expect(&["gone 1"]).tell(Event::ShardsDrained).expect(&["exit 0"]);
}

#[test]
fn a_stop_during_a_boot_ends_the_boot() {
    let mut bench = Bench::new(settings(2));
    bench.tell(Event::Start).tell(Event::Terminate).expect(&["spawn 1"]);
    bench.tell(Event::ZygoteSpawned { generation: GenerationId(1), pid: pid(100) }).expect(&["kill 100 9"]);
    bench.exit(100, KILLED, &[], 0).expect(&["gone 1", "exit 0"]);
}

#[test]
fn a_worker_that_is_to_end_is_asked_again_until_it_does_or_is_killed() {
    let mut bench = Bench::serving();
    bench.tell(Event::VacateSlot(0)).expect(&["kill 101 15"]);
    bench.pass(SECOND - MS).expect(&[]).pass(2 * SECOND).expect(&["kill 101 15", "kill 101 15"]);
    bench.exit(101, DONE, &[], 7).pass(5 * SECOND).expect(&[]);
    // Another one does not listen: its time is over after `graceful_timeout`.
    bench.tell(Event::VacateSlot(1)).expect(&["kill 102 15"]);
    bench.pass(19 * SECOND + 500 * MS);
    assert!(bench.said.drain(..).all(|said| said == "kill 102 15"));
    bench.pass(SECOND).expect(&["kill 102 9"]);
}

#[test]
fn places_are_filled_and_emptied_as_there_is_work() {
    let pool = Some(PoolSettings { filled: 1, ..pool_settings(3) });
    let mut bench = Bench::new(Settings { pool, ..settings(3) });
    bench.tell(Event::Start).boot(1, 100, 1, 1);
    assert_eq!(bench.machine.places().len(), 1, "empty places are not shown");
    // There is no room for more than three.
    bench.tell(Event::Scale(9)).expect(&["fork 2 of 1 in 1", "fork 3 of 1 in 2"]);
    for (worker, number) in [(2, 102), (3, 103)] {
        bench.tell(Event::WorkerForked { generation: GenerationId(1), worker: WorkerId(worker), pid: pid(number) });
        bench.show(1, worker - 1, number as u32, SlotState::Idle, 0, Monotonic::ZERO);
    }
    bench.pass(SECOND).tell(Event::Scale(1)).expect(&["kill 102 15", "kill 103 15"]);
    bench.exit(102, DONE, &[], 1).exit(103, DONE, &[], 1).pass(SECOND).expect(&[]);
    assert_eq!(bench.machine.places().len(), 1);
    // What a person has emptied stays so.
    bench.tell(Event::VacateSlot(0)).expect(&["kill 101 15"]);
    bench.exit(101, DONE, &[], 1).tell(Event::Scale(2)).pass(SECOND).expect(&["fork 4 of 1 in 1"]);
    bench.tell(Event::FillSlot(0)).pass(SECOND).expect(&["fork 5 of 1 in 0"]);
    // The next generation begins with as many.
    let pool = PoolSettings { filled: 2, ..pool_settings(3) };
    bench.tell(Event::Reload(pool)).boot(2, 200, 6, 2);
    assert_eq!(bench.machine.places().len(), 2);
}

fn development(workers: u32) -> Settings {
    let pool = PoolSettings { is_development: true, ..pool_settings(workers) };
    Settings { pool: Some(pool), ..settings(workers) }
}

fn fail_import(bench: &mut Bench, generation: u32, zygote: i32) {
    let id = GenerationId(generation);
    bench.tell(Event::ZygoteSpawned { generation: id, pid: pid(zygote) });
    bench.tell(Event::ImportFailed { generation: id, traceback: "SyntaxError".into(), is_missing: false });
    bench.exit(zygote, Exit::Code(0), &[], 0);
}

#[test]
fn a_first_boot_that_fails_in_development_is_waited_out() {
    let pool = development(1).pool.expect("just made");
    let mut bench = Bench::new(development(1));
    bench.tell(Event::Start).expect(&["spawn 1"]);
    fail_import(&mut bench, 1, 100);
    bench.expect(&["kill 100 9", "open", "gone 1"]);
    // Nothing is tried again by itself, and the next change fails as well.
    bench.pass(600 * SECOND).expect(&[]);
    assert!(!bench.machine.is_ready());
    bench.tell(Event::Reload(pool)).expect(&["spawn 2"]);
    fail_import(&mut bench, 2, 200);
    bench.expect(&["kill 200 9", "gone 2"]);
    bench.tell(Event::Reload(pool)).expect(&["spawn 3"]);
    bench.boot(3, 300, 1, 1);
    assert!(bench.machine.is_ready());
    bench.tell(Event::Terminate).expect(&["drain shards"]);
}

#[test]
fn in_development_old_generations_end_soon() {
    let pool = development(1).pool.expect("just made");
    let mut bench = Bench::new(development(1));
    bench.tell(Event::Start).boot(1, 100, 1, 1);
    bench.tell(Event::Reload(pool)).boot(2, 200, 2, 1);
    bench.pass(SECOND).expect(&[]);
    bench.pass(2 * SECOND).expect(&["kill 100 9", "kill 101 9"]);
}

/// A server of two workers whose generations have to answer a warm-up request within five seconds, with a worker (101) up.
fn proving() -> Bench {
    let mut settings = settings(2);
    settings.pool.as_mut().expect("there is one").warmup = Some(5 * SECOND);
    let mut bench = Bench::new(settings);
    let id = GenerationId(1);
    bench.tell(Event::Start).tell(Event::ZygoteSpawned { generation: id, pid: pid(100) });
    bench.tell(Event::Imported { generation: id });
    bench.tell(Event::WorkerForked { generation: id, worker: WorkerId(1), pid: pid(101) });
    bench.tell(Event::WorkerForked { generation: id, worker: WorkerId(2), pid: pid(102) });
    bench.show(1, 0, 101, SlotState::Idle, 0, Monotonic::ZERO).pass(SECOND);
    bench.expect(&["spawn 1", "fork 1 of 1 in 0", "fork 2 of 1 in 1", "warm up 1"]);
    bench
}

#[test]
fn a_generation_takes_over_once_it_has_answered_its_warm_up_request() {
    let mut bench = proving();
    let id = GenerationId(1);
    bench.tell(Event::WarmedUp { generation: id, failure: None }).expect(&["switch to 1"]);
    bench.tell(Event::ShardsSwitched { generation: id }).expect(&["open"]);
    // What comes late changes nothing.
    bench.tell(Event::WarmedUp { generation: id, failure: Some("late".into()) }).pass(9 * SECOND).expect(&[]);
    assert!(bench.machine.is_ready());
}

#[test]
fn a_wrong_answer_to_the_warm_up_ends_a_first_start_and_fails_a_reload() {
    let mut bench = proving();
    bench.tell(Event::WarmedUp { generation: GenerationId(1), failure: Some("500".into()) });
    bench.expect(&["kill 100 9", "kill 101 9", "kill 102 9"]);
    bench.exit(101, KILLED, &[], 0).exit(102, KILLED, &[], 0).exit(100, KILLED, &[], 0).expect(&["gone 1", "exit 3"]);

    let mut bench = Bench::serving();
    let two = GenerationId(2);
    bench.tell(Event::Reload(PoolSettings { warmup: Some(5 * SECOND), ..pool_settings(1) }));
    bench.tell(Event::ZygoteSpawned { generation: two, pid: pid(200) }).tell(Event::Imported { generation: two });
    bench.tell(Event::WorkerForked { generation: two, worker: WorkerId(3), pid: pid(201) });
    bench.show(2, 0, 201, SlotState::Idle, 0, Monotonic::ZERO).pass(SECOND);
    bench.expect(&["spawn 2", "fork 3 of 2 in 0", "warm up 2"]);
    bench.tell(Event::WarmedUp { generation: two, failure: Some("500".into()) }).expect(&["kill 200 9", "kill 201 9"]);
    bench.exit(201, KILLED, &[], 0).exit(200, KILLED, &[], 0).expect(&["gone 2"]);
    assert!(bench.machine.is_ready());
}

#[test]
fn a_warm_up_that_is_not_answered_in_time_leaves_the_stacks_and_fails() {
    let mut bench = proving();
    bench.pass(3900 * MS).expect(&[]).pass(200 * MS).expect(&["kill 101 6"]);
    // Its answer comes too late, and nobody takes its place.
    bench.exit(101, KILLED, &[Held { shard: 9, token: 1 }], 0).expect(&["lost [1] of 1"]);
    bench.tell(Event::WarmedUp { generation: GenerationId(1), failure: Some("died".into()) }).expect(&[]);
    bench.pass(2 * SECOND).expect(&["kill 100 9", "kill 102 9"]);
    bench.exit(102, KILLED, &[], 0).exit(100, KILLED, &[], 0).expect(&["gone 1", "exit 3"]);
}

#[test]
fn workers_that_die_of_the_warm_up_fail_the_boot() {
    let mut bench = proving();
    bench.exit(101, KILLED, &[Held { shard: 9, token: 1 }], 0).expect(&["lost [1] of 1", "fork 3 of 1 in 0"]);
    bench.tell(Event::WarmedUp { generation: GenerationId(1), failure: Some("died".into()) });
    bench.expect(&["kill 100 9", "kill 102 9"]);
}

#[test]
fn a_generation_whose_only_worker_died_as_it_had_proven_itself_takes_over_with_the_next() {
    let mut bench = proving();
    bench.exit(101, KILLED, &[], 1).expect(&["fork 3 of 1 in 0"]);
    bench.tell(Event::WarmedUp { generation: GenerationId(1), failure: None }).expect(&[]);
    bench.show(1, 1, 102, SlotState::Idle, 0, Monotonic::ZERO).pass(SECOND).expect(&["warm up 1"]);
    bench.tell(Event::WarmedUp { generation: GenerationId(1), failure: None }).expect(&["switch to 1"]);
}
