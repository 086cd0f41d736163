//! Static files: small ones from the shard's cache as ready responses, large ones from their descriptors.
//!
//! Owns the roots' directories and the shard's cache. It never sends and never blocks: files are opened and read through the ring. What is
//! known of a file counts for a second; then the next request looks again, so that a deploy shows at once. Called by `shard`.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod absence;
mod answer;
mod cache;
mod entry;
mod flight;
mod helper;
mod listing;
mod lru;
mod manifest;
mod policy;
mod resolve;
mod root;
#[cfg(test)]
mod tests;
mod variants;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

pub use helper::Helper;
pub use root::StaticRoot;

use crate::base::bounds;
use crate::base::clock::Monotonic;
use crate::config::Fallback;
use crate::http::date::DateText;
use crate::http::{Fields, Method};
use crate::response::{Body, FileRange, Response};
use crate::ring::{Descriptor, Payload, Ring};
use answer::{Source, answer};
use cache::{Cache, Found};
use listing::{Listing, Order, Shown};
use resolve::Failure;

/// The methods that a file knows, for Allow (RFC 9110 §10.2.1).
const ALLOW: &[u8] = b"GET, HEAD, OPTIONS";

/// The bounds of a shard's cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheBounds {
    /// Ready responses, bytes.
    pub bytes: usize,
    /// Ready responses: how many.
    pub entries: usize,
    /// A file up to here is kept whole, bytes.
    pub file_max: usize,
}

impl Default for CacheBounds {
    fn default() -> CacheBounds {
        CacheBounds {
            bytes: bounds::STATIC_CACHE_BYTES_MAX,
            entries: bounds::STATIC_CACHE_ENTRIES_MAX,
            file_max: bounds::STATIC_FILE_BYTES_MAX,
        }
    }
}

/// The time as a request sees it. The shard reads its clocks once for many requests.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// For the age of what is known.
    pub monotonic: Monotonic,
    /// Seconds since 1970.
    pub wall_seconds: u64,
    /// `wall_seconds` as the Date field has it.
    pub date: &'a DateText,
}

/// How old something known is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// It counts.
    Fresh,
    /// It has to be looked at again, and counts while somebody does.
    Usable,
    /// It doesn't count.
    Old,
}

impl Now<'_> {
    fn age(&self, checked: Monotonic) -> Age {
        const FRESH: Duration = Duration::from_millis(bounds::STATIC_FRESH_MS);
        const USABLE: Duration = Duration::from_millis(bounds::STATIC_STALE_MS_MAX);
        match self.monotonic.since(checked) {
            age if age < FRESH => Age::Fresh,
            age if age < USABLE => Age::Usable,
            _ => Age::Old,
        }
    }
}

/// A request for a file, as far as a file is concerned.
#[derive(Clone, Copy, Debug)]
pub struct StaticRequest<'a> {
    /// The method.
    pub method: Method,
    /// The raw path after the route's prefix, with or without a slash at the front.
    pub path: &'a str,
    /// The raw path of the whole request: a redirect is built on it.
    pub full_path: &'a str,
    /// The raw query.
    pub query: Option<&'a str>,
    /// The request's fields.
    pub fields: Fields<'a>,
    /// Whether they hold preconditions or a range (`Head::conditional`).
    pub conditional: bool,
}

/// What comes of a request for a file.
#[derive(Debug)]
pub enum Answer {
    /// This response.
    Response(Response),
    /// There is no such file, and the route leaves it to the application (`fallback`).
    Pass,
}

/// A complete response that is at hand.
#[derive(Clone, Debug)]
pub struct Hot {
    /// Its status.
    pub status: u16,
    /// Head and body.
    pub ready: Rc<Vec<u8>>,
    /// Where the body begins in `ready`.
    pub body_at: usize,
}

