//! The supervisor's loop: feeds the machine with what happens and performs what it asks for.
//!
//! Owns the descriptors of the pool's generations and the handles of all children. Decides nothing that `machine` can decide.
//! Runs on an executor of its own that is not pinned; nothing in it can slow a request. Called by `cli`.

mod development;
mod equipment;
mod events;
mod operations;
mod out_of_memory;
mod reload;
mod scaling;
mod signals;
mod site;
mod upgrade;
mod workers;
mod zygotes;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use self::out_of_memory::OutOfMemory;
use super::access_log::AccessLogFile;
use super::acme::Keeping;
use super::certificates::Certificates;
use super::control::ToZygote;
use super::doors::Doors;
use super::events::Workers;
use super::generation::Generation;
use super::handover::Handover;
use super::inbox::{Happening, Inbox};
use super::launcher::Launcher;
use super::limits::Limits;
use super::machine::{Action, Event, GenerationId, Held, Machine, Report};
use super::main_log::MainLog;
use super::notices::{Notice, Notices};
use super::programs::Programs;
use super::routes;
pub use super::rpc::ControlSockets;
use super::rpc::{Changes, Mood};
use super::settings::settings;
use super::statsd::StatsdSender;
use super::systemd::Systemd;
use super::watch::Watch;
use crate::base::bounds::{CONTROL_BUFFERS, MESSAGE_BYTES_MAX};
use crate::base::clock::Monotonic;
use crate::base::mail::{Receiver, Sender};
use crate::config::{Config, GroupConfig};
use crate::mail::{ShardMail, ShardNews};
use crate::observe::{Readiness, State, WorkerFacts};
use crate::ring::{BufferGroup, Descriptor, PREEMPT_TIMER, Ring, RingConfig, yield_now};
use crate::sys::code;
use crate::sys::process::{self, Pid};
use crate::sys::signals::SignalFd;
use crate::wsgi::Loss;
use crate::wsgi::pool::Gate;
use crate::wsgi::turns::Turns;
pub(super) use site::Reloading;

/// Exit code for what has no code of its own.
const EXIT_FAILED: i32 = 1;
/// Exit code when a program with `on_fatal = "exit"` was given up.
const EXIT_PROGRAM_FATAL: i32 = 5;
/// So long after it is ready, when programs have come up, the code that only the start has needed is given back.
const STARTED: Duration = Duration::from_secs(10);

/// Reads the configuration anew, with so many processes of these programs whatever it says of them; an error has a line for each thing that is wrong.
pub type Reconfigure = Box<dyn Fn(&[(String, i64)]) -> Result<Config, String>>;

/// What a supervisor is made from.
pub struct SupervisorSetup {
    /// The configuration to start with.
    pub config: Arc<Config>,
    /// For SIGHUP.
    pub reconfigure: Reconfigure,
    /// To each shard, in the order of their numbers.
    pub shards: Vec<Sender<ShardMail>>,
    /// From all shards.
    pub news: Receiver<ShardNews>,
    /// The workers' ends of the reply sockets, in the order of the shards.
    pub replies: Vec<OwnedFd>,
    /// The addresses on which the shards listen, for the log.
    pub addresses: Vec<String>,
    /// Whether requests are served, for whoever is asked.
    pub readiness: Arc<Readiness>,
    /// Sockets of the admin listener.
    pub admin: Vec<OwnedFd>,
    /// The control sockets.
    pub control: ControlSockets,
    /// The end of the diagnostic log.
    pub main_log: Arc<MainLog>,
    /// The access log, if there is one.
    pub access_log: Option<AccessLogFile>,
    /// The certificates, if there are any.
    pub certificates: Option<Certificates>,
    /// The statsd server that is sent metrics, if there is one.
    pub statsd: Option<StatsdSender>,
    /// Who waits to hear that the server serves.
    pub launcher: Launcher,
    /// The service manager.
    pub systemd: Systemd,
    /// What a server that replaces this one is given.
    pub handover: Handover,
    /// This server replaces another, which looks after its programs until it ends.
    pub is_successor: bool,
    /// Root's rights were given up: there is no starting anew with them.
    pub has_given_up_root: bool,
}

