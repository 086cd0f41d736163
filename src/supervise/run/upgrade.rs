//! SIGUSR2: a new server takes the place of this one once it serves; if it does not get there, this one goes on.
//!
//! Owns what follows from what the successor says, or from its end. Called by the loop.

use std::rc::Rc;

use super::Supervisor;
use crate::ring::Descriptor;
use crate::supervise::inbox::Happening;
use crate::supervise::rpc::Mood;
use crate::supervise::systemd::Systemd;
use crate::sys::process::{Exit, Pid};

impl Supervisor {
    /// Begins to look after programs: at once, or when the server that this one replaces has ended. Two servers at a time would have two of each.
    pub(super) fn begin_programs(&mut self) {
        let predecessor = self.setup.launcher.predecessor().filter(|_| self.setup.is_successor);
        let Some(predecessor) = predecessor.and_then(|pipe| pipe.try_clone_to_owned().ok()) else {
            return self.programs.begin();
        };
        let (ring, inbox) = (self.ring.clone(), self.inbox.clone());
        glommio::spawn_local(async move {
            // Nothing comes from there: it is at an end when the other end is.
            let pipe: Descriptor = Rc::new(predecessor);
            let _ = ring.poll(&pipe, libc::POLLERR as u32).await;
            inbox.push(Happening::PredecessorGone);
        })
        .detach();
    }

    /// Starts a successor.
    pub(super) fn begin_upgrade(&mut self) {
        if self.mood != Mood::Running || !self.machine.is_ready() {
            return tracing::warn!("no new server is started by one that does not serve itself");
        }
        if let Some(pid) = self.successor {
            return tracing::warn!(pid = pid.as_raw_nonzero().get(), "a new server is starting already");
        }
        let (child, heard) = match self.setup.handover.start() {
            Ok(started) => started,
            Err(error) => return tracing::error!(%error, "no new server could be started; this one goes on"),
        };
        tracing::info!(
            pid = child.pid.as_raw_nonzero().get(),
            "a new server starts; this one goes on until that one serves"
        );
        self.successor = Some(child.pid);
        let (ring, inbox) = (self.ring.clone(), self.inbox.clone());
        let heard: Descriptor = Rc::new(heard);
        glommio::spawn_local(async move {
            let mut byte = [0];
            let has_come = ring.poll(&heard, libc::POLLIN as u32).await.is_ok();
            // An end without a word is told by the process's own end.
            if has_come && rustix::io::read(&heard, &mut byte).is_ok_and(|count| count > 0) {
                inbox.push(Happening::SuccessorServes);
                // The successor waits for this process's end: the pipe stays open until then.
                std::future::pending::<()>().await;
            }
        })
        .detach();
    }

    /// The successor serves: this server finishes what it has in hand and ends.
    pub(super) fn give_way(&mut self) {
        let Some(pid) = self.successor else { return };
        let pid = pid.as_raw_nonzero().get();
        tracing::info!(pid, "the new server serves; this one ends");
        std::mem::take(&mut self.systemd).succeeded_by(pid.unsigned_abs());
        self.systemd = Systemd::default();
        self.is_succeeded = true;
        // What is asked from now on is the new server's to answer.
        self.doors.close();
        self.stop(false);
    }

    /// Whether the process that has ended is the successor.
    pub(super) fn is_successor(&mut self, pid: Pid, exit: Exit) -> bool {
        if self.successor != Some(pid) {
            return false;
        }
        self.successor = None;
        match self.is_succeeded {
            true => tracing::error!(%exit, "the new server has ended"),
            false => tracing::error!(%exit, "the new server has ended before it served; this one goes on"),
        }
        true
    }
}
