//! What programs tell event listeners of themselves: their states, and that their groups come and go.
//!
//! Owns the order of it, which is supervisord's. The events themselves are made by `events`.

use std::rc::Rc;

use super::Programs;
use super::history::History;
use super::input::Inputs;
use super::machine::{ProcessId, Report, State};
use crate::config::{GroupConfig, ProcessConfig};
use crate::supervise::events::{Bus, Details, Sender};

/// Writes events to listeners' standard inputs.
pub(super) fn sender(inputs: &Rc<Inputs>) -> Sender {
    let inputs = inputs.clone();
    Box::new(move |id, text| inputs.write(id, text.as_bytes()).is_ok())
}

/// Tells of a report, if it is of another state. `history` has taken note of it.
pub(super) fn tell(bus: &Bus, id: ProcessId, config: &ProcessConfig, report: &Report, history: &History) {
    let Report::Became { from, to } = *report else { return };
    let has_process = !(to == State::Stopped && from != State::Stopping);
    let details = Details {
        pid: if has_process { history.pid } else { 0 },
        tries: history.tries,
        is_expected: history.has_ended_well,
    };
    bus.became(id, config, (from, to), details);
}

impl Programs {
    /// Tells of all groups at the start. `others`: groups that are no programs'.
    pub fn tell_of_start(&self, others: &[&str]) {
        self.active.iter().for_each(|group| self.bus.group_came(group));
        others.iter().for_each(|name| self.bus.tell_of_group(name));
        self.bus.running();
    }

    /// These are the groups from now on.
    pub(super) fn change_groups(&mut self, groups: &[GroupConfig]) {
        let is_among = |groups: &[GroupConfig], name: &str| groups.iter().any(|group| group.name == name);
        let gone = self.active.iter().filter(|group| !is_among(groups, &group.name));
        self.leaving.extend(gone.map(|group| group.name.clone()));
        for group in groups {
            let is_back = self.leaving.contains(&group.name);
            self.leaving.retain(|name| *name != group.name);
            if is_back || is_among(&self.active, &group.name) {
                self.bus.adjust(group);
            } else {
                self.bus.group_came(group);
            }
        }
    }

    /// Tells of the groups of which nothing is left.
    pub(super) fn tell_of_groups_gone(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let statuses = self.machine.statuses();
        let is_there = |name: &str| statuses.iter().any(|status| status.config.group == name);
        let (leaving, gone) = std::mem::take(&mut self.leaving).into_iter().partition(|name| is_there(name));
        self.leaving = leaving;
        let gone: Vec<String> = gone;
        gone.iter().for_each(|name| self.bus.group_went(name));
    }
}
