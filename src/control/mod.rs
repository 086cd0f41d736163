//! The control protocol: XML-RPC as supervisord and its clients speak it. Pure: bytes in, values out, and back.
//!
//! Owns the wire format, its bounds and the fault codes. Knows no process and no socket: `supervise` serves it, `cli` asks.

mod fault;
mod read;
mod value;
mod write;

pub use fault::{Fault, FaultCode};
pub use read::{Malformed, base64, parse_call, parse_response};
pub use value::Value;
pub use write::{encode_base64, write_call, write_fault, write_response};

/// A method and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `namespace.method`.
    pub method: String,
    /// In order.
    pub params: Vec<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let text = "[ -~äß\u{1F980}<>&\n\t]{0,12}";
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::Int),
            any::<bool>().prop_map(Value::Bool),
            text.prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 24, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                proptest::collection::vec((text, inner), 0..5).prop_map(Value::Struct),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in values(), method in "[a-zA-Z.]{1,20}") {
            prop_assert_eq!(parse_response(write_response(&value).as_bytes()), Ok(Ok(value.clone())));
            let call = Call { method, params: vec![value.clone(), value] };
            prop_assert_eq!(parse_call(write_call(&call).as_bytes()), Ok(call));
        }

        #[test]
        fn base64_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(base64(&encode_base64(&bytes)), Some(bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in "(<|>|/|value|int|struct|member|name|array|data|param|methodCall|x|&|;|lt){0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (parse_call(text.as_bytes()), parse_response(text.as_bytes()));
            let _ = (parse_call(&bytes), parse_response(&bytes));
        }
    }

    #[test]
    fn a_fault_is_told_apart_from_a_value() {
        let fault = Fault::of(FaultCode::BadName, Some("x:y"));
        assert_eq!((fault.code, fault.text.as_str()), (10, "BAD_NAME: x:y"));
        assert_eq!(parse_response(write_fault(&fault).as_bytes()), Ok(Err(fault)));
    }

    #[test]
    fn calls_are_read_as_clients_write_them() {
        let body = b"<?xml version='1.0'?>\n<methodCall>\n<methodName>supervisor.startProcess</methodName>\n<params>\n\
            <param>\n<value><string>a:b</string></value>\n</param>\n<param>\n<value><boolean>1</boolean></value>\n</param>\n\
            <param><value>plain &lt;text&gt;</value></param><param><value><i4>-7</i4></value></param>\
            <param><value><base64>aGk=</base64></value></param><param><value><nil/></value></param>\
            <param><value><double>1.5</double></value></param></params>\n</methodCall>\n";
        let call = parse_call(body).expect("a call");
        assert_eq!(call.method, "supervisor.startProcess");
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = [
            text("a:b"),
            Value::Bool(true),
            text("plain <text>"),
            Value::Int(-7),
            text("hi"),
            Value::Nil,
            Value::Double(1.5),
        ];
        assert_eq!(call.params, expected);
        assert_eq!(parse_call(b"<methodCall><methodName>m</methodName></methodCall>").expect("no params").params, []);
    }

    #[test]
    fn what_is_not_a_call_is_refused() {
        let deep =
            format!("<methodCall><methodName>m</methodName><params><param>{}", "<value><array><data>".repeat(10_000));
        for body in [
            "",
            "<methodCall/>",
            "<methodCall><methodName></methodName></methodCall>",
            "<methodCall><methodName>m</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
            "<methodCall><methodName>m</methodName><params><param><value><int>99999999999</int></value></param></params></methodCall>",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><methodCall><methodName>&a;</methodName></methodCall>",
            "<methodCall><methodName>m</methodName><params><param><value><array>",
            "<html></html>",
            deep.as_str(),
        ] {
            assert!(parse_call(body.as_bytes()).is_err(), "{}", &body[..body.len().min(80)]);
        }
    }
}
