//! Whole lines: presets, every variable, and what no record can do to a line.

use std::time::Duration;

use proptest::prelude::*;

use super::{Escape, Format, FormatError, Record, Stamp, Tls, Upstream};
use crate::base::bounds::{ACCESS_FORMAT_BYTES_MAX, ACCESS_LINE_BYTES_MAX};

const FIELDS: &[u8] =
    b"Host: Example.com\r\nUser-Agent: curl/8 \"x\"\r\nReferer: http://r/\xff\r\nCookie: a=1; b=2\r\n\
                        Cookie: c=3\r\nAuthorization: Basic dTpw\r\n";

fn record() -> Record<'static> {
    Record {
        remote_addr: "192.0.2.1",
        remote_port: "40000",
        realip_remote_addr: "10.0.0.7",
        realip_remote_port: "4",
        server_addr: "192.0.2.2",
        server_port: "80",
        scheme: "http",
        tls: Tls {
            protocol: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            server_name: "example.com",
            resumed: true,
            client_verify: "SUCCESS",
            client_subject: "CN=a\"b",
        },
        connection: 7,
        connection_requests: 3,
        is_pipelined: true,
        request_line: b"GET /a%20b/../c?x=1&y=2 HTTP/1.1",
        method: b"GET",
        target: b"/a%20b/../c?x=1&y=2",
        uri: b"/c",
        protocol: "HTTP/1.1",
        host: b"Example.com",
        fields: FIELDS,
        response_fields: b"Content-Type: text/plain\r\n",
        status: 200,
        bytes_sent: 1200,
        body_bytes_sent: 1024,
        request_length: 99,
        request_time: Duration::from_micros(12_345_678),
        upstream: Some(Upstream {
            header_time: Some(Duration::from_millis(5)),
            response_time: Duration::from_millis(1007),
        }),
        queue_time: Some(Duration::from_micros(400)),
        request_id: b"0123456789abcdef0123456789abcdef",
        limit_status: "PASSED",
    }
}

fn stamp() -> Stamp {
    Stamp::new(784_111_777, 60)
}

fn written(format: &Format, record: &Record<'_>) -> String {
    let mut out = b"before".to_vec();
    format.write(&mut out, record, &stamp(), 784_111_777_042);
    String::from_utf8(out[6..].to_vec()).expect("a line is text")
}

fn line(format: &str, record: &Record<'_>) -> String {
    let format = Format::parse(format, Escape::Default).expect("a good format");
    written(&format, record).trim_end().to_owned()
}

#[test]
fn presets() {
    let common = "192.0.2.1 - u [06/Nov/1994:09:49:37 +0100] \"GET /a%20b/../c?x=1&y=2 HTTP/1.1\" 200 1024";
    assert_eq!(line("common", &record()), common);
    let combined = format!("{common} \"http://r/\\xFF\" \"curl/8 \\x22x\\x22\"");
    assert_eq!(line("combined", &record()), combined);
    let json: serde_json::Value = serde_json::from_str(&line("json", &record())).expect("JSON");
    assert_eq!(json["time"], "1994-11-06T09:49:37+01:00");
    assert_eq!((&json["status"], &json["request_time"]), (&200.into(), &12.345.into()));
    assert_eq!((&json["user_agent"], &json["referer"]), (&"curl/8 \"x\"".into(), &"http://r/\u{ff}".into()));
    assert_eq!(json["forwarded_for"], serde_json::Value::Null);
}

