//! Answers that become other answers within the server: redirects that the application asks for, and error pages.
//!
//! Owns what is kept of a request for that, and the bounds of it: ten redirects, one page. The application's orders are read by
//! `http::accel`. Called by `answer` and `respond`.

use super::answer::Facts;
use super::connection::{Connection, Next};
use super::output::Gone;
use crate::base::bounds::{INTERNAL_REDIRECTS_MAX, TARGET_BYTES_MAX};
use crate::config::{ErrorPage, Priority};
use crate::http::accel::{self, Accel};
use crate::http::app::AppFields;
use crate::http::head::{self, Head};
use crate::http::target::{self, PathQuery};
use crate::http::{BodyFraming, Fields, Method, Parse, Target, template};
use crate::response::Response;

/// What is kept of the request in hand for what may become of it.
#[derive(Default)]
pub(super) struct Held {
    /// The request's head; empty where no route of the site could need it.
    head: Vec<u8>,
    /// Redirects within the server so far.
    redirects: usize,
    /// The request was led to a file or a route that its client did not name.
    is_inner: bool,
    /// The error for whose page the application is being asked: the answer if it has none.
    error: Option<Response>,
    /// Field lines that the answer keeps of those in whose place it stands.
    kept: Vec<u8>,
    /// The charset that the application has ordered; empty: none.
    charset: Vec<u8>,
}

/// Where an answer of the application leads, if not to the client.
pub(super) enum Detour {
    /// To another target.
    Redirect(Vec<u8>),
    /// To a file, by its path.
    File(Vec<u8>),
    /// To the page for a status.
    Page(u16),
}

impl Held {
    pub fn new(head: &[u8]) -> Held {
        Held { head: head.to_vec(), ..Held::default() }
    }

    /// Whether a response is not to tell the names that it was found by.
    pub fn is_inner(&self) -> bool {
        self.is_inner
    }

    /// The status with which the application's page is sent.
    pub fn page_status(&self) -> Option<u16> {
        self.error.as_ref().map(|error| error.status)
    }

    /// Makes `fields` those of the answer.
    pub fn finish(&self, status: u16, fields: &mut Vec<u8>) {
        if !self.kept.is_empty() {
            accel::merge(fields, &self.kept, status);
        }
        if !self.charset.is_empty() {
            accel::set_charset(fields, &self.charset);
        }
    }
}

impl Connection {
    /// Where the answer with these fields leads. Its rate and charset are taken over on the way.
    pub(super) fn detour(&mut self, scanned: &AppFields<'_>, status: u16) -> Option<Detour> {
        if scanned.has_orders {
            let accel = Accel::of(scanned.fields);
            if let Some(rate) = accel.limit_rate {
                self.output.set_rate(rate, self.limit_rate_after());
            }
            if let Some(charset) = accel.charset {
                self.held.get_or_insert_default().charset = charset.to_vec();
            }
            let detour = match (accel.redirect, accel.sendfile) {
                (Some(target), _) => Some(Detour::Redirect(target.to_vec())),
                (None, Some(path)) => Some(Detour::File(path.to_vec())),
                (None, None) => None,
            };
            if detour.is_some() {
                self.keep(&accel::kept(scanned.fields));
                return detour;
            }
        }
        if self.held.as_ref().is_some_and(|held| held.error.is_some()) {
            // Only a page that is well is one.
            return (status != 200).then_some(Detour::Page(status));
        }
        let extras = self.extras()?;
        if status < 400 || !extras.intercept_errors || extras.pages.find(status).is_none() {
            return None;
        }
        self.keep(&accel::kept_by_page(scanned.fields));
        Some(Detour::Page(status))
    }

    /// Keeps `lines` for the answer, over earlier ones.
    fn keep(&mut self, lines: &[u8]) {
        accel::merge(&mut self.held.get_or_insert_default().kept, lines, 200);
    }

    /// Goes where an answer of the application leads. The answer itself was dropped.
    pub(super) async fn follow(&mut self, detour: Detour, facts: Facts) -> Result<Next, Gone> {
        match detour {
            Detour::Redirect(target) => self.redirect_within(&target, facts).await,
            Detour::File(path) => self.send_named_file(&path, facts).await,
            Detour::Page(status) => self.error(facts, status, "").await,
        }
    }

    async fn redirect_within(&mut self, target: &[u8], facts: Facts) -> Result<Next, Gone> {
        let shard = self.shard.number;
        let Some(held) = self.held.as_deref_mut().filter(|held| !held.head.is_empty()) else {
            tracing::error!(shard, "X-Accel-Redirect is only followed where a route has internal = true");
            return self.error(facts, 500, "The application failed.").await;
        };
        held.redirects += 1;
        held.is_inner = true;
        let shown = String::from_utf8_lossy(target);
        if held.redirects > INTERNAL_REDIRECTS_MAX {
            tracing::error!(shard, target = %shown, "X-Accel-Redirect leads in a circle");
            return self.error(facts, 500, "The application failed.").await;
        }
        let bytes = held.head.clone();
        let head = reparsed(&bytes);
        let site = self.shard.site.borrow().clone();
        let host = head.authority.map(|authority| authority.host.as_bytes());
        let uri = as_target(target);
        let route = uri.as_ref().and_then(|uri| site.route(host, path_query(uri).path).ok().flatten());
        let (Some(uri), Some(route)) = (&uri, route) else {
            tracing::warn!(shard, target = %shown, "X-Accel-Redirect leads nowhere");
            return self.error(facts, 404, "There is nothing here.").await;
        };
        self.extras.replace(site.extras(route).cloned());
        let head = within(&head, uri);
        let facts = Facts { method: head.method, ..facts };
        Box::pin(self.handle(&head, site.inner_handler(route), site.max_body(route), facts)).await
    }

