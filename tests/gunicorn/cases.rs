//! The requests, by what they are about. Each is sent to both servers as it stands here.

use serde_json::Value;

/// One exchange.
pub struct Case {
    pub name: String,
    pub request: Vec<u8>,
    /// What is sent once the server says to go on.
    pub late: &'static str,
    /// The client says that nothing follows.
    pub ends: bool,
}

impl Case {
    fn new(about: &str, what: &str, request: impl Into<Vec<u8>>) -> Case {
        Case { name: format!("{about}: {what}"), request: request.into(), late: "", ends: false }
    }

    /// The methods of its requests: no body has a line that looks like a request's.
    pub fn methods(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.request);
        let lines = text.lines().filter(|line| line.contains(" HTTP/"));
        let methods: Vec<_> = lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
        if methods.is_empty() { vec!["GET".to_owned()] } else { methods }
    }
}

/// Every case; `names` are the application's own, by area.
pub fn all(names: &Value) -> Vec<Case> {
    [
        targets(),
        fields(),
        hosts(),
        versions(),
        methods(),
        bodies(),
        broken_bodies(),
        malformed(),
        answers(names),
        pipelines(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A request whose fields are lines.
fn request(method: &str, target: &str, fields: &str) -> String {
    let lines: String = fields.lines().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: example.com\r\n{lines}\r\n")
}

fn targets() -> Vec<Case> {
    [
        "/",
        "/environ",
        "/a/b/c/",
        "//a",
        "//a//b//",
        "/a/./b",
        "/a/../b",
        "/..",
        "/a/..%2fb",
        "/%2e%2e/a",
        "/a%20b",
        "/a+b",
        "/caf%C3%A9",
        "/caf%c3%a9",
        "/caf%E9",
        "/%E2%82%AC",
        "/a%2Fb",
        "/a%25b",
        "/a%2525b",
        "/a%3Fb",
        "/a%3Bb",
        "/a%23b",
        "/a%00b",
        "/a%0Ab",
        "/a%7Fb",
        "/a%80b",
        "/%",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%2zb%20c",
        "/a;b=c",
        "/a:b",
        "/a@b",
        "/a,b",
        "/a&b=c",
        "/a$b!c*d'e(f)",
        "/~a-b_c.d",
        "/[a]",
        "/{a}",
        "/a|b",
        "/a\\b",
        "/a^b",
        "/a`b",
        "/a\"b",
        "/<a>",
        "/http://a/b",
        "/a:80/b",
        "/?",
        "/??",
        "/a?",
        "/a?b",
        "/a?b=c&d=e",
        "/a?b=%20+&c=%C3%A9",
        "/a?b%3Dc",
        "/a?b?c",
        "/a?/b/../c",
        "/a?b=//c",
        "/a?b=%00",
        "/a?%",
        "/a?b=%zz",
        "/a?b=[c]",
        "/a?b={c}|d",
        "/a?b=\\c^`\"<>",
        "/a?b;c",
        "/a?b:c@d",
        "/a#b",
        "/a?b#c",
        "/#",
        "http://example.com/a?b",
        "http://example.com",
        "http://example.com?b",
        "http://example.com/",
        "http://example.com:8080/a",
        "http://other.example/a",
        "http://EXAMPLE.com//a",
        "https://example.com/a",
        "HTTP://example.com/a",
        "ftp://example.com/a",
        "http://user@example.com/a",
        "http:///a",
        "http:/a",
        "http:a",
        "a",
        "a/b",
        "*",
        "?a",
        "example.com:80",
    ]
    .into_iter()
    .map(|target| Case::new("target", target, request("GET", target, "")))
    .chain([
        Case::new("target", "raw UTF-8", request("GET", "/caf\u{e9}", "")),
        Case::new("target", "raw UTF-8 in the query", request("GET", "/a?caf\u{e9}", "")),
        Case::new("target", "raw latin-1", b"GET /caf\xe9 HTTP/1.1\r\nHost: example.com\r\n\r\n"),
        Case::new("target", "long", request("GET", &format!("/{}", "a".repeat(4000)), "")),
        Case::new("target", "long query", request("GET", &format!("/?{}", "a=b&".repeat(1000)), "")),
    ])
    .collect()
}

fn fields() -> Vec<Case> {
    [
        "X-One: 1",
        "x-lower: a",
        "X-UPPER: A",
        "X-Empty:",
        "X-Empty: ",
        "X-Spaces:   a  b   ",
        "X-Tabs:\ta\tb\t",
        "X-No-Space:a",
        "X-Colon: a:b: c",
        "X-Comma: a, b,c",
        "X-Quoted: \"a, b\"; c",
        "X-Dots.In.Name: a",
        "X!#$%&'*+-.^`|~: a",
        "1: a",
        "-: a",
        "X--Double: a",
        "X-Trailing-: a",
        "X-Many: a\nX-Many: b",
        "X-Many: a\nX-Other: c\nx-many: b\nX-MANY: d",
        "X-Many: a\nX-Many:\nX-Many: b",
        "X-Many: a, b\nX-Many: c",
        "Cookie: a=1",
        "Cookie: a=1; b=2",
        "Cookie: a=1\nCookie: b=2",
        "Accept: a/b\nAccept: */*;q=0.1",
        "Accept-Encoding: gzip\nAccept-Encoding: br",
        "Authorization: Basic dTpw",
        "Authorization: a\nAuthorization: b",
        "Content-Type: text/plain",
        "content-type: text/plain; charset=utf-8",
        "Content-Type: a/b\nContent-Type: c/d",
        "Content-Type:",
        "Content-Length: 0",
        "Content-Encoding: gzip",
        "Content-Language: en\nContent-Location: /a\nContent-MD5: x",
        "X_Under: a",
        "X-Real-IP: 1.2.3.4",
        "X_Real_IP: 1.2.3.4",
        "X-Real-IP: a\nX_Real_IP: b",
        "SCRIPT_NAME: /a",
        "Script-Name: /a",
        "PATH_INFO: /a",
        "REMOTE_USER: admin",
        "Remote-User: admin",
        "HTTP_X: a",
        "Proxy: http://evil/",
        "Forwarded: for=1.2.3.4;proto=https",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-For: 1.2.3.4, 5.6.7.8",
        "X-Forwarded-Host: other.example",
        "X-Forwarded-Port: 8443",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Protocol: ssl",
        "X-Forwarded-Ssl: on",
        "X-Forwarded-Prefix: /a",
        "X-Request-ID: mine",
        "Connection: keep-alive",
        "Connection: X-One\nX-One: 1",
        "Keep-Alive: timeout=5",
        "Upgrade: h2c",
        "Upgrade: websocket\nConnection: Upgrade",
        "TE: trailers",
        "Trailer: X-A",
        "Transfer-Encoding: identity",
        "Via: 1.1 a\nVia: 1.1 b",
        "Range: bytes=0-1",
        "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        "Referer: http://a/\nUser-Agent: b\nOrigin: c",
        "Expect: 100-continue",
        "Expect: something",
        "Server: a\nStatus: 404",
        "Https: on",
        "Request-Method: POST",
        "Wsgi.input: a",
    ]
    .into_iter()
    .map(|lines| Case::new("field", &lines.replace('\n', " + "), request("GET", "/environ", lines)))
    .chain([
        Case::new("field", "UTF-8", request("GET", "/environ", "X-Caf: caf\u{e9} \u{20ac}")),
        Case::new("field", "latin-1", b"GET /environ HTTP/1.1\r\nHost: example.com\r\nX-Caf: caf\xe9\r\n\r\n"),
        Case::new("field", "long", request("GET", "/environ", &format!("X-Long: {}", "a".repeat(8000)))),
        Case::new("field", "long cookie", request("GET", "/environ", &format!("Cookie: {}", "a=b; ".repeat(1500)))),
        Case::new("field", "fifty", request("GET", "/environ", &numbered(50))),
        Case::new("field", "ninety", request("GET", "/environ", &numbered(90))),
        Case::new("field", "ninety of one name", request("GET", "/environ", &"X-Many: a\n".repeat(90))),
        Case::new("field", "folded", request("GET", "/environ", "X-Folded: a\n b")),
        Case::new("field", "folded by a tab", request("GET", "/environ", "X-Folded: a\n\tb")),
        Case::new("field", "folded first", request("GET", "/environ", " a\nX-B: c")),
    ])
    .collect()
}

fn numbered(count: usize) -> String {
    (0..count).map(|number| format!("X-Number-{number}: {number}\n")).collect()
}

fn hosts() -> Vec<Case> {
    let with = |what: &str, lines: &str| Case::new("host", what, format!("GET /environ HTTP/1.1\r\n{lines}\r\n"));
    vec![
        with("none", ""),
        with("empty", "Host:\r\n"),
        with("port", "Host: example.com:8080\r\n"),
        with("upper case", "Host: EXAMPLE.com\r\n"),
        with("address", "Host: 127.0.0.1\r\n"),
        with("IPv6", "Host: [::1]:8000\r\n"),
        with("twice", "Host: a\r\nHost: a\r\n"),
        with("two", "Host: a\r\nHost: b\r\n"),
        with("underscore", "Host: a_b.example\r\n"),
        with("slash", "Host: a/b\r\n"),
        with("space", "Host: a b\r\n"),
        with("user", "Host: a@b\r\n"),
        with("list", "Host: a, b\r\n"),
        with("last", "X-First: 1\r\nHost: a\r\n"),
    ]
}

fn versions() -> Vec<Case> {
    let with = |what: &str, text: &str| Case::new("version", what, text);
    vec![
        with("1.0", "GET /environ HTTP/1.0\r\n\r\n"),
        with("1.0, host", "GET /environ HTTP/1.0\r\nHost: example.com\r\n\r\n"),
        with("1.0, keep-alive", "GET /environ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        with("1.0, Keep-Alive", "GET /environ HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
        with(
            "1.0, keep-alive, unknown length",
            "GET /answer/generator-unknown HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ),
        with("1.0, unknown length", "GET /answer/generator-unknown HTTP/1.0\r\n\r\n"),
        with("1.0, list of unknown length", "GET /answer/list-unknown HTTP/1.0\r\n\r\n"),
        with("1.0, nothing", "GET /answer/no-piece-unknown HTTP/1.0\r\n\r\n"),
        with("1.0, file", "GET /answer/file-unknown HTTP/1.0\r\n\r\n"),
        with("1.0, HEAD", "HEAD /answer/generator-unknown HTTP/1.0\r\n\r\n"),
        with("1.0, HEAD, keep-alive", "HEAD /answer/list HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        with("1.0, 204", "GET /status/204 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        with("1.0, 304", "GET /status/304 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        with("1.0, hints", "GET /hints/one HTTP/1.0\r\n\r\n"),
        with("1.0, reason", "GET /status/299 HTTP/1.0\r\n\r\n"),
        with("1.0, body", "POST /body/read HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"),
        with(
            "1.0, chunked body",
            "POST /body/read HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        with("1.0, expectation", "POST /body/read HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
        with("1.1, close", "GET /environ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        with("1.1, Close", "GET /environ HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n"),
        with(
            "1.1, close among others",
            "GET /environ HTTP/1.1\r\nHost: a\r\nConnection: te, close\r\nTE: trailers\r\n\r\n",
        ),
        with(
            "1.1, close, unknown length",
            "GET /answer/generator-unknown HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ),
        with("1.1, keep-alive and close", "GET /environ HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n"),
        with("1.2", "GET /environ HTTP/1.2\r\nHost: a\r\n\r\n"),
        with("2.0", "GET /environ HTTP/2.0\r\nHost: a\r\n\r\n"),
        with("0.9", "GET /environ HTTP/0.9\r\nHost: a\r\n\r\n"),
        with("lower case", "GET /environ http/1.1\r\nHost: a\r\n\r\n"),
        with("none", "GET /environ\r\nHost: a\r\n\r\n"),
        with("11", "GET /environ HTTP/11\r\nHost: a\r\n\r\n"),
    ]
}

fn methods() -> Vec<Case> {
    [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "M-SEARCH", "X", "get", "Get",
        "G#T", "CONNECT",
    ]
    .into_iter()
    .map(|method| Case::new("method", method, request(method, "/environ?a", "")))
    .chain([
        Case::new("method", "OPTIONS *", request("OPTIONS", "*", "")),
        Case::new("method", "CONNECT host", request("CONNECT", "example.com:443", "")),
        Case::new("method", "long", request(&"M".repeat(20), "/environ", "")),
    ])
    .collect()
}

const TEXT: &str = "one\ntwo\r\n\nthree four\n\nend";

/// Every way to read, with a body of known length, in chunks, with none, and with a large one.
fn bodies() -> Vec<Case> {
    let ways = [
        "read",
        "read-none",
        "read-minus",
        "read-0",
        "read-3",
        "read-huge",
        "readline",
        "readline-3",
        "readline-0",
        "readline-none",
        "readlines",
        "readlines-1",
        "iterate",
        "next",
        "mixed",
        "nothing",
        "some",
        "close",
        "bad-size",
    ];
    let length = TEXT.len();
    let chunks: String = TEXT
        .as_bytes()
        .chunks(5)
        .map(|piece| format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)))
        .collect();
    let mut cases = Vec::new();
    for way in ways {
        let target = format!("/body/{way}");
        let known = request("POST", &target, &format!("Content-Length: {length}")) + TEXT;
        let chunked = request("POST", &target, "Transfer-Encoding: chunked") + &chunks + "0\r\n\r\n";
        cases.push(Case::new("body", way, known));
        cases.push(Case::new("body in chunks", way, chunked));
        if way != "next" {
            cases.push(Case::new("no body", way, request("POST", &target, "")));
        }
    }
    for count in [16_383, 16_384, 16_385, 65_536, 1_000_000, 1_048_577, 3_000_000] {
        for way in ["count", "count-pieces", "readlines-1"] {
            let line = format!("{}\n", "x".repeat(999));
            let mut body = line.repeat(count / line.len() + 1).into_bytes();
            body.truncate(count);
            let mut known = request("POST", &format!("/body/{way}"), &format!("Content-Length: {count}")).into_bytes();
            known.extend_from_slice(&body);
            let mut chunked = request("POST", &format!("/body/{way}"), "Transfer-Encoding: chunked").into_bytes();
            for piece in body.chunks(10_000) {
                chunked.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                chunked.extend_from_slice(piece);
                chunked.extend_from_slice(b"\r\n");
            }
            chunked.extend_from_slice(b"0\r\n\r\n");
            // The answers of the last way are as long as the body: one size says it.
            if way != "readlines-1" || count == 65_536 {
                cases.push(Case::new("large body", &format!("{count} {way}"), known));
                cases.push(Case::new("large body in chunks", &format!("{count} {way}"), chunked));
            }
        }
    }
    for (what, target, fields, body) in [
        ("environ, known", "/environ", "Content-Length: 3\nContent-Type: a/b", "abc"),
        ("environ, leading zeroes", "/environ", "Content-Length: 003", "abc"),
        ("environ, chunked", "/environ", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("environ, Chunked", "/environ", "Transfer-Encoding: Chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("environ, chunks of nothing", "/environ", "Transfer-Encoding: chunked", "0\r\n\r\n"),
        ("GET with a body", "/body/read", "Content-Length: 3", "abc"),
        ("expectation with the body", "/body/read", "Expect: 100-continue\nContent-Length: 3", "abc"),
        ("chunk extensions", "/body/read", "Transfer-Encoding: chunked", "3;a=b\r\nabc\r\n0;c\r\n\r\n"),
        ("chunk size with zeroes", "/body/read", "Transfer-Encoding: chunked", "0003\r\nabc\r\n000\r\n\r\n"),
        ("chunks with trailers", "/body/read", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\nX-Trailer: a\r\n\r\n"),
    ] {
        let method = if what.starts_with("GET") { "GET" } else { "POST" };
        cases.push(Case::new("body", what, request(method, target, fields) + body));
    }
    for (what, target, fields) in [
        ("known", "/body/read", "Expect: 100-continue\nContent-Length: 3"),
        ("upper case", "/body/read", "Expect: 100-CONTINUE\nContent-Length: 3"),
        ("left alone", "/body/nothing", "Expect: 100-continue\nContent-Length: 3"),
    ] {
        cases.push(Case { late: "abc", ..Case::new("expectation", what, request("POST", target, fields)) });
    }
    cases
}

fn broken_bodies() -> Vec<Case> {
    let mut cases: Vec<_> = [
        ("length too long", "Content-Length: 10", "abc"),
        ("chunk cut", "Transfer-Encoding: chunked", "5\r\nabc"),
        ("no last chunk", "Transfer-Encoding: chunked", "3\r\nabc\r\n"),
        ("no end of the last chunk", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n"),
        ("nothing of a chunked one", "Transfer-Encoding: chunked", ""),
        ("nothing of a known one", "Content-Length: 3", ""),
        ("bare line feeds", "Transfer-Encoding: chunked", "3\nabc\n0\n\n"),
    ]
    .into_iter()
    .map(|(what, fields, body)| Case::new("short body", what, request("POST", "/body/read", fields) + body))
    .collect();
    cases.iter_mut().for_each(|case| case.ends = true);
    let broken = [
        ("chunk size", "Transfer-Encoding: chunked", "x\r\nabc\r\n0\r\n\r\n"),
        ("chunk size of nothing", "Transfer-Encoding: chunked", "\r\nabc\r\n0\r\n\r\n"),
        ("chunk size with a sign", "Transfer-Encoding: chunked", "+3\r\nabc\r\n0\r\n\r\n"),
        ("chunk size with 0x", "Transfer-Encoding: chunked", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("chunk without its end", "Transfer-Encoding: chunked", "3\r\nabcd\r\n0\r\n\r\n"),
        ("length and chunks", "Content-Length: 3\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("two lengths", "Content-Length: 3\nContent-Length: 4", "abc"),
        ("the same length twice", "Content-Length: 3\nContent-Length: 3", "abc"),
        ("list of lengths", "Content-Length: 3, 3", "abc"),
        ("letters for a length", "Content-Length: abc", "abc"),
        ("negative length", "Content-Length: -3", "abc"),
        ("length with a sign", "Content-Length: +3", "abc"),
        ("empty length", "Content-Length:", "abc"),
        ("length with an underscore", "Content-Length: 1_0", "0123456789"),
        ("unknown coding", "Transfer-Encoding: x", "abc"),
        ("gzip, chunked", "Transfer-Encoding: gzip, chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("chunked, then gzip", "Transfer-Encoding: chunked, gzip", "3\r\nabc\r\n0\r\n\r\n"),
        ("two fields of coding", "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("coding with a vertical tab", "Transfer-Encoding: \x0bchunked", "3\r\nabc\r\n0\r\n\r\n"),
    ];
    cases.extend(
        broken
            .into_iter()
            .map(|(what, fields, body)| Case::new("broken body", what, request("POST", "/body/read", fields) + body)),
    );
    cases
}

fn malformed() -> Vec<Case> {
    [
        ("two spaces", "GET  /environ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a word more", "GET /environ HTTP/1.1 x\r\nHost: a\r\n\r\n"),
        ("tab", "GET\t/environ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("space before", " GET /environ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("empty line before", "\r\nGET /environ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("bare line feeds", "GET /environ HTTP/1.1\nHost: a\n\n"),
        ("bare line feed in a field", "GET /environ HTTP/1.1\r\nHost: a\r\nX-A: b\nX-C: d\r\n\r\n"),
        ("bare carriage return in a field", "GET /environ HTTP/1.1\r\nHost: a\r\nX-A: b\rX-C: d\r\n\r\n"),
        ("NUL in a field", "GET /environ HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n"),
        ("bell in a field", "GET /environ HTTP/1.1\r\nHost: a\r\nX-A: b\x07c\r\n\r\n"),
        ("field without a colon", "GET /environ HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n"),
        ("field without a name", "GET /environ HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        ("space before the colon", "GET /environ HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n"),
        ("space in a name", "GET /environ HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n"),
        ("parenthesis in a name", "GET /environ HTTP/1.1\r\nHost: a\r\nX(A): b\r\n\r\n"),
        ("latin-1 in a name", "GET /environ HTTP/1.1\r\nHost: a\r\nX-\u{e9}: b\r\n\r\n"),
        ("200 fields", ""),
        ("field of 9000 bytes", ""),
        ("target of 9000 bytes", ""),
    ]
    .into_iter()
    .map(|(what, text)| {
        let text = match what {
            "200 fields" => request("GET", "/environ", &numbered(200)),
            "field of 9000 bytes" => request("GET", "/environ", &format!("X-Long: {}", "a".repeat(9000))),
            "target of 9000 bytes" => request("GET", &format!("/{}", "a".repeat(9000)), ""),
            _ => text.to_owned(),
        };
        Case::new("malformed", what, text)
    })
    .collect()
}

/// Every answer that the application has, to GET; those whose framing is of interest also to HEAD.
fn answers(names: &Value) -> Vec<Case> {
    let mut cases = Vec::new();
    for area in ["answer", "status", "header", "hints"] {
        for name in names[area].as_array().expect("a list of names").iter().filter_map(Value::as_str) {
            let target = format!("/{area}/{name}");
            // What Gunicorn leaves unfinished would be waited for.
            let fields =
                if name.contains("too-short") || name.starts_with(['0', '1']) { "Connection: close" } else { "" };
            cases.push(Case::new(area, name, request("GET", &target, fields)));
            if area == "answer" || name.starts_with("204") || name.starts_with("304") {
                cases.push(Case::new(&format!("{area}, HEAD"), name, request("HEAD", &target, "")));
            }
        }
    }
    cases
}

/// Several requests on one connection.
fn pipelines() -> Vec<Case> {
    let one = |target: &str| request("GET", target, "");
    vec![
        Case::new("pipeline", "two", one("/environ?1") + &one("/environ?2")),
        Case::new(
            "pipeline",
            "body, then another",
            request("POST", "/body/read", "Content-Length: 3") + "abc" + &one("/environ"),
        ),
        Case::new(
            "pipeline",
            "body left alone",
            request("POST", "/body/nothing", "Content-Length: 3") + "abc" + &one("/environ"),
        ),
        Case::new(
            "pipeline",
            "chunks left alone",
            request("POST", "/body/nothing", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n" + &one("/environ"),
        ),
        Case::new("pipeline", "unknown length first", one("/answer/generator-unknown") + &one("/environ")),
        Case::new("pipeline", "HEAD first", request("HEAD", "/answer/list", "") + &one("/environ")),
        Case::new("pipeline", "204 first", one("/status/204-body") + &one("/environ")),
        Case::new("pipeline", "not found first", one("/status/404") + &one("/environ")),
    ]
}
