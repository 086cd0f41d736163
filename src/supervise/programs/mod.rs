//! The programs: commands that are kept running beside the worker pool, or alone.
//!
//! `machine` decides (pure, with the time passed in); `spawn` starts a process, `tree` finds and signals all that it started, `output` and
//! `logfile` carry away what it writes; here the machine is fed and its actions are performed. Owns every program's process from its
//! start to its reaping. Called by the supervisor's loop, which owns signals and the reaping of all children.

mod backups;
pub(in crate::supervise) mod command;
mod groups;
pub(in crate::supervise) mod history;
mod input;
mod lines;
mod logfile;
pub mod machine;
mod orphans;
mod output;
mod packer;
mod probes;
mod report;
mod spawn;
mod syslog;
mod takeover;
mod tap;
mod telling;
mod tree;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::base::bounds::{FAST_STOP_SECONDS, OUTPUT_FINISH_MS, TREE_PROCESSES_MAX};
use crate::base::clock::{self, Monotonic};
use crate::config::{CheckConfig, Config, GroupConfig, Orphans, OutputTarget, Probe, ProcessConfig};
use crate::ring::Ring;
use crate::supervise::events::Bus;
use crate::supervise::inbox::Inbox;
use crate::sys::cgroup::{self, Group};
use crate::sys::family;
use crate::sys::notify::NotifySocket;
use crate::sys::process::{self, Exit, Pid, Signal};
use groups::Groups;
use history::History;
use input::Inputs;
pub(super) use input::Refused;
use machine::{Action, Event, Happened, Machine, ProcessId, Status, Target};
use orphans::Orphan;
use output::Outputs;
pub(super) use output::Stream;
use spawn::Told;
pub(super) use tap::{Follower, Tap};
use telling::sender;
use tree::{Adopted, Tree};

/// All programs.
pub(super) struct Programs {
    machine: Machine,
    outputs: Outputs,
    inputs: Rc<Inputs>,
    bus: Rc<Bus>,
    /// Groups that are no longer looked after, but of which something is left.
    leaving: Vec<String>,
    /// Those with a main process that was not reaped, or with others that are left.
    trees: HashMap<ProcessId, Tree>,
    mains: HashMap<Pid, ProcessId>,
    /// Whose remains are waited for.
    remains: Vec<ProcessId>,
    adopted: Adopted,
    ring: Ring,
    inbox: Rc<Inbox>,
    /// Commands that check a program: whose and which main process of it.
    commands: HashMap<Pid, Command>,
    /// Tasks that listen to what processes say of themselves.
    notices: HashMap<ProcessId, glommio::Task<()>>,
    /// After the trees, whose groups are within.
    groups: Groups,
    /// Processes that the kernel had ended for want of memory when this was last looked at.
    oom_kills: u64,
    /// The beginning of every mark of this maitred.
    mark: String,
    /// What all marks with this configuration begin with.
    instance: String,
    /// What an earlier maitred has left of programs that are no longer there; each was asked to end.
    strays: Vec<Orphan>,
    server_url: Option<String>,
    orphans: Orphans,
    runs: u64,
    stops: u32,
    gave_up: bool,
    is_done: bool,
    /// The groups that are looked after, as they were configured when they came.
    active: Vec<GroupConfig>,
    histories: HashMap<ProcessId, History>,
    /// How often something was reported.
    reports: u64,
}

/// A command that checks a program.
struct Command {
    id: ProcessId,
    main: Pid,
    has_timed_out: bool,
}

impl Programs {
    /// None of them is started yet. `server_url`: where they find the control socket.
    pub fn new(ring: &Ring, inbox: &Rc<Inbox>, config: &Config, server_url: Option<String>) -> Programs {
        let groups = config.programs.as_slice();
        let instance = orphans::instance(&config.origin);
        output::remove_stale(groups);
        let own = rustix::process::getpid();
        let started = family::kin(own).map_or(0, |kin| kin.started);
        let inputs = Rc::new(Inputs::new(ring));
        let bus = Rc::new(Bus::new(sender(&inputs)));
        let seed = clock::wall_seconds() ^ (Monotonic::now().as_nanos() << 20);
        Programs {
            machine: Machine::new(groups, seed),
            outputs: Outputs::new(ring, &bus),
            inputs,
            bus,
            leaving: Vec::new(),
            trees: HashMap::new(),
            mains: HashMap::new(),
            remains: Vec::new(),
            adopted: Adopted::default(),
            ring: ring.clone(),
            inbox: inbox.clone(),
            commands: HashMap::new(),
            groups: Groups::open(groups),
            oom_kills: cgroup::oom_kills(),
            notices: HashMap::new(),
            mark: format!("{instance}/{}-{started}-", own.as_raw_nonzero()),
            strays: Vec::new(),
            server_url,
            orphans: config.orphans,
            instance,
            runs: 0,
            stops: 0,
            gave_up: false,
            is_done: false,
            active: groups.to_vec(),
            histories: HashMap::new(),
            reports: 0,
        }
    }

