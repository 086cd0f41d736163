//! The web workers: what they say of themselves, signals to them, and how control clients see them, as a group of processes beside the programs.
//!
//! Owns the group's name and how places for workers are told as states of processes. Decides nothing: the machine does.

use super::Supervisor;
use crate::base::clock::{self, Monotonic};
use crate::control::{Fault, FaultCode};
use crate::supervise::machine::{Event, GenerationId, Held, Place, PlaceState, Reading};
use crate::supervise::programs::machine::State;
use crate::supervise::rpc::{Deed, Outcome, Unit, View};
use crate::sys::family;
use crate::sys::memory::SlotState;
use crate::sys::process::{self, Pid, Signal};
use crate::wsgi::Loss;

/// The group's name …
const GROUP: &str = "web";
/// … and what it is called where a program or a group has that name.
const OTHER_GROUP: &str = "maitred-web";

impl Supervisor {
    /// The name of the workers' group.
    pub(super) fn workers_group(&self) -> &'static str {
        let is_taken = self.programs.active().iter().any(|group| group.name == GROUP);
        if is_taken { OTHER_GROUP } else { GROUP }
    }

    /// The name of the worker in a place.
    pub(super) fn worker_name(slot: u32) -> String {
        format!("worker_{slot:02}")
    }

    /// Every worker of the generation that serves.
    pub(super) fn worker_views(&self) -> Vec<View> {
        let group = self.workers_group();
        let (now, wall) = (Monotonic::now(), clock::wall_seconds());
        let seconds = |at: Option<Monotonic>| at.map_or(0, |at| wall.saturating_sub(now.since(at).as_secs()));
        let view = |place: Place| View {
            unit: Unit::Worker(place.slot),
            group: group.to_owned(),
            name: Self::worker_name(place.slot),
            state: state(place.state),
            is_stoppable: state(place.state).is_up(),
            pid: place.pid.map_or(0, |pid| pid.as_raw_nonzero().get()),
            started: seconds(place.since),
            ended: seconds(place.left),
            error: String::new(),
            exit_status: 0,
            stdout_logfile: String::new(),
            stderr_logfile: String::new(),
        };
        self.machine.places().into_iter().map(view).collect()
    }

    fn place(&self, slot: u32) -> Option<Place> {
        self.machine.places().into_iter().find(|place| place.slot == slot)
    }

    /// Begins to do something to a worker.
    pub(super) fn begin_worker(&mut self, deed: Deed, slot: u32, name: &str) -> Outcome {
        let state = self.place(slot).map(|place| place.state);
        let is_wanted = !matches!(state, None | Some(PlaceState::Vacated | PlaceState::Leaving | PlaceState::Done));
        let failed = |code| Outcome::Failed(Fault::of(code, Some(name)));
        match (deed, is_wanted) {
            (Deed::Start, true) => return failed(FaultCode::AlreadyStarted),
            (Deed::Stop, false) => return failed(FaultCode::NotRunning),
            (Deed::Start, false) => {
                if let Err(fault) = self.require_running() {
                    return Outcome::Failed(fault);
                }
                self.handle(Event::FillSlot(slot));
            }
            (Deed::Stop, true) => self.handle(Event::VacateSlot(slot)),
        }
        self.changes.tell();
        self.worker_outcome(deed, slot, name)
    }

    /// What has come of something that was begun.
    pub(super) fn worker_outcome(&self, deed: Deed, slot: u32, name: &str) -> Outcome {
        let failed = |code| Outcome::Failed(Fault::of(code, Some(name)));
        match (deed, self.place(slot).map(|place| place.state)) {
            (Deed::Stop, None | Some(PlaceState::Vacated | PlaceState::Done)) => Outcome::Done,
            (Deed::Stop, Some(_)) => Outcome::Pending,
            (Deed::Start, Some(PlaceState::Serving)) => Outcome::Done,
            (Deed::Start, Some(PlaceState::Starting | PlaceState::Leaving)) => Outcome::Pending,
            (Deed::Start, Some(PlaceState::Waiting)) => failed(FaultCode::SpawnError),
            (Deed::Start, None | Some(PlaceState::Vacated | PlaceState::Done)) => {
                failed(FaultCode::AbnormalTermination)
            }
        }
    }

    /// Sends a signal to a zygote or a worker that was not reaped.
    pub(super) fn kill(&self, pid: Pid, signal: process::Signal) {
        let result = match self.pidfds.get(&pid) {
            Some(Some(pidfd)) => process::signal_pidfd(pidfd, signal),
            Some(None) => process::signal(pid, signal),
            // Reaped: the number may be somebody else's by now.
            None => return,
        };
        if signal == Signal::KILL {
            self.out_of_memory.borrow_mut().killed(pid);
        }
        if let Err(error) = result {
            tracing::error!(pid = pid.as_raw_nonzero().get(), %error, "cannot signal a child");
        }
    }

    /// Lets workers that end by SIGINT, or at once, know it, for their hook.
    pub(super) fn interrupt_workers(&self) {
        let has_hook = |app: &crate::config::AppConfig| app.hooks.iter().any(|(name, _)| *name == "worker_int");
        if self.setup.config.app.as_ref().is_some_and(has_hook) {
            let pids = self.readings().into_iter().filter_map(|reading| i32::try_from(reading.view.pid).ok());
            let pids: std::collections::BTreeSet<i32> = pids.collect();
            pids.into_iter().filter_map(Pid::from_raw).for_each(|pid| self.kill(pid, process::Signal::INT));
        }
    }

    /// Tells whoever waits for a request that it has no answer coming.
    pub(super) fn lose(&self, generation: GenerationId, request: Held, loss: Loss) {
        if request.shard as usize == self.replies.len() {
            let failure = match loss {
                Loss::Overdue => "the warm-up request took longer than `timeout`".to_owned(),
                loss => format!("the worker that had the warm-up request died: {loss}"),
            };
            self.tell(Event::WarmedUp { generation, failure: Some(failure) });
        }
        self.notices.give([super::Notice::Lost(request, loss)]);
    }

    /// Has the thread of a worker that has this request let go of it.
    pub(super) fn interrupt(&self, generation: GenerationId, pid: Pid, token: u64) {
        let Some(found) = self.generations.get(&generation) else { return };
        found.scoreboard.interrupt(pid, token);
        self.kill(pid, Signal::URG);
    }

    /// Has a worker show that it lives, and look for work.
    pub(super) fn ask_for_life(&self, generation: GenerationId, pid: Pid) {
        let Some(found) = self.generations.get(&generation) else { return };
        found.scoreboard.ask_for_life(pid);
        self.kill(pid, Signal::URG);
    }

    /// Generations in which requests wait, after one of their workers was woken, should nobody have done so; and workers that were asked for a sign of
    /// life and have given none.
    pub(super) fn life(&self) -> (Vec<GenerationId>, Vec<Pid>) {
        let waiting = self.generations.iter().filter(|(_, found)| found.has_waiting()).map(|(id, found)| {
            found.wake();
            *id
        });
        let silent = self.generations.values().flat_map(|found| found.scoreboard.silent());
        (waiting.collect(), silent.collect())
    }

    /// What every worker says of itself.
    pub(super) fn readings(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        for (&generation, found) in &self.generations {
            let threads = found.settings.threads.max(1);
            for index in 0..found.scoreboard.slots() {
                let view = found.scoreboard.read(index);
                if view.state != SlotState::Empty {
                    readings.push(Reading { generation, place: index as u32 / threads, view, rss_bytes: None });
                }
            }
        }
        readings
    }

    /// The same, with the memory of those who are to have no more than so much.
    pub(super) fn measured(&self) -> Vec<Reading> {
        let mut readings = self.readings();
        let mut last = None;
        for reading in &mut readings {
            let settings = self.generations.get(&reading.generation).map(|found| &found.settings);
            let is_measured = settings.is_some_and(|settings| settings.recycle.rss_bytes.is_some());
            // One of a worker's threads tells it for all.
            let pid = i32::try_from(reading.view.pid).ok().and_then(Pid::from_raw);
            if is_measured && last.replace(reading.view.pid) != Some(reading.view.pid) {
                reading.rss_bytes = pid.map(family::resident_bytes);
            }
        }
        readings
    }

    /// Sends a signal to a worker.
    pub(super) fn signal_worker(&self, slot: u32, name: &str, number: i32) -> Result<(), Fault> {
        let pid = self.place(slot).and_then(|place| place.pid);
        let pid = pid.ok_or_else(|| Fault::of(FaultCode::NotRunning, Some(name)))?;
        if let Some(signal) = Signal::from_named_raw(number) {
            self.kill(pid, signal);
        }
        Ok(())
    }
}

fn state(state: PlaceState) -> State {
    match state {
        PlaceState::Vacated => State::Stopped,
        PlaceState::Starting => State::Starting,
        PlaceState::Serving => State::Running,
        PlaceState::Leaving => State::Stopping,
        PlaceState::Waiting => State::Backoff,
        PlaceState::Done => State::Exited,
    }
}
