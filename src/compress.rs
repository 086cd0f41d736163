//! Content codings at work: bytes in, compressed bytes out, whole or piece by piece.
//!
//! Owns the three encoders behind one face. It never decides what is worth compressing and never does I/O but into the writer that it was
//! given. It takes its time: on a shard it belongs into a helper thread, or is fed in small pieces. Called by `static_files`, `shard` and `cli`.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::zstd_safe::CParameter;

use crate::config::Levels;
use crate::http::encoding::Coding;

/// Bytes that an encoder collects before it passes them on.
const BUFFER_BYTES: usize = 16 * 1024;
/// The largest brotli window that every decoder must take (RFC 7932 §9.1): 2^22 − 16 bytes.
const BROTLI_WINDOW_BITS: i32 = 22;

/// What an encoder that works as the bytes come looks back at, as a power of two: 128 KiB. More would cost each stream megabytes, and with less brotli takes
/// tables of 34 MiB.
const STREAM_WINDOW_BITS: u32 = 17;
/// The largest deflate window (RFC 1951 §2).
const DEFLATE_WINDOW_BITS: u8 = 15;

/// The level for `coding`, if it is used at all.
pub fn level(levels: &Levels, coding: Coding) -> Option<u32> {
    match coding {
        Coding::Brotli => levels.brotli,
        Coding::Zstd => levels.zstd,
        Coding::Gzip => levels.gzip,
    }
}

/// Bytes that an encoder of a stream may hold, whatever its level (up to 7 for gzip, 6 for brotli, 9 for zstd): `cargo test --lib
/// what_an_encoder_of_a_stream_holds -- --ignored --nocapture`.
pub const fn encoder_bytes(coding: Coding) -> usize {
    match coding {
        Coding::Gzip => 512 * 1024,
        Coding::Brotli => 6 * 1024 * 1024,
        Coding::Zstd => 2 * 1024 * 1024,
    }
}

/// `bytes`, compressed.
///
/// # Errors
/// The encoder has run out of memory.
pub fn compress(coding: Coding, level: u32, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(coding, level, Some(bytes.len() as u64), Vec::with_capacity(bytes.len() / 3))?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Compresses bodies that are there as a whole, one after the other. What the last one needed of memory and tables the next one uses again: for a page
/// of a few KiB to make them costs as much as to use them.
#[derive(Default)]
pub struct Whole {
    gzip: Option<(u32, Compress)>,
    zstd: Option<(u32, zstd::bulk::Compressor<'static>)>,
}

impl Whole {
    /// `bytes`, compressed; `None` if they do not get smaller.
    pub fn compress(&mut self, coding: Coding, level: u32, bytes: &[u8]) -> Option<Vec<u8>> {
        // What does not fit is not smaller.
        let mut out = Vec::with_capacity(bytes.len());
        match coding {
            Coding::Gzip => {
                let (_, encoder) = match self.gzip.as_mut().filter(|(made_for, _)| *made_for == level) {
                    Some(known) => known,
                    None => self.gzip.insert((level, Compress::new_gzip(Compression::new(level), DEFLATE_WINDOW_BITS))),
                };
                encoder.reset();
                let status = encoder.compress_vec(bytes, &mut out, FlushCompress::Finish);
                matches!(status, Ok(Status::StreamEnd)).then_some(out)
            }
            Coding::Zstd => {
                let (_, encoder) = match self.zstd.as_mut().filter(|(made_for, _)| *made_for == level) {
                    Some(known) => known,
                    None => self.zstd.insert((level, zstd::bulk::Compressor::new(level as i32).ok()?)),
                };
                encoder.compress_to_buffer(bytes, &mut out).ok().map(|_| out)
            }
            Coding::Brotli => {
                let params = brotli_params(level, STREAM_WINDOW_BITS as i32, Some(bytes.len() as u64));
                let mut encoder = brotli::CompressorWriter::with_params(out, BUFFER_BYTES, &params);
                encoder.write_all(bytes).ok()?;
                let out = encoder.into_inner();
                (out.len() < bytes.len()).then_some(out)
            }
        }
    }
}

fn brotli_params(level: u32, window_bits: i32, size: Option<u64>) -> brotli::enc::BrotliEncoderParams {
    brotli::enc::BrotliEncoderParams {
        quality: level as i32,
        lgwin: window_bits,
        size_hint: size.map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX)),
        ..Default::default()
    }
}

/// Compresses what is written to it into `W`. `flush` passes on all that was written so far, at the cost of some compression; nothing is
/// complete before `finish`.
pub struct Encoder<W: Write> {
    inner: Inner<W>,
}

