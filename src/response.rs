//! The one currency between handlers and the writer: status, fields and a body, wherever the body is.
//!
//! Owns the shape of a response and the small pages that explain an error. It never sends, and never says what the connection
//! decides: Date, Server, Connection, Content-Length and Transfer-Encoding are the writer's. Made by the handlers, taken by `shard`.

use std::ops::Range;

use memchr::memmem;

use crate::config::Page;
use crate::http::date::DateText;
use crate::http::response::{BodyLength, ErrorResponse, HeadWriter};
use crate::http::{Fields, Version, app, date};
use crate::ring::{Descriptor, Payload, Stat};

/// Seconds after which a client that was refused for want of capacity may come back (RFC 9110 §10.2.3).
const RETRY_AFTER_SECONDS: &[u8] = b"1";

/// What a handler answers.
#[derive(Debug)]
pub struct Response {
    /// Three digits.
    pub status: u16,
    /// Checked field lines, each with its CRLF, without the fields that are the writer's.
    pub fields: Vec<u8>,
    /// What follows the head.
    pub body: Body,
}

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// Nothing follows the head.
    Empty {
        /// The Content-Length to announce all the same: for HEAD, what GET would have sent (RFC 9110 §8.6). `None`: zero bytes, or
        /// no length at all where the status rules it out.
        length: Option<u64>,
    },
    /// Bytes in memory.
    Bytes(Payload),
    /// Bytes of a file.
    File(FileRange),
    /// One after the other, as a `multipart/byteranges` body is made of.
    Parts(Vec<Part>),
}

/// A piece of a body.
#[derive(Debug)]
pub enum Part {
    /// Bytes in memory.
    Bytes(Payload),
    /// Bytes of a file.
    File(FileRange),
}

/// Bytes of an open regular file. If the file has become shorter than the range, the writer has to close the connection.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file, open for reading.
    pub file: Descriptor,
    /// Which of its bytes.
    pub range: Range<u64>,
    /// What the file was when its head was written. Once it is something else the writer has to close the connection: the rest would not be
    /// what the validators stand for. `None`: whatever there is is sent.
    pub as_of: Option<Stat>,
}

impl Response {
    /// A response without fields and body.
    pub fn new(status: u16) -> Response {
        Response { status, fields: Vec::new(), body: Body::Empty { length: None } }
    }

    /// A small page that says `status` and `detail`, the server's own words, free of HTML's special characters.
    pub fn error(status: u16, detail: &str) -> Response {
        let mut page = Vec::new();
        let date = date::format(0);
        ErrorResponse {
            status,
            detail,
            date: &date,
            version: Version::Http11,
            keep_alive: true,
            head_only: false,
            fields: &[],
        }
        .write(&mut page);
        // The head is the writer's.
        let head = memmem::find(&page, b"\r\n\r\n").expect("a head ends in an empty line") + 4;
        let all = page.len();
        let mut response = Response::new(status).with("Content-Type", b"text/html; charset=utf-8");
        response.body = Body::Bytes(Payload::Owned(page, head..all));
        match status {
            503 => response.with("Retry-After", RETRY_AFTER_SECONDS),
            _ => response,
        }
    }

    /// With one more field. The name must be a token and the value free of control characters.
    pub fn with(mut self, name: &str, value: &[u8]) -> Response {
        let _ = HeadWriter::resume(&mut self.fields).field(name, value);
        self
    }

    /// With one line in place of all that it has of this name.
    pub fn with_only(mut self, name: &str, value: &[u8]) -> Response {
        let fields = std::mem::take(&mut self.fields);
        let is_replaced = |other: &[u8]| other.eq_ignore_ascii_case(name.as_bytes());
        app::copy_without(Fields::of_checked(&fields), &mut self.fields, is_replaced);
        self.with(name, value)
    }

    /// With another page.
    pub fn with_page(mut self, page: &Page) -> Response {
        self.body = Body::Bytes(Payload::from(page.body.clone()));
        self.with_only("Content-Type", page.content_type.as_bytes())
    }

    /// Writes it whole, as the last one of its connection. Its body lies in memory; `head_only` leaves it out (RFC 9110 §9.3.2).
    pub fn write_last(&self, out: &mut Vec<u8>, date: &DateText, head_only: bool) {
        let length = BodyLength::Exact(self.body.length().unwrap_or(0));
        let head = HeadWriter::start(out, self.status).date(date).server().connection(Version::Http11, false);
        head.body(length).lines(&self.fields).finish();
        if let Body::Bytes(bytes) = &self.body
            && !head_only
        {
            out.extend_from_slice(bytes);
        }
    }

    /// The answer to HEAD: as it is, but the body only announced (RFC 9110 §9.3.2).
    pub fn without_body(mut self) -> Response {
        if let Some(length) = self.body.length() {
            self.body = Body::Empty { length: Some(length) };
        }
        self
    }
}

impl Body {
    /// The Content-Length to announce, bytes; `None` where none is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Body::Empty { length } => *length,
            Body::Bytes(payload) => Some(payload.len() as u64),
            Body::File(file) => Some(file.length()),
            Body::Parts(parts) => Some(parts.iter().map(Part::length).sum()),
        }
    }
}

impl Part {
    /// Its bytes.
    pub fn length(&self) -> u64 {
        match self {
            Part::Bytes(payload) => payload.len() as u64,
            Part::File(file) => file.length(),
        }
    }
}

impl FileRange {
    /// Its bytes.
    pub fn length(&self) -> u64 {
        self.range.end - self.range.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_page_of_its_own() {
        let response = Response::error(404, "there is no such file");
        assert_eq!(response.fields, b"Content-Type: text/html; charset=utf-8\r\n");
        let Body::Bytes(page) = &response.body else { panic!("a page") };
        let page = std::str::from_utf8(page).unwrap();
        assert!(
            page.starts_with("<!doctype html>") && page.contains("404 Not Found") && page.contains("no such file"),
            "{page}"
        );
        let length = page.len() as u64;
        assert!(matches!(response.without_body().body, Body::Empty { length: Some(said) } if said == length));
    }

    #[test]
    fn want_of_capacity_says_when_to_come_back() {
        let fields = Response::error(503, "").fields;
        assert!(fields.ends_with(b"Retry-After: 1\r\n"));
    }
}
