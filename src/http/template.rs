//! Targets of redirects: text with variables and captures, written as the value of a Location field (RFC 9110 §10.2.2).
//!
//! Owns nginx's variable names and the encoding of what a client sent: no byte of a request can end the field, and none can become part of
//! the host that the redirect leads to. It never looks a route up and never sends. Parsed by `config` at load, filled in by `shard`.

use std::fmt::Write as _;
use std::ops::Range;

use crate::base::bounds::TEMPLATE_BYTES_MAX;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
    /// A group of the route's expression.
    Group(usize),
}

/// The variables, named as in nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Host,
    Uri,
    Args,
    IsArgs,
    RequestUri,
    Scheme,
}

const VARIABLES: [(&str, Variable); 6] = [
    ("host", Variable::Host),
    ("uri", Variable::Uri),
    ("args", Variable::Args),
    ("is_args", Variable::IsArgs),
    ("request_uri", Variable::RequestUri),
    ("scheme", Variable::Scheme),
];

/// What a request has for the variables.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The host, without port.
    pub host: &'a str,
    /// The path: decoded and normal.
    pub path: &'a [u8],
    /// The path as it was sent.
    pub raw_path: &'a str,
    /// The query as it was sent.
    pub query: Option<&'a str>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Where the groups of the route's expression matched in `path`; the first is the whole match.
    pub groups: &'a [Option<Range<usize>>],
}

impl Template {
    /// Parses `text`: `$name`, `${name}`, `$1`, `${12}`, and `$$` for a dollar sign. `groups` are the names of the route's groups, the whole
    /// match first; none for a route without an expression.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str, groups: &[Option<&str>]) -> Result<Template, String> {
        if text.is_empty() || text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("must have from 1 to {TEMPLATE_BYTES_MAX} bytes"));
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!(
                "must be visible ASCII without blanks; \"{}\" has to be percent-encoded",
                c.escape_debug()
            ));
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                plain.push('$');
                rest = after;
                continue;
            }
            let (name, after) = reference(rest)?;
            rest = after;
            let part = part(name, groups)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let template = Template { parts };
        template.check_host()?;
        Ok(template)
    }

    /// Whether the template names groups of the expression, so that those have to be found.
    pub fn has_groups(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Group(_)))
    }

    /// The field value for a request: visible ASCII whatever the request holds.
    pub fn fill(&self, values: &Values<'_>) -> Vec<u8> {
        let mut out = String::with_capacity(128);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(index) => {
                    let found = values.groups.get(*index).cloned().flatten().and_then(|range| values.path.get(range));
                    encode_decoded(&mut out, found.unwrap_or_default());
                }
                Part::Variable(variable) => match variable {
                    Variable::Host => encode_sent(&mut out, values.host.to_ascii_lowercase().as_bytes()),
                    Variable::Uri => encode_decoded(&mut out, values.path),
                    Variable::Args => encode_sent(&mut out, values.query.unwrap_or_default().as_bytes()),
                    Variable::IsArgs => {
                        out.push_str(if values.query.is_some_and(|query| !query.is_empty()) { "?" } else { "" })
                    }
                    Variable::RequestUri => {
                        encode_sent(&mut out, values.raw_path.as_bytes());
                        if let Some(query) = values.query {
                            out.push('?');
                            encode_sent(&mut out, query.as_bytes());
                        }
                    }
                    Variable::Scheme => out.push_str(values.scheme),
                },
            }
        }
        if !matches!(self.parts.first(), Some(Part::Text(_))) {
            // A browser takes what follows two slashes for a host.
            let slashes = out.bytes().take_while(|&byte| byte == b'/').count();
            out.drain(..slashes.saturating_sub(1));
        }
        out.into_bytes()
    }

    /// What directly follows a host becomes part of it: `$1` behind `https://example.com` could make it another one.
    fn check_host(&self) -> Result<(), String> {
        let mut before = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => before.push_str(text),
                Part::Variable(Variable::Host) => before.push('h'),
                Part::Variable(Variable::Scheme) => before.push_str("http"),
                // These begin with a slash.
                Part::Variable(Variable::Uri | Variable::RequestUri) => before.push('/'),
                Part::Variable(Variable::Args | Variable::IsArgs) | Part::Group(_) => {
                    let authority = before.find("//").filter(|&at| at == 0 || before[..at].ends_with(':'));
                    if authority.is_some_and(|at| !before[at + 2..].contains(['/', '?', '#'])) {
                        return Err(
                            "what a client sends could become part of the host: put a \"/\" behind the host".to_owned()
                        );
                    }
                    before.push('x');
                }
            }
        }
        Ok(())
    }
}

/// The name behind a dollar sign, and what follows it.
fn reference(rest: &str) -> Result<(&str, &str), String> {
    if let Some(inner) = rest.strip_prefix('{') {
        return inner.split_once('}').ok_or_else(|| "has a \"${\" without its \"}\"".to_owned());
    }
    let bytes = rest.as_bytes();
    // As in nginx, `$10` is the first group and a zero.
    let len = match bytes.first() {
        Some(byte) if byte.is_ascii_digit() => 1,
        _ => bytes.iter().take_while(|&&byte| byte == b'_' || byte.is_ascii_alphanumeric()).count(),
    };
    match len {
        0 => Err("has a \"$\" without a name; a dollar sign itself is written \"$$\"".to_owned()),
        len => Ok(rest.split_at(len)),
    }
}

