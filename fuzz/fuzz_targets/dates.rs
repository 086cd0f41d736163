//! Dates: no panic, and what is parsed survives being formatted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maitred::http::date::{format, parse};

fuzz_target!(|data: &[u8]| {
    if let Some(seconds) = parse(data) {
        assert_eq!(parse(&format(seconds)), Some(seconds));
    }
});
