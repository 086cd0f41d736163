//! What control connections have the loop do: find processes, start, stop and signal them, change what is looked after.
//!
//! Owns supervisord's faults for each. Nothing here waits.

use std::collections::HashMap;

use super::Supervisor;
use crate::config::{GroupConfig, ProcessConfig};
use crate::control::{Fault, FaultCode};
use crate::supervise::programs::command::{self, Unusable};
use crate::supervise::programs::machine::{ProcessId, State, Status};
use crate::supervise::programs::{Refused, Stream};
use crate::supervise::rpc::{
    Configured, Deed, Desk, Difference, Heard, Mood, Named, Outcome, Rpc, Unit, View, difference, split_name,
};

impl Supervisor {
    /// Serves the control sockets.
    pub(super) fn start_control(&mut self) {
        let sockets = std::mem::take(&mut self.setup.control);
        let desk = Desk::new(self.inbox.clone(), self.changes.clone());
        let (log, shards) = (self.setup.main_log.clone(), self.setup.shards.clone());
        Rpc::start(&self.ring, desk, sockets, log, shards, &mut self.doors);
    }

    /// Whether maitred is on its way to its end.
    pub(in crate::supervise) fn mood(&self) -> Mood {
        self.mood
    }

    /// # Errors
    /// It is.
    pub(in crate::supervise) fn require_running(&self) -> Result<(), Fault> {
        match self.mood {
            Mood::Running => Ok(()),
            Mood::Restarting | Mood::Shutdown => Err(Fault::of(FaultCode::ShutdownState, None)),
        }
    }

    /// Stops everything.
    pub(in crate::supervise) fn shut_down(&mut self) -> Result<(), Fault> {
        tracing::info!("asked to stop over the control socket");
        self.mood = Mood::Shutdown;
        self.stop(false);
        Ok(())
    }

    /// Stops everything, to start anew.
    ///
    /// # Errors
    /// What was started as root is not root any more, and could not open again what it has open.
    pub(in crate::supervise) fn restart(&mut self) -> Result<(), Fault> {
        if self.setup.has_given_up_root {
            let reason = "maitred was started as root and has given up its rights; who started it has to restart it";
            return Err(Fault::of(FaultCode::Failed, Some(reason)));
        }
        tracing::info!("asked to start anew over the control socket");
        self.mood = Mood::Restarting;
        self.stop(false);
        Ok(())
    }

    /// Every process, in supervisord's order: groups by priority, those of one group together.
    pub(in crate::supervise) fn views(&self) -> Vec<View> {
        let programs = self.programs.statuses().into_iter().map(|status| self.view(status));
        programs.chain(self.worker_views()).collect()
    }

    fn view(&self, status: Status) -> View {
        let history = self.programs.history(status.id);
        let file = |stream| {
            let path = self.programs.log_path(status.id, &status.config, stream);
            path.map_or_else(String::new, |path| path.to_string_lossy().into_owned())
        };
        View {
            unit: Unit::Program(status.id),
            group: status.config.group.clone(),
            name: status.config.name.clone(),
            state: status.state,
            is_stoppable: status.is_stoppable(),
            pid: status.pid.map_or(0, |pid| pid.as_raw_nonzero().get()),
            started: history.started,
            ended: history.ended,
            error: history.error.unwrap_or_default(),
            exit_status: history.exit_status.unwrap_or(0),
            stdout_logfile: file(Stream::Out),
            stderr_logfile: file(Stream::Err),
        }
    }

    /// Whom a name means: a process, or all of a group.
    pub(in crate::supervise) fn find(&self, name: &str) -> Result<Named, Fault> {
        let bad = || Fault::of(FaultCode::BadName, Some(name));
        let (group, process) = split_name(name);
        let members = self.group(group).map_err(|_| bad())?;
        match process {
            None => Ok(Named::Group(members)),
            Some(process) => members.into_iter().find(|view| view.name == process).map(Named::One).ok_or_else(bad),
        }
    }

    /// The processes of a group, in supervisord's order.
    pub(in crate::supervise) fn group(&self, name: &str) -> Result<Vec<View>, Fault> {
        let members: Vec<View> = self.views().into_iter().filter(|view| view.group == name).collect();
        let is_known = !members.is_empty()
            || self.has_workers_group(name)
            || self.programs.active().iter().any(|group| group.name == name);
        if is_known { Ok(members) } else { Err(Fault::of(FaultCode::BadName, Some(name))) }
    }

    fn has_workers_group(&self, name: &str) -> bool {
        self.setup.config.app.is_some() && self.workers_group() == name
    }

