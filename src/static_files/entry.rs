//! What is known of a file: its validators, its fields, and for a small one the whole ready response.
//!
//! Owns the bytes of the ready response and its Date. It never does I/O. Called by the cache.

use std::borrow::Cow;
use std::rc::Rc;

use super::Now;
use crate::base::clock::Monotonic;
use crate::http::conditional::{ETag, Validators};
use crate::http::date::{self, DateText};
use crate::http::response::{BodyLength, HeadWriter};
use crate::http::{HeaderOps, media};
use crate::ring::{Descriptor, Stat};

/// Where the date stands in a ready response: behind the status line and `Date: `.
const DATE_AT: usize = b"HTTP/1.1 200 OK\r\nDate: ".len();
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A file as it was when it was looked at.
#[derive(Debug)]
pub(super) struct Facts {
    pub stat: Stat,
    media: Cow<'static, str>,
    /// Modification time in nanoseconds and size, both hexadecimal: two deploys within one second differ.
    etag: String,
    /// Seconds since 1970; `None` before 1970 and in the future, where RFC 9110 §8.8.2.1 forbids it.
    modified: Option<u64>,
    /// Last changed long enough ago that a later change shows in the modification time, which the kernel takes from a coarse clock.
    pub settled: bool,
}

impl Facts {
    /// `path`: the file's own, which decides its type.
    pub fn new(path: &[u8], stat: Stat, now: &Now<'_>) -> Facts {
        let seconds = u64::try_from(stat.modified_ns.div_euclid(NANOS_PER_SECOND)).ok();
        Facts {
            stat,
            media: media::content_type(path),
            etag: format!("{:x}-{:x}", stat.modified_ns, stat.size),
            modified: seconds.filter(|&seconds| seconds <= now.wall_seconds),
            settled: seconds.is_none_or(|seconds| seconds + 1 < now.wall_seconds),
        }
    }

    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: Some(ETag::strong(self.etag.as_bytes())), modified: self.modified }
    }

    /// The fields of a response that carries the file or a part of it.
    pub fn fields(&self, cache_control: Option<&str>) -> Vec<u8> {
        let mut fields = Vec::with_capacity(256);
        let mut out = HeadWriter::resume(&mut fields).field("Content-Type", self.media.as_bytes());
        if let Some(modified) = self.modified {
            out = out.field("Last-Modified", &date::format(modified));
        }
        let _ = out.field("ETag", &self.quoted_etag()).field("Accept-Ranges", b"bytes");
        put_cache_control(&mut fields, cache_control);
        fields
    }

    /// The fields of a 304: what guides caches, no more (RFC 9110 §15.4.5).
    pub fn fields_not_modified(&self, cache_control: Option<&str>) -> Vec<u8> {
        let mut fields = Vec::with_capacity(128);
        let _ = HeadWriter::resume(&mut fields).field("ETag", &self.quoted_etag());
        put_cache_control(&mut fields, cache_control);
        fields
    }

    /// The fields of a response whose bytes nobody can vouch for, because the file is being written: nothing to store or to resume by.
    pub fn fields_unstable(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(128);
        let _ = HeadWriter::resume(&mut fields)
            .field("Content-Type", self.media.as_bytes())
            .field("Cache-Control", b"no-store");
        fields
    }

    fn quoted_etag(&self) -> Vec<u8> {
        let mut quoted = Vec::with_capacity(self.etag.len() + 2);
        ETag::strong(self.etag.as_bytes()).write(&mut quoted);
        quoted
    }
}

fn put_cache_control(fields: &mut Vec<u8>, value: Option<&str>) {
    if let Some(value) = value {
        let _ = HeadWriter::resume(fields).field("Cache-Control", value.as_bytes());
    }
}

/// When something was last looked at, and beneath which of its root's directories.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    pub checked: Monotonic,
    pub generation: u32,
}

/// A small file: the complete response to a plain GET on a connection that stays.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pub facts: Rc<Facts>,
    pub ready: Rc<Vec<u8>>,
    /// Where the body begins in `ready`.
    pub body_at: usize,
}

impl Small {
    /// The head of the ready response; the body is to be read in behind it.
    pub fn head(facts: &Facts, cache_control: Option<&str>, headers: Option<&HeaderOps>, now: &Now<'_>) -> Vec<u8> {
        let mut fields = facts.fields(cache_control);
        if let Some(headers) = headers {
            headers.apply(200, &mut fields);
        }
        let mut ready = Vec::with_capacity(fields.len() + 128 + facts.stat.size as usize);
        let mut head = HeadWriter::start(&mut ready, 200).date(now.date);
        if !headers.is_some_and(|headers| headers.replaces("server")) {
            head = head.server();
        }
        head.body(BodyLength::Exact(facts.stat.size)).lines(&fields).finish();
        debug_assert!(ready[DATE_AT..].starts_with(now.date), "the date stands behind the status line");
        ready
    }

    /// The ready response with the date `date`. Patched in place, or copied first if a send still needs the old one.
    pub fn ready(&mut self, date: &DateText) -> Rc<Vec<u8>> {
        let place = DATE_AT..DATE_AT + date.len();
        if self.ready[place.clone()] != *date {
            Rc::make_mut(&mut self.ready)[place].copy_from_slice(date);
        }
        self.ready.clone()
    }
}

/// A large file: sent from its descriptor.
#[derive(Clone, Debug)]
pub(super) struct Large {
    pub facts: Rc<Facts>,
    pub file: Descriptor,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(modified_ns: i128) -> Facts {
        let stat = Stat { mode: libc::S_IFREG, size: 255, modified_ns, inode: 1, device: (1, 1) };
        let now = Now { monotonic: Monotonic::ZERO, wall_seconds: 1000, date: &date::format(1000) };
        Facts::new(b"a/b.css", stat, &now)
    }

    #[test]
    fn fields_of_a_file() {
        assert_eq!(
            String::from_utf8(facts(999_000_000_001).fields(Some("no-cache"))).unwrap(),
            "Content-Type: text/css; charset=utf-8\r\nLast-Modified: Thu, 01 Jan 1970 00:16:39 GMT\r\n\
             ETag: \"e8990a4601-ff\"\r\nAccept-Ranges: bytes\r\nCache-Control: no-cache\r\n"
        );
    }

    #[test]
    fn no_modification_in_the_future_or_before_the_epoch() {
        assert_eq!(facts(1000 * NANOS_PER_SECOND).modified, Some(1000));
        assert_eq!(facts(1001 * NANOS_PER_SECOND).modified, None);
        assert_eq!(facts(-1).modified, None);
    }

    #[test]
    fn tags_differ_within_a_second() {
        assert_ne!(facts(5).etag, facts(6).etag);
    }

    #[test]
    fn a_date_is_patched_in_place_unless_a_send_holds_it() {
        let facts = facts(0);
        let now = Now { monotonic: Monotonic::ZERO, wall_seconds: 1000, date: &date::format(1000) };
        let ready = Small::head(&facts, None, None, &now);
        let mut small = Small { body_at: ready.len(), facts: Rc::new(facts), ready: Rc::new(ready) };
        let address = Rc::as_ptr(&small.ready);
        let sending = small.ready(&date::format(1001));
        assert_eq!(Rc::as_ptr(&sending), address);
        let later = small.ready(&date::format(1002));
        assert!(sending[DATE_AT..].starts_with(&date::format(1001)));
        assert!(later[DATE_AT..].starts_with(&date::format(1002)) && Rc::as_ptr(&later) != address);
    }
}
