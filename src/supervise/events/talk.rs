//! What an event listener says on its standard output: that it is ready, and what became of an event.
//!
//! The protocol of Supervisor's event listeners, version 3.0: `READY\n`, then an event, then `RESULT n\n` and n bytes, which are `OK` if the
//! event is done. Pure: bytes in, what they mean out. Keeps less than one line.

use memchr::memchr;

use crate::base::bounds::RESULT_LINE_BYTES_MAX;

const READY: &[u8] = b"READY\n";
const RESULT: &[u8] = b"RESULT ";
const OK: &[u8] = b"OK";

/// Where the conversation with a listener stands, in supervisord's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// It was begun, or has done with an event; it is to say that it is ready.
    #[default]
    Acknowledged,
    /// It waits for an event.
    Ready,
    /// It has an event.
    Busy,
    /// It has broken the protocol, and hears nothing any more.
    Unknown,
}

/// What it has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It waits for an event.
    Ready,
    /// The event is done.
    Done,
    /// The event is to come again.
    Rejected,
    /// Something that the protocol does not allow there.
    Nonsense,
}

/// The conversation with one incarnation of a listener.
#[derive(Debug, Default)]
pub(super) struct Talk {
    mode: Mode,
    /// The beginning of what is awaited.
    pending: Vec<u8>,
    result: Option<Outcome>,
}

/// A result of which so much was read.
#[derive(Debug)]
struct Outcome {
    length: usize,
    read: usize,
    is_ok: bool,
}

impl Talk {
    /// Where it stands.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// An event was sent to it, as it was ready.
    pub fn sent(&mut self) {
        debug_assert_eq!(self.mode, Mode::Ready, "only who waits for an event gets one");
        self.mode = Mode::Busy;
    }

    /// Takes bytes as they were read and gives `tell` all that they complete, in order.
    pub fn hear(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Said)) {
        while !bytes.is_empty() {
            let (taken, said) = match self.mode {
                Mode::Unknown => return,
                Mode::Ready => (bytes.len(), Some(Said::Nonsense)),
                Mode::Acknowledged => self.greeting(bytes),
                Mode::Busy if self.result.is_some() => self.result_body(bytes),
                Mode::Busy => self.result_line(bytes),
            };
            bytes = &bytes[taken..];
            let Some(said) = said else { continue };
            (self.pending, self.result) = (Vec::new(), None);
            self.mode = match said {
                Said::Ready => Mode::Ready,
                Said::Done | Said::Rejected => Mode::Acknowledged,
                Said::Nonsense => Mode::Unknown,
            };
            tell(said);
        }
    }

    /// Each of these says how many of `bytes` it has taken, and what they complete.
    fn greeting(&mut self, bytes: &[u8]) -> (usize, Option<Said>) {
        let taken = bytes.len().min(READY.len() - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        let said = match self.pending.len() == READY.len() {
            false => None,
            true if self.pending == READY => Some(Said::Ready),
            true => Some(Said::Nonsense),
        };
        (taken, said)
    }

    fn result_line(&mut self, bytes: &[u8]) -> (usize, Option<Said>) {
        let end = memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |end| end + 1);
        if self.pending.len() + taken > RESULT_LINE_BYTES_MAX {
            return (taken, Some(Said::Nonsense));
        }
        self.pending.extend_from_slice(&bytes[..taken]);
        if end.is_none() {
            return (taken, None);
        }
        match length(&self.pending) {
            None => (taken, Some(Said::Nonsense)),
            Some(0) => (taken, Some(Said::Rejected)),
            Some(length) => {
                self.result = Some(Outcome { length, read: 0, is_ok: length == OK.len() });
                (taken, None)
            }
        }
    }

    fn result_body(&mut self, bytes: &[u8]) -> (usize, Option<Said>) {
        let Some(outcome) = &mut self.result else { return (0, None) };
        let taken = bytes.len().min(outcome.length - outcome.read);
        outcome.is_ok = outcome.is_ok && OK[outcome.read..].starts_with(&bytes[..taken]);
        outcome.read += taken;
        let said = match outcome.read == outcome.length {
            false => None,
            true if outcome.is_ok => Some(Said::Done),
            true => Some(Said::Rejected),
        };
        (taken, said)
    }
}

