//! Formats of log lines, parsed once.
//!
//! Owns the presets and the syntax: literal text, `$name` and `${name}`, as in nginx's `log_format`, and `$$` for a `$`. Called by `config`, so that
//! a slip is found at the start; what is parsed is written by [`super::write`].

use std::fmt;

use super::escape::Escape;
use super::fields::NAMES_MAX;
use super::variable::{self, PREFIXES, Variable};
use crate::base::bounds::ACCESS_FORMAT_BYTES_MAX;

/// nginx's `combined`, to the byte.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
                        \"$http_referer\" \"$http_user_agent\"";
/// The Common Log Format: `combined` without its last two.
const COMMON: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent";
/// Keys of `json`, in this order.
const JSON: [(&str, &str); 17] = [
    ("time", "time_iso8601"),
    ("remote_addr", "remote_addr"),
    ("remote_user", "remote_user"),
    ("method", "request_method"),
    ("uri", "request_uri"),
    ("protocol", "server_protocol"),
    ("host", "host"),
    ("status", "status"),
    ("body_bytes_sent", "body_bytes_sent"),
    ("request_length", "request_length"),
    ("request_time", "request_time"),
    ("upstream_queue_time", "upstream_queue_time"),
    ("upstream_response_time", "upstream_response_time"),
    ("referer", "http_referer"),
    ("user_agent", "http_user_agent"),
    ("forwarded_for", "http_x_forwarded_for"),
    ("request_id", "request_id"),
];
/// What is worth knowing while one works on a site.
const SHORT: &str = "$time_of_day $status $request_method $request_uri  $body_bytes_sent B in $request_time_ms ms";
/// Names of the presets.
const PRESETS: [&str; 4] = ["combined", "common", "json", "short"];

/// A parsed format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub(super) segments: Vec<Segment>,
    /// The least that what follows a segment takes, bytes; one for each segment.
    pub(super) reserves: Vec<usize>,
    pub(super) escape: Escape,
    /// Fields of the request, lower case with underscores.
    pub(super) http: Vec<Vec<u8>>,
    /// Fields of the response.
    pub(super) sent_http: Vec<Vec<u8>>,
    wants: Wants,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Vec<u8>),
    Variable(Variable),
    /// A variable as a JSON value: a number, a string or null.
    Json(Variable),
    /// What makes a terminal go on in the colour of the status.
    Colour,
}

/// What a format needs of a request beyond what is at hand anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The wall clock's milliseconds.
    pub wall_ms: bool,
    /// The response's fields.
    pub response_fields: bool,
    /// The request's id.
    pub request_id: bool,
    /// The path, decoded and normalised.
    pub uri: bool,
    /// Times that have passed.
    pub times: bool,
}

/// What is wrong with a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// No variable has this name.
    Unknown(String),
    /// It holds no variable and is no preset's name.
    NoPreset(String),
    /// No name follows a `$`.
    NoName,
    /// A `{` without `}`.
    Unclosed,
    /// A control character other than the tab would break lines.
    Control,
    /// It names more than [`FIELDS_MAX`](FormatError::FIELDS_MAX) fields of requests, or of responses.
    TooManyFields,
    /// It is longer than any that makes sense.
    TooLong,
}

impl FormatError {
    /// Fields of requests, and of responses, that one format may name.
    pub const FIELDS_MAX: usize = NAMES_MAX;
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Unknown(name) => write!(f, "there is no variable \"${name}\""),
            FormatError::NoPreset(text) => write!(
                f,
                "\"{text}\" is neither \"combined\", \"common\", \"json\" or \"short\" nor a format with variables, such as \"$remote_addr $status\""
            ),
            FormatError::NoName => f.write_str("a \"$\" must be followed by the name of a variable"),
            FormatError::Unclosed => f.write_str("a \"${\" lacks its \"}\""),
            FormatError::Control => f.write_str("must not hold control characters other than tabs"),
            FormatError::TooManyFields => {
                write!(f, "names more than {NAMES_MAX} fields of requests, or of responses")
            }
            FormatError::TooLong => write!(f, "is longer than {ACCESS_FORMAT_BYTES_MAX} bytes"),
        }
    }
}

