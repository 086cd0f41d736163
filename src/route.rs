//! Host and path → route: a pure table.
//!
//! Owns the order in which routes are tried, and nothing of what they do. Built at start and at reload by every shard for itself, read
//! for every request; a lookup allocates nothing, and its cost is bounded: expressions run in time linear in the path's length.

use std::collections::HashMap;

use regex::bytes::Regex;

use crate::config::{HostPattern, PathPattern, RouteConfig, compile};

/// A route's place in the slice that the table was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(u32);

impl RouteId {
    /// Index into the slice that the table was built from.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Routes, arranged for lookups.
///
/// A host's routes are tried before those of a wildcard, a longer wildcard's before a shorter one's, and those for any
/// host last. Among the routes of one pattern the order is nginx's: an exact path wins; then the longest prefix is
/// found, compared as plain strings like an nginx `location`, and taken at once if it says so (`^~` in nginx); then
/// expressions are tried in their order; and if none matches, the prefix is taken. A host for which no path matches goes
/// on to the next pattern, so a route without a host holds for every host.
#[derive(Debug, Clone, Default)]
pub struct Table {
    any: Paths,
    exact: HashMap<Box<[u8]>, Paths>,
    /// Keys begin with a dot.
    suffix: HashMap<Box<[u8]>, Paths>,
}

/// Longest name in the DNS, bytes, with its dots (RFC 1035 §2.3.4); no longer host matches anything but [`HostPattern::Any`].
const HOST_BYTES_MAX: usize = 255;

impl Table {
    /// Arranges `routes`. Of two routes with the same host and path the first counts.
    ///
    /// # Panics
    /// With 2³² routes or more, or an expression that `compile` refuses: the configuration rules both out.
    #[must_use]
    pub fn new(routes: &[RouteConfig]) -> Table {
        let mut table = Table::default();
        for (index, route) in routes.iter().enumerate() {
            let id = RouteId(u32::try_from(index).expect("the configuration bounds the number of routes"));
            let paths = match &route.host {
                HostPattern::Any => &mut table.any,
                HostPattern::Exact(host) => table.exact.entry(lower(host)).or_default(),
                HostPattern::Suffix(suffix) => table.suffix.entry(lower(suffix)).or_default(),
            };
            paths.add(&route.path, id);
        }
        let hosts = table.exact.values_mut().chain(table.suffix.values_mut());
        hosts.chain([&mut table.any]).for_each(|paths| paths.prefixes.link());
        table
    }

    /// The route for a request. `host` is the value of the Host field or the authority of the target, with or without
    /// port, in any case; `path` is the normalised path of the target.
    #[must_use]
    pub fn lookup(&self, host: Option<&[u8]>, path: &[u8]) -> Option<RouteId> {
        if self.exact.is_empty() && self.suffix.is_empty() {
            return self.any.find(path);
        }
        let mut buffer = [0; HOST_BYTES_MAX];
        host.and_then(|host| canonical(host, &mut buffer))
            .and_then(|host| self.lookup_host(host, path))
            .or_else(|| self.any.find(path))
    }

    fn lookup_host(&self, host: &[u8], path: &[u8]) -> Option<RouteId> {
        if let Some(id) = self.exact.get(host).and_then(|paths| paths.find(path)) {
            return Some(id);
        }
        // A wildcard stands for at least one byte, so a leading dot opens no suffix.
        memchr::memchr_iter(b'.', host)
            .filter(|&at| at > 0 && !self.suffix.is_empty())
            .find_map(|at| self.suffix.get(&host[at..])?.find(path))
    }
}

fn lower(name: &str) -> Box<[u8]> {
    name.to_ascii_lowercase().into_bytes().into()
}

/// `host` in lower case, without port and without the root's dot; `None` if it is no host that a pattern could name.
fn canonical<'b>(host: &[u8], buffer: &'b mut [u8; HOST_BYTES_MAX]) -> Option<&'b [u8]> {
    let end = if host.first() == Some(&b'[') {
        memchr::memchr(b']', host)? + 1
    } else {
        memchr::memchr(b':', host).unwrap_or(host.len())
    };
    let host = &host[..end];
    let host = host.strip_suffix(b".").unwrap_or(host);
    let name = buffer.get_mut(..host.len())?;
    name.copy_from_slice(host);
    name.make_ascii_lowercase();
    Some(name)
}

/// The paths of one host pattern.
#[derive(Debug, Clone, Default)]
struct Paths {
    exact: HashMap<Box<[u8]>, RouteId>,
    prefixes: Prefixes,
    /// In the order of the configuration.
    expressions: Vec<(Regex, RouteId)>,
}

impl Paths {
    fn add(&mut self, path: &PathPattern, id: RouteId) {
        match path {
            PathPattern::Prefix { path, before_regex } => self.prefixes.add(path.as_bytes(), id, *before_regex),
            PathPattern::Exact(path) => {
                self.exact.entry(path.as_bytes().into()).or_insert(id);
            }
            PathPattern::Regex(expression) => {
                let compiled = compile(expression).expect("the configuration has compiled it before");
                self.expressions.push((compiled, id));
            }
        }
    }