/// What follows the end.
#[derive(Debug)]
pub enum Ending {
    /// The program exits with this code.
    Exit(i32),
    /// The program is to start anew, with these sockets.
    Restart(Handover),
    /// The program exits with this code, and another process has taken its place.
    Succeeded(i32),
}

/// Runs until the program is to exit or to start anew.
///
/// # Errors
/// The executor or the ring could not be set up.
pub fn run(setup: SupervisorSetup) -> io::Result<Ending> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name("supervisor")
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(64 * 1024)
        .make()
        .map_err(|error| io::Error::other(error.to_string()))?;
    executor.run(async move {
        let (ring, driver) = Ring::new(RingConfig { entries: 128, completions: 1024 })?;
        let driver = glommio::spawn_local(driver.run());
        let result = supervise(&ring, setup).await;
        ring.close();
        driver.await;
        result
    })
}

/// A zygote that was not reaped yet, or whose last words are still to be read.
struct Zygote {
    generation: GenerationId,
    control_ended: bool,
    exit: Option<process::Exit>,
}

/// The loop's state. Control connections have it do pieces of work (`operations`).
pub(super) struct Supervisor {
    ring: Ring,
    setup: SupervisorSetup,
    /// What the server was started with.
    started: Arc<Config>,
    machine: Machine,
    inbox: Rc<Inbox>,
    generations: HashMap<GenerationId, Generation>,
    /// Children that have not been reaped; without a pidfd when there was no descriptor left for one.
    pidfds: HashMap<Pid, Option<OwnedFd>>,
    zygotes: HashMap<Pid, Zygote>,
    programs: Programs,
    /// The exit code that the end of the pool asks for; the programs may still be ending then.
    pool_code: Option<i32>,
    has_given_up: bool,
    replies: Vec<Arc<OwnedFd>>,
    access_log: Option<Rc<AccessLogFile>>,
    rotation: Option<glommio::Task<()>>,
    certificates: Option<Rc<Certificates>>,
    acme: Keeping,
    limits: Rc<Limits>,
    facts: WorkerFacts,
    notices: Rc<Notices>,
    control: Rc<BufferGroup>,
    /// The generation to which shards are being switched, and how many have not done so yet.
    switching: Option<(GenerationId, usize)>,
    scaling: scaling::Scaling,
    /// How many workers the newest generation was made with.
    workers_before: Option<u32>,
    systemd: Systemd,
    /// The reload that the service manager was told of and waits for the end of.
    under_reload: Option<site::Reloading>,
    /// The server that is to replace this one.
    successor: Option<Pid>,
    /// It has.
    is_succeeded: bool,
    /// The control sockets and the admin listener.
    doors: Doors,
    accepting: usize,
    stopped: usize,
    /// A shard has ended that was not told to.
    has_failed: bool,
    is_draining: bool,
    exit: Option<i32>,
    out_of_memory: RefCell<OutOfMemory>,
    /// The site is closed.
    is_closed: bool,
    /// What is told to those who ask whether maitred is on its way to its end.
    mood: Mood,
    changes: Rc<Changes>,
    site: site::Site,
    /// What event listeners were told of the web workers.
    workers: Workers,
    /// The programs of the configuration that was read last; those that are looked after may be others.
    available: Vec<GroupConfig>,
    watch: Option<glommio::Task<()>>,
    /// The watch over the application's files, in development.
    files: Option<(Rc<Watch>, glommio::Task<()>)>,
}

