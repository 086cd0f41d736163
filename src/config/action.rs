//! What a route does: from the keys of its table to an [`Action`].
//!
//! Owns the check that there is exactly one action, and which other keys go with which.

use super::options;
use super::section::Reader;
use super::static_route::static_options;
use super::types::{Action, StaticConfig, compile};
use super::value::Place;
use crate::base::bounds::FIXED_RESPONSE_BYTES_MAX;
use crate::http::Template;

/// Reads the action of the route at `place`. `expression`: the route's, if it has one. `None` after a problem.
pub fn action(reader: &mut Reader<'_>, place: &Place, expression: Option<&str>) -> Option<Action> {
    if let Some((_, place)) = reader.placed(&options::PROXY) {
        reader.problem(place, "proxy", "is reserved: passing requests on to other servers is not there yet");
        return None;
    }
    let given = [
        ("static", reader.has(&options::STATIC)),
        ("app", reader.has(&options::ROUTE_APP)),
        ("redirect", reader.has(&options::REDIRECT)),
        ("respond", reader.has(&options::RESPOND)),
        ("health", reader.has(&options::HEALTH)),
    ];
    let names: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    let kind = match names[..] {
        [] if reader.has(&options::STATUS) => "status",
        [one] => one,
        [] => {
            let what = "must have an action: static = \"DIRECTORY\", app = true, redirect = \"URL\", respond = \"TEXT\", \
                        health = \"live\" or \"ready\", or status = NUMBER";
            reader.problem(place.clone(), "", what);
            "none"
        }
        [..] => {
            let all = names.join("\" and \"");
            reader.problem(place.clone(), "", format!("has \"{all}\": a route does one thing"));
            "none"
        }
    };
    let directory = reader.optional(&options::STATIC);
    let leads_to_app = reader.optional(&options::ROUTE_APP);
    let target = reader.placed(&options::REDIRECT);
    let body = reader.placed(&options::RESPOND);
    let health = reader.optional(&options::HEALTH);
    let status = reader.placed(&options::STATUS);
    let content_type = reader.placed(&options::CONTENT_TYPE);
    let static_options = static_options(reader, matches!(kind, "static" | "none"));
    let idle: [(&str, Option<&Place>, &str); 2] = [
        ("content_type", place_of(&content_type).filter(|_| kind != "respond"), "\"respond\""),
        (
            "status",
            place_of(&status).filter(|_| matches!(kind, "static" | "app" | "health")),
            "\"redirect\" or \"respond\", or alone",
        ),
    ];
    for (key, place, with) in idle {
        if let (Some(place), true) = (place, kind != "none") {
            reader.problem(place.clone(), key, format!("has an effect only in a route with {with}"));
        }
    }
    match kind {
        "static" => Some(Action::Static(Box::new(StaticConfig { directory: directory?, options: static_options }))),
        "app" => leads_to_app.map(|_| Action::App),
        "redirect" => redirect(reader, target?, status, expression),
        "respond" => respond(reader, body?, status, content_type),
        "health" => health.map(Action::Health),
        "status" => bare(reader, status?),
        _ => None,
    }
}

fn place_of<T>(placed: &Option<(T, Place)>) -> Option<&Place> {
    placed.as_ref().map(|(_, place)| place)
}

fn redirect(
    reader: &mut Reader<'_>,
    (text, place): (String, Place),
    status: Option<(u16, Place)>,
    expression: Option<&str>,
) -> Option<Action> {
    let regex = expression.and_then(|expression| compile(expression).ok());
    let groups: Vec<_> = regex.iter().flat_map(|regex| regex.capture_names()).collect();
    let target = Template::parse(&text, &groups).map_err(|message| reader.problem(place, "redirect", message)).ok();
    let status = match status {
        None => 302,
        Some((status @ (301 | 302 | 303 | 307 | 308), _)) => status,
        Some((status, place)) => {
            let message = format!("must be 301, 302, 303, 307 or 308 with \"redirect\", not {status}");
            reader.problem(place, "status", message);
            return None;
        }
    };
    Some(Action::Redirect { status, target: target? })
}

fn respond(
    reader: &mut Reader<'_>,
    (body, place): (String, Place),
    status: Option<(u16, Place)>,
    content_type: Option<(String, Place)>,
) -> Option<Action> {
    if body.len() > FIXED_RESPONSE_BYTES_MAX {
        let message = format!("must not have more than {FIXED_RESPONSE_BYTES_MAX} bytes; serve a file instead");
        reader.problem(place, "respond", message);
        return None;
    }
    let status = match status {
        None => 200,
        Some((status, _)) if has_body(status) => status,
        Some((status, place)) => {
            reader.problem(place, "status", format!("must be one that can have a body, not {status}"));
            return None;
        }
    };
    let content_type = content_type.map(|(value, _)| value).unwrap_or_else(|| reader.value(&options::CONTENT_TYPE));
    Some(Action::Respond { status, content_type, body })
}

fn bare(reader: &mut Reader<'_>, (status, place): (u16, Place)) -> Option<Action> {
    match status {
        301 | 302 | 303 | 307 | 308 => {
            reader.problem(place, "status", format!("{status} needs redirect = \"URL\""));
            None
        }
        204 => Some(Action::Status(status)),
        _ if has_body(status) => Some(Action::Status(status)),
        _ => {
            reader.problem(place, "status", format!("{status} makes no sense by itself"));
            None
        }
    }
}

/// Whether a response of the server's own may have the status and a body (RFC 9110 §15): no partial content, nothing that needs a
/// validator or a location.
fn has_body(status: u16) -> bool {
    matches!(status, 200..=599) && !matches!(status, 204 | 205 | 206 | 300..=399 | 416)
}
