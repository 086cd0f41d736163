//! What stands between a request and the handler of its route: rates, requests in progress, addresses, passwords.
//!
//! Owns the order of the checks, which is nginx's, and what is kept of a request that was let in until it ends. The rules are those of `limits`;
//! passwords are `auth`'s. A route without rules has no guard, and its requests pay one look at an `Option`. Called by `connection`.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::answer::Facts;
use super::auth::Asked;
use super::connection::{Connection, Next};
use super::output::Gone;
use crate::base::bounds::LIMIT_WARNING_SECONDS;
use crate::base::clock::Monotonic;
use crate::config::{ConnectionsConfig, GuardConfig, LimitConfig, LimitKey, LimitLog, RouteConfig};
use crate::http::head::Head;
use crate::http::{PeerAddress, Reject, target};
use crate::limits::{Claim, Counts, Held, Keys, Outcome, RateTable, Shared, Verdict};
use crate::observe::LimitOutcome;
use crate::response::Response;

/// Where nginx says nothing at all.
const CLOSE: u16 = 444;

/// A route's rules with what they count in.
pub(super) struct Guard {
    pub rules: GuardConfig,
    limits: Vec<Limit>,
    connections: Option<Connections>,
}

struct Limit {
    rules: LimitConfig,
    table: Arc<RateTable>,
    news: News,
}

struct Connections {
    rules: ConnectionsConfig,
    counts: Arc<Counts>,
    news: News,
}

/// What is kept of a request that was let in.
#[derive(Default)]
pub(super) struct Admission {
    /// It counts as one in progress.
    held: Option<Held>,
    /// The user whose password it came with; empty: none.
    pub user: Vec<u8>,
    /// Field lines of its answer.
    pub lines: Vec<u8>,
    /// Bytes of its answer that are sent before a rate is kept to.
    limit_rate_after: u64,
}

/// What the log has still to be told of one limit.
#[derive(Default)]
struct News {
    last: Cell<Option<Monotonic>>,
    unsaid: Cell<u64>,
}

impl Guard {
    /// `None` for a route that lets everybody in at all times.
    pub fn open(route: &RouteConfig, shared: &Shared) -> Option<Guard> {
        let rules = route.guard.clone();
        let limit = |rules: &LimitConfig| {
            let table = shared.zones.rates(&rules.zone)?.clone();
            Some(Limit { rules: rules.clone(), table, news: News::default() })
        };
        let connections = rules.connections.as_ref().and_then(|rules| {
            let counts = shared.zones.counts(&rules.zone)?.clone();
            Some(Connections { rules: rules.clone(), counts, news: News::default() })
        });
        // The supervisor makes a table for each zone that a route names.
        let limits = rules.limits.iter().filter_map(limit).collect();
        (!rules.is_open()).then_some(Guard { rules, limits, connections })
    }
}

/// A request as limits see it.
struct Request<'a> {
    head: &'a Head<'a>,
    client: Option<IpAddr>,
}

impl Request<'_> {
    /// The limit's key of this request; `None`: it is not counted.
    fn key(&self, limit: &Limit) -> Option<u64> {
        let mut parts = Vec::with_capacity(limit.rules.keys.len());
        for key in &limit.rules.keys {
            parts.push(match key {
                LimitKey::Address => Keys::part_of(self.client?),
                LimitKey::Path => {
                    let decoded = target::decode_path(self.head.target.path_query()?.path).ok()?;
                    target::normalise(&decoded).ok()?.into_owned()
                }
                LimitKey::Host => self.head.authority?.host.to_ascii_lowercase().into_bytes(),
                LimitKey::Header(name) => self.head.fields.first(name).filter(|value| !value.is_empty())?.to_vec(),
                LimitKey::Cookie(name) => cookie(self.head, name.as_bytes())?.to_vec(),
            });
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Some(limit.table.keys().of(&parts))
    }
}

/// The value of a cookie, if it is there and not empty (RFC 6265 §5.4).
fn cookie<'b>(head: &Head<'b>, name: &[u8]) -> Option<&'b [u8]> {
    let pairs = head.fields.all("cookie").flat_map(|value| value.split(|&byte| byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        (pair[..at].trim_ascii() == name).then(|| pair[at + 1..].trim_ascii())
    });
    values.next().filter(|value| !value.is_empty())
}

/// What a request meets at the limits of its route.
enum Met {
    /// It is served after so much time.
    Admitted(Duration),
    Refused(u16, Vec<u8>),
}