    async fn send_named_file(&mut self, path: &[u8], facts: Facts) -> Result<Next, Gone> {
        let extras = self.extras();
        let path = decoded(path);
        let found = extras.as_ref().and_then(|extras| extras.sendfile_root(&path));
        let held = self.held.as_deref_mut().filter(|held| !held.head.is_empty());
        let (Some((root, name)), Some(held)) = (found, held) else {
            let path = String::from_utf8_lossy(&path);
            tracing::warn!(shard = self.shard.number, %path, "X-Sendfile names no file beneath the route's sendfile_root");
            return self.error(facts, 404, "There is nothing here.").await;
        };
        held.is_inner = true;
        let bytes = held.head.clone();
        let mut uri = "/".to_owned();
        template::encode_decoded(&mut uri, name);
        let head = within(&reparsed(&bytes), &uri);
        Box::pin(self.static_file(&head, root, "/", 0, Facts { method: head.method, ..facts })).await
    }

    /// Answers with a response of the server's own, or with the page that stands in its place.
    pub(super) async fn answer_own(&mut self, response: Response, facts: Facts) -> Result<Next, Gone> {
        if let Some(error) = self.held.as_deref_mut().and_then(|held| held.error.take()) {
            // The application was asked for a page, and failed.
            return self.respond(error, facts).await;
        }
        let extras = self.extras().filter(|_| response.status >= 400);
        match extras.as_ref().and_then(|extras| extras.pages.find(response.status)) {
            None => self.respond(response, facts).await,
            Some(ErrorPage::File(page)) => self.respond(response.with_page(page), facts).await,
            Some(ErrorPage::App(target)) => Box::pin(self.ask_for_page(target, response, facts)).await,
        }
    }

    /// The same for a request that was not understood or not read to its end: no application is asked about it.
    pub(super) fn page_at_hand(&self, response: Response) -> Response {
        let extras = self.extras();
        match extras.as_ref().and_then(|extras| extras.pages.find(response.status)) {
            Some(ErrorPage::File(page)) => response.with_page(page),
            Some(ErrorPage::App(_)) | None => response,
        }
    }

    async fn ask_for_page(&mut self, target: &str, response: Response, facts: Facts) -> Result<Next, Gone> {
        // Who is overloaded is not asked for more.
        let held = self.held.as_deref_mut().filter(|held| !held.head.is_empty() && response.status != 503);
        let Some(held) = held else {
            return self.respond(response, facts).await;
        };
        let kept = accel::kept_by_page(Fields::of_checked(&response.fields));
        let bytes = held.head.clone();
        held.error = Some(response);
        self.keep(&kept);
        let head = within(&reparsed(&bytes), target);
        let facts = Facts { method: head.method, ..facts };
        match self.encode_call(&head, None, Priority::Normal) {
            Ok(call) => self.answer_call(call, facts).await,
            Err(reject) => self.error(facts, reject.status(), "").await,
        }
    }
}

fn reparsed(bytes: &[u8]) -> Head<'_> {
    match head::parse(bytes) {
        Ok(Parse::Complete { head, .. }) => head,
        _ => unreachable!("these bytes were parsed before"),
    }
}

/// The same request, but for `uri`, which takes no body: as nginx has it, GET unless it is HEAD.
fn within<'b>(head: &Head<'b>, uri: &'b str) -> Head<'b> {
    let (method, method_name) = match head.method {
        Method::Head => (Method::Head, "HEAD"),
        _ => (Method::Get, "GET"),
    };
    Head {
        method,
        method_name,
        raw_target: uri,
        target: Target::Origin(path_query(uri)),
        framing: BodyFraming::None,
        expect_continue: false,
        ..*head
    }
}

fn path_query(uri: &str) -> PathQuery<'_> {
    match uri.split_once('?') {
        Some((path, query)) => PathQuery { path, query: Some(query) },
        None => PathQuery { path: uri, query: None },
    }
}

/// The target that an application names, encoded where it has to be; `None` for what is none.
fn as_target(value: &[u8]) -> Option<String> {
    let mut uri = String::with_capacity(value.len());
    template::encode_sent(&mut uri, value);
    (uri.starts_with('/') && uri.len() <= TARGET_BYTES_MAX).then_some(uri)
}

/// A path as lighttpd and mod_xsendfile take it: percent-decoded, or as it is where it can't be.
fn decoded(path: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(path).ok();
    text.and_then(|text| target::decode_path(text).ok()).map_or_else(|| path.to_vec(), |path| path.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_paths_and_nothing_else() {
        let long = format!("/{}", "a".repeat(TARGET_BYTES_MAX));
        for (value, target) in [
            (&b"/protected/a.pdf"[..], Some("/protected/a.pdf")),
            (b"/a b?c=d", Some("/a%20b?c=d")),
            (b"/\xc3\xa9%41", Some("/%C3%A9%41")),
            (b"/a#b", Some("/a%23b")),
            (b"a", None),
            (b"@named", None),
            (b"http://example.com/", None),
            (long.as_bytes(), None),
        ] {
            assert_eq!(as_target(value).as_deref(), target, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn paths_are_decoded_where_they_can_be() {
        for (path, expected) in [("/srv/a%20b", "/srv/a b"), ("/srv/100%", "/srv/100%"), ("/srv/a%00", "/srv/a%00")] {
            assert_eq!(decoded(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
