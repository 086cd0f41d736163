//! The thread that keeps certificates good: waits until one is due, gets it, and notes what became of it.
//!
//! Owns the waits. One attempt at a time, so that many certificates that are due at once make no crowd; while an authority is not there,
//! none at all. It ends with its process, at any moment: every file is whole or not there. Started by `supervise`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use instant_acme::ChallengeType;

use super::order::{Attempt, Failure};
use super::schedule::{self, Attempts};
use super::store::Store;
use crate::base::bounds::{ACME_LOOK_SECONDS, ACME_PAUSE_SECONDS_MAX};
use crate::base::clock::{self, Monotonic};
use crate::config::{AcmeConfig, ChallengeChoice, Config, HostPattern, Listen};
use crate::tls::{Challenges, Leaf};

/// What the thread asks of the rest of the server.
pub trait Host: Send {
    /// Has every shard answer these challenges, and no others, and returns when all do so.
    fn publish(&self, challenges: Arc<Challenges>);
    /// Something has become of a certificate.
    fn tell(&self, outcome: Outcome);
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is a new certificate.
    Issued,
    /// There is none.
    Failed,
}

/// What is to be kept good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    config: AcmeConfig,
    certificates: Vec<Wanted>,
    /// Challenges that the listeners allow.
    kinds: Vec<ChallengeType>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The hosts that it is for.
    pub names: Vec<HostPattern>,
    /// Where it lies, with its key.
    pub file: PathBuf,
}

/// Ports at which authorities look (RFC 8555 §8.3, RFC 8737 §3).
const PORT_HTTP: u16 = 80;
const PORT_HTTPS: u16 = 443;

impl Plan {
    /// That of `config`; `None` if it has no certificate of this kind.
    #[must_use]
    pub fn of(config: &Config) -> Option<Plan> {
        let entries = config.tls.iter().filter(|entry| entry.acme);
        let wanted = entries.filter_map(|entry| {
            Some(Wanted { names: entry.names.clone(), file: entry.certificates.first()?.cert.clone() })
        });
        let certificates: Vec<_> = wanted.collect();
        let acme = config.acme.clone().filter(|_| !certificates.is_empty())?;
        let kinds = kinds(&acme, config);
        Some(Plan { config: acme, certificates, kinds })
    }

    /// What stands in the way of every challenge, or may.
    #[must_use]
    pub fn warnings(&self, config: &Config) -> Vec<String> {
        let place = &self.config.place;
        let mut found: Vec<_> = Store::warning(&self.config).into_iter().collect();
        let listens = |tls, port| {
            config.server.listen.iter().any(|listener| {
                listener.tls == tls && matches!(listener.address, Listen::Tcp(address) if address.port() == port)
            })
        };
        let is_reached = |kind: &ChallengeType| match kind {
            ChallengeType::Http01 => listens(false, PORT_HTTP),
            _ => listens(true, PORT_HTTPS),
        };
        if self.kinds.is_empty() {
            found.push(format!(
                "{place}.challenge: no listener can meet it; HTTP-01 takes one without TLS, TLS-ALPN-01 one with it"
            ));
        } else if !self.kinds.iter().any(is_reached) {
            found.push(format!(
                "{place}: the authority looks at port 80 (HTTP-01) or 443 (TLS-ALPN-01), and nothing listens there; something in \
                 front must lead it here"
            ));
        }
        found
    }

    /// What is known of each certificate, for `check`: its file, and when it is renewed, in seconds since 1970.
    #[must_use]
    pub fn standing(&self) -> Vec<(PathBuf, Option<u64>)> {
        let store = Store::at(&self.config);
        let standing =
            |wanted: &Wanted| (wanted.file.clone(), good(&store, wanted).map(|leaf| schedule::renewal(&leaf)));
        self.certificates.iter().map(standing).collect()
    }
}

/// Challenges that the listeners allow, those first that are reached without help.
fn kinds(acme: &AcmeConfig, config: &Config) -> Vec<ChallengeType> {
    let port = |tls: bool| {
        config.server.listen.iter().filter(move |listener| listener.tls == tls).map(|listener| match listener.address {
            Listen::Tcp(address) => address.port(),
            Listen::Unix(_) => 0,
        })
    };
    let mut kinds = Vec::new();
    if port(true).next().is_some() && acme.challenge != ChallengeChoice::Http01 {
        kinds.push(ChallengeType::TlsAlpn01);
    }
    if port(false).next().is_some() && acme.challenge != ChallengeChoice::TlsAlpn01 {
        kinds.push(ChallengeType::Http01);
    }
    // Behind something that has TLS to itself only HTTP-01 arrives.
    if !port(true).any(|port| port == PORT_HTTPS) {
        kinds.reverse();
    }
    kinds
}

