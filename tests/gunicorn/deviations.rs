//! Where maitred does otherwise than Gunicorn, and why. `docs/wsgi.md` says the same to users.

/// A reason for differences.
pub struct Rule {
    /// Why maitred does so; a sentence of `docs/wsgi.md`.
    pub why: &'static str,
    /// Cases, and their differences: `what: maitred | gunicorn`.
    pub cases: &'static [(&'static str, &'static str)],
}

/// Keys of the environ that differ in every request or by chance, and why.
pub const KEYS: &[(&str, &str)] = &[
    ("SERVER_SOFTWARE", "each names itself"),
    ("SERVER_PORT", "two servers, two ports"),
    ("REMOTE_PORT", "two connections, two ports"),
    ("gunicorn.socket", "Gunicorn's own: the client's socket, which no worker of maitred has"),
    ("HTTP_X_REQUEST_ID", "maitred gives each request an id that the log names too"),
    ("HTTP_X_FORWARDED_PROTO", "maitred says the scheme as a proxy would, for applications that look there"),
    ("maitred.request_timeout", "maitred's own: the exception by which a request is interrupted"),
    ("wsgi.multithread", "Gunicorn's thread worker says yes for one thread, too"),
];

/// Whether a field of the response is compared: each server's own Date and Server are not, and Connection is seen by what comes of it.
pub fn field_counts(name: &str, value: &str) -> bool {
    match name {
        "date" => value.contains("1970"),
        "server" => value == "mine",
        "connection" | "keep-alive" => false,
        _ => true,
    }
}