fn part(name: &str, groups: &[Option<&str>]) -> Result<Part, String> {
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return match groups.contains(&Some(name)) {
            true => Err(format!("\"${name}\" is a variable: give the group another name")),
            false => Ok(Part::Variable(*variable)),
        };
    }
    if let Ok(index) = name.parse::<usize>() {
        return match index < groups.len() {
            true => Ok(Part::Group(index)),
            false if groups.is_empty() => Err(format!("\"${name}\" needs a route with \"regex\"")),
            false => Err(format!("\"${name}\": the expression's last group is \"${}\"", groups.len() - 1)),
        };
    }
    match groups.iter().position(|group| *group == Some(name)) {
        Some(index) => Ok(Part::Group(index)),
        None => {
            let known = VARIABLES.map(|(name, _)| format!("${name}")).join(", ");
            Err(format!("\"${name}\" is neither a group of the expression nor one of {known}"))
        }
    }
}

/// Bytes that stand for themselves in a path (RFC 3986 §3.3).
const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
        )
}

/// Decoded bytes of a path, encoded anew.
pub fn encode_decoded(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match is_path_byte(byte) {
            true => out.push(char::from(byte)),
            false => write!(out, "%{byte:02X}").expect("a String takes everything"),
        }
    }
}

/// What was sent in encoded form: only what may not stand in a URI is encoded (RFC 3986 §2).
pub fn encode_sent(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match is_path_byte(byte) || matches!(byte, b'%' | b'?' | b'[' | b']') {
            true => out.push(char::from(byte)),
            false => write!(out, "%{byte:02X}").expect("a String takes everything"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUES: Values<'static> = Values {
        host: "Example.com",
        path: b"/old/a b\xff",
        raw_path: "/old/a%20b%ff",
        query: Some("q=1&r=\"2\""),
        scheme: "http",
        groups: &[Some(0..9), Some(5..9), None],
    };

    fn filled(text: &str) -> String {
        let template = Template::parse(text, &[None, Some("rest"), None]).expect(text);
        String::from_utf8(template.fill(&VALUES)).expect("ASCII")
    }

    #[test]
    fn variables_and_groups_are_filled_in() {
        for (text, expected) in [
            ("https://example.com/", "https://example.com/"),
            ("https://example.com/$1", "https://example.com/a%20b%FF"),
            ("https://example.com/${1}0", "https://example.com/a%20b%FF0"),
            ("/new/$rest$is_args$args", "/new/a%20b%FF?q=1&r=%222%22"),
            ("/$2end", "/end"),
            ("$scheme://$host$uri", "http://example.com/old/a%20b%FF"),
            ("https://www.$host$request_uri", "https://www.example.com/old/a%20b%ff?q=1&r=%222%22"),
            ("/a$$b", "/a$b"),
            ("$uri/", "/old/a%20b%FF/"),
            ("/p/$0", "/p//old/a%20b%FF"),
        ] {
            assert_eq!(filled(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, said) in [
            ("", "from 1 to"),
            ("/a b", "percent-encoded"),
            ("/\r\nX: y", "percent-encoded"),
            ("/$", "without a name"),
            ("/${host", "without its"),
            ("/$3", "last group is \"$2\""),
            ("/$nothing", "neither a group"),
            ("https://example.com$1", "part of the host"),
            ("//example.com$rest/", "part of the host"),
            ("https://$1/", "part of the host"),
            ("https://$host$args", "part of the host"),
        ] {
            let error = Template::parse(text, &[None, Some("rest"), None]).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(Template::parse("/$1", &[]).expect_err("no groups").contains("\"regex\""));
        assert!(Template::parse("/$host", &[None, Some("host")]).expect_err("ambiguous").contains("another name"));
        assert!(Template::parse(&"/".repeat(TEMPLATE_BYTES_MAX + 1), &[]).is_err());
    }

    #[test]
    fn no_redirect_begins_with_a_foreign_host() {
        let values = Values { raw_path: "//evil.example/", groups: &[Some(0..2), Some(0..2)], path: b"//", ..VALUES };
        for text in ["$request_uri", "$1evil.example", "$uri"] {
            let location = Template::parse(text, &[None, None]).expect(text).fill(&values);
            assert!(location.starts_with(b"/") && !location.starts_with(b"//"), "{text}: {location:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_client_sends_ends_the_field(
            host in ".{0,20}", path in proptest::collection::vec(any::<u8>(), 0..40), raw in ".{0,40}", query in proptest::option::of(".{0,40}"),
        ) {
            let template = Template::parse("/$host/$uri/$args/$is_args/$request_uri/$scheme/$1", &[None, None]).expect("a template");
            let groups = [Some(0..path.len()), Some(0..path.len() + 1)];
            let values = Values { host: &host, path: &path, raw_path: &raw, query: query.as_deref(), scheme: "http", groups: &groups };
            let location = template.fill(&values);
            prop_assert!(location.iter().all(u8::is_ascii_graphic), "{location:?}");
        }

        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,40}") {
            let _ = Template::parse(&text, &[None, None]);
        }
    }
}
