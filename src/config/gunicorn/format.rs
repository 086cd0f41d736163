//! Gunicorn's notation for lines of the access log, in that of nginx.
//!
//! Owns which variable stands for which. Pure.

/// Letters in parentheses and what they stand for; `-` stands for itself.
const ATOMS: [(&str, &str); 19] = [
    ("h", "${remote_addr}"),
    ("l", "-"),
    ("u", "${remote_user}"),
    ("t", "[${time_local}]"),
    ("r", "${request}"),
    ("m", "${request_method}"),
    ("U", "${uri}"),
    ("q", "${args}"),
    ("H", "${server_protocol}"),
    ("s", "${status}"),
    ("st", "${status}"),
    ("B", "${body_bytes_sent}"),
    ("b", "${body_bytes_sent}"),
    ("f", "${http_referer}"),
    ("a", "${http_user_agent}"),
    ("T", "${request_time_s}"),
    ("M", "${request_time_ms}"),
    ("D", "${request_time_us}"),
    ("L", "${request_time}"),
];

/// `text` in nginx's notation.
///
/// # Errors
/// A sentence: what of it can't be written there.
pub fn translate(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['%', '$']) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if rest[at..].starts_with('$') {
            return Err("a \"$\" can't stand in the access log's lines; they are in nginx's notation here".to_owned());
        }
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let Some((atom, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(")s")) else {
            return Err(format!(
                "\"%{}\" is no \"%(NAME)s\"",
                after.chars().take(8).collect::<String>().escape_debug()
            ));
        };
        out.push_str(&variable(atom).ok_or_else(|| {
            format!(
                "there is no \"%({})s\" here; the access log stays as it is configured otherwise",
                atom.escape_debug()
            )
        })?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(atom: &str) -> Option<String> {
    if let Some((_, variable)) = ATOMS.iter().find(|(name, _)| *name == atom) {
        return Some((*variable).to_owned());
    }
    let (name, kind) = atom.strip_prefix('{')?.split_once('}')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let name = name.to_ascii_lowercase().replace('-', "_");
    match kind {
        _ if !is_name => None,
        // Braces: what follows may be a letter.
        "i" => Some(format!("${{http_{name}}}")),
        "o" => Some(format!("${{sent_http_{name}}}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access::{Escape, Format};

    #[test]
    fn the_default_of_gunicorn_is_combined() {
        let text = "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"";
        let line = translate(text).expect("all of it is there");
        assert_eq!(Format::parse(&line, Escape::Default), Ok(Format::combined()));
    }

    #[test]
    fn every_atom_is_a_variable_that_there_is() {
        for (atom, _) in ATOMS {
            let line = translate(&format!("%(h)s%({atom})sx")).expect("an atom");
            assert!(Format::parse(&line, Escape::Default).is_ok(), "{line}");
        }
        assert_eq!(
            translate("%({X-Request-Id}i)s %({Vary}o)s").as_deref(),
            Ok("${http_x_request_id} ${sent_http_vary}")
        );
        assert_eq!(translate("100%% %(D)sus").as_deref(), Ok("100% ${request_time_us}us"));
    }

    #[test]
    fn what_there_is_not_is_named() {
        for (text, part) in [
            ("%(p)s", "%(p)s"),
            ("%({HOME}e)s", "{HOME}e"),
            ("%s", "%s"),
            ("%(h", "%(h"),
            ("%({}i)s", "{}i"),
            ("$x", "$"),
        ] {
            let error = translate(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
