//! The raw requests under `tests/requests`, sent to the real server: the valid ones are answered, the invalid ones are
//! refused with exactly one response. Beside each `NAME.http` stands `NAME.expect`, whose first line is `status NNN`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{Builder, Client, ReadError, Response, Server, repository};

fn server() -> Server {
    Builder::app("kitchen:anything").start()
}

/// The `.http` files of one folder, sorted, with the status that each expects (none when it names none).
fn corpus(kind: &str) -> Vec<(PathBuf, Option<u16>)> {
    let folder = repository().join("tests/requests").join(kind);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .map(|path| {
            let status = expected(&path);
            (path, status)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no requests", folder.display());
    files
}

fn expected(request: &Path) -> Option<u16> {
    let path = request.with_extension("expect");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().next()?.strip_prefix("status ")?.trim().parse().ok()
}

/// Sends one file on a connection of its own, in pieces of `size`.
fn exchange(server: &Server, path: &Path, size: usize) -> (Client, Result<Response, ReadError>) {
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
            other => break other,
        }
    };
    (client, response)
}

#[test]
fn invalid_requests_get_one_refusal_and_the_end() {
    let server = server();
    let mut wrong = Vec::new();
    for (path, status) in corpus("invalid") {
        let status = status.unwrap_or_else(|| panic!("{} expects no status", path.display()));
        for size in [usize::MAX, 11] {
            let (mut client, response) = exchange(&server, &path, size);
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
    for (path, status) in corpus("valid") {
        for size in [usize::MAX, 11] {
            let (_, response) = exchange(&server, &path, size);
            let found = response.as_ref().map(|response| response.status);
            if found != Ok(status.unwrap_or(200)) {
                wrong.push(format!("{}: {found:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
