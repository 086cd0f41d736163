//! Held against Gunicorn with the same application: what it finds in its environ, what its calls come to, and what the client gets is the same
//! for each of some hundred raw requests, or differs in the way that `gunicorn/deviations.rs` gives a reason for.

mod gunicorn;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use gunicorn::deviations::{KEYS, RULES};
use gunicorn::peer::{self, Gunicorn};
use gunicorn::{Seen, ask, cases, differences, exchange};
use support::Builder;

/// Every case through both servers; what differs without a reason, and reasons for what does not differ.
fn findings(own: impl Fn(&cases::Case) -> Seen, peer: &Gunicorn) -> Vec<String> {
    let mut reasons: BTreeMap<&str, &str> = BTreeMap::new();
    for (case, expected) in RULES.iter().flat_map(|rule| rule.cases) {
        assert!(reasons.insert(case, expected).is_none(), "{case:?} stands under two rules");
    }
    let (mut findings, mut names, mut keys) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for case in cases::all(&ask(peer.address, "/names")) {
        let found = differences(&own(&case), &exchange(peer.address, &case), &mut keys).join("; ");
        let expected = reasons.remove(case.name.as_str()).unwrap_or_default();
        if found != expected {
            findings.push(format!("{}\n  found:  {found}\n  wanted: {expected}", case.name));
        }
        assert!(names.insert(case.name.clone()), "two cases are called {:?}", case.name);
    }
    findings.extend(reasons.keys().map(|case| format!("there is no case {case:?}")));
    let unused = KEYS.iter().filter(|(key, _)| !keys.contains(*key));
    findings.extend(unused.map(|(key, _)| format!("{key} no longer differs")));
    assert!(names.len() > 300, "{} cases", names.len());
    findings
}

#[test]
fn gunicorn_shows_the_application_and_the_client_the_same_or_there_is_a_reason() {
    if !peer::is_installed() {
        return;
    }
    let gunicorn = Gunicorn::start(&support::apps(), "compared:application", &["--threads", "1"], &[]);
    let server = Builder::app("compared:application").server_key("trusted_proxies = [\"127.0.0.1\"]").start();
    let findings = findings(|case| exchange(server.address, case), &gunicorn);
    assert!(findings.is_empty(), "{} cases:\n{}", findings.len(), findings.join("\n"));
}

/// What the configuration decides about the environ, for as many threads and workers as both have.
#[test]
fn threads_and_processes_are_told_as_gunicorn_tells_them() {
    if !peer::is_installed() {
        return;
    }
    for (workers, threads) in [(1, 2), (2, 2)] {
        let numbers = [workers, threads].map(|number: u32| number.to_string());
        let arguments = ["--workers", &numbers[0], "--threads", &numbers[1]];
        let gunicorn = Gunicorn::start(&support::apps(), "compared:application", &arguments, &[]);
        let server = Builder::app("compared:application").workers(workers).threads(threads).start();
        let [own, peer] = [server.address, gunicorn.address].map(|address| ask(address, "/environ"));
        for key in ["wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.version"] {
            assert!(own[key] == peer[key] && !own[key].is_null(), "{key}: {} | {}", own[key], peer[key]);
        }
    }
}

/// The variable that says where an application is mounted.
#[test]
fn script_name_is_what_it_is_with_gunicorn() {
    if !peer::is_installed() {
        return;
    }
    let mounted = [("SCRIPT_NAME", "/a/b")];
    let gunicorn = Gunicorn::start(&support::apps(), "compared:application", &[], &mounted);
    let server = Builder::app("compared:application").environment("SCRIPT_NAME", "/a/b").start();
    for target in ["/a/b/environ?c=d", "/a/b", "/a/b/", "/a/b//c%20d/a/b"] {
        let [own, peer] = [server.address, gunicorn.address].map(|address| ask(address, target));
        for key in ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI"] {
            assert!(own[key] == peer[key] && own[key].is_string(), "{key}: {} | {}", own[key], peer[key]);
        }
    }
    // Beside it Gunicorn fails.
    assert_eq!((server.get("/environ").status, server.get("/a/bc").status), (404, 404));
}

#[test]
fn every_deviation_from_gunicorn_has_its_reason_in_the_documentation() {
    let page = std::fs::read_to_string(support::repository().join("docs/wsgi.md")).expect("it is there");
    for rule in RULES {
        assert!(!rule.cases.is_empty() && page.contains(rule.why), "docs/wsgi.md does not say: {}", rule.why);
    }
    for (key, _) in KEYS {
        assert!(page.contains(&format!("`{key}`")), "docs/wsgi.md does not speak of {key}");
    }
}
