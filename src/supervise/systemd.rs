//! What a service manager is told: that the server serves, reloads, stops and lives (sd_notify(3)).
//!
//! Owns the order of these messages. Without `NOTIFY_SOCKET` nothing is said. Called by the loop.

use std::time::Duration;

use crate::base::clock::Monotonic;
use crate::sys::notify::Notifier;

/// The service manager, if there is one that listens.
#[derive(Debug, Default)]
pub struct Systemd {
    notifier: Option<Notifier>,
    /// How often it wants to hear that the server lives.
    watchdog: Option<Duration>,
    /// What was said last of how things stand.
    status: String,
}

impl Systemd {
    /// `watchdog`: after how long without a word the server is taken for dead.
    pub fn new(notifier: Option<Notifier>, watchdog: Option<Duration>) -> Systemd {
        Systemd { watchdog: watchdog.filter(|_| notifier.is_some()), notifier, status: String::new() }
    }

    /// How often to say that the server lives: twice as often as is wanted, as sd_watchdog_enabled(3) advises.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    /// The server serves: at its start, and again when a reload is over, whatever came of it.
    pub fn ready(&self) {
        self.say(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// A reload begins.
    pub fn reloading(&self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", Monotonic::now().as_nanos() / 1000));
    }

    /// The server stops.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// The server lives.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// Another process is the server from now on.
    pub fn succeeded_by(&self, pid: u32) {
        self.say(&format!("MAINPID={pid}"));
    }

    /// How things stand, in a line for people; said only if it is something new.
    pub fn status(&mut self, status: String) {
        if self.notifier.is_some() && status != self.status {
            self.say(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    fn say(&self, message: &str) {
        if let Some(notifier) = &self.notifier
            && let Err(error) = notifier.send(message)
        {
            tracing::debug!(%error, message, "the service manager was not told");
        }
    }
}
