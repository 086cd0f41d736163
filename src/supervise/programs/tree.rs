//! Everything that a program's process has started: in its session, below it, or adopted by maitred after it made itself a daemon.
//!
//! Owns how such a process is recognised: it descends from the main process, is in its session, or carries its mark in the environment.
//! Only one that has left the session *and* its environment behind is not found. Signals only; decides nothing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{getpid, kill_process_group};

use super::machine::Target;
use super::orphans::Orphan;
use crate::base::bounds::TREE_PROCESSES_MAX;
use crate::sys::cgroup::Group;
use crate::sys::family;
use crate::sys::process::{self, Pid, Signal};

/// The variable that marks what a process has started, in all that descends from it.
pub(super) const MARK: &str = "MAITRED_RUN";

/// One incarnation of a process: its main process, and how to recognise what belongs to it.
#[derive(Debug)]
pub(super) struct Tree {
    /// The main process; its number is its session's and its group's too.
    pub main: Pid,
    /// None once it was reaped.
    pub pidfd: Option<OwnedFd>,
    /// Its value of [`MARK`], which is no other incarnation's.
    pub mark: String,
    /// Its control group, where there are any.
    pub group: Option<Group>,
    /// What it is called, for the log.
    pub name: String,
    /// What an earlier maitred has left of it, besides the main process.
    pub orphans: Vec<Orphan>,
    /// The main process, if it was left by an earlier maitred: it is another one's child.
    pub adopted: Option<Orphan>,
    /// It was killed by maitred.
    pub was_killed: bool,
}

/// Children that maitred has adopted, and whose mark they were seen to carry.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// By their number and start: a number is used again.
    marks: HashMap<(Pid, u64), Option<String>>,
}

impl Adopted {
    /// The living ones among maitred's children, and in its control group, that belong to `tree`. `known` are those that belong to somebody
    /// for certain.
    pub fn of(&mut self, tree: &Tree, known: &dyn Fn(Pid) -> bool) -> Vec<Pid> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for pid in family::children(getpid()) {
            if pid == tree.main || known(pid) || tree.orphans.iter().any(|orphan| orphan.pid == pid) {
                continue;
            }
            let Some(kin) = family::kin(pid).filter(|kin| !kin.is_zombie) else { continue };
            let key = (pid, kin.started);
            seen.insert(key);
            // It carries a mark for life, so it is looked at once.
            let mark = self.marks.entry(key).or_insert_with(|| family::variable(pid, MARK));
            if kin.session == tree.main.as_raw_nonzero().get() || mark.as_deref() == Some(tree.mark.as_str()) {
                found.push(pid);
            }
        }
        self.marks.retain(|key, _| seen.contains(key));
        for orphan in &tree.orphans {
            if orphan.is_there() && !found.contains(&orphan.pid) {
                found.push(orphan.pid);
            }
        }
        for pid in tree.group.iter().flat_map(Group::members) {
            let is_living = || family::kin(pid).is_some_and(|kin| !kin.is_zombie);
            if pid != tree.main && !found.contains(&pid) && is_living() {
                found.push(pid);
            }
        }
        found
    }
}

impl Tree {
    /// Sends a signal. `adopted` are those of its processes that maitred has adopted. That somebody is gone already is no error.
    ///
    /// # Errors
    /// The main process may not be signalled.
    pub fn signal(&mut self, target: Target, signal: Signal, adopted: &[Pid]) -> io::Result<()> {
        let below = match target {
            Target::Main | Target::Group => Vec::new(),
            Target::Remains => family::descendants(adopted, TREE_PROCESSES_MAX),
            Target::Tree => family::descendants(&[&[self.main], adopted].concat(), TREE_PROCESSES_MAX),
        };
        self.was_killed |= signal == Signal::KILL;
        let below: Vec<_> = below.into_iter().filter_map(|pid| Some((pid, family::kin(pid)?))).collect();
        let main = match (target, &self.pidfd) {
            (Target::Remains, _) | (_, None) => Ok(()),
            (Target::Main, Some(pidfd)) => process::signal_pidfd(pidfd, signal),
            // Its number is not another group's as long as it was not reaped, which is looked at where somebody else does that.
            (Target::Group | Target::Tree, Some(pidfd)) => {
                let group = match &self.adopted {
                    Some(orphan) if !orphan.is_there() => Ok(()),
                    _ => kill_process_group(self.main, signal).or_else(|error| match error {
                        rustix::io::Errno::SRCH => Ok(()),
                        error => Err(io::Error::from(error)),
                    }),
                };
                process::signal_pidfd(pidfd, signal).and(group)
            }
        };
        if matches!(target, Target::Remains | Target::Tree) {
            if let (Some(group), Signal::KILL) = (&self.group, signal)
                && let Err(error) = group.kill()
            {
                tracing::warn!(program = self.name, %error, "a control group can't be killed as a whole");
            }
            for &pid in adopted {
                // Children that were not reaped, for the most part; others may be gone, and their numbers another one's.
                if let Some(kin) = family::kin(pid) {
                    warn_of(pid, family::signal_kin(pid, kin, signal));
                }
            }
            for (pid, kin) in below {
                if !adopted.contains(&pid) {
                    warn_of(pid, family::signal_kin(pid, kin, signal));
                }
            }
        }
        main
    }
}

fn warn_of(pid: Pid, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(pid = pid.as_raw_nonzero().get(), %error, "cannot signal a process of a program");
    }
}
