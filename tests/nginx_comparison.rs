//! Held against nginx on the same document root: each of some hundred raw requests gets the same status, the same body and the same fields that
//! matter from both servers, or another answer that `comparison/deviations.rs` names with the section which says that it is right.

mod comparison;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use comparison::deviations::RULES;
use comparison::nginx::{self, Nginx};
use comparison::{Case, cases, root, summary};
use support::Builder;

/// The entity tags of `/letters.txt` and `/large.bin`.
fn tags(address: SocketAddr) -> [String; 2] {
    ["/letters.txt", "/large.bin"].map(|path| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (responses, _) = Case::new(path.to_owned(), request).ask(address, &Default::default());
        responses[0].field("etag").expect("a file has a tag").to_owned()
    })
}

#[test]
fn nginx_answers_the_same_or_the_rfc_says_that_ours_is_right() {
    let Some(binary) = nginx::find() else {
        eprintln!("not shown: nginx is not installed (on Debian: apt-get install nginx-light)");
        return;
    };
    let folder = root::make();
    let root = folder.path().join("root");
    let nginx = Nginx::start(&binary, &root);
    let server = Builder::bare().static_route("/", &root, "").start();
    let (own_tags, peer_tags) = (tags(server.address), tags(nginx.address));

    let mut deviations: BTreeMap<&str, &str> = BTreeMap::new();
    for (case, expected) in RULES.iter().flat_map(|rule| rule.cases) {
        assert!(deviations.insert(case, expected).is_none(), "{case:?} stands under two rules");
    }
    let (mut findings, mut seen) = (Vec::new(), BTreeSet::new());
    let all = cases::all();
    for case in &all {
        assert!(seen.insert(&case.name), "two cases are called {:?}", case.name);
        let own = summary(true, &case.ask(server.address, &own_tags));
        let peer = summary(false, &case.ask(nginx.address, &peer_tags));
        match deviations.remove(case.name.as_str()) {
            None if own == peer => {}
            Some(expected) if own == expected && own != peer => {}
            Some(_) if own == peer => findings.push(format!("{}\n  no longer differs: {own}", case.name)),
            expected => {
                let expected = expected.map(|expected| format!("\n  wanted:  {expected}")).unwrap_or_default();
                findings.push(format!("{}\n  maitred: {own}\n  nginx:   {peer}{expected}", case.name));
            }
        }
    }
    findings.extend(deviations.keys().map(|case| format!("there is no case {case:?}")));
    assert!(findings.is_empty(), "{} of {} cases:\n{}", findings.len(), all.len(), findings.join("\n"));
    assert!(all.len() > 500);
}

#[test]
fn every_deviation_names_its_reason() {
    for rule in RULES {
        assert!(rule.section.contains('§') || rule.section.starts_with("docs/"), "{}", rule.section);
        assert!(!rule.why.is_empty() && !rule.cases.is_empty(), "{}", rule.section);
    }
}
