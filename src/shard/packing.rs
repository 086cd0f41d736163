//! Answers of the application that are compressed on their way to the client.
//!
//! Owns the decision for the answer in hand, what the shard's encoders hold together, and the slices that keep one answer from holding up
//! the others. What may be compressed and how its fields change is `http::compressible`'s, how bytes get smaller `compress`'s. Called by `answer`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write;

use super::output::Gone;
use crate::base::bounds::{COMPRESSED_SLICE_BYTES, STREAM_ENCODERS_BYTES_MAX};
use crate::base::budget::{Budget, Claim};
use crate::compress::{Encoder, Whole, encoder_bytes, level};
use crate::config::CompressConfig;
use crate::http::compressible::{self, Verdict};
use crate::http::encoding::{Accepted, Coding};
use crate::http::{Fields, Method, Version, chunked};
use crate::ring::yield_now;

/// What of a request matters to the form of its answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Preference {
    /// The coding that client and route agree on.
    coding: Option<Coding>,
    /// It asks whether a compressed form that it has is still good.
    knows_weak_tag: bool,
}

impl Preference {
    pub fn of(fields: Fields<'_>, config: &CompressConfig) -> Preference {
        let is_used = |coding| level(&config.levels, coding).is_some();
        Preference {
            coding: Accepted::of(fields).choose_of(Coding::ON_THE_FLY, is_used),
            knows_weak_tag: compressible::knows_weak_tag(fields),
        }
    }
}

/// The encoders of a shard.
pub(super) struct Encoders {
    whole: RefCell<Whole>,
    streams: Budget,
}

impl Encoders {
    pub fn new() -> Encoders {
        Encoders { whole: RefCell::default(), streams: Budget::new(STREAM_ENCODERS_BYTES_MAX) }
    }
}

/// The head of an answer, and what is there of its body.
pub(super) struct Draft<'d> {
    pub method: Method,
    pub version: Version,
    pub status: u16,
    pub fields: Fields<'d>,
    /// Content-Length, if there is one.
    pub declared: Option<u64>,
    /// The beginning of the body.
    pub body: &'d [u8],
    /// It is all of it.
    pub is_whole: bool,
}

/// The form in which an answer is sent.
pub(super) enum Form {
    /// Just so, to everybody.
    AsItIs,
    /// As it is, but somebody else might get it compressed, or has.
    Marked { is_weak: bool },
    /// Compressed, all of it.
    Whole(Coding, Vec<u8>),
    /// To be compressed as it comes.
    Stream(Coding, Box<Stream>),
    /// The head of a compressed answer, for HEAD.
    HeadOnly(Coding),
}

impl Form {
    /// Decides on the form of the answer `draft`.
    pub fn of(draft: &Draft<'_>, preference: Preference, config: &CompressConfig, encoders: &Encoders) -> Form {
        let length = draft.declared.or_else(|| draft.is_whole.then_some(draft.body.len() as u64));
        match config.rules.judge(draft.status, draft.fields, length) {
            Verdict::Leave => return Form::AsItIs,
            Verdict::Unchanged => return Form::Marked { is_weak: preference.knows_weak_tag },
            Verdict::Compress => {}
        }
        let chosen = preference.coding.and_then(|coding| Some((coding, level(&config.levels, coding)?)));
        let compressed = chosen.and_then(|(coding, level)| match () {
            // Without a length nobody can tell whether GET would have been worth it (RFC 9110 §9.3.2).
            () if draft.method == Method::Head => draft.declared.map(|_| Form::HeadOnly(coding)),
            () if draft.is_whole => {
                let is_complete = length == Some(draft.body.len() as u64);
                let small = encoders.whole.borrow_mut().compress(coding, level, draft.body).filter(|_| is_complete);
                small.map(|small| Form::Whole(coding, small))
            }
            () => Stream::new(draft, coding, level, encoders).map(|stream| Form::Stream(coding, Box::new(stream))),
        });
        compressed.unwrap_or(Form::Marked { is_weak: false })
    }

    /// Whether the body is another one than the application has made.
    pub fn is_compressed(&self) -> bool {
        self.coding().is_some()
    }

    fn coding(&self) -> Option<Coding> {
        match self {
            Form::AsItIs | Form::Marked { .. } => None,
            Form::Whole(coding, _) | Form::Stream(coding, _) | Form::HeadOnly(coding) => Some(*coding),
        }
    }

    /// Makes the answer's field lines those of this form.
    pub fn rewrite(&self, lines: &mut Cow<'_, [u8]>) {
        let is_weak = match self {
            Form::AsItIs => return,
            Form::Marked { is_weak } => *is_weak,
            _ => true,
        };
        let mut changed = Vec::with_capacity(lines.len() + 64);
        compressible::rewrite(Fields::of_checked(lines), self.coding(), is_weak, &mut changed);
        *lines = Cow::Owned(changed);
    }
}

/// A body that is compressed and framed while it comes.
pub(super) struct Stream {
    /// `None`: all was said.
    encoder: Option<Encoder<Vec<u8>>>,
    is_chunked: bool,
    /// Bytes that are still due of those that were announced.
    left: Option<u64>,
    _claim: Claim,
}

impl Stream {
    /// `None`: the shard's encoders hold what they may already.
    fn new(draft: &Draft<'_>, coding: Coding, level: u32, encoders: &Encoders) -> Option<Stream> {
        let mut claim = encoders.streams.claim();
        if !claim.grow(encoder_bytes(coding)) {
            return None;
        }
        let encoder = Encoder::of_stream(coding, level, Vec::new()).ok()?;
        let is_chunked = draft.version == Version::Http11;
        Some(Stream { encoder: Some(encoder), is_chunked, left: draft.declared, _claim: claim })
    }

