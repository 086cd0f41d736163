//! Takes over what an earlier maitred has left: processes that run on, adopted as they are, and those that are to end first.
//!
//! An adopted process is another one's child, so its end is seen through its pidfd, and its exit status never. Its pipes are opened anew, and
//! what it wrote before comes out of them. Called when the programs begin, and when such a process has ended.

use std::collections::HashMap;

use super::machine::{Event, Happened, ProcessId, Status};
use super::orphans::{self, Orphan};
use super::tree::Tree;
use super::{Programs, Stream, probes};
use crate::config::Orphans;
use crate::sys::family;
use crate::sys::process::{self, Exit};

impl Programs {
    /// Finds what an earlier maitred has left. It is adopted, or stopped before anything of the same name is started.
    pub(super) fn find_orphans(&mut self) {
        let mut found: HashMap<(String, String), Vec<Orphan>> = HashMap::new();
        for orphan in orphans::find(&self.instance) {
            probes::await_end(&self.ring, &self.inbox, orphan.pid);
            found.entry((orphan.group.clone(), orphan.name.clone())).or_default().push(orphan);
        }
        for status in self.machine.statuses() {
            let Some(own) = found.remove(&(status.config.group.clone(), status.config.name.clone())) else { continue };
            if let Err(own) = self.adopt(&status, own) {
                let (name, mark) = (status.config.full_name(), String::new());
                let main = own[0].pid;
                let tree =
                    Tree { main, pidfd: None, mark, group: None, name, orphans: own, adopted: None, was_killed: true };
                self.trees.insert(status.id, tree);
                self.remains.push(status.id);
                self.handle(Event::Process(status.id, Happened::Found));
            }
        }
        for orphan in found.into_values().flatten() {
            tracing::warn!(
                pid = orphan.pid.as_raw_nonzero().get(),
                program = orphan.name,
                "a process of a program that is no longer there is left of an earlier maitred: ending it"
            );
            probes::end(&self.ring, orphan);
        }
    }

    /// Looks after what is left of a process from here on. Hands it back if that is not wanted or not possible.
    fn adopt(&mut self, status: &Status, mut own: Vec<Orphan>) -> Result<(), Vec<Orphan>> {
        let main = orphans::main_of(&own, &status.config.launch).filter(|_| self.orphans == Orphans::Adopt);
        let Some(main) = main else { return Err(own) };
        let pid = own[main].pid;
        // What was opened is what was found, if it is there afterwards.
        let Some(pidfd) = process::pidfd(pid).ok().filter(|_| own[main].is_there()) else { return Err(own) };
        let (id, config, main) = (status.id, &status.config, own.remove(main));
        for (stream, number, output) in [(Stream::Out, 1, &config.stdout), (Stream::Err, 2, &config.stderr)] {
            let is_wanted = output.is_wanted() && !(stream == Stream::Err && config.launch.redirect_stderr);
            if let Some(pipe) = is_wanted.then(|| orphans::pipe(pid, number, false)).flatten() {
                self.outputs.carry(id, config, stream, pipe);
            }
        }
        if let Some(pipe) = orphans::pipe(pid, 0, true) {
            self.inputs.open(id, pipe);
        }
        self.mains.insert(pid, id);
        let (age, mark, name) = (family::age(main.kin), main.mark.clone(), config.full_name());
        let tree = Tree {
            main: pid,
            pidfd: Some(pidfd),
            mark,
            group: None,
            name,
            orphans: own,
            adopted: Some(main),
            was_killed: false,
        };
        self.trees.insert(id, tree);
        self.handle(Event::Process(id, Happened::Adopted(pid, age)));
        Ok(())
    }

    /// Adopted processes that have ended are told of as if they had been reaped.
    pub(super) fn notice_adopted(&mut self) {
        let is_gone =
            |tree: &&Tree| tree.pidfd.is_some() && tree.adopted.as_ref().is_some_and(|orphan| !orphan.is_there());
        let gone: Vec<_> = self.trees.values().filter(is_gone).map(|tree| tree.main).collect();
        for pid in gone {
            self.reaped(pid, Exit::Unknown);
        }
    }

    /// What an adopted process has started and left is nobody's child here, and is looked for once more when it has ended.
    pub(super) fn find_later_orphans(&mut self, id: ProcessId) {
        let Some(tree) = self.trees.get_mut(&id).filter(|tree| tree.adopted.is_some()) else { return };
        tree.orphans = orphans::find(&self.instance);
        tree.orphans.retain(|orphan| orphan.mark == tree.mark && orphan.pid != tree.main);
        for orphan in &tree.orphans {
            probes::await_end(&self.ring, &self.inbox, orphan.pid);
        }
    }
}