    fn find(&self, path: &[u8]) -> Option<RouteId> {
        if !self.exact.is_empty()
            && let Some(id) = self.exact.get(path)
        {
            return Some(*id);
        }
        let prefix = self.prefixes.longest(path);
        if self.expressions.is_empty() || prefix.is_some_and(|entry| entry.before_regex) {
            return prefix.map(|entry| entry.id);
        }
        let found = self.expressions.iter().find(|(expression, _)| expression.is_match(path)).map(|(_, id)| *id);
        found.or(prefix.map(|entry| entry.id))
    }
}

/// The path prefixes of one host pattern.
#[derive(Debug, Clone, Default)]
struct Prefixes {
    /// Sorted by path, without duplicates once linked.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    path: Box<[u8]>,
    id: RouteId,
    before_regex: bool,
    /// The longest other entry whose path is a prefix of this one's.
    parent: Option<usize>,
}

impl Prefixes {
    fn add(&mut self, path: &[u8], id: RouteId, before_regex: bool) {
        self.entries.push(Entry { path: path.into(), id, before_regex, parent: None });
    }

    fn link(&mut self) {
        // The sort is stable, so of two equal paths the first one stays.
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
        self.entries.dedup_by(|later, earlier| later.path == earlier.path);
        let mut open: Vec<usize> = Vec::new();
        for index in 0..self.entries.len() {
            while open.last().is_some_and(|&top| !self.entries[index].path.starts_with(&self.entries[top].path)) {
                open.pop();
            }
            self.entries[index].parent = open.last().copied();
            open.push(index);
        }
    }

