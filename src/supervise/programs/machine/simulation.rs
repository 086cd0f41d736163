//! Random worlds of programs: starts that fail, crashes at any time, processes that ignore signals or leave others behind, reloads and
//! requests in storms, and an end. Each world is made from a seed; a failure prints it, and `MAITRED_SIMULATION_SEED=n` plays that
//! world alone.

use super::tests::{care, config, group};
use super::*;
use crate::config::{Autorestart, BackoffConfig, CareConfig, CheckConfig, Probe};
use crate::sys::process::Exit;
use std::collections::BTreeMap;
use std::time::Duration;

const WORLDS: u64 = 400;
const MS: u64 = 1_000_000;
/// How long a world goes on before it is told to end, milliseconds.
const HORIZON_MS: u64 = 300_000;
/// How long an end may take when some of what was killed does not go: three levels with stopwaitsecs and two rounds of killing each.
const END_MS: u64 = 3 * (20_000 + 2 * 5_000) + 1_000;

#[test]
fn random_worlds_keep_every_promise() {
    let only = std::env::var("MAITRED_SIMULATION_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let mut spawns = 0;
    for seed in only.map_or(0..WORLDS, |seed: u64| seed..seed + 1) {
        let played = std::panic::catch_unwind(|| World::new(seed).play());
        let Ok(count) = played else { panic!("the world of MAITRED_SIMULATION_SEED={seed} broke a promise") };
        spawns += count;
    }
    assert!(only.is_some() || spawns > WORLDS * 10, "much was started: {spawns}");
}

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Debug)]
enum Later {
    /// The main process of this incarnation ends.
    Exits(ProcessId, u64, Exit),
    RemainsEnd(ProcessId, u64),
    Told(Event),
}

/// What runs of one process.
#[derive(Debug, Default)]
struct Running {
    /// Which incarnation has a main process.
    main: Option<u64>,
    /// Of which incarnation others are left.
    remains: Option<u64>,
    ignores_stop: bool,
    is_stuck: bool,
}

