//! What is told to event listeners beside what programs do: the server's start and end, and how the web workers stand.
//!
//! Owns when the workers are looked at for that. Called by the loop.

use super::Supervisor;
use crate::supervise::events::{Seen, Subject};
use crate::supervise::machine::Report;
use crate::supervise::rpc::Unit;

impl Supervisor {
    /// Tells of everything that is looked after, and that the server has started.
    pub(super) fn tell_of_start(&self) {
        let workers = self.setup.config.app.is_some().then(|| self.workers_group());
        self.programs.tell_of_start(workers.as_slice());
    }

    /// Takes note of how a worker has ended.
    pub(super) fn note_worker(&mut self, report: &Report) {
        if let Report::WorkerExited { pid, exit, lost: 0, .. } = report
            && exit.is_success()
        {
            self.workers.ended_well(pid.as_raw_nonzero().get());
        }
    }

    /// Tells of the workers' states, as far as they have changed.
    pub(super) fn tell_of_workers(&mut self) {
        let bus = self.programs.bus().clone();
        if !bus.wants_states() {
            return self.workers.unheard();
        }
        let group = self.workers_group();
        let views = self.worker_views();
        let slots = views.iter().filter_map(|view| match view.unit {
            Unit::Worker(slot) => Some(Seen { slot, state: view.state, pid: view.pid }),
            Unit::Program(_) => None,
        });
        for step in self.workers.look(&slots.collect::<Vec<_>>()) {
            let process = Self::worker_name(step.slot);
            bus.tell_of_state(Subject { process: &process, group }, (step.from, step.to), step.details);
        }
    }

    /// Tells of what a control client has sent.
    pub(in crate::supervise) fn send_event(&self, kind: &str, data: &str) {
        self.programs.bus().remote(kind, data);
    }
}