impl Connection {
    /// Checks a request by the rules of its route. `None`: it is to be served.
    pub(super) async fn admit(&mut self, guard: &Guard, head: &Head<'_>, facts: Facts) -> Option<Result<Next, Gone>> {
        let client = match self.client(head) {
            Ok(client) => client,
            Err(reject) => return Some(self.refuse(reject).await.map(|()| Next::Close)),
        };
        let request = Request { head, client };
        let mut admission = Admission { limit_rate_after: guard.rules.limit_rate_after, ..Admission::default() };
        let wait = match self.meet(guard, &request, &mut admission) {
            Met::Admitted(wait) => wait,
            Met::Refused(CLOSE, _) => return Some(Err(Gone)),
            Met::Refused(status, lines) => {
                let mut response = Response::error(status, "Too many requests.");
                response.fields.extend_from_slice(&lines);
                return Some(self.answer_over_body(head, response, facts).await);
            }
        };
        if !wait.is_zero()
            && let Err(Gone) = self.wait_for_turn(wait).await
        {
            return Some(Err(Gone));
        }
        let rules = &guard.rules;
        let is_unix = self.peer().address == PeerAddress::Unix;
        let is_good = rules.access.admit(client, is_unix);
        let is_enough = is_good || (rules.satisfy_any && rules.auth.is_some());
        if !is_enough {
            self.shard.metrics.borrow_mut().limited.denied += 1;
            let response = Response::error(403, "This is not for you.");
            return Some(self.answer_over_body(head, response, facts).await);
        }
        let by_address = rules.satisfy_any && is_good && !rules.access.is_empty();
        if let Some(auth) = rules.auth.as_ref().filter(|_| !by_address) {
            match self.ask(auth, head).await {
                Asked::Right(user) => admission.user = user,
                Asked::Wrong(response) => return Some(self.answer_over_body(head, response, facts).await),
            }
        }
        if rules.limit_rate > 0 {
            self.output.set_rate(rules.limit_rate, rules.limit_rate_after);
        }
        self.admission = Some(Box::new(admission));
        None
    }

    /// Bytes of the answer that are sent before a rate that the application names is kept to.
    pub(super) fn limit_rate_after(&self) -> u64 {
        self.admission.as_ref().map_or(0, |admission| admission.limit_rate_after)
    }

    /// The user whose password came with the request in hand; empty: none was asked for.
    pub(super) fn user(&self) -> &[u8] {
        self.admission.as_ref().map_or(b"", |admission| &admission.user)
    }

    /// The address that rules go by; `None`: a unix socket has none.
    fn client(&self, head: &Head<'_>) -> Result<Option<IpAddr>, Reject> {
        self.origin(head.fields).map(|origin| origin.client)
    }

    /// Counts a request at the limits of its route.
    fn meet(&self, guard: &Guard, request: &Request<'_>, admission: &mut Admission) -> Met {
        let now = self.shard.ring.now();
        let keys: Vec<_> = guard.limits.iter().map(|limit| request.key(limit)).collect();
        let counted = || guard.limits.iter().zip(&keys).filter_map(|(limit, key)| Some((limit, (*key)?)));
        if guard.limits.len() > 1 {
            // What one limit refuses is not to be counted by the others.
            for (limit, key) in counted().filter(|(limit, _)| !limit.rules.dry_run) {
                let verdict = limit.table.look(key, &limit.rules.rate, now);
                if matches!(verdict.outcome, Outcome::Refused(_)) {
                    return self.over(limit, verdict, request, now);
                }
            }
        }
        let mut wait = Duration::ZERO;
        let mut tightest: Option<(&Limit, Verdict)> = None;
        for (limit, key) in counted() {
            let verdict = limit.table.admit(key, &limit.rules.rate, now);
            let outcome = outcome_of(verdict.outcome, limit.rules.dry_run);
            match verdict.outcome {
                Outcome::Refused(_) if !limit.rules.dry_run => return self.over(limit, verdict, request, now),
                Outcome::Delayed(time) if !limit.rules.dry_run => wait = wait.max(time),
                _ => {}
            }
            self.note(&limit.rules.zone, limit.rules.log, &limit.news, outcome, request.client, now);
            let is_tighter = tightest.is_none_or(|(_, other)| verdict.remaining < other.remaining);
            if limit.rules.announce && !limit.rules.dry_run && is_tighter {
                tightest = Some((limit, verdict));
            }
        }
        if let Some((limit, verdict)) = tightest {
            admission.lines = quota_lines(limit, &verdict);
        }
        if let Some(connections) = &guard.connections {
            let Connections { rules, counts, news } = connections;
            let key = request.client.map(|client| counts.keys().of_address(client));
            let outcome = match counts.claim(key, rules.per_address, rules.in_all) {
                Claim::Held(held) => {
                    admission.held = Some(held);
                    LimitOutcome::Passed
                }
                Claim::KeyFull | Claim::AllFull if rules.dry_run => LimitOutcome::RejectedDryRun,
                Claim::KeyFull | Claim::AllFull => LimitOutcome::Rejected,
            };
            self.note(&rules.zone, rules.log, news, outcome, request.client, now);
            if outcome == LimitOutcome::Rejected {
                return Met::Refused(rules.status, Vec::new());
            }
        }
        Met::Admitted(wait)
    }

