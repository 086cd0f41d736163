//! Chunked bodies: the same data and the same end however the bytes are cut. The first byte says where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maitred::http::Reject;
use maitred::http::chunked::{Decoder, Event};

fn run(input: &[u8], piece: usize) -> Result<(Vec<u8>, Option<usize>), Reject> {
    let mut decoder = Decoder::new();
    let (mut data, mut at) = (Vec::new(), 0);
    while at < input.len() {
        let end = input.len().min((at / piece + 1) * piece);
        let step = decoder.decode(&input[at..end])?;
        if let Event::Data(range) = &step.event {
            data.extend_from_slice(&input[at..end][range.clone()]);
        }
        at += step.consumed;
        if step.event == Event::End {
            return Ok((data, Some(at)));
        }
    }
    Ok((data, None))
}

fuzz_target!(|data: &[u8]| {
    let [piece, body @ ..] = data else { return };
    let piece = usize::from(*piece).max(1);
    assert_eq!(run(body, piece), run(body, body.len().max(1)));
});
