//! Requests by route, method and class of status.
//!
//! Owns the counters and which route has which. Their number is bounded by the configuration: a method that is none of HTTP's counts as
//! `other`, a path counts under its route's. Routes that a reload takes away keep their counters, for counters never go back.

use crate::base::bounds::ROUTES_MAX;

/// Methods that are told apart, in the order of `http::Method`.
pub const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "other"];
/// Classes of statuses; the last is for those above 599, which applications make up.
pub(super) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The class of a status.
pub(super) fn class(status: u16) -> usize {
    usize::from(status / 100).wrapping_sub(1).min(CLASSES.len() - 1)
}

/// A route as its requests are labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLabel {
    /// The host's name or pattern; empty for any host.
    pub host: String,
    /// The path.
    pub path: String,
}

type Row = [[u64; CLASSES.len()]; METHODS.len()];

/// The counters.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Those of requests for which there is no route.
    unrouted: Row,
    labels: Vec<RouteLabel>,
    /// One for each label.
    rows: Vec<Row>,
    /// The label of each route that is served now.
    current: Vec<usize>,
}

impl Requests {
    /// These are the routes from now on, in this order.
    pub fn set_routes(&mut self, labels: impl Iterator<Item = RouteLabel>) {
        self.current = labels.map(|label| self.index_of(label)).collect();
    }

    /// Counts a request of a route of that list.
    pub fn count(&mut self, route: Option<usize>, method: usize, status: u16) {
        let known = route.and_then(|route| self.current.get(route)).and_then(|&index| self.rows.get_mut(index));
        let row = known.unwrap_or(&mut self.unrouted);
        row[method.min(METHODS.len() - 1)][class(status)] += 1;
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Requests) {
        add_row(&mut self.unrouted, &other.unrouted);
        for (label, row) in other.labels.iter().zip(&other.rows) {
            let index = self.index_of(label.clone());
            match self.rows.get_mut(index) {
                Some(own) => add_row(own, row),
                None => add_row(&mut self.unrouted, row),
            }
        }
    }

    /// All counters that are not zero: route (`None`: no route), method, class, count.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<&RouteLabel>, &'static str, &'static str, u64)> {
        let routed = self.labels.iter().map(Some).zip(&self.rows);
        std::iter::once((None, &self.unrouted)).chain(routed).flat_map(|(label, row)| {
            METHODS.iter().zip(row).flat_map(move |(method, counts)| {
                let counts = CLASSES.iter().zip(counts).filter(|(_, count)| **count > 0);
                counts.map(move |(class, count)| (label, *method, *class, *count))
            })
        })
    }

    /// The index of a label, which gets a row if it is new and there is room for it.
    fn index_of(&mut self, label: RouteLabel) -> usize {
        if let Some(index) = self.labels.iter().position(|known| *known == label) {
            return index;
        }
        if self.labels.len() >= 2 * ROUTES_MAX {
            return usize::MAX;
        }
        self.labels.push(label);
        self.rows.push(Row::default());
        self.labels.len() - 1
    }
}

fn add_row(own: &mut Row, other: &Row) {
    for (own, other) in own.iter_mut().flatten().zip(other.iter().flatten()) {
        *own += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(path: &str) -> RouteLabel {
        RouteLabel { host: String::new(), path: path.to_owned() }
    }

    fn all(requests: &Requests) -> Vec<(String, &str, &str, u64)> {
        let path = |label: Option<&RouteLabel>| label.map_or("-".to_owned(), |label| label.path.clone());
        requests.iter().map(|(label, method, class, count)| (path(label), method, class, count)).collect()
    }

    #[test]
    fn counters_outlive_their_routes_and_add_up() {
        let mut one = Requests::default();
        one.count(Some(0), 0, 200);
        one.set_routes([label("/a"), label("/b")].into_iter());
        one.count(Some(1), 2, 404);
        one.set_routes([label("/b"), label("/c")].into_iter());
        one.count(Some(0), 2, 404);
        one.count(Some(7), 99, 700);
        let mut other = Requests::default();
        other.set_routes([label("/c")].into_iter());
        other.count(Some(0), 9, 99);
        one.add(&other);
        let expected =
            [("-", "GET", "2xx", 1), ("-", "other", "other", 1), ("/b", "POST", "4xx", 2), ("/c", "other", "other", 1)];
        assert_eq!(all(&one), expected.map(|(path, method, class, count)| (path.to_owned(), method, class, count)));
    }

    #[test]
    fn labels_are_bounded() {
        let mut requests = Requests::default();
        for round in 0..4 {
            requests.set_routes((0..ROUTES_MAX).map(|n| label(&format!("/{round}/{n}"))));
        }
        assert_eq!(requests.labels.len(), 2 * ROUTES_MAX);
        requests.count(Some(0), 0, 200);
        assert_eq!(all(&requests), [("-".to_owned(), "GET", "2xx", 1)]);
    }
}