    /// Takes over what an earlier maitred has left, and starts those that start by themselves.
    pub fn begin(&mut self) {
        if self.orphans != Orphans::Leave {
            self.find_orphans();
        }
        self.handle(Event::Begin);
    }

    /// Where events are told.
    pub fn bus(&self) -> &Rc<Bus> {
        &self.bus
    }

    /// When `tick` is due; None: never.
    pub fn wake_at(&self) -> Option<Monotonic> {
        self.machine.wake_at().into_iter().chain(self.bus.wake_at()).min()
    }

    /// `wake_at` has come.
    pub fn tick(&mut self) {
        self.bus.tick();
        self.handle(Event::Tick);
    }

    /// A task has learnt something about one process.
    pub fn happened(&mut self, id: ProcessId, happened: Happened) {
        self.handle(Event::Process(id, happened));
    }

    /// A command that checks a program has taken too long.
    pub fn end_check(&mut self, command: Pid) {
        if let Some(found) = self.commands.get_mut(&command) {
            found.has_timed_out = true;
            if let Err(error) = process::signal_group(command, Signal::KILL) {
                tracing::warn!(%error, "a command that checks a program can't be killed");
            }
        }
    }

    /// These are the programs from now on: what is new is started, what is gone is stopped, what has changed is started anew, and the
    /// rest is left alone.
    pub fn reload(&mut self, groups: &[GroupConfig]) {
        self.groups.prepare(groups);
        self.change_groups(groups);
        self.active = groups.to_vec();
        self.handle(Event::Reload(groups.to_vec()));
    }

    /// The groups that are looked after.
    pub fn active(&self) -> &[GroupConfig] {
        &self.active
    }

    /// Every process, in supervisord's order: groups by priority, those of one group together.
    pub fn statuses(&self) -> Vec<Status> {
        self.machine.statuses()
    }

    /// What was of a process.
    pub fn history(&self, id: ProcessId) -> History {
        self.histories.get(&id).cloned().unwrap_or_default()
    }

    /// The file that a stream goes into, if it goes into one.
    pub fn log_path(&self, id: ProcessId, config: &ProcessConfig, stream: Stream) -> Option<PathBuf> {
        self.outputs.path(id, config, stream)
    }

    /// Where a stream is heard; `None` if nobody reads it.
    pub fn tap(&mut self, id: ProcessId, config: &ProcessConfig, stream: Stream) -> Option<Rc<Tap>> {
        let output = match stream {
            Stream::Out => &config.stdout,
            Stream::Err if config.launch.redirect_stderr => return None,
            Stream::Err => &config.stderr,
        };
        let is_kept = output.target != OutputTarget::Nothing || output.syslog.is_some();
        is_kept.then(|| self.outputs.tap(id, stream))
    }

    /// How often something was reported of a process.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// A process is to be started. What went wrong before is forgotten.
    pub fn start(&mut self, id: ProcessId) {
        if let Some(history) = self.histories.get_mut(&id) {
            history.error = None;
        }
        self.handle(Event::Process(id, Happened::Start));
    }

    /// A process is to be stopped.
    pub fn stop_one(&mut self, id: ProcessId) {
        self.handle(Event::Process(id, Happened::Stop));
    }

    /// Empties the log files of a process.
    ///
    /// # Errors
    /// One of them can't be.
    pub fn clear_logs(&self, id: ProcessId, config: &ProcessConfig) -> std::io::Result<()> {
        self.outputs.clear(id, config)
    }

    /// Writes to a process's standard input.
    ///
    /// # Errors
    /// Nobody reads there, or not fast enough.
    pub fn write_input(&self, id: ProcessId, bytes: &[u8]) -> Result<(), Refused> {
        self.inputs.write(id, bytes)
    }

    /// Sends a signal to a process's main process.
    ///
    /// # Errors
    /// It may not be signalled.
    pub fn signal_main(&mut self, id: ProcessId, signal: i32) -> std::io::Result<()> {
        self.signal(id, Target::Main, signal)
    }

    /// Stops all of them in order; at once if `fast` or told before, and killing them the third time.
    pub fn stop(&mut self, fast: bool) {
        self.stops += if fast && self.stops == 0 { 2 } else { 1 };
        self.handle(match self.stops {
            1 => Event::End,
            2 => Event::Hasten(Duration::from_secs(FAST_STOP_SECONDS)),
            _ => Event::Hasten(Duration::ZERO),
        });
    }

