//! Values, calls and responses as XML, in the form that Python's `xmlrpc.client` gives them.

use std::fmt::Write as _;

use super::{Call, Fault, Value};

/// A call's document.
pub fn write_call(call: &Call) -> String {
    let mut out = String::from("<?xml version='1.0'?>\n<methodCall>\n<methodName>");
    escape(&call.method, &mut out);
    out.push_str("</methodName>\n<params>\n");
    for value in &call.params {
        out.push_str("<param>\n");
        write_value(value, &mut out);
        out.push_str("</param>\n");
    }
    out.push_str("</params>\n</methodCall>\n");
    out
}

/// A response's document.
pub fn write_response(value: &Value) -> String {
    let mut out = String::from("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n");
    write_value(value, &mut out);
    out.push_str("</param>\n</params>\n</methodResponse>\n");
    out
}

/// A fault's document.
pub fn write_fault(fault: &Fault) -> String {
    let mut out = String::from("<?xml version='1.0'?>\n<methodResponse>\n<fault>\n");
    let members = vec![
        ("faultCode".to_owned(), Value::Int(fault.code)),
        ("faultString".to_owned(), Value::Text(fault.text.clone())),
    ];
    write_value(&Value::Struct(members), &mut out);
    out.push_str("</fault>\n</methodResponse>\n");
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Int(number) => writeln!(out, "<value><int>{number}</int></value>"),
        Value::Bool(flag) => writeln!(out, "<value><boolean>{}</boolean></value>", u8::from(*flag)),
        Value::Double(number) => writeln!(out, "<value><double>{number}</double></value>"),
        Value::Nil => writeln!(out, "<value><nil/></value>"),
        Value::Text(text) => {
            out.push_str("<value><string>");
            escape(text, out);
            writeln!(out, "</string></value>")
        }
        Value::Array(items) => {
            out.push_str("<value><array><data>\n");
            items.iter().for_each(|item| write_value(item, out));
            writeln!(out, "</data></array></value>")
        }
        Value::Struct(members) => {
            out.push_str("<value><struct>\n");
            for (name, value) in members {
                out.push_str("<member>\n<name>");
                escape(name, out);
                out.push_str("</name>\n");
                write_value(value, out);
                out.push_str("</member>\n");
            }
            writeln!(out, "</struct></value>")
        }
    }
    .expect("a String takes everything");
}

/// Base64 with padding (RFC 4648 §4).
pub fn encode_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// Characters that XML 1.0 can't hold at all (§2.2) become U+FFFD.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A plain carriage return would be read as a newline (§2.11).
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}
