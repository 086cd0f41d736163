//! What the comparison with Gunicorn is made of: the peer, the requests, and the differences between two exchanges in words.

pub mod cases;
pub mod deviations;
pub mod peer;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Map, Value};

use crate::support::{Client, ReadError, Response};
use cases::Case;

/// What a client and the application saw of one case.
pub struct Seen {
    /// Every response, interim ones too; the last may be incomplete.
    responses: Vec<Response>,
    /// What became of the connection.
    end: String,
    /// What the application noted.
    notes: Value,
}

/// Sends a case on a connection of its own, reads its responses, and asks on the same connection what the application noted: if that works,
/// the connection was kept.
pub fn exchange(address: SocketAddr, case: &Case) -> Seen {
    let mut client = Client::connect(address);
    client.try_send(&case.request);
    if case.ends {
        client.half_close();
    }
    let mut responses = Vec::new();
    let broken = case.methods().into_iter().find_map(|method| read(&mut client, case, &method, &mut responses).err());
    if broken.is_none() && !case.ends {
        client.try_send(NOTED);
        if let Ok(noted) = client.try_response("GET") {
            return Seen { responses, end: "kept".to_owned(), notes: noted.json() };
        }
    }
    let end = match broken {
        None | Some(ReadError::Closed | ReadError::Reset) => "closed".to_owned(),
        Some(ReadError::Cut) => "cut".to_owned(),
        Some(other) => format!("{other:?}"),
    };
    // Gunicorn's only thread waits for the end of a connection that it has given up.
    drop(client);
    Seen { responses, end, notes: ask(address, "/noted") }
}

/// What the application says of itself.
pub fn ask(address: SocketAddr, target: &str) -> Value {
    let mut client = Client::connect(address);
    client.request("GET", target, "Connection: close\r\n");
    client.response("GET").json()
}

const NOTED: &str = "GET /noted HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Reads up to a final response; what has come of one that is cut short stays.
fn read(client: &mut Client, case: &Case, method: &str, responses: &mut Vec<Response>) -> Result<(), ReadError> {
    loop {
        let mut response = client.try_head(method)?;
        let result = loop {
            match client.try_piece() {
                Ok(Some(piece)) => response.body.extend_from_slice(&piece),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if response.status == 100 && !case.late.is_empty() {
            client.try_send(case.late);
        }
        let is_final = response.status >= 200;
        responses.push(response);
        if is_final || result.is_err() {
            return result;
        }
    }
}

/// In words, what maitred did otherwise than Gunicorn: `what: maitred | gunicorn`. Not shown are
///
/// * keys of the environ and fields of the response that [`deviations::KEYS`] and [`deviations::FIELDS`] name;
/// * text, type and length of pages of the server's own, and whether the connection is kept after one: Gunicorn ends it, which nobody has to.
pub fn differences(own: &Seen, peer: &Seen, keys: &mut BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, own: String, peer: String| {
        if own != peer {
            found.push(format!("{what}: {own} | {peer}"));
        }
    };
    let statuses = |seen: &Seen| {
        let words: Vec<_> = seen.responses.iter().map(|response| response.status.to_string()).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(" ") }
    };
    if statuses(own) == statuses(peer) {
        for (ours, theirs) in own.responses.iter().zip(&peer.responses) {
            if is_own_page(ours) && is_own_page(theirs) {
                continue;
            }
            let names: BTreeSet<_> =
                ours.fields.iter().chain(&theirs.fields).map(|(name, _)| name.to_lowercase()).collect();
            for name in names {
                if name == "content-length" && environ(ours).is_some() {
                    continue;
                }
                let shown = |response: &Response| {
                    let values = response.all(&name).into_iter().filter(|value| deviations::field_counts(&name, value));
                    let values: Vec<_> = values.map(|value| value.escape_debug().to_string()).collect();
                    if values.is_empty() { "-".to_owned() } else { values.join(" & ") }
                };
                compare(&name, shown(ours), shown(theirs));
            }
            compare("reason", ours.reason.clone(), theirs.reason.clone());
            match (environ(ours), environ(theirs)) {
                (Some(ours), Some(theirs)) => {
                    let every: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
                    for key in every {
                        let shown =
                            |environ: &Map<String, Value>| environ.get(key).map_or("-".to_owned(), Value::to_string);
                        if deviations::KEYS.iter().any(|(known, _)| known == key) {
                            if ours.get(key) != theirs.get(key) {
                                keys.insert(key.clone());
                            }
                        } else {
                            compare(key, shown(&ours), shown(&theirs));
                        }
                    }
                }
                _ => compare("body", shown(&ours.body), shown(&theirs.body)),
            }
        }
        let is_ours = |seen: &Seen| seen.responses.last().is_some_and(is_own_page);
        if !(is_ours(own) && is_ours(peer)) {
            compare("connection", own.end.clone(), peer.end.clone());
        }
    } else {
        compare("status", statuses(own), statuses(peer));
    }
    compare("app", own.notes.to_string(), peer.notes.to_string());
    found
}

/// A page that the application has not made.
fn is_own_page(response: &Response) -> bool {
    response.status >= 400 && response.field("x-app").is_none()
}

/// The environ, if that is what the response shows.
fn environ(response: &Response) -> Option<Map<String, Value>> {
    let environ: Map<String, Value> = serde_json::from_slice(&response.body).ok()?;
    environ.contains_key("REQUEST_METHOD").then_some(environ)
}

/// Short bodies as they are, long ones by length and FNV-1a.
fn shown(body: &[u8]) -> String {
    if body.len() <= 64 {
        return format!("{:?}", body.escape_ascii().to_string());
    }
    let hash = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{} bytes {hash:x}", body.len())
}
