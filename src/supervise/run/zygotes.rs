//! The zygotes of the pool's generations: how they are begun, what they say, how they are asked for workers.
//!
//! Owns the way from their messages to the machine's events. Called by the loop.

use super::{Supervisor, Zygote};
use crate::django::{Facts, Level, contradictions};
use crate::ring::Descriptor;
use crate::supervise::control::FromZygote;
use crate::supervise::generation::{About, Generation};
use crate::supervise::inbox::Happening;
use crate::supervise::machine::{Event, GenerationId, PoolSettings, WorkerId};
use crate::supervise::warmup::Warmup;
use crate::supervise::{output, routes};
use crate::sys::process::{self, Pid};

/// Says of threads that hooks have begun in a generation's zygote that they end with it.
fn threads_end(generation: GenerationId, threads: &[String]) {
    tracing::warn!(
        generation = generation.0,
        "server hooks have begun threads ({}) in the process that forks the workers; a reload replaces it, and they end with it: begin such \
         threads in post_fork, or have a [program.NAME] do what they do",
        threads.join(", ")
    );
}

impl Supervisor {
    /// The application's interpreter, and what led to it.
    pub(super) fn interpreter(&self) -> String {
        self.setup.config.app.as_ref().map_or_else(String::new, |app| app.python.to_string())
    }

    pub(super) fn zygote(&mut self, generation: GenerationId, message: FromZygote) {
        if matches!(message, FromZygote::Imported { .. }) {
            self.site.imported(&message);
        }
        let event = match message {
            FromZygote::Imported { python, app, django, worker_loop, native_missing, gil, threads, native_threads } => {
                let version = django.as_ref().map(|facts| facts.version.clone());
                tracing::info!(
                    generation = generation.0,
                    app,
                    python,
                    interpreter = %self.interpreter(),
                    django = version,
                    "loop" = worker_loop,
                    native_missing,
                    "application imported"
                );
                match gil {
                    Some(false) => tracing::info!(
                        "the interpreter has no GIL: threads of one worker run at the same time, so threads = (number of CPUs) with few workers \
                         does for little memory what many workers do"
                    ),
                    Some(true) => tracing::warn!(
                        "the GIL is on in a free-threaded interpreter, so threads take turns: an extension module, or PYTHON_GIL, has brought \
                         it back; see Python's own warning, or set more workers"
                    ),
                    None => {}
                }
                if !threads.is_empty() {
                    tracing::warn!(
                        "the application starts threads while it is imported ({}), and workers are forked after that and have none of \
                         them; start them in a post_fork hook, or set preload_app = false",
                        threads.join(", ")
                    );
                }
                if native_threads > 0 {
                    tracing::info!(
                        native_threads,
                        "libraries have started threads before workers are forked, which have none of them"
                    );
                }
                if let Some(found) = self.generations.get_mut(&generation) {
                    found.is_native = worker_loop == "native";
                }
                if let Some(facts) = django {
                    self.project(generation, facts);
                }
                Event::Imported { generation }
            }
            FromZygote::Files { files, trees } => return self.files_are(generation, &files, &trees),
            FromZygote::Project { django } => {
                self.site.project(&django);
                self.project(generation, django);
                return;
            }
            FromZygote::ImportFailed { traceback, kind } => {
                Event::ImportFailed { generation, traceback, is_missing: kind == "attribute" }
            }
            FromZygote::Forked { worker, pid } => {
                let Some(pid) = Pid::from_raw(pid) else { return };
                self.pidfds.insert(pid, process::pidfd(pid).ok());
                Event::WorkerForked { generation, worker: WorkerId(worker), pid }
            }
            FromZygote::HookThreads { threads } => {
                if self.generations.keys().any(|other| *other > generation) {
                    threads_end(generation, &threads);
                }
                if let Some(found) = self.generations.get_mut(&generation) {
                    found.hook_threads = threads;
                }
                return;
            }
            FromZygote::Spare { pid } => {
                // One that has ended already, and was reaped, is nobody.
                let found = Pid::from_raw(pid).and_then(|pid| Some((pid, process::pidfd(pid).ok()?)));
                let Some((pid, pidfd)) = found else { return };
                self.pidfds.insert(pid, Some(pidfd));
                Event::ReserveForked { generation, pid }
            }
            FromZygote::ForkFailed { worker, error } => {
                Event::ForkFailed { generation, worker: WorkerId(worker), error }
            }
        };
        self.handle(event);
    }

