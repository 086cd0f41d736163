//! The metrics page: what all shards, the workers and the process say, in one text.
//!
//! Owns the names of the metrics. Pure: facts in, text out. Called by the admin listener of `supervise`.

use std::time::Duration;

use super::latency::Latency;
use super::prometheus::{Kind, Text, seconds};
use super::requests::{CLASSES, Requests};
use super::{Limited, ShardMetrics, ShedCounts, Snapshot};

/// What the supervisor knows of the application's workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Whether there is an application at all.
    pub has_app: bool,
    /// Whether requests are served: the answer of `/readyz`.
    pub is_ready: bool,
    /// Threads with a request in hand.
    pub busy: u64,
    /// Threads that wait for one.
    pub idle: u64,
    /// Worker processes that there are to be.
    pub wanted: u64,
    /// Worker processes that live.
    pub alive: u64,
    /// Workers started so far.
    pub started: u64,
    /// Workers ended so far, whatever for.
    pub exited: u64,
    /// Requests that took longer than `timeout` in a worker.
    pub timed_out: u64,
    /// Requests that died with their worker.
    pub lost: u64,
    /// Workers replaced after their number of requests,
    pub recycled_requests: u64,
    /// … for their age,
    pub recycled_lifetime: u64,
    /// … for their memory.
    pub recycled_memory: u64,
    /// The newest generation that has taken over; 0: none yet.
    pub generation: u32,
}

/// What the kernel knows of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// CPU time used, by the server itself without workers.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Address space, bytes.
    pub virtual_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Descriptors that may be open.
    pub descriptors_max: u64,
    /// Start, seconds since 1970.
    pub started: u64,
}

