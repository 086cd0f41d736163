//! What signals mean, after Gunicorn: stop, reload, more and fewer workers, none at all, log files opened anew, another server.
//!
//! Owns their meaning only; what follows is decided elsewhere. Called by the loop.

use super::Supervisor;
use crate::base::bounds::WORKERS_MAX;
use crate::supervise::machine::Event;
use crate::supervise::rpc::Mood;
use crate::sys::signals::Signal;

impl Supervisor {
    pub(super) fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Terminate => self.stop(false),
            Signal::Interrupt => {
                self.interrupt_workers();
                self.stop(false);
            }
            Signal::Quit => self.stop(true),
            Signal::Child => self.reap(),
            Signal::Hangup => {
                // What is wrong with it is in the log, and in `ctl status`.
                let _ = self.begin_reload();
            }
            Signal::User1 => self.reopen_logs(),
            Signal::TtyIn => self.add_workers(1),
            Signal::TtyOut => self.add_workers(-1),
            Signal::WindowChange => self.rest_workers(),
            Signal::User2 => self.begin_upgrade(),
        }
    }

    /// Asked to stop: the pool and the programs; the second time without waiting for anybody.
    pub(super) fn stop(&mut self, fast: bool) {
        if self.pool_code.is_some() {
            tracing::warn!("stopping at once");
        }
        if self.mood == Mood::Running {
            self.mood = Mood::Shutdown;
        }
        if fast || self.machine.is_stopping() {
            self.interrupt_workers();
        }
        self.systemd.stopping();
        if self.mood != Mood::Restarting {
            // Whoever connects from now on is not to wait at a socket that nobody accepts on.
            self.setup.handover.sockets.clear();
        }
        self.programs.bus().stopping();
        self.handle(if fast { Event::Quit } else { Event::Terminate });
        self.programs.stop(fast);
    }

    /// So many workers more, or fewer; at least one is left.
    fn add_workers(&mut self, more: i64) {
        if self.setup.config.app.is_none() {
            return tracing::info!("without an application there are no workers to add or take away");
        }
        let workers = self.workers_to_come();
        let wanted = i64::from(workers) + more;
        if wanted < 1 || wanted > WORKERS_MAX as i64 {
            return tracing::info!(workers, "the number of workers stays as it is");
        }
        let count = u32::try_from(wanted).expect("it was just bounded");
        match self.require_running().and_then(|()| self.scale_workers(count)) {
            Ok(_) => tracing::info!(workers = count, "another number of workers was asked for"),
            Err(fault) => tracing::warn!(reason = fault.text, "the number of workers stays as it is"),
        }
    }

    /// The workers finish what they have in hand and end; the server stays, without anybody to serve requests, until a reload.
    fn rest_workers(&mut self) {
        if !self.started.server.daemon {
            // A terminal that changes its size sends it too.
            return tracing::debug!("SIGWINCH means something to a daemon only");
        }
        tracing::info!("the workers end; SIGHUP brings new ones");
        for place in self.machine.places() {
            self.handle(Event::VacateSlot(place.slot));
        }
    }
}
