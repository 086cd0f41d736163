//! `ready` and `liveness` of a program: from their tables to [`CheckConfig`]s, expanded for each process.
//!
//! Owns what a check may be. Opens no connection.

use std::path::Path;
use std::time::Duration;

use super::address::Listen;
use super::error::Problem;
use super::expand::{Meanings, expand};
use super::options;
use super::process::{CheckConfig, Probe};
use super::program_texts::Fault;
use super::section::{Bases, Reader, table};
use super::value::{Place, Placed, Value};
use super::words;

/// A check before it is expanded.
#[derive(Debug, Clone)]
pub(super) struct Check {
    /// `ready` or `liveness`.
    key: &'static str,
    form: Form,
    text: String,
    place: Place,
    template: CheckConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Tcp,
    Http,
    Command,
    Notify,
}

/// The check that `value` gives under `key`; `name` is the dotted name of the program's table.
pub(super) fn check(
    (value, place): (Value, Place),
    key: &'static str,
    name: &str,
    bases: Bases<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Check> {
    let name = format!("{name}.{key}");
    let before = problems.len();
    let own = table(Placed { place: place.clone(), value }, &name, &format!("{key} = {{ … }}"), problems)?;
    let mut reader = Reader::new(own, &name, options::CHECK.options, bases, problems);
    let mut forms = Vec::new();
    let texts = [
        (Form::Tcp, &options::CHECK_TCP),
        (Form::Http, &options::CHECK_HTTP),
        (Form::Command, &options::CHECK_COMMAND),
    ];
    for (form, option) in texts {
        forms.extend(reader.placed(option).map(|(text, place)| (form, text, place)));
    }
    forms.extend(reader.placed(&options::CHECK_NOTIFY).map(|(_, place)| (Form::Notify, String::new(), place)));
    let usual = Duration::from_millis(if key == "ready" { 500 } else { 10_000 });
    let template = CheckConfig {
        probe: Probe::Notify,
        interval: reader.optional(&options::CHECK_INTERVAL).unwrap_or(usual),
        timeout: reader.value(&options::CHECK_TIMEOUT),
        failures: reader.value(&options::CHECK_FAILURES),
        within: reader.value(&options::CHECK_WITHIN),
    };
    if forms.len() != 1 {
        reader.problem(place, "", "must have exactly one of \"tcp\", \"http\", \"command\" and \"notify\"");
    }
    reader.finish();
    let (form, text, place) = forms.pop()?;
    (problems.len() == before).then_some(Check { key, form, text, place, template })
}

impl Check {
    /// The check of one process.
    pub fn expanded(&self, meanings: &Meanings, base: &Path) -> Result<CheckConfig, Fault> {
        let fault = |message: String| (self.place.clone(), self.key, message);
        let text = expand(&self.text, meanings).map_err(fault)?;
        let probe = match self.form {
            Form::Tcp => Probe::Connect(address(&text, base).map_err(fault)?),
            Form::Http => http(&text, base).map_err(fault)?,
            Form::Command => match words::split(&text).map_err(fault)? {
                words if words.is_empty() || text.contains('\0') => {
                    return Err(fault("must be a command without NUL".to_owned()));
                }
                words => Probe::Command(words),
            },
            Form::Notify => Probe::Notify,
        };
        Ok(CheckConfig { probe, ..self.template.clone() })
    }
}

fn address(text: &str, base: &Path) -> Result<Listen, String> {
    match Listen::parse(text, base)? {
        Listen::Tcp(address) if address.port() == 0 => Err(format!("\"{}\" has no port", text.escape_debug())),
        address => Ok(address),
    }
}

fn http(url: &str, base: &Path) -> Result<Probe, String> {
    let wrong = || {
        format!(
            "\"{}\" is no URL such as \"http://127.0.0.1:8001/health\", with an IP address or localhost",
            url.escape_debug()
        )
    };
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !is_visible(host) || !is_visible(target) || target.contains('#') {
        return Err(wrong());
    }
    // A port after the last colon, unless that is within an IPv6 address.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
    let address = address(&with_port, base).map_err(|_| wrong())?;
    let target = if target.is_empty() { "/" } else { target };
    Ok(Probe::Http { address, host: host.to_owned(), target: target.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, expected) in [
            ("http://127.0.0.1:8001/health?x=1", Some(("127.0.0.1:8001", "127.0.0.1:8001", "/health?x=1"))),
            ("http://localhost", Some(("127.0.0.1:80", "localhost", "/"))),
            ("http://[::1]/a", Some(("[::1]:80", "[::1]", "/a"))),
            ("http://[::1]:81/a", Some(("[::1]:81", "[::1]:81", "/a"))),
            ("https://127.0.0.1/", None),
            ("http://example.com/", None),
            ("http://u@127.0.0.1/", None),
            ("http://127.0.0.1/a b", None),
            ("http:///a", None),
        ] {
            let found = match http(url, Path::new("/")).ok() {
                Some(Probe::Http { address: Listen::Tcp(address), host, target }) => {
                    Some((address.to_string(), host, target))
                }
                _ => None,
            };
            let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
            assert_eq!(found, expected, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_url_is_taken_or_refused(url in "(http://)?[a-z0-9.:/@#\\[\\] -]{0,24}") {
            let _ = http(&url, Path::new("/"));
        }
    }
}
