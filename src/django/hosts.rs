//! Who may ask for what: `DEBUG`, `ALLOWED_HOSTS`, `CSRF_TRUSTED_ORIGINS`.

use super::lint::Lint;
use super::site::Site;
use crate::config::HostPattern;

/// Names that a message lists; of more it tells how many.
const NAMES_SHOWN_MAX: usize = 5;

pub(super) fn contradictions(site: &Site<'_>, found: &mut Vec<Lint>) {
    let facts = site.facts;
    if facts.debug {
        found.push(Lint::new(
            "maitred.W001",
            "DEBUG is on: errors show code and settings to everybody, and memory grows with every query; set DEBUG = False",
        ));
    }
    if let Some(hosts) = &facts.allowed_hosts {
        allowed(site, hosts, found);
    }
    if let Some(origins) = &facts.csrf_trusted_origins {
        trusted(site, origins, found);
    }
    if facts.use_x_forwarded_host && !site.has_proxies() {
        found.push(Lint::new(
            "maitred.I034",
            "USE_X_FORWARDED_HOST has no effect: no proxy is trusted, so X-Forwarded-Host is dropped; remove it, or set trusted_proxies",
        ));
    }
}

fn allowed(site: &Site<'_>, hosts: &[String], found: &mut Vec<Lint>) {
    if hosts.is_empty() {
        if !site.facts.debug {
            found.push(Lint::new(
                "maitred.E030",
                "ALLOWED_HOSTS is empty and DEBUG is off, so every request is answered with 400; list the names of the site",
            ));
        }
        return;
    }
    let is_anybody = hosts.iter().any(|host| host == "*");
    if is_anybody && site.config.server.allowed_hosts.are_all() {
        found.push(Lint::new(
            "maitred.W031",
            "ALLOWED_HOSTS is \"*\", so links in mails and redirects can be made to lead anywhere; list the names of the site, or set \
             allowed_hosts in [server]",
        ));
    }
    let refused: Vec<_> = site
        .names
        .iter()
        .filter(|name| !is_local(name.text()) && !admits(hosts, name))
        .map(ToString::to_string)
        .collect();
    if !refused.is_empty() {
        let names = listed(&refused);
        found.push(Lint::new(
            "maitred.W032",
            format!("ALLOWED_HOSTS lacks {names}, for which this server has a certificate or a route: such requests are answered with 400; add them"),
        ));
    }
    let is_name = |host: &&String| !host.starts_with('.') && *host != "*" && !is_local(host);
    let unserved: Vec<_> =
        hosts.iter().filter(is_name).filter(|host| !site.config.server.allowed_hosts.admit(host)).cloned().collect();
    if !unserved.is_empty() {
        found.push(Lint::new(
            "maitred.W033",
            format!("ALLOWED_HOSTS has {}, and allowed_hosts of [server] refuses such requests with 421; add them there, or remove them here", listed(&unserved)),
        ));
    }
}

/// `django.http.request.validate_host`, also for all names below one.
fn admits(hosts: &[String], name: &HostPattern) -> bool {
    hosts.iter().map(|host| host.to_ascii_lowercase()).any(|host| match name {
        _ if host == "*" => true,
        HostPattern::Any => true,
        HostPattern::Exact(name) => match host.strip_prefix('.') {
            Some(domain) => name == domain || name.ends_with(&host),
            None => *name == host,
        },
        // Some name below it, or all of them.
        HostPattern::Suffix(suffix) => suffix.ends_with(&host) || host.ends_with(suffix.as_str()),
    })
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.starts_with('[') || host.starts_with("127.")
}

fn trusted(site: &Site<'_>, origins: &[String], found: &mut Vec<Lint>) {
    let (mut bare, mut plain, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
    for origin in origins {
        let Some((scheme, authority)) = origin.split_once("://") else {
            bare.push(origin.clone());
            continue;
        };
        let host = authority.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        let is_served = site.names.iter().any(|pattern| match pattern {
            HostPattern::Any => true,
            HostPattern::Exact(exact) => {
                exact == name || name.strip_prefix('*').is_some_and(|below| exact.ends_with(below))
            }
            HostPattern::Suffix(suffix) => name.ends_with(suffix.as_str()),
        });
        if is_served && scheme == "http" && site.has_tls() && !site.has_proxies() {
            plain.push(origin.clone());
        } else if !is_served && !site.names.is_empty() && !is_local(name) {
            foreign.push(origin.clone());
        }
    }
    if !bare.is_empty() {
        found.push(Lint::new(
            "maitred.W050",
            format!(
                "CSRF_TRUSTED_ORIGINS has {} without a scheme, which trusts nobody; write for example \"https://{}\"",
                listed(&bare),
                bare[0].escape_debug()
            ),
        ));
    }
    if !plain.is_empty() {
        found.push(Lint::new(
            "maitred.W051",
            format!("CSRF_TRUSTED_ORIGINS has {}, and this server speaks TLS for it: pages that came that way have an origin with https://; write that", listed(&plain)),
        ));
    }
    if !foreign.is_empty() {
        found.push(Lint::new(
            "maitred.I052",
            format!("CSRF_TRUSTED_ORIGINS trusts {}, which this server does not serve; remove them unless forms of other sites are to be taken", listed(&foreign)),
        ));
    }
}

/// Some of the names, quoted.
fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("\"{}\"", name.escape_debug())).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