/// The length that a line `RESULT n` announces.
fn length(line: &[u8]) -> Option<usize> {
    std::str::from_utf8(line.strip_prefix(RESULT)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn busy() -> Talk {
        let mut talk = Talk::default();
        talk.hear(READY, |_| {});
        talk.sent();
        talk
    }

    fn said(talk: &mut Talk, bytes: &[u8]) -> Vec<Said> {
        let mut found = Vec::new();
        talk.hear(bytes, |said| found.push(said));
        found
    }

    #[test]
    fn a_conversation_goes_from_ready_to_result_and_back() {
        let mut talk = Talk::default();
        assert_eq!(said(&mut talk, b"READ"), []);
        assert_eq!((said(&mut talk, b"Y\n"), talk.mode()), (vec![Said::Ready], Mode::Ready));
        talk.sent();
        assert_eq!((said(&mut talk, b"RESULT 2\nO"), talk.mode()), (vec![], Mode::Busy));
        assert_eq!((said(&mut talk, b"KREADY\n"), talk.mode()), (vec![Said::Done, Said::Ready], Mode::Ready));
    }

    #[test]
    fn results_are_ok_or_a_refusal_or_nonsense() {
        for (bytes, expected) in [
            (&b"RESULT 2\nOK"[..], Said::Done),
            (b"RESULT 2 \r\nOK", Said::Done),
            (b"RESULT 4\nFAIL", Said::Rejected),
            (b"RESULT 2\nNO", Said::Rejected),
            (b"RESULT 3\nOK!", Said::Rejected),
            (b"RESULT 1\nO", Said::Rejected),
            (b"RESULT 0\n", Said::Rejected),
            (b"RESULT -1\n", Said::Nonsense),
            (b"RESULT x\n", Said::Nonsense),
            (b"RESULT \n", Said::Nonsense),
            (b"result 2\n", Said::Nonsense),
            (b"\n", Said::Nonsense),
            (b"\xff\xff\n", Said::Nonsense),
            (b"RESULT 99999999999999999999999\n", Said::Nonsense),
        ] {
            assert_eq!(said(&mut busy(), bytes), [expected], "{bytes:?}");
        }
    }

    #[test]
    fn who_speaks_out_of_turn_is_not_heard_any_more() {
        let mut talk = Talk::default();
        assert_eq!(said(&mut talk, b"hello\nREADY\n"), [Said::Nonsense]);
        assert_eq!((said(&mut talk, READY), talk.mode()), (vec![], Mode::Unknown));
        let mut talk = Talk::default();
        assert_eq!(said(&mut talk, b"READY\nx"), [Said::Ready, Said::Nonsense]);
    }

    #[test]
    fn a_result_line_without_an_end_is_nonsense_at_its_bound() {
        let mut talk = busy();
        assert_eq!(said(&mut talk, &[b'x'; RESULT_LINE_BYTES_MAX]), []);
        assert_eq!(said(&mut talk, b"x"), [Said::Nonsense]);
        assert_eq!(talk.pending.capacity(), 0);
    }

    proptest! {
        /// What was said between two events is understood alike however it was read.
        #[test]
        fn the_way_of_reading_makes_no_difference(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(b"READY\n".to_vec()), Just(b"RESULT 2\nOK".to_vec()), Just(b"RESULT 4\nFAIL".to_vec()),
                    Just(b"RESULT 2\nOKREADY\n".to_vec()), Just(b"RESULT 10\n0123456789READY\n".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..12),
                ], 0..12),
            size in 1usize..9,
        ) {
            let (mut whole, mut pieces) = (Talk::default(), Talk::default());
            for part in parts {
                let expected = said(&mut whole, &part);
                let found: Vec<_> = part.chunks(size).flat_map(|piece| said(&mut pieces, piece)).collect();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(pieces.mode(), whole.mode());
                if whole.mode() == Mode::Ready {
                    whole.sent();
                    pieces.sent();
                }
            }
        }
    }
}
