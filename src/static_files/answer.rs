//! From a known file to a response: preconditions, ranges, HEAD.
//!
//! Owns the choice of status. It never does I/O. Called by `StaticFiles::serve`.

use std::ops::Range;

use super::entry::{Facts, Large, Small};
use super::policy::Policy;
use super::{Now, StaticRequest};
use crate::http::conditional::{self, Outcome};
use crate::http::multipart::Multipart;
use crate::http::range::{ContentRange, Parts, Selection, select};
use crate::response::{Body, FileRange, Part, Response};
use crate::ring::Payload;

/// Where the bytes of a file are.
pub(super) enum Source<'a> {
    Small(&'a Small),
    Large(&'a Large),
}

impl Source<'_> {
    fn facts(&self) -> &Facts {
        match self {
            Source::Small(small) => &small.facts,
            Source::Large(large) => &large.facts,
        }
    }

    fn part(&self, range: Range<u64>) -> Part {
        match self {
            Source::Small(small) => {
                let at = |offset: u64| small.body_at + offset as usize;
                Part::Bytes(Payload::Shared(small.ready.clone(), at(range.start)..at(range.end)))
            }
            Source::Large(large) => {
                let as_of = large.facts.settled.then_some(large.facts.stat);
                Part::File(FileRange { file: large.file.clone(), range, as_of })
            }
        }
    }
}

/// Answers a GET or HEAD for a file (RFC 9110 §13.2.2, §14.2).
pub(super) fn answer(request: &StaticRequest<'_>, policy: &Policy, now: &Now<'_>, source: &Source<'_>) -> Response {
    let facts = source.facts();
    let size = facts.size;
    let whole = |status, range| Response {
        status,
        fields: facts.fields(facts.media(), policy, now),
        body: match source.part(range) {
            Part::Bytes(bytes) => Body::Bytes(bytes),
            Part::File(file) => Body::File(file),
        },
    };
    if !request.conditional {
        return whole(200, 0..size);
    }
    let verdict = conditional::evaluate(request.method, request.fields, &facts.validators());
    match verdict.outcome {
        Outcome::NotModified => {
            return Response { fields: facts.fields_not_modified(policy, now), ..Response::new(304) };
        }
        Outcome::PreconditionFailed => {
            return Response::error(412, "The file is not the one that the request is about.");
        }
        Outcome::Proceed => {}
    }
    let range = request.fields.only("range").filter(|_| verdict.range_allowed);
    match range.map_or(Selection::Whole, |range| select(range, size)) {
        Selection::Whole => whole(200, 0..size),
        Selection::Part(part) => {
            let content_range = ContentRange::of_part(&part, size);
            whole(206, part).with("Content-Range", content_range.as_bytes())
        }
        Selection::Parts(parts) => several(&parts, policy, now, source),
        Selection::Unsatisfiable => Response::error(416, "The file has no such bytes.")
            .with("Content-Range", ContentRange::of_none(size).as_bytes()),
    }
}

/// The ranges as multipart/byteranges (RFC 9110 §14.6), the file's bytes where they are.
fn several(parts: &Parts, policy: &Policy, now: &Now<'_>, source: &Source<'_>) -> Response {
    let facts = source.facts();
    let multipart = Multipart::new(facts.media());
    let mut body = Vec::with_capacity(2 * parts.as_slice().len() + 1);
    for range in parts.as_slice() {
        body.push(Part::Bytes(Payload::from(multipart.before_part(range, facts.size))));
        body.push(source.part(range.clone()));
    }
    body.push(Part::Bytes(Payload::from(multipart.end())));
    Response { status: 206, fields: facts.fields(&multipart.content_type(), policy, now), body: Body::Parts(body) }
}
