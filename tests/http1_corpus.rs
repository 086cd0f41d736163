//! The raw requests under `tests/requests`, sent to the real server: each request that is valid gets its response, in order,
//! and what is invalid gets exactly one refusal, the last thing on its connection. `tests/requests/README.md` tells what
//! the `.expect` files say.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{Builder, Client, ReadError, Server, repository};

/// A server that answers some file only after a timeout of its own has got it wrong.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What one file amounts to.
#[derive(Default)]
struct Expectation {
    /// Methods of the requests that are accepted, in order.
    methods: Vec<String>,
    /// The status that refuses what comes after them.
    refusal: Option<u16>,
}

/// The `.http` files of one folder, sorted.
fn corpus(kind: &str) -> Vec<PathBuf> {
    let folder = repository().join("tests/requests").join(kind);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no requests", folder.display());
    files
}

fn expectation(request: &Path) -> Expectation {
    let path = request.with_extension("expect");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut expectation = Expectation::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("request"), Some(method)) => expectation.methods.push(method.to_owned()),
            (Some("status"), Some(status)) => expectation.refusal = status.parse().ok(),
            _ => {}
        }
    }
    expectation
}

/// Sends one file in pieces of `size` and says what was wrong about the answer, if anything.
fn wrong(server: &Server, path: &Path, size: usize) -> Option<String> {
    let bytes = fs::read(path).expect("a readable file");
    let expected = expectation(path);
    let mut client = server.connect();
    client.read_timeout(ANSWER_LIMIT);
    for piece in bytes.chunks(size) {
        if !client.try_send(piece) {
            break;
        }
    }
    for method in &expected.methods {
        let response = match final_response(&mut client, method) {
            Ok(response) => response,
            Err(error) => return Some(format!("{error:?} instead of the response to {method}")),
        };
        let answered =
            response.status < 300 && (response.body.is_empty() || response.body.starts_with(method.as_bytes()));
        if !answered {
            return Some(format!("{} instead of the response to {method}", response.status));
        }
    }
    if let Some(status) = expected.refusal {
        match final_response(&mut client, "GET") {
            Ok(response) if response.status == status => {}
            other => return Some(format!("{:?} instead of {status}", other.map(|r| r.status))),
        }
    }
    // Whether more comes shows when the server knows that nothing more can be asked.
    client.half_close();
    match client.rest() {
        (rest, ReadError::Closed) if rest.is_empty() => None,
        (rest, end) => Some(format!("{end:?} after {:?}", String::from_utf8_lossy(&rest))),
    }
}

/// The next response that is not a 100.
fn final_response(client: &mut Client, method: &str) -> Result<support::Response, ReadError> {
    loop {
        match client.try_response(method) {
            Ok(interim) if interim.status == 100 => {}
            other => return other,
        }
    }
}

#[track_caller]
fn holds_for_all(kind: &str) {
    let server = Builder::app("kitchen:anything").start();
    let mut problems = Vec::new();
    for path in corpus(kind) {
        for (cut, size) in [("whole", usize::MAX), ("in pieces", 11)] {
            if let Some(problem) = wrong(&server, &path, size) {
                problems.push(format!("{}, sent {cut}: {problem}", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn invalid_requests_get_one_refusal_and_the_end() {
    holds_for_all("invalid");
}

#[test]
fn valid_requests_get_one_response_each() {
    holds_for_all("valid");
}
