//! What a shard says of itself when the supervisor asks, and under which labels it counts.

use super::exchange::Exchange;
use super::state::{Phase, Shard};
use crate::config::{HostPattern, RouteConfig};
use crate::observe::{RouteLabel, Snapshot};
use crate::wsgi::pool::Call;

/// A copy of the shard's counters, with what can be seen of it now.
pub(super) fn take(shard: &Shard) -> Snapshot {
    let connections = shard.connections.borrow();
    let busy = connections.iter().filter(|(_, entry)| entry.phase == Phase::Busy).count();
    let unserved = shard.pool.unserved();
    let log = shard.log.counts();
    let (cache_entries, cache_bytes) = shard.statics.size();
    let (cache_hits, cache_misses) = shard.statics.looks();
    Snapshot {
        shard: shard.number,
        metrics: shard.metrics.borrow().clone(),
        connections_idle: (connections.len() - busy) as u64,
        connections_busy: busy as u64,
        queued: shard.pool.queued() as u64,
        shed: unserved.shed,
        withdrawn: unserved.withdrawn,
        is_overloaded: shard.pool.is_overloaded(),
        unfinished: shard.pool.unfinished() as u64,
        cache_hits,
        cache_misses,
        cache_entries: cache_entries as u64,
        cache_bytes: cache_bytes as u64,
        log_lines: log.lines,
        log_dropped: log.dropped,
    }
}

/// How requests of a route are labelled.
pub(super) fn label(route: &RouteConfig) -> RouteLabel {
    let host = match &route.host {
        HostPattern::Any => String::new(),
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Suffix(suffix) => format!("*{suffix}"),
    };
    RouteLabel { host, path: route.path.text().to_owned() }
}

/// The answer to `call` begins now, whoever gives it.
pub(super) fn upstream_began(shard: &Shard, exchange: &mut Exchange, call: &Call) {
    let (now, waited) = (shard.ring.now(), call.waited());
    exchange.upstream_began(waited, call.sent_at(), now);
    if let Some(sent) = call.sent_at() {
        let mut metrics = shard.metrics.borrow_mut();
        metrics.queue_wait.record(waited);
        metrics.worker_time.record(now.since(sent));
    }
}
