//! The requests, by what they are about. Each is sent to both servers as it stands here.

use super::{Case, selections};

/// Modification time of every file: Sun, 06 Nov 1994 08:49:37 GMT.
pub const MODIFIED: u64 = 784_111_777;
/// Every case.
pub fn all() -> Vec<Case> {
    [
        files(),
        methods(),
        selections::ranges(),
        selections::conditionals(),
        directories(),
        spellings(),
        forms(),
        hosts(),
        versions_and_connections(),
        pipelines(),
        bodies(),
        malformed(),
        selections::encodings(),
    ]
    .concat()
}

pub(super) fn case(about: &str, what: &str, request: impl Into<String>) -> Case {
    Case::new(format!("{about}: {what}"), request.into())
}

pub(super) fn with_fields(method: &str, target: &str, fields: &str) -> String {
    let lines: String = fields.split('\n').filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

pub(super) fn get(target: &str, fields: &str) -> String {
    with_fields("GET", target, fields)
}

const FILES: &[&str] = &[
    "/index.html",
    "/empty.txt",
    "/letters.txt",
    "/style.css",
    "/app.js",
    "/data.json",
    "/image.png",
    "/vector.svg",
    "/font.woff2",
    "/paper.pdf",
    "/no_extension",
    "/odd.unheard-of",
    "/64k.bin",
    "/64k1.bin",
    "/large.bin",
    "/folder/inner.txt",
    "/link.txt",
    "/name.with.dots.txt",
    "/UPPER.TXT",
    "/.well-known/security.txt",
];

fn files() -> Vec<Case> {
    let both = |target: &&str| {
        [case("file", target, get(target, "")), case("file, HEAD", target, with_fields("HEAD", target, ""))]
    };
    let mut cases: Vec<_> = FILES.iter().flat_map(both).collect();
    for target in [
        "/missing",
        "/missing/",
        "/letters.txt/",
        "/letters.txt/x",
        "/folder/missing.txt",
        "/.hidden",
        "/.git/config",
        "/folder/.x",
    ] {
        cases.push(case("missing", target, get(target, "")));
        cases.push(case("missing, HEAD", target, with_fields("HEAD", target, "")));
    }
    for target in [
        "/letters.txt?",
        "/letters.txt?a=b",
        "/letters.txt?/../x",
        "/letters.txt?%00",
        "/letters.txt?a?b",
        "/large.bin?v=1",
    ] {
        cases.push(case("query", target, get(target, "")));
    }
    cases
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "TRACE", "get", "FOO", "X-OWN"] {
        for target in ["/letters.txt", "/", "/missing.txt"] {
            cases.push(case("method", &format!("{method} {target}"), with_fields(method, target, "")));
        }
    }
    cases.push(case("method", "CONNECT", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n"));
    cases.push(case("method", "OPTIONS *", with_fields("OPTIONS", "*", "")));
    cases.push(case("method", "GET *", get("*", "")));
    cases
}

fn directories() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in [
        "/",
        "/folder",
        "/folder/",
        "/folder?a=b&c",
        "/folder/deep",
        "/folder/deep/",
        "/bare",
        "/bare/",
        "/with%20space",
        "/%66older",
        "//folder",
        "/folder//",
        "/folder/.",
        "/folder/..",
        "/folder/../",
        "/folder/./",
        "/f%C3%B6lder",
        "/folder%2f",
        "/folder/index.html",
    ] {
        cases.push(case("directory", target, get(target, "")));
        cases.push(case("directory, HEAD", target, with_fields("HEAD", target, "")));
    }
    cases
}

fn spellings() -> Vec<Case> {
    let targets = [
        "/%6Cetters.txt",
        "/l%65tters%2etxt",
        "/./letters.txt",
        "//letters.txt",
        "///letters.txt",
        "/folder/../letters.txt",
        "/folder//inner.txt",
        "/folder%2Finner.txt",
        "/folder%2finner.txt",
        "/folder/%2e%2e/letters.txt",
        "/folder/..%2fletters.txt",
        "/a%20b.txt",
        "/a+b.txt",
        "/plus+.txt",
        "/plus%2B.txt",
        "/percent%25.txt",
        "/percent%2525.txt",
        "/percent%.txt",
        "/%",
        "/%4",
        "/%4g.txt",
        "/%zz",
        "/%00",
        "/letters.txt%00",
        "/letters%00.txt",
        "/%c3%bc.txt",
        "/%C3%BC.txt",
        "/..",
        "/../",
        "/../letters.txt",
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/folder/../../etc/passwd",
        "/....//etc/passwd",
        "/..%5c..%5cetc",
        "/letters.txt/..",
        "/letters.txt/../letters.txt",
        "/letters.txt/.",
        "/missing/../letters.txt",
        "/outside.txt",
        "/outside/secret.txt",
        "/dangling",
        "/loop",
        "/letters.txt;a=b",
        "/letters.txt:8",
        "/~",
        "/a|b",
        "/a\"b",
        "/a<b>",
        "/a{b}",
        "/a^b",
        "/a`b",
        "/a\\b",
        "/%7Eletters",
        "/letters.txt%20",
        "/letters.txt.",
        "/%2F/letters.txt",
        "/%0a",
        "/%0d%0aX: y",
        "/%7f",
        "/%ff",
        "/%e2%82",
        "/folder/%2e",
        "/folder%2f..%2fletters.txt",
        "/letters%2Etxt?x=%zz",
    ];
    let mut cases: Vec<_> = targets.iter().map(|target| case("spelling", target, get(target, ""))).collect();
    let long = [("component of 255 bytes", 255), ("component of 256 bytes", 256), ("component of 4000 bytes", 4000)];
    for (what, length) in long {
        cases.push(case("spelling", what, get(&format!("/{}", "a".repeat(length)), "")));
    }
    cases.push(case("spelling", "path of 4097 bytes", get(&"/abcdefg".repeat(513), "")));
    cases.push(case("spelling", "8 KiB", get(&format!("/letters.txt?{}", "a".repeat(8 * 1024 - 13 - 30)), "")));
    cases.push(case("spelling", "target of 9000 bytes", get(&format!("/{}", "a".repeat(8999)), "")));
    cases.push(case("spelling", "target of 40000 bytes", get(&format!("/{}", "a".repeat(39_999)), "")));
    cases
}

fn forms() -> Vec<Case> {
    let targets = [
        "http://localhost/letters.txt",
        "http://localhost:8000/letters.txt",
        "HTTP://LOCALHOST/letters.txt",
        "https://localhost/letters.txt",
        "http://localhost",
        "http://localhost?a",
        "http://localhost/",
        "http://localhost/folder",
        "http://other.example/letters.txt",
        "http://[::1]/letters.txt",
        "http://",
        "http:///letters.txt",
        "http:/letters.txt",
        "ftp://localhost/letters.txt",
        "letters.txt",
        "?a",
        "/letters.txt#f",
        "localhost:80",
        "http://user@localhost/letters.txt",
        "http://localhost:99999/letters.txt",
        "http://local host/letters.txt",
        "/letters.txt HTTP/1.1 x",
    ];
    targets.iter().map(|target| case("form", target, get(target, ""))).collect()
}

fn hosts() -> Vec<Case> {
    let hosts = [
        "Host: localhost",
        "Host: LOCALHOST:80",
        "Host: localhost:",
        "Host: example.com.",
        "Host: [::1]",
        "Host: [::1]:8000",
        "Host: 127.0.0.1:1",
        "Host:localhost",
        "Host: \t localhost \t",
        "host: localhost",
        "HOST: localhost",
        "",
        "Host:",
        "Host: ",
        "Host: a b",
        "Host: a/b",
        "Host: a?b",
        "Host: a@b",
        "Host: a,b",
        "Host: localhost:port",
        "Host: localhost:99999",
        "Host: [::1",
        "Host: a\\b",
        "Host: a%00b",
        "Host: a\"b",
        "Host: a..b",
        "Host: -",
        "Host: _",
        "Host: localhost\r\nHost: localhost",
        "Host: a\r\nHost: b",
        "Host : localhost",
        " Host: localhost",
        "X: y\r\n Host: localhost",
    ];
    let request = |host: &&str| {
        let line = if host.is_empty() { String::new() } else { format!("{host}\r\n") };
        case("host", host, format!("GET /letters.txt HTTP/1.1\r\n{line}\r\n"))
    };
    hosts.iter().map(request).collect()
}

fn versions_and_connections() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, request) in [
        ("1.0", "GET /letters.txt HTTP/1.0\r\n\r\n"),
        ("1.0 with Host", "GET /letters.txt HTTP/1.0\r\nHost: localhost\r\n\r\n"),
        ("1.0, kept", "GET /letters.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        ("1.0, kept, HEAD", "HEAD /letters.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
        ("1.0, large", "GET /large.bin HTTP/1.0\r\n\r\n"),
        ("1.0, range", "GET /letters.txt HTTP/1.0\r\nRange: bytes=0-1\r\n\r\n"),
        ("1.0, missing", "GET /missing HTTP/1.0\r\n\r\n"),
        ("1.0, directory", "GET /folder HTTP/1.0\r\n\r\n"),
        ("1.0, condition", "GET /letters.txt HTTP/1.0\r\nIf-None-Match: TAG\r\n\r\n"),
        ("1.0, kept, 304", "GET /letters.txt HTTP/1.0\r\nConnection: keep-alive\r\nIf-None-Match: TAG\r\n\r\n"),
        ("0.9", "GET /letters.txt\r\n"),
        ("1.2", "GET /letters.txt HTTP/1.2\r\nHost: localhost\r\n\r\n"),
        ("1.9", "GET /letters.txt HTTP/1.9\r\nHost: localhost\r\n\r\n"),
        ("2.0", "GET /letters.txt HTTP/2.0\r\nHost: localhost\r\n\r\n"),
        ("11.1", "GET /letters.txt HTTP/11.1\r\nHost: localhost\r\n\r\n"),
        ("lower case", "GET /letters.txt http/1.1\r\nHost: localhost\r\n\r\n"),
        ("none", "GET /letters.txt \r\nHost: localhost\r\n\r\n"),
        ("other protocol", "GET /letters.txt FTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        cases.push(case("version", what, request));
    }
    for value in ["close", "Close", "keep-alive", "keep-alive, close", "close, keep-alive", "upgrade", "te, close", "x"]
    {
        cases.push(case("connection", value, get("/letters.txt", &format!("Connection: {value}"))));
        cases.push(case("connection, missing", value, get("/missing", &format!("Connection: {value}"))));
    }
    cases.push(case(
        "connection",
        "Upgrade: h2c",
        get(
            "/letters.txt",
            "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
    ));
    cases
}

fn pipelines() -> Vec<Case> {
    let one = get("/letters.txt", "");
    let mut cases = vec![
        case("pipeline", "three files", one.repeat(3)),
        case("pipeline", "twenty", get("/style.css", "").repeat(20)),
        case(
            "pipeline",
            "of all kinds",
            [
                get("/missing", ""),
                get("/large.bin", ""),
                with_fields("HEAD", "/large.bin", ""),
                get("/folder", ""),
                get("/letters.txt", "Range: bytes=3-4"),
                get("/letters.txt", "If-None-Match: TAG"),
                one.clone(),
            ]
            .concat(),
        ),
        case(
            "pipeline",
            "close in the middle",
            [one.clone(), get("/letters.txt", "Connection: close"), one.clone()].concat(),
        ),
        case("pipeline", "malformed in the middle", format!("{one}GET\r\n\r\n{one}")),
        case("pipeline", "1.0 first", format!("GET /letters.txt HTTP/1.0\r\n\r\n{one}")),
        case("pipeline", "1.0 kept first", format!("GET /letters.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{one}")),
        case("pipeline", "an empty line before", format!("\r\n{one}")),
        case("pipeline", "an empty line between", format!("{one}\r\n{one}")),
        case("pipeline", "a head that never ends", format!("{one}GET /letters.txt HTTP/1.1\r\nHost: local")),
        case("pipeline", "nothing", String::new()),
        case("pipeline", "only an empty line", "\r\n"),
        case("pipeline", "after 404s", format!("{}{one}", get("/missing", "").repeat(3))),
        case("pipeline", "after 405", format!("{}{one}", with_fields("DELETE", "/letters.txt", ""))),
        case(
            "pipeline",
            "after 412 and 416",
            [get("/letters.txt", "If-Match: \"x\""), get("/letters.txt", "Range: bytes=99-"), one.clone()].concat(),
        ),
    ];
    cases.push(case(
        "pipeline",
        "with queries that differ",
        [get("/letters.txt?1", ""), get("/letters.txt?2", "")].concat(),
    ));
    cases
}

fn bodies() -> Vec<Case> {
    let one = get("/letters.txt", "");
    vec![
        case("body", "GET with a length", get("/letters.txt", "Content-Length: 5") + "hello" + &one),
        case(
            "body",
            "GET with chunks",
            get("/letters.txt", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n" + &one,
        ),
        case("body", "HEAD with a length", with_fields("HEAD", "/letters.txt", "Content-Length: 5") + "hello" + &one),
        case("body", "POST to a file", with_fields("POST", "/letters.txt", "Content-Length: 5") + "hello" + &one),
        case(
            "body",
            "POST with chunks",
            with_fields("POST", "/letters.txt", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n" + &one,
        ),
        case("body", "length of zero", get("/letters.txt", "Content-Length: 0") + &one),
        case("body", "missing file", get("/missing", "Content-Length: 5") + "hello" + &one),
        case("body", "a request in the body", get("/letters.txt", &format!("Content-Length: {}", one.len())) + &one),
        case(
            "body",
            "both framings",
            get("/letters.txt", "Content-Length: 5\nTransfer-Encoding: chunked") + "0\r\n\r\n",
        ),
        case("body", "two lengths", get("/letters.txt", "Content-Length: 5\nContent-Length: 5") + "hello"),
        case("body", "two different lengths", get("/letters.txt", "Content-Length: 5\nContent-Length: 6") + "hello!"),
        case("body", "list of lengths", get("/letters.txt", "Content-Length: 5, 5") + "hello"),
        case("body", "negative length", get("/letters.txt", "Content-Length: -1")),
        case("body", "length with a sign", get("/letters.txt", "Content-Length: +5") + "hello"),
        case("body", "length that is none", get("/letters.txt", "Content-Length: x")),
        case("body", "huge length", get("/letters.txt", "Content-Length: 99999999999999999999")),
        case("body", "unknown coding", get("/letters.txt", "Transfer-Encoding: gzip")),
        case("body", "coding before chunked", get("/letters.txt", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n"),
        case("body", "identity", get("/letters.txt", "Transfer-Encoding: identity")),
        case("body", "coding in 1.0", "GET /letters.txt HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        case("body", "expectation without a body", get("/letters.txt", "Expect: 100-continue")),
        case("body", "unknown expectation", get("/letters.txt", "Expect: 200-ok")),
        case(
            "body",
            "expectation on a file",
            with_fields("POST", "/letters.txt", "Expect: 100-continue\nContent-Length: 5"),
        ),
    ]
}

fn malformed() -> Vec<Case> {
    let request = |line: &str, fields: &str| format!("{line}\r\n{fields}\r\n");
    let host = "Host: localhost\r\n";
    vec![
        case("malformed", "no target", request("GET HTTP/1.1", host)),
        case("malformed", "two spaces", request("GET  /letters.txt HTTP/1.1", host)),
        case("malformed", "two spaces before the version", request("GET /letters.txt  HTTP/1.1", host)),
        case("malformed", "tab", request("GET\t/letters.txt HTTP/1.1", host)),
        case("malformed", "space before the method", request(" GET /letters.txt HTTP/1.1", host)),
        case("malformed", "space behind the version", request("GET /letters.txt HTTP/1.1 ", host)),
        case("malformed", "method with a colon", request("G:T /letters.txt HTTP/1.1", host)),
        case("malformed", "bare LF", "GET /letters.txt HTTP/1.1\nHost: localhost\n\n"),
        case("malformed", "bare LF in a field", "GET /letters.txt HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
        case("malformed", "CR in a value", request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX: a\rb\r\n")),
        case("malformed", "NUL in a value", request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX: a\0b\r\n")),
        case(
            "malformed",
            "control in a value",
            request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX: a\x01b\r\n"),
        ),
        case("malformed", "NUL in the target", request("GET /letters\0.txt HTTP/1.1", host)),
        case("malformed", "control in the target", request("GET /letters\x01.txt HTTP/1.1", host)),
        case("malformed", "DEL in the target", request("GET /letters\x7f.txt HTTP/1.1", host)),
        case("malformed", "field without a colon", request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX\r\n")),
        case("malformed", "field without a name", request("GET /letters.txt HTTP/1.1", "Host: localhost\r\n: x\r\n")),
        case(
            "malformed",
            "space before the colon",
            request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX : y\r\n"),
        ),
        case("malformed", "space in a name", request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX Y: z\r\n")),
        case("malformed", "odd name", request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX(y): z\r\n")),
        case(
            "malformed",
            "underscore in a name",
            request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX_Y: z\r\n"),
        ),
        case("malformed", "folded", request("GET /letters.txt HTTP/1.1", "Host: localhost\r\nX: y\r\n z\r\n")),
        case("malformed", "value of 9000 bytes", get("/letters.txt", &format!("X: {}", "a".repeat(9000)))),
        case(
            "malformed",
            "head of 40000 bytes",
            get("/letters.txt", &"X: 0123456789012345678901234567890123456789\n".repeat(900)),
        ),
        case("malformed", "UTF-8 in a value", get("/letters.txt", "X: ü")),
        case("malformed", "UTF-8 in the target", get("/ü.txt", "")),
        case("malformed", "TLS", "\x16\x03\x01\0\x05hello\r\n\r\n"),
        case("malformed", "one word", "hello\r\n\r\n"),
        case("malformed", "two empty lines before", format!("\r\n\r\n{}", get("/letters.txt", ""))),
    ]
}
