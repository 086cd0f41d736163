//! The end of the program: shards drain, then workers, then it exits; each step within its time.

use super::event::{Action, Settings};
use crate::base::clock::Monotonic;
use std::time::Duration;

/// Of a graceful stop's time, workers get at least this part (a tenth, at most this long) after the shards.
const WORKERS_SHARE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Stop {
    pub code: i32,
    pub is_fast: bool,
    pub shards: Shards,
    shards_deadline: Monotonic,
    /// Workers are killed.
    pub deadline: Monotonic,
    /// The program exits, whatever is left.
    pub exit_deadline: Monotonic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shards {
    /// They answer what is in hand.
    Draining,
    /// They were told to close everything.
    Stopping,
    /// They have nothing left.
    Drained,
}

impl Stop {
    /// `shards`: whether the shards ever accepted.
    pub fn begin(code: i32, have_opened: bool, settings: &Settings, now: Monotonic, actions: &mut Vec<Action>) -> Stop {
        let share = (settings.graceful_timeout / 10).min(WORKERS_SHARE_MAX);
        let deadline = now + settings.graceful_timeout;
        let shards_deadline = deadline.minus(share).max(now);
        if have_opened {
            actions.push(Action::DrainShards { deadline: shards_deadline });
        }
        Stop {
            code,
            is_fast: false,
            shards: if have_opened { Shards::Draining } else { Shards::Drained },
            shards_deadline,
            deadline,
            exit_deadline: deadline + settings.reap_timeout,
        }
    }

    /// No more waiting for requests; a second time, no more waiting at all.
    pub fn hasten(&mut self, settings: &Settings, now: Monotonic) {
        let rest = if self.is_fast { Duration::ZERO } else { settings.fast_timeout };
        self.is_fast = true;
        self.shards_deadline = self.shards_deadline.min(now);
        self.deadline = self.deadline.min(now + rest);
        self.exit_deadline = self.deadline + settings.reap_timeout;
    }

    pub fn settle(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        if self.shards == Shards::Draining && now >= self.shards_deadline {
            self.shards = Shards::Stopping;
            actions.push(Action::StopShards);
        }
    }

    /// When a tick is due for the stop's sake.
    pub fn wake_at(&self, now: Monotonic) -> Monotonic {
        if self.shards == Shards::Draining {
            self.shards_deadline
        } else if self.deadline > now {
            self.deadline
        } else {
            self.exit_deadline
        }
    }
}
