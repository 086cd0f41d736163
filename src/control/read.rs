//! Calls and responses from XML.
//!
//! Owns what is accepted: no document type, no entities but XML's own, and bounds on depth and number of values.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::{Call, Fault, Value};
use crate::base::bounds::{CONTROL_DEPTH_MAX, CONTROL_VALUES_MAX};

/// What was read is no call, or no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads a call.
///
/// # Errors
/// It is none.
pub fn parse_call(body: &[u8]) -> Result<Call, Malformed> {
    let mut document = Document::new(body)?;
    document.enter("methodCall")?;
    document.enter("methodName")?;
    let method = document.text_until("methodName")?.trim().to_owned();
    if method.is_empty() {
        return Err(Malformed("no method's name"));
    }
    let params = match document.next()? {
        Token::Open(name) if name == "params" => document.params()?,
        Token::Close(name) if name == "methodCall" => Vec::new(),
        _ => return Err(Malformed("no parameters where they should be")),
    };
    Ok(Call { method, params })
}

/// Reads a response: a value or a fault.
///
/// # Errors
/// It is neither.
pub fn parse_response(body: &[u8]) -> Result<Result<Value, Fault>, Malformed> {
    let mut document = Document::new(body)?;
    document.enter("methodResponse")?;
    match document.next()? {
        Token::Open(name) if name == "params" => {
            let mut params = document.params()?;
            if params.len() == 1 { Ok(Ok(params.remove(0))) } else { Err(Malformed("not one value")) }
        }
        Token::Open(name) if name == "fault" => {
            document.enter("value")?;
            let value = document.value(0)?;
            let code = value.member("faultCode").and_then(Value::as_int).ok_or(Malformed("a fault without a code"))?;
            let text = value.member("faultString").and_then(Value::as_text).unwrap_or_default().to_owned();
            Ok(Err(Fault { code, text }))
        }
        _ => Err(Malformed("neither a value nor a fault")),
    }
}

#[derive(Debug)]
enum Token {
    Open(String),
    Close(String),
    Text(String),
}

struct Document<'b> {
    reader: Reader<&'b [u8]>,
    /// The end of an element that was empty: `<nil/>`.
    pending: Option<String>,
    values: usize,
}