#[test]
fn absent_values() {
    let nothing = Record { status: 400, ..Record::default() };
    assert_eq!(line("combined", &nothing), "unix: - - [06/Nov/1994:09:49:37 +0100] \"\" 400 0 \"-\" \"-\"");
    let json: serde_json::Value = serde_json::from_str(&line("json", &nothing)).expect("JSON");
    assert_eq!(
        (&json["method"], &json["upstream_response_time"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    // An empty field is there.
    let empty = Record { fields: b"Referer:\r\n", ..nothing };
    assert_eq!(line("[$http_referer][$http_user_agent]", &empty), "[][-]");
    let format = Format::parse("[$http_referer]", Escape::Json).expect("a good format");
    assert_eq!(written(&format, &nothing), "[]\n");
}

#[test]
fn variables() {
    for (variable, expected) in [
        ("$remote_addr", "192.0.2.1"),
        ("$remote_port", "40000"),
        ("$realip_remote_addr:$realip_remote_port", "10.0.0.7:4"),
        ("$remote_user", "u"),
        ("$time_local", "06/Nov/1994:09:49:37 +0100"),
        ("$time_iso8601", "1994-11-06T09:49:37+01:00"),
        ("$msec", "784111777.042"),
        ("$request", "GET /a%20b/../c?x=1&y=2 HTTP/1.1"),
        ("$request_method", "GET"),
        ("$request_uri", "/a%20b/../c?x=1&y=2"),
        ("$uri", "/c"),
        ("$document_uri", "/c"),
        ("$args", "x=1&y=2"),
        ("$query_string", "x=1&y=2"),
        ("$is_args", "?"),
        ("$arg_y", "2"),
        ("$arg_z", "-"),
        ("$server_protocol", "HTTP/1.1"),
        ("$status", "200"),
        ("$body_bytes_sent", "1024"),
        ("$bytes_sent", "1200"),
        ("$request_length", "99"),
        ("$request_time", "12.345"),
        ("$upstream_response_time", "1.007"),
        ("$upstream_header_time", "0.005"),
        ("$upstream_queue_time", "0.000"),
        ("$http_host", "Example.com"),
        ("$http_User_Agent", "curl/8 \\x22x\\x22"),
        ("$http_cookie", "a=1; b=2; c=3"),
        ("$cookie_c", "3"),
        ("$cookie_d", "-"),
        ("$sent_http_content_type", "text/plain"),
        ("$sent_http_etag", "-"),
        ("$host", "example.com"),
        ("$server_addr", "192.0.2.2"),
        ("$server_port", "80"),
        ("$scheme", "http"),
        ("$https", "-"),
        ("$ssl_protocol", "TLSv1.3"),
        ("$ssl_cipher", "TLS_AES_128_GCM_SHA256"),
        ("$ssl_server_name", "example.com"),
        ("$ssl_session_reused", "r"),
        ("$ssl_client_verify", "SUCCESS"),
        ("$ssl_client_s_dn", "CN=a\\x22b"),
        ("$request_id", "0123456789abcdef0123456789abcdef"),
        ("$connection", "7"),
        ("$connection_requests", "3"),
        ("$pipe", "p"),
        ("${status}x", "200x"),
        ("a$status-$status", "a200-200"),
    ] {
        assert_eq!(line(variable, &record()), expected, "{variable}");
    }
}

#[test]
fn every_name_that_is_offered_is_taken() {
    for name in Format::names() {
        let text =
            if ["combined", "common", "json", "short"].contains(&name) { name.to_owned() } else { format!("${name}") };
        assert!(Format::parse(&text, Escape::Default).is_ok(), "{name}");
    }
}

#[test]
fn what_gunicorn_knows_beside_nginx_is_there() {
    let format = Format::parse("$$$request_query|$request_time_exact|$$x$$", Escape::Default).expect("a good format");
    assert_eq!(written(&format, &record()), "$x=1&y=2|12.345678|$x$\n");
    let without = Record { target: b"/c", request_time: Duration::from_micros(7), ..record() };
    assert_eq!(written(&format, &without), "$|0.000007|$x$\n");
    let pid = Format::parse("<$pid>", Escape::Default).expect("a good format");
    assert_eq!(written(&pid, &record()), format!("<{}>\n", std::process::id()));
}

#[test]
fn slips_are_found() {
    let error = |text: &str| Format::parse(text, Escape::Default).expect_err("a bad format");
    assert_eq!(error("$remote_adr"), FormatError::Unknown("remote_adr".to_owned()));
    assert_eq!(error("$http_"), FormatError::Unknown("http_".to_owned()));
    assert_eq!(error("main"), FormatError::NoPreset("main".to_owned()));
    assert_eq!(error(""), FormatError::NoPreset(String::new()));
    assert_eq!(error("a $ b"), FormatError::NoName);
    assert_eq!(error("${status"), FormatError::Unclosed);
    assert_eq!(error("$status\n"), FormatError::Control);
    assert_eq!(error(&"$status".repeat(ACCESS_FORMAT_BYTES_MAX)), FormatError::TooLong);
    let many: String = (0..=FormatError::FIELDS_MAX).map(|n| format!("$http_x{n} ")).collect();
    assert_eq!(error(&many), FormatError::TooManyFields);
}

#[test]
fn a_line_is_bounded_whatever_it_is_made_of() {
    let long = vec![0x01; 40_000];
    let fields = [b"User-Agent: ", long.as_slice(), b"\r\n"].concat();
    let record = Record { request_line: &long, target: &long, fields: &fields, ..record() };
    for preset in ["combined", "common", "json", "$request_uri$request_uri$status"] {
        let line = written(&Format::parse(preset, Escape::Default).expect("a good format"), &record);
        assert!(
            line.len() <= ACCESS_LINE_BYTES_MAX && line.len() > ACCESS_LINE_BYTES_MAX / 2,
            "{preset}: {}",
            line.len()
        );
        assert!(line.ends_with('\n'));
        if preset == "json" {
            let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(json["status"], 200);
        }
    }
}

proptest! {
    #[test]
    fn no_request_breaks_a_line(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        other in prop::collection::vec(any::<u8>(), 0..300),
        status: u16,
    ) {
        let fields = [b"referer: ".as_slice(), &other, b"\r\n", &bytes].concat();
        let record = Record {
            request_line: &bytes, method: &other, target: &bytes, uri: &other, host: &bytes, fields: &fields,
            response_fields: &fields, request_id: &bytes, status, ..record()
        };
        let json = written(&Format::parse("json", Escape::Default).expect("the preset"), &record);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        let all: String = Format::names().skip(4).map(|name| format!("${name} ")).collect();
        for escape in [Escape::Default, Escape::Json] {
            let line = written(&Format::parse(&all, escape).expect("all variables"), &record);
            let inner = line.strip_suffix('\n').expect("a line ends");
            prop_assert!(!inner.chars().any(char::is_control), "{inner:?}");
            prop_assert!(escape == Escape::Json || inner.is_ascii());
        }
    }

    #[test]
    fn any_format_is_taken_or_refused(text in "[a-z_${} \"-]{0,40}") {
        if let Ok(format) = Format::parse(&text, Escape::Default) {
            prop_assert!(written(&format, &record()).ends_with('\n'));
        }
    }
}

#[test]
fn the_short_format_is_for_people() {
    let written = |format: &Format, status: u16| {
        let mut out = Vec::new();
        format.write(&mut out, &Record { status, ..record() }, &stamp(), 0);
        String::from_utf8(out).expect("text")
    };
    let plain = Format::parse("short", Escape::Default).expect("a preset");
    assert_eq!(written(&plain, 200), "09:49:37 200 GET /a%20b/../c?x=1&y=2  1024 B in 12345 ms\n");
    let coloured = Format::coloured();
    for (status, colour) in [(200, 39), (304, 36), (404, 33), (503, 31)] {
        let line = written(&coloured, status);
        let text = written(&plain, status);
        assert_eq!(line, format!("\x1b[{colour}m{}\x1b[0m\n", text.trim_end()));
    }
    // What a client sends stays text.
    let foreign = Record { target: b"/\x1b[2J", ..record() };
    let mut out = Vec::new();
    coloured.write(&mut out, &foreign, &stamp(), 0);
    assert_eq!(out.iter().filter(|&&byte| byte == 0x1b).count(), 2);
}