/// Every deviation.
pub static RULES: &[Rule] = &[
    Rule {
        why: "A target that is not what RFC 3986 and RFC 9112 §3.2 allow is refused before routes are looked at: dot segments above the root, a broken percent-encoding, a NUL, a fragment, another scheme than HTTP, a user or no host. nginx does the same.",
        cases: &[
            ("target: /..", "status: 400 | 200"),
            ("target: /%2e%2e/a", "status: 400 | 200"),
            ("target: /a%00b", "status: 400 | 200"),
            ("target: /%", "status: 400 | 200"),
            ("target: /a%", "status: 400 | 200"),
            ("target: /a%2", "status: 400 | 200"),
            ("target: /a%zz", "status: 400 | 200"),
            ("target: /a%2zb%20c", "status: 400 | 200"),
            ("target: /a#b", "status: 400 | 200"),
            ("target: /a?b#c", "status: 400 | 200"),
            ("target: /#", "status: 400 | 200"),
            ("target: ftp://example.com/a", "status: 400 | 200"),
            ("target: http://user@example.com/a", "status: 400 | 200"),
            ("target: http:///a", "status: 400 | 200"),
        ],
    },
    Rule {
        why: "An absolute target without a path has the path `/` (RFC 9112 §3.2.1).",
        cases: &[
            ("target: http://example.com", r#"PATH_INFO: "/" | """#),
            ("target: http://example.com?b", r#"PATH_INFO: "/" | """#),
        ],
    },
    Rule {
        why: "The host of an absolute target counts, not the Host field beside it (RFC 9112 §3.2.2).",
        cases: &[
            ("target: http://example.com:8080/a", r#"HTTP_HOST: "example.com:8080" | "example.com""#),
            ("target: http://other.example/a", r#"HTTP_HOST: "other.example" | "example.com""#),
            ("target: http://EXAMPLE.com//a", r#"HTTP_HOST: "EXAMPLE.com" | "example.com""#),
        ],
    },
    Rule {
        why: "Bytes beyond ASCII in a target are passed on as they came: clients send them, nginx takes them, and PEP 3333 has a place for them.",
        cases: &[("target: raw UTF-8", "status: 200 | 400"), ("target: raw UTF-8 in the query", "status: 200 | 400")],
    },
    Rule {
        why: "Cookies in several fields are joined by a semicolon, which is what separates cookies (RFC 6265 §5.4).",
        cases: &[("field: Cookie: a=1 + Cookie: b=2", r#"HTTP_COOKIE: "a=1; b=2" | "a=1,b=2""#)],
    },
    Rule {
        why: "Of several Content-Type fields the last one counts; Gunicorn refuses them.",
        cases: &[("field: Content-Type: a/b + Content-Type: c/d", "status: 200 | 400")],
    },
    Rule {
        why: "Names with an underscore are dropped, whoever sends them: they could pass for names with a hyphen. Where the application is mounted the variable SCRIPT_NAME says.",
        cases: &[
            ("field: X-Real-IP: a + X_Real_IP: b", r#"HTTP_X_REAL_IP: - | "a""#),
            ("field: SCRIPT_NAME: /a", "status: 200 | 500"),
            ("field: PATH_INFO: /a", r#"HTTP_PATH_INFO: - | "/a""#),
        ],
    },
    Rule {
        why: "A field called Proxy is dropped: HTTP_PROXY would be taken for a setting (CVE-2016-1000110).",
        cases: &[("field: Proxy: http://evil/", r#"HTTP_PROXY: - | "http://evil/""#)],
    },
    Rule {
        why: "What a trusted proxy says of the client is believed: REMOTE_ADDR is the client's, as with nginx's real_ip, and all fields that tell of it say the same.",
        cases: &[
            (
                "field: X-Real-IP: 1.2.3.4",
                r#"HTTP_X_FORWARDED_FOR: "1.2.3.4" | -; REMOTE_ADDR: "1.2.3.4" | "127.0.0.1""#,
            ),
            (
                "field: Forwarded: for=1.2.3.4;proto=https",
                r#"HTTPS: "on" | -; HTTP_X_FORWARDED_FOR: "1.2.3.4" | -; HTTP_X_REAL_IP: "1.2.3.4" | -; REMOTE_ADDR: "1.2.3.4" | "127.0.0.1"; wsgi.url_scheme: "https" | "http""#,
            ),
            (
                "field: X-Forwarded-For: 1.2.3.4",
                r#"HTTP_X_REAL_IP: "1.2.3.4" | -; REMOTE_ADDR: "1.2.3.4" | "127.0.0.1""#,
            ),
            (
                "field: X-Forwarded-For: 1.2.3.4, 5.6.7.8",
                r#"HTTP_X_FORWARDED_FOR: "5.6.7.8" | "1.2.3.4, 5.6.7.8"; HTTP_X_REAL_IP: "5.6.7.8" | -; REMOTE_ADDR: "5.6.7.8" | "127.0.0.1""#,
            ),
            ("field: X-Forwarded-Proto: https", r#"HTTPS: "on" | -"#),
        ],
    },
    Rule {
        why: "The scheme is what X-Forwarded-Proto or Forwarded says: other fields may have been passed on from a client by a proxy that does not know them.",
        cases: &[
            ("field: X-Forwarded-Protocol: ssl", r#"wsgi.url_scheme: "http" | "https""#),
            ("field: X-Forwarded-Ssl: on", r#"wsgi.url_scheme: "http" | "https""#),
        ],
    },
    Rule {
        why: "A coding that is not known is a 501 (RFC 9112 §6.1); Gunicorn says 400, or takes gzip and hands it to the application packed.",
        cases: &[
            ("field: Transfer-Encoding: identity", "status: 501 | 400"),
            ("broken body: gzip, chunked", "status: 501 | 200"),
        ],
    },
    Rule {
        why: "100 is said only to a client that has still to send its body (RFC 9110 §10.1.1).",
        cases: &[
            ("field: Expect: 100-continue", "status: 200 | 100 200"),
            ("body: expectation with the body", "status: 200 | 100 200"),
        ],
    },
    Rule {
        why: "HTTP/1.1 without a Host field, or with one that is no host, is a 400 (RFC 9112 §3.2).",
        cases: &[
            ("host: none", "status: 400 | 200"),
            ("host: empty", "status: 400 | 200"),
            ("host: slash", "status: 400 | 200"),
            ("host: space", "status: 400 | 200"),
            ("host: user", "status: 400 | 200"),
            ("host: list", "status: 400 | 200"),
        ],
    },
    Rule {
        why: "`close` ends the connection wherever it stands in the list of Connection (RFC 9112 §9.3).",
        cases: &[
            ("version: 1.1, close among others", "connection: closed | kept"),
            ("version: 1.1, keep-alive and close", "connection: closed | kept"),
        ],
    },
    Rule {
        why: "A minor version that is not known is treated as HTTP/1.1, another major one is a 505 (RFC 9110 §2.5, §15.6.6).",
        cases: &[
            ("version: 1.2", "status: 200 | none"),
            ("version: 2.0", "status: 505 | 400"),
            ("version: 0.9", "status: 505 | 400"),
        ],
    },
    Rule {
        why: "A method is a token, of any length and case (RFC 9110 §9.1).",
        cases: &[
            ("method: X", "status: 200 | 400"),
            ("method: get", "status: 200 | 400"),
            ("method: Get", "status: 200 | 400"),
            ("method: G#T", "status: 200 | 400"),
        ],
    },
    Rule {
        why: "CONNECT asks for a tunnel, OPTIONS * for what the server can do: the server answers, not the application (RFC 9110 §9.3.6, §9.3.7).",
        cases: &[
            ("method: CONNECT", "status: 400 | 200"),
            ("method: OPTIONS *", "status: 204 | 200"),
            ("method: CONNECT host", "status: 501 | 200"),
        ],
    },
    Rule {
        why: "The body is there in full before the application is called, so CONTENT_LENGTH is its length, also if it came in chunks. One that is cut short or malformed never gets there: Gunicorn's application meets an error, or takes what has come for the whole.",
        cases: &[
            ("body: environ, leading zeroes", r#"CONTENT_LENGTH: "3" | "003""#),
            ("body: environ, chunked", r#"CONTENT_LENGTH: "3" | -"#),
            ("body: environ, Chunked", r#"CONTENT_LENGTH: "3" | -"#),
            ("body: environ, chunks of nothing", r#"CONTENT_LENGTH: "0" | -"#),
            ("short body: length too long", "status: none | 200"),
            ("short body: chunk cut", r#"app: [] | ["reading failed"]"#),
            ("short body: no last chunk", r#"app: [] | ["reading failed"]"#),
            ("short body: no end of the last chunk", r#"status: none | 400; app: [] | ["reading failed"]"#),
            ("short body: nothing of a chunked one", r#"app: [] | ["reading failed"]"#),
            ("short body: nothing of a known one", "status: none | 200"),
            ("short body: bare line feeds", r#"status: 400 | none; app: [] | ["reading failed"]"#),
            ("broken body: chunk size", r#"app: [] | ["reading failed"]"#),
            ("broken body: chunk size of nothing", r#"app: [] | ["reading failed"]"#),
            ("broken body: chunk size with a sign", r#"app: [] | ["reading failed"]"#),
            ("broken body: chunk size with 0x", r#"app: [] | ["reading failed"]"#),
            ("broken body: chunk without its end", r#"app: [] | ["reading failed"]"#),
        ],
    },
    Rule {
        why: "A field line may have 16 KiB by default (`limit_request_field_size`).",
        cases: &[("malformed: field of 9000 bytes", "status: 200 | 431")],
    },
    Rule {
        why: r#"A body that is complete when the head is sent has a Content-Length (PEP 3333, "Handling the Content-Length Header"), and HEAD has the same fields as GET (RFC 9110 §9.3.2)."#,
        cases: &[
            ("version: 1.0, list of unknown length", "content-length: 3 | -"),
            ("version: 1.0, nothing", "content-length: 0 | -"),
            ("version: 1.0, file", "content-length: 300000 | -"),
            ("answer: list-unknown", "content-length: 3 | -; transfer-encoding: - | chunked"),
            ("answer, HEAD: list-unknown", "content-length: 3 | -"),
            ("answer: list-of-two-unknown", "content-length: 6 | -; transfer-encoding: - | chunked"),
            ("answer, HEAD: list-of-two-unknown", "content-length: 6 | -"),
            ("answer: no-piece-unknown", "content-length: 0 | -; transfer-encoding: - | chunked"),
            ("answer: empty-piece-unknown", "content-length: 0 | -; transfer-encoding: - | chunked"),
            ("answer: generator-of-nothing", "content-length: 0 | -; transfer-encoding: - | chunked"),
            ("answer: closing-of-nothing", "content-length: 0 | -; transfer-encoding: - | chunked"),
            ("answer: file-unknown", "content-length: 300000 | -; transfer-encoding: - | chunked"),
            ("answer, HEAD: file-unknown", "content-length: 300000 | -"),
            ("answer: file-offset-unknown", "content-length: 100 | -; transfer-encoding: - | chunked"),
            ("answer, HEAD: file-offset-unknown", "content-length: 100 | -"),
            (
                "answer: file-empty-unknown",
                r#"content-length: 0 | -; transfer-encoding: - | chunked; connection: kept | closed"#,
            ),
            ("answer, HEAD: file-empty-unknown", "content-length: 0 | -"),
        ],
    },
    Rule {
        why: "The response was complete, or HEAD asked for none of what failed to come: the connection is as good as before.",
        cases: &[
            ("answer: closing-fails", "connection: kept | closed"),
            ("answer, HEAD: closing-fails", "connection: kept | closed"),
            ("answer, HEAD: write-str-later", "connection: kept | closed"),
            ("answer, HEAD: fail-after-write", "connection: kept | closed"),
            ("answer, HEAD: fail-later", "connection: kept | closed"),
            ("answer, HEAD: fail-later-length", "connection: kept | closed"),
            ("answer: fail-at-the-end", "connection: kept | closed"),
            ("answer, HEAD: fail-at-the-end", "connection: kept | closed"),
            ("answer, HEAD: replaced-after-piece", "connection: kept | closed"),
            ("answer, HEAD: generator-of-str-later", "connection: kept | closed"),
        ],
    },
    Rule {
        why: r#"Nothing has been sent before the first piece of a body that is not empty (PEP 3333, "The start_response() Callable"), so what fails until then is a 500, and exc_info can still replace the head."#,
        cases: &[
            ("answer: write-str", "status: 500 | 200"),
            ("answer, HEAD: write-str", "status: 500 | 200"),
            ("answer: write-bytearray", "status: 500 | 200"),
            ("answer, HEAD: write-bytearray", "status: 500 | 200"),
            ("answer: fail-after-empty", "status: 500 | 200"),
            ("answer, HEAD: fail-after-empty", "status: 500 | 200"),
            ("answer, HEAD: never-start", "status: 500 | none"),
            ("answer: replaced-after-empty", r#"status: 503 | 200; app: [] | ["start_response raised it again"]"#),
            (
                "answer, HEAD: replaced-after-empty",
                r#"status: 503 | 200; app: [] | ["start_response raised it again"]"#,
            ),
            ("answer: str", "status: 500 | 200"),
            ("answer, HEAD: str", "status: 500 | 200"),
            ("answer: bytes", "status: 500 | 200"),
            ("answer, HEAD: bytes", "status: 500 | 200"),
            ("answer: list-of-str", "status: 500 | 200"),
            ("answer, HEAD: list-of-str", "status: 500 | 200"),
            ("answer: list-of-str-later", "status: 500 | 200"),
            ("answer, HEAD: list-of-str-later", "status: 500 | 200"),
            ("answer: list-of-none", "status: 500 | 200"),
            ("answer, HEAD: list-of-none", "status: 500 | 200"),
            ("answer: list-of-bytearray", "status: 500 | 200"),
            ("answer, HEAD: list-of-bytearray", "status: 500 | 200"),
            ("answer: list-of-memoryview", "status: 500 | 200"),
            ("answer, HEAD: list-of-memoryview", "status: 500 | 200"),
            ("answer: generator-of-str", "status: 500 | 200"),
            ("answer, HEAD: generator-of-str", "status: 500 | 200"),
        ],
    },
    Rule {
        why: "A head that exc_info replaces is gone; Gunicorn sends both.",
        cases: &[
            (
                "answer: replaced",
                "content-type: text/plain | text/plain & text/plain; x-app: yes | yes & yes; x-first: - | yes",
            ),
            (
                "answer, HEAD: replaced",
                "content-type: text/plain | text/plain & text/plain; x-app: yes | yes & yes; x-first: - | yes",
            ),
        ],
    },
    Rule {
        why: "A status line always has a reason phrase, if need be the usual one: without the space before it clients can't read it.",
        cases: &[("status: no-reason", "status: 200 | none"), ("status: empty-reason", "reason: OK | ")],
    },
    Rule {
        why: "An application answers with a final status: Gunicorn sends 1xx as if it was one, and clients wait on.",
        cases: &[
            ("status: 100", r#"status: 500 | 100; app: ["start_response refused"] | []"#),
            ("status: 103", r#"status: 500 | 103; app: ["start_response refused"] | []"#),
            ("status: 099", r#"status: 500 | none; app: ["start_response refused"] | []"#),
        ],
    },
    Rule {
        why: "Content-Length is given once and is a number (RFC 9110 §8.6).",
        cases: &[
            ("header: length-twice", r#"status: 500 | none; app: ["start_response refused"] | []"#),
            ("header: length-negative", r#"status: 500 | none; app: ["start_response refused"] | []"#),
            ("header: length-plus", r#"status: 500 | none; app: ["start_response refused"] | []"#),
        ],
    },
    Rule {
        why: r#"How a message is framed is the server's to say (PEP 3333, "Other HTTP Features"): Transfer-Encoding and Trailer are not passed on."#,
        cases: &[
            ("header: chunked", "content-length: 3 | -; transfer-encoding: - | chunked"),
            ("header: trailer", "trailer: - | X-A"),
        ],
    },
    Rule {
        why: "Date and Server of the application are kept in place of the server's own.",
        cases: &[("header: date", "date: Thu, 01 Jan 1970 00:00:00 GMT | -"), ("header: server", "server: mine | -")],
    },
    Rule {
        why: "A response has 256 fields at most (docs/limits.md).",
        cases: &[("header: many", "status: 500 | 200")],
    },
];
