//! Requests whose answer depends on what they say of the representation: ranges, conditions, codings.

use super::Case;
use super::cases::{case, get, with_fields};

const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

const RANGES: &[&str] = &[
    "bytes=0-0",
    "bytes=0-25",
    "bytes=0-26",
    "bytes=1-",
    "bytes=25-",
    "bytes=26-",
    "bytes=100-200",
    "bytes=-1",
    "bytes=-26",
    "bytes=-27",
    "bytes=-0",
    "bytes=0-",
    "bytes=5-4",
    "bytes=",
    "bytes",
    "bytes=a-b",
    "bytes=-",
    "bytes=1",
    "bytes=1-2-3",
    "bytes = 0-1",
    "bytes=0 - 1",
    "bytes= 0-1",
    "bytes=0-1 ",
    "BYTES=0-1",
    "items=0-1",
    "bytes=0-18446744073709551615",
    "bytes=0-99999999999999999999",
    "bytes=99999999999999999999-",
    "bytes=-99999999999999999999",
    "bytes=+1-2",
    "bytes=0x1-2",
    "bytes=00-01",
    "bytes=0-1,4-5",
    "bytes=0-1, 4-5",
    "bytes=4-5,0-1",
    "bytes=0-1,,4-5",
    "bytes=0-0,-1",
    "bytes=0-1,100-200",
    "bytes=100-200,300-400",
    "bytes=0-1,x",
    "bytes=0-5,3-8",
    "bytes=0-1,2-3",
    "bytes=0-25,0-25",
    "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22",
];

pub fn ranges() -> Vec<Case> {
    let mut cases = Vec::new();
    for range in RANGES {
        cases.push(case("range", range, get("/letters.txt", &format!("Range: {range}"))));
    }
    for range in ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0", "bytes=0-0,1-1"] {
        cases.push(case("range of an empty file", range, get("/empty.txt", &format!("Range: {range}"))));
    }
    for range in
        ["bytes=0-0", "bytes=65535-65536", "bytes=299000-", "bytes=-70000", "bytes=300000-", "bytes=0-9,100000-100009"]
    {
        cases.push(case("range of a large file", range, get("/large.bin", &format!("Range: {range}"))));
    }
    cases.push(case("range", "HEAD", with_fields("HEAD", "/letters.txt", "Range: bytes=0-1")));
    cases.push(case("range", "HEAD, unsatisfiable", with_fields("HEAD", "/letters.txt", "Range: bytes=100-")));
    cases.push(case("range", "of what is missing", get("/missing", "Range: bytes=0-1")));
    cases.push(case("range", "of a directory", get("/folder", "Range: bytes=0-1")));
    cases.push(case("range", "twice", get("/letters.txt", "Range: bytes=0-1\nRange: bytes=4-5")));
    let many = (0..17).map(|at| format!("{0}-{0}", at * 4000)).collect::<Vec<_>>().join(",");
    cases.push(case("range", "seventeen", get("/large.bin", &format!("Range: bytes={many}"))));
    for (what, value) in [
        ("same date", SAME),
        ("earlier date", BEFORE),
        ("later date", AFTER),
        ("other tag", "\"x\""),
        ("nonsense", "x"),
        ("its tag", "TAG"),
        ("its tag, weak", "W/TAG"),
    ] {
        let fields = format!("Range: bytes=0-1\nIf-Range: {value}");
        cases.push(case("If-Range", what, get("/letters.txt", &fields)));
    }
    cases.push(case("If-Range", "without Range", get("/letters.txt", &format!("If-Range: {BEFORE}"))));
    cases.push(case("If-Range", "unsatisfiable", get("/letters.txt", &format!("Range: bytes=100-\nIf-Range: {SAME}"))));
    cases
}

