//! Where maitred answers otherwise than nginx, and why that is right: the section that says so, and the whole answer that is expected instead.

/// A reason for answers that differ.
pub struct Rule {
    /// The section that is on our side.
    pub section: &'static str,
    /// What it says, or what nginx does otherwise.
    pub why: &'static str,
    /// Cases, and what maitred answers.
    pub cases: &'static [(&'static str, &'static str)],
}

/// `/letters.txt`.
const WHOLE: &str = r#"200 Accept-Ranges=bytes Content-Length=26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcdefghijklmnopqrstuvwxyz""#;

/// `/packed.html` as gzip.
const PACKED: &str = r#"200 Accept-Ranges=bytes Content-Encoding=gzip Content-Length=8 Content-Type=text/html; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT Vary=Accept-Encoding tag "\\x1f\\x8bpacked""#;

/// Every deviation.
pub static RULES: &[Rule] = &[
    Rule {
        section: "RFC 9110 §9.3.7",
        why: "OPTIONS asks for the options of a resource, or with `*` of the server, and Allow tells them",
        cases: &[
            ("method: OPTIONS /letters.txt", r#"204 Allow=GET, HEAD, OPTIONS """#),
            ("method: OPTIONS /", r#"204 Allow=GET, HEAD, OPTIONS """#),
            ("method: OPTIONS /missing.txt", r#"204 Allow=GET, HEAD, OPTIONS """#),
            ("method: OPTIONS *", r#"204 Allow=GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS """#),
        ],
    },
    Rule {
        section: "RFC 9110 §15.5.6",
        why: "the method is known and not supported by any file, whether this one is there or not",
        cases: &[("method: POST /missing.txt", "405")],
    },
    Rule {
        section: "RFC 9112 §9.3",
        why: "a refused TRACE leaves the connection as good as it was; nginx closes it",
        cases: &[
            ("method: TRACE /letters.txt", "405"),
            ("method: TRACE /", "405"),
            ("method: TRACE /missing.txt", "405"),
        ],
    },
    Rule {
        section: "RFC 9110 §9.1",
        why: "methods are case-sensitive tokens, so `get` is well-formed and an unknown method; nginx calls it malformed",
        cases: &[("method: get /letters.txt", "405"), ("method: get /", "405"), ("method: get /missing.txt", "405")],
    },
    Rule {
        section: "RFC 9110 §15.6.2",
        why: "CONNECT is a method that is not implemented; nginx calls the request malformed",
        cases: &[("method: CONNECT", "501 close")],
    },
    Rule {
        section: "RFC 9110 §14.2",
        why: "an invalid set of ranges may be ignored, as a Range field may be altogether; nginx refuses it, or reads white space and repetition into it",
        cases: &[
            ("range: bytes=5-4", WHOLE),
            ("range: bytes=a-b", WHOLE),
            ("range: bytes=-", WHOLE),
            ("range: bytes=1", WHOLE),
            ("range: bytes=1-2-3", WHOLE),
            ("range: bytes=0 - 1", WHOLE),
            ("range: bytes=+1-2", WHOLE),
            ("range: bytes=0x1-2", WHOLE),
            ("range: bytes=0-1,x", WHOLE),
            ("range: twice", WHOLE),
        ],
    },
    Rule {
        section: "RFC 9110 §14.1.2",
        why: "a last position beyond the end means the end, however large its number is, and so does a longer suffix",
        cases: &[
            (
                "range: bytes=0-18446744073709551615",
                r#"206 Content-Length=26 Content-Range=bytes 0-25/26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcdefghijklmnopqrstuvwxyz""#,
            ),
            (
                "range: bytes=0-99999999999999999999",
                r#"206 Content-Length=26 Content-Range=bytes 0-25/26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcdefghijklmnopqrstuvwxyz""#,
            ),
            (
                "range: bytes=-99999999999999999999",
                r#"206 Content-Length=26 Content-Range=bytes 0-25/26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcdefghijklmnopqrstuvwxyz""#,
            ),
        ],
    },
    Rule {
        section: "RFC 9110 §5.6.1.2",
        why: "empty members of a list must be accepted",
        cases: &[(
            "range: bytes=0-1,,4-5",
            "206 Content-Type=multipart/byteranges; boundary=BOUNDARY Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag 216 bytes bdc1992a30da3f2b",
        )],
    },
    Rule {
        section: "RFC 9110 §15.3.7.2",
        why: "ranges that overlap, or lie so close that a part's fields are longer than the gap, may be sent as one",
        cases: &[
            (
                "range: bytes=0-5,3-8",
                r#"206 Content-Length=9 Content-Range=bytes 0-8/26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcdefghi""#,
            ),
            (
                "range: bytes=0-1,2-3",
                r#"206 Content-Length=4 Content-Range=bytes 0-3/26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcd""#,
            ),
            (
                "range: bytes=0-25,0-25",
                r#"206 Content-Length=26 Content-Range=bytes 0-25/26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcdefghijklmnopqrstuvwxyz""#,
            ),
        ],
    },
    Rule {
        section: "RFC 9110 §14.1.2",
        why: "of a file without a byte only a suffix of some length is satisfiable; all else is a 416 (§15.5.17)",
        cases: &[
            ("range of an empty file: bytes=0-0", "416 Content-Range=bytes */0"),
            ("range of an empty file: bytes=0-", "416 Content-Range=bytes */0"),
            ("range of an empty file: bytes=-0", "416 Content-Range=bytes */0"),
            ("range of an empty file: bytes=0-0,1-1", "416 Content-Range=bytes */0"),
        ],
    },
    Rule {
        section: "RFC 9110 §14.2",
        why: "Range must be ignored with any method but GET",
        cases: &[
            (
                "range: HEAD",
                r#"200 Accept-Ranges=bytes Content-Length=26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag """#,
            ),
            (
                "range: HEAD, unsatisfiable",
                r#"200 Accept-Ranges=bytes Content-Length=26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag """#,
            ),
        ],
    },
    Rule {
        section: "RFC 9110 §13.1.3",
        why: "what was not modified after the given date is not modified; nginx compares for equality by default",
        cases: &[
            ("condition: GET If-Modified-Since: Mon, 07 Nov 1994 08:49:37 GMT", r#"304 tag """#),
            ("condition: HEAD If-Modified-Since: Mon, 07 Nov 1994 08:49:37 GMT", r#"304 tag """#),
        ],
    },
    Rule {
        section: "RFC 9110 §13.1.4",
        why: "a date that is none must be ignored",
        cases: &[
            ("condition: GET If-Unmodified-Since: nonsense", WHOLE),
            (
                "condition: HEAD If-Unmodified-Since: nonsense",
                r#"200 Accept-Ranges=bytes Content-Length=26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag """#,
            ),
        ],
    },
    Rule {
        section: "RFC 9110 §13.1.3",
        why: "If-Modified-Since must be ignored beside If-None-Match",
        cases: &[
            ("conditions: tag same, date earlier", r#"304 tag """#),
            ("conditions, large file: tag same, date earlier", r#"304 tag """#),
        ],
    },
    Rule {
        section: "RFC 9110 §13.1.4",
        why: "If-Unmodified-Since must be ignored beside If-Match",
        cases: &[
            ("conditions: If-Match holds, If-Unmodified-Since fails", WHOLE),
            (
                "conditions, large file: If-Match holds, If-Unmodified-Since fails",
                "200 Accept-Ranges=bytes Content-Length=300000 Content-Type=application/octet-stream Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag 855767 bytes 8c93a6b22115e4f6",
            ),
        ],
    },
    Rule {
        section: "RFC 9110 §5.3",
        why: "several lines of a list are one list",
        cases: &[
            ("conditions: two lines of tags", r#"304 tag """#),
            ("conditions, large file: two lines of tags", r#"304 tag """#),
        ],
    },
    Rule {
        section: "RFC 9110 §13.1.3",
        why: "a date that is given twice must be ignored",
        cases: &[
            ("conditions: two dates", WHOLE),
            (
                "conditions, large file: two dates",
                "200 Accept-Ranges=bytes Content-Length=300000 Content-Type=application/octet-stream Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag 855767 bytes 8c93a6b22115e4f6",
            ),
        ],
    },
    Rule {
        section: "docs/architecture.md, Static files",
        why: "no link leads out of the root (nginx: disable_symlinks is off by default)",
        cases: &[("spelling: /outside.txt", "404"), ("spelling: /outside/secret.txt", "404")],
    },
    Rule {
        section: "RFC 9110 §15.5.5",
        why: "a link that leads to itself leads to no file",
        cases: &[("spelling: /loop", "404")],
    },
    Rule {
        section: "RFC 9110 §7.4",
        why: "a target of another scheme is not this server's to answer",
        cases: &[("form: ftp://localhost/letters.txt", "400 close")],
    },
    Rule {
        section: "RFC 9112 §3.2",
        why: "no form of a target has a fragment, and an invalid request line is a 400 (§3)",
        cases: &[("form: /letters.txt#f", "400 close")],
    },
    Rule {
        section: "RFC 9110 §4.2.1",
        why: "a port is one of TCP, which has none beyond 65535",
        cases: &[
            ("form: http://localhost:99999/letters.txt", "400 close"),
            ("host: Host: localhost:99999", "400 close"),
        ],
    },
    Rule {
        section: "RFC 9112 §5",
        why: "white space around a value, tabs too, is no part of it",
        cases: &[(r#"host: Host: \t localhost \t"#, WHOLE)],
    },
    Rule {
        section: "RFC 9112 §3.2",
        why: "a Host that is no uri-host with an optional port must be refused",
        cases: &[
            ("host: Host: a?b", "400 close"),
            ("host: Host: a@b", "400 close"),
            ("host: Host: localhost:port", "400 close"),
            ("host: Host: [::1", "400 close"),
            (r#"host: Host: a\\b"#, "400 close"),
            (r#"host: Host: a\"b"#, "400 close"),
        ],
    },
    Rule {
        section: "RFC 3986 §3.2.2",
        why: "a name may hold dots side by side",
        cases: &[("host: Host: a..b", WHOLE)],
    },
    Rule {
        section: "RFC 9112 §3",
        why: "a request line has a version; HTTP/0.9 is no longer spoken (appendix C.1)",
        cases: &[("version: 0.9", "400 close"), ("version: none", "400 close")],
    },
    Rule {
        section: "RFC 9112 §2.3",
        why: "a version has one digit before the dot and one behind it",
        cases: &[("version: 11.1", "400 close")],
    },
    Rule {
        section: "RFC 9110 §15.6.6",
        why: "a major version that is not spoken is a 505",
        cases: &[("version: HTTP/2 preface", "505 close")],
    },
    Rule {
        section: "RFC 9112 §9.3.2",
        why: "pipelined requests are answered as long as the connection is kept; nginx announces that and closes",
        cases: &[(
            "pipeline: after 412 and 416",
            r#"412 | 416 Content-Range=bytes */26 | 200 Accept-Ranges=bytes Content-Length=26 Content-Type=text/plain; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT tag "abcdefghijklmnopqrstuvwxyz""#,
        )],
    },
    Rule {
        section: "RFC 9110 §10.1.1",
        why: "100 is not sent where there is no content to wait for",
        cases: &[("body: expectation without a body", WHOLE)],
    },
    Rule {
        section: "RFC 9110 §10.1.1",
        why: "an expectation that is not known may be refused with a 417",
        cases: &[("body: unknown expectation", "417 close")],
    },
    Rule {
        section: "RFC 9110 §10.1.1",
        why: "a client that was refused may send its content or not, so the connection can't be kept; nginx keeps it",
        cases: &[("body: expectation on a file", "405 close")],
    },
    Rule {
        section: "RFC 9112 §3",
        why: "an invalid request line should be a 400; one space stands between its parts and none at its end",
        cases: &[
            ("malformed: two spaces", "400 close"),
            ("malformed: two spaces before the version", "400 close"),
            ("malformed: space behind the version", "400 close"),
        ],
    },
    Rule {
        section: "RFC 9112 §2.2",
        why: "a line ends in CRLF; to take a bare LF is allowed, and smuggles requests past those who don't",
        cases: &[("malformed: bare LF", "400 close"), ("malformed: bare LF in a field", "400 close")],
    },
    Rule {
        section: "RFC 9110 §5.5",
        why: "control characters are invalid in a value",
        cases: &[("malformed: control in a value", "400 close")],
    },
    Rule {
        section: "RFC 9112 §5",
        why: "a field line is a token, a colon and a value",
        cases: &[("malformed: field without a colon", "400 close"), ("malformed: odd name", "400 close")],
    },
    Rule {
        section: "RFC 9110 §5.4",
        why: "how long a field may be is the server's to say: 16 KiB here, 8 KiB in nginx",
        cases: &[("malformed: value of 9000 bytes", WHOLE)],
    },
    Rule {
        section: "RFC 6585 §5",
        why: "a head that is too large is a 431",
        cases: &[("malformed: head of 40000 bytes", "431 close")],
    },
    Rule {
        section: "RFC 9112 §2.2",
        why: "one empty line before a request is skipped, which is what has to be",
        cases: &[("malformed: two empty lines before", "400 close")],
    },
    Rule {
        section: "RFC 9110 §12.5.3",
        why: "`*` stands for every coding that is not named",
        cases: &[("Accept-Encoding, packed: *", PACKED)],
    },
    Rule {
        section: "RFC 9110 §14.2",
        why: "ranges are those of the selected representation, coded or not (§8.4); nginx has none of a packed file",
        cases: &[
            ("Accept-Encoding, packed: gzip", PACKED),
            ("Accept-Encoding, packed: GZIP", PACKED),
            ("Accept-Encoding, packed: x, gzip", PACKED),
            ("Accept-Encoding, packed: gzip, br", PACKED),
            ("Accept-Encoding, packed: gzip;q=0.001", PACKED),
            ("Accept-Encoding, packed: gzip;q=1.0, identity;q=0.5", PACKED),
            ("Accept-Encoding, packed: gzip ; q=1", PACKED),
            (
                "packed: HEAD",
                r#"200 Accept-Ranges=bytes Content-Encoding=gzip Content-Length=8 Content-Type=text/html; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT Vary=Accept-Encoding tag """#,
            ),
            (
                "packed: range",
                r#"206 Content-Encoding=gzip Content-Length=4 Content-Range=bytes 0-3/8 Content-Type=text/html; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT Vary=Accept-Encoding tag "\\x1f\\x8bpa""#,
            ),
            ("packed: unsatisfiable", "416 Content-Range=bytes */8"),
            ("packed: tag of another file", PACKED),
            ("packed: index", PACKED),
            (
                "packed: 1.0",
                r#"200 Accept-Ranges=bytes Content-Encoding=gzip Content-Length=8 Content-Type=text/html; charset=utf-8 Last-Modified=Sun, 06 Nov 1994 08:49:37 GMT Vary=Accept-Encoding tag close "\\x1f\\x8bpacked""#,
            ),
            ("packed: through a proxy", PACKED),
        ],
    },
];
