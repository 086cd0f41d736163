//! The raw requests under `tests/requests`, sent to the real server: the valid ones are answered, the invalid ones are
//! refused with exactly one response. Beside each `NAME.http` stands `NAME.expect`, whose first line is `status NNN`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{Builder, Client, ReadError, Response, Server, repository};

fn server() -> Server {
    Builder::app("kitchen:anything").start()
}

/// What a file amounts to: so many requests are served, then one is refused with a status, if it names one.
struct Expected {
    served: usize,
    refused: Option<u16>,
}

/// The `.http` files of one folder, sorted.
fn corpus(kind: &str) -> Vec<(PathBuf, Expected)> {
    let folder = repository().join("tests/requests").join(kind);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .map(|path| {
            let expected = expected(&path);
            (path, expected)
        })
        .collect();
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(!files.is_empty(), "{} holds no requests", folder.display());
    files
}

fn expected(request: &Path) -> Expected {
    let path = request.with_extension("expect");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let status = text.lines().last().and_then(|line| line.strip_prefix("status "));
    Expected {
        served: text.lines().filter(|line| line.starts_with("request ")).count(),
        refused: status.map(|words| words.split_whitespace().next().expect("a code").parse().expect("a number")),
    }
}

/// Sends one file on a connection of its own, in pieces of `size`; the response to its request number `served`, from 0.
fn exchange(server: &Server, path: &Path, size: usize, mut served: usize) -> (Client, Result<Response, ReadError>) {
    let bytes = fs::read(path).expect("a readable file");
    // Only HEAD changes how a response is framed.
    let method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let mut client = server.connect();
    for piece in bytes.chunks(size) {
        if !client.try_send(piece) {
            break;
        }
    }
    let response = loop {
        match client.try_response(method) {
            Ok(interim) if interim.status == 100 => {}
            Ok(response) if served > 0 && response.status < 300 => served -= 1,
            other => break other,
        }
    };
    (client, response)
}

#[test]
fn invalid_requests_get_one_refusal_and_the_end() {
    let server = server();
    let mut wrong = Vec::new();
    for (path, expected) in corpus("invalid") {
        let status = expected.refused.unwrap_or_else(|| panic!("{} expects no status", path.display()));
        for size in [usize::MAX, 11] {
            let (mut client, response) = exchange(&server, &path, size, expected.served);
            // What the server does with what is left on its side shows only when no more can come.
            client.half_close();
            let found = response.as_ref().map(|response| response.status);
            let after = client.rest();
            if found != Ok(status) || after != (Vec::new(), ReadError::Closed) {
                wrong.push(format!("{}: {found:?} instead of {status}, then {after:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn valid_requests_are_answered_and_break_nothing() {
    let server = server();
    let mut wrong = Vec::new();
    for (path, expected) in corpus("valid") {
        assert!(expected.refused.is_none(), "{} expects a refusal", path.display());
        for size in [usize::MAX, 11] {
            let (_, response) = exchange(&server, &path, size, 0);
            let found = response.as_ref().map(|response| response.status);
            // `OPTIONS *` is answered by the server itself, without a body.
            if !matches!(found, Ok(200 | 204)) {
                wrong.push(format!("{}: {found:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
