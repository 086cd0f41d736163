//! What the simulation's worlds are made of: processes, pools, and what is to happen.
//!
//! Owns no rule. Used by the simulation alone.

use super::{Event, Exit, GenerationId, Pid, PoolSettings};
use crate::base::clock::Monotonic;
use std::collections::HashMap;

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are few of them")]
pub(super) enum Happening {
    Tell(Event),
    Imported(GenerationId),
    ImportFails(GenerationId),
    /// The zygote forks a worker that waits for a place.
    Spare(GenerationId),
    WorkerUp(Pid),
    TakesRequest(Pid),
    FinishesRequest(Pid),
    Ends(Pid, Exit),
}

#[derive(Debug)]
pub(super) struct Process {
    pub generation: GenerationId,
    /// None: a zygote, or one that waits for a place.
    pub slot: Option<u32>,
    /// It waits for a place; if it is leaving, in vain.
    pub waits: bool,
    pub is_up: bool,
    /// Ignores everything but SIGKILL.
    pub hangs: bool,
    /// Ignores SIGKILL too, as a process in uninterruptible sleep does.
    pub is_stuck: bool,
    /// Its zygote died before it could report it.
    pub is_unreported: bool,
    pub request: Option<(u64, Monotonic)>,
    pub served: u64,
    pub rss_bytes: u64,
    pub born: Monotonic,
    /// It was told to take no more.
    pub is_leaving: bool,
    /// The thread that has the request never lets go of it.
    pub clings: bool,
    /// It has another thread, which is idle.
    pub has_other: bool,
}

impl Process {
    /// Somebody has to see to its end.
    pub fn is_accounted_for(&self) -> bool {
        // Who waited in vain ends by itself.
        !(self.is_unreported || self.waits && self.is_leaving)
    }
}

#[derive(Default)]
pub(super) struct Pool {
    pub settings: Option<PoolSettings>,
    pub inbox_closed: bool,
    pub served_since: Option<Monotonic>,
    pub is_proven: bool,
    pub is_gone: bool,
    pub last_fork: HashMap<u32, Monotonic>,
    /// The worker that is being replaced, and since when.
    pub worn: Option<(Pid, Monotonic)>,
    /// One was replaced, ever.
    pub was_worn: bool,
}