impl Format {
    /// A preset's name or a format string. `escape` is for format strings: a preset has its own.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, escape: Escape) -> Result<Format, FormatError> {
        let mut format = Format::empty(escape);
        match text {
            "combined" => format.add(COMBINED)?,
            "common" => format.add(COMMON)?,
            "json" => format.add_json()?,
            "short" => format.add(SHORT)?,
            _ if text.len() > ACCESS_FORMAT_BYTES_MAX => return Err(FormatError::TooLong),
            _ if text.chars().any(|c| c.is_control() && c != '\t') => return Err(FormatError::Control),
            _ if !text.contains('$') => return Err(FormatError::NoPreset(text.to_owned())),
            _ => format.add(text)?,
        }
        format.finish();
        Ok(format)
    }

    /// nginx's `combined`.
    pub fn combined() -> Format {
        Format::parse("combined", Escape::Default).expect("the preset is well-formed")
    }

    /// `short` for a terminal: in the colour of its status.
    pub fn coloured() -> Format {
        let mut format = Format::parse("short", Escape::Default).expect("the preset is well-formed");
        format.segments.insert(0, Segment::Colour);
        format.segments.push(Segment::Literal(b"\x1b[0m".to_vec()));
        format.finish();
        format
    }

    /// Names that a misspelt preset or variable may have meant.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.into_iter().chain(variable::names())
    }

    /// What it needs of a request.
    pub fn wants(&self) -> Wants {
        self.wants
    }

    fn empty(escape: Escape) -> Format {
        Format {
            segments: Vec::new(),
            reserves: Vec::new(),
            escape,
            http: Vec::new(),
            sent_http: Vec::new(),
            wants: Wants::default(),
        }
    }

    fn add(&mut self, text: &str) -> Result<(), FormatError> {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            self.literal(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('$') {
                self.literal("$");
                rest = after;
                continue;
            }
            let name;
            (name, rest) = match after.strip_prefix('{') {
                Some(inner) => inner.split_once('}').ok_or(FormatError::Unclosed)?,
                None => {
                    let end = after.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(after.len());
                    after.split_at(end)
                }
            };
            let variable = self.variable(name)?;
            self.segments.push(Segment::Variable(variable));
        }
        self.literal(rest);
        Ok(())
    }

    fn add_json(&mut self) -> Result<(), FormatError> {
        self.escape = Escape::Json;
        for (index, (key, name)) in JSON.iter().enumerate() {
            let before = if index == 0 { "{" } else { "," };
            self.literal(&format!("{before}\"{key}\":"));
            let variable = self.variable(name)?;
            self.segments.push(Segment::Json(variable));
        }
        self.literal("}");
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        if !text.is_empty() {
            self.segments.push(Segment::Literal(text.as_bytes().to_vec()));
        }
    }

    fn variable(&mut self, name: &str) -> Result<Variable, FormatError> {
        if name.is_empty() {
            return Err(FormatError::NoName);
        }
        if let Some(variable) = variable::named(name) {
            self.note(&variable);
            return Ok(variable);
        }
        let unknown = || FormatError::Unknown(name.to_owned());
        let (prefix, rest) =
            PREFIXES.iter().find_map(|prefix| Some((*prefix, name.strip_prefix(prefix)?))).ok_or_else(unknown)?;
        if rest.is_empty() {
            return Err(unknown());
        }
        Ok(match prefix {
            "http_" => Variable::Http(index_of(&mut self.http, rest)?),
            "sent_http_" => {
                self.wants.response_fields = true;
                Variable::SentHttp(index_of(&mut self.sent_http, rest)?)
            }
            "arg_" => Variable::Arg(rest.as_bytes().to_vec()),
            _ => Variable::Cookie(rest.as_bytes().to_vec()),
        })
    }

    fn note(&mut self, variable: &Variable) {
        match variable {
            Variable::Msec => self.wants.wall_ms = true,
            Variable::RequestId => self.wants.request_id = true,
            Variable::Uri => self.wants.uri = true,
            Variable::RequestTime
            | Variable::RequestTimeS
            | Variable::RequestTimeMs
            | Variable::RequestTimeUs
            | Variable::RequestTimeExact => self.wants.times = true,
            _ => {}
        }
    }

    fn finish(&mut self) {
        /// No number and no time is longer, nor is what stands for an absent value.
        const VALUE_BYTES_MAX: usize = 40;
        let mut left = 1;
        self.reserves = self
            .segments
            .iter()
            .rev()
            .map(|segment| {
                let after = left;
                left += match segment {
                    Segment::Literal(text) => text.len(),
                    Segment::Variable(_) | Segment::Json(_) | Segment::Colour => VALUE_BYTES_MAX,
                };
                after
            })
            .collect();
        self.reserves.reverse();
    }
}

/// The index of a field's name in `names`, to which it is added if it is not there.
fn index_of(names: &mut Vec<Vec<u8>>, name: &str) -> Result<usize, FormatError> {
    let name = name.to_ascii_lowercase().into_bytes();
    if let Some(index) = names.iter().position(|known| *known == name) {
        return Ok(index);
    }
    if names.len() == NAMES_MAX {
        return Err(FormatError::TooManyFields);
    }
    names.push(name);
    Ok(names.len() - 1)
}