    /// In sorted order everything between a prefix of `path` and `path` itself begins with that prefix. So the longest
    /// prefix is the last entry that is not greater than `path`, or one of the entries that this one begins with.
    fn longest(&self, path: &[u8]) -> Option<&Entry> {
        let after = self.entries.partition_point(|entry| *entry.path <= *path);
        let mut candidate = after.checked_sub(1);
        while let Some(entry) = candidate.map(|index| &self.entries[index]) {
            if path.starts_with(&entry.path) {
                return Some(entry);
            }
            candidate = entry.parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Action;
    use proptest::prelude::*;

    fn route(host: HostPattern, path: &str) -> RouteConfig {
        with(host, PathPattern::prefix(path))
    }

    fn with(host: HostPattern, path: PathPattern) -> RouteConfig {
        RouteConfig::new(host, path, Action::App, 0)
    }

    fn regex(expression: &str) -> PathPattern {
        PathPattern::Regex(expression.to_owned())
    }

    fn exact(host: &str) -> HostPattern {
        HostPattern::Exact(host.to_owned())
    }

    fn suffix(host: &str) -> HostPattern {
        HostPattern::Suffix(host.to_owned())
    }

    #[test]
    fn host_comes_first_then_the_longest_path() {
        let table = Table::new(&[
            route(HostPattern::Any, "/"),
            route(HostPattern::Any, "/static/"),
            route(exact("a.example.com"), "/api/"),
            route(suffix(".example.com"), "/api/"),
            route(suffix(".b.example.com"), "/"),
            route(exact("[::1]"), "/"),
            route(HostPattern::Any, "/static/"),
        ]);
        for (host, path, expected) in [
            (None, "/", Some(0)),
            (None, "/static", Some(0)),
            (None, "/static/a.css", Some(1)),
            (Some("other"), "/static/", Some(1)),
            (Some("a.example.com"), "/api/x", Some(2)),
            (Some("A.Example.COM:8000"), "/api/x", Some(2)),
            (Some("a.example.com."), "/api/x", Some(2)),
            (Some("a.example.com"), "/static/x", Some(1)),
            (Some("c.example.com"), "/api/x", Some(3)),
            (Some("c.d.example.com"), "/api/x", Some(3)),
            (Some("x.b.example.com"), "/api/x", Some(4)),
            (Some("b.example.com"), "/api/x", Some(3)),
            (Some("example.com"), "/api/x", Some(0)),
            (Some(".example.com"), "/api/x", Some(0)),
            (Some("[::1]:80"), "/", Some(5)),
            (Some("[::1"), "/", Some(0)),
            (Some(""), "/", Some(0)),
            (Some("a.example.com"), "*", None),
        ] {
            let found = table.lookup(host.map(str::as_bytes), path.as_bytes());
            assert_eq!(found.map(RouteId::index), expected, "{host:?} {path}");
        }
    }

    #[test]
    fn no_host_is_too_long_to_be_answered() {
        let table = Table::new(&[route(HostPattern::Any, "/"), route(exact("a"), "/")]);
        let host = vec![b'a'; 10 * HOST_BYTES_MAX];
        assert_eq!(table.lookup(Some(&host), b"/").map(RouteId::index), Some(0));
    }

    #[test]
    fn exact_paths_then_firm_prefixes_then_expressions_then_prefixes() {
        let table = Table::new(&[
            route(HostPattern::Any, "/"),
            with(HostPattern::Any, regex("\\.png$")),
            with(HostPattern::Any, regex("^/a/(.*)$")),
            with(HostPattern::Any, PathPattern::Prefix { path: "/firm/".to_owned(), before_regex: true }),
            with(HostPattern::Any, PathPattern::Exact("/x.png".to_owned())),
            with(exact("h"), regex("^/only-h$")),
            route(HostPattern::Any, "/firm/not/"),
        ]);
        for (host, path, expected) in [
            ("", "/", 0),
            ("", "/b.png", 1),
            ("", "/a/b.png", 1),
            ("", "/a/b", 2),
            ("", "/firm/b.png", 3),
            ("", "/firm/not/b.png", 1),
            ("", "/firm/not/b", 6),
            ("", "/x.png", 4),
            ("", "/x.png/", 0),
            ("h", "/only-h", 5),
            ("h", "/only-h/", 0),
            ("other", "/only-h", 0),
            ("h", "/x.png", 4),
        ] {
            let found = table.lookup(Some(host.as_bytes()), path.as_bytes());
            assert_eq!(found.map(RouteId::index), Some(expected), "{host} {path}");
        }
    }

    /// The rule as it is told in [`Table`]'s documentation, with nothing arranged beforehand.
    fn naive(routes: &[RouteConfig], host: Option<&str>, path: &str) -> Option<usize> {
        let rank = |route: &RouteConfig| match (&route.host, host) {
            (HostPattern::Any, _) => Some(0),
            (HostPattern::Exact(name), Some(host)) if name == host => Some(usize::MAX),
            (HostPattern::Suffix(end), Some(host)) if host.len() > end.len() && host.ends_with(end) => Some(end.len()),
            _ => None,
        };
        let mut ranks: Vec<_> = routes.iter().filter_map(rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks.into_iter().rev().find_map(|wanted| {
            let of_host = || routes.iter().enumerate().filter(move |(_, route)| rank(route) == Some(wanted));
            let first = |wins: &dyn Fn(&PathPattern) -> bool| {
                of_host().find(|(_, route)| wins(&route.path)).map(|(index, _)| index)
            };
            let prefixes = of_host().filter_map(|(index, route)| match &route.path {
                PathPattern::Prefix { path: prefix, before_regex } if path.starts_with(prefix) => {
                    Some((prefix.len(), std::cmp::Reverse(index), *before_regex))
                }
                _ => None,
            });
            let prefix = prefixes.max().map(|(_, std::cmp::Reverse(index), firm)| (index, firm));
            first(&|pattern| matches!(pattern, PathPattern::Exact(exact) if exact == path))
                .or(prefix.filter(|(_, firm)| *firm).map(|(index, _)| index))
                .or_else(|| first(&|pattern| matches!(pattern, PathPattern::Regex(text) if compile(text).unwrap().is_match(path.as_bytes()))))
                .or(prefix.map(|(index, _)| index))
        })
    }

    fn hosts() -> impl Strategy<Value = HostPattern> {
        prop_oneof![
            Just(HostPattern::Any),
            "[ab](\\.[ab]){0,2}".prop_map(HostPattern::Exact),
            "(\\.[ab]){1,3}".prop_map(HostPattern::Suffix),
        ]
    }

    fn paths() -> impl Strategy<Value = PathPattern> {
        prop_oneof![
            6 => ("/[ab/]{0,4}", any::<bool>()).prop_map(|(path, before_regex)| PathPattern::Prefix { path, before_regex }),
            2 => "/[ab/]{0,3}".prop_map(PathPattern::Exact),
            1 => "\\^/[ab.]{0,3}|[ab]{1,2}\\$".prop_map(PathPattern::Regex),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_the_rule(
            routes in proptest::collection::vec((hosts(), paths()), 0..12),
            host in proptest::option::of("[ab](\\.[ab]){0,3}"),
            path in "/[ab/]{0,6}",
        ) {
            let routes: Vec<_> = routes.into_iter().map(|(host, path)| with(host, path)).collect();
            let found = Table::new(&routes).lookup(host.as_deref().map(str::as_bytes), path.as_bytes());
            prop_assert_eq!(found.map(RouteId::index), naive(&routes, host.as_deref(), &path));
        }

        #[test]
        fn takes_any_bytes(host in proptest::collection::vec(any::<u8>(), 0..300), path in proptest::collection::vec(any::<u8>(), 0..20)) {
            let table = Table::new(&[route(exact("a"), "/"), route(suffix(".a"), "/")]);
            let _ = table.lookup(Some(&host), &path);
        }
    }
}