struct World {
    machine: Machine,
    random: Random,
    now: u64,
    next: u64,
    /// By time and then by order.
    later: BTreeMap<(u64, u64), Later>,
    running: HashMap<ProcessId, Running>,
    /// Failed starts in a row, and how many are allowed.
    failures: HashMap<ProcessId, u32>,
    groups: Vec<GroupConfig>,
    is_done: bool,
    spawns: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let groups = groups(&mut random);
        World {
            machine: Machine::new(&groups, seed),
            random,
            now: 1000 * MS,
            next: 0,
            later: BTreeMap::new(),
            running: HashMap::new(),
            failures: HashMap::new(),
            groups,
            is_done: false,
            spawns: 0,
        }
    }

    fn play(mut self) -> u64 {
        self.tell(Event::Begin);
        for _ in 0..self.random.below(30) {
            let at = self.random.below(HORIZON_MS);
            let event = self.meddling();
            self.after(at, Later::Told(event));
        }
        let end = self.now + HORIZON_MS * MS;
        self.run_until(end, false);
        self.tell(Event::End);
        if self.random.percent(20) {
            let after = self.random.below(3000);
            let rest = Duration::from_secs(self.random.below(3));
            self.after(after, Later::Told(Event::Hasten(rest)));
        }
        let pool = self.random.below(2000);
        self.after(pool, Later::Told(Event::PoolGone));
        self.run_until(end + END_MS * MS, true);
        assert!(self.is_done, "the end has an end");
        for (id, running) in &self.running {
            let is_gone = running.main.is_none() && running.remains.is_none();
            assert!(is_gone || running.is_stuck, "{id} is left behind: {running:?}");
        }
        self.spawns
    }

    fn meddling(&mut self) -> Event {
        let id = ProcessId(1 + self.random.below(8) as u32);
        match self.random.below(10) {
            0..=3 => Event::Process(id, Happened::Stop),
            4..=6 => Event::Process(id, Happened::Start),
            _ => {
                let mut next = groups(&mut self.random);
                // Some stay as they are.
                for (new, old) in next.iter_mut().zip(&self.groups) {
                    if self.random.percent(60) {
                        *new = old.clone();
                    }
                }
                next.dedup_by(|a, b| a.name == b.name);
                self.groups.clone_from(&next);
                Event::Reload(next)
            }
        }
    }

    fn after(&mut self, ms: u64, later: Later) {
        self.next += 1;
        self.later.insert((self.now + ms * MS, self.next), later);
    }

    fn run_until(&mut self, end: u64, to_done: bool) {
        while !(to_done && self.is_done) {
            let due = self.later.keys().next().copied();
            let wake = self.machine.wake_at().map(|at| at.as_nanos().max(self.now));
            let next = due.map(|(at, _)| at).into_iter().chain(wake).min();
            let Some(next) = next.filter(|&next| next <= end) else {
                self.now = end;
                return;
            };
            self.now = next;
            match due.filter(|&(at, _)| at == next) {
                Some(key) => {
                    let later = self.later.remove(&key).expect("it was just seen");
                    self.happen(later);
                }
                None => {
                    let before = self.machine.wake_at();
                    self.tell(Event::Tick);
                    assert!(
                        self.machine.wake_at() != before || self.is_done,
                        "a tick that is due brings something about"
                    );
                }
            }
        }
    }

    fn happen(&mut self, later: Later) {
        match later {
            Later::Exits(id, incarnation, exit) => {
                let Some(running) = self.running.get_mut(&id) else { return };
                if running.main != Some(incarnation) {
                    return;
                }
                running.main = None;
                let remains = self.random.percent(25);
                if remains {
                    let running = self.running.get_mut(&id).expect("it was just there");
                    running.remains = Some(incarnation);
                    // Some would stay for ever.
                    if self.random.percent(50) {
                        let ms = self.random.below(20_000);
                        self.after(ms, Later::RemainsEnd(id, incarnation));
                    }
                }
                self.tell(Event::Process(id, Happened::Exited { exit, remains }));
            }
            Later::RemainsEnd(id, incarnation) => {
                let Some(running) = self.running.get_mut(&id) else { return };
                if running.remains == Some(incarnation) && !running.is_stuck {
                    running.remains = None;
                    self.tell(Event::Process(id, Happened::RemainsGone));
                }
            }
            Later::Told(event) => self.tell(event),
        }
    }

    fn tell(&mut self, event: Event) {
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.handle(event, Monotonic::from_nanos(self.now)) {
                assert!(!self.is_done, "nothing follows the end");
                self.perform(action, &mut events);
            }
        }
    }

    fn perform(&mut self, action: Action, events: &mut std::collections::VecDeque<Event>) {
        match action {
            Action::Spawn(id, config) => {
                self.spawns += 1;
                let running = self.running.entry(id).or_default();
                assert!(running.main.is_none(), "never two processes for one program");
                assert!(running.remains.is_none() || running.is_stuck, "what was left is gone before the next start");
                let failures = self.failures.entry(id).or_insert(0);
                assert!(*failures <= config.care.startretries, "{failures} failures in a row");
                if self.random.percent(15) {
                    *failures += 1;
                    events.push_back(Event::Process(id, Happened::SpawnFailed("no".into())));
                    return;
                }
                self.next += 1;
                let incarnation = self.next;
                let (ignores_stop, is_stuck) = (self.random.percent(20), self.random.percent(2));
                *self.running.get_mut(&id).expect("it was just there") =
                    Running { main: Some(incarnation), remains: None, ignores_stop, is_stuck };
                if self.random.percent(60) {
                    let ms = if self.random.percent(50) { self.random.below(1500) } else { self.random.below(60_000) };
                    let exit = Exit::Code(self.random.below(3) as i32);
                    self.after(ms, Later::Exits(id, incarnation, exit));
                }
                let pid = Pid::from_raw(i32::try_from(incarnation).expect("small")).expect("positive");
                if self.random.percent(50) {
                    let ms = self.random.below(30_000);
                    self.after(ms, Later::Told(Event::Process(id, Happened::Ready(pid))));
                }
                events.push_back(Event::Process(id, Happened::Spawned(pid)));
            }
            Action::Signal(id, target, signal) => {
                let running = &self.running[&id];
                let (main, remains) = (running.main, running.remains);
                if running.is_stuck || (signal != libc::SIGKILL && running.ignores_stop) {
                    return;
                }
                let exit = Exit::Signal { signal, core_dumped: false };
                if let Some(main) = main.filter(|_| target != Target::Remains) {
                    let ms = self.random.below(100);
                    self.after(ms, Later::Exits(id, main, exit));
                }
                if let Some(remains) = remains.filter(|_| matches!(target, Target::Remains | Target::Tree)) {
                    let ms = self.random.below(100);
                    self.after(ms, Later::RemainsEnd(id, remains));
                }
            }
            Action::Report(id, _, report) => match report {
                Report::EndedEarly { .. } | Report::NotReady(_) => *self.failures.entry(id).or_insert(0) += 1,
                Report::IsUp | Report::GivenUp { .. } => {
                    self.failures.insert(id, 0);
                }
                Report::Became { to: State::Stopped, .. } => {
                    self.failures.insert(id, 0);
                }
                _ => {}
            },
            Action::Check(id, _, pid, _) => {
                let ms = self.random.below(3000);
                let wrong = self.random.percent(40).then(|| "no".to_owned());
                self.after(ms, Later::Told(Event::Process(id, Happened::Checked(pid, wrong))));
            }
            Action::Measure(id) => {
                let bytes = self.random.below(1100);
                events.push_back(Event::Process(id, Happened::Measured(bytes)));
            }
            Action::Adjust(id, _) => {
                // Fewer may be allowed from now on than there were.
                self.failures.insert(id, 0);
            }
            Action::Forget(id) => {
                let running = self.running.remove(&id).unwrap_or_default();
                let is_gone = running.main.is_none() && running.remains.is_none();
                assert!(is_gone || running.is_stuck, "only what is gone is forgotten");
            }
            Action::GiveUp => events.push_back(Event::End),
            Action::Done => self.is_done = true,
        }
    }
}

