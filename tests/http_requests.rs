//! Feeds the raw requests of `tests/requests` to the HTTP layer and compares what it makes of them with the expectation beside each.
//!
//! Every file is fed whole and then byte by byte: how a connection cuts the bytes must not matter.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use maitred::http::chunked::{Decoder, Event};
use maitred::http::head::{Head, Parse, parse};
use maitred::http::{BodyFraming, Reject};

/// One connection as the server sees it: what has arrived, and the transcript of what it was taken for.
#[derive(Default)]
struct Session {
    buf: Vec<u8>,
    body: Option<Body>,
    transcript: String,
    over: bool,
}

/// A request whose head was accepted and whose body is arriving.
struct Body {
    facts: String,
    data: Vec<u8>,
    rest: Rest,
    keep_alive: bool,
}

/// What is left of a body.
enum Rest {
    Length(u64),
    Chunked(Decoder),
}

impl Session {
    fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        loop {
            let progress = match self.body {
                _ if self.over => return,
                None => self.head(),
                Some(_) => self.body(),
            };
            match progress {
                Ok(true) => {}
                Ok(false) => return,
                Err(reject) => {
                    writeln!(self.transcript, "status {} {reject:?}", reject.status()).unwrap();
                    self.over = true;
                }
            }
        }
    }

    /// Takes a head off the buffer; whether there was one.
    fn head(&mut self) -> Result<bool, Reject> {
        let Parse::Complete { head, len } = parse(&self.buf)? else {
            return Ok(false);
        };
        let rest = match head.framing {
            BodyFraming::None => Rest::Length(0),
            BodyFraming::Length(length) => Rest::Length(length),
            BodyFraming::Chunked => Rest::Chunked(Decoder::new()),
        };
        let keep_alive = head.keep_alive;
        self.body = Some(Body { facts: facts(&head), data: Vec::new(), rest, keep_alive });
        self.buf.drain(..len);
        Ok(true)
    }

    /// Takes body bytes off the buffer; whether the body ended.
    fn body(&mut self) -> Result<bool, Reject> {
        let body = self.body.as_mut().expect("called within a body");
        let ended = match &mut body.rest {
            Rest::Length(left) => {
                let taken = self.buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                body.data.extend(self.buf.drain(..taken));
                *left -= taken as u64;
                *left == 0
            }
            Rest::Chunked(decoder) => loop {
                let step = decoder.decode(&self.buf)?;
                if let Event::Data(range) = &step.event {
                    body.data.extend_from_slice(&self.buf[range.clone()]);
                }
                self.buf.drain(..step.consumed);
                match step.event {
                    Event::Data(_) => {}
                    Event::NeedMore => break false,
                    Event::End => break true,
                }
            },
        };
        if ended {
            let body = self.body.take().expect("called within a body");
            self.transcript.push_str(&body.facts.replace("BODY\n", &line_of_body(&body.data)));
            self.over = !body.keep_alive;
        }
        Ok(ended)
    }

    /// The transcript at the end of the connection, with a line for what was cut short.
    fn finish(mut self) -> String {
        if !self.over && (!self.buf.is_empty() || self.body.is_some()) {
            self.transcript.push_str("incomplete\n");
        }
        self.transcript
    }
}

fn facts(head: &Head<'_>) -> String {
    let framing = match head.framing {
        BodyFraming::None => "none".to_owned(),
        BodyFraming::Length(length) => format!("length {length}"),
        BodyFraming::Chunked => "chunked".to_owned(),
    };
    format!(
        "request {} {} {}\nhost {}\nframing {framing}\nBODY\nkeep-alive {}\n{}",
        head.method_name,
        head.raw_target,
        head.version.as_str(),
        head.authority.map_or("-", |authority| authority.raw),
        if head.keep_alive { "yes" } else { "no" },
        if head.expect_continue { "expect-continue yes\n" } else { "" },
    )
}

fn line_of_body(data: &[u8]) -> String {
    match data {
        [] => String::new(),
        _ => format!("body {}\n", data.escape_ascii()),
    }
}

/// Every request file in a directory of `tests/requests`, with its expectation.
fn cases(kind: &str) -> Vec<(PathBuf, Vec<u8>, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests").join(kind);
    let mut cases = Vec::new();
    for entry in fs::read_dir(dir).expect("the directory of request files") {
        let path = entry.expect("an entry of it").path();
        let expectation = path.with_extension("expect");
        if path.extension().is_some_and(|extension| extension == "http") {
            let raw = fs::read(&path).expect("a request file");
            let expected =
                fs::read_to_string(&expectation).unwrap_or_else(|error| panic!("{}: {error}", expectation.display()));
            cases.push((path, raw, expected));
        }
    }
    cases.sort();
    cases
}

/// Runs all files of `kind` and reports every one that differs.
fn check(kind: &str, at_least: usize) {
    let cases = cases(kind);
    assert!(cases.len() >= at_least, "{} files in {kind}", cases.len());
    let mut failures = String::new();
    for (path, raw, expected) in &cases {
        for (how, piece) in [("whole", raw.len()), ("byte by byte", 1), ("in sevens", 7)] {
            let mut session = Session::default();
            raw.chunks(piece).for_each(|piece| session.feed(piece));
            let found = session.finish();
            if found != *expected {
                writeln!(failures, "{} ({how})\nexpected:\n{expected}found:\n{found}", path.display()).unwrap();
            }
        }
        assert_eq!(
            kind == "invalid",
            expected.contains("\nstatus ") || expected.starts_with("status "),
            "{}",
            path.display()
        );
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn valid_requests_are_understood() {
    check("valid", 30);
}

#[test]
fn invalid_requests_are_refused() {
    check("invalid", 80);
}
