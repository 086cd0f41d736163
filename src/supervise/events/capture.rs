//! What a process writes between the marks of process communication, taken out of its stream.
//!
//! Pure: bytes in, pieces out. Holds back at most the beginning of a mark, and keeps so much of what stands between two.

use std::collections::VecDeque;

use memchr::memmem;

const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";
const END: &[u8] = b"<!--XSUPERVISOR:END-->";

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// It goes its ordinary way.
    Ordinary(&'a [u8]),
    /// It stands between the marks.
    Between(&'a [u8]),
    /// The second mark has come: the last bytes of all that stood between the two.
    Message(Vec<u8>),
}

/// The marks of one stream of one incarnation of a process.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// What may be the beginning of the mark that is next.
    held: Vec<u8>,
    /// What has stood behind the first mark so far; `None`: that is still to come.
    between: Option<VecDeque<u8>>,
}

impl Capture {
    /// Takes bytes as they were read and gives `tell` their pieces, in order. `max`: bytes that are kept of what stands between two marks.
    pub fn push(&mut self, bytes: &[u8], max: usize, mut tell: impl FnMut(Piece<'_>)) {
        let joined;
        let mut rest = bytes;
        if !self.held.is_empty() {
            self.held.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.held);
            rest = &joined;
        }
        loop {
            let mark = if self.between.is_some() { END } else { BEGIN };
            let found = memmem::find(rest, mark);
            let end = found.unwrap_or_else(|| rest.len() - begun(rest, mark));
            self.piece(&rest[..end], max, &mut tell);
            if found.is_none() {
                self.held = rest[end..].to_vec();
                return;
            }
            rest = &rest[end + mark.len()..];
            match self.between.take() {
                None => self.between = Some(VecDeque::new()),
                Some(between) => tell(Piece::Message(between.into())),
            }
        }
    }

    /// The stream is at its end: gives what was held back. What has no second mark is no message.
    pub fn finish(&mut self, tell: impl FnMut(Piece<'_>)) {
        let held = std::mem::take(&mut self.held);
        self.piece(&held, 0, tell);
        self.between = None;
    }

    fn piece(&mut self, bytes: &[u8], max: usize, mut tell: impl FnMut(Piece<'_>)) {
        if bytes.is_empty() {
            return;
        }
        let Some(between) = &mut self.between else { return tell(Piece::Ordinary(bytes)) };
        let kept = &bytes[bytes.len().saturating_sub(max)..];
        let over = (between.len() + kept.len()).saturating_sub(max).min(between.len());
        between.drain(..over);
        between.extend(kept);
        tell(Piece::Between(bytes));
    }
}

/// How many bytes at the end of `bytes` may be the beginning of `mark`.
fn begun(bytes: &[u8], mark: &[u8]) -> usize {
    let most = bytes.len().min(mark.len() - 1);
    (1..=most).rev().find(|&length| mark.starts_with(&bytes[bytes.len() - length..])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What became of a stream: its ordinary bytes, those between marks, and the messages.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Heard {
        ordinary: Vec<u8>,
        between: Vec<u8>,
        messages: Vec<Vec<u8>>,
    }

    impl Heard {
        fn take(&mut self, piece: Piece<'_>) {
            match piece {
                Piece::Ordinary(bytes) => self.ordinary.extend(bytes),
                Piece::Between(bytes) => self.between.extend(bytes),
                Piece::Message(bytes) => self.messages.push(bytes),
            }
        }
    }

    fn hear(chunks: &[&[u8]], max: usize) -> Heard {
        let (mut capture, mut heard) = (Capture::default(), Heard::default());
        for chunk in chunks {
            capture.push(chunk, max, |piece| heard.take(piece));
        }
        capture.finish(|piece| heard.take(piece));
        heard
    }

    /// The same from the whole text at once.
    fn reference(text: &[u8], max: usize) -> Heard {
        let (mut heard, mut rest) = (Heard::default(), text);
        while let Some(begin) = memmem::find(rest, BEGIN) {
            heard.ordinary.extend(&rest[..begin]);
            rest = &rest[begin + BEGIN.len()..];
            let Some(end) = memmem::find(rest, END) else {
                heard.between.extend(rest);
                return heard;
            };
            heard.between.extend(&rest[..end]);
            heard.messages.push(rest[end.saturating_sub(max)..end].to_vec());
            rest = &rest[end + END.len()..];
        }
        heard.ordinary.extend(rest);
        heard
    }

    #[test]
    fn what_stands_between_the_marks_is_a_message() {
        let text =
            b"a<!--XSUPERVISOR:BEGIN-->one<!--XSUPERVISOR:END-->b<!--XSUPERVISOR:BEGIN--><!--XSUPERVISOR:END-->\n";
        let heard = hear(&[text], 100);
        assert_eq!(heard.ordinary, b"ab\n");
        assert_eq!(heard.messages, [&b"one"[..], b""]);
        assert_eq!(hear(&[b"<!--XSUPERVISOR:BEG"], 100).ordinary, b"<!--XSUPERVISOR:BEG");
    }

    #[test]
    fn of_a_long_message_the_end_is_kept() {
        let text = [BEGIN, b"0123456789", END].concat();
        assert_eq!(hear(&[&text], 4).messages, [b"6789"]);
        assert_eq!(hear(&text.chunks(1).collect::<Vec<_>>(), 4).messages, [b"6789"]);
    }

    #[test]
    fn only_the_beginning_of_a_mark_is_held_back() {
        let mut capture = Capture::default();
        capture.push(&[b'x'; 10_000], 100, |_| {});
        assert_eq!(capture.held.len(), 0);
        capture.push(b"<!--X", 100, |_| {});
        assert_eq!(capture.held, b"<!--X");
    }

    proptest! {
        #[test]
        fn the_way_of_reading_makes_no_difference(
            parts in prop::collection::vec(
                prop_oneof![
                    3 => Just(BEGIN.to_vec()), 3 => Just(END.to_vec()), 1 => Just(b"<!--XSUPERVISOR:".to_vec()), 1 => Just(b"<!--".to_vec()),
                    4 => prop::collection::vec(prop_oneof![Just(b'<'), Just(b'-'), any::<u8>()], 0..30),
                ], 0..20),
            size in 1usize..60,
            max in 1usize..40,
        ) {
            let text = parts.concat();
            let found = hear(&text.chunks(size).collect::<Vec<_>>(), max);
            prop_assert_eq!(found, reference(&text, max));
        }
    }
}
