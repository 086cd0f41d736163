//! How many workers there are to be: as configured, as somebody asks for, or as the load wants it.
//!
//! Owns the controller and what the shards had counted a second ago, from which it learns what the last second was like. Decides
//! nothing: `autoscale` does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Reloading, Supervisor};
use crate::base::bounds::WORKERS_MAX;
use crate::base::clock::Monotonic;
use crate::config::{AppConfig, Config};
use crate::control::{Fault, FaultCode};
use crate::mail::ShardMail;
use crate::observe::Snapshot;
use crate::supervise::admin::snapshots;
use crate::supervise::autoscale::{Autoscale, Bounds, Second};
use crate::supervise::control::ToZygote;
use crate::supervise::inbox::Happening;
use crate::supervise::machine::{Event, PoolSettings, Report};
use crate::supervise::settings::pool_settings;
use crate::wsgi::share::Share;

/// The controller, and what it goes by.
#[derive(Default)]
pub(super) struct Scaling {
    controller: Option<Autoscale>,
    looking: Option<glommio::Task<()>>,
    /// What was counted by the last look, by shard.
    counted: HashMap<u32, Counted>,
    looked: Option<Monotonic>,
}

/// A number of workers that somebody has asked for, where it does not follow the load. It wins over the configuration.
#[derive(Clone, Copy, Default)]
pub(super) struct ByHand {
    /// So many came up.
    counts: Option<u32>,
    /// So many are to come up, and may fail to.
    asked: Option<u32>,
}

/// What a shard has counted.
#[derive(Clone, Copy, Default)]
struct Counted {
    waits: u64,
    waited: Duration,
    load: Duration,
}

impl Scaling {
    /// Whether the number of workers follows the load.
    pub fn is_on(&self) -> bool {
        self.controller.is_some()
    }

    /// What the time since the last look was like; `None` by the first one.
    fn second(&mut self, snapshots: &[Box<Snapshot>], threads: u32, up: u32, now: Monotonic) -> Option<Second> {
        let (mut all, mut queued) = (Counted::default(), 0);
        for snapshot in snapshots {
            let metrics = &snapshot.metrics;
            let (waits, waited) = (metrics.queue_wait.count(), metrics.queue_wait.sum());
            let counted = Counted { waits, waited, load: snapshot.worker_load };
            let before = self.counted.insert(snapshot.shard, counted).unwrap_or(counted);
            all.waits += waits.saturating_sub(before.waits);
            all.waited += waited.saturating_sub(before.waited);
            all.load += counted.load.saturating_sub(before.load);
            queued += snapshot.queued;
        }
        let span = now.since(self.looked.replace(now)?).max(Duration::from_millis(1));
        // What workers have before them beyond their threads waits in the inbox, by Little's law so long on average.
        let before_workers = all.load.as_secs_f64() / span.as_secs_f64();
        let busy = before_workers.min(f64::from(threads));
        let in_inbox = span.mul_f64(before_workers - busy);
        let wait = match u32::try_from(all.waits).unwrap_or(u32::MAX) {
            0 if queued > 0 => span,
            0 => Duration::ZERO,
            waits => (all.waited + in_inbox) / waits,
        };
        Some(Second { wait, busy, up })
    }
}

fn bounds(app: &AppConfig) -> Option<Bounds> {
    let autoscale = app.autoscale?;
    Some(Bounds {
        min: autoscale.min as u32,
        max: autoscale.max as u32,
        threads: app.threads as u32,
        wait: autoscale.wait,
        idle: autoscale.idle,
    })
}

impl Supervisor {
    /// Follows the load, or does so no longer, as it is configured now.
    pub(super) fn start_scaling(&mut self) {
        let app = self.setup.config.app.as_ref();
        let Some((bounds, workers)) = app.and_then(|app| Some((bounds(app)?, app.workers as u32))) else {
            self.scaling = Scaling::default();
            return;
        };
        match &mut self.scaling.controller {
            Some(controller) => controller.rebound(bounds),
            None => self.scaling.controller = Some(Autoscale::new(bounds, workers)),
        }
        if self.scaling.looking.is_none() {
            let (ring, shards, inbox) = (self.ring.clone(), self.setup.shards.clone(), self.inbox.clone());
            self.scaling.looking = Some(glommio::spawn_local(async move {
                loop {
                    ring.sleep(Duration::from_secs(1)).await;
                    let snapshots = snapshots(&ring, &shards).await;
                    inbox.push(Happening::Work(Box::new(move |supervisor| supervisor.follow_load(&snapshots))));
                }
            }));
        }
    }

    /// So many workers there are to be.
    pub(super) fn workers_wanted(&self) -> u32 {
        let configured = self.setup.config.app.as_ref().map_or(0, |app| app.workers as u32);
        self.scaling.controller.as_ref().map_or(configured, Autoscale::wanted)
    }

