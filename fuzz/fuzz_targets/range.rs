//! Range fields: whatever is selected lies within the representation. The first eight bytes are its length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maitred::http::range::{ContentRange, Selection, select};

fuzz_target!(|data: &[u8]| {
    let Some((len, value)) = data.split_first_chunk::<8>() else {
        return;
    };
    let len = u64::from_le_bytes(*len);
    if let Selection::Part(part) = select(value, len) {
        assert!(part.start < part.end && part.end <= len);
        assert!(
            ContentRange::of_part(&part, len)
                .as_bytes()
                .starts_with(b"bytes ")
        );
    }
});
