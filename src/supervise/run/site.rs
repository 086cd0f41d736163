//! What `maitred ctl` asks beyond supervisord's interface: how the site stands, reloads, maintenance, scaling.
//!
//! Owns what is remembered for that: what the application said of itself, why the last reload failed, what was scaled. Nothing here waits.

use std::fs::{self, OpenOptions};

use super::Supervisor;
use super::scaling::ByHand;
use crate::base::clock;
use crate::control::{Fault, FaultCode};
use crate::django::{Facts, Lint};
use crate::observe::{State as Readiness, WorkerFacts};
use crate::supervise::control::FromZygote;
use crate::supervise::machine::Report;
use crate::supervise::rpc::{Mood, Outcome};

/// What is remembered of the site.
#[derive(Default)]
pub(super) struct Site {
    imported: Option<FromZygote>,
    /// What of the project's settings contradicts the configuration, as it was last told.
    contradictions: Vec<Lint>,
    /// Why the last reload failed, and when, seconds since 1970; None after one that did not.
    failure: Option<(u64, String)>,
    /// Reloads that have failed.
    failures: u64,
    /// The site was closed over the control socket, and there is no file that says so.
    is_closed_by_hand: bool,
    /// Processes of programs that were asked for over the control socket: they win over the configuration.
    scales: Vec<(String, i64)>,
    /// Workers that were asked for.
    pub workers: ByHand,
}

/// How the site stands.
pub(in crate::supervise) struct SiteView {
    pub mood: Mood,
    pub readiness: Readiness,
    pub generation: u32,
    pub facts: WorkerFacts,
    pub workers: usize,
    /// Fewest and most workers, where their number follows the load.
    pub workers_bounds: Option<(usize, usize)>,
    pub threads: usize,
    pub python: String,
    pub app: String,
    pub django: String,
    pub worker_loop: String,
    pub native_missing: String,
    pub failure: Option<(u64, String)>,
    pub is_closed: bool,
    /// The config file, or the directory that the server was started in.
    pub origin: String,
    /// The application's directory; empty without one.
    pub chdir: String,
    /// Where it listens, as the log tells it.
    pub listen: Vec<String>,
}

impl Site {
    /// Takes note of what a zygote has said.
    pub fn imported(&mut self, message: &FromZygote) {
        self.imported = Some(message.clone());
    }

    /// Takes note of what a worker has said that has imported the application for itself.
    pub fn project(&mut self, facts: &Facts) {
        if let Some(FromZygote::Imported { django, .. }) = &mut self.imported {
            *django = Some(Box::new(facts.clone()));
        }
    }

    /// Takes note of contradictions. Those that were not there the last time are to be told.
    pub fn new_among(&mut self, contradictions: Vec<Lint>) -> Vec<Lint> {
        let before = std::mem::replace(&mut self.contradictions, contradictions);
        self.contradictions.iter().filter(|lint| !before.contains(lint)).cloned().collect()
    }

    /// Takes note of a report.
    pub fn note(&mut self, report: &Report) {
        match report {
            Report::TakesOver { .. } => self.failure = None,
            Report::BootFailed { reason, .. } => self.failed(reason.clone()),
            _ => {}
        }
    }

    /// A reload has failed.
    pub fn failed(&mut self, reason: String) {
        self.failures += 1;
        self.failure = Some((clock::wall_seconds(), reason));
    }

    /// What was scaled, for reading the configuration.
    pub fn scales(&self) -> &[(String, i64)] {
        &self.scales
    }
}

/// A reload that was begun.
#[derive(Clone, Copy)]
pub(in crate::supervise) struct Reloading {
    generation: u32,
    failures: u64,
}

impl Supervisor {
    /// What a reload that begins now has to be told from.
    pub(super) fn before_reload(&self) -> Reloading {
        let generation = self.machine.generation_serving().map_or(0, |generation| generation.0);
        Reloading { generation, failures: self.site.failures }
    }