impl<'b> Document<'b> {
    fn new(body: &'b [u8]) -> Result<Document<'b>, Malformed> {
        std::str::from_utf8(body).map_err(|_| Malformed("not UTF-8"))?;
        Ok(Document { reader: Reader::from_reader(body), pending: None, values: 0 })
    }

    /// The next token as it is; texts between two tags may come in pieces.
    fn token(&mut self) -> Result<Token, Malformed> {
        if let Some(name) = self.pending.take() {
            return Ok(Token::Close(name));
        }
        loop {
            let event = self.reader.read_event().map_err(|_| Malformed("not well-formed"))?;
            return Ok(match event {
                Event::Start(tag) => Token::Open(tag.name().as_ref().to_owned()),
                Event::End(tag) => Token::Close(tag.name().as_ref().to_owned()),
                Event::Empty(tag) => {
                    let name = tag.name().as_ref().to_owned();
                    self.pending = Some(name.clone());
                    Token::Open(name)
                }
                Event::Text(text) => Token::Text(text.to_string()),
                Event::CData(text) => Token::Text(text.to_string()),
                Event::GeneralRef(reference) => Token::Text(entity(&reference)?.to_string()),
                Event::Decl(_) | Event::Comment(_) => continue,
                Event::PI(_) | Event::DocType(_) => return Err(Malformed("more than a document's elements")),
                Event::Eof => return Err(Malformed("it ends too early")),
            });
        }
    }

    /// The next tag; what stands between tags must be blank.
    fn next(&mut self) -> Result<Token, Malformed> {
        loop {
            match self.token()? {
                Token::Text(text) if text.trim().is_empty() => {}
                Token::Text(_) => return Err(Malformed("text where there should be none")),
                tag => return Ok(tag),
            }
        }
    }

    fn enter(&mut self, name: &str) -> Result<(), Malformed> {
        match self.next()? {
            Token::Open(found) if found == name => Ok(()),
            _ => Err(Malformed("an element is missing")),
        }
    }

    fn leave(&mut self, name: &str) -> Result<(), Malformed> {
        match self.next()? {
            Token::Close(found) if found == name => Ok(()),
            _ => Err(Malformed("an element does not end where it should")),
        }
    }

    /// All text until the end of the element `name`, which holds nothing else.
    fn text_until(&mut self, name: &str) -> Result<String, Malformed> {
        let mut all = String::new();
        loop {
            match self.token()? {
                Token::Text(text) => all.push_str(&text),
                Token::Close(found) if found == name => return Ok(all),
                _ => return Err(Malformed("an element where there should be text")),
            }
        }
    }

    /// After `<params>`.
    fn params(&mut self) -> Result<Vec<Value>, Malformed> {
        let mut params = Vec::new();
        loop {
            match self.next()? {
                Token::Open(name) if name == "param" => {
                    self.enter("value")?;
                    params.push(self.value(0)?);
                    self.leave("param")?;
                }
                Token::Close(name) if name == "params" => return Ok(params),
                _ => return Err(Malformed("something else than a parameter")),
            }
        }
    }

    /// After `<value>`, up to and with its end.
    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        self.values += 1;
        if depth > CONTROL_DEPTH_MAX || self.values > CONTROL_VALUES_MAX {
            return Err(Malformed("too many values, or too deep ones"));
        }
        let mut plain = String::new();
        let kind = loop {
            match self.token()? {
                Token::Text(text) => plain.push_str(&text),
                // A value without a type is a string.
                Token::Close(name) if name == "value" => return Ok(Value::Text(plain)),
                Token::Open(name) if plain.trim().is_empty() => break name,
                _ => return Err(Malformed("a value that is none")),
            }
        };
        let value = match kind.as_str() {
            "array" => self.array(depth)?,
            "struct" => self.members(depth)?,
            _ => {
                let text = self.text_until(&kind)?;
                scalar(&kind, text)?
            }
        };
        self.leave("value")?;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, Malformed> {
        self.enter("data")?;
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Token::Open(name) if name == "value" => items.push(self.value(depth + 1)?),
                Token::Close(name) if name == "data" => break,
                _ => return Err(Malformed("something else than a value in an array")),
            }
        }
        self.leave("array")?;
        Ok(Value::Array(items))
    }

    fn members(&mut self, depth: usize) -> Result<Value, Malformed> {
        let mut members = Vec::new();
        loop {
            match self.next()? {
                Token::Open(name) if name == "member" => {
                    self.enter("name")?;
                    let name = self.text_until("name")?;
                    self.enter("value")?;
                    members.push((name, self.value(depth + 1)?));
                    self.leave("member")?;
                }
                Token::Close(name) if name == "struct" => return Ok(Value::Struct(members)),
                _ => return Err(Malformed("something else than a member in a struct")),
            }
        }
    }
}

fn scalar(kind: &str, text: String) -> Result<Value, Malformed> {
    let trimmed = text.trim();
    match kind {
        "string" => Ok(Value::Text(text)),
        "int" | "i4" => trimmed.parse().map(Value::Int).map_err(|_| Malformed("not a number of 32 bits")),
        "boolean" => match trimmed {
            "0" => Ok(Value::Bool(false)),
            "1" => Ok(Value::Bool(true)),
            _ => Err(Malformed("neither true nor false")),
        },
        "double" => match trimmed.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Double(number)),
            _ => Err(Malformed("not a number")),
        },
        "nil" if trimmed.is_empty() => Ok(Value::Nil),
        "base64" => base64(trimmed)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Value::Text)
            .ok_or(Malformed("not base64 of text")),
        _ => Err(Malformed("a type that is unknown")),
    }
}

/// XML's own entities and characters by number (XML 1.0 §4.1, §4.6).
fn entity(name: &str) -> Result<char, Malformed> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#') {
            Some(digits) => digits.strip_prefix('x').map_or_else(|| number(digits, 10), |hex| number(hex, 16)),
            None => None,
        },
    }
    .filter(|c| *c != '\0')
    .ok_or(Malformed("an entity that is not XML's own"))
}

/// The bytes that base64 stands for (RFC 4648 §4), with white space anywhere; padding may be missing.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count, mut padding) = (0_u32, 0_u32, 0);
    for c in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    if padding > 2 { None } else { Some(bytes) }
}
