//! How many workers there are to be, between bounds, by how long requests wait for one.
//!
//! Pure: what the shards counted in each second goes in, a number of workers comes out. Never makes a system call, reads a clock or knows
//! what a worker is. Called by the supervisor once a second.
//!
//! It adds soon and takes away slowly: what waits is lost time for somebody, an idle worker is only memory. Between the two lies a band in
//! which nothing happens. Should it have to add again soon after it has taken away, it waits twice as long the next time.

use std::fmt;
use std::time::Duration;

/// Requests wait too long for so many seconds in a row before workers are added.
const UP_AFTER: u32 = 3;
/// Where they wait so many times too long, half as many workers are added at once.
const FAR_ABOVE: u32 = 4;
/// One worker fewer is enough if requests would keep no more than this part of the others busy.
const BUSY_MAX: f64 = 0.5;
/// The wait before a worker is taken away is at most so many times the configured one.
const PATIENCE_MAX: u32 = 16;

/// What was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest workers, at least one.
    pub min: u32,
    /// Most workers, at least `min`.
    pub max: u32,
    /// Threads of each.
    pub threads: u32,
    /// Requests are to wait no longer than this on average.
    pub wait: Duration,
    /// So long one fewer must have been enough.
    pub idle: Duration,
}

/// What one second was like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// How long requests waited for a worker on average; as long as there are requests that wait and none that got one, not shorter than that.
    pub wait: Duration,
    /// How many requests workers had in hand on average.
    pub busy: f64,
    /// Workers that serve.
    pub up: u32,
}

/// Another number of workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// So many there were to be.
    pub from: u32,
    /// So many there are to be.
    pub to: u32,
    /// Why.
    pub reason: Reason,
}

/// Why there are to be more or fewer workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// Requests waited.
    Wait {
        /// So long on average in the last second …
        wait: Duration,
        /// … and longer than this in all the last ones.
        limit: Duration,
    },
    /// Workers were idle.
    Idle {
        /// So many requests they had in hand on average in the last second.
        busy: f64,
        /// So long it was not much.
        during: Duration,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Wait { wait, limit } => write!(
                f,
                "requests waited {} ms for a worker on average, and more than {limit:?} for {UP_AFTER} s",
                wait.as_millis()
            ),
            Reason::Idle { busy, during } => {
                write!(f, "one fewer would have been enough for {during:?}: {busy:.1} requests at a time")
            }
        }
    }
}

/// The controller.
#[derive(Clone, Debug)]
pub struct Autoscale {
    bounds: Bounds,
    wanted: u32,
    /// Seconds in a row in which requests waited too long,
    above: u32,
    /// … and in which one worker fewer would have been enough.
    below: u32,
    /// Seconds since a worker was last taken away.
    since_down: u32,
    /// How many times the configured time has to pass before one is.
    patience: u32,
}

impl Autoscale {
    /// Begins with `workers`, or as near to that as the bounds allow.
    pub fn new(bounds: Bounds, workers: u32) -> Autoscale {
        let wanted = workers.clamp(bounds.min, bounds.max);
        Autoscale { bounds, wanted, above: 0, below: 0, since_down: u32::MAX, patience: 1 }
    }

    /// So many workers there are to be.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// What it was configured with.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Other bounds from now on. The number stays, if they allow it.
    pub fn rebound(&mut self, bounds: Bounds) {
        *self =
            Autoscale { patience: self.patience, since_down: self.since_down, ..Autoscale::new(bounds, self.wanted) };
    }

    /// Somebody wants so many workers. Whether the bounds allow that; from there it goes on.
    pub fn set(&mut self, workers: u32) -> bool {
        let allowed = (self.bounds.min..=self.bounds.max).contains(&workers);
        if allowed {
            self.rebound(self.bounds);
            self.wanted = workers;
        }
        allowed
    }

    /// A second has passed.
    pub fn tick(&mut self, second: &Second) -> Option<Change> {
        self.since_down = self.since_down.saturating_add(1);
        let Bounds { min, max, wait, .. } = self.bounds;
        // While somebody who was asked for is not there yet, or does not get up at all, more of the same would not help.
        self.above = if second.wait > wait && second.up >= self.wanted { self.above + 1 } else { 0 };
        let is_enough = second.wait <= wait / 4 && second.busy <= self.busy_max();
        self.below = if is_enough { self.below + 1 } else { 0 };
        if self.above >= UP_AFTER && self.wanted < max {
            let step = if second.wait > wait * FAR_ABOVE { self.wanted.div_ceil(2) } else { 1 };
            if self.since_down < 2 * self.down_after() {
                self.patience = (2 * self.patience).min(PATIENCE_MAX);
            }
            return Some(
                self.change(self.wanted.saturating_add(step).min(max), Reason::Wait { wait: second.wait, limit: wait }),
            );
        }
        if self.below >= self.down_after() && self.wanted > min {
            let during = Duration::from_secs(u64::from(self.below));
            if self.since_down >= 2 * self.down_after() {
                self.patience = 1;
            }
            self.since_down = 0;
            return Some(self.change(self.wanted - 1, Reason::Idle { busy: second.busy, during }));
        }
        None
    }

    fn change(&mut self, to: u32, reason: Reason) -> Change {
        let from = std::mem::replace(&mut self.wanted, to);
        (self.above, self.below) = (0, 0);
        Change { from, to, reason }
    }

    /// So many requests at a time are few for one worker less.
    fn busy_max(&self) -> f64 {
        BUSY_MAX * f64::from(self.bounds.threads) * f64::from(self.wanted - 1)
    }

    /// Seconds.
    fn down_after(&self) -> u32 {
        u32::try_from(self.bounds.idle.as_secs()).unwrap_or(u32::MAX).max(1).saturating_mul(self.patience)
    }
}

#[cfg(test)]
#[path = "autoscale_tests.rs"]
mod tests;