    /// How the site stands.
    pub(in crate::supervise) fn site_view(&self) -> SiteView {
        let autoscale = self.setup.config.app.as_ref().and_then(|app| app.autoscale);
        let mut view = SiteView {
            mood: self.mood,
            readiness: self.state(),
            generation: self.machine.generation_serving().map_or(0, |generation| generation.0),
            facts: self.worker_facts(),
            workers: self.workers_wanted() as usize,
            workers_bounds: autoscale.map(|autoscale| (autoscale.min, autoscale.max)),
            threads: self.setup.config.app.as_ref().map_or(0, |app| app.threads),
            python: String::new(),
            app: String::new(),
            django: String::new(),
            worker_loop: String::new(),
            native_missing: String::new(),
            failure: self.site.failure.clone(),
            is_closed: self.is_closed,
            origin: self.setup.config.origin.to_string_lossy().into_owned(),
            chdir: self
                .setup
                .config
                .app
                .as_ref()
                .map_or_else(String::new, |app| app.chdir.to_string_lossy().into_owned()),
            listen: self.setup.addresses.clone(),
        };
        if let Some(FromZygote::Imported { python, app, django, worker_loop, native_missing, .. }) = &self.site.imported
        {
            view.python.clone_from(python);
            view.app = app.clone().unwrap_or_default();
            view.django = django.as_ref().map_or_else(String::new, |facts| facts.version.clone());
            view.worker_loop.clone_from(worker_loop);
            view.native_missing = native_missing.clone().unwrap_or_default();
        }
        view
    }

    /// Reads the configuration, takes all of it over, and begins a new generation of workers if there is an application.
    pub(in crate::supervise) fn begin_reload(&mut self) -> Result<Reloading, Fault> {
        self.require_running()?;
        let begun = self.before_reload();
        self.systemd.reloading();
        self.under_reload = Some(begun);
        self.reload();
        match &self.site.failure {
            Some((_, reason)) if self.site.failures > begun.failures => Err(Fault::of(FaultCode::Failed, Some(reason))),
            _ => Ok(begun),
        }
    }

    /// What has come of a reload.
    pub(in crate::supervise) fn reload_outcome(&self, begun: Reloading) -> Outcome {
        let serving = self.machine.generation_serving().map_or(0, |generation| generation.0);
        let is_switched = serving > begun.generation && self.switching.is_none();
        match &self.site.failure {
            Some((_, reason)) if self.site.failures > begun.failures => {
                Outcome::Failed(Fault::of(FaultCode::Failed, Some(reason)))
            }
            _ if self.mood != Mood::Running => Outcome::Failed(Fault::of(FaultCode::ShutdownState, None)),
            _ if self.setup.config.app.is_none() || is_switched => Outcome::Done,
            _ => Outcome::Pending,
        }
    }

    /// Closes the site, or opens it. Where the configuration names a file that says so, the file is made or removed.
    pub(in crate::supervise) fn set_maintenance(&mut self, closed: bool) -> Result<(), Fault> {
        self.require_running()?;
        if let Some(file) = self.setup.config.maintenance.file.clone() {
            let done = match closed {
                true => OpenOptions::new().write(true).create(true).truncate(false).open(&file).map(drop),
                false => match fs::remove_file(&file) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    other => other,
                },
            };
            done.map_err(|error| Fault::of(FaultCode::Failed, Some(&format!("{}: {error}", file.display()))))?;
        }
        self.site.is_closed_by_hand = closed && self.setup.config.maintenance.file.is_none();
        self.close_site(closed);
        Ok(())
    }

    /// Whether the site is to be closed, given what the file says.
    pub(super) fn is_to_be_closed(&self, is_set: bool) -> bool {
        is_set || self.site.is_closed_by_hand
    }

    /// So many processes of a program, or workers, until the server starts anew. Touches only the difference.
    pub(in crate::supervise) fn scale(&mut self, name: &str, count: u32) -> Result<Option<Reloading>, Fault> {
        self.require_running()?;
        if self.setup.config.app.is_some() && name == self.workers_group() {
            return self.scale_workers(count);
        }
        let before = self.site.scales.clone();
        self.site.scales.retain(|(other, _)| other != name);
        self.site.scales.push((name.to_owned(), i64::from(count)));
        let config = match (self.setup.reconfigure)(&self.site.scales) {
            Ok(config) => config,
            Err(message) => {
                self.site.scales = before;
                return Err(Fault::of(FaultCode::Failed, Some(&message)));
            }
        };
        let is_of = |group: &&crate::config::GroupConfig| {
            group.name == name || group.processes.iter().any(|process| process.program == name)
        };
        let Some(group) = config.programs.iter().find(is_of).cloned() else {
            self.site.scales = before;
            return Err(Fault::of(FaultCode::BadName, Some(name)));
        };
        let mut groups = self.programs.active().to_vec();
        let Some(known) = groups.iter_mut().find(|other| other.name == group.name) else {
            self.site.scales = before;
            return Err(Fault::of(FaultCode::BadName, Some(name)));
        };
        *known = group;
        self.available = config.programs;
        self.programs.reload(&groups);
        Ok(None)
    }
}
