//! What a shard counts, what it says of requests, and how both are shown.
//!
//! Owns counters, latencies, request ids, the lines of the access log and the text of the metrics page; pure. Each shard has its own counters
//! and writes them alone; the supervisor asks for copies and adds them up. Called by `shard` and `supervise`.

pub mod access;
mod certificates;
mod latency;
mod limited;
mod page;
mod prometheus;
mod readiness;
pub mod request_id;
mod requests;
mod shed;
mod statsd;

pub use certificates::{CertificateFacts, certificates};
pub use latency::Latency;
pub use limited::{LimitOutcome, Limited};
pub use page::{ProcessFacts, WorkerFacts, page};
pub use readiness::{Readiness, State};
pub use requests::{Requests, RouteLabel};
pub use shed::{Shed, ShedCounts};
pub use statsd::Statsd;

use crate::base::clock::Monotonic;

/// Who answers a request, as far as its latency is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answerer {
    /// The application.
    App,
    /// A static root.
    Static,
    /// The server itself.
    #[default]
    Server,
}

/// What is known of a request when it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The route's place in the list that was given to [`Requests::set_routes`]; `None`: no route was found.
    pub route: Option<usize>,
    /// Index into [`requests::METHODS`].
    pub method: usize,
    /// Who answers.
    pub answerer: Answerer,
}

/// One shard's counters.
#[derive(Clone, Debug, Default)]
pub struct ShardMetrics {
    /// Connections accepted.
    pub connections: u64,
    /// Requests answered, refused ones not among them.
    pub requests: u64,
    /// The same by route, method and class of status.
    pub by_label: Requests,
    /// Requests refused before anybody looked at them, by bad bytes or for want of time, by class of status.
    pub refused: [u64; requests::CLASSES.len()],
    /// TLS handshakes that made a new session.
    pub handshakes_full: u64,
    /// TLS handshakes that resumed a session.
    pub handshakes_resumed: u64,
    /// TLS handshakes that a client began and that led to nothing.
    pub handshakes_failed: u64,
    /// Connections closed because their PROXY header was missing, malformed, or not their peer's to send.
    pub proxy_headers_refused: u64,
    /// Tasks that panicked.
    pub panics: u64,
    /// What limits did, and who was not let in.
    pub limited: Limited,
    /// From the last byte of the head to the answer's being handed to the kernel: of the application's answers,
    pub app: Latency,
    /// of static files,
    pub files: Latency,
    /// and of the server's own.
    pub server: Latency,
    /// From a request's being complete, its body included, to its being given to the workers.
    pub queue_wait: Latency,
    /// From there to the beginning of the answer: what it waited for a worker to take it is in it.
    pub worker_time: Latency,
}

impl ShardMetrics {
    /// A connection was accepted.
    pub fn connection(&mut self) {
        self.connections += 1;
    }

    /// A request that began at `started` was answered.
    pub fn request(&mut self, labels: Labels, status: u16, started: Monotonic) {
        self.requests += 1;
        self.by_label.count(labels.route, labels.method, status);
        let latency = match labels.answerer {
            Answerer::App => &mut self.app,
            Answerer::Static => &mut self.files,
            Answerer::Server => &mut self.server,
        };
        latency.record(Monotonic::now().since(started));
    }

    /// A TLS handshake is complete.
    pub fn handshake(&mut self, resumed: bool) {
        *(if resumed { &mut self.handshakes_resumed } else { &mut self.handshakes_full }) += 1;
    }

    /// A request was refused.
    pub fn refused(&mut self, status: u16) {
        self.refused[requests::class(status)] += 1;
    }

    /// Requests that were refused.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Latencies of all answers together.
    pub fn latency(&self) -> Latency {
        let mut all = self.app.clone();
        all.add(&self.files);
        all.add(&self.server);
        all
    }
}

/// What one shard says of itself when the supervisor asks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its number.
    pub shard: u32,
    /// Its counters.
    pub metrics: ShardMetrics,
    /// Connections between requests.
    pub connections_idle: u64,
    /// Connections with a request in hand.
    pub connections_busy: u64,
    /// Requests that wait in its own queue.
    pub queued: u64,
    /// Requests that no worker was given, by reason.
    pub shed: ShedCounts,
    /// Requests that waited until their clients had left.
    pub withdrawn: u64,
    /// More come than workers can serve.
    pub is_overloaded: bool,
    /// Requests given to the workers, or waiting, that are not answered in full.
    pub unfinished: u64,
    /// Looks at the cache of static files that found what they wanted.
    pub cache_hits: u64,
    /// … and those that did not.
    pub cache_misses: u64,
    /// Ready responses in that cache.
    pub cache_entries: u64,
    /// … and their bytes.
    pub cache_bytes: u64,
    /// Lines of the access log that were written.
    pub log_lines: u64,
    /// … and those that were dropped.
    pub log_dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_class_and_keeps_latencies() {
        let mut metrics = ShardMetrics::default();
        metrics.request(Labels::default(), 204, Monotonic::now());
        metrics.request(Labels { answerer: Answerer::App, ..Labels::default() }, 200, Monotonic::now());
        metrics.refused(400);
        metrics.refused(999);
        assert_eq!((metrics.requests, metrics.refused_in_all()), (2, 2));
        assert_eq!((metrics.refused[3], metrics.refused[5]), (1, 1));
        assert_eq!((metrics.server.count(), metrics.app.count(), metrics.latency().count()), (1, 1, 2));
    }
}