    fn status(&self, id: ProcessId) -> Option<Status> {
        self.programs.statuses().into_iter().find(|status| status.id == id)
    }

    /// Begins to do something to a process. `name` is what the client calls it.
    pub(in crate::supervise) fn begin(&mut self, deed: Deed, unit: Unit, name: &str) -> Outcome {
        let id = match unit {
            Unit::Program(id) => id,
            Unit::Worker(slot) => return self.begin_worker(deed, slot, name),
        };
        let begun = match deed {
            Deed::Start => self.begin_start(id, name),
            Deed::Stop => self.begin_stop(id, name),
        };
        match begun {
            Ok(()) => self.outcome(deed, unit, name),
            Err(fault) => Outcome::Failed(fault),
        }
    }

    fn begin_start(&mut self, id: ProcessId, name: &str) -> Result<(), Fault> {
        self.require_running()?;
        let status = self.status(id).ok_or_else(|| Fault::of(FaultCode::BadName, Some(name)))?;
        command::check(&status.config).map_err(|unusable| match unusable {
            Unusable::Missing(text) => Fault::of(FaultCode::NoFile, Some(&text)),
            Unusable::NotExecutable(text) => Fault::of(FaultCode::NotExecutable, Some(&text)),
        })?;
        match status.state {
            state if state.is_up() => Err(Fault::of(FaultCode::AlreadyStarted, Some(name))),
            State::Unknown => {
                let about = format!("{name} is in an unknown process state");
                Err(Fault::of(FaultCode::Failed, Some(&about)))
            }
            _ => {
                self.programs.start(id);
                Ok(())
            }
        }
    }

    fn begin_stop(&mut self, id: ProcessId, name: &str) -> Result<(), Fault> {
        let status = self.status(id).ok_or_else(|| Fault::of(FaultCode::BadName, Some(name)))?;
        if !status.is_stoppable() {
            return Err(Fault::of(FaultCode::NotRunning, Some(name)));
        }
        self.programs.stop_one(id);
        match self.status(id) {
            Some(status) if status.state == State::Unknown => {
                let about = format!("{name} can't be signalled");
                Err(Fault::of(FaultCode::Failed, Some(&about)))
            }
            _ => Ok(()),
        }
    }

    /// What has come of something that was begun.
    pub(in crate::supervise) fn outcome(&mut self, deed: Deed, unit: Unit, name: &str) -> Outcome {
        let id = match unit {
            Unit::Program(id) => id,
            Unit::Worker(slot) => return self.worker_outcome(deed, slot, name),
        };
        let status = self.status(id);
        let failed = |code| Outcome::Failed(Fault::of(code, Some(name)));
        match (deed, status) {
            (Deed::Stop, None) => Outcome::Done,
            (Deed::Stop, Some(status)) if status.state.is_stopped() => Outcome::Done,
            (Deed::Stop, Some(_)) => Outcome::Pending,
            (Deed::Start, None) => failed(FaultCode::AbnormalTermination),
            (Deed::Start, Some(status)) => match status.state {
                State::Running => Outcome::Done,
                _ if self.programs.history(id).error.is_some() => failed(FaultCode::SpawnError),
                State::Starting => Outcome::Pending,
                _ if status.is_to_start => Outcome::Pending,
                _ => failed(FaultCode::AbnormalTermination),
            },
        }
    }

    /// Sends a signal, by its name or number, to a process.
    pub(in crate::supervise) fn signal_unit(&mut self, unit: Unit, name: &str, signal: &str) -> Result<(), Fault> {
        let number = signal_number(signal).ok_or_else(|| Fault::of(FaultCode::BadSignal, Some(signal)))?;
        let id = match unit {
            Unit::Program(id) => id,
            Unit::Worker(slot) => return self.signal_worker(slot, name, number),
        };
        if !self.status(id).is_some_and(|status| status.state.is_signallable()) {
            return Err(Fault::of(FaultCode::NotRunning, Some(name)));
        }
        self.programs.signal_main(id, number).map_err(|error| {
            let about = format!("unknown problem sending sig {signal} ({name}): {error}");
            Fault::of(FaultCode::Failed, Some(&about))
        })
    }

    /// Writes to a process's standard input.
    pub(in crate::supervise) fn write_input(&self, unit: Unit, name: &str, text: &str) -> Result<(), Fault> {
        // A worker reads nothing there.
        let Unit::Program(id) = unit else { return Err(Fault::of(FaultCode::NoFile, Some(name))) };
        if !self.status(id).is_some_and(|status| status.pid.is_some() && status.state != State::Stopping) {
            return Err(Fault::of(FaultCode::NotRunning, Some(name)));
        }
        self.programs.write_input(id, text.as_bytes()).map_err(|refused| {
            let code = match refused {
                Refused::NotRunning => FaultCode::NotRunning,
                Refused::Closed => FaultCode::NoFile,
                Refused::Full => FaultCode::Failed,
            };
            Fault::of(code, Some(name))
        })
    }

