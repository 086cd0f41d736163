//! Chunked bodies: the same data and the same end however the bytes are cut, and what was decoded can be encoded again.
//!
//! Input: a byte that says how long the pieces are, then what a client sent.

use maitred::http::Reject;
use maitred::http::chunked::{CHUNK_END, Decoder, Event, LAST_CHUNK, chunk_header};

use super::choices;

pub const TARGET: super::Target = super::Target {
    name: "chunked",
    run,
    seeds: &[
        b"\x010\r\n\r\n",
        b"\x035\r\nhello\r\n0\r\n\r\nGET",
        b"\x071f;name=token;other=\"quoted \\\" pair\"\r\n0123456789012345678901234567890\r\n0\r\nTrailer: x\r\n\r\n",
        b"\x02ffffffffffffffff\r\n",
    ],
    folders: &["tests/requests/valid"],
};

fn run(input: &[u8]) {
    let Some(([piece], body)) = choices(input) else { return };
    let whole = decode(body, body.len().max(1));
    assert_eq!(decode(body, piece.max(1)), whole);
    assert_eq!(decode(body, 1), whole);
    let Ok((data, Some(end))) = whole else { return };
    assert!(data.len() <= end);
    assert_eq!(decode(&body[..end], end), Ok((data.clone(), Some(end))), "what follows the end does not matter");
    let mut encoded = Vec::new();
    for chunk in data.chunks(piece.max(1)) {
        encoded.extend_from_slice(chunk_header(chunk.len()).as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(CHUNK_END);
    }
    encoded.extend_from_slice(LAST_CHUNK);
    assert_eq!(decode(&encoded, encoded.len()), Ok((data, Some(encoded.len()))));
}

/// The data so far, and where the body ended if it did.
fn decode(input: &[u8], piece: usize) -> Result<(Vec<u8>, Option<usize>), Reject> {
    let mut decoder = Decoder::new();
    let (mut data, mut at) = (Vec::new(), 0);
    while at < input.len() {
        let end = input.len().min((at / piece + 1) * piece);
        let step = decoder.decode(&input[at..end])?;
        assert!(step.consumed <= end - at);
        if let Event::Data(range) = &step.event {
            assert!(!range.is_empty() && range.end <= step.consumed);
            data.extend_from_slice(&input[at..end][range.clone()]);
        }
        at += step.consumed;
        assert_eq!(step.event == Event::End, decoder.is_done());
        if step.event == Event::End {
            return Ok((data, Some(at)));
        }
    }
    Ok((data, None))
}
