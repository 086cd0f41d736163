//! Request heads: no panic, the same verdict however the bytes are cut, and facts that agree with the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maitred::http::head::{Parse, parse};
use maitred::http::target;

fuzz_target!(|data: &[u8]| {
    let Ok(Parse::Complete { head, len }) = parse(data) else {
        return;
    };
    assert!(data[..len].ends_with(b"\r\n\r\n"));
    for cut in [0, len / 2, len - 1] {
        assert_eq!(parse(&data[..cut]), Ok(Parse::Partial));
    }
    assert_eq!(parse(&data[..len]), Ok(Parse::Complete { head, len }));
    for (name, value) in head.fields {
        assert!(
            !name.is_empty()
                && !value.contains(&b'\r')
                && !value.contains(&b'\n')
                && !value.contains(&0)
        );
    }
    if let Some(path_query) = head.target.path_query()
        && let Ok(path) = target::decode_path(path_query.path)
        && let Ok(normal) = target::normalise(&path)
    {
        assert!(normal.starts_with(b"/"));
        assert!(
            !normal
                .split(|&byte| byte == b'/')
                .any(|segment| segment == b".." || segment == b".")
        );
    }
});