    /// What is to be sent for the next `piece`, framed; nothing of it is held back. More than was announced is cut off, as in a plain answer. Others
    /// have their turn between slices.
    pub async fn pack(&mut self, mut piece: &[u8], end: bool) -> Result<Vec<u8>, Gone> {
        let Some(encoder) = &mut self.encoder else { return Ok(Vec::new()) };
        if let Some(left) = &mut self.left {
            piece = &piece[..piece.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
            *left -= piece.len() as u64;
        }
        for (index, slice) in piece.chunks(COMPRESSED_SLICE_BYTES).enumerate() {
            if index > 0 {
                yield_now().await;
            }
            encoder.write_all(slice).map_err(|_| Gone)?;
        }
        let is_last = end && matches!(self.left, None | Some(0));
        let small = match is_last {
            true => self.encoder.take().expect("seen above").finish().map_err(|_| Gone)?,
            // Nothing came, so nothing is held back.
            false if piece.is_empty() => Vec::new(),
            false => {
                encoder.flush().map_err(|_| Gone)?;
                std::mem::take(encoder.out())
            }
        };
        if !self.is_chunked {
            return Ok(small);
        }
        let mut framed = Vec::with_capacity(small.len() + 32);
        // A chunk without bytes would be the end (RFC 9112 §7.1).
        if !small.is_empty() {
            framed.extend_from_slice(chunked::chunk_header(small.len()).as_bytes());
            framed.extend_from_slice(&small);
            framed.extend_from_slice(chunked::CHUNK_END);
        }
        if is_last {
            framed.extend_from_slice(chunked::LAST_CHUNK);
        }
        Ok(framed)
    }

    /// Whether all that was announced has been said.
    pub fn is_whole(&self) -> bool {
        self.encoder.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::config::Levels;
    use crate::http::compressible::Rules;

    fn config() -> CompressConfig {
        CompressConfig { levels: Levels::USUAL, rules: Rules::default() }
    }

    fn preference(lines: &[u8]) -> Preference {
        Preference::of(Fields::of_checked(lines), &config())
    }

    fn draft(body: &[u8], declared: Option<u64>, is_whole: bool) -> Draft<'_> {
        let fields = Fields::of_checked(b"Content-Type: text/html\r\n");
        let (method, version) = (Method::Get, Version::Http11);
        Draft { method, version, status: 200, fields, declared, body, is_whole }
    }

    fn stream(declared: Option<u64>, encoders: &Encoders) -> Option<Box<Stream>> {
        match Form::of(&draft(b"", declared, false), preference(b"Accept-Encoding: gzip\r\n"), &config(), encoders) {
            Form::Stream(Coding::Gzip, stream) => Some(stream),
            Form::Marked { is_weak: false } => None,
            _ => panic!("a stream, compressed or not"),
        }
    }

    /// Polls `pack` to its end; how often others had their turn.
    fn packed(stream: &mut Stream, piece: &[u8], end: bool) -> (Vec<u8>, usize) {
        let mut future = pin!(stream.pack(piece, end));
        let mut turns = 0;
        loop {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => return (result.expect("memory"), turns),
                Poll::Pending => turns += 1,
            }
        }
    }

    #[test]
    fn others_have_their_turn_between_slices() {
        let encoders = Encoders::new();
        let mut stream = stream(None, &encoders).expect("there is room");
        for (bytes, turns) in
            [(0, 0), (COMPRESSED_SLICE_BYTES, 0), (COMPRESSED_SLICE_BYTES + 1, 1), (4 * COMPRESSED_SLICE_BYTES, 3)]
        {
            assert_eq!(packed(&mut stream, &vec![b'a'; bytes], false).1, turns, "{bytes}");
        }
    }

    #[test]
    fn streams_beyond_what_encoders_may_hold_are_sent_as_they_are() {
        let encoders = Encoders::new();
        let mut held: Vec<_> = std::iter::from_fn(|| stream(None, &encoders)).collect();
        assert_eq!(held.len(), STREAM_ENCODERS_BYTES_MAX / encoder_bytes(Coding::Gzip));
        held.pop();
        assert!(stream(None, &encoders).is_some() && encoders.streams.used() <= STREAM_ENCODERS_BYTES_MAX);
        drop(held);
        assert_eq!(encoders.streams.used(), 0);
    }

    #[test]
    fn an_end_is_said_only_when_all_that_was_announced_was_said() {
        let encoders = Encoders::new();
        let mut short = stream(Some(1000), &encoders).expect("there is room");
        let (bytes, _) = packed(&mut short, &[b'a'; 999], true);
        assert!(!short.is_whole() && !bytes.ends_with(chunked::LAST_CHUNK));
        let mut long = stream(Some(1000), &encoders).expect("there is room");
        let (first, _) = packed(&mut long, &[b'a'; 1500], false);
        let (last, _) = packed(&mut long, b"more", true);
        assert!(long.is_whole() && last.ends_with(chunked::LAST_CHUNK));
        let mut decoder = chunked::Decoder::new();
        let all = [first, last].concat();
        let mut body = Vec::new();
        let mut rest = &all[..];
        while !rest.is_empty() {
            let step = decoder.decode(rest).expect("well framed");
            if let chunked::Event::Data(range) = step.event {
                body.extend_from_slice(&rest[range]);
            }
            rest = &rest[step.consumed..];
        }
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).expect("complete");
        assert_eq!(text, [b'a'; 1000]);
        assert_eq!(packed(&mut long, b"after the end", true).0, b"");
    }
}
