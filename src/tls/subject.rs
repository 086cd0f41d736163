//! Names in certificates, in the form in which nginx and uWSGI pass them on (RFC 4514, earlier RFC 2253).
//!
//! Pure: DER in, ASCII out.

use std::fmt::Write as _;

use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// `CN=alice,OU=Kitchen,O=Example`: the last part of the name first, everything that is not plain ASCII escaped.
pub(super) fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.into_iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    match oid2abbrev(attribute.attr_type(), oid_registry()) {
        Ok(name) => text.push_str(name),
        Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
    }
    text.push('=');
    match attribute.as_str() {
        Ok(value) => push_escaped(text, value.as_bytes()),
        // RFC 4514 §2.4: what is no string is given as its encoding.
        Err(_) => {
            text.push('#');
            for byte in attribute.as_slice() {
                push_hex(text, *byte);
            }
        }
    }
}

/// RFC 4514 §2.4; bytes beyond ASCII and control characters in hexadecimal as well.
fn push_escaped(text: &mut String, value: &[u8]) {
    for (index, &byte) in value.iter().enumerate() {
        let at_an_end = index == 0 || index + 1 == value.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => text.extend(['\\', char::from(byte)]),
            b'#' if index == 0 => text.push_str("\\#"),
            b' ' if at_an_end => text.push_str("\\ "),
            0x20..0x7f => text.push(char::from(byte)),
            _ => {
                text.push('\\');
                push_hex(text, byte);
            }
        }
    }
}

fn push_hex(text: &mut String, byte: u8) {
    write!(text, "{byte:02X}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn names_are_written_backwards_and_escaped() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example, \"Inc\"");
        params.distinguished_name.push(DnType::OrganizationalUnitName, " Küche ");
        params.distinguished_name.push(DnType::CommonName, "#alice+bob");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).expect("well-formed");
        assert_eq!(distinguished_name(parsed.subject()), r#"CN=\#alice\+bob,OU=\ K\C3\BCche\ ,O=Example\, \"Inc\""#);
    }
}
