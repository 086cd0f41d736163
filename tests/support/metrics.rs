//! The admin listener of a test's server, and its metrics: Prometheus' text format, read strictly. What breaks the format panics.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{Builder, Client, Response, Server};

/// With an admin listener on a port that the kernel chooses.
pub fn with_admin(builder: Builder) -> Builder {
    builder.section("[admin]\nlisten = '127.0.0.1:0'")
}

/// Where the server's log says that the admin listener is.
#[track_caller]
pub fn admin(server: &Server) -> SocketAddr {
    let line = server.wait_for_line("admin: listening on http://");
    line.split("http://").nth(1).and_then(|address| address.trim().parse().ok()).expect("an address")
}

/// Asks the admin listener.
#[track_caller]
pub fn ask(address: SocketAddr, path: &str) -> Response {
    let mut client = Client::connect(address);
    client.request("GET", path, "Connection: close\r\n");
    client.response("GET")
}

/// The server's metrics.
#[track_caller]
pub fn page(server: &Server) -> Page {
    let response = ask(admin(server), "/metrics");
    assert_eq!(response.status, 200);
    assert_eq!(response.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Page::parse(response.text())
}

/// A page that has been read.
pub struct Page {
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Page {
    /// Reads a page of version 0.0.4.
    #[track_caller]
    pub fn parse(text: &str) -> Page {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut samples = BTreeMap::new();
        let (mut helps, mut kinds) = (BTreeSet::new(), BTreeMap::new());
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help has a text");
                assert!(is_name(name) && !help.is_empty() && helps.insert(name.to_owned()), "{line}");
                current = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a kind");
                assert!(name == current && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}: a second time");
            } else {
                let (name, labels, value) = sample(line);
                let kind = kinds.get(&current).unwrap_or_else(|| panic!("{line}: before its type"));
                let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line}: among those of {current}"));
                match kind.as_str() {
                    "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                    _ => assert!(suffix.is_empty(), "{line}"),
                }
                assert!(kind != "counter" || current.ends_with("_total"), "{line}: a counter ends in _total");
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                assert!(samples.insert((name, labels), value).is_none(), "{line}: a second time");
            }
        }
        let page = Page { samples };
        for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            page.check_histogram(name);
        }
        page
    }

    /// The value of the one sample with this name and these labels (others are not looked at).
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.find(name, labels);
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0]
    }

    /// The sum of all samples with this name and these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).iter().sum()
    }

    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let wanted = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| of.get(*label).is_some_and(|found| found == value))
        };
        let found = self.samples.iter().filter(|((found, of), _)| found == name && wanted(of));
        found.map(|(_, value)| *value).collect()
    }

    /// Buckets are cumulative, end in +Inf, and that one is the count.
    fn check_histogram(&self, name: &str) {
        let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for ((found, labels), value) in &self.samples {
            if *found == format!("{name}_bucket") {
                let mut labels = labels.clone();
                let le = labels.remove("le").expect("a bucket has a bound");
                series.entry(labels).or_default().push((number(&le), *value));
            }
        }
        assert!(!series.is_empty(), "{name} has no buckets");
        for (labels, mut buckets) in series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
            let (bound, last) = *buckets.last().expect("not empty");
            let count = self.samples[&(format!("{name}_count"), labels.clone())];
            assert!(bound == f64::INFINITY && last == count, "{name}: {last} in all, {count} counted");
            assert!(self.samples.contains_key(&(format!("{name}_sum"), labels)));
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && text.chars().all(|c| c == '_' || c == ':' || c.is_ascii_alphanumeric())
}

fn number(text: &str) -> f64 {
    if text == "+Inf" { f64::INFINITY } else { text.parse().unwrap_or_else(|_| panic!("{text} is no number")) }
}

/// Name, labels and value of a line.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}: no value"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}: no label"));
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next().unwrap_or_else(|| panic!("{line}: a value does not end")) {
                    (at, '"') => break at + 1,
                    (_, '\\') => match characters.next() {
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, c @ ('\\' | '"'))) => value.push(c),
                        other => panic!("{line}: {other:?} after a backslash"),
                    },
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}: a label twice");
            rest = &after[end..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}: labels do not end"));
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}: no space before the value"));
    (name.to_owned(), labels, number(value))
}
