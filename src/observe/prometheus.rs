//! Prometheus' text format, version 0.0.4.
//!
//! Pure. Owns the syntax: HELP and TYPE once before a metric's samples, label values escaped.

use std::fmt::{Display, Write};
use std::time::Duration;

use super::latency::Latency;

/// What a metric's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    Histogram,
}

/// Bounds of the buckets of times, ms, with a tenth of one as the least.
const BUCKETS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// A page while it is written.
#[derive(Default)]
pub(super) struct Text {
    text: String,
}

impl Text {
    /// Begins a metric: its samples follow.
    pub fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> Metric<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a String takes everything");
        Metric { text: &mut self.text, name }
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// A metric whose samples are being written.
pub(super) struct Metric<'t> {
    text: &'t mut String,
    name: &'static str,
}

impl Metric<'_> {
    /// One sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// The samples of a histogram of times, in seconds.
    pub fn times(&mut self, labels: &[(&str, &str)], latency: &Latency) -> &mut Self {
        for us in BUCKETS_US {
            let count = latency.count_up_to(Duration::from_micros(us));
            self.line("_bucket", labels, Some(&seconds(Duration::from_micros(us))), count);
        }
        self.line("_bucket", labels, Some("+Inf"), latency.count());
        self.line("_sum", labels, None, seconds(latency.sum()));
        self.line("_count", labels, None, latency.count());
        self
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            self.text.push(before);
            before = ',';
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(self.text, value);
            self.text.push('"');
        }
        if before == ',' {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect("a String takes everything");
    }
}

/// As a number of seconds without needless digits.
pub(super) fn seconds(time: Duration) -> String {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Backslashes, quotes and line feeds are escaped; all else stands as it is.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_labels_and_histograms() {
        let mut text = Text::default();
        text.metric("a", Kind::Gauge, "One.").sample(&[], 3);
        text.metric("b", Kind::Counter, "Two.").sample(&[("x", "a\\\"\n\u{e9}"), ("y", "")], 1.5);
        let mut latency = Latency::default();
        latency.record(Duration::from_millis(3));
        text.metric("c_seconds", Kind::Histogram, "Three.").times(&[("k", "v")], &latency);
        let text = text.finish();
        let beginning = "# HELP a One.\n# TYPE a gauge\na 3\n# HELP b Two.\n# TYPE b counter\n\
                         b{x=\"a\\\\\\\"\\n\u{e9}\",y=\"\"} 1.5\n# HELP c_seconds Three.\n# TYPE c_seconds histogram\n\
                         c_seconds_bucket{k=\"v\",le=\"0.0001\"} 0\n";
        assert!(text.starts_with(beginning), "{text}");
        assert!(text.contains("c_seconds_bucket{k=\"v\",le=\"0.0025\"} 0\nc_seconds_bucket{k=\"v\",le=\"0.005\"} 1\n"));
        assert!(text.ends_with("le=\"10\"} 1\nc_seconds_bucket{k=\"v\",le=\"+Inf\"} 1\nc_seconds_sum{k=\"v\"} 0.003\nc_seconds_count{k=\"v\"} 1\n"));
    }

    #[test]
    fn seconds_have_no_needless_digits() {
        for (us, text) in [(0, "0"), (100, "0.0001"), (1_000_000, "1"), (10_000_000, "10"), (1_500_001, "1.500001")] {
            assert_eq!(seconds(Duration::from_micros(us)), text);
        }
    }
}
