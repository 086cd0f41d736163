//! Tests of the message codec; requests are judged by Python's own `marshal`.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const TOKEN: Token = Token { slot: 0x0102_0304, serial: 0x0506_0708 };

fn environ<'a>(fields: &'a [(&'a [u8], &'a [u8])]) -> Environ<'a> {
    Environ {
        variables: &[],
        method: b"POST",
        target: b"/caf%C3%A9/a%20b?x=1&y=%20",
        script_name: b"/caf\xc3\xa9",
        path: b"/a b",
        query: b"x=1&y=%20",
        protocol: "HTTP/1.1",
        remote_address: "2001:db8::1",
        remote_port: "40000",
        server_name: "example.com",
        server_port: "8000",
        scheme: "http",
        content_length: Some(5),
        request_id: b"",
        fields,
    }
}

/// `repr` of what the `marshal` of python3 reads after the header, dicts in order of their keys.
fn python_reads(messages: &[Vec<u8>]) -> Vec<String> {
    let program = "import marshal, sys\n\
        data = sys.stdin.buffer.read()\n\
        while data:\n    \
            size = int.from_bytes(data[:4], 'little'); part = data[4:4 + size]; data = data[4 + size:]\n    \
            body, environ = marshal.loads(part[16:])\n    \
            print(ascii((body, sorted(environ.items()))))\n";
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is required to run the tests");
    let mut input = python.stdin.take().expect("piped");
    for message in messages {
        input.write_all(&(message.len() as u32).to_le_bytes()).unwrap();
        input.write_all(message).unwrap();
    }
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn request(body: BodyRef<'_>, environ: &Environ<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_request(&mut out, 2, TOKEN, body, environ).expect("small");
    out
}

/// What [`python_reads`] should print for texts given as latin-1.
fn expected(body: &str, pairs: &[(&str, &[u8])]) -> String {
    let mut pairs: Vec<_> = pairs.to_vec();
    pairs.sort();
    let items: Vec<_> = pairs.iter().map(|(key, value)| format!("('{key}', {})", ascii(value))).collect();
    format!("({body}, [{}])", items.join(", "))
}

fn ascii(latin1: &[u8]) -> String {
    let mut out = String::from("'");
    for &byte in latin1 {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out + "'"
}

const BASE: [(&str, &[u8]); 12] = [
    ("REQUEST_METHOD", b"POST"),
    ("SCRIPT_NAME", b"/caf\xc3\xa9"),
    ("PATH_INFO", b"/a b"),
    ("QUERY_STRING", b"x=1&y=%20"),
    ("RAW_URI", b"/caf%C3%A9/a%20b?x=1&y=%20"),
    ("SERVER_PROTOCOL", b"HTTP/1.1"),
    ("REMOTE_ADDR", b"2001:db8::1"),
    ("REMOTE_PORT", b"40000"),
    ("SERVER_NAME", b"example.com"),
    ("SERVER_PORT", b"8000"),
    ("wsgi.url_scheme", b"http"),
    ("CONTENT_LENGTH", b"5"),
];

fn with_base<'a>(more: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, &'a [u8])> {
    BASE.iter().chain(more).copied().collect()
}

#[test]
fn a_header_names_token_and_shard() {
    let message = request(BodyRef::None, &environ(&[]));
    assert_eq!(message[..16], [4, 3, 2, 1, 8, 7, 6, 5, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(request_header(&message), Some((TOKEN, 2)));
    assert_eq!(request_header(&message[..11]), None);
}

#[test]
fn python_reads_the_rules_for_fields() {
    let long = [b'v'; 300];
    let long_name = [b'n'; 300];
    let fields: [(&[u8], &[u8]); 20] = [
        (b"Host", b"example.com"),
        (b"cookie", b"a=1"),
        (b"Accept", b"text/html"),
        (b"COOKIE", b"b=2"),
        (b"accept", b"*/*"),
        (b"Content-Type", b"text/plain"),
        (b"content-type", b"application/json"),
        (b"Content-Length", b"999"),
        (b"Content_Length", b"998"),
        (b"X_Forwarded_For", b"forged"),
        (b"X-Forwarded-For", b"192.0.2.1"),
        (b"Proxy", b"http://evil.example"),
        (b"Connection", b"keep-alive"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Latin", b"caf\xe9"),
        (b"X-Empty", b""),
        (b"X-Long", &long),
        (b"x-latin", b"\xff"),
        (b"X!#$%&'*+.^`|~9", b"\"'\\"),
        (&long_name, b"1"),
    ];
    let long_key = format!("HTTP_{}", "N".repeat(300));
    let more: [(&str, &[u8]); 12] = [
        ("HTTP_HOST", b"example.com"),
        ("HTTP_COOKIE", b"a=1; b=2"),
        ("HTTP_ACCEPT", b"text/html,*/*"),
        ("CONTENT_TYPE", b"application/json"),
        ("HTTP_X_FORWARDED_FOR", b"192.0.2.1"),
        ("HTTP_CONNECTION", b"keep-alive"),
        ("HTTP_TRANSFER_ENCODING", b"chunked"),
        ("HTTP_X_LATIN", b"caf\xe9,\xff"),
        ("HTTP_X_EMPTY", b""),
        ("HTTP_X_LONG", &long),
        ("HTTP_X!#$%&'*+.^`|~9", b"\"'\\"),
        (&long_key, b"1"),
    ];
    let read = python_reads(&[request(BodyRef::None, &environ(&fields))]).remove(0);
    let wanted = expected("None", &with_base(&more));
    // The one key and the one value with a quote are written with other quotes by Python.
    let wanted =
        wanted.replace("'HTTP_X!#$%&'*+.^`|~9'", "\"HTTP_X!#$%&'*+.^`|~9\"").replace("'\"'\\\\'", "'\"\\'\\\\'");
    assert_eq!(read, wanted);
}

#[test]
fn python_reads_every_kind_of_body() {
    let plain = environ(&[]);
    let bodiless = Environ { content_length: None, ..plain };
    let spooled = 5_000_000_000_u64;
    let read = python_reads(&[
        request(BodyRef::None, &bodiless),
        request(BodyRef::Inline(b"hello\xff"), &plain),
        request(BodyRef::Inline(b""), &plain),
        request(BodyRef::Spooled(20_000), &plain),
        request(BodyRef::Spooled(spooled), &plain),
        request(BodyRef::Spooled(u64::MAX), &plain),
    ]);
    assert_eq!(read[0], expected("None", &BASE[..11]));
    assert_eq!(read[1], expected("b'hello\\xff'", &BASE));
    assert_eq!(read[2], expected("b''", &BASE));
    assert_eq!(read[3], expected("20000", &BASE));
    assert_eq!(read[4], expected(&spooled.to_string(), &BASE));
    assert_eq!(read[5], expected(&u64::MAX.to_string(), &BASE));
}

#[test]
fn nothing_that_a_client_sends_is_interned() {
    let fields: [(&[u8], &[u8]); 2] = [(b"Host", b"h"), (b"X-Made-Up", b"v")];
    let message = request(BodyRef::None, &environ(&fields));
    assert!(memchr::memmem::find(&message, b"z\x09HTTP_HOST").is_some());
    assert!(!message.contains(&b'Z'));
}

#[test]
fn what_does_not_fit_leaves_the_buffer_as_it_was() {
    let big = vec![b'x'; MESSAGE_BYTES_MAX];
    let mut out = b"before".to_vec();
    let refused = encode_request(&mut out, 0, TOKEN, BodyRef::Inline(&big), &environ(&[]));
    assert_eq!((refused, out.as_slice()), (Err(MessageTooLarge), b"before".as_slice()));
}

fn reply(kind: u8, flags: u8, status: u16, fields: u32, content: &[u8]) -> Vec<u8> {
    let mut message = TOKEN.to_bytes().to_vec();
    message.extend_from_slice(&[kind, flags]);
    message.extend_from_slice(&status.to_le_bytes());
    message.extend_from_slice(&fields.to_le_bytes());
    message.extend_from_slice(content);
    message
}

#[test]
fn replies_parse() {
    let file: Vec<u8> = [7_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat();
    let cases = [
        (reply(1, 1, 200, 8, b"A: b\r\n\r\nhi"), true, ReplyKind::Head { status: 200, fields: 16..24, body: 24..26 }),
        (reply(1, 0, 404, 2, b"\r\n"), false, ReplyKind::Head { status: 404, fields: 16..18, body: 18..18 }),
        (reply(2, 0, 0, 0, b"more"), false, ReplyKind::Body(16..20)),
        (reply(2, 1, 0, 0, b""), true, ReplyKind::Body(16..16)),
        (reply(3, 1, 0, 0, &file), true, ReplyKind::File { offset: 7, count: 9 }),
        (reply(4, 1, 0, 0, b""), true, ReplyKind::Abort),
        (reply(5, 0, 103, 8, b"A: b\r\n\r\n"), false, ReplyKind::Hints(16..24)),
        (reply(6, 0, 0, 0, b""), false, ReplyKind::Credit),
        (encode_lost(TOKEN, Loss::Signal(9)).to_vec(), true, ReplyKind::Lost(Loss::Signal(9))),
        (encode_lost(TOKEN, Loss::Overdue).to_vec(), true, ReplyKind::Lost(Loss::Overdue)),
        (encode_requeue(TOKEN).to_vec(), false, ReplyKind::Requeue),
        (reply(9, 0, 0, 0, b""), false, ReplyKind::Release),
        (reply(11, 0, 0, 0, b""), false, ReplyKind::Wake),
        (
            reply(10, 1, 200, 2, &[b"\r\n".to_vec(), 3_u64.to_le_bytes().to_vec(), file.clone()].concat()),
            true,
            ReplyKind::Lent { status: 200, fields: 16..18, generation: 3, offset: 7, count: 9 },
        ),
    ];
    for (message, end, kind) in cases {
        assert_eq!(Reply::parse(&message), Ok(Reply { token: TOKEN, end, kind }));
    }
}

#[test]
fn malformed_replies_are_named() {
    let far: Vec<u8> = [u64::MAX.to_le_bytes(), 1_u64.to_le_bytes()].concat();
    let cases = [
        (vec![0; 15], ProtocolError::Short),
        (reply(3, 0, 0, 0, &[0; 15]), ProtocolError::Short),
        (reply(3, 0, 0, 0, &[0; 17]), ProtocolError::Long),
        (reply(4, 0, 0, 0, b"x"), ProtocolError::Long),
        (reply(0, 0, 0, 0, b""), ProtocolError::Kind(0)),
        (reply(10, 1, 200, 2, b"\r\n12345678"), ProtocolError::Short),
        (reply(10, 1, 200, 3, &[b'\n'; 27]), ProtocolError::Fields),
        (reply(10, 1, 200, 99, &[0; 26]), ProtocolError::Fields),
        (reply(10, 1, 200, 2, &[&b"\r\n"[..], &[0xff; 24]].concat()), ProtocolError::FileRange),
        (reply(10, 1, 200, 2, &[&b"\r\n"[..], &[0; 25]].concat()), ProtocolError::Long),
        (reply(10, 1, 99, 2, &[&b"\r\n"[..], &[0; 24]].concat()), ProtocolError::Status(99)),
        (reply(11, 0, 0, 0, b"x"), ProtocolError::Long),
        (reply(12, 0, 0, 0, b""), ProtocolError::Kind(12)),
        (reply(2, 2, 0, 0, b""), ProtocolError::Flags(2)),
        (reply(1, 0, 101, 2, b"\r\n"), ProtocolError::Status(101)),
        (reply(1, 0, 1000, 2, b"\r\n"), ProtocolError::Status(1000)),
        (reply(1, 0, 200, 3, b"\r\n"), ProtocolError::Fields),
        (reply(1, 0, 200, u32::MAX, b"\r\n"), ProtocolError::Fields),
        (reply(1, 0, 200, 0, b""), ProtocolError::Fields),
        (reply(1, 0, 200, 6, b"A: b\r\n"), ProtocolError::Fields),
        (reply(2, 0, 0, 1, b"x"), ProtocolError::Fields),
        (reply(5, 1, 103, 2, b"\r\n"), ProtocolError::Flags(1)),
        (reply(5, 0, 103, 2, b"\r\nx"), ProtocolError::Long),
        (reply(5, 0, 103, 3, b"\r\n"), ProtocolError::Fields),
        (reply(5, 0, 103, 0, b""), ProtocolError::Fields),
        (reply(3, 0, 0, 0, &far), ProtocolError::FileRange),
    ];
    for (message, wanted) in cases {
        assert_eq!(Reply::parse(&message), Err(wanted), "{message:?}");
    }
}

proptest! {
    #[test]
    fn tokens_survive_their_forms(slot: u32, serial: u32) {
        let token = Token { slot, serial };
        prop_assert_eq!(Token::from_bytes(token.to_bytes()), token);
        prop_assert_eq!(Token::from_bits(token.to_bits()), token);
    }

    #[test]
    fn no_reply_makes_the_parser_panic_or_point_outside(message in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(reply) = Reply::parse(&message)
            && let ReplyKind::Head { fields, body, .. } = reply.kind
        {
            prop_assert_eq!(body.end, message.len());
            prop_assert_eq!(fields.end, body.start);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any bytes in any place come out of Python's `marshal` as the same latin-1 text.
    #[test]
    fn python_reads_any_bytes(
        path in proptest::collection::vec(any::<u8>(), 0..400),
        query in proptest::collection::vec(b'!'..=b'~', 0..300),
        value in proptest::collection::vec(any::<u8>(), 0..400),
        body in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        // Quotes change how Python writes a text; they are covered above.
        let clean = |bytes: Vec<u8>| bytes.into_iter().filter(|byte| *byte != b'\'' && !b"\t\n\r".contains(byte)).collect::<Vec<_>>();
        let (path, query, value) = (clean(path), clean(query), clean(value));
        let fields: [(&[u8], &[u8]); 1] = [(b"X-Any", &value)];
        let environ = Environ { path: &path, query: &query, ..environ(&fields) };
        let message = request(BodyRef::Inline(&body), &environ);
        let read = python_reads(&[message]).remove(0);
        let pairs: Vec<_> = with_base(&[("HTTP_X_ANY", &value)])
            .into_iter()
            .map(|(key, old)| match key {
                "PATH_INFO" => (key, path.as_slice()),
                "QUERY_STRING" => (key, query.as_slice()),
                _ => (key, old),
            })
            .collect();
        let wanted = expected("", &pairs);
        prop_assert!(read.ends_with(&wanted[1..]), "{} is not {}", read, wanted);
    }
}

#[test]
fn a_request_s_message_tells_what_was_asked() {
    let bodies = [
        BodyRef::None,
        BodyRef::Inline(b"{z\x0eREQUEST_METHODz\x04EVIL"),
        BodyRef::Spooled(7),
        BodyRef::Spooled(u64::MAX),
    ];
    for body in bodies {
        let mut message = Vec::new();
        let environ = Environ { method: b"GET", target: b"/a?b=%20", ..environ(&[]) };
        encode_request(&mut message, 0, TOKEN, body, &environ).expect("it fits");
        assert_eq!(describe_request(&message), "GET /a?b=%20", "{body:?}");
        for end in 0..message.len() {
            assert!(describe_request(&message[..end]).len() <= "GET /a?b=%20".len());
        }
    }
    assert_eq!(describe_request(b""), " ");
}