fn check(random: &mut Random) -> CheckConfig {
    let ms = |random: &mut Random| Duration::from_millis(100 + random.below(5000));
    CheckConfig {
        probe: if random.percent(50) { Probe::Notify } else { Probe::Command(vec!["check".to_owned()]) },
        interval: ms(random),
        timeout: ms(random),
        failures: 1 + random.below(3) as u32,
        within: Duration::from_millis(500 + random.below(20_000)),
    }
}

fn groups(random: &mut Random) -> Vec<GroupConfig> {
    let count = 1 + random.below(6);
    let mut groups = Vec::new();
    for number in 0..count {
        let backoff = match random.below(3) {
            0 => BackoffConfig::Exponential {
                first: Duration::from_millis(200),
                max: Duration::from_secs(20),
                stable: Duration::from_secs(10),
            },
            _ => BackoffConfig::Linear,
        };
        let care = CareConfig {
            priority: [1, 999, 1000][random.below(3) as usize],
            autostart: random.percent(80),
            autorestart: [Autorestart::Never, Autorestart::Unexpected, Autorestart::Always][random.below(3) as usize],
            startsecs: Duration::from_millis([0, 500, 1000, 5000][random.below(4) as usize]),
            startretries: random.below(5) as u32,
            stopwaitsecs: Duration::from_millis(random.below(20_000)),
            stopasgroup: random.percent(30),
            backoff,
            fatal_retry: random.percent(30).then(|| Duration::from_secs(1 + random.below(60))),
            on_fatal: if random.percent(3) { OnFatal::Exit } else { OnFatal::Stay },
            depends_on: (0..number).filter(|_| random.percent(20)).map(|number| format!("p{number}")).collect(),
            ready: random.percent(30).then(|| check(random)),
            liveness: random.percent(30).then(|| check(random)),
            max_rss: random.percent(20).then_some(1000),
            max_lifetime: random.percent(20).then(|| Duration::from_secs(5 + random.below(60))),
            ..care()
        };
        let mut process = config(&format!("p{number}"), care);
        if random.percent(30) {
            process.launch.command.push(random.below(3).to_string());
        }
        groups.push(group(process));
    }
    groups
}
