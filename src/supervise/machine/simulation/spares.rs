//! Workers that wait for a place, in the simulation's worlds.
//!
//! Owns what becomes of them until they have one. Called by the world.

use super::super::simulation_parts::{Happening, Process};
use super::super::{Event, Exit, GenerationId, Pid};
use super::{World, raw};

impl World {
    /// A zygote forks a worker that waits for a place, and lets go of the one before.
    pub(super) fn fork_spare(&mut self, generation: GenerationId) {
        let Some(zygote) = self.zygote_of(generation).filter(|pid| !self.processes[&raw(*pid)].hangs) else { return };
        self.let_spare_go(generation);
        let pid = self.new_process(generation, None);
        self.processes.get_mut(&raw(pid)).expect("just made").waits = true;
        // What a zygote says comes in order.
        self.later(0, Happening::Tell(Event::ReserveForked { generation, pid }));
        if self.random.percent(self.worker_deaths) {
            let life = self.random.delay(10_000);
            let who = if self.random.percent(20) { zygote } else { pid };
            self.later(life, Happening::Ends(who, Exit::Signal { signal: 9, core_dumped: false }));
        }
    }

    /// The one that waits hears that it does so in vain.
    pub(super) fn let_spare_go(&mut self, generation: GenerationId) {
        let Some(pid) = self.spare_of(generation) else { return };
        let process = self.processes.get_mut(&raw(pid)).expect("it was just found");
        process.is_leaving = true;
        if !process.hangs && !process.is_stuck {
            let delay = self.random.delay(10);
            self.later(delay, Happening::Ends(pid, Exit::Code(0)));
        }
    }

    /// The process of a generation that waits.
    pub(super) fn spare_of(&self, generation: GenerationId) -> Option<Pid> {
        let waits = |process: &Process| process.generation == generation && process.waits && !process.is_leaving;
        let found = self.processes.iter().find(|(_, process)| waits(process));
        found.and_then(|(pid, _)| Pid::from_raw(*pid))
    }
}
