//! Ids of requests: who makes them, who sees them, and whose word counts.

mod support;

use std::collections::HashSet;
use std::fs;

use support::files::put;
use support::{Builder, Client, DEADLINE, Server, wait_until};

/// What the application sees of a request with these fields.
fn seen(client: &mut Client, fields: &str) -> Option<String> {
    client.request("GET", "/environ", fields);
    client.response("GET").json().get("HTTP_X_REQUEST_ID").and_then(|id| id.as_str()).map(str::to_owned)
}

fn server(mode: &str) -> Server {
    Builder::app("kitchen")
        .server_key("trusted_proxies = '127.0.0.1'")
        .server_key(&format!("request_id = '{mode}'"))
        .start()
}

fn is_own(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let server = server("generate");
    let mut ids = HashSet::new();
    for _ in 0..3 {
        let mut client = server.connect();
        for fields in ["", "X-Request-ID: forged\r\n", "x-request-id: a\r\nX-Request-Id: b\r\n"] {
            let id = seen(&mut client, fields).expect("an id");
            assert!(is_own(&id), "{id}");
            ids.insert(id);
        }
    }
    assert_eq!(ids.len(), 9);
}

#[test]
fn a_trusted_proxy_s_id_is_taken_if_it_is_one() {
    let server = server("trust");
    let mut client = server.connect();
    assert_eq!(seen(&mut client, "x-request-id: abc-123.X\r\n").as_deref(), Some("abc-123.X"));
    let long = format!("X-Request-ID: {}\r\n", "a".repeat(129));
    for fields in ["", "X-Request-ID: a b\r\n", "X-Request-ID:\r\n", "X-Request-ID: a\r\nX-Request-ID: b\r\n", &long] {
        let id = seen(&mut client, fields).expect("an id");
        assert!(is_own(&id), "{fields:?} gave {id}");
    }
}

#[test]
fn without_ids_a_client_can_not_forge_one() {
    let server = server("off");
    let mut client = server.connect();
    assert_eq!(seen(&mut client, ""), None);
    assert_eq!(seen(&mut client, "X-Request-ID: forged\r\n"), None);
}

/// A head with as many fields as are allowed still has room for the id.
#[test]
fn the_id_takes_no_field_s_place() {
    let server = server("generate");
    let many: String = (0..99).map(|n| format!("X-N{n}: {n}\r\n")).collect();
    let mut client = server.connect();
    client.request("GET", "/environ", &many);
    let seen = client.response("GET").json();
    assert_eq!(seen["HTTP_X_N98"], "98");
    assert!(seen["HTTP_X_REQUEST_ID"].as_str().is_some_and(is_own));
}

#[test]
fn log_application_and_client_are_told_the_same_id() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "a.txt", "hello");
    let server = Builder::app("kitchen")
        .static_route("/files/", folder.path(), "")
        .app_route("")
        .server_key("request_id_echo = true")
        .server_key("access_log = { path = 'access.log', format = '$request_id', flush = '100ms' }")
        .start();
    let mut client = server.connect();
    let mut told = Vec::new();
    for target in ["/environ", "/files/a.txt", "/files/a.txt", "/files/absent", "/fail"] {
        client.request("GET", target, "");
        let response = client.response("GET");
        let id = response.field("x-request-id").expect("an id").to_owned();
        if target == "/environ" {
            assert_eq!(response.json()["HTTP_X_REQUEST_ID"], id.as_str());
        }
        told.push(id);
    }
    assert!(told.iter().all(|id| is_own(id)), "{told:?}");
    assert_eq!(told.iter().collect::<HashSet<_>>().len(), 5);
    let log = server.folder().join("access.log");
    wait_until("the lines", DEADLINE, || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>() == told
    });
}
