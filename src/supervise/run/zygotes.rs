//! The zygotes of the pool's generations: how they are begun, what they say, how they are asked for workers.
//!
//! Owns the way from their messages to the machine's events. Called by the loop.

use super::{Supervisor, Zygote};
use crate::ring::Descriptor;
use crate::supervise::control::FromZygote;
use crate::supervise::generation::{About, Generation};
use crate::supervise::inbox::Happening;
use crate::supervise::machine::{Event, GenerationId, PoolSettings, WorkerId};
use crate::supervise::output;
use crate::sys::process::{self, Pid};

impl Supervisor {
    pub(super) fn zygote(&mut self, generation: GenerationId, message: FromZygote) {
        if matches!(message, FromZygote::Imported { .. }) {
            self.site.imported(&message);
        }
        let event = match message {
            FromZygote::Imported { python, app, django, worker_loop, native_missing } => {
                let version = django.as_ref().map(|facts| facts.version.clone());
                tracing::info!(
                    generation = generation.0,
                    app,
                    python,
                    django = version,
                    "loop" = worker_loop,
                    native_missing,
                    "application imported"
                );
                if let Some(found) = self.generations.get_mut(&generation) {
                    found.django = django;
                }
                Event::Imported { generation }
            }
            FromZygote::Files { files, trees } => return self.files_are(generation, &files, &trees),
            FromZygote::ImportFailed { traceback, kind } => {
                Event::ImportFailed { generation, traceback, is_missing: kind == "attribute" }
            }
            FromZygote::Forked { worker, pid } => {
                let Some(pid) = Pid::from_raw(pid) else { return };
                self.pidfds.insert(pid, process::pidfd(pid).ok());
                Event::WorkerForked { generation, worker: WorkerId(worker), pid }
            }
            FromZygote::ForkFailed { worker, error } => {
                Event::ForkFailed { generation, worker: WorkerId(worker), error }
            }
        };
        self.handle(event);
    }

    pub(super) fn spawn_zygote(&mut self, id: GenerationId, settings: PoolSettings) {
        let Some(app) = &self.setup.config.app else { unreachable!("only an application has generations") };
        if let Some((watch, _)) = &self.files {
            watch.begins(id);
        }
        let proc_name = self.setup.config.server.proc_name.as_deref();
        let user = self.started.server.user.as_ref();
        let about = About { app, user, proc_name, workers_before: self.workers_before };
        let started = Generation::start(id, settings, &about, &self.replies);
        self.workers_before = Some(app.workers);
        match started {
            Ok(started) => {
                self.pidfds.insert(started.pid, Some(started.pidfd));
                output::log_zygote(&self.ring, started.output, id);
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

    pub(super) fn fork_worker(&mut self, generation: GenerationId, worker: WorkerId, slot: u32) {
        let Some(found) = self.generations.get(&generation) else { return };
        match found.fork(worker, slot) {
            Ok(pipe) => output::log_worker(&self.ring, pipe, worker),
            Err(error) => self.tell(Event::ForkFailed { generation, worker, error: error.to_string() }),
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