    /// A limit refuses the request.
    fn over(&self, limit: &Limit, verdict: Verdict, request: &Request<'_>, now: Monotonic) -> Met {
        self.note(&limit.rules.zone, limit.rules.log, &limit.news, LimitOutcome::Rejected, request.client, now);
        let mut lines = quota_lines(limit, &verdict);
        if let (Outcome::Refused(wait), true) = (verdict.outcome, limit.rules.status != 503) {
            // The server's own 503 says it already.
            lines.extend_from_slice(format!("Retry-After: {}\r\n", seconds(wait).max(1)).as_bytes());
        }
        Met::Refused(limit.rules.status, lines)
    }

    /// Counts what became of a request at a limit, and tells the log of it, though not of each in a flood.
    fn note(
        &self,
        zone: &str,
        log: LimitLog,
        news: &News,
        outcome: LimitOutcome,
        client: Option<IpAddr>,
        now: Monotonic,
    ) {
        self.shard.metrics.borrow_mut().limited.count(zone, outcome);
        self.exchange.borrow_mut().limited(outcome);
        if outcome == LimitOutcome::Passed || log == LimitLog::Off {
            return;
        }
        let pause = Duration::from_secs(LIMIT_WARNING_SECONDS);
        if news.last.get().is_some_and(|last| now.since(last) < pause) {
            news.unsaid.set(news.unsaid.get() + 1);
            return;
        }
        news.last.set(Some(now));
        let (shard, others, outcome) = (self.shard.number, news.unsaid.take(), outcome.label());
        let client = client.map_or_else(|| "unix:".to_owned(), |client| client.to_canonical().to_string());
        let is_delay = outcome.starts_with("delayed");
        match log {
            LimitLog::Error if !is_delay => tracing::error!(shard, zone, outcome, client, others, "limiting requests"),
            LimitLog::Error | LimitLog::Warn if !(is_delay && log == LimitLog::Warn) => {
                tracing::warn!(shard, zone, outcome, client, others, "limiting requests");
            }
            LimitLog::Info if is_delay => tracing::debug!(shard, zone, outcome, client, others, "limiting requests"),
            _ => tracing::info!(shard, zone, outcome, client, others, "limiting requests"),
        }
    }

    /// Waits, unless the client leaves before.
    async fn wait_for_turn(&mut self, wait: Duration) -> Result<(), Gone> {
        let deadline = self.shard.ring.deadline();
        deadline.set(wait);
        poll_fn(|cx| {
            if deadline.poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            match self.receiving.recv.poll_ended(cx) {
                Poll::Ready(_) => Poll::Ready(Err(Gone)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

fn outcome_of(outcome: Outcome, dry_run: bool) -> LimitOutcome {
    match (outcome, dry_run) {
        (Outcome::Passed, _) => LimitOutcome::Passed,
        (Outcome::Delayed(_), false) => LimitOutcome::Delayed,
        (Outcome::Delayed(_), true) => LimitOutcome::DelayedDryRun,
        (Outcome::Refused(_), false) => LimitOutcome::Rejected,
        (Outcome::Refused(_), true) => LimitOutcome::RejectedDryRun,
    }
}

/// How things stand, in the three fields of draft-ietf-httpapi-ratelimit-headers-06 and earlier: those that clients read.
fn quota_lines(limit: &Limit, verdict: &Verdict) -> Vec<u8> {
    let rate = &limit.rules.rate;
    let (quota, window) = (rate.quota(), seconds(rate.window()).max(1));
    let (remaining, reset) = (verdict.remaining, seconds(verdict.reset));
    format!(
        "RateLimit-Limit: {quota}\r\nRateLimit-Policy: {quota};w={window}\r\nRateLimit-Remaining: {remaining}\r\nRateLimit-Reset: {reset}\r\n"
    )
    .into_bytes()
}

/// Whole seconds, of which a part counts as one.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Parse, parse};

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: xsid=1; sid = two ;c=\r\nCookie: d=4\r\n\r\n";
        let Ok(Parse::Complete { head, .. }) = parse(bytes) else { panic!("a head") };
        for (name, expected) in [("sid", Some("two")), ("xsid", Some("1")), ("d", Some("4")), ("c", None), ("s", None)]
        {
            assert_eq!(cookie(&head, name.as_bytes()), expected.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn a_part_of_a_second_is_one() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_nanos(1)), 1);
        assert_eq!(seconds(Duration::from_millis(2000)), 2);
    }
}
