//! Gunicorn's notation for lines of the access log, in that of nginx.
//!
//! Owns which variable stands for which. Pure.

/// Letters in parentheses and what they stand for; `-` stands for itself.
const ATOMS: [(&str, &str); 20] = [
    ("h", "${remote_addr}"),
    ("l", "-"),
    ("u", "${remote_user}"),
    ("t", "[${time_local}]"),
    ("r", "${request}"),
    ("m", "${request_method}"),
    ("U", "${uri}"),
    ("q", "${request_query}"),
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
    ("L", "${request_time_exact}"),
    ("p", "<${pid}>"),
];

/// A format in nginx's notation.
#[derive(Debug, PartialEq, Eq)]
pub struct Translated {
    /// The format.
    pub text: String,
    /// Atoms that stand for nothing here, as they were written: `-` is in their place.
    pub unknown: Vec<String>,
}

/// `text` in nginx's notation.
///
/// # Errors
/// A sentence: it is no format.
pub fn translate(text: &str) -> Result<Translated, String> {
    let mut out = String::with_capacity(text.len());
    let mut unknown: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '$']) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if rest[at..].starts_with('$') {
            out.push_str("$$");
            rest = after;
            continue;
        }
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let parts = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let Some((atom, after)) = parts.and_then(|(atom, after)| Some((atom, after_conversion(after)?))) else {
            return Err(format!(
                "\"%{}\" is no \"%(NAME)s\"; the access log stays as it is configured otherwise",
                after.chars().take(8).collect::<String>().escape_debug()
            ));
        };
        match variable(atom) {
            Some(variable) => out.push_str(&variable),
            None => {
                out.push('-');
                let shown = format!("%({})s", atom.escape_debug());
                if !unknown.contains(&shown) {
                    unknown.push(shown);
                }
            }
        }
        rest = after;
    }
    out.push_str(rest);
    if !out.contains('$') {
        return Err(
            "holds nothing that could be told here; the access log stays as it is configured otherwise".to_owned()
        );
    }
    Ok(Translated { text: out, unknown })
}

/// What follows a conversion of Python's `%`: flags and widths, which have no effect, and the letter of a kind.
fn after_conversion(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_digit() || "-+ #.".contains(c));
    text.strip_prefix(['s', 'd', 'i', 'r'])
}

/// Variables of the environ and what they stand for, in lower case.
const ENVIRON: [(&str, &str); 14] = [
    ("remote_addr", "${remote_addr}"),
    ("remote_port", "${remote_port}"),
    ("remote_user", "${remote_user}"),
    ("request_method", "${request_method}"),
    ("raw_uri", "${request_uri}"),
    ("path_info", "${uri}"),
    ("query_string", "${request_query}"),
    ("server_protocol", "${server_protocol}"),
    ("server_name", "${host}"),
    ("server_port", "${server_port}"),
    ("wsgi.url_scheme", "${scheme}"),
    ("content_type", "${http_content_type}"),
    ("content_length", "${http_content_length}"),
    ("https", "${https}"),
];

fn variable(atom: &str) -> Option<String> {
    let known = |table: &[(&str, &str)], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, variable)| (*variable).to_owned())
    };
    if let Some(variable) = known(&ATOMS, atom) {
        return Some(variable);
    }
    let (name, kind) = atom.strip_prefix('{')?.split_once('}')?;
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let name = name.to_ascii_lowercase();
    let field = |name: &str| is_name(name).then(|| name.replace('-', "_"));
    // Braces: what follows may be a letter.
    match kind {
        "i" => Some(format!("${{http_{}}}", field(&name)?)),
        "o" => Some(format!("${{sent_http_{}}}", field(&name)?)),
        "e" => match name.strip_prefix("http_") {
            Some(name) => Some(format!("${{http_{}}}", field(name)?)),
            None => known(&ENVIRON, &name),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access::{Escape, Format};

    fn text(text: &str) -> String {
        let Translated { text, unknown } = translate(text).expect("a format");
        assert_eq!(unknown, Vec::<String>::new(), "{text}");
        text
    }

    #[test]
    fn the_default_of_gunicorn_is_combined() {
        let line = text("%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"");
        assert_eq!(Format::parse(&line, Escape::Default), Ok(Format::combined()));
    }

    #[test]
    fn every_atom_is_a_variable_that_there_is() {
        let of_environ = ENVIRON.map(|(name, _)| format!("{{{}}}e", name.to_uppercase()));
        for atom in ATOMS.map(|(atom, _)| atom.to_owned()).iter().chain(&of_environ) {
            let line = text(&format!("%(h)s%({atom})sx"));
            assert!(Format::parse(&line, Escape::Default).is_ok(), "{line}");
        }
        assert_eq!(text("%({X-Request-Id}i)s %({Vary}o)s"), "${http_x_request_id} ${sent_http_vary}");
        assert_eq!(text("%({HTTP_X_REAL_IP}e)s %({wsgi.url_scheme}e)s"), "${http_x_real_ip} ${scheme}");
        assert_eq!(text("100%% %(D)sus %(D)8d"), "100% ${request_time_us}us ${request_time_us}");
        assert_eq!(text("$5 %(p)s$"), "$$5 <${pid}>$$");
    }

    #[test]
    fn what_there_is_not_is_named() {
        let line = translate("%(h)s %(x)s %({HOME}e)s %(x)s %({}i)s").expect("a format");
        assert_eq!(line.text, "${remote_addr} - - - -");
        assert_eq!(line.unknown, ["%(x)s", "%({HOME}e)s", "%({}i)s"]);
        for (text, part) in [("%(h)s %s", "%s"), ("%(h", "%(h"), ("%(h)x", "%(h)x"), ("%(x)s", "holds nothing")] {
            let error = translate(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