    /// The worker pool has ended: also told where there is none, once the rest of the server has stopped.
    pub fn pool_gone(&mut self) {
        self.handle(Event::PoolGone);
    }

    /// A child of maitred was reaped; whether it was a program's main process.
    pub fn reaped(&mut self, pid: Pid, exit: Exit) -> bool {
        if let Some(command) = self.commands.remove(&pid) {
            let wrong = match exit {
                _ if command.has_timed_out => Some("the command took too long".to_owned()),
                exit if exit.is_success() => None,
                exit => Some(format!("the command ended with {exit}")),
            };
            self.handle(Event::Process(command.id, Happened::Checked(command.main, wrong)));
            return true;
        }
        let Some(id) = self.mains.remove(&pid) else { return false };
        let Some(tree) = self.trees.get_mut(&id) else { return true };
        let oom_kills = cgroup::oom_kills();
        if matches!(exit, Exit::Signal { signal: libc::SIGKILL, .. }) && !tree.was_killed {
            if tree.group.as_ref().is_some_and(|group| group.oom_kills() > 0) {
                tracing::warn!(program = tree.name, "program was ended by the kernel: it has reached memory_max");
            } else if oom_kills > self.oom_kills {
                tracing::warn!(program = tree.name, "program was probably ended by the kernel: out of memory");
            }
        }
        self.oom_kills = oom_kills;
        tree.pidfd = None;
        self.notices.remove(&id);
        self.inputs.close(id);
        self.find_later_orphans(id);
        let remains = self.has_remains(id);
        if remains {
            self.remains.push(id);
        } else {
            self.trees.remove(&id);
        }
        self.handle(Event::Process(id, Happened::Exited { exit, remains }));
        true
    }

    /// All children that had ended were reaped: others may be children now.
    pub fn after_reaping(&mut self) {
        self.notice_adopted();
        self.notice_strays();
        for id in std::mem::take(&mut self.remains) {
            if self.has_remains(id) {
                self.remains.push(id);
            } else {
                if self.trees.remove(&id).is_some_and(|tree| !tree.orphans.is_empty()) {
                    self.groups.remove_left();
                }
                self.handle(Event::Process(id, Happened::RemainsGone));
            }
        }
    }

    /// Opens log files anew, as they were moved away.
    pub fn reopen_logs(&self) {
        self.outputs.reopen();
    }

    /// Whether a critical program was given up since this was last asked: everything is to end.
    pub fn take_given_up(&mut self) -> bool {
        std::mem::take(&mut self.gave_up)
    }

    /// After a stop: nothing is left.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The last step: kills what is left, if the stop did not come to its end, and carries away the last words.
    pub async fn finish(&mut self) {
        for id in self.trees.keys().copied().collect::<Vec<_>>() {
            // Nobody is there any more to whom a failure would matter.
            let _ = self.signal(id, Target::Tree, libc::SIGKILL);
        }
        for command in self.commands.keys() {
            let _ = process::signal_group(*command, Signal::KILL);
        }
        // They were given less than their time, but nobody would come to kill them.
        self.strays.iter().for_each(|stray| stray.signal(Signal::KILL));
        for pid in family::children(rustix::process::getpid()) {
            if family::variable(pid, tree::MARK).is_some_and(|mark| mark.starts_with(&self.mark)) {
                let _ = process::signal(pid, Signal::KILL);
            }
        }
        self.outputs.finish(Duration::from_millis(OUTPUT_FINISH_MS)).await;
    }

    fn has_remains(&mut self, id: ProcessId) -> bool {
        !self.adopted(id).is_empty()
    }

    /// The living ones of its processes that maitred has adopted.
    fn adopted(&mut self, id: ProcessId) -> Vec<Pid> {
        let Some(tree) = self.trees.get(&id) else { return Vec::new() };
        let (mains, commands) = (&self.mains, &self.commands);
        self.adopted.of(tree, &|pid| mains.contains_key(&pid) || commands.contains_key(&pid))
    }

    fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.handle(event, Monotonic::now()) {
                events.extend(self.perform(action));
            }
        }
        self.tell_of_groups_gone();
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn(id, config) => Some(Event::Process(id, self.spawn(id, &config))),
            Action::Signal(id, target, signal) => {
                let error = self.signal(id, target, signal).err()?;
                Some(Event::Process(id, Happened::SignalFailed(error.to_string())))
            }
            Action::Check(id, config, pid, check) => self.check(id, &config, pid, check),
            Action::Measure(id) => Some(Event::Process(id, Happened::Measured(self.resident_bytes(id)))),
            Action::Adjust(id, config) => {
                self.outputs.adjust(id, &config);
                None
            }
            Action::Forget(id) => {
                self.outputs.forget(id);
                self.bus.forget(id);
                self.histories.remove(&id);
                None
            }
            Action::Report(id, config, report) => {
                self.reports += 1;
                let history = self.histories.entry(id).or_default();
                history.note(&report);
                telling::tell(&self.bus, id, &config, &report, history);
                report.log(&config);
                None
            }
            Action::GiveUp => {
                self.gave_up = true;
                None
            }
            Action::Done => {
                self.is_done = true;
                None
            }
        }
    }

    /// Tries whether a process is ready or alive.
    fn check(&mut self, id: ProcessId, config: &ProcessConfig, main: Pid, check: CheckConfig) -> Option<Event> {
        let Probe::Command(words) = &check.probe else {
            probes::begin(&self.ring, &self.inbox, id, main, check);
            return None;
        };
        let told = Told { server_url: self.server_url.as_deref(), ..Told::default() };
        match spawn::start_check(config, words, told) {
            Ok(child) => {
                self.commands.insert(child.pid, Command { id, main, has_timed_out: false });
                probes::time_out(&self.ring, &self.inbox, child.pid, check.timeout);
                None
            }
            Err(error) => Some(Event::Process(id, Happened::Checked(main, Some(error.to_string())))),
        }
    }

    /// Memory of a process and of all that it has started.
    fn resident_bytes(&mut self, id: ProcessId) -> u64 {
        let adopted = self.adopted(id);
        let Some(tree) = self.trees.get(&id) else { return 0 };
        let roots = [&[tree.main], adopted.as_slice()].concat();
        let below = family::descendants(&roots, TREE_PROCESSES_MAX);
        roots.iter().chain(&below).map(|pid| family::resident_bytes(*pid)).sum()
    }

    fn spawn(&mut self, id: ProcessId, config: &ProcessConfig) -> Happened {
        self.runs += 1;
        let mark = format!("{}{}-{}", self.mark, self.runs, orphans::fingerprint(&config.launch));
        let notify = match config.launch.notifies.then(NotifySocket::bind).transpose() {
            Ok(notify) => notify,
            Err(error) => return Happened::SpawnFailed(format!("no socket for notices: {error}")),
        };
        let group = match self.groups.of(config, self.runs) {
            Ok(group) => group,
            Err(error) => return Happened::SpawnFailed(format!("no control group for it: {error}")),
        };
        self.oom_kills = cgroup::oom_kills();
        let told = Told { mark: Some(&mark), notify: notify.as_ref(), server_url: self.server_url.as_deref() };
        let started = match spawn::start(config, told, group.as_ref().map(Group::path)) {
            Ok(started) => started,
            Err(error) => {
                let unusable = command::check(config).err();
                self.histories.entry(id).or_default().next_error = unusable.map(|unusable| unusable.text().to_owned());
                return Happened::SpawnFailed(error.to_string());
            }
        };
        if let Some(socket) = notify {
            let own = rustix::process::geteuid().as_raw();
            let users = [0, own, config.launch.user.as_ref().map_or(own, |user| user.uid)];
            match probes::listen(&self.ring, &self.inbox, socket, id, started.child.pid, users) {
                Ok(task) => drop(self.notices.insert(id, task)),
                Err(error) => tracing::warn!(%error, "what a program says of itself is not heard"),
            }
        }
        self.inputs.open(id, started.stdin);
        self.bus.begun(id, config, started.child.pid.as_raw_nonzero().get());
        for (stream, pipe) in [(Stream::Out, started.stdout), (Stream::Err, started.stderr)] {
            if let Some(pipe) = pipe {
                self.outputs.carry(id, config, stream, (started.child.pid, pipe));
            }
        }
        let pid = started.child.pid;
        self.mains.insert(pid, id);
        self.remains.retain(|other| *other != id);
        let (name, pidfd) = (config.full_name(), Some(started.child.pidfd));
        let (orphans, adopted) = (Vec::new(), None);
        self.trees.insert(id, Tree { main: pid, pidfd, mark, group, name, orphans, adopted, was_killed: false });
        Happened::Spawned(pid)
    }

    fn signal(&mut self, id: ProcessId, target: Target, signal: i32) -> std::io::Result<()> {
        let adopted = match target {
            Target::Main | Target::Group => Vec::new(),
            Target::Remains | Target::Tree => self.adopted(id),
        };
        let Some(tree) = self.trees.get_mut(&id) else { return Ok(()) };
        let Some(signal) = Signal::from_named_raw(signal) else { return Ok(()) };
        tree.signal(target, signal, &adopted)
    }
}