/// Writes the page. `shards`: how many there are; those that did not answer in time are not among the `snapshots`.
pub fn page(shards: usize, snapshots: &[Box<Snapshot>], workers: &WorkerFacts, process: &ProcessFacts) -> String {
    let mut text = Text::default();
    text.metric("maitred_build_info", Kind::Gauge, "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.metric("maitred_ready", Kind::Gauge, "Whether requests are served, as /readyz says it.")
        .sample(&[], u8::from(workers.is_ready));
    let mut up = text.metric("maitred_shard_up", Kind::Gauge, "Whether the shard has answered this scrape.");
    for shard in 0..shards {
        let answered = snapshots.iter().any(|snapshot| snapshot.shard as usize == shard);
        up.sample(&[("shard", itoa::Buffer::new().format(shard))], u8::from(answered));
    }
    connections(&mut text, snapshots);
    requests(&mut text, snapshots);
    limits(&mut text, snapshots);
    queue(&mut text, snapshots);
    cache(&mut text, snapshots);
    let sum = |of: fn(&Snapshot) -> u64| snapshots.iter().map(|snapshot| of(snapshot)).sum::<u64>();
    text.metric("maitred_access_log_lines_total", Kind::Counter, "Lines of the access log that were written.")
        .sample(&[], sum(|snapshot| snapshot.log_lines));
    text.metric(
        "maitred_access_log_dropped_total",
        Kind::Counter,
        "Lines of the access log that could not be written.",
    )
    .sample(&[], sum(|snapshot| snapshot.log_dropped));
    text.metric("maitred_panics_total", Kind::Counter, "Tasks of connections that panicked.")
        .sample(&[], sum(|snapshot| snapshot.metrics.panics));
    if workers.has_app {
        pool(&mut text, workers);
    }
    of_process(&mut text, process);
    text.finish()
}

fn connections(text: &mut Text, snapshots: &[Box<Snapshot>]) {
    let mut accepted =
        text.metric("maitred_connections_accepted_total", Kind::Counter, "Connections accepted, by shard.");
    for snapshot in snapshots {
        accepted.sample(&[("shard", itoa::Buffer::new().format(snapshot.shard))], snapshot.metrics.connections);
    }
    let mut open = text.metric("maitred_connections", Kind::Gauge, "Open connections, by what they do.");
    open.sample(&[("phase", "idle")], snapshots.iter().map(|snapshot| snapshot.connections_idle).sum::<u64>());
    open.sample(&[("phase", "busy")], snapshots.iter().map(|snapshot| snapshot.connections_busy).sum::<u64>());
    let sum = |of: fn(&ShardMetrics) -> u64| snapshots.iter().map(|snapshot| of(&snapshot.metrics)).sum::<u64>();
    let mut handshakes =
        text.metric("maitred_tls_handshakes_total", Kind::Counter, "TLS handshakes, by their outcome.");
    handshakes.sample(&[("outcome", "full")], sum(|metrics| metrics.handshakes_full));
    handshakes.sample(&[("outcome", "resumed")], sum(|metrics| metrics.handshakes_resumed));
    handshakes.sample(&[("outcome", "failed")], sum(|metrics| metrics.handshakes_failed));
    let help = "Connections closed for their PROXY header: missing, malformed, or from no trusted proxy.";
    text.metric("maitred_proxy_headers_refused_total", Kind::Counter, help)
        .sample(&[], sum(|metrics| metrics.proxy_headers_refused));
}

fn requests(text: &mut Text, snapshots: &[Box<Snapshot>]) {
    let mut all = Requests::default();
    let mut refused = [0; CLASSES.len()];
    for snapshot in snapshots {
        all.add(&snapshot.metrics.by_label);
        refused.iter_mut().zip(snapshot.metrics.refused).for_each(|(sum, count)| *sum += count);
    }
    let help =
        "Requests answered, by host and path of their route (both empty: there was none), method and class of status.";
    let mut metric = text.metric("maitred_requests_total", Kind::Counter, help);
    for (route, method, class, count) in all.iter() {
        let (host, path) = route.map_or(("", ""), |route| (route.host.as_str(), route.path.as_str()));
        metric.sample(&[("host", host), ("route", path), ("method", method), ("status", class)], count);
    }
    let help = "Requests refused for their form or for coming too slowly, by class of status.";
    let mut metric = text.metric("maitred_requests_refused_total", Kind::Counter, help);
    for (class, count) in CLASSES.iter().zip(refused) {
        if count > 0 || *class == "4xx" {
            metric.sample(&[("status", class)], count);
        }
    }
    let help = "From the last byte of a request's head to the beginning of the answer, by who answers.";
    let mut metric = text.metric("maitred_request_duration_seconds", Kind::Histogram, help);
    metric.times(&[("by", "app")], &sum(snapshots, |snapshot| &snapshot.metrics.app));
    metric.times(&[("by", "static")], &sum(snapshots, |snapshot| &snapshot.metrics.files));
    metric.times(&[("by", "server")], &sum(snapshots, |snapshot| &snapshot.metrics.server));
}

fn limits(text: &mut Text, snapshots: &[Box<Snapshot>]) {
    let mut all = Limited::default();
    snapshots.iter().for_each(|snapshot| all.add(&snapshot.metrics.limited));
    let help = "Requests at a limit, by its zone and what became of them.";
    let mut metric = text.metric("maitred_limit_requests_total", Kind::Counter, help);
    for (zone, outcome, count) in all.iter() {
        metric.sample(&[("zone", zone), ("outcome", outcome)], count);
    }
    text.metric(
        "maitred_requests_denied_total",
        Kind::Counter,
        "Requests of clients that are kept out by their address.",
    )
    .sample(&[], all.denied);
    text.metric(
        "maitred_auth_requests_total",
        Kind::Counter,
        "Requests where a password is asked for, by its outcome.",
    )
    .sample(&[("outcome", "verified")], all.auth_verified)
    .sample(&[("outcome", "known")], all.auth_known)
    .sample(&[("outcome", "refused")], all.auth_refused)
    .sample(&[("outcome", "overloaded")], all.auth_overloaded);
    let help = "Connections closed at once because their address had too many.";
    text.metric("maitred_connections_refused_total", Kind::Counter, help).sample(&[], all.connections);
}

fn queue(text: &mut Text, snapshots: &[Box<Snapshot>]) {
    let help = "From a request's being complete, its body included, to its being given to the workers.";
    text.metric("maitred_queue_wait_seconds", Kind::Histogram, help)
        .times(&[], &sum(snapshots, |snapshot| &snapshot.metrics.queue_wait));
    let help = "From a request's being given to the workers to the beginning of the answer.";
    text.metric("maitred_worker_time_seconds", Kind::Histogram, help)
        .times(&[], &sum(snapshots, |snapshot| &snapshot.metrics.worker_time));
    text.metric("maitred_requests_queued", Kind::Gauge, "Requests that wait in the shards' own queues.")
        .sample(&[], snapshots.iter().map(|snapshot| snapshot.queued).sum::<u64>());
    let mut shed = ShedCounts::default();
    snapshots.iter().for_each(|snapshot| shed.add(&snapshot.shed));
    let help = "Requests for the application that no worker was given and that were answered with 503, by reason.";
    let mut metric = text.metric("maitred_requests_shed_total", Kind::Counter, help);
    for (reason, count) in shed.iter() {
        metric.sample(&[("reason", reason)], count);
    }
    let help = "Requests whose clients had left before a worker was given them.";
    text.metric("maitred_requests_withdrawn_total", Kind::Counter, help)
        .sample(&[], snapshots.iter().map(|snapshot| snapshot.withdrawn).sum::<u64>());
    let help = "Shards to which more requests come than the workers can serve, so that overload_timeout counts.";
    text.metric("maitred_shards_overloaded", Kind::Gauge, help)
        .sample(&[], snapshots.iter().filter(|snapshot| snapshot.is_overloaded).count());
    text.metric(
        "maitred_requests_in_progress",
        Kind::Gauge,
        "Requests of the application that are not answered in full.",
    )
    .sample(&[], snapshots.iter().map(|snapshot| snapshot.unfinished).sum::<u64>());
}

fn cache(text: &mut Text, snapshots: &[Box<Snapshot>]) {
    let sum = |of: fn(&Snapshot) -> u64| snapshots.iter().map(|snapshot| of(snapshot)).sum::<u64>();
    text.metric("maitred_static_cache_hits_total", Kind::Counter, "Static files answered from what was known of them.")
        .sample(&[], sum(|snapshot| snapshot.cache_hits));
    text.metric("maitred_static_cache_misses_total", Kind::Counter, "Static files that had to be looked at first.")
        .sample(&[], sum(|snapshot| snapshot.cache_misses));
    text.metric("maitred_static_cache_entries", Kind::Gauge, "Static files that are held in memory.")
        .sample(&[], sum(|snapshot| snapshot.cache_entries));
    text.metric("maitred_static_cache_bytes", Kind::Gauge, "Their bytes.")
        .sample(&[], sum(|snapshot| snapshot.cache_bytes));
}

fn pool(text: &mut Text, workers: &WorkerFacts) {
    text.metric("maitred_worker_threads", Kind::Gauge, "Threads of workers, by what they do.")
        .sample(&[("state", "busy")], workers.busy)
        .sample(&[("state", "idle")], workers.idle);
    text.metric("maitred_workers", Kind::Gauge, "Worker processes.").sample(&[], workers.alive);
    let help = "Worker processes that there are to be.";
    text.metric("maitred_workers_wanted", Kind::Gauge, help).sample(&[], workers.wanted);
    text.metric("maitred_workers_started_total", Kind::Counter, "Workers started.").sample(&[], workers.started);
    text.metric("maitred_workers_exited_total", Kind::Counter, "Workers ended, whatever for.")
        .sample(&[], workers.exited);
    let help = "Requests that took longer than timeout in a worker.";
    text.metric("maitred_workers_timed_out_total", Kind::Counter, help).sample(&[], workers.timed_out);
    let help = "Requests that died with their worker.";
    text.metric("maitred_requests_lost_total", Kind::Counter, help).sample(&[], workers.lost);
    text.metric(
        "maitred_workers_recycled_total",
        Kind::Counter,
        "Workers replaced although they were well, by reason.",
    )
    .sample(&[("reason", "requests")], workers.recycled_requests)
    .sample(&[("reason", "lifetime")], workers.recycled_lifetime)
    .sample(&[("reason", "memory")], workers.recycled_memory);
    text.metric("maitred_generation", Kind::Gauge, "The generation of workers that serves.")
        .sample(&[], workers.generation);
}

/// Under the names that Prometheus' own clients use.
fn of_process(text: &mut Text, process: &ProcessFacts) {
    text.metric("process_cpu_seconds_total", Kind::Counter, "CPU time used, without that of workers.")
        .sample(&[], seconds(process.cpu));
    text.metric("process_resident_memory_bytes", Kind::Gauge, "Resident memory, without that of workers.")
        .sample(&[], process.resident_bytes);
    text.metric("process_virtual_memory_bytes", Kind::Gauge, "Address space.").sample(&[], process.virtual_bytes);
    text.metric("process_open_fds", Kind::Gauge, "Open descriptors.").sample(&[], process.descriptors);
    text.metric("process_max_fds", Kind::Gauge, "Descriptors that may be open.").sample(&[], process.descriptors_max);
    text.metric("process_start_time_seconds", Kind::Gauge, "Start, in seconds since 1970.")
        .sample(&[], process.started);
}

fn sum(snapshots: &[Box<Snapshot>], of: fn(&Snapshot) -> &Latency) -> Latency {
    let mut all = Latency::default();
    for snapshot in snapshots {
        all.add(of(snapshot));
    }
    all
}
