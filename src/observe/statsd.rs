//! Metrics as statsd takes them, by the names that Gunicorn gives them: what has happened since the last time, in as few datagrams as it fits.
//!
//! Pure: copies of the shards' counters in, datagrams out. Called by `supervise` once a second.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Latency, Snapshot, requests};

/// Bytes of a datagram that passes any network whole: 1500 of Ethernet less the heads of IPv6 and UDP.
const DATAGRAM_BYTES_MAX: usize = 1452;

/// What was told so far.
#[derive(Debug, Default)]
pub struct Statsd {
    prefix: String,
    /// `|#` and the tags, or nothing.
    suffix: String,
    shards: HashMap<u32, Told>,
}

/// What was told of one shard.
#[derive(Debug, Default)]
struct Told {
    requests: u64,
    classes: [u64; requests::CLASSES.len()],
    latency: Latency,
}

impl Statsd {
    /// `prefix` is put before every name, with a dot between them; `tags` are DogStatsD's, separated by commas.
    pub fn new(prefix: &str, tags: &str) -> Statsd {
        let prefix = prefix.trim_end_matches('.');
        Statsd {
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}.") },
            suffix: if tags.is_empty() { String::new() } else { format!("|#{tags}") },
            shards: HashMap::new(),
        }
    }

    /// Datagrams that tell what these copies count beyond what was told, and how many `workers` there are. A shard without a copy is told of next
    /// time.
    pub fn datagrams(&mut self, snapshots: &[Box<Snapshot>], workers: u64) -> Vec<String> {
        let mut classes = [0; requests::CLASSES.len()];
        let (mut answered, mut latency) = (0, Latency::default());
        for snapshot in snapshots {
            let now = Told::of(snapshot);
            let before = self.shards.entry(snapshot.shard).or_default();
            answered += now.requests.saturating_sub(before.requests);
            for (sum, (now, before)) in classes.iter_mut().zip(now.classes.iter().zip(before.classes)) {
                *sum += now.saturating_sub(before);
            }
            latency.add(&now.latency.beyond(&before.latency));
            *before = now;
        }
        let mut out = Datagrams::default();
        let (prefix, suffix) = (&self.prefix, &self.suffix);
        if answered > 0 {
            out.line(format_args!("{prefix}gunicorn.requests:{answered}|c{suffix}"));
        }
        for (class, count) in requests::CLASSES.iter().zip(classes).filter(|(_, count)| *count > 0) {
            out.line(format_args!("{prefix}gunicorn.request.status.{class}:{count}|c{suffix}"));
        }
        for (us, count) in latency.recorded() {
            let (ms, rest) = (us / 1000, us % 1000);
            // A rate says that one value stands for so many.
            match count {
                1 => out.line(format_args!("{prefix}gunicorn.request.duration:{ms}.{rest:03}|ms{suffix}")),
                _ => {
                    let rate = 1.0 / count as f64;
                    out.line(format_args!("{prefix}gunicorn.request.duration:{ms}.{rest:03}|ms|@{rate:.9}{suffix}"));
                }
            }
        }
        out.line(format_args!("{prefix}gunicorn.workers:{workers}|g{suffix}"));
        out.done
    }
}

impl Told {
    fn of(snapshot: &Snapshot) -> Told {
        let metrics = &snapshot.metrics;
        let mut classes = metrics.refused;
        for (_, _, class, count) in metrics.by_label.iter() {
            let index = requests::CLASSES.iter().position(|known| *known == class).expect("one of them");
            classes[index] += count;
        }
        Told { requests: metrics.requests + metrics.refused_in_all(), classes, latency: metrics.latency() }
    }
}

/// Lines, packed.
#[derive(Default)]
struct Datagrams {
    done: Vec<String>,
}

impl Datagrams {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let line = line.to_string();
        match self.done.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= DATAGRAM_BYTES_MAX => {
                write!(last, "\n{line}").expect("a String takes everything");
            }
            _ => self.done.push(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Monotonic;
    use crate::observe::Labels;

    fn answered(snapshot: &mut Snapshot, status: u16, count: usize) {
        for _ in 0..count {
            snapshot.metrics.request(Labels::default(), status, Monotonic::now());
        }
    }

    #[test]
    fn each_request_is_told_once_and_shards_add_up() {
        let mut statsd = Statsd::new("shop.", "env:live");
        let (mut one, mut two) = (Box::<Snapshot>::default(), Box::<Snapshot>::default());
        two.shard = 1;
        answered(&mut one, 200, 3);
        answered(&mut two, 404, 1);
        two.metrics.refused(400);
        let told = statsd.datagrams(&[one.clone(), two.clone()], 2).join("\n");
        for line in [
            "shop.gunicorn.requests:5|c|#env:live",
            "shop.gunicorn.request.status.2xx:3|c|#env:live",
            "shop.gunicorn.request.status.4xx:2|c|#env:live",
            "shop.gunicorn.workers:2|g|#env:live",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} is not in {told}");
        }
        assert!(told.contains("shop.gunicorn.request.duration:0.0"), "{told}");
        // Nothing new, but for a shard that was not there the last time.
        answered(&mut two, 200, 1);
        let told = statsd.datagrams(&[one], 2).join("\n");
        assert_eq!(told, "shop.gunicorn.workers:2|g|#env:live");
        let told = statsd.datagrams(&[two], 1).join("\n");
        assert!(
            told.starts_with("shop.gunicorn.requests:1|c|#env:live\nshop.gunicorn.request.status.2xx:1|c"),
            "{told}"
        );
    }

    #[test]
    fn lines_are_packed_into_datagrams_that_pass_whole() {
        let mut out = Datagrams::default();
        for number in 0..1000 {
            out.line(format_args!("gunicorn.requests:{number}|c"));
        }
        assert!(out.done.len() > 10 && out.done.iter().all(|datagram| datagram.len() <= DATAGRAM_BYTES_MAX));
        assert_eq!(out.done.iter().map(|datagram| datagram.lines().count()).sum::<usize>(), 1000);
    }
}
