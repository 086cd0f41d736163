//! What the supervisor's letters make a shard do.
//!
//! Owns the shard's listeners and the tasks that accept on them. Called by `run`, while the shard serves and while it drains.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::accept::{Accepting, ShardListener};
use super::site::Site;
use super::snapshot;
use super::state::Shard;
use crate::base::mail::{Receiver, Sender};
use crate::config::RouteConfig;
use crate::mail::{ShardMail, ShardNews};
use crate::ring::Descriptor;

/// How often, before listeners are closed, it is looked whether connections wait there still.
const LAST_ACCEPT_LOOKS_MAX: usize = 5;
/// How long between two looks.
const LAST_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The shard's mailbox and what follows from its letters.
pub(super) struct Orders {
    shard: Rc<Shard>,
    mail: Receiver<ShardMail>,
    news: Sender<ShardNews>,
    bell: Descriptor,
    listeners: Vec<ShardListener>,
    accepting: Vec<Accepting>,
    /// Others accept on the listeners once this shard does not.
    goes_on: bool,
    routes: Arc<Vec<RouteConfig>>,
}

impl Orders {
    pub fn new(
        shard: &Rc<Shard>,
        listeners: Vec<ShardListener>,
        mail: Receiver<ShardMail>,
        news: Sender<ShardNews>,
    ) -> io::Result<Orders> {
        let bell = Rc::new(mail.fd().as_fd().try_clone_to_owned()?);
        Ok(Orders {
            shard: shard.clone(),
            mail,
            news,
            bell,
            listeners,
            accepting: Vec::new(),
            goes_on: false,
            routes: Arc::default(),
        })
    }

    /// Carries letters out until one says that the shard shall drain, and how long that may take. Nothing is accepted then.
    pub async fn until_drain(&mut self) -> io::Result<Duration> {
        loop {
            self.shard.ring.poll(&self.bell, libc::POLLIN as u32).await?;
            if let Some(limit) = self.carry_out() {
                return Ok(self.close_listeners(limit).await);
            }
        }
    }

    /// Accepts what waits in the kernel's queues, which closing them would reset, and closes the listeners; where these go on elsewhere it is not
    /// ours. Returns how long the drain may take then.
    async fn close_listeners(&mut self, mut limit: Duration) -> Duration {
        self.listeners.clear();
        for _ in 0..LAST_ACCEPT_LOOKS_MAX {
            if limit.is_zero() || self.goes_on || !self.accepting.iter().any(Accepting::has_backlog) {
                break;
            }
            // The tasks are at it, unless descriptors or connections have run out.
            self.shard.ring.sleep(LAST_ACCEPT_PAUSE).await;
            limit = self.carry_out().unwrap_or_else(|| limit.saturating_sub(LAST_ACCEPT_PAUSE));
        }
        for accepting in std::mem::take(&mut self.accepting) {
            accepting.end().await;
        }
        limit
    }

    /// Waits for a letter or a ring, no longer than `limit`.
    pub async fn wait(&self, limit: Duration) {
        let deadline = self.shard.ring.deadline();
        deadline.set(limit);
        let _ = crate::ring::within(&deadline, self.shard.ring.poll(&self.bell, libc::POLLIN as u32)).await;
    }

    /// Carries out what has come. Returns the limit of the last letter that says to drain.
    pub fn carry_out(&mut self) -> Option<Duration> {
        let letters: Vec<_> = self.mail.drain().collect();
        let mut drain = None;
        for letter in letters {
            match letter {
                ShardMail::Routes(routes, pages) => {
                    *self.shard.pages.borrow_mut() = pages;
                    self.serve(routes);
                }
                ShardMail::Config(config) => self.shard.adopt(&config),
                ShardMail::Limits(shared) => *self.shard.shared.borrow_mut() = shared,
                ShardMail::Maintenance(rules) => *self.shard.maintenance.borrow_mut() = rules,
                ShardMail::Broken(reason) => *self.shard.broken.borrow_mut() = reason,
                ShardMail::Trust(trust) => *self.shard.trust.borrow_mut() = trust,
                ShardMail::Certificates(directory) => {
                    *self.shard.handshakes.directory.borrow_mut() = Some(directory);
                }
                ShardMail::Challenges { challenges, done } => {
                    *self.shard.challenges.borrow_mut() = challenges;
                    // Who waits no longer does not mind.
                    let _ = done.send(());
                }
                ShardMail::Accept => self.accept(),
                ShardMail::Look => self.accepting.iter().for_each(Accepting::look),
                ShardMail::Gate(gate) => {
                    let generation = gate.generation;
                    self.shard.pool.switch(gate);
                    self.tell(ShardNews::Switched { shard: self.shard.number, generation });
                }
                ShardMail::Share { generation, share } => self.shard.pool.set_share(generation, share),
                ShardMail::Gone { generation } => {
                    let pool = self.shard.pool.clone();
                    glommio::spawn_local(async move { pool.lose_generation(generation).await }).detach();
                }
                ShardMail::Snapshot { to } => {
                    // Whoever asked has waited long enough if its mailbox is gone.
                    let _ = to.send(Box::new(snapshot::take(&self.shard)));
                }
                ShardMail::AccessLog { config, sink } => self.shard.log.switch(config, sink),
                ShardMail::Drain { limit, goes_on } => {
                    self.goes_on = goes_on;
                    drain = Some(limit);
                }
            }
        }
        // Another shard may have rung.
        self.shard.pool.look();
        drain
    }

    /// Opening the directories of changed routes is the one thing for which a shard may wait for a disk: at start, before it
    /// accepts, and at a reload that changes them.
    fn serve(&mut self, routes: Arc<Vec<RouteConfig>>) {
        let shared = self.shard.shared.borrow().clone();
        let is_as_before = {
            let site = self.shard.site.borrow();
            !site.has_missing() && site.is_for(&shared.hosts)
        };
        if self.routes != routes || !is_as_before {
            *self.shard.site.borrow_mut() = Rc::new(Site::open(&routes, &shared));
            self.shard.metrics.borrow_mut().by_label.set_routes(routes.iter().map(snapshot::label));
            self.routes = routes;
        }
    }

    fn accept(&mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.accepting.push(Accepting::begin(&self.shard, listener));
        }
        self.tell(ShardNews::Accepting { shard: self.shard.number });
    }

    fn tell(&self, news: ShardNews) {
        // The mailbox has room for all that a shard can say between two looks of the supervisor.
        let _ = self.news.send(news);
    }
}