/// Keeps the certificates of `plan` good for ever; of `changes` the newest plan counts. Ends when nobody can send one any more.
pub fn keep(plan: Plan, changes: &Receiver<Plan>, host: &dyn Host) {
    let mut keeper = Keeper { store: Store::at(&plan.config), plan, pause: Pause::default() };
    loop {
        let wait = keeper.turn(host);
        match changes.recv_timeout(wait) {
            Ok(plan) => {
                let plan = changes.try_iter().last().unwrap_or(plan);
                keeper = Keeper { store: Store::at(&plan.config), plan, pause: Pause::default() };
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

struct Keeper {
    plan: Plan,
    store: Store,
    pause: Pause,
}

/// While the authority is not there, no certificate is asked for.
#[derive(Default)]
struct Pause {
    failures: Attempts,
    until: Option<Monotonic>,
}

impl Keeper {
    /// Makes the attempt that is due, if there is one. Returns how long to wait.
    fn turn(&mut self, host: &dyn Host) -> Duration {
        let look = Duration::from_secs(ACME_LOOK_SECONDS);
        let now = clock::wall_seconds();
        let retry = self.plan.config.retry.as_secs().max(1);
        let dues = self.plan.certificates.iter().map(|wanted| {
            let leaf = good(&self.store, wanted);
            (schedule::due(leaf.as_ref(), self.store.attempts(&wanted.file), retry, now), wanted)
        });
        let Some((at, wanted)) = dues.min_by_key(|(at, _)| *at) else { return look };
        if at > now {
            return Duration::from_secs(at - now).min(look);
        }
        if let Some(left) = self.pause.until.map(|until| until.since(Monotonic::now())).filter(|left| !left.is_zero()) {
            return left.min(look);
        }
        let wanted = wanted.clone();
        match self.store.lock() {
            Ok(Some(_lock)) => self.attempt(&wanted, host),
            // Another process is at it; what it gets is seen at the next look.
            Ok(None) => return look,
            Err(error) => {
                tracing::error!(%error, storage = %self.plan.config.storage.display(), "cannot write to the ACME storage");
                return look;
            }
        }
        Duration::ZERO
    }

    fn attempt(&mut self, wanted: &Wanted, host: &dyn Host) {
        let retry = self.plan.config.retry.as_secs().max(1);
        let before = self.store.attempts(&wanted.file);
        let mut kinds = self.plan.kinds.clone();
        if before.failures % 2 == 1 {
            // What did not work may not be meant to.
            kinds.reverse();
        }
        let names: Vec<_> = wanted.names.iter().map(HostPattern::text).collect();
        let names = names.join(", ");
        let attempt = Attempt { config: &self.plan.config, store: &self.store, host, kinds: &kinds };
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt.obtain(wanted)));
        let outcome = outcome.unwrap_or_else(|_| {
            host.publish(Arc::default());
            Err(Failure { message: "a mistake of the server's own".to_owned(), wait_seconds: None, is_general: true })
        });
        let now = clock::wall_seconds();
        let after = match outcome {
            Ok(leaf) => {
                self.pause = Pause::default();
                let after = schedule::succeeded(before, &leaf, retry, now, luck());
                if after.failures > 0 {
                    tracing::warn!(names, "the new certificate would be renewed at once: is this host's clock right?");
                }
                let days = leaf.not_after.saturating_sub(now) / (24 * 3600);
                tracing::info!(names, days, "certificate issued");
                host.tell(Outcome::Issued);
                after
            }
            Err(failure) => {
                let after = schedule::failed(before, retry, failure.wait_seconds, now, luck());
                let retry_seconds = after.not_before.saturating_sub(now);
                let goes_on = match self.store.leaf(&wanted.file) {
                    Some(leaf) if leaf.not_after <= now => "the old certificate goes on, though it has expired",
                    Some(_) => "the old certificate goes on",
                    None => "until there is one, handshakes for these names fail",
                };
                tracing::error!(
                    names,
                    retry_seconds,
                    failures = after.failures,
                    "no certificate: {failure}; {goes_on}"
                );
                host.tell(Outcome::Failed);
                if failure.is_general {
                    let failures = schedule::failed(self.pause.failures, retry, failure.wait_seconds, now, luck());
                    let pause = failures.not_before.saturating_sub(now).min(ACME_PAUSE_SECONDS_MAX);
                    self.pause = Pause { failures, until: Some(Monotonic::now() + Duration::from_secs(pause)) };
                }
                after
            }
        };
        if let Err(error) = self.store.put_attempts(&wanted.file, after) {
            // Without the note it would be due again at once.
            tracing::error!(%error, "cannot write to the ACME storage");
            self.pause.until = Some(Monotonic::now() + Duration::from_secs(ACME_PAUSE_SECONDS_MAX));
        }
    }
}

/// The certificate in its file, if it is for all names.
fn good(store: &Store, wanted: &Wanted) -> Option<Leaf> {
    store.leaf(&wanted.file).filter(|leaf| wanted.names.iter().all(|name| leaf.covers(name)))
}

/// A random number. Without any, the middle.
fn luck() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => u64::MAX / 2,
    }
}
