//! What a shard counts: connections, requests, their latencies.
//!
//! Owns numbers only; pure. Each shard has its own and writes it alone. Called by `shard`.

pub mod access;
pub mod request_id;

use hdrhistogram::Histogram;

use crate::base::clock::Monotonic;

/// Longest latency that is told apart, µs: one hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// One shard's counters.
pub struct ShardMetrics {
    /// Connections accepted.
    pub connections: u64,
    /// Requests answered, refused ones not among them.
    pub requests: u64,
    /// Answers by the hundreds of their status: 1xx to 5xx.
    pub by_class: [u64; 5],
    /// Requests refused before anybody looked at them, by bad bytes or for want of time.
    pub refused: u64,
    /// Tasks that panicked.
    pub panics: u64,
    /// From the last byte of the head to the answer's being handed to the kernel, µs.
    pub latency_us: Histogram<u64>,
}

impl ShardMetrics {
    /// Nothing counted yet.
    #[expect(clippy::new_without_default, reason = "counting begins at a moment, not by default")]
    pub fn new() -> ShardMetrics {
        ShardMetrics {
            connections: 0,
            requests: 0,
            by_class: [0; 5],
            refused: 0,
            panics: 0,
            latency_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("the bounds are in order"),
        }
    }

    /// A connection was accepted.
    pub fn connection(&mut self) {
        self.connections += 1;
    }

    /// A request that began at `started` was answered.
    pub fn request(&mut self, status: u16, started: Monotonic) {
        self.requests += 1;
        self.class(status);
        let us = Monotonic::now().since(started).as_micros();
        self.latency_us.saturating_record(u64::try_from(us).unwrap_or(LATENCY_US_MAX).max(1));
    }

    /// A request was refused.
    pub fn refused(&mut self, status: u16) {
        self.refused += 1;
        self.class(status);
    }

    fn class(&mut self, status: u16) {
        if let Some(count) = self.by_class.get_mut(usize::from(status / 100).wrapping_sub(1)) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_class_and_keeps_latencies() {
        let mut metrics = ShardMetrics::new();
        metrics.request(204, Monotonic::now());
        metrics.refused(400);
        metrics.refused(999);
        assert_eq!((metrics.requests, metrics.refused, metrics.by_class), (1, 2, [0, 1, 0, 1, 0]));
        assert_eq!(metrics.latency_us.len(), 1);
    }
}
