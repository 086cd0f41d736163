//! What the project says of HTTPS: redirects, the header that tells of it, HSTS, cookies.

use super::lint::Lint;
use super::site::Site;

/// The key under which the server itself tells the scheme beside `wsgi.url_scheme`.
const FORWARDED_PROTO: &str = "HTTP_X_FORWARDED_PROTO";
/// Keys that nobody but a trusted proxy can make.
const FORWARDED: &str = "HTTP_X_FORWARDED_";

pub(super) fn contradictions(site: &Site<'_>, found: &mut Vec<Lint>) {
    let facts = site.facts;
    // Requests whose scheme is https reach the application.
    let is_secure = site.has_tls() || site.has_proxies();
    if facts.ssl_redirect && !is_secure && facts.ssl_host.as_deref().is_none_or(str::is_empty) {
        found.push(Lint::new(
            "maitred.E040",
            "SECURE_SSL_REDIRECT is on and no listener speaks TLS, so every request is sent on to where nobody answers, or around in circles; add \
             a listener with TLS, or name the proxy that speaks it in trusted_proxies",
        ));
    }
    if let Some([header, value]) = facts.proxy_ssl_header.as_deref() {
        proxy_header(site, header, value, found);
    }
    match facts.hsts_seconds {
        Some(1..) if !is_secure => found.push(Lint::new(
            "maitred.I044",
            "SECURE_HSTS_SECONDS has no effect: no listener speaks TLS, and no proxy is trusted to have spoken it; add a listener with TLS, or \
             set trusted_proxies",
        )),
        Some(1..) if site.config.tls.iter().any(|entry| entry.policy.hsts.is_some()) => found.push(Lint::new(
            "maitred.W043",
            "SECURE_HSTS_SECONDS and hsts in [[tls]] are both set: the application's word counts for its own pages, and the server's for all others; \
             set SECURE_HSTS_SECONDS = 0",
        )),
        _ => {}
    }
    for (cookie, setting, secure, ids) in [
        ("the session's", "SESSION_COOKIE_SECURE", facts.session_cookie_secure, ["maitred.W045", "maitred.W046"]),
        ("the CSRF", "CSRF_COOKIE_SECURE", facts.csrf_cookie_secure, ["maitred.W047", "maitred.W048"]),
    ] {
        match secure {
            Some(false) if site.has_tls() => found.push(Lint::new(
                ids[0],
                format!("{setting} is off although this server speaks TLS, so {cookie} cookie is sent without encryption too; set {setting} = True"),
            )),
            Some(true) if !is_secure => found.push(Lint::new(
                ids[1],
                format!(
                    "{setting} is on and no listener speaks TLS, so browsers do not send {cookie} cookie back; add a listener with TLS, name the \
                     proxy that speaks it in trusted_proxies, or set {setting} = False"
                ),
            )),
            _ => {}
        }
    }
}

fn proxy_header(site: &Site<'_>, header: &str, value: &str, found: &mut Vec<Lint>) {
    if !header.starts_with(FORWARDED) {
        found.push(Lint::new(
            "maitred.W041",
            format!(
                "SECURE_PROXY_SSL_HEADER is {0}, which every client can send, and so claim to be secure; remove it: the server tells the scheme itself",
                header.escape_debug()
            ),
        ));
    } else if header == FORWARDED_PROTO
        && value == "https"
        && !site.has_tls()
        && let Some(proxies) = site.proxies_to_trust()
    {
        found.push(Lint::new(
            "maitred.W049",
            format!(
                "SECURE_PROXY_SSL_HEADER tells of a proxy that speaks TLS, and none is trusted: X-Forwarded-Proto is dropped, every request counts as plain, \
                 and CSRF checks fail; name the proxy in [server], as in trusted_proxies = {proxies}"
            ),
        ));
    } else if header == FORWARDED_PROTO && value == "https" {
        found.push(Lint::new(
            "maitred.I042",
            "SECURE_PROXY_SSL_HEADER is not needed: the server tells the application the scheme itself, with and without a proxy; remove it",
        ));
    } else if header == FORWARDED_PROTO || !site.has_proxies() {
        found.push(Lint::new(
            "maitred.W041",
            format!(
                "SECURE_PROXY_SSL_HEADER expects {} to be \"{}\", which never is; remove it: the server tells the scheme itself",
                header.escape_debug(),
                value.escape_debug()
            ),
        ));
    }
}