enum Inner<W: Write> {
    Brotli(Box<brotli::CompressorWriter<Noting<W>>>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
}

impl<W: Write> Encoder<W> {
    /// An encoder of the given level: gzip 1 to 9, brotli 0 to 11, zstd 1 to 19. `size`: the bytes that will be written, if known.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(coding: Coding, level: u32, size: Option<u64>, out: W) -> io::Result<Encoder<W>> {
        let inner = match coding {
            Coding::Brotli => Self::brotli(&brotli_params(level, BROTLI_WINDOW_BITS, size), out),
            Coding::Zstd => {
                // Up to level 19 the window is at most 8 MiB, as RFC 9659 wants it.
                let mut encoder = zstd::stream::write::Encoder::new(out, level as i32)?;
                encoder.set_pledged_src_size(size)?;
                Inner::Zstd(encoder)
            }
            Coding::Gzip => Inner::Gzip(GzEncoder::new(out, Compression::new(level))),
        };
        Ok(Encoder { inner })
    }

    /// The same for bytes that pass through, of which nobody knows how many come: it holds at most `encoder_bytes(coding)`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn of_stream(coding: Coding, level: u32, out: W) -> io::Result<Encoder<W>> {
        let inner = match coding {
            Coding::Brotli => Self::brotli(&brotli_params(level, STREAM_WINDOW_BITS as i32, None), out),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, level as i32)?;
                encoder.window_log(STREAM_WINDOW_BITS)?;
                if level > 3 {
                    // Tables for the window that it has; those of its level would be for one of megabytes.
                    for parameter in [CParameter::HashLog(STREAM_WINDOW_BITS), CParameter::ChainLog(STREAM_WINDOW_BITS)]
                    {
                        encoder.set_parameter(parameter)?;
                    }
                }
                Inner::Zstd(encoder)
            }
            Coding::Gzip => Inner::Gzip(GzEncoder::new(out, Compression::new(level))),
        };
        Ok(Encoder { inner })
    }

    fn brotli(params: &brotli::enc::BrotliEncoderParams, out: W) -> Inner<W> {
        let out = Noting { out, error: None };
        Inner::Brotli(Box::new(brotli::CompressorWriter::with_params(out, BUFFER_BYTES, params)))
    }

    /// The writer, to be emptied.
    pub fn out(&mut self) -> &mut W {
        match &mut self.inner {
            Inner::Brotli(encoder) => &mut encoder.get_mut().out,
            Inner::Zstd(encoder) => encoder.get_mut(),
            Inner::Gzip(encoder) => encoder.get_mut(),
        }
    }

    /// Completes the compressed form and hands the writer back.
    ///
    /// # Errors
    /// The writer's, also one that an earlier write has met.
    pub fn finish(self) -> io::Result<W> {
        match self.inner {
            Inner::Brotli(encoder) => {
                // It says nothing of errors that it meets while it completes.
                let Noting { out, error } = encoder.into_inner();
                error.map_or(Ok(out), Err)
            }
            Inner::Zstd(encoder) => encoder.finish(),
            Inner::Gzip(encoder) => encoder.finish(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.inner {
            Inner::Brotli(encoder) => &mut **encoder,
            Inner::Zstd(encoder) => encoder,
            Inner::Gzip(encoder) => encoder,
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

/// Keeps the first error of a writer.
struct Noting<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> Noting<W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let again = io::Error::new(error.kind(), error.to_string());
            self.error.get_or_insert(error);
            again
        })
    }
}