impl Hot {
    /// The same response as the last of its connection.
    pub fn closing(&self) -> Hot {
        const LINE: &[u8] = b"Connection: close\r\n";
        let (fields, rest) = self.ready.split_at(self.body_at - b"\r\n".len());
        Hot { status: self.status, ready: Rc::new([fields, LINE, rest].concat()), body_at: self.body_at + LINE.len() }
    }
}

/// The static files of one shard. Cloning gives another handle to the same cache.
#[derive(Clone)]
pub struct StaticFiles {
    cache: Rc<Cache>,
}

impl StaticFiles {
    /// A cache with nothing in it.
    pub fn new(ring: Ring, bounds: CacheBounds) -> StaticFiles {
        StaticFiles { cache: Rc::new(Cache::new(ring, bounds)) }
    }

    /// The complete response to a plain GET (HTTP/1.1, no preconditions, no range) on a connection that stays, if it is at hand. `path` is raw
    /// and after the prefix, as in [`StaticRequest`], `fields` are the request's. Allocates nothing, except once a second for an entry that is being sent.
    pub fn hot(&self, root: &StaticRoot, path: &[u8], fields: Fields<'_>, now: &Now<'_>) -> Option<Hot> {
        self.cache.hot(root, path, fields, now).inspect(|_| self.cache.hit())
    }

    /// Answers any request for a file beneath `root`. Never fails: errors are responses too.
    pub async fn serve(&self, root: &StaticRoot, request: &StaticRequest<'_>, now: &Now<'_>) -> Answer {
        let passes = root.options.falls_back_to_app();
        match request.method {
            Method::Get => self.get(root, request, now).await,
            Method::Head => match self.get(root, request, now).await {
                Answer::Response(response) => Answer::Response(response.without_body()),
                Answer::Pass => Answer::Pass,
            },
            // What there is no file for is the application's, whatever is asked of it.
            _ if passes && matches!(self.get(root, request, now).await, Answer::Pass) => Answer::Pass,
            Method::Options => Answer::Response(Response::new(204).with("Allow", ALLOW)),
            _ => Answer::Response(Response::error(405, "A file can only be read.").with("Allow", ALLOW)),
        }
    }

    /// Closes the descriptors of large files that nobody has asked for lately, so that a deleted file's space comes free. For the shard
    /// to call every few seconds.
    pub fn trim(&self, now: &Now<'_>) {
        self.cache.trim(now);
    }

    /// Requests for which what was known sufficed, and those for which somebody had to look.
    pub fn looks(&self) -> (u64, u64) {
        self.cache.looks.get()
    }

