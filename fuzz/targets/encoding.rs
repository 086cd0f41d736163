//! Accept-Encoding: what is chosen is at hand and was asked for, whatever else the field says.
//!
//! Input: a byte that says what is at hand, then the field's value.

use maitred::http::encoding::{Accepted, Coding};
use maitred::http::head::{Parse, parse};

use super::choices;

pub const TARGET: super::Target = super::Target {
    name: "encoding",
    run,
    seeds: &[
        b"\x07gzip, deflate, br, zstd",
        b"\x07br;q=0.5, zstd;q=0.501 , gzip;Q=1.000",
        b"\x05identity;q=0, *;q=0.001, x-gzip",
        b"\x02gzip;q=0, *",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let Some(([at_hand], value)) = choices(input) else { return };
    let request = [b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: ", value, b"\r\n\r\n"].concat();
    let Ok(Parse::Complete { head, .. }) = parse(&request) else { return };
    let accepted = Accepted::of(head.fields);
    let chosen = accepted.choose(|coding| at_hand & 1 << coding.index() != 0);
    let Some(coding) = chosen else { return };
    assert!(at_hand & 1 << coding.index() != 0);
    let lower = value.to_ascii_lowercase();
    let named = |name: &[u8]| lower.windows(name.len()).any(|window| window == name);
    assert!(named(coding.name().as_bytes()) || named(b"*"), "nobody asked for {coding:?}");
    // With less at hand the same is chosen, as long as it is there.
    assert_eq!(accepted.choose(|other| other == coding), Some(coding));
    assert!(Coding::ALL.contains(&coding) && accepted != Accepted::IDENTITY);
}
