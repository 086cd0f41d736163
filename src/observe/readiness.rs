//! Whether the server serves requests now, in the words of `/readyz`.
//!
//! Owns one word of memory that the supervisor alone writes, when something has changed, and that whoever is asked reads: no letter that could
//! be late or find a mailbox full, so all who are asked say the same. Not looked at for any other request.

use std::sync::atomic::{AtomicU8, Ordering};

/// How the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It does not accept yet, or no generation of workers has taken over.
    Starting,
    /// Requests are served.
    Ready,
    /// All workers have died; others are being started.
    NoWorker,
    /// It finishes what is in hand.
    Stopping,
}

impl State {
    const ALL: [State; 4] = [State::Starting, State::Ready, State::NoWorker, State::Stopping];

    /// What is said of it, in a line without its end.
    pub fn text(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::NoWorker => "no worker is left",
            State::Stopping => "stopping",
        }
    }

    /// The status with which it is said: 200 or 503.
    pub fn status(self) -> u16 {
        if self == State::Ready { 200 } else { 503 }
    }
}

/// The state of the one server of this process.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// How the server stands; [`State::Starting`] until something else is said.
    pub fn state(&self) -> State {
        State::ALL[usize::from(self.0.load(Ordering::Relaxed)) % State::ALL.len()]
    }

    /// Says how it stands from now on.
    pub fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_read() {
        let readiness = Readiness::default();
        assert_eq!(readiness.state(), State::Starting);
        for state in State::ALL {
            readiness.set(state);
            assert_eq!(readiness.state(), state);
            assert_eq!(state.status() == 200, state.text() == "ready");
        }
    }
}