    /// The settings of the next generation.
    pub(super) fn pool_wanted(&self, app: &AppConfig) -> PoolSettings {
        let settings = pool_settings(app);
        match self.site.workers.asked.or(self.site.workers.counts) {
            _ if app.autoscale.is_some() => PoolSettings { filled: self.workers_wanted(), ..settings },
            Some(workers) => PoolSettings { workers, filled: workers, ..settings },
            None => settings,
        }
    }

    /// Puts the number that somebody has asked for over the one of a configuration that was just read.
    pub(super) fn put_workers(&self, config: &mut Config) {
        let Some(app) = config.app.as_mut().filter(|app| app.autoscale.is_none()) else { return };
        if let Some(workers) = self.site.workers.counts.map(|workers| workers as usize)
            && workers != app.workers
        {
            let configured = app.workers;
            tracing::info!(
                workers,
                configured,
                "the number of workers that was asked for goes on until the server starts anew"
            );
            app.workers = workers;
        }
    }

    /// So many workers, in a new generation; where their number follows the load, in the one that serves.
    pub(super) fn scale_workers(&mut self, count: u32) -> Result<Option<Reloading>, Fault> {
        if self.scaling.is_on() {
            return self.scale_by_hand(count).map(|()| None);
        }
        let refused = |about: &str| Err(Fault::of(FaultCode::Failed, Some(about)));
        match u64::from(count) {
            0 => return refused("the pool has at least one worker; stop the workers instead"),
            1..=WORKERS_MAX => {}
            _ => return refused(&format!("{WORKERS_MAX} workers are the most")),
        }
        let Some(app) = self.setup.config.app.clone() else { return Err(Fault::of(FaultCode::BadName, None)) };
        self.site.workers.asked = Some(count);
        let begun = self.before_reload();
        self.handle(Event::Reload(self.pool_wanted(&app)));
        Ok(Some(begun))
    }

    /// So many workers there will be, once those that were asked for have come up.
    pub(super) fn workers_to_come(&self) -> u32 {
        self.site.workers.asked.unwrap_or_else(|| self.workers_wanted())
    }

    /// Whether as many workers as somebody has asked for came up, or failed to.
    pub(super) fn note_workers_asked(&mut self, report: &Report) {
        let (Report::TakesOver { generation } | Report::BootFailed { generation, .. }) = report else { return };
        // One that could not even be spawned is not there.
        let is_theirs =
            |asked: &u32| self.generations.get(generation).is_none_or(|found| found.settings.workers == *asked);
        let Some(asked) = self.site.workers.asked.filter(is_theirs) else { return };
        self.site.workers.asked = None;
        let mut config = (*self.setup.config).clone();
        let Some(app) = &mut config.app else { return };
        if matches!(report, Report::TakesOver { .. }) {
            self.site.workers.counts = Some(asked);
            app.workers = asked as usize;
            self.setup.config = Arc::new(config);
        } else {
            self.tell(Event::Settings(self.pool_wanted(app)));
        }
    }

    /// What each shard may have before the workers of a generation with these settings.
    pub(super) fn share(&self, settings: &PoolSettings) -> Share {
        let workers = if self.scaling.is_on() { self.workers_wanted() } else { settings.workers };
        Share::new(workers as usize * settings.threads as usize, self.setup.shards.len())
    }

    fn follow_load(&mut self, snapshots: &[Box<Snapshot>]) {
        let threads = self.setup.config.app.as_ref().map_or(1, |app| app.threads as u32);
        let up = self.machine.workers_serving() as u32;
        let second = self.scaling.second(snapshots, up * threads, up, Monotonic::now());
        let (Some(controller), Some(second)) = (&mut self.scaling.controller, second) else { return };
        if self.switching.is_some() || self.machine.is_stopping() {
            return;
        }
        if let Some(change) = controller.tick(&second) {
            tracing::info!(from = change.from, to = change.to, reason = %change.reason, "the number of workers follows the load");
            self.scale_now(change.to);
        }
    }

    /// Somebody wants so many workers: from there the load is followed.
    pub(super) fn scale_by_hand(&mut self, count: u32) -> Result<(), Fault> {
        let Some(controller) = &mut self.scaling.controller else { return Ok(()) };
        let from = controller.wanted();
        if !controller.set(count) {
            let Bounds { min, max, .. } = controller.bounds();
            let about = format!("{count} is not between workers_min and workers_max, {min} and {max}");
            return Err(Fault::of(FaultCode::Failed, Some(&about)));
        }
        tracing::info!(from, to = count, reason = "somebody asked for it", "the number of workers changes");
        self.scale_now(count);
        Ok(())
    }

    fn scale_now(&mut self, workers: u32) {
        self.handle(Event::Scale(workers));
        let before = self.workers_before.replace(workers).filter(|before| *before != workers);
        let serving = self.machine.generation_serving();
        if let Some((id, found)) = serving.and_then(|id| Some((id, self.generations.get(&id)?))) {
            if let Some(before) = before {
                found.tell_hooks(&ToZygote::WorkersWanted { workers, before });
            }
            let share = self.share(&found.settings);
            self.mail(|| ShardMail::Share { generation: id.0, share: share.clone() });
        }
        self.changes.tell();
    }
}