    /// Takes note of what a project says of itself, and tells what of it contradicts the configuration.
    fn project(&mut self, generation: GenerationId, facts: Box<Facts>) {
        let Some(found) = self.generations.get_mut(&generation).filter(|found| found.django.is_none()) else { return };
        found.django = Some(facts.clone());
        let config = &self.setup.config;
        let told = contradictions(config, &routes::complete(config, Some(&facts)), &facts);
        for lint in self.site.new_among(told) {
            match lint.level() {
                Level::Error => tracing::error!("{lint}"),
                Level::Warning => tracing::warn!("{lint}"),
                Level::Note => tracing::info!("{lint}"),
            }
        }
        // Workers that import for themselves may come to know only when requests are theirs already.
        let serving = self.machine.generation_serving();
        if serving == Some(generation) || self.switching.is_some_and(|(id, _)| id == generation) {
            self.send_routes(Some(&facts));
        }
    }

    pub(super) fn spawn_zygote(&mut self, id: GenerationId, settings: PoolSettings) {
        let Some(app) = &self.setup.config.app else { unreachable!("only an application has generations") };
        if let Some((watch, _)) = &self.files {
            watch.begins(id);
        }
        for (before, found) in self.generations.iter_mut().filter(|(_, found)| !found.hook_threads.is_empty()) {
            threads_end(*before, &std::mem::take(&mut found.hook_threads));
        }
        let proc_name = self.setup.config.server.proc_name.as_deref();
        let user = self.started.server.user.as_ref();
        let about = About { config: &self.setup.config, app, user, proc_name, workers_before: self.workers_before };
        let started = Generation::start(id, settings, &about, &self.replies);
        self.workers_before = Some(settings.filled);
        match started {
            Ok(started) => {
                self.pidfds.insert(started.pid, Some(started.pidfd));
                if let Some(pipe) = started.output {
                    output::log_zygote(&self.ring, pipe, id);
                }
                let control = started.generation.control.clone().expect("just made");
                self.listen_to_zygote(id, &control);
                self.generations.insert(id, started.generation);
                self.zygotes.insert(started.pid, Zygote { generation: id, control_ended: false, exit: None });
                self.tell(Event::ZygoteSpawned { generation: id, pid: started.pid });
            }
            Err(error) => self.tell(Event::SpawnFailed { generation: id, error: error.to_string() }),
        }
    }

    pub(super) fn listen_to_zygote(&self, id: GenerationId, control: &Descriptor) {
        let mut messages = self.ring.recv_messages(control, &self.control);
        let inbox = self.inbox.clone();
        glommio::spawn_local(async move {
            while let Ok(Some(message)) = messages.next().await {
                match FromZygote::parse(&message.bytes) {
                    Ok(message) => inbox.push(Happening::Zygote(id, message)),
                    Err(error) => tracing::error!(generation = id.0, %error, "dropped a malformed message of a zygote"),
                }
            }
            inbox.push(Happening::ControlEnded(id));
        })
        .detach();
    }

    pub(super) fn fork_worker(&mut self, generation: GenerationId, worker: WorkerId, place: u32) {
        let Some(found) = self.generations.get(&generation) else { return };
        match found.fork(worker, place) {
            Ok(Some(pipe)) => output::log_worker(&self.ring, pipe, worker),
            Ok(None) => {}
            Err(error) => self.tell(Event::ForkFailed { generation, worker, error: error.to_string() }),
        }
    }

    /// Sends a generation its warm-up request.
    pub(super) fn warm_up(&mut self, generation: GenerationId) {
        let shard = self.replies.len() as u32;
        let found = self.generations.get_mut(&generation);
        let django = found.as_ref().and_then(|found| found.django.as_deref());
        let warmup = Warmup::new(&self.setup.config, django);
        let sent = match (warmup, found) {
            (Some(warmup), Some(Generation { inbox: Some(inbox), warmup: replies @ Some(_), outbox, .. })) => {
                tracing::info!(generation = generation.0, "warm-up: {}", warmup.describe());
                let inbox_of_loop = self.inbox.clone();
                let verdict =
                    move |failure| inbox_of_loop.push(Happening::Event(Event::WarmedUp { generation, failure }));
                let sent = warmup.send(inbox, shard);
                let replies = replies.take().expect("it was just seen");
                warmup.listen(&self.ring, replies, &self.control, outbox.clone(), verdict);
                sent
            }
            // A reload has taken the warm-up out of the configuration meanwhile: there is nothing to prove.
            _ => return self.tell(Event::WarmedUp { generation, failure: None }),
        };
        if let Err(error) = sent {
            let failure = Some(format!("the warm-up request could not be sent: {error}"));
            self.tell(Event::WarmedUp { generation, failure });
        }
    }

    pub(super) fn control_ended(&mut self, generation: GenerationId) {
        let Some((&pid, zygote)) = self.zygotes.iter_mut().find(|(_, zygote)| zygote.generation == generation) else {
            return;
        };
        zygote.control_ended = true;
        if let Some(exit) = zygote.exit {
            self.zygotes.remove(&pid);
            self.handle(Event::ChildExited { pid, exit, held: Vec::new(), served: 0 });
        }
    }
}