async fn supervise(ring: &Ring, mut setup: SupervisorSetup) -> io::Result<Ending> {
    let inbox = Rc::new(Inbox::default());
    let signals = SignalFd::new()?;
    let replies: Vec<_> = std::mem::take(&mut setup.replies).into_iter().map(Arc::new).collect();
    let settings = settings(&setup.config);
    let mut supervisor = Supervisor {
        ring: ring.clone(),
        started: setup.config.clone(),
        machine: Machine::new(settings),
        inbox: inbox.clone(),
        generations: HashMap::new(),
        pidfds: HashMap::new(),
        zygotes: HashMap::new(),
        programs: Programs::new(ring, &inbox, &setup.config, setup.control.url.clone()),
        pool_code: None,
        has_given_up: false,
        notices: Rc::new(Notices::new(ring.clone(), replies.clone())),
        replies,
        access_log: setup.access_log.take().map(Rc::new),
        certificates: setup.certificates.take().map(Rc::new),
        acme: Keeping::new(setup.shards.clone()),
        rotation: None,
        limits: Rc::default(),
        facts: WorkerFacts { has_app: setup.config.app.is_some(), ..WorkerFacts::default() },
        control: ring.buffer_group(MESSAGE_BYTES_MAX + 4096, CONTROL_BUFFERS)?,
        switching: None,
        scaling: scaling::Scaling::default(),
        workers_before: None,
        systemd: std::mem::take(&mut setup.systemd),
        under_reload: None,
        successor: None,
        is_succeeded: false,
        doors: Doors::default(),
        accepting: 0,
        stopped: 0,
        has_failed: false,
        is_draining: false,
        exit: None,
        out_of_memory: RefCell::new(OutOfMemory::new()),
        is_closed: false,
        mood: Mood::Running,
        changes: Rc::default(),
        site: site::Site::default(),
        workers: Workers::default(),
        available: setup.config.programs.clone(),
        watch: None,
        files: None,
        setup,
    };
    let signal_task = glommio::spawn_local(listen_to_signals(ring.clone(), signals, inbox.clone()));
    let bell: Descriptor = Rc::new(supervisor.setup.news.fd().try_clone_to_owned()?);
    supervisor.start_access_log();
    supervisor.start_certificates();
    supervisor.start_admin()?;
    supervisor.start_control();
    supervisor.watch_maintenance();
    supervisor.watch_files();
    supervisor.start_watchdog();
    supervisor.start_statsd();
    supervisor.start_scaling();
    supervisor.tell_of_start();
    supervisor.handle(Event::Start);
    supervisor.tell_of_workers();
    supervisor.begin_programs();
    let code = loop {
        supervisor.conclude();
        supervisor.tell_systemd();
        if let Some(code) = supervisor.exit {
            break code;
        }
        supervisor.wait(&bell).await;
    };
    supervisor.programs.finish().await;
    drop(signal_task);
    let restarts = code == 0 && supervisor.mood == Mood::Restarting;
    Ok(match () {
        () if restarts => Ending::Restart(std::mem::take(&mut supervisor.setup.handover)),
        () if supervisor.is_succeeded => Ending::Succeeded(code),
        () => Ending::Exit(code),
    })
}

async fn listen_to_signals(ring: Ring, signals: SignalFd, inbox: Rc<Inbox>) {
    let Ok(descriptor) = signals.as_fd().try_clone_to_owned() else { return };
    let descriptor: Descriptor = Rc::new(descriptor);
    while ring.poll(&descriptor, libc::POLLIN as u32).await.is_ok() {
        while let Ok(Some(received)) = signals.read_next() {
            inbox.push(Happening::Signal(received.signal));
        }
    }
}

