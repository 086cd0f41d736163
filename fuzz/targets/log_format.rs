//! Formats of the access log: any text is refused in one line, or makes of any request a line that is bounded, ends once, and holds nothing
//! of the request that could end it.
//!
//! Input: a byte for the escaping, the format, a NUL, then a request as it arrived; its fields are the response's too.

use std::time::Duration;

use maitred::base::bounds::ACCESS_LINE_BYTES_MAX;
use maitred::http::head::{Parse, parse};
use maitred::observe::access::{Escape, Format, Record, Stamp, Tls, Upstream};

use super::choices;

pub const TARGET: super::Target = super::Target {
    name: "log_format",
    run,
    seeds: &[
        b"\x00combined\0GET /a?b=c HTTP/1.1\r\nHost: a\r\nUser-Agent: \"x\"\\\x80\r\nReferer: b\r\n\r\n",
        b"\x01json\0GET /%0a%22?q=1 HTTP/1.1\r\nHost: A.b:80\r\nAuthorization: Basic YTpi\r\n\r\n",
        b"\x00$remote_addr:$remote_port ${request} $uri $args $arg_q $is_args [$msec]\0GET /x?q=%00&Q=2 HTTP/1.0\r\n\r\n",
        b"\x00$cookie_a $http_cookie $http_a $sent_http_b $host $pipe\t\0GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b\r\nCookie: A=\xff\r\nB: c\r\n\r\n",
        b"\x01{\"u\":\"$request_uri\",\"d\":\"$ssl_client_s_dn\"}$\0POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00${http_\xc3\xa9} $nothing ${status\0GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let Some(([escape], rest)) = choices(input) else { return };
    let escape = [Escape::Default, Escape::Json][escape % 2];
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (format, request) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let Ok(text) = std::str::from_utf8(format) else { return };
    let format = match Format::parse(text, escape) {
        Ok(format) => format,
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && !message.contains('\n'), "{message:?} is more than a line");
            return;
        }
    };
    // A request that is none has a line too, of its first line alone.
    let first = request.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut record = Record { request_line: first.strip_suffix(b"\r").unwrap_or(first), ..Record::default() };
    if let Ok(Parse::Complete { head, .. }) = parse(request) {
        record = Record {
            remote_addr: "192.0.2.1",
            remote_port: "4711",
            request_line: record.request_line,
            method: head.method_name.as_bytes(),
            target: head.raw_target.as_bytes(),
            uri: head.raw_target.as_bytes(),
            protocol: head.version.as_str(),
            host: head.authority.map_or(b"", |authority| authority.host.as_bytes()),
            fields: head.fields.as_bytes(),
            response_fields: head.fields.as_bytes(),
            tls: Tls { client_subject: "CN=\"a\"\\", ..Tls::default() },
            status: 200,
            upstream: Some(Upstream { header_time: None, response_time: Duration::MAX }),
            queue_time: Some(Duration::ZERO),
            ..Record::default()
        };
    }
    let mut line = b"before\n".to_vec();
    format.write(&mut line, &record, &Stamp::new(1_700_000_000, -90), u64::MAX);
    let line = line.strip_prefix(b"before\n").expect("what is there stays");
    assert!(line.len() <= ACCESS_LINE_BYTES_MAX, "{} bytes", line.len());
    let line = line.strip_suffix(b"\n").expect("it ends");
    let broken = line.iter().find(|byte| byte.is_ascii_control() && **byte != b'\t');
    assert_eq!(broken, None, "{}", line.escape_ascii());
    if text == "json" {
        let line = String::from_utf8_lossy(line);
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}
