//! What is known of a file: its validators, its fields, and for a small one the whole ready response.
//!
//! Owns the bytes of the ready response and the dates in it. It never does I/O. Called by the cache.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use super::policy::Policy;
use super::variants::Forms;
use super::{Hot, Now};
use crate::base::clock::Monotonic;
use crate::http::conditional::{ETag, Validators};
use crate::http::date::{self, DateText};
use crate::http::encoding::Coding;
use crate::http::media;
use crate::http::response::HeadWriter;
use crate::ring::{Descriptor, Stat};

/// Where the date stands in a ready response: behind the status line and `Date: `.
const DATE_AT: usize = b"HTTP/1.1 200 OK\r\nDate: ".len();
/// Where Expires stands in a ready response that has it: behind the date.
const EXPIRES_AT: usize = DATE_AT + size_of::<DateText>() + b"\r\nExpires: ".len();
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A file as it was when it was looked at.
#[derive(Debug)]
pub(super) struct Facts {
    pub stat: Stat,
    /// Bytes of the representation: as the file has them, or as many as the server made of it.
    pub size: u64,
    /// How it is encoded.
    coding: Option<Coding>,
    /// The compressed forms that can be had instead.
    pub forms: Option<Box<Forms>>,
    /// Codings that were found not to make it smaller: a bit for each `Coding::index`.
    pub useless: Cell<u8>,
    /// Its name changes with its content.
    pub hashed: bool,
    media: Cow<'static, str>,
    /// Modification time in nanoseconds and size, both hexadecimal: two deploys within one second differ.
    etag: String,
    /// Seconds since 1970; `None` before 1970 and in the future, where RFC 9110 §8.8.2.1 forbids it.
    modified: Option<u64>,
    /// Last changed long enough ago that a later change shows in the modification time, which the kernel takes from a coarse clock.
    pub settled: bool,
}

impl Facts {
    /// `path`: the file's own, which decides its type; `types`: the route's own (`media::content_type`).
    pub fn new(path: &[u8], types: &[(String, String)], stat: Stat, now: &Now<'_>) -> Facts {
        let seconds = u64::try_from(stat.modified_ns.div_euclid(NANOS_PER_SECOND)).ok();
        Facts {
            stat,
            size: stat.size,
            coding: None,
            forms: None,
            useless: Cell::new(0),
            hashed: false,
            media: media::content_type(path, types),
            etag: format!("{:x}-{:x}", stat.modified_ns, stat.size),
            modified: seconds.filter(|&seconds| seconds <= now.wall_seconds),
            settled: seconds.is_none_or(|seconds| seconds + 1 < now.wall_seconds),
        }
    }

    /// The same, with the forms that can be had instead, and whether the name changes with the content.
    pub fn with(self, forms: Option<Box<Forms>>, hashed: bool) -> Facts {
        Facts { forms, hashed, ..self }
    }