pub fn conditionals() -> Vec<Case> {
    let mut cases = Vec::new();
    let fields = [
        (
            "If-Modified-Since",
            vec![
                SAME,
                BEFORE,
                AFTER,
                "Sunday, 06-Nov-94 08:49:37 GMT",
                "Sun Nov  6 08:49:37 1994",
                "nonsense",
                "0",
                "",
            ],
        ),
        ("If-Unmodified-Since", vec![SAME, BEFORE, AFTER, "Sunday, 06-Nov-94 08:49:36 GMT", "nonsense"]),
        (
            "If-None-Match",
            vec!["TAG", "W/TAG", "*", "\"x\"", "\"x\", TAG", "\"x\",W/TAG , \"y\"", "nonsense", "\"\"", "\"x", ""],
        ),
        ("If-Match", vec!["TAG", "W/TAG", "*", "\"x\"", "\"x\", TAG", "nonsense"]),
    ];
    for (name, values) in &fields {
        for value in values {
            for method in ["GET", "HEAD"] {
                let what = format!("{method} {name}: {value}");
                cases.push(case("condition", &what, with_fields(method, "/letters.txt", &format!("{name}: {value}"))));
            }
        }
    }
    for (what, fields) in [
        ("tag differs, date same", format!("If-None-Match: \"x\"\nIf-Modified-Since: {SAME}")),
        ("tag same, date earlier", format!("If-None-Match: TAG\nIf-Modified-Since: {BEFORE}")),
        ("If-Match holds, If-Unmodified-Since fails", format!("If-Match: TAG\nIf-Unmodified-Since: {BEFORE}")),
        ("If-Match fails, If-None-Match holds", "If-Match: \"x\"\nIf-None-Match: TAG".to_owned()),
        ("If-Match and If-None-Match hold", "If-Match: TAG\nIf-None-Match: TAG".to_owned()),
        (
            "If-Unmodified-Since and If-Modified-Since",
            format!("If-Unmodified-Since: {SAME}\nIf-Modified-Since: {SAME}"),
        ),
        ("304 before a range", format!("If-Modified-Since: {SAME}\nRange: bytes=0-1")),
        ("412 before a range", "If-Match: \"x\"\nRange: bytes=0-1".to_owned()),
        ("two lines of tags", "If-None-Match: \"x\"\nIf-None-Match: TAG".to_owned()),
        ("two dates", format!("If-Modified-Since: {BEFORE}\nIf-Modified-Since: {SAME}")),
    ] {
        cases.push(case("conditions", what, get("/letters.txt", &fields)));
        cases.push(case("conditions, large file", what, get("/large.bin", &fields.replace("TAG", "LARGE"))));
    }
    for target in ["/missing", "/folder", "/bare/"] {
        cases.push(case("condition", &format!("on {target}"), get(target, "If-None-Match: *")));
        cases.push(case("condition", &format!("If-Match on {target}"), get(target, "If-Match: \"x\"")));
    }
    cases
}

pub fn encodings() -> Vec<Case> {
    let accepted = [
        "gzip",
        "GZIP",
        "x, gzip",
        "br",
        "gzip, br",
        "gzip;q=0",
        "gzip;q=0.001",
        "gzip;q=0.000",
        "gzip;q=1.0, identity;q=0.5",
        "gzip ; q=1",
        "identity",
        "*",
        "*;q=0",
        "",
        "x",
        "gzip;q=2",
    ];
    let asked = |value: &&str| {
        [
            case("Accept-Encoding", value, get("/letters.txt", &format!("Accept-Encoding: {value}"))),
            case("Accept-Encoding, packed", value, get("/packed.html", &format!("Accept-Encoding: {value}"))),
        ]
    };
    let mut cases: Vec<_> = accepted.iter().flat_map(asked).collect();
    cases.push(case("packed", "not asked for", get("/packed.html", "")));
    cases.push(case("packed", "HEAD", with_fields("HEAD", "/packed.html", "Accept-Encoding: gzip")));
    cases.push(case("packed", "range", get("/packed.html", "Accept-Encoding: gzip\nRange: bytes=0-3")));
    cases.push(case("packed", "unsatisfiable", get("/packed.html", "Accept-Encoding: gzip\nRange: bytes=999-")));
    cases.push(case(
        "packed",
        "condition",
        get("/packed.html", &format!("Accept-Encoding: gzip\nIf-Modified-Since: {SAME}")),
    ));
    cases.push(case("packed", "If-None-Match: *", get("/packed.html", "Accept-Encoding: gzip\nIf-None-Match: *")));
    cases.push(case("packed", "tag of another file", get("/packed.html", "Accept-Encoding: gzip\nIf-None-Match: TAG")));
    cases.push(case("packed", "the packed file itself", get("/packed.html.gz", "")));
    cases.push(case("packed", "index", get("/packed/", "Accept-Encoding: gzip")));
    cases.push(case("packed", "1.0", "GET /packed.html HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"));
    cases.push(case("packed", "through a proxy", get("/packed.html", "Accept-Encoding: gzip\nVia: 1.1 proxy")));
    cases
}
