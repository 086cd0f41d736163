//! The ready response to a plain request for a file that isn't there.
//!
//! Owns its bytes and the date in them. It is byte for byte what the writer makes of `Response::error`. Called by the cache.

use std::rc::Rc;

use super::resolve::Failure;
use super::{Hot, Now};
use crate::http::response::{BodyLength, HeadWriter};
use crate::response::{Body, Response};

/// Where the date stands: behind the status line and `Date: `.
const DATE_AT: usize = b"HTTP/1.1 404 Not Found\r\nDate: ".len();

/// The response, made when it is first wanted.
#[derive(Debug, Default)]
pub(super) struct Absence {
    /// The bytes, and where the body begins in them.
    ready: Option<(Rc<Vec<u8>>, usize)>,
}

impl Absence {
    /// The response as of `now`. Its date is patched in place, or it is copied first if a send still needs the old one.
    pub fn hot(&mut self, now: &Now<'_>) -> Hot {
        let (ready, body_at) = self.ready.get_or_insert_with(|| made(now));
        let place = DATE_AT..DATE_AT + now.date.len();
        if ready[place.clone()] != *now.date {
            Rc::make_mut(ready)[place].copy_from_slice(now.date);
        }
        Hot { status: 404, ready: ready.clone(), body_at: *body_at }
    }
}

fn made(now: &Now<'_>) -> (Rc<Vec<u8>>, usize) {
    let Response { status, fields, body } = Response::error(404, Failure::Missing.detail());
    let Body::Bytes(page) = body else { unreachable!("an error has a page") };
    let mut ready = Vec::with_capacity(512);
    HeadWriter::start(&mut ready, status)
        .date(now.date)
        .server()
        .body(BodyLength::Exact(page.len() as u64))
        .lines(&fields)
        .finish();
    let body_at = ready.len();
    ready.extend_from_slice(&page);
    debug_assert!(ready[DATE_AT..].starts_with(now.date), "the date stands behind the status line");
    (Rc::new(ready), body_at)
}
