//! Range fields: whatever is selected lies within the representation.
//!
//! Input: eight bytes of the representation's length, then the field's value.

use maitred::http::range::{ContentRange, Selection, select};

pub const TARGET: super::Target = super::Target {
    name: "range",
    run,
    seeds: &[
        b"\x64\0\0\0\0\0\0\0bytes=0-0",
        b"\x64\0\0\0\0\0\0\0bytes=90-",
        b"\x64\0\0\0\0\0\0\0BYTES=-5",
        b"\x64\0\0\0\0\0\0\0bytes= 0-9 ,, 20-29,30-39,-1",
        b"\0\0\0\0\0\0\0\0bytes=-1",
        b"\xff\xff\xff\xff\xff\xff\xff\xffbytes=18446744073709551614-18446744073709551615",
        b"\x64\0\0\0\0\0\0\0items=0-1",
    ],
    folders: &[],
};

fn run(input: &[u8]) {
    let Some((len, value)) = input.split_first_chunk::<8>() else { return };
    let len = u64::from_le_bytes(*len);
    if let Selection::Part(part) = select(value, len) {
        assert!(part.start < part.end && part.end <= len);
        let text = format!("bytes {}-{}/{len}", part.start, part.end - 1);
        assert_eq!(ContentRange::of_part(&part, len).as_bytes(), text.as_bytes());
        // A range that is asked for by its own Content-Range selects itself.
        let again = format!("bytes={}-{}", part.start, part.end - 1);
        assert_eq!(select(again.as_bytes(), len), Selection::Part(part));
    }
    if let Selection::Parts(parts) = select(value, len) {
        let parts = parts.as_slice();
        assert!((2..=16).contains(&parts.len()));
        for (at, part) in parts.iter().enumerate() {
            assert!(part.start < part.end && part.end <= len);
            assert!(parts[..at].iter().all(|other| other.end < part.start || part.end < other.start), "they touch");
        }
    }
    assert_eq!(ContentRange::of_none(len).as_bytes(), format!("bytes */{len}").as_bytes());
}
