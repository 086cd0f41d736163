//! Content codings at work: bytes in, compressed bytes out, whole or piece by piece.
//!
//! Owns the three encoders behind one face. It never decides what is worth compressing and never does I/O but into the writer that it was
//! given. It takes its time: on a shard it belongs into a helper thread, or is fed in small pieces. Called by `static_files` and `cli`.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::config::Levels;
use crate::http::encoding::Coding;

/// Bytes that an encoder collects before it passes them on.
const BUFFER_BYTES: usize = 16 * 1024;
/// The largest brotli window that every decoder must take (RFC 7932 §9.1): 2^22 − 16 bytes.
const BROTLI_WINDOW_BITS: i32 = 22;

/// The level for `coding`, if it is used at all.
pub fn level(levels: &Levels, coding: Coding) -> Option<u32> {
    match coding {
        Coding::Brotli => levels.brotli,
        Coding::Zstd => levels.zstd,
        Coding::Gzip => levels.gzip,
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
            Coding::Brotli => {
                let params = brotli::enc::BrotliEncoderParams {
                    quality: level as i32,
                    lgwin: BROTLI_WINDOW_BITS,
                    size_hint: size.map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX)),
                    ..Default::default()
                };
                let out = Noting { out, error: None };
                Inner::Brotli(Box::new(brotli::CompressorWriter::with_params(out, BUFFER_BYTES, &params)))
            }
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
            let begun = match &encoder.inner {
                Inner::Brotli(encoder) => encoder.get_ref().out.len(),
                Inner::Zstd(encoder) => encoder.get_ref().len(),
                Inner::Gzip(encoder) => encoder.get_ref().len(),
            };
            assert!(begun > 6, "{coding:?}: {begun}");
            encoder.write_all(b"second").unwrap();
            assert_eq!(decompressed(coding, &encoder.finish().unwrap()), b"first second");
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

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..2000), level in 1u32..=9) {
            for coding in Coding::ALL {
                prop_assert_eq!(&decompressed(coding, &compress(coding, level, &bytes).unwrap()), &bytes);
            }
        }
    }
}
