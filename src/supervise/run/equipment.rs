//! What the supervisor looks after beside processes: the access log, certificates, the admin listener, maintenance mode.
//!
//! Owns how each is begun and handed to the shards; their work is done in modules of their own. Called by the loop.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::Supervisor;
use crate::config::RouteConfig;
use crate::mail::ShardMail;
use crate::observe::{State, WorkerFacts};
use crate::supervise::access_log::ROTATION_LOOK;
use crate::supervise::admin::{Admin, Question, snapshots};
use crate::supervise::inbox::Happening;
use crate::supervise::rpc::{Mood, Outcome};
use crate::supervise::statsd::INTERVAL;
use crate::supervise::{certificates, limits, maintenance};
use crate::sys::memory::SlotState;

impl Supervisor {
    /// Hands the access log to the shards, and looks after it where it rotates itself.
    pub(super) fn start_access_log(&mut self) {
        self.rotation = None;
        let Some(log) = self.access_log.clone() else { return };
        log.hand_out(&self.setup.shards);
        if log.is_rotated() {
            let (ring, shards) = (self.ring.clone(), self.setup.shards.clone());
            self.rotation = Some(glommio::spawn_local(async move {
                loop {
                    ring.sleep(ROTATION_LOOK).await;
                    log.look(&shards);
                }
            }));
        }
    }

    /// Hands the certificates to the shards, and looks after their files.
    pub(super) fn start_certificates(&self) {
        let Some(certificates) = self.certificates.clone() else { return };
        certificates.hand_out(&self.setup.shards);
        let (ring, shards) = (self.ring.clone(), self.setup.shards.clone());
        glommio::spawn_local(async move {
            loop {
                ring.sleep(certificates::LOOK).await;
                certificates.look(&shards);
            }
        })
        .detach();
    }

    /// Hands the shards what the rules of these routes need, and looks after its files.
    pub(super) fn send_limits(&self, routes: &[RouteConfig]) {
        let shared = self.limits.renew(routes, &self.setup.config.server);
        self.mail(|| ShardMail::Limits(shared.clone()));
        if self.limits.wants_watch() {
            let (limits, ring, shards) = (self.limits.clone(), self.ring.clone(), self.setup.shards.clone());
            glommio::spawn_local(async move {
                loop {
                    ring.sleep(limits::LOOK).await;
                    let Some(shared) = limits.look() else { continue };
                    for (number, shard) in shards.iter().enumerate() {
                        // As with certificates: who reads no mail needs none.
                        if let Err(error) = shard.send(ShardMail::Limits(shared.clone())) {
                            tracing::debug!(shard = number, %error, "users were not delivered");
                        }
                    }
                }
            })
            .detach();
        }
    }

    /// Whether requests are served now.
    pub(super) fn state(&self) -> State {
        match () {
            _ if self.machine.is_stopping() => State::Stopping,
            _ if !self.machine.is_ready() => State::Starting,
            _ if self.facts.has_app && self.machine.workers_serving() == 0 => State::NoWorker,
            _ => State::Ready,
        }
    }

    pub(super) fn start_admin(&mut self) -> io::Result<()> {
        let listeners = std::mem::take(&mut self.setup.admin);
        if listeners.is_empty() {
            return Ok(());
        }
        let inbox = self.inbox.clone();
        let ask = Box::new(move |question| inbox.push(Happening::Question(question)));
        let certificates = (self.certificates.clone(), self.acme.counts());
        let (shards, readiness) = (self.setup.shards.clone(), self.setup.readiness.clone());
        let admin = Admin::new(&self.ring, shards, readiness, ask, certificates)?;
        admin.listen(listeners, &mut self.doors);
        Ok(())
    }

    /// How the workers stand now.
    pub(super) fn worker_facts(&self) -> WorkerFacts {
        let readings = self.readings();
        let count = |state| readings.iter().filter(|reading| reading.view.state == state).count() as u64;
        WorkerFacts {
            busy: count(SlotState::Busy),
            idle: count(SlotState::Idle),
            alive: self.facts.started.saturating_sub(self.facts.exited),
            generation: self.machine.generation_serving().map_or(0, |generation| generation.0),
            wanted: u64::from(self.workers_wanted()),
            ..self.facts
        }
    }

    /// Has the loop say again and again that it lives, if the service manager wants to hear it: through the loop's own inbox, so that one that
    /// hangs says nothing.
    pub(super) fn start_watchdog(&self) {
        let Some(interval) = self.systemd.watchdog_interval() else { return };
        let (ring, inbox) = (self.ring.clone(), self.inbox.clone());
        glommio::spawn_local(async move {
            loop {
                inbox.push(Happening::WatchdogDue);
                ring.sleep(interval).await;
            }
        })
        .detach();
    }

    /// Sends metrics, if they are wanted.
    pub(super) fn start_statsd(&mut self) {
        let Some(mut sender) = self.setup.statsd.take() else { return };
        let (ring, shards, inbox) = (self.ring.clone(), self.setup.shards.clone(), self.inbox.clone());
        glommio::spawn_local(async move {
            loop {
                ring.sleep(INTERVAL).await;
                let question = Rc::new(Question::default());
                inbox.push(Happening::Question(question.clone()));
                let snapshots = snapshots(&ring, &shards).await;
                sender.send(&snapshots, question.answered().await.alive);
            }
        })
        .detach();
    }

    /// What has changed since the service manager was told last.
    pub(super) fn tell_systemd(&mut self) {
        if let Some(begun) = self.under_reload
            && !matches!(self.reload_outcome(begun), Outcome::Pending)
        {
            self.under_reload = None;
            if self.mood() == Mood::Running {
                self.systemd.ready();
            }
        }
        let count = |number: usize, thing: &str| format!("{number} {thing}{}", if number == 1 { "" } else { "s" });
        let status = match (self.state(), self.facts.has_app, self.machine.generation_serving()) {
            (State::Ready, true, Some(generation)) => {
                let workers = count(self.machine.workers_serving(), "worker");
                format!("Serving with {workers} of generation {generation}")
            }
            (State::Ready, ..) => "Serving".to_owned(),
            (state, ..) => state.text().to_owned(),
        };
        self.systemd.status(status);
    }

    pub(super) fn reopen_logs(&self) {
        self.setup.main_log.reopen();
        tracing::info!("log files are opened anew");
        self.programs.reopen_logs();
        if let Some(log) = &self.access_log {
            log.reopen(&self.setup.shards);
        }
    }

    /// Looks at the flag file of maintenance mode, and watches it from now on; what was watched before is not.
    pub(super) fn watch_maintenance(&mut self) {
        let file = self.setup.config.maintenance.file.clone();
        let is_set = maintenance::is_set(file.as_ref());
        self.watch = file.map(|file| maintenance::watch(&self.ring, file, is_set, self.inbox.clone()));
        self.close_site(self.is_to_be_closed(is_set));
    }

    pub(super) fn close_site(&mut self, closed: bool) {
        if closed != self.is_closed {
            tracing::info!(closed, "maintenance mode");
        }
        if closed || self.is_closed {
            let rules = closed.then(|| Arc::new(self.setup.config.maintenance.clone()));
            self.mail(|| ShardMail::Maintenance(rules.clone()));
        }
        self.is_closed = closed;
    }
}