impl Supervisor {
    /// Waits for the next thing to happen and handles it.
    async fn wait(&mut self, bell: &Descriptor) {
        let now = Monotonic::now();
        let deadline = self.ring.deadline();
        if let Some(at) = self.machine.wake_at(now).into_iter().chain(self.programs.wake_at()).min() {
            deadline.set(at.since(now));
        }
        let mut rings = self.ring.poll(bell, libc::POLLIN as u32);
        let inbox = self.inbox.clone();
        let mut happened = Vec::new();
        let (mut is_due, mut has_mail) = (false, false);
        poll_fn(|cx| {
            happened.extend(std::iter::from_fn(|| inbox.pop()));
            is_due = deadline.poll(cx).is_ready();
            has_mail = std::pin::Pin::new(&mut rings).poll(cx).is_ready();
            if is_due || has_mail || !happened.is_empty() {
                return Poll::Ready(());
            }
            inbox.wake_by(cx.waker());
            Poll::Pending
        })
        .await;
        if has_mail {
            happened.extend(self.setup.news.drain().map(Happening::News));
        }
        let before = self.programs.reports();
        let mut has_changed = is_due;
        for happening in happened {
            has_changed |= !matches!(happening, Happening::Work(_) | Happening::WatchdogDue);
            self.take(happening);
            self.tell_of_workers();
        }
        if is_due {
            let readings = self.measured();
            let (waiting, silent) = self.life();
            self.handle(Event::Life { waiting, silent });
            self.handle(Event::Tick { readings });
            self.tell_of_workers();
            self.programs.tick();
        }
        if has_changed || self.programs.reports() != before {
            self.changes.tell();
        }
        // With something due again at once, as when many programs crash, nobody else would ever have a turn: neither pipes nor control calls.
        yield_now().await;
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Event(event) => self.handle(event),
            Happening::Signal(signal) => self.signal(signal),
            Happening::News(news) => self.news(news),
            Happening::Maintenance(closed) => self.close_site(self.is_to_be_closed(closed)),
            Happening::FilesChanged(paths) => self.files_changed(&paths),
            Happening::Zygote(generation, message) => self.zygote(generation, message),
            Happening::Program(id, happened) => self.programs.happened(id, happened),
            Happening::OrphanGone => self.programs.after_reaping(),
            Happening::CheckTimedOut(command) => self.programs.end_check(command),
            Happening::Work(work) => work(self),
            Happening::Question(question) => question.answer(self.worker_facts()),
            Happening::ControlEnded(generation) => self.control_ended(generation),
            Happening::WatchdogDue => self.systemd.alive(),
            Happening::SuccessorServes => self.give_way(),
            Happening::PredecessorGone => {
                self.programs.begin();
                // One that was killed has not seen to what it was woken for.
                self.mail(|| ShardMail::Look);
            }
        }
    }

    /// What the programs' state asks of the rest: an end when a critical one was given up, the exit when all have ended.
    fn conclude(&mut self) {
        if self.programs.take_given_up() {
            self.has_given_up = true;
            self.stop(false);
        }
        if let Some(code) = self.pool_code.filter(|_| self.programs.is_done()) {
            let code = if self.has_given_up && code == 0 { EXIT_PROGRAM_FATAL } else { code };
            self.exit.get_or_insert(code);
        }
    }

    fn reap(&mut self) {
        loop {
            match process::reap_any() {
                Ok(Some((pid, exit))) if self.programs.reaped(pid, exit) || self.is_successor(pid, exit) => {}
                Ok(Some((pid, exit))) => {
                    self.pidfds.remove(&pid);
                    let exit = self.out_of_memory.get_mut().judge(pid, exit);
                    let (mut held, mut served) = (Vec::new(), 0);
                    for left in self.generations.values().map(|generation| generation.bury(pid)) {
                        held.extend(left.held);
                        served += left.served;
                        self.notices.give(left.unbegun.into_iter().map(Notice::Requeue));
                    }
                    match self.zygotes.get_mut(&pid) {
                        // What it said last comes first. A process that the application has started may hold its end of the socket
                        // open: what is there is still read, and then there is an end.
                        Some(zygote) if !zygote.control_ended => {
                            zygote.exit = Some(exit);
                            let found = self.generations.get_mut(&zygote.generation);
                            if let Some(control) = found.and_then(|found| found.control.take()) {
                                let _ = rustix::net::shutdown(control, rustix::net::Shutdown::Both);
                            }
                        }
                        _ => {
                            self.zygotes.remove(&pid);
                            self.handle(Event::ChildExited { pid, exit, held, served });
                        }
                    }
                }
                Ok(None) => return self.programs.after_reaping(),
                Err(error) => return tracing::error!(%error, "cannot reap children"),
            }
        }
    }

    fn news(&mut self, news: ShardNews) {
        let shards = self.setup.shards.len();
        match news {
            ShardNews::Accepting { .. } => {
                self.accepting += 1;
                if self.accepting == shards {
                    for address in &self.setup.addresses {
                        tracing::info!("ready: listening on {address}");
                    }
                    self.setup.launcher.ready();
                    self.systemd.ready();
                    self.generations.values().for_each(|found| found.tell_hooks(&ToZygote::Ready));
                    // An authority's look at a challenge finds them open.
                    self.acme.follow(&self.setup.config);
                }
            }
            ShardNews::Switched { generation, .. } => {
                if let Some((id, left)) = &mut self.switching
                    && id.0 == generation
                {
                    *left -= 1;
                    if *left == 0 {
                        let generation = *id;
                        self.switching = None;
                        let older: Vec<_> = self.generations.keys().copied().filter(|&id| id < generation).collect();
                        for id in older {
                            self.requeue(id);
                        }
                        self.handle(Event::ShardsSwitched { generation });
                    }
                }
            }
            ShardNews::Stopped { .. } => {
                self.stopped += 1;
                if self.stopped == shards {
                    self.handle(Event::ShardsDrained);
                }
            }
            ShardNews::Failed { .. } if self.accepting < shards => self.exit = Some(EXIT_FAILED),
            // What it was to accept nobody accepts: the others finish what they have in hand, and whoever started the program may
            // start it anew.
            ShardNews::Failed { shard } => {
                tracing::error!(shard, "a shard has failed: the server stops");
                self.has_failed = true;
                self.stopped += 1;
                if !self.is_draining {
                    self.stop(false);
                }
                if self.stopped == shards {
                    self.handle(Event::ShardsDrained);
                }
            }
        }
    }

    /// An action's outcome, to be handled after the actions that follow it.
    fn tell(&self, event: Event) {
        self.inbox.push(Happening::Event(event));
    }

    fn handle(&mut self, event: Event) {
        let actions = self.machine.handle(event, Monotonic::now());
        // An end is said before it begins, readiness once everything was done for it.
        if self.state() != State::Ready {
            self.setup.readiness.set(self.state());
        }
        for action in actions {
            self.perform(action);
        }
        self.setup.readiness.set(self.state());
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::SpawnZygote { generation, settings } => self.spawn_zygote(generation, settings),
            Action::ForkWorker { generation, worker, place } => self.fork_worker(generation, worker, place),
            Action::WarmUp { generation } => self.warm_up(generation),
            Action::SwitchShards { generation } => self.switch_shards(generation),
            Action::OpenShards => {
                if self.machine.generation_serving().is_none() {
                    self.send_routes(None);
                }
                self.mail(|| ShardMail::Accept);
                if self.setup.shards.is_empty() {
                    tracing::info!("ready: programs alone, nothing listens");
                    self.setup.launcher.ready();
                    self.systemd.ready();
                }
                let ring = self.ring.clone();
                glommio::spawn_local(async move {
                    ring.sleep(STARTED).await;
                    code::release();
                })
                .detach();
            }
            Action::CloseInbox { generation } => {
                if let Some(found) = self.generations.get_mut(&generation) {
                    found.inbox = None;
                }
            }
            Action::CloseControl { generation } => {
                if let Some(found) = self.generations.get_mut(&generation).filter(|_| self.machine.is_stopping()) {
                    found.tell_hooks(&ToZygote::Exit);
                }
                if let Some(found) = self.generations.get_mut(&generation)
                    && let Some(control) = found.control.take()
                {
                    // The task that reads it holds it too: shut it down rather than wait for that.
                    let _ = rustix::net::shutdown(control, rustix::net::Shutdown::Both);
                }
            }
            Action::Kill { pid, signal } => self.kill(pid, signal),
            Action::Interrupt { generation, pid, request } => self.interrupt(generation, pid, request.token),
            Action::AskForLife { generation, pid } => self.ask_for_life(generation, pid),
            Action::GiveUp { generation, request } => self.lose(generation, request, Loss::Overdue),
            Action::ReportLost { generation, held, exit, overdue } => {
                for request in held {
                    let loss = if overdue.contains(&request) { Loss::Overdue } else { Loss::from(exit) };
                    self.lose(generation, request, loss);
                }
            }
            Action::GenerationGone { generation } => {
                self.requeue(generation);
                self.generations.remove(&generation);
                self.mail(|| ShardMail::Gone { generation: generation.0 });
            }
            Action::DrainShards { deadline } => {
                self.is_draining = true;
                let limit = deadline.since(Monotonic::now());
                let goes_on = self.is_succeeded || self.mood == Mood::Restarting;
                self.mail(|| ShardMail::Drain { limit, goes_on });
                if self.setup.shards.is_empty() {
                    self.tell(Event::ShardsDrained);
                }
            }
            Action::StopShards => self.mail(|| ShardMail::Drain { limit: Duration::ZERO, goes_on: false }),
            Action::Report(report) => {
                report.count(&mut self.facts);
                if let Report::WorkerExited { pid, generation, .. } = &report
                    && let Some(found) = self.generations.get(generation)
                {
                    found.tell_hooks(&ToZygote::WorkerExited { pid: pid.as_raw_nonzero().get() });
                }
                self.site.note(&report);
                self.note_workers_asked(&report);
                self.note_boot(&report);
                self.note_worker(&report);
                report.log(&self.interpreter());
            }
            Action::Exit { code } => {
                self.pool_code = Some(if self.has_failed { EXIT_FAILED.max(code) } else { code });
                self.programs.pool_gone();
            }
        }
    }

    fn switch_shards(&mut self, id: GenerationId) {
        let Some(found) = self.generations.get(&id) else { return };
        let Some(inbox) = found.inbox.clone() else { return };
        let shards = self.setup.shards.len();
        let share = self.share(&found.settings);
        let outbox = found.outbox.clone();
        let requests = found.requests().cloned();
        let django = found.django.clone();
        self.send_routes(django.as_deref());
        self.switching = Some((id, shards));
        let turns = Arc::new(Turns::new(self.setup.shards.iter().map(|shard| Some(shard.ringer()))));
        let gate = Gate { generation: id.0, inbox, share, turns, outbox, requests };
        self.mail(|| ShardMail::Gate(gate.clone()));
    }

    /// Takes back what waits in a generation's inbox: its workers may be busy for long, and others are there.
    fn requeue(&self, id: GenerationId) {
        let Some(found) = self.generations.get(&id) else { return };
        // Each goes to the front of its shard's queue: the last one first, so that they stand there in their order.
        let waiting = found.take_back().into_iter().rev();
        self.notices.give(waiting.map(|(token, shard)| Notice::Requeue(Held { shard, token: token.to_bits() })));
    }

    fn send_routes(&self, django: Option<&crate::django::Facts>) {
        let routes = Arc::new(routes::complete(&self.setup.config, django));
        let pages = Arc::new(self.setup.config.error_pages.clone());
        self.send_limits(&routes);
        self.mail(|| ShardMail::Routes(routes.clone(), pages.clone()));
        let trust = Arc::new(self.setup.config.server.trusted_proxies.clone());
        self.mail(|| ShardMail::Trust(trust.clone()));
    }

    fn mail(&self, mut letter: impl FnMut() -> ShardMail) {
        for (number, shard) in self.setup.shards.iter().enumerate() {
            // A shard that has stopped reads no mail; one whose mailbox is full has not run for minutes.
            if let Err(error) = shard.send(letter()) {
                tracing::debug!(shard = number, %error, "mail to a shard was not delivered");
            }
        }
    }
}
