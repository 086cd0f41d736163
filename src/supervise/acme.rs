//! The thread that gets certificates, and how it reaches the shards.
//!
//! Owns its start, the plan that it follows after a reload, and the counts for the metrics. Neither the supervisor nor a shard ever waits
//! for it. Called by `run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::acme::{Host, Outcome, Plan, keep};
use crate::base::bounds::ACME_PUBLISH_SECONDS;
use crate::base::clock::Monotonic;
use crate::base::mail::{Sender, mailbox};
use crate::config::Config;
use crate::mail::ShardMail;
use crate::sys::affinity::run_in_background;
use crate::tls::Challenges;

/// How many attempts came out how.
#[derive(Debug, Default)]
pub(super) struct Counts {
    issued: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Certificates issued, and attempts that failed.
    pub fn read(&self) -> (u64, u64) {
        (self.issued.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// The thread, if it was needed so far.
pub(super) struct Keeping {
    shards: Vec<Sender<ShardMail>>,
    counts: Arc<Counts>,
    plan: Option<Plan>,
    changes: Option<mpsc::Sender<Plan>>,
}

impl Keeping {
    /// Nothing runs yet.
    pub fn new(shards: Vec<Sender<ShardMail>>) -> Keeping {
        Keeping { shards, counts: Arc::default(), plan: None, changes: None }
    }

    /// What became of attempts so far.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Follows `config` from now on. Nothing is dropped by one that wants no certificates: the old ones are there.
    pub fn follow(&mut self, config: &Config) {
        let Some(plan) = Plan::of(config) else { return };
        if self.plan.as_ref() == Some(&plan) {
            return;
        }
        self.plan = Some(plan.clone());
        if let Some(changes) = &self.changes
            && changes.send(plan.clone()).is_ok()
        {
            return;
        }
        let (changes, news) = mpsc::channel();
        let host = Shards { shards: self.shards.clone(), counts: self.counts.clone() };
        let thread = std::thread::Builder::new().name("acme".to_owned()).spawn(move || {
            run_in_background();
            keep(plan, &news, &host);
        });
        match thread {
            // It ends with the process.
            Ok(_) => self.changes = Some(changes),
            Err(error) => tracing::error!(%error, "cannot start the thread that gets certificates"),
        }
    }
}

struct Shards {
    shards: Vec<Sender<ShardMail>>,
    counts: Arc<Counts>,
}

impl Host for Shards {
    fn publish(&self, challenges: Arc<Challenges>) {
        let challenges = Some(challenges).filter(|challenges| !challenges.is_empty());
        let Ok((done, heard)) = mailbox(self.shards.len()) else { return };
        let letter = || ShardMail::Challenges { challenges: challenges.clone(), done: done.clone() };
        let mut left = self.shards.iter().filter(|shard| shard.send(letter()).is_ok()).count();
        let end = Monotonic::now() + Duration::from_secs(ACME_PUBLISH_SECONDS);
        while left > 0 {
            let time = end.since(Monotonic::now());
            let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
            let fd = heard.fd();
            match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&time)) {
                Ok(0) => return tracing::warn!(shards = left, "not all shards have taken over the challenges"),
                Ok(_) => left -= heard.drain().count().min(left),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return tracing::error!(%error, "cannot wait for the shards"),
            }
        }
    }

    fn tell(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Issued => &self.counts.issued,
            Outcome::Failed => &self.counts.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