    /// The facts of this file's form in `coding`, of `size` bytes, made from the file that `stat` describes: a sibling, or this one. Its tag is
    /// told apart by the coding and by `tag`.
    pub fn in_coding(&self, coding: Coding, stat: Stat, size: u64, tag: &str, now: &Now<'_>) -> Facts {
        let file = Facts::new(b"", &[], stat, now);
        let etag = format!("{}-{}{tag}", file.etag, coding.name());
        Facts { size, coding: Some(coding), media: self.media.clone(), etag, hashed: self.hashed, ..file }
    }

    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: Some(ETag::strong(self.etag.as_bytes())), modified: self.modified }
    }

    pub fn media(&self) -> &str {
        &self.media
    }

    /// The fields of a response that carries the file or a part of it; `media`: the response's type.
    pub fn fields(&self, media: &str, policy: &Policy, now: &Now<'_>) -> Vec<u8> {
        let mut fields = Vec::with_capacity(320);
        self.write_expires(&mut fields, policy, now);
        self.write(&mut fields, media, policy);
        fields
    }

    /// The fields of a 304: what guides caches, no more (RFC 9110 §15.4.5).
    pub fn fields_not_modified(&self, policy: &Policy, now: &Now<'_>) -> Vec<u8> {
        let mut fields = Vec::with_capacity(192);
        self.write_expires(&mut fields, policy, now);
        let _ = HeadWriter::resume(&mut fields).field("ETag", &self.quoted_etag());
        self.write_vary(&mut fields);
        policy.write_caching(&mut fields, self.hashed);
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

    /// All but Expires.
    fn write(&self, fields: &mut Vec<u8>, media: &str, policy: &Policy) {
        let mut out = HeadWriter::resume(fields).field("Content-Type", media.as_bytes());
        if let Some(modified) = self.modified {
            out = out.field("Last-Modified", &date::format(modified));
        }
        let _ = out.field("ETag", &self.quoted_etag()).field("Accept-Ranges", b"bytes");
        if let Some(coding) = self.coding {
            let _ = HeadWriter::resume(fields).field("Content-Encoding", coding.name().as_bytes());
        }
        self.write_vary(fields);
        policy.write(fields, self.hashed);
    }

    /// Vary, where another client may get another form (RFC 9110 §12.5.5).
    fn write_vary(&self, fields: &mut Vec<u8>) {
        if self.coding.is_some() || self.forms.is_some() {
            let _ = HeadWriter::resume(fields).field("Vary", b"Accept-Encoding");
        }
    }

    fn write_expires(&self, fields: &mut Vec<u8>, policy: &Policy, now: &Now<'_>) {
        if let Some(expires) = policy.expires(now.wall_seconds, self.hashed) {
            let _ = HeadWriter::resume(fields).field("Expires", &expires);
        }
    }

    fn quoted_etag(&self) -> Vec<u8> {
        let mut quoted = Vec::with_capacity(self.etag.len() + 2);
        ETag::strong(self.etag.as_bytes()).write(&mut quoted);
        quoted
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
    pub fn head(facts: &Facts, policy: &Policy, now: &Now<'_>) -> Vec<u8> {
        let mut ready = Vec::with_capacity(512 + facts.size as usize);
        let _ = HeadWriter::start(&mut ready, 200).date(now.date);
        facts.write_expires(&mut ready, policy, now);
        let mut fields = Vec::with_capacity(256);
        facts.write(&mut fields, &facts.media, policy);
        policy.write_ready(&mut ready, fields, facts.size);
        debug_assert!(ready[DATE_AT..].starts_with(now.date), "the date stands behind the status line");
        ready
    }

    /// The body, as it is sent.
    pub fn body(&self) -> &[u8] {
        &self.ready[self.body_at..]
    }

    /// The ready response as of `now`. Its dates are patched in place, or copied first if a send still needs the old ones.
    pub fn hot(&mut self, policy: &Policy, now: &Now<'_>) -> Hot {
        let place = DATE_AT..DATE_AT + now.date.len();
        if self.ready[place.clone()] != *now.date {
            let ready = Rc::make_mut(&mut self.ready);
            ready[place].copy_from_slice(now.date);
            if let Some(expires) = policy.expires(now.wall_seconds, self.facts.hashed) {
                ready[EXPIRES_AT..EXPIRES_AT + expires.len()].copy_from_slice(&expires);
            }
        }
        Hot { status: 200, ready: self.ready.clone(), body_at: self.body_at }
    }
}

/// A large file: sent from its descriptor.
#[derive(Clone, Debug)]
pub(super) struct Large {
    pub facts: Rc<Facts>,
    pub file: Descriptor,
}

impl Large {
    /// Whether the open file is still what `facts` says of it. One that had just been changed when it was looked at may be growing, as a log
    /// does, and is what it was as far as it went.
    pub fn is_current(&self) -> bool {
        !self.facts.settled || Stat::at_hand(&self.file).is_ok_and(|now| now == self.facts.stat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Expires, StaticOptions};
    use std::time::Duration;

    fn facts(modified_ns: i128) -> Facts {
        let stat = Stat { mode: libc::S_IFREG, size: 255, modified_ns, inode: 1, device: (1, 1) };
        let now = Now { monotonic: Monotonic::ZERO, wall_seconds: 1000, date: &date::format(1000) };
        Facts::new(b"a/b.css", &[], stat, &now)
    }

    fn policy() -> Policy {
        Policy::of(&StaticOptions { expires: Some(Expires::After(Duration::from_secs(1))), ..StaticOptions::default() })
    }

    #[test]
    fn fields_of_a_file() {
        let facts = facts(999_000_000_001);
        let now = Now { monotonic: Monotonic::ZERO, wall_seconds: 1000, date: &date::format(1000) };
        assert_eq!(
            String::from_utf8(facts.fields(facts.media(), &policy(), &now)).unwrap(),
            "Expires: Thu, 01 Jan 1970 00:16:41 GMT\r\n\
             Content-Type: text/css; charset=utf-8\r\nLast-Modified: Thu, 01 Jan 1970 00:16:39 GMT\r\n\
             ETag: \"e8990a4601-ff\"\r\nAccept-Ranges: bytes\r\nCache-Control: max-age=1\r\n"
        );
        assert_eq!(
            String::from_utf8(facts.fields_not_modified(&policy(), &now)).unwrap(),
            "Expires: Thu, 01 Jan 1970 00:16:41 GMT\r\nETag: \"e8990a4601-ff\"\r\nCache-Control: max-age=1\r\n"
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
        let at = |seconds: u64| (seconds, date::format(seconds), date::format(seconds + 1));
        let facts = facts(0);
        let (second, date, _) = at(1000);
        let now = Now { monotonic: Monotonic::ZERO, wall_seconds: second, date: &date };
        let ready = Small::head(&facts, &policy(), &now);
        let mut small = Small { body_at: ready.len(), facts: Rc::new(facts), ready: Rc::new(ready) };
        let address = Rc::as_ptr(&small.ready);
        let (second, date, expires) = at(1001);
        let sending = small.hot(&policy(), &Now { wall_seconds: second, date: &date, ..now }).ready;
        assert_eq!(Rc::as_ptr(&sending), address);
        assert!(sending[EXPIRES_AT..].starts_with(&expires));
        let (second, next, expires) = at(1002);
        let later = small.hot(&policy(), &Now { wall_seconds: second, date: &next, ..now }).ready;
        assert!(sending[DATE_AT..].starts_with(&date));
        assert!(later[DATE_AT..].starts_with(&next) && later[EXPIRES_AT..].starts_with(&expires));
        assert!(Rc::as_ptr(&later) != address);
    }
}
