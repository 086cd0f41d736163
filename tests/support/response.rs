//! One response as the client saw it, and the strict reading of its head.

use super::client::ReadError;

/// Status, fields in order, body.
#[derive(Debug, Clone)]
pub struct Response {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// Status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Names as sent, values without surrounding blanks.
    pub fields: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

/// How a response's body ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body at all: HEAD, 1xx, 204, 304.
    Nothing,
    /// So many bytes are left.
    Length(u64),
    /// Chunks up to the one of size zero.
    Chunked,
    /// Everything up to the end of the connection.
    Close,
}

impl Response {
    /// The field's value. Panics when it occurs twice: none of the fields that tests ask for may.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.all(name);
        assert!(found.len() < 2, "{name} occurs {} times", found.len());
        found.first().copied()
    }

    /// Every value of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// True when the response says that the connection ends with it.
    pub fn closes(&self) -> bool {
        self.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Reads a head (up to and without the empty line). Anything that RFC 9112 doesn't allow a server to send is an error.
    pub fn from_head(head: &[u8]) -> Result<Response, ReadError> {
        let text: String = head.iter().copied().map(char::from).collect();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let (version, rest) = first.split_once(' ').ok_or_else(|| bad("status line", first))?;
        let code = rest.get(..3).ok_or_else(|| bad("status code", first))?;
        let status = code.parse().map_err(|_| bad("status code", first))?;
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || !rest[3..].starts_with(' ') {
            return Err(bad("status line", first));
        }
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| bad("field", line))?;
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let control = |c: char| c != '\t' && c.is_control();
            if name.is_empty() || !name.chars().all(token) || value.contains(control) {
                return Err(bad("field", line));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        let reason = rest[4..].to_owned();
        Ok(Response { version: version.to_owned(), status, reason, fields, body: Vec::new() })
    }

    /// The framing of the body in answer to `method`; contradictions are errors.
    pub fn framing(&self, method: &str) -> Result<Framing, ReadError> {
        let lengths = self.all("content-length");
        let codings = self.all("transfer-encoding");
        let bodiless = self.status < 200 || self.status == 204;
        if lengths.len() + codings.len() > 1 {
            return Err(bad("framing", &format!("{:?}", self.fields)));
        }
        if bodiless && (!lengths.is_empty() || !codings.is_empty()) {
            return Err(bad("framing of a status without body", &format!("{self:?}")));
        }
        if bodiless || self.status == 304 || method == "HEAD" {
            return Ok(Framing::Nothing);
        }
        match (lengths.first(), codings.first()) {
            (Some(length), _) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map(Framing::Length).map_err(|_| bad("Content-Length", length))
            }
            (Some(length), _) => Err(bad("Content-Length", length)),
            (_, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            (_, Some(coding)) => Err(bad("Transfer-Encoding", coding)),
            (None, None) => Ok(Framing::Close),
        }
    }
}

fn bad(what: &str, text: &str) -> ReadError {
    ReadError::Malformed(format!("{what}: {text:?}"))
}