    /// A stream from now on, and where its past is; `None` where nothing is heard of it.
    pub(in crate::supervise) fn hear(&mut self, unit: Unit, stream: Stream) -> Option<Heard> {
        let Unit::Program(id) = unit else { return None };
        let status = self.status(id)?;
        let tap = self.programs.tap(id, &status.config, stream)?;
        let path = self.programs.log_path(id, &status.config, stream);
        Some(Heard { path, recent: tap.recent().0, follower: tap.follow() })
    }

    /// The end of a stream that goes into no file, and how many bytes there were of it in all.
    pub(in crate::supervise) fn recent(&mut self, unit: Unit, stream: Stream) -> Option<(Vec<u8>, u64)> {
        let Unit::Program(id) = unit else { return None };
        let status = self.status(id)?;
        self.programs.tap(id, &status.config, stream).map(|tap| tap.recent())
    }

    /// Empties a process's log files.
    pub(in crate::supervise) fn clear_logs(&self, unit: Unit, name: &str) -> Result<(), Fault> {
        // Workers write into maitred's log.
        let Unit::Program(id) = unit else { return Ok(()) };
        let status = self.status(id).ok_or_else(|| Fault::of(FaultCode::BadName, Some(name)))?;
        self.programs.clear_logs(id, &status.config).map_err(|_| Fault::of(FaultCode::Failed, Some(name)))
    }

    /// Reads the configuration; changes nothing yet.
    pub(in crate::supervise) fn reread(&mut self) -> Result<Difference, Fault> {
        match (self.setup.reconfigure)(self.site.scales()) {
            Ok(config) => {
                self.available = config.programs;
                Ok(difference(self.programs.active(), &self.available))
            }
            Err(message) => Err(Fault::of(FaultCode::CantReread, Some(&message))),
        }
    }

    /// Looks after a group of the configuration that was read last.
    pub(in crate::supervise) fn add_group(&mut self, name: &str) -> Result<(), Fault> {
        let found = self.available.iter().find(|group| group.name == name).cloned();
        let found = found.ok_or_else(|| Fault::of(FaultCode::BadName, Some(name)))?;
        let mut groups: Vec<GroupConfig> = self.programs.active().to_vec();
        if groups.iter().any(|group| group.name == name) {
            return Err(Fault::of(FaultCode::AlreadyAdded, Some(name)));
        }
        let place = groups.partition_point(|group| group.priority <= found.priority);
        groups.insert(place, found);
        self.programs.reload(&groups);
        Ok(())
    }

    /// Looks no longer after a group, all of which must be stopped.
    pub(in crate::supervise) fn remove_group(&mut self, name: &str) -> Result<(), Fault> {
        let mut groups: Vec<GroupConfig> = self.programs.active().to_vec();
        let before = groups.len();
        groups.retain(|group| group.name != name);
        if groups.len() == before {
            return Err(Fault::of(FaultCode::BadName, Some(name)));
        }
        if self.group(name)?.iter().any(|view| !view.state.is_stopped()) {
            return Err(Fault::of(FaultCode::StillRunning, Some(name)));
        }
        self.programs.reload(&groups);
        Ok(())
    }

    /// Every process of the configuration that was read last.
    pub(in crate::supervise) fn configured(&self) -> Vec<Configured> {
        let (active, statuses) = (self.programs.active(), self.programs.statuses());
        let names = |status: &Status| ((status.config.group.clone(), status.config.name.clone()), status.id);
        let ids: HashMap<_, _> = statuses.iter().map(names).collect();
        let files = |process: &ProcessConfig| {
            let id = ids.get(&(process.group.clone(), process.name.clone())).copied();
            [Stream::Out, Stream::Err].map(|stream| self.programs.log_path(id?, process, stream))
        };
        let processes = self.available.iter().flat_map(|group| {
            let is_in_use = active.iter().any(|other| other.name == group.name);
            group.processes.iter().map(move |process| Configured {
                config: process.clone(),
                group_priority: group.priority,
                is_in_use,
                automatic: files(process),
            })
        });
        processes.collect()
    }
}

/// A signal's number by its name, with or without SIG, or by itself.
fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.trim().parse::<i32>() {
        return Some(number).filter(|number| (0..=31).contains(number));
    }
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper).to_owned();
    (1..=31).find(|number| crate::sys::process::signal_name(*number).is_some_and(|known| known[3..] == name))
}
