//! Dates: what is parsed survives being formatted, to the second.

use maitred::http::date::{format, parse};

pub const TARGET: super::Target = super::Target {
    name: "dates",
    run,
    seeds: &[
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b"Thu, 01 Jan 1970 00:00:00 GMT",
        b"Tue, 29 Feb 2000 23:59:60 GMT",
        b"Fri, 31 Dec 9999 23:59:59 GMT",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    if let Some(seconds) = parse(input) {
        let text = format(seconds);
        assert!(text.is_ascii() && text.ends_with(b" GMT"));
        assert_eq!(parse(&text), Some(seconds));
    }
}