    /// Ready responses in the cache: how many, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        self.cache.size()
    }

    async fn get(&self, root: &StaticRoot, request: &StaticRequest<'_>, now: &Now<'_>) -> Answer {
        let path = match resolve::normal_path(request.path) {
            Ok(path) => path,
            Err(reject) => return Answer::Response(Response::error(reject.status(), reject.reason())),
        };
        let failure = match self.at(root, &path, request, now).await {
            Ok(response) => return Answer::Response(response),
            Err(failure) => failure,
        };
        if !matches!(failure, Failure::Missing | Failure::NoIndex) {
            return Answer::Response(failed(failure));
        }
        for candidate in &root.options.fallback {
            let path = match candidate {
                Fallback::App => return Answer::Pass,
                Fallback::File(path) => Cow::Borrowed(path.as_bytes()),
                Fallback::Around { before, after } => {
                    let inner = path.strip_suffix(b"/").unwrap_or(&path);
                    Cow::Owned([before.as_bytes(), inner, after.as_bytes()].concat())
                }
            };
            match self.file(root, &path, request, now).await {
                Ok(response) => return Answer::Response(response),
                Err(Failure::Missing | Failure::NoIndex) => {}
                Err(failure) => return Answer::Response(failed(failure)),
            }
        }
        let page = match &root.options.not_found {
            Some(path) if failure == Failure::Missing => self.page(root, path.as_bytes(), request, now).await,
            _ => None,
        };
        Answer::Response(page.unwrap_or_else(|| failed(failure)))
    }

    /// What the cache or the disk has at `path`, unless it is hidden.
    async fn find(&self, root: &StaticRoot, path: &[u8], now: &Now<'_>) -> Result<Found, Failure> {
        if !root.options.dotfiles && resolve::is_hidden(path) {
            return Err(Failure::Missing);
        }
        Ok(self.cache.find(root, path, now).await)
    }

    /// What is at `path`: a file, a directory to be listed, or the way there.
    async fn at(
        &self,
        root: &StaticRoot,
        path: &[u8],
        request: &StaticRequest<'_>,
        now: &Now<'_>,
    ) -> Result<Response, Failure> {
        match self.find(root, path, now).await? {
            Found::Directory => Ok(match resolve::with_slash(request.full_path, request.query) {
                Ok(location) => Response::error(301, "").with("Location", &location),
                Err(reject) => Response::error(reject.status(), reject.reason()),
            }),
            Found::Listing(directory) => self.list(root, &directory, request).await,
            found => self.answer(root, path, found, request, now).await,
        }
    }

    /// The file at `path`, and nothing else.
    async fn file(
        &self,
        root: &StaticRoot,
        path: &[u8],
        request: &StaticRequest<'_>,
        now: &Now<'_>,
    ) -> Result<Response, Failure> {
        match self.find(root, path, now).await? {
            Found::Directory | Found::Listing(_) => Err(Failure::Missing),
            found => self.answer(root, path, found, request, now).await,
        }
    }

    async fn answer(
        &self,
        root: &StaticRoot,
        path: &[u8],
        found: Found,
        request: &StaticRequest<'_>,
        now: &Now<'_>,
    ) -> Result<Response, Failure> {
        match self.cache.negotiate(root, path, found, request.fields, now).await {
            Found::Small(small) => Ok(answer(request, &root.policy, now, &Source::Small(&small))),
            Found::Large(large) => Ok(answer(request, &root.policy, now, &Source::Large(&large))),
            Found::Unstable(large) => {
                let range = 0..large.facts.stat.size;
                Ok(Response {
                    status: 200,
                    fields: large.facts.fields_unstable(),
                    body: Body::File(FileRange { file: large.file, range, as_of: None }),
                })
            }
            Found::Failed(failure) => Err(failure),
            Found::Directory | Found::Listing(_) => Err(Failure::Missing),
        }
    }

    /// The route's own page for what isn't there: the file at `path`, whole and whatever the request's conditions are, with 404.
    async fn page(
        &self,
        root: &StaticRoot,
        path: &[u8],
        request: &StaticRequest<'_>,
        now: &Now<'_>,
    ) -> Option<Response> {
        let request = StaticRequest { conditional: false, ..*request };
        let found = self.file(root, path, &request, now).await.ok()?;
        Some(Response { status: 404, ..found })
    }

    async fn list(
        &self,
        root: &StaticRoot,
        directory: &Descriptor,
        request: &StaticRequest<'_>,
    ) -> Result<Response, Failure> {
        let Ok(path) = resolve::normal_path(request.full_path) else {
            return Err(Failure::Missing);
        };
        let path = [b"/", &*path].concat();
        let order = Order::of(request.query);
        let shown = Shown { dotfiles: root.options.dotfiles, symlinks: root.options.symlinks };
        let directory = directory.try_clone().map_err(|_| Failure::Exhausted)?;
        let work = move || Listing::read(&directory, shown).map(|listing| listing.page(&path, order));
        match self.cache.helper.run(&self.cache.ring, work).await {
            Ok(Ok(page)) => {
                let mut response = Response::new(200).with("Content-Type", b"text/html; charset=utf-8");
                response.body = Body::Bytes(Payload::from(page));
                Ok(response)
            }
            Ok(Err(error)) => Err(Failure::of(&error, request.path.as_bytes(), root.options.symlinks)),
            Err(_) => Err(Failure::Exhausted),
        }
    }
}

fn failed(failure: Failure) -> Response {
    Response::error(failure.status(), failure.detail())
}
