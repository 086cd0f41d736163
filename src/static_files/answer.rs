//! From a known file to a response: preconditions, ranges, HEAD.
//!
//! Owns the choice of status. It never does I/O. Called by `StaticFiles::serve`.

use std::ops::Range;

use super::entry::{Facts, Large, Small};
use super::{StaticOptions, StaticRequest};
use crate::http::conditional::{self, Outcome};
use crate::http::range::{ContentRange, Selection, select};
use crate::response::{Body, Response};
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

    fn body(&self, range: Range<u64>) -> Body {
        match self {
            Source::Small(small) => {
                let at = |offset: u64| small.body_at + offset as usize;
                Body::Bytes(Payload::Shared(small.ready.clone(), at(range.start)..at(range.end)))
            }
            Source::Large(large) => Body::File { file: large.file.clone(), range },
        }
    }
}

/// Answers a GET or HEAD for a file (RFC 9110 §13.2.2, §14.2).
pub(super) fn answer(request: &StaticRequest<'_>, options: &StaticOptions, source: &Source<'_>) -> Response {
    let facts = source.facts();
    let size = facts.stat.size;
    let cache_control = options.cache_control.as_deref();
    let whole = |status, range| Response { status, fields: facts.fields(cache_control), body: source.body(range) };
    if !request.conditional {
        return whole(200, 0..size);
    }
    let verdict = conditional::evaluate(request.method, request.fields, &facts.validators());
    match verdict.outcome {
        Outcome::NotModified => {
            return Response { fields: facts.fields_not_modified(cache_control), ..Response::new(304) };
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
        Selection::Unsatisfiable => Response::error(416, "The file has no such bytes.")
            .with("Content-Range", ContentRange::of_none(size).as_bytes()),
    }
}