impl<W: Write> Write for Noting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.note(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn decompressed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        }
        .unwrap();
        out
    }

    #[test]
    fn text_gets_smaller_and_comes_back() {
        let text = "p { margin: 0 auto; }\n".repeat(1000);
        for (coding, levels) in [(Coding::Brotli, 0..=11), (Coding::Zstd, 1..=19), (Coding::Gzip, 1..=9)] {
            for level in levels {
                let small = compress(coding, level, text.as_bytes()).unwrap();
                assert!(small.len() * 10 < text.len(), "{coding:?} {level}: {}", small.len());
                assert!(decompressed(coding, &small) == text.as_bytes(), "{coding:?} {level}");
                assert_eq!(small, compress(coding, level, text.as_bytes()).unwrap(), "the same bytes each time");
            }
        }
    }

    #[test]
    fn a_flush_passes_on_what_was_written() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, 4, None, Vec::new()).unwrap();
            encoder.write_all(b"first ").unwrap();
            encoder.flush().unwrap();
            let begun = encoder.out().len();
            assert!(begun > 6, "{coding:?}: {begun}");
            encoder.write_all(b"second").unwrap();
            assert_eq!(decompressed(coding, &encoder.finish().unwrap()), b"first second");
        }
    }

    /// `cargo test --lib what_an_encoder_of_a_stream_holds -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn what_an_encoder_of_a_stream_holds() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let text: Vec<u8> =
            (0..300_000u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 9).to_le_bytes()).collect();
        let mut kept = Vec::new();
        for (coding, levels) in [(Coding::Gzip, 1..=7), (Coding::Brotli, 0..=6), (Coding::Zstd, 1..=9)] {
            for level in levels {
                const COUNT: usize = 4;
                let before = resident();
                let encoders: Vec<_> = (0..COUNT)
                    .map(|_| {
                        let mut encoder = Encoder::of_stream(coding, level, Vec::new()).unwrap();
                        encoder.write_all(&text).unwrap();
                        encoder.flush().unwrap();
                        *encoder.out() = Vec::new();
                        encoder
                    })
                    .collect();
                let each = resident().saturating_sub(before) / COUNT;
                println!("{coding:?} {level}: {} KiB", each / 1024);
                // None gives its memory to the next.
                kept.extend(encoders);
            }
        }
    }

    #[test]
    fn whole_bodies_one_after_the_other_do_not_mix() {
        let mut whole = Whole::default();
        let texts = ["p { margin: 0 auto; }\n".repeat(500), "a".repeat(60_000), "<li>item</li>".repeat(40)];
        for level in [1, 6, 6, 3, 6] {
            for text in &texts {
                for coding in Coding::ALL {
                    let small = whole.compress(coding, level, text.as_bytes()).expect("it gets smaller");
                    assert!(small.len() < text.len() / 3, "{coding:?} {level}: {}", small.len());
                    assert!(decompressed(coding, &small) == text.as_bytes(), "{coding:?} {level}");
                }
            }
            for coding in Coding::ALL {
                assert_eq!(whole.compress(coding, level, b"short"), None, "{coding:?}");
                assert_eq!(whole.compress(coding, level, b""), None, "{coding:?}");
            }
        }
    }

    #[test]
    fn a_writer_s_error_is_not_lost() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, 4, None, Full).unwrap();
            let written = encoder.write_all(b"text");
            let result = written.and_then(|()| encoder.finish().map(drop));
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull, "{coding:?}");
        }
    }

    /// What is written in `pieces`, each flushed, as far as it can be read after each, and in the end.
    fn streamed(coding: Coding, level: u32, pieces: &[Vec<u8>]) {
        let mut encoder = Encoder::of_stream(coding, level, Vec::new()).unwrap();
        let (mut given, mut passed_on) = (Vec::new(), Vec::new());
        for piece in pieces {
            encoder.write_all(piece).unwrap();
            encoder.flush().unwrap();
            passed_on.append(encoder.out());
            given.extend_from_slice(piece);
            assert!(readable(coding, &passed_on) == given, "{coding:?} {level}: a flush holds something back");
        }
        passed_on.append(&mut encoder.finish().unwrap());
        assert!(decompressed(coding, &passed_on) == given, "{coding:?} {level}");
    }

    /// What can be read of compressed bytes that have not ended.
    fn readable(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut decoder: Box<dyn Read> = match coding {
            Coding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        };
        let (mut out, mut some) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = decoder.read(&mut some) {
            out.extend_from_slice(&some[..count]);
        }
        out
    }

    proptest! {
        #[test]
        fn streams_come_back_in_whatever_pieces_and_hold_nothing_back(
            pieces in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..300),
                    "[a-z ]{0,2000}".prop_map(String::into_bytes),
                    (any::<u8>(), 0usize..70_000).prop_map(|(byte, count)| vec![byte; count]),
                ],
                0..8,
            ),
            level in 1u32..=6,
        ) {
            for coding in Coding::ALL {
                streamed(coding, level, &pieces);
            }
        }

        #[test]
        fn any_whole_body_comes_back_or_is_left(
            bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..3000), "[a-d]{0,3000}".prop_map(String::into_bytes)],
            level in 1u32..=6,
        ) {
            let mut whole = Whole::default();
            for coding in Coding::ALL {
                if let Some(small) = whole.compress(coding, level, &bytes) {
                    prop_assert!(small.len() <= bytes.len());
                    prop_assert_eq!(&decompressed(coding, &small), &bytes);
                }
            }
        }

        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..2000), level in 1u32..=9) {
            for coding in Coding::ALL {
                prop_assert_eq!(&decompressed(coding, &compress(coding, level, &bytes).unwrap()), &bytes);
            }
        }
    }
}
